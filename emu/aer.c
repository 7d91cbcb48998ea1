/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/aer.h"

#include <string.h>

#include "base/checked.h"
#include "emu/ctrl.h"
#include "emu/later.h"

void hf_emu_aer_init(struct hf_emu_aer *aer)
{
	pthread_mutex_init(&aer->lock, NULL);
}

void hf_emu_aer_fini(struct hf_emu_aer *aer)
{
	pthread_mutex_destroy(&aer->lock);
}

/* The first event that may be told, or event_count. The lock is held. */
static uint32_t find_event(const struct hf_emu_aer *aer)
{
	for (uint32_t i = 0; i < aer->event_count; i++) {
		if (!aer->masked[aer->events[i].type]) {
			return i;
		}
	}
	return aer->event_count;
}

static void update_deliverable(struct hf_emu_aer *aer)
{
	bool any =
		aer->request_count != 0 && find_event(aer) < aer->event_count;

	hf_emu_store(&aer->deliverable, any);
}

bool hf_emu_aer_pending(const struct hf_emu *emu)
{
	return hf_emu_load(&emu->aer.deliverable) != 0;
}

uint16_t hf_emu_aer_request(struct hf_emu_cmd *cmd)
{
	struct hf_emu_aer *aer = &cmd->emu->aer;
	uint32_t limit = cmd->emu->options.aerl_z + 1u;
	uint16_t status = HF_EMU_STAYS;

	pthread_mutex_lock(&aer->lock);
	if (aer->request_count >= HF_MIN(limit, HF_EMU_AER_REQUESTS)) {
		status = HF_STATUS_DNR(HF_STATUS_CMD(NVME_SC_ASYNC_LIMIT));
	} else {
		struct hf_emu_aer_request *request =
			&aer->requests[aer->request_count++];

		request->cid = cmd->sqe.cid;
		request->faulty = cmd->fault != NULL;
		if (request->faulty) {
			request->fault = *cmd->fault;
		}
		update_deliverable(aer);
	}
	pthread_mutex_unlock(&aer->lock);
	return status;
}

static void complete_request(struct hf_emu *emu,
			     struct hf_emu_aer_request *request, uint32_t dw0,
			     uint16_t status)
{
	struct hf_emu_cmd cmd = {
		.emu = emu,
		.worker = &emu->workers[0],
		.sq = &emu->sqs[0],
		.sqe.opcode = nvme_admin_async_event,
		.sqe.cid = request->cid,
		.dw0 = dw0,
		.fault = request->faulty ? &request->fault : NULL,
	};

	if (request->faulty &&
	    (request->fault.actions & HF_FAULT_STATUS_AFTER) != 0) {
		status = request->fault.status;
	}
	hf_emu_complete(cmd.worker, &cmd, status);
}

bool hf_emu_aer_abort(struct hf_emu *emu, uint16_t cid)
{
	struct hf_emu_aer *aer = &emu->aer;
	struct hf_emu_aer_request request = {0};
	bool found = false;

	pthread_mutex_lock(&aer->lock);
	for (uint32_t i = 0; i < aer->request_count && !found; i++) {
		if (aer->requests[i].cid == cid) {
			request = aer->requests[i];
			aer->requests[i] = aer->requests[--aer->request_count];
			found = true;
		}
	}
	update_deliverable(aer);
	pthread_mutex_unlock(&aer->lock);
	if (found) {
		complete_request(emu, &request, 0, NVME_SC_ABORT_REQ);
	}
	return found;
}

void hf_emu_aer_log_read(struct hf_emu *emu, uint8_t log_id)
{
	struct hf_emu_aer *aer = &emu->aer;

	pthread_mutex_lock(&aer->lock);
	for (uint32_t type = 0; type < HF_ARRAY_LEN(aer->masked); type++) {
		if (aer->masked[type] && aer->reported[type] == log_id) {
			aer->masked[type] = false;
		}
	}
	update_deliverable(aer);
	pthread_mutex_unlock(&aer->lock);
}

/* Takes the oldest request and the first event that go together. */
static bool take_pair(struct hf_emu_aer *aer,
		      struct hf_emu_aer_request *request, uint32_t *dw0)
{
	uint32_t at = find_event(aer);

	if (aer->request_count == 0 || at == aer->event_count) {
		return false;
	}

	struct hf_emu_aer_event event = aer->events[at];
	aer->event_count--;
	memmove(&aer->events[at], &aer->events[at + 1],
		(aer->event_count - at) * sizeof(event));
	*request = aer->requests[0];
	aer->request_count--;
	memmove(&aer->requests[0], &aer->requests[1],
		aer->request_count * sizeof(aer->requests[0]));
	aer->masked[event.type] = true;
	aer->reported[event.type] = event.log_id;
	aer->completed++;
	*dw0 = event.type | (uint32_t)event.info << 8 |
	       (uint32_t)event.log_id << 16;
	return true;
}

uint32_t hf_emu_aer_deliver(struct hf_emu *emu)
{
	struct hf_emu_aer *aer = &emu->aer;
	uint32_t count = 0;
	bool taken = hf_emu_aer_pending(emu);

	while (taken) {
		struct hf_emu_aer_request request;
		uint32_t dw0;

		pthread_mutex_lock(&aer->lock);
		taken = take_pair(aer, &request, &dw0);
		update_deliverable(aer);
		pthread_mutex_unlock(&aer->lock);
		if (taken) {
			complete_request(emu, &request, dw0, 0);
			count++;
		}
	}
	return count;
}

void hf_emu_aer_reset(struct hf_emu *emu)
{
	struct hf_emu_aer *aer = &emu->aer;

	pthread_mutex_lock(&aer->lock);
	aer->request_count = 0;
	aer->event_count = 0;
	memset(aer->masked, 0, sizeof(aer->masked));
	update_deliverable(aer);
	pthread_mutex_unlock(&aer->lock);
}

/* What the host's Async Event Configuration lets through. */
static bool configured(const struct hf_emu *emu, uint8_t type, uint8_t info)
{
	uint32_t config = hf_emu_feature(emu, NVME_FEAT_FID_ASYNC_EVENT);

	switch (type) {
	case NVME_AER_SMART:
		/* Reliability, temperature, spare: Critical Warning bits. */
		switch (info) {
		case NVME_AER_SMART_SUBSYSTEM_RELIABILITY:
			return (config & 0x04) != 0;
		case NVME_AER_SMART_TEMPERATURE_THRESHOLD:
			return (config & 0x02) != 0;
		case NVME_AER_SMART_SPARE_THRESHOLD:
			return (config & 0x01) != 0;
		default:
			return true;
		}
	case NVME_AER_NOTICE:
		if (info <= NVME_AER_NOTICE_EG_EVENT) {
			return (config & (UINT32_C(1) << (8 + info))) != 0;
		}
		return true;
	default:
		return true;
	}
}

void hf_emu_event(struct hf_emu *emu, uint8_t type, uint8_t info,
		  uint8_t log_id)
{
	struct hf_emu_aer *aer = &emu->aer;
	struct hf_emu_aer_event event = {type & 7, info, log_id};
	bool known = false;

	if (!hf_emu_runs(emu) || !configured(emu, event.type, info)) {
		return;
	}

	pthread_mutex_lock(&aer->lock);
	for (uint32_t i = 0; i < aer->event_count; i++) {
		if (memcmp(&aer->events[i], &event, sizeof(event)) == 0) {
			known = true;
		}
	}
	if (!known && aer->event_count < HF_EMU_AER_EVENTS) {
		aer->events[aer->event_count++] = event;
	}
	update_deliverable(aer);
	pthread_mutex_unlock(&aer->lock);
	if (__atomic_load_n(&emu->workers[0].sleeping, __ATOMIC_SEQ_CST) != 0) {
		hf_emu_worker_wake(&emu->workers[0]);
	}
}
