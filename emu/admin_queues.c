/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/admin.h"
#include "emu/ctrl.h"

#define FLAG_PC  0x1u
#define FLAG_IEN 0x2u

static uint16_t cmd_error(uint16_t sc)
{
	return HF_STATUS_DNR(HF_STATUS_CMD(sc));
}

/* What Create Completion Queue and Create Submission Queue have in common. */
static uint16_t place_of(struct hf_emu_cmd *cmd,
			 struct hf_emu_ring_place *place)
{
	const struct hf_emu_options *options = &cmd->emu->options;
	uint32_t entries = (cmd->sqe.cdw10 >> 16) + 1;

	if (entries < 2 || entries > options->mqes_z + 1u) {
		return cmd_error(NVME_SC_QUEUE_SIZE);
	}
	place->entries = entries;
	place->contiguous = (cmd->sqe.cdw11 & FLAG_PC) != 0;
	place->prp1 = cmd->sqe.prp1;
	if (!place->contiguous && options->cqr) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	return 0;
}

static bool qid_in_range(uint16_t qid, uint32_t granted)
{
	return qid != 0 && qid <= granted;
}

uint16_t hf_emu_create_cq(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint16_t qid = (uint16_t)cmd->sqe.cdw10;
	uint32_t vector = cmd->sqe.cdw11 >> 16;
	struct hf_emu_ring_place place = {
		.entry_bytes = sizeof(struct nvme_cqe),
		.prot = HF_EMU_DMA_WRITE,
	};

	if (!qid_in_range(qid, emu->features.granted_cqs) ||
	    hf_emu_load(&emu->cqs[qid].valid) != 0) {
		return cmd_error(NVME_SC_QID_INVALID);
	}
	if (NVME_CC_IOCQES(hf_emu_cc(emu)) == 0) {
		return cmd_error(NVME_SC_QUEUE_SIZE);
	}
	uint16_t status = place_of(cmd, &place);
	if (status != 0) {
		return status;
	}
	if (vector >= emu->options.vectors) {
		return cmd_error(NVME_SC_INVALID_VECTOR);
	}

	struct hf_emu_worker *worker =
		&emu->workers[1 + (qid - 1u) % (emu->worker_count - 1)];
	hf_emu_worker_lock(worker);
	status = hf_emu_cq_start(emu, qid, (uint16_t)vector,
				 (cmd->sqe.cdw11 & FLAG_IEN) != 0, &place);
	hf_emu_worker_unlock(worker);
	return status;
}

uint16_t hf_emu_create_sq(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint16_t qid = (uint16_t)cmd->sqe.cdw10;
	uint32_t cqid = cmd->sqe.cdw11 >> 16;
	struct hf_emu_ring_place place = {
		.entry_bytes = sizeof(struct nvme_sqe),
		.prot = HF_EMU_DMA_READ,
	};

	if (!qid_in_range(qid, emu->features.granted_sqs) ||
	    hf_emu_load(&emu->sqs[qid].valid) != 0) {
		return cmd_error(NVME_SC_QID_INVALID);
	}
	if (cqid == 0 || cqid > emu->options.max_cqs) {
		/* A queue that could never be is no valid identifier. */
		return cmd_error(cqid == 0 ? NVME_SC_CQ_INVALID
					   : NVME_SC_QID_INVALID);
	}
	if (hf_emu_load(&emu->cqs[cqid].valid) == 0) {
		return cmd_error(NVME_SC_CQ_INVALID);
	}
	if (NVME_CC_IOSQES(hf_emu_cc(emu)) == 0) {
		return cmd_error(NVME_SC_QUEUE_SIZE);
	}
	uint16_t status = place_of(cmd, &place);
	if (status != 0) {
		return status;
	}

	struct hf_emu_worker *worker = &emu->workers[emu->cqs[cqid].worker];
	hf_emu_worker_lock(worker);
	status = hf_emu_sq_start(emu, qid, (uint16_t)cqid, &place);
	hf_emu_worker_unlock(worker);
	/* With a shared page there is something to look at from now on. */
	hf_emu_worker_wake(worker);
	return status;
}

uint16_t hf_emu_delete_sq(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint16_t qid = (uint16_t)cmd->sqe.cdw10;

	if (qid == 0 || qid > emu->options.max_sqs ||
	    hf_emu_load(&emu->sqs[qid].valid) == 0) {
		return cmd_error(NVME_SC_QID_INVALID);
	}

	/* What was fetched and put off ends now; what was not fetched never
	 * began, and goes with its queue. */
	struct hf_emu_worker *worker = &emu->workers[emu->sqs[qid].worker];
	hf_emu_worker_lock(worker);
	hf_emu_worker_end_sq(worker, qid, NVME_SC_ABORT_QUEUE);
	hf_emu_sq_stop(emu, qid);
	hf_emu_worker_unlock(worker);
	return 0;
}

uint16_t hf_emu_delete_cq(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint16_t qid = (uint16_t)cmd->sqe.cdw10;

	if (qid == 0 || qid > emu->options.max_cqs ||
	    hf_emu_load(&emu->cqs[qid].valid) == 0) {
		return cmd_error(NVME_SC_QID_INVALID);
	}

	struct hf_emu_worker *worker = &emu->workers[emu->cqs[qid].worker];
	uint16_t status = 0;
	hf_emu_worker_lock(worker);
	if (emu->cqs[qid].sq_count != 0) {
		status = cmd_error(NVME_SC_INVALID_QUEUE);
	} else {
		hf_emu_cq_stop(emu, qid);
	}
	hf_emu_worker_unlock(worker);
	hf_emu_irq_update_pin(emu);
	return status;
}
