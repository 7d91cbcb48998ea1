/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue/retry.h"

#include <assert.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "spec/entries.h"

#define PAUSE_MS           10u
#define PAUSE_NOT_READY_MS 100u
#define CRDT_UNIT_MS       100u
#define DOUBLINGS_MAX      10u

/* The type and the code of a status, as libnvme counts codes. */
#define PATH(code) (NVME_SCT_PATH << 8 | ((code)&0xff))

static enum hf_retry_kind kind_by_code(uint32_t code)
{
	switch (code) {
	case NVME_SC_NS_NOT_READY:
	case NVME_SC_ADMIN_CMD_MEDIA_NOT_READY:
	case NVME_SC_FORMAT_IN_PROGRESS:
	case PATH(NVME_SC_ANA_TRANSITION):
		return HF_RETRY_NOT_READY;
	case NVME_SC_ABORT_REQ:
	case PATH(NVME_SC_CMD_ABORTED_BY_HOST):
		return HF_RETRY_ABORTED;
	case NVME_SC_CMD_INTERRUPTED:
		return HF_RETRY_INTERRUPTED;
	case NVME_SC_DATA_XFER_ERROR:
	case NVME_SC_TRAN_TPORT_ERROR:
	case PATH(NVME_SC_ANA_INTERNAL_PATH_ERROR):
	case PATH(NVME_SC_CTRL_PATH_ERROR):
	case PATH(NVME_SC_HOST_PATH_ERROR):
		return HF_RETRY_TRANSPORT;
	case NVME_SC_INTERNAL:
		return HF_RETRY_INTERNAL;
	default:
		return HF_RETRY_NONE;
	}
}

enum hf_retry_kind hf_retry_kind_of(uint16_t status, bool acre)
{
	if ((status & NVME_STATUS_DNR) != 0) {
		return HF_RETRY_NONE;
	}
	if (acre && NVME_STATUS_CRD(status) != 0) {
		return HF_RETRY_ASKED;
	}
	return kind_by_code(status & 0x7ffu);
}

uint64_t hf_retry_delay_ms(const struct hf_retry_policy *policy,
			   enum hf_retry_kind kind, uint16_t status,
			   uint32_t tries)
{
	uint32_t doublings = HF_MIN(tries, DOUBLINGS_MAX);

	switch (kind) {
	case HF_RETRY_ASKED:
		return (uint64_t)__atomic_load_n(
			       &policy->crdt_100ms[NVME_STATUS_CRD(status) - 1],
			       __ATOMIC_RELAXED) *
		       CRDT_UNIT_MS;
	case HF_RETRY_NOT_READY:
		return (uint64_t)PAUSE_NOT_READY_MS << doublings;
	case HF_RETRY_ABORTED:
	case HF_RETRY_INTERRUPTED:
	case HF_RETRY_TRANSPORT:
	case HF_RETRY_INTERNAL:
		return tries == 0 ? 0 : (uint64_t)PAUSE_MS << doublings;
	case HF_RETRY_NONE:
		break;
	}
	assert(false);
	return 0;
}

const char *hf_retry_kind_name(enum hf_retry_kind kind)
{
	switch (kind) {
	case HF_RETRY_ASKED:
		return "asked";
	case HF_RETRY_NOT_READY:
		return "not_ready";
	case HF_RETRY_ABORTED:
		return "aborted";
	case HF_RETRY_INTERRUPTED:
		return "interrupted";
	case HF_RETRY_TRANSPORT:
		return "transport";
	case HF_RETRY_INTERNAL:
		return "internal";
	case HF_RETRY_NONE:
		break;
	}
	return "none";
}
