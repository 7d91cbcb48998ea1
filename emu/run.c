/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "emu/admin.h"
#include "emu/ctrl.h"
#include "emu/io.h"
#include "emu/later.h"
#include "emu/worker.h"

#define PSDT_SGLS 0x3u

static void count_data(struct hf_emu_worker *worker,
		       const struct hf_emu_cmd *cmd)
{
	if (cmd->sqe.opcode == nvme_cmd_read) {
		worker->read_commands++;
		worker->read_bytes += cmd->data_bytes;
	} else if (cmd->sqe.opcode == nvme_cmd_write) {
		worker->write_commands++;
		worker->written_bytes += cmd->data_bytes;
	}
}

static uint16_t execute(struct hf_emu_cmd *cmd)
{
	const struct hf_emu_options *options = &cmd->emu->options;
	unsigned int psdt = cmd->sqe.flags >> NVME_SQE_FLAGS_PSDT_SHIFT;

	/* Fused operations are not offered, nor reserved values. */
	if ((cmd->sqe.flags & 0x3f) != 0 || psdt == PSDT_SGLS) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	if (psdt != 0 && (cmd->sqid == 0 || (options->sgls & 3) == 0)) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	if (cmd->sqid == 0) {
		return hf_emu_admin_execute(cmd);
	}

	uint16_t status = hf_emu_io_execute(cmd);
	count_data(cmd->worker, cmd);
	return status;
}

/* The data is on its way to the host: spoil it as the rule says. */
static void spoil_data(struct hf_emu_cmd *cmd, const struct hf_fault_verdict *v)
{
	if ((v->actions & HF_FAULT_FILL) != 0) {
		for (uint32_t i = 0; i < cmd->iov_count; i++) {
			memset(cmd->iov[i].iov_base, v->fill_byte,
			       cmd->iov[i].iov_len);
		}
	}
	for (uint32_t i = 0;
	     (v->actions & HF_FAULT_PATCH) != 0 && i < v->patch_count; i++) {
		const struct hf_fault_patch *patch = &v->patches[i];
		uint8_t bytes[8];

		hf_put_le64(bytes, patch->value);
		if (patch->len_bytes <= sizeof(bytes) &&
		    hf_range_within(patch->offset, patch->len_bytes,
				    cmd->data_bytes)) {
			hf_emu_cmd_to_host(cmd, patch->offset, bytes,
					   patch->len_bytes);
		}
	}
	if ((v->actions & HF_FAULT_CORRUPT) != 0 &&
	    v->corrupt_offset < cmd->data_bytes) {
		uint8_t byte;

		hf_emu_cmd_from_host(cmd, v->corrupt_offset, &byte, 1);
		byte = (uint8_t)~byte;
		hf_emu_cmd_to_host(cmd, v->corrupt_offset, &byte, 1);
	}
}

void hf_emu_run_now(struct hf_emu_cmd *cmd, bool complete)
{
	const struct hf_fault_verdict *v = cmd->fault;
	uint16_t status = execute(cmd);

	if (v != NULL && cmd->to_host && cmd->data_bytes != 0) {
		spoil_data(cmd, v);
	}
	if (status == HF_EMU_STAYS) {
		return;
	}
	if (v != NULL && (v->actions & HF_FAULT_STATUS_AFTER) != 0) {
		status = v->status;
	}
	if (complete) {
		hf_emu_complete(cmd->worker, cmd, status);
	}
}

/* Keeps a copy of the command. False without memory: it goes on at once. */
static bool put_off(struct hf_emu_worker *worker, const struct hf_emu_cmd *cmd,
		    enum hf_emu_later_what what, uint64_t delay_ns,
		    uint16_t status)
{
	struct hf_emu_later *later = hf_emu_later_new(worker, delay_ns);

	if (later == NULL) {
		return false;
	}
	later->what = what;
	later->status = status;
	later->cmd = *cmd;
	later->verdict = *cmd->fault;
	later->cmd.fault = &later->verdict;
	if (delay_ns == UINT64_MAX) {
		later->held = true;
	}
	hf_emu_later_add(worker, later);
	return true;
}

void hf_emu_complete(struct hf_emu_worker *worker, struct hf_emu_cmd *cmd,
		     uint16_t status)
{
	const struct hf_fault_verdict *v = cmd->fault;

	if (v != NULL && (v->actions & HF_FAULT_NO_POST) != 0) {
		worker->dropped++;
		return;
	}
	if (v != NULL && (v->actions & HF_FAULT_LATE_POST) != 0 &&
	    put_off(worker, cmd, HF_EMU_LATER_POST, v->post_delay_ns, status)) {
		return;
	}
	hf_emu_post(worker, cmd, status);
}

static uint32_t *dword_of(struct nvme_sqe *sqe, uint8_t index)
{
	switch (index) {
	case 1:
		return &sqe->nsid;
	case 2:
		return &sqe->cdw2;
	case 3:
		return &sqe->cdw3;
	case 10:
		return &sqe->cdw10;
	case 11:
		return &sqe->cdw11;
	case 12:
		return &sqe->cdw12;
	case 13:
		return &sqe->cdw13;
	case 14:
		return &sqe->cdw14;
	case 15:
		return &sqe->cdw15;
	default:
		return NULL;
	}
}

static void edit_qword(uint64_t *value, bool high, uint32_t mask, uint32_t bits)
{
	unsigned int shift = high ? 32 : 0;

	*value = (*value & ~((uint64_t)mask << shift)) | (uint64_t)(bits & mask)
								 << shift;
}

static void edit_sqe(struct nvme_sqe *sqe, const struct hf_fault_edit *edit)
{
	uint32_t *dword = dword_of(sqe, edit->dword);

	if (dword != NULL) {
		*dword = (*dword & ~edit->mask) | (edit->value & edit->mask);
	} else if (edit->dword == 0) {
		uint32_t dw0 = sqe->opcode | (uint32_t)sqe->flags << 8 |
			       (uint32_t)sqe->cid << 16;

		dw0 = (dw0 & ~edit->mask) | (edit->value & edit->mask);
		sqe->opcode = (uint8_t)dw0;
		sqe->flags = (uint8_t)(dw0 >> 8);
		sqe->cid = (uint16_t)(dw0 >> 16);
	} else if (edit->dword == 4 || edit->dword == 5) {
		edit_qword(&sqe->mptr, edit->dword == 5, edit->mask,
			   edit->value);
	} else if (edit->dword == 6 || edit->dword == 7) {
		edit_qword(&sqe->prp1, edit->dword == 7, edit->mask,
			   edit->value);
	} else if (edit->dword == 8 || edit->dword == 9) {
		edit_qword(&sqe->prp2, edit->dword == 9, edit->mask,
			   edit->value);
	}
}

static void side_effects(struct hf_emu *emu, const struct hf_fault_verdict *v)
{
	if ((v->actions & HF_FAULT_SPURIOUS_IRQ) != 0) {
		hf_emu_irq_raise(emu, v->vector);
	}
	if ((v->actions & HF_FAULT_EVENT) != 0) {
		hf_emu_event(emu, v->event_type & 7, v->event_info,
			     v->event_log_id);
	}
	if ((v->actions & HF_FAULT_CFS) != 0) {
		hf_emu_fatal(emu, "a fault rule says so");
	}
	if ((v->actions & HF_FAULT_GONE) != 0) {
		hf_emu_gone(emu);
	}
}

static void run_faulty(struct hf_emu_worker *worker, struct hf_emu_cmd *cmd,
		       struct hf_fault_verdict *v)
{
	cmd->fault = v;
	for (uint32_t i = 0; (v->actions & HF_FAULT_EDIT) != 0 &&
			     i < v->edit_count && i < HF_FAULT_EDITS;
	     i++) {
		edit_sqe(&cmd->sqe, &v->edits[i]);
	}
	side_effects(cmd->emu, v);
	if (hf_emu_load(&cmd->emu->fatal) != 0 ||
	    hf_emu_load(&cmd->emu->gone) != 0) {
		return;
	}
	if ((v->actions & HF_FAULT_DROP) != 0) {
		worker->dropped++;
		return;
	}
	if ((v->actions & HF_FAULT_HOLD) != 0 &&
	    put_off(worker, cmd, HF_EMU_LATER_EXECUTE, UINT64_MAX, 0)) {
		return;
	}
	if ((v->actions & HF_FAULT_STATUS) != 0) {
		if ((v->actions & HF_FAULT_DELAY) == 0 ||
		    !put_off(worker, cmd, HF_EMU_LATER_POST, v->delay_ns,
			     v->status)) {
			hf_emu_complete(worker, cmd, v->status);
		}
		return;
	}
	if ((v->actions & HF_FAULT_DELAY) != 0 &&
	    put_off(worker, cmd, HF_EMU_LATER_EXECUTE, v->delay_ns, 0)) {
		return;
	}
	if ((v->actions & HF_FAULT_LATE_DATA) != 0 &&
	    put_off(worker, cmd, HF_EMU_LATER_DATA, v->data_delay_ns, 0)) {
		hf_emu_complete(worker, cmd, 0);
		return;
	}
	hf_emu_run_now(cmd, true);
}

void hf_emu_run(struct hf_emu_worker *worker, struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = worker->emu;

	if (__builtin_expect(
		    (hf_faults_armed(emu->faults) & HF_FAULT_SITE_COMMAND) != 0,
		    0)) {
		struct hf_fault_verdict verdict = {0};

		if (hf_fault_command(emu->faults, cmd, &verdict)) {
			run_faulty(worker, cmd, &verdict);
			return;
		}
	}
	hf_emu_run_now(cmd, true);
}
