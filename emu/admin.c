/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/admin.h"

#include "base/checked.h"
#include "emu/ctrl.h"

static uint16_t abort_command(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint16_t sqid = (uint16_t)cmd->sqe.cdw10;
	uint16_t cid = (uint16_t)(cmd->sqe.cdw10 >> 16);

	cmd->dw0 = 1; /* not aborted */
	if (sqid > emu->options.max_sqs ||
	    hf_emu_load(&emu->sqs[sqid].valid) == 0) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	if (hf_emu_worker_later_opcode(&emu->workers[0], nvme_admin_abort_cmd) >
	    emu->options.acl_z) {
		return HF_STATUS_CMD(NVME_SC_ABORT_LIMIT);
	}

	bool aborted;
	if (sqid == 0) {
		aborted = hf_emu_aer_abort(emu, cid) ||
			  hf_emu_worker_abort(&emu->workers[0], 0, cid);
	} else {
		struct hf_emu_worker *worker =
			&emu->workers[hf_emu_load(&emu->sqs[sqid].worker)];

		hf_emu_worker_lock(worker);
		aborted = hf_emu_worker_abort(worker, sqid, cid);
		hf_emu_worker_unlock(worker);
	}
	if (aborted) {
		cmd->dw0 = 0;
	}
	return 0;
}

static uint16_t doorbell_buffer_config(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint64_t shadow = cmd->sqe.prp1;
	uint64_t event = cmd->sqe.prp2;
	uint64_t avail;

	if ((emu->options.oacs & NVME_CTRL_OACS_DBBUF_CFG) == 0) {
		return HF_STATUS_DNR(NVME_SC_INVALID_OPCODE);
	}
	if (shadow == 0 || event == 0 ||
	    !hf_is_aligned(shadow, emu->page_bytes) ||
	    !hf_is_aligned(event, emu->page_bytes)) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	if (hf_emu_dma_at(&emu->dma, shadow, HF_EMU_DMA_READ, &avail) == NULL ||
	    avail < emu->page_bytes ||
	    hf_emu_dma_at(&emu->dma, event, HF_EMU_DMA_WRITE, &avail) == NULL ||
	    avail < emu->page_bytes) {
		return HF_STATUS_DNR(NVME_SC_DATA_XFER_ERROR);
	}

	/* Between two rounds of each worker that looks at them. */
	for (uint32_t i = 1; i < emu->worker_count; i++) {
		hf_emu_worker_lock(&emu->workers[i]);
	}
	emu->shadow_event_iova = event;
	__atomic_store_n(&emu->shadow_iova, shadow, __ATOMIC_RELEASE);
	for (uint32_t i = 1; i < emu->worker_count; i++) {
		hf_emu_worker_unlock(&emu->workers[i]);
		hf_emu_worker_wake(&emu->workers[i]);
	}
	return 0;
}

uint16_t hf_emu_admin_execute(struct hf_emu_cmd *cmd)
{
	switch (cmd->sqe.opcode) {
	case nvme_admin_delete_sq:
		return hf_emu_delete_sq(cmd);
	case nvme_admin_create_sq:
		return hf_emu_create_sq(cmd);
	case nvme_admin_delete_cq:
		return hf_emu_delete_cq(cmd);
	case nvme_admin_create_cq:
		return hf_emu_create_cq(cmd);
	case nvme_admin_get_log_page:
		return hf_emu_get_log_page(cmd);
	case nvme_admin_identify:
		return hf_emu_identify(cmd);
	case nvme_admin_abort_cmd:
		return abort_command(cmd);
	case nvme_admin_set_features:
		return hf_emu_set_features(cmd);
	case nvme_admin_get_features:
		return hf_emu_get_features(cmd);
	case nvme_admin_async_event:
		return hf_emu_aer_request(cmd);
	case nvme_admin_dbbuf:
		return doorbell_buffer_config(cmd);
	default:
		return HF_STATUS_DNR(NVME_SC_INVALID_OPCODE);
	}
}
