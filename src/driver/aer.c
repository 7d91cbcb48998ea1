/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/aer.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include <nvme/types.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"
#include "driver/admin.h"
#include "driver/scan.h"

/* Async Event Configuration: SMART's critical warnings. */
#define AEC_SMART 0x1fu
/* OAES bits that the driver acts on or passes on: namespace attributes,
 * firmware activation, ANA change, and the aggregates. */
#define AEC_NOTICES     0x7b00u
#define LOG_BYTES       512u
#define LIST_BYTES      4096u
#define LIST_ROUNDS_MAX 16

int hf_aer_step_configure(struct hf_driver *drv, struct hf_job *job,
			  struct hf_error *err)
{
	const struct nvme_id_ctrl *id =
		(const void *)drv->ledger.header->identify;
	const struct nvme_sqe sqe = {
		.opcode = nvme_admin_set_features,
		.cdw10 = htole32(NVME_FEAT_FID_ASYNC_EVENT),
		.cdw11 = htole32((le32toh(id->oaes) & AEC_NOTICES) | AEC_SMART),
	};

	if (drv->is_quiet) {
		return 0;
	}
	int rc = hf_admin_step(drv, job, &sqe, NULL, 0, false, err);
	if (rc == HF_STEP_WAIT) {
		return rc;
	}
	if (rc != 0) {
		hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_FEATURE],
			       HF_LOG_WARNING,
			       "%s: asynchronous events are as the "
			       "controller has them by default: %s",
			       drv->dev->id, job->error.message);
	}
	return 0;
}

static void queue_aer_job(struct hf_driver *drv);

static void aer_done(void *ctx, const struct hf_completion *how)
{
	struct hf_aer *aer = ctx;
	struct hf_driver *drv = aer->drv;

	aer->outstanding = false;
	if (how->result != 0) {
		/* Ended by a reset, or more than the controller takes: it is
		 * not asked for again until the next start. */
		if (how->result > 0) {
			char text[160];

			hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_EVENT],
				       HF_LOG_WARNING,
				       "%s: an Asynchronous Event Request "
				       "failed: %s",
				       drv->dev->id,
				       hf_result_text(how->result, text,
						      sizeof(text)));
		}
		return;
	}
	aer->came = true;
	aer->dw0 = how->dw0;
	/* A successor reads the log page if this process does not live to. */
	drv->ledger.header->aers[aer - drv->aers].dw0 = how->dw0;
	drv->ledger.header->aers[aer - drv->aers].came = 1;
	queue_aer_job(drv);
}

static void ask(struct hf_driver *drv, struct hf_aer *aer)
{
	const struct nvme_sqe sqe = {.opcode = nvme_admin_async_event};
	const struct hf_data none = {0};

	if (aer->outstanding || aer->came) {
		return;
	}
	aer->drv = drv;
	aer->outstanding = hf_admin_issue(drv, &sqe, &none, false, HF_SLOT_AER,
					  0, aer_done, aer) == 0;
}

static uint8_t event_type(uint32_t dw0)
{
	return dw0 & 0x7;
}

static uint8_t event_info(uint32_t dw0)
{
	return dw0 >> 8 & 0xff;
}

static uint8_t event_log(uint32_t dw0)
{
	return dw0 >> 16 & 0xff;
}

static bool is_namespace_notice(uint32_t dw0)
{
	return event_type(dw0) == NVME_AER_NOTICE && event_info(dw0) == 0 &&
	       event_log(dw0) == NVME_LOG_LID_CHANGED_NS;
}

void hf_aer_inherit(struct hf_driver *drv)
{
	struct hf_qpair *admin = drv->admin;
	const struct hf_data none = {0};
	uint32_t next = 0;

	for (uint32_t i = 0; i < HF_AER_MAX; i++) {
		drv->aers[i].drv = drv;
		drv->aers[i].came = drv->ledger.header->aers[i].came != 0;
		drv->aers[i].dw0 = drv->ledger.header->aers[i].dw0;
	}
	hf_qpair_lock(admin);
	for (uint32_t i = 0; i < admin->pending.count; i++) {
		if (admin->pending.slots[i].state == HF_SLOT_FREE ||
		    admin->pending.slots[i].kind != HF_SLOT_AER) {
			continue;
		}
		while (next < HF_AER_MAX && drv->aers[next].came) {
			next++;
		}
		/* One more than can be had is dropped when it ends. */
		struct hf_aer *aer =
			&drv->aers[next < HF_AER_MAX ? next : HF_AER_MAX - 1];
		aer->outstanding = true;
		hf_qpair_claim(admin, (uint16_t)i, aer_done, aer, &none);
		next++;
	}
	hf_qpair_unlock(admin);
	for (uint32_t i = 0; i < HF_AER_MAX; i++) {
		if (!drv->aers[i].came) {
			continue;
		}
		queue_aer_job(drv);
		if (is_namespace_notice(drv->aers[i].dw0)) {
			/* The controller may have given its list to the
			 * predecessor, and forgotten it. */
			hf_scan_all(drv);
		}
	}
}

void hf_aer_start(struct hf_driver *drv)
{
	const struct nvme_id_ctrl *id =
		(const void *)drv->ledger.header->identify;

	drv->aer_count =
		drv->is_quiet ? 0 : HF_MIN(id->aerl + 1u, (uint32_t)HF_AER_MAX);
	for (uint32_t i = 0; i < drv->aer_count; i++) {
		ask(drv, &drv->aers[i]);
	}
}

static const char *event_words(uint32_t dw0)
{
	static const char *const error[] = {
		"a doorbell was written that does not exist",
		"a doorbell was given an invalid value",
		"diagnostic failure",
		"persistent internal error",
		"transient internal error",
		"firmware image load error",
	};
	static const char *const smart[] = {
		"the NVM subsystem's reliability is compromised",
		"a temperature threshold was crossed",
		"the spare is below its threshold",
	};
	static const char *const notice[] = {
		"namespace attributes changed",
		"firmware activation is starting",
		"the telemetry log changed",
		"asymmetric namespace access changed",
		"predictable latency events",
		"LBA status information alert",
		"endurance group events",
	};
	uint8_t info = event_info(dw0);

	switch (event_type(dw0)) {
	case NVME_AER_ERROR:
		return info < HF_ARRAY_LEN(error) ? error[info] : "an error";
	case NVME_AER_SMART:
		return info < HF_ARRAY_LEN(smart) ? smart[info]
						  : "a SMART condition";
	case NVME_AER_NOTICE:
		return info < HF_ARRAY_LEN(notice) ? notice[info] : "a notice";
	case NVME_AER_CSS:
		return "an event of the I/O command set";
	case NVME_AER_VS:
		return "a vendor-specific event";
	default:
		return "an event of an unknown type";
	}
}

static void tell(struct hf_driver *drv, uint32_t dw0)
{
	struct hf_event event = {
		.kind = HF_EVENT_ASYNC,
		.async_type = event_type(dw0),
		.async_info = event_info(dw0),
		.log_page = event_log(dw0),
	};

	snprintf(event.text, sizeof(event.text),
		 "%s (type %u, information %02xh, log page %02xh)",
		 event_words(dw0), event.async_type, event.async_info,
		 event.log_page);
	hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_EVENT], HF_LOG_INFO,
		       "%s: asynchronous event: %s", drv->dev->id, event.text);
	hf_event_ring_put(&drv->events, &event);
}

/* number: the event that is worked on; cursor: the changed namespace. */
static int step_pick(struct hf_driver *drv, struct hf_job *job,
		     struct hf_error *err)
{
	(void)err;
	job->cursor = 0;
	/* In turn: a request whose events never end is one of several. */
	for (uint32_t i = 0; i < HF_AER_MAX; i++) {
		job->number = (drv->aer_turn + i) % HF_AER_MAX;
		if (drv->aers[job->number].came) {
			return 0;
		}
	}
	job->number = HF_AER_MAX;
	return 0;
}

/* Reading its log page re-arms an event, and tells which namespaces. */
static int step_read_log(struct hf_driver *drv, struct hf_job *job,
			 struct hf_error *err)
{
	if (job->number == HF_AER_MAX) {
		return 0;
	}
	uint32_t dw0 = drv->aers[job->number].dw0;
	uint32_t bytes = is_namespace_notice(dw0) ? LIST_BYTES : LOG_BYTES;
	const struct nvme_sqe sqe = {
		.opcode = nvme_admin_get_log_page,
		.nsid = htole32(NVME_NSID_ALL),
		.cdw10 = htole32((bytes / 4 - 1) << 16 | event_log(dw0)),
	};

	int rc = hf_admin_step_through_resets(drv, job, &sqe, drv->scratch,
					      bytes, err);
	if (rc == HF_STEP_WAIT) {
		return rc;
	}
	if (rc != 0) {
		hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_EVENT],
			       HF_LOG_WARNING,
			       "%s: the log page of an asynchronous "
			       "event could not be read: %s",
			       drv->dev->id, job->error.message);
	}
	drv->changed_count = 0;
	if (is_namespace_notice(dw0)) {
		hf_scan_note_changed(drv, rc == 0 ? drv->scratch : NULL);
	} else {
		tell(drv, dw0);
	}
	return 0;
}

static int step_rescan(struct hf_driver *drv, struct hf_job *job,
		       struct hf_error *err)
{
	while (job->cursor < drv->changed_count) {
		int rc = hf_scan_step(drv, job, drv->changed[job->cursor], err);

		if (rc == HF_STEP_WAIT) {
			return rc;
		}
		job->cursor++;
	}
	return 0;
}

static int step_rearm(struct hf_driver *drv, struct hf_job *job,
		      struct hf_error *err)
{
	(void)err;
	if (job->number == HF_AER_MAX) {
		return 0;
	}
	struct hf_aer *aer = &drv->aers[job->number];

	/* What changes while the list is read is in the next list; a device
	 * whose list never ends is asked again with the next event. */
	if (is_namespace_notice(aer->dw0) && drv->changed_count > 0 &&
	    job->saved < LIST_ROUNDS_MAX) {
		job->saved++;
		return HF_STEP_RESTART;
	}
	drv->aer_turn = (job->number + 1) % HF_AER_MAX;
	aer->came = false;
	drv->ledger.header->aers[job->number].came = 0;
	ask(drv, aer);
	return 0;
}

static void aer_finished(struct hf_driver *drv, struct hf_job *job)
{
	drv->aer_job_queued = false;
	if (job->result != 0) {
		return; /* no control work is done any more */
	}
	/* The next one goes behind other work: a flood of events delays it,
	 * and does not keep it away. */
	for (uint32_t i = 0; i < HF_AER_MAX; i++) {
		if (drv->aers[i].came) {
			queue_aer_job(drv);
			return;
		}
	}
}

static const struct hf_job_step aer_steps[] = {
	{"take an asynchronous event", step_pick},
	{"read its log page", step_read_log},
	{"identify changed namespaces", step_rescan},
	{"ask for the next event", step_rearm},
};

static const struct hf_job_kind aer_kind = {
	.name = "handling an asynchronous event",
	.steps = aer_steps,
	.step_count = HF_ARRAY_LEN(aer_steps),
	.finished = aer_finished,
};

static void queue_aer_job(struct hf_driver *drv)
{
	if (!drv->aer_job_queued) {
		drv->aer_job_queued = true;
		hf_job_init(&drv->aer_job, &aer_kind);
		hf_driver_queue_job_locked(drv, &drv->aer_job);
	}
}
