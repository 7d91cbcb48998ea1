/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether a rule applies, and what it then asks the core to do. */
#include "emu/fault_match.h"

#include <assert.h>
#include <string.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "emu/cmd.h"

/* A command's actions have the same bits inside and outside. */
static_assert(HF_EMU_FAULT_DO_EDIT == HF_FAULT_EDIT &&
		      HF_EMU_FAULT_DO_HOLD == HF_FAULT_HOLD &&
		      HF_EMU_FAULT_DO_PATCH == HF_FAULT_PATCH &&
		      HF_EMU_FAULT_DO_DMA_AFTER_ABORT ==
			      HF_FAULT_DMA_AFTER_ABORT &&
		      HF_EMU_FAULT_DO_REORDER == HF_FAULT_REORDER &&
		      HF_EMU_FAULT_DO_PHANTOM == HF_FAULT_PHANTOM &&
		      HF_EMU_FAULT_DO_STATUS_AFTER == HF_FAULT_STATUS_AFTER,
	      "the bits of actions are handed on as they are");
static_assert(HF_EMU_FAULT_EDITS <= HF_FAULT_EDITS &&
		      HF_EMU_FAULT_PATCHES <= HF_FAULT_PATCHES,
	      "a verdict has room for what one rule asks");

#define COMMAND_ACTIONS (HF_EMU_FAULT_DO_STATUS_AFTER * 2 - 1)

static bool has(const struct hf_emu_fault *fault, uint32_t condition)
{
	return (fault->match & condition) != 0;
}

/* xorshift: any generator does, as long as a seed repeats it. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state != 0 ? *state : UINT64_C(0x9e3779b97f4a7c15);

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x;
}

/* The rest of the conditions: of this match, whichever it is. */
static bool is_due(struct hf_fault_rule *rule)
{
	const struct hf_emu_fault *fault = &rule->fault;
	uint64_t after =
		has(fault, HF_EMU_FAULT_MATCH_AFTER) ? fault->after : 0;

	rule->matches++;
	if (rule->matches <= after ||
	    (has(fault, HF_EMU_FAULT_MATCH_NTH) &&
	     rule->matches != fault->nth) ||
	    (has(fault, HF_EMU_FAULT_MATCH_EVERY) &&
	     (rule->matches - after) % fault->every != 0) ||
	    (has(fault, HF_EMU_FAULT_MATCH_COUNT) &&
	     rule->hits >= fault->count) ||
	    (has(fault, HF_EMU_FAULT_MATCH_PROB) &&
	     next_random(&rule->random) % 1000000 >= fault->prob_ppm)) {
		return false;
	}
	rule->hits++;
	return true;
}

static bool has_lba(uint8_t opcode)
{
	switch (opcode) {
	case nvme_cmd_read:
	case nvme_cmd_write:
	case nvme_cmd_write_uncor:
	case nvme_cmd_compare:
	case nvme_cmd_write_zeroes:
	case nvme_cmd_verify:
		return true;
	}
	return false;
}

static bool matches_lba(const struct hf_emu_fault *fault,
			const struct nvme_sqe *sqe)
{
	uint64_t first = (uint64_t)sqe->cdw11 << 32 | sqe->cdw10;
	uint64_t last;

	if (!has_lba(sqe->opcode) ||
	    !hf_add_u64(first, sqe->cdw12 & 0xffff, &last)) {
		return false;
	}
	return first <= fault->lba_last && last >= fault->lba_first;
}

static bool matches_cdw(const struct hf_emu_fault *fault,
			const struct nvme_sqe *sqe)
{
	const uint32_t cdw[] = {sqe->cdw10, sqe->cdw11, sqe->cdw12,
				sqe->cdw13, sqe->cdw14, sqe->cdw15};

	for (size_t i = 0; i < HF_ARRAY_LEN(cdw); i++) {
		if ((cdw[i] & fault->cdw_mask[i]) != fault->cdw[i]) {
			return false;
		}
	}
	return true;
}

bool hf_fault_rule_command(struct hf_fault_rule *rule,
			   const struct hf_emu_cmd *cmd)
{
	const struct hf_emu_fault *fault = &rule->fault;
	enum hf_emu_fault_site site =
		cmd->sqid == 0 ? HF_EMU_FAULT_ADMIN : HF_EMU_FAULT_IO;

	if (fault->site != site ||
	    (has(fault, HF_EMU_FAULT_MATCH_OPCODE) &&
	     cmd->sqe.opcode != fault->opcode) ||
	    (has(fault, HF_EMU_FAULT_MATCH_NSID) &&
	     cmd->sqe.nsid != fault->nsid) ||
	    (has(fault, HF_EMU_FAULT_MATCH_QUEUE) &&
	     cmd->sqid != fault->queue) ||
	    (has(fault, HF_EMU_FAULT_MATCH_CDW) &&
	     !matches_cdw(fault, &cmd->sqe)) ||
	    (has(fault, HF_EMU_FAULT_MATCH_LBA) &&
	     !matches_lba(fault, &cmd->sqe))) {
		return false;
	}
	return is_due(rule);
}

static uint32_t register_bytes(uint32_t offset)
{
	switch (offset) {
	case 0x00: /* CAP */
	case 0x28: /* ASQ */
	case 0x30: /* ACQ */
		return 8;
	}
	return 4;
}

/* Moves what is said of the register to where it lies in the access. */
static uint64_t shift_to(uint64_t value, uint64_t reg, uint64_t access)
{
	return reg >= access ? value << 8 * (reg - access)
			     : value >> 8 * (access - reg);
}

bool hf_fault_rule_register(struct hf_fault_rule *rule, uint64_t offset,
			    uint32_t len_bytes, bool write, uint64_t value)
{
	const struct hf_emu_fault *fault = &rule->fault;
	uint64_t reg = fault->register_offset;

	if (fault->site != HF_EMU_FAULT_REGISTER ||
	    (has(fault, HF_EMU_FAULT_MATCH_READ) && write) ||
	    (has(fault, HF_EMU_FAULT_MATCH_WRITE) && !write)) {
		return false;
	}
	if (!has(fault, HF_EMU_FAULT_MATCH_REGISTER)) {
		reg = offset;
	} else if (!hf_ranges_overlap(offset, len_bytes, reg,
				      register_bytes((uint32_t)reg))) {
		return false;
	}
	if (has(fault, HF_EMU_FAULT_MATCH_VALUE)) {
		uint64_t mask = shift_to(fault->value_mask, reg, offset);
		uint64_t want = shift_to(fault->value, reg, offset);

		if (!write || (value & mask) != (want & mask)) {
			return false;
		}
	}
	return is_due(rule);
}

bool hf_fault_rule_interrupt(struct hf_fault_rule *rule, uint16_t vector)
{
	const struct hf_emu_fault *fault = &rule->fault;

	if (fault->site != HF_EMU_FAULT_INTERRUPT ||
	    (has(fault, HF_EMU_FAULT_MATCH_VECTOR) &&
	     fault->vector != vector)) {
		return false;
	}
	return is_due(rule);
}

static void add_edits(const struct hf_emu_fault *fault,
		      struct hf_fault_verdict *verdict)
{
	for (uint32_t i = 0;
	     i < fault->edit_count && verdict->edit_count < HF_FAULT_EDITS;
	     i++) {
		verdict->edits[verdict->edit_count] = (struct hf_fault_edit){
			.dword = (uint8_t)fault->edits[i].dword,
			.mask = fault->edits[i].mask,
			.value = fault->edits[i].value,
		};
		verdict->edit_count++;
	}
}

static void add_patches(const struct hf_emu_fault *fault,
			struct hf_fault_verdict *verdict)
{
	for (uint32_t i = 0;
	     i < fault->patch_count && verdict->patch_count < HF_FAULT_PATCHES;
	     i++) {
		const struct hf_emu_fault_patch *from = &fault->patches[i];
		struct hf_fault_patch *to =
			&verdict->patches[verdict->patch_count];

		to->offset = from->offset;
		to->len_bytes = (uint8_t)from->len_bytes;
		to->value = 0;
		for (uint32_t b = 0; b < from->len_bytes; b++) {
			to->value |= (uint64_t)from->bytes[b] << 8 * b;
		}
		verdict->patch_count++;
	}
}

/* The fields of the completion entry and of what goes with it. */
static void add_completion(const struct hf_emu_fault *fault,
			   struct hf_fault_verdict *verdict)
{
	uint64_t actions = fault->actions;

	if ((actions & HF_FAULT_RESULT) != 0) {
		verdict->dw0 = fault->result;
	}
	if ((actions & HF_FAULT_LATE_POST) != 0) {
		verdict->post_delay_ns = fault->post_delay_ns;
	}
	if ((actions & HF_FAULT_REPEAT) != 0) {
		verdict->repeat = fault->repeat;
	}
	if ((actions & HF_FAULT_CID) != 0) {
		verdict->cid = fault->cid;
	}
	if ((actions & HF_FAULT_SQID) != 0) {
		verdict->sqid = fault->sqid;
	}
	if ((actions & HF_FAULT_SQHD) != 0) {
		verdict->sqhd = fault->sqhd;
	}
	if ((actions & HF_FAULT_TORN) != 0) {
		verdict->torn_ns = fault->torn_ns;
	}
	if ((actions & HF_FAULT_PHANTOM) != 0) {
		verdict->phantom_cid = fault->phantom_cid;
	}
	if ((actions & HF_FAULT_SPURIOUS_IRQ) != 0) {
		verdict->vector = fault->spurious_vector;
	}
	if ((actions & HF_FAULT_EVENT) != 0) {
		verdict->event_type = fault->event_type;
		verdict->event_info = fault->event_info;
		verdict->event_log_id = fault->event_log_id;
	}
}

void hf_fault_rule_add_to(const struct hf_fault_rule *rule,
			  struct hf_fault_verdict *verdict)
{
	const struct hf_emu_fault *fault = &rule->fault;
	uint64_t actions = fault->actions;

	/* Whoever holds a command is whom it waits for. */
	if ((verdict->actions & HF_FAULT_HOLD) == 0 ||
	    (actions & HF_FAULT_HOLD) != 0) {
		verdict->rule = rule->id;
	}
	verdict->actions |= (uint32_t)(actions & COMMAND_ACTIONS);
	if ((actions & (HF_FAULT_STATUS | HF_FAULT_STATUS_AFTER)) != 0) {
		verdict->status = fault->status;
	}
	if ((actions & HF_FAULT_DELAY) != 0) {
		verdict->delay_ns = fault->delay_ns;
	}
	if ((actions & (HF_FAULT_LATE_DATA | HF_FAULT_DMA_AFTER_ABORT)) != 0) {
		verdict->data_delay_ns = fault->data_delay_ns;
	}
	if ((actions & HF_FAULT_CORRUPT) != 0) {
		verdict->corrupt_offset = fault->corrupt_offset;
	}
	if ((actions & HF_FAULT_SHORT_DMA) != 0) {
		verdict->short_bytes = fault->short_bytes;
	}
	if ((actions & HF_FAULT_FILL) != 0) {
		verdict->fill_byte = fault->fill_byte;
	}
	add_edits(fault, verdict);
	add_patches(fault, verdict);
	add_completion(fault, verdict);
}

void hf_fault_rule_add_to_register(const struct hf_fault_rule *rule,
				   uint64_t offset,
				   struct hf_fault_register_verdict *verdict)
{
	const struct hf_emu_fault *fault = &rule->fault;
	uint64_t reg = offset;
	uint64_t width = UINT64_MAX;

	if (has(fault, HF_EMU_FAULT_MATCH_REGISTER)) {
		reg = fault->register_offset;
		if (register_bytes(fault->register_offset) == 4) {
			width = UINT32_MAX;
		}
	}
	if ((fault->actions & HF_EMU_FAULT_DO_REG_VALUE) != 0) {
		uint64_t mask = shift_to(fault->reg_mask & width, reg, offset);
		uint64_t bits = shift_to(fault->reg_bits & width, reg, offset);

		verdict->actions |= HF_FAULT_REG_VALUE;
		verdict->bits = (verdict->bits & ~mask) | (bits & mask);
		verdict->mask |= mask;
	}
	if ((fault->actions & HF_EMU_FAULT_DO_REG_IGNORE) != 0) {
		verdict->actions |= HF_FAULT_REG_IGNORE;
	}
	if ((fault->actions & HF_EMU_FAULT_DO_GONE) != 0) {
		verdict->actions |= HF_FAULT_REG_GONE;
	}
	if ((fault->actions & HF_EMU_FAULT_DO_CFS) != 0) {
		verdict->actions |= HF_FAULT_REG_CFS;
	}
	if ((fault->actions & HF_EMU_FAULT_DO_REG_DELAY) != 0) {
		verdict->actions |= HF_FAULT_REG_DELAY;
		verdict->delay_ns = fault->delay_ns;
	}
}

void hf_fault_rule_add_to_interrupt(const struct hf_fault_rule *rule,
				    struct hf_fault_interrupt_verdict *verdict)
{
	const struct hf_emu_fault *fault = &rule->fault;

	if ((fault->actions & HF_EMU_FAULT_DO_IRQ_LOSE) != 0) {
		verdict->actions |= HF_FAULT_IRQ_LOSE;
	}
	if ((fault->actions & HF_EMU_FAULT_DO_IRQ_LATE) != 0) {
		verdict->actions |= HF_FAULT_IRQ_LATE;
		verdict->delay_ns = fault->irq_delay_ns;
	}
	if ((fault->actions & HF_EMU_FAULT_DO_IRQ_VECTOR) != 0) {
		verdict->actions |= HF_FAULT_IRQ_VECTOR;
		verdict->vector = fault->irq_vector;
	}
	if ((fault->actions & HF_EMU_FAULT_DO_IRQ_REPEAT) != 0) {
		verdict->actions |= HF_FAULT_IRQ_REPEAT;
		verdict->repeat = fault->irq_repeat;
	}
}
