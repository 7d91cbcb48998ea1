/* SPDX-License-Identifier: BSD-3-Clause */
/* Fault rules: which commands, registers and interrupts go wrong, and how.
 * Decides and counts; the core carries out what is decided here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/core.h"

struct hf_emu_cmd;

enum hf_fault_site {
	HF_FAULT_SITE_COMMAND = 1 << 0,
	HF_FAULT_SITE_REGISTER = 1 << 1,
	HF_FAULT_SITE_INTERRUPT = 1 << 2,
};

/* What happens to one command. Several may be set; each has its fields in
 * struct hf_fault_verdict. */
enum hf_fault_command_action {
	/* Before execution. */
	HF_FAULT_EDIT = 1 << 0,   /* change the SQE: edits[] */
	HF_FAULT_STATUS = 1 << 1, /* do not execute: end with status (0 too) */
	HF_FAULT_DROP = 1 << 2,   /* never executed, never completed */
	HF_FAULT_DELAY = 1 << 3,  /* executed delay_ns later, this one alone */
	HF_FAULT_HOLD = 1 << 4,   /* executed when the rule releases it */
	/* The data of the transfer. */
	HF_FAULT_CORRUPT = 1 << 5,   /* invert the byte at corrupt_offset */
	HF_FAULT_SHORT_DMA = 1 << 6, /* only short_bytes reach host or medium */
	HF_FAULT_FILL = 1 << 7,  /* data to the host is fill_byte all over */
	HF_FAULT_PATCH = 1 << 8, /* data to the host is patched: patches[] */
	/* Completed at once with success, executed (its memory touched)
	 * data_delay_ns later. */
	HF_FAULT_LATE_DATA = 1 << 9,
	/* With DELAY or HOLD: an Abort completes the command, and yet it is
	 * executed data_delay_ns after that. */
	HF_FAULT_DMA_AFTER_ABORT = 1 << 10,
	/* The completion entry. */
	HF_FAULT_RESULT = 1 << 11,      /* dw0 is what it says */
	HF_FAULT_LATE_POST = 1 << 12,   /* executed now, posted post_delay_ns
					 * later */
	HF_FAULT_NO_POST = 1 << 13,     /* executed, never posted */
	HF_FAULT_REPEAT = 1 << 14,      /* posted repeat times more */
	HF_FAULT_REORDER = 1 << 15,     /* posted after the queue's next one */
	HF_FAULT_CID = 1 << 16,         /* wrong command identifier: cid */
	HF_FAULT_SQID = 1 << 17,        /* wrong queue identifier: sqid */
	HF_FAULT_SQHD = 1 << 18,        /* SQ head as it says: sqhd */
	HF_FAULT_STALE_PHASE = 1 << 19, /* posted with the wrong phase tag */
	HF_FAULT_TORN = 1 << 20,    /* dw3 first, dw0 to dw2 torn_ns later */
	HF_FAULT_PHANTOM = 1 << 21, /* one entry before it that nobody asked
				     * for, with phantom_cid */
	/* Side effects when the command is fetched. */
	HF_FAULT_SPURIOUS_IRQ = 1 << 22, /* raise vector */
	HF_FAULT_CFS = 1 << 23,          /* CSTS.CFS = 1 */
	HF_FAULT_GONE = 1 << 24,         /* surprise removal */
	HF_FAULT_EVENT = 1 << 25,        /* async event: type, info, log_id */
	HF_FAULT_STATUS_AFTER = 1 << 26, /* executed, then ends with status */
};

#define HF_FAULT_EDITS   4
#define HF_FAULT_PATCHES 8

struct hf_fault_edit {
	uint8_t dword; /* of the SQE, 0 to 15 */
	uint32_t mask;
	uint32_t value;
};

struct hf_fault_patch {
	uint32_t offset;
	uint8_t len_bytes; /* 1 to 8 */
	uint64_t value;    /* little-endian in the data */
};

struct hf_fault_verdict {
	uint32_t actions;
	uint32_t rule;
	uint16_t status;
	uint64_t delay_ns;
	uint64_t data_delay_ns;
	uint64_t post_delay_ns;
	uint64_t torn_ns;
	uint32_t corrupt_offset;
	uint64_t short_bytes;
	uint8_t fill_byte;
	uint32_t dw0;
	uint32_t repeat;
	uint16_t cid;
	uint16_t sqid;
	uint16_t sqhd;
	uint16_t phantom_cid;
	uint16_t vector;
	uint8_t event_type;
	uint8_t event_info;
	uint8_t event_log_id;
	uint32_t edit_count;
	struct hf_fault_edit edits[HF_FAULT_EDITS];
	uint32_t patch_count;
	struct hf_fault_patch patches[HF_FAULT_PATCHES];
};

enum hf_fault_register_action {
	/* The value read, or the value that is about to be written, becomes
	 * (value & ~mask) | (bits & mask), over 8 bytes from the offset. */
	HF_FAULT_REG_VALUE = 1 << 0,
	HF_FAULT_REG_IGNORE = 1 << 1, /* a write that does nothing */
	HF_FAULT_REG_GONE = 1 << 2,   /* this access and all later: all ones */
	HF_FAULT_REG_CFS = 1 << 3,    /* CSTS.CFS = 1 */
	HF_FAULT_REG_DELAY = 1 << 4,  /* a write of CC: RDY follows delay_ns
				       * later than otherwise */
};

/* RDY stuck at 0 or 1 is REG_VALUE on reads of CSTS (14h is CC, 1Ch CSTS). */
struct hf_fault_register_verdict {
	uint32_t actions;
	uint64_t mask;
	uint64_t bits;
	uint64_t delay_ns;
};

enum hf_fault_interrupt_action {
	HF_FAULT_IRQ_LOSE = 1 << 0,
	HF_FAULT_IRQ_LATE = 1 << 1,   /* delay_ns later */
	HF_FAULT_IRQ_VECTOR = 1 << 2, /* on another vector */
	HF_FAULT_IRQ_REPEAT = 1 << 3, /* repeat times more */
};

struct hf_fault_interrupt_verdict {
	uint32_t actions;
	uint64_t delay_ns;
	uint16_t vector;
	uint32_t repeat;
};

int hf_faults_create(struct hf_faults **faults);
void hf_faults_destroy(struct hf_faults *faults);

/* Sites for which any rule is left: one relaxed load, so that a controller
 * without rules pays nothing. */
uint32_t hf_faults_armed(const struct hf_faults *faults);

/*
 * Each is called at its point, once per command fetched, register accessed,
 * interrupt raised, by any thread; counts matches, and returns false when no
 * rule acts. @offset is that of the access, @len_bytes 4 or 8, doorbells are
 * not reported. Where several rules act, their actions add up and the later
 * rule's fields win.
 */
bool hf_fault_command(struct hf_faults *faults, const struct hf_emu_cmd *cmd,
		      struct hf_fault_verdict *verdict);
bool hf_fault_register(struct hf_faults *faults, uint64_t offset,
		       uint32_t len_bytes, bool write, uint64_t value,
		       struct hf_fault_register_verdict *verdict);
bool hf_fault_interrupt(struct hf_faults *faults, uint16_t vector,
			struct hf_fault_interrupt_verdict *verdict);
