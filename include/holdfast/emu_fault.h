/* SPDX-License-Identifier: BSD-3-Clause */
/* One thing that goes wrong in an emulated controller: when, and what. The
 * same as the text that hf_emu_fault_add() takes; see holdfast-faults(7). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <holdfast/emu.h>
#include <holdfast/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Longest text of a rule, its end included. */
#define HF_EMU_FAULT_TEXT_BYTES 512

#define HF_EMU_FAULT_EDITS   4
#define HF_EMU_FAULT_PATCHES 8

enum hf_emu_fault_site {
	HF_EMU_FAULT_ADMIN,     /* an admin command is fetched */
	HF_EMU_FAULT_IO,        /* an I/O command is fetched */
	HF_EMU_FAULT_REGISTER,  /* a register is read or written */
	HF_EMU_FAULT_INTERRUPT, /* an interrupt is raised */
	HF_EMU_FAULT_NOW,       /* at once, when the rule is added */
};

/* Conditions: bits of hf_emu_fault.match. Those that are set all have to hold.
 */
#define HF_EMU_FAULT_MATCH_OPCODE   (UINT32_C(1) << 0)
#define HF_EMU_FAULT_MATCH_NSID     (UINT32_C(1) << 1)
#define HF_EMU_FAULT_MATCH_LBA      (UINT32_C(1) << 2)
#define HF_EMU_FAULT_MATCH_QUEUE    (UINT32_C(1) << 3)
#define HF_EMU_FAULT_MATCH_CDW      (UINT32_C(1) << 4)
#define HF_EMU_FAULT_MATCH_REGISTER (UINT32_C(1) << 5)
#define HF_EMU_FAULT_MATCH_READ     (UINT32_C(1) << 6)
#define HF_EMU_FAULT_MATCH_WRITE    (UINT32_C(1) << 7)
#define HF_EMU_FAULT_MATCH_VALUE    (UINT32_C(1) << 8)
#define HF_EMU_FAULT_MATCH_VECTOR   (UINT32_C(1) << 9)
#define HF_EMU_FAULT_MATCH_NTH      (UINT32_C(1) << 10)
#define HF_EMU_FAULT_MATCH_EVERY    (UINT32_C(1) << 11)
#define HF_EMU_FAULT_MATCH_AFTER    (UINT32_C(1) << 12)
#define HF_EMU_FAULT_MATCH_COUNT    (UINT32_C(1) << 13)
#define HF_EMU_FAULT_MATCH_PROB     (UINT32_C(1) << 14)
#define HF_EMU_FAULT_MATCH_SEED     (UINT32_C(1) << 15)

/* What happens to a command: bits of hf_emu_fault.actions. */
#define HF_EMU_FAULT_DO_EDIT            (UINT64_C(1) << 0)
#define HF_EMU_FAULT_DO_STATUS          (UINT64_C(1) << 1)
#define HF_EMU_FAULT_DO_DROP            (UINT64_C(1) << 2)
#define HF_EMU_FAULT_DO_DELAY           (UINT64_C(1) << 3)
#define HF_EMU_FAULT_DO_HOLD            (UINT64_C(1) << 4)
#define HF_EMU_FAULT_DO_CORRUPT         (UINT64_C(1) << 5)
#define HF_EMU_FAULT_DO_SHORT           (UINT64_C(1) << 6)
#define HF_EMU_FAULT_DO_FILL            (UINT64_C(1) << 7)
#define HF_EMU_FAULT_DO_PATCH           (UINT64_C(1) << 8)
#define HF_EMU_FAULT_DO_LATE_DATA       (UINT64_C(1) << 9)
#define HF_EMU_FAULT_DO_DMA_AFTER_ABORT (UINT64_C(1) << 10)
#define HF_EMU_FAULT_DO_RESULT          (UINT64_C(1) << 11)
#define HF_EMU_FAULT_DO_LATE_POST       (UINT64_C(1) << 12)
#define HF_EMU_FAULT_DO_NO_POST         (UINT64_C(1) << 13)
#define HF_EMU_FAULT_DO_REPEAT          (UINT64_C(1) << 14)
#define HF_EMU_FAULT_DO_REORDER         (UINT64_C(1) << 15)
#define HF_EMU_FAULT_DO_WRONG_CID       (UINT64_C(1) << 16)
#define HF_EMU_FAULT_DO_WRONG_SQID      (UINT64_C(1) << 17)
#define HF_EMU_FAULT_DO_BAD_SQHD        (UINT64_C(1) << 18)
#define HF_EMU_FAULT_DO_STALE_PHASE     (UINT64_C(1) << 19)
#define HF_EMU_FAULT_DO_TORN            (UINT64_C(1) << 20)
#define HF_EMU_FAULT_DO_PHANTOM         (UINT64_C(1) << 21)
#define HF_EMU_FAULT_DO_SPURIOUS_IRQ    (UINT64_C(1) << 22)
#define HF_EMU_FAULT_DO_CFS             (UINT64_C(1) << 23) /* any but irq */
#define HF_EMU_FAULT_DO_GONE            (UINT64_C(1) << 24) /* any but irq */
#define HF_EMU_FAULT_DO_EVENT           (UINT64_C(1) << 25) /* also now */
#define HF_EMU_FAULT_DO_STATUS_AFTER    (UINT64_C(1) << 26)
/* To a register access. */
#define HF_EMU_FAULT_DO_REG_VALUE  (UINT64_C(1) << 32)
#define HF_EMU_FAULT_DO_REG_IGNORE (UINT64_C(1) << 33)
#define HF_EMU_FAULT_DO_REG_DELAY  (UINT64_C(1) << 34)
/* To an interrupt. */
#define HF_EMU_FAULT_DO_IRQ_LOSE   (UINT64_C(1) << 40)
#define HF_EMU_FAULT_DO_IRQ_LATE   (UINT64_C(1) << 41)
#define HF_EMU_FAULT_DO_IRQ_VECTOR (UINT64_C(1) << 42)
#define HF_EMU_FAULT_DO_IRQ_REPEAT (UINT64_C(1) << 43)
/* Nothing but to be counted: for a test that a thing does not happen. */
#define HF_EMU_FAULT_DO_NOTE (UINT64_C(1) << 63)

/* One dword of a submission entry becomes (old & ~mask) | value. */
struct hf_emu_fault_edit {
	uint32_t dword; /* 0 to 15 */
	uint32_t mask;
	uint32_t value;
};

/* Bytes of the data that goes to the host are replaced. */
struct hf_emu_fault_patch {
	uint32_t offset;
	uint32_t len_bytes; /* 1 to 8 */
	uint8_t bytes[8];
};

/**
 * struct hf_emu_fault - one rule
 * @size: sizeof(struct hf_emu_fault)
 * @site: where it applies
 * @match: which of the conditions below hold it back
 * @opcode: of the command
 * @nsid: of the command
 * @lba_first: the command touches a block of this range
 * @lba_last: its last block
 * @queue: submission queue; 0 is the admin queue
 * @cdw: command dwords 10 to 15, under
 * @cdw_mask: these masks
 * @register_offset: in BAR 0
 * @value: what is written to the register, under
 * @value_mask: this mask
 * @vector: of the interrupt
 * @nth: only the nth time that all of the above holds, 1 for the first
 * @every: each time that is a multiple of this
 * @after: not the first this many times
 * @count: acts at most so often; with HF_EMU_FAULT_NOW: does it so often
 * @prob_ppm: chance of acting, in millionths
 * @seed: of that chance
 * @actions: what is done; several may be, and each has its fields below
 * @status: status word, for DO_STATUS (not executed) and DO_STATUS_AFTER
 * @delay_ns: DO_DELAY: executed so much later; DO_REG_DELAY: CSTS.RDY follows
 *            the write of CC so much later
 * @data_delay_ns: DO_LATE_DATA, DO_DMA_AFTER_ABORT
 * @post_delay_ns: DO_LATE_POST
 * @torn_ns: DO_TORN: the rest of the entry follows so much later
 * @short_bytes: DO_SHORT: only so much is transferred
 * @corrupt_offset: DO_CORRUPT: which byte is inverted
 * @fill_byte: DO_FILL
 * @result: DO_RESULT: dword 0 of the completion
 * @repeat: DO_REPEAT: posted so many times more
 * @cid: DO_WRONG_CID
 * @sqid: DO_WRONG_SQID
 * @sqhd: DO_BAD_SQHD
 * @phantom_cid: DO_PHANTOM
 * @spurious_vector: DO_SPURIOUS_IRQ
 * @event_type: DO_EVENT: 0 to 7
 * @event_info: its information
 * @event_log_id: its log page
 * @reg_bits: DO_REG_VALUE: the register becomes (old & ~reg_mask) | reg_bits
 * @reg_mask: see @reg_bits
 * @irq_delay_ns: DO_IRQ_LATE
 * @irq_repeat: DO_IRQ_REPEAT: raised so many times more
 * @irq_vector: DO_IRQ_VECTOR: the vector that is raised instead
 * @edit_count: DO_EDIT: how many of
 * @edits: these changes to the submission entry
 * @patch_count: DO_PATCH: how many of
 * @patches: these changes to the data
 */
struct hf_emu_fault {
	size_t size;
	enum hf_emu_fault_site site;
	uint32_t match;
	uint8_t opcode;
	uint32_t nsid;
	uint64_t lba_first;
	uint64_t lba_last;
	uint16_t queue;
	uint32_t cdw[6];
	uint32_t cdw_mask[6];
	uint32_t register_offset;
	uint64_t value;
	uint64_t value_mask;
	uint16_t vector;
	uint64_t nth;
	uint64_t every;
	uint64_t after;
	uint64_t count;
	uint32_t prob_ppm;
	uint64_t seed;
	uint64_t actions;
	uint16_t status;
	uint64_t delay_ns;
	uint64_t data_delay_ns;
	uint64_t post_delay_ns;
	uint64_t torn_ns;
	uint64_t short_bytes;
	uint32_t corrupt_offset;
	uint8_t fill_byte;
	uint32_t result;
	uint32_t repeat;
	uint16_t cid;
	uint16_t sqid;
	uint16_t sqhd;
	uint16_t phantom_cid;
	uint16_t spurious_vector;
	uint8_t event_type;
	uint8_t event_info;
	uint8_t event_log_id;
	uint64_t reg_bits;
	uint64_t reg_mask;
	uint64_t irq_delay_ns;
	uint32_t irq_repeat;
	uint16_t irq_vector;
	uint32_t edit_count;
	struct hf_emu_fault_edit edits[HF_EMU_FAULT_EDITS];
	uint32_t patch_count;
	struct hf_emu_fault_patch patches[HF_EMU_FAULT_PATCHES];
};

/**
 * hf_emu_fault_init() - a rule that matches nothing yet and does nothing
 * @fault: to fill
 * @site: where it applies
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_emu_fault_init(struct hf_emu_fault *fault,
			      enum hf_emu_fault_site site);

/**
 * hf_emu_fault_parse() - from text
 * @fault: to fill
 * @text: "io-read,nth=3:status=media/281h"; see holdfast-faults(7)
 * @err: names the word that was not understood and what is accepted there; may
 *       be NULL
 *
 * Context: any thread; never blocks.
 * Return: 0 or -EINVAL.
 */
HF_API HF_MUST_CHECK int hf_emu_fault_parse(struct hf_emu_fault *fault,
					    const char *text,
					    struct hf_error *err);

/**
 * hf_emu_fault_format() - to text, that means the same when parsed
 * @fault: the rule
 * @buf: receives the text, always terminated
 * @len_bytes: room; HF_EMU_FAULT_TEXT_BYTES is enough for what was parsed
 *
 * Context: any thread; never blocks.
 * Return: @buf.
 */
HF_API char *hf_emu_fault_format(const struct hf_emu_fault *fault, char *buf,
				 size_t len_bytes);

/**
 * hf_emu_fault_add_rule() - as hf_emu_fault_add(), from the structure
 * @emu: controller
 * @fault: the rule; copied
 * @id: receives the rule's number; may be NULL
 * @err: may be NULL
 *
 * Context: control path.
 * Return: as hf_emu_fault_add().
 */
HF_API HF_MUST_CHECK int hf_emu_fault_add_rule(struct hf_emu *emu,
					       const struct hf_emu_fault *fault,
					       uint32_t *id,
					       struct hf_error *err);

#ifdef __cplusplus
}
#endif
