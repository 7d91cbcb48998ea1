/* SPDX-License-Identifier: BSD-3-Clause */
/* The actions of fault rules. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "emu/fault_words.h"
#include "spec/entries.h"

#define FIELD(name)                                                            \
	.offset = offsetof(struct hf_emu_fault, name),                         \
	.bytes = sizeof(((struct hf_emu_fault *)0)->name)

static const struct hf_fault_name status_types[] = {
	{"generic", 0}, {"specific", 1}, {"media", 2},
	{"path", 3},    {"vendor", 7},   {NULL, 0},
};

static const struct {
	const char *name;
	uint8_t type, info, log_id;
} events[] = {
	{"error", 0, 0, 0x01}, {"smart", 1, 0, 0x02},  {"notice", 2, 0, 0x04},
	{"io", 6, 0, 0x80},    {"vendor", 7, 0, 0xc0},
};

/* Parts of a submission entry; a 64-bit one takes two dwords. */
static const struct {
	const char *name;
	uint8_t dword, shift, bits;
} entry_fields[] = {
	{"opcode", 0, 0, 8},  {"flags", 0, 8, 8},   {"cid", 0, 16, 16},
	{"nsid", 1, 0, 32},   {"mptr", 4, 0, 64},   {"prp1", 6, 0, 64},
	{"prp2", 8, 0, 64},   {"cdw10", 10, 0, 32}, {"cdw11", 11, 0, 32},
	{"cdw12", 12, 0, 32}, {"cdw13", 13, 0, 32}, {"cdw14", 14, 0, 32},
	{"cdw15", 15, 0, 32},
};

/* "+dnr", "+more" and "+crd=N" behind a status. */
static bool parse_status_flags(const char *flags, uint64_t *status)
{
	char buf[32];
	uint64_t crd;

	if (strlen(flags) >= sizeof(buf)) {
		return false;
	}
	strcpy(buf, flags);

	char *rest = buf;
	for (char *flag = strsep(&rest, "+"); flag != NULL;
	     flag = strsep(&rest, "+")) {
		if (strcmp(flag, "dnr") == 0) {
			*status |= NVME_STATUS_DNR;
		} else if (strcmp(flag, "more") == 0) {
			*status |= NVME_STATUS_MORE;
		} else if (strncmp(flag, "crd=", 4) == 0 &&
			   hf_word_number(flag + 4, 3, &crd)) {
			*status |= crd << 11;
		} else {
			return false;
		}
	}
	return true;
}

/* "media/281h", "media/81h", or the whole word: "4002h". */
static bool parse_status_code(const char *text, uint64_t *status)
{
	char head[16];
	const char *code = hf_word_split(text, '/', head, sizeof(head));

	if (code == NULL) {
		return hf_word_number(text, 0x7fff, status);
	}
	for (const struct hf_fault_name *type = status_types;
	     type->name != NULL; type++) {
		if (strcmp(type->name, head) == 0) {
			if (!hf_word_number(code, 0x7ff, status)) {
				return false;
			}
			uint64_t said = *status >> 8;
			*status = (*status & 0xff) | (uint64_t)type->value << 8;
			return said == 0 || said == type->value;
		}
	}
	return false;
}

static bool parse_status(struct hf_emu_fault *fault, const char *word,
			 const char *arg)
{
	char head[32];
	const char *flags = hf_word_split(arg, '+', head, sizeof(head));
	uint64_t status;

	(void)word;
	if (!parse_status_code(flags != NULL ? head : arg, &status) ||
	    (flags != NULL && !parse_status_flags(flags, &status))) {
		return false;
	}
	fault->status = (uint16_t)status;
	return true;
}

static void print_status(const struct hf_emu_fault *fault, const char *word,
			 struct hf_word_out *out)
{
	uint32_t status = fault->status;
	uint32_t crd = NVME_STATUS_CRD(status);

	hf_word_print(out, ",%s=", word);
	for (const struct hf_fault_name *type = status_types;; type++) {
		if (type->name == NULL) {
			hf_word_print(out, "0x%" PRIx32, status & 0x7ff);
			break;
		}
		if (type->value == NVME_STATUS_SCT(status)) {
			hf_word_print(out, "%s/%" PRIx32 "h", type->name,
				      status & 0x7ff);
			break;
		}
	}
	if ((status & NVME_STATUS_DNR) != 0) {
		hf_word_print(out, "+dnr");
	}
	if ((status & NVME_STATUS_MORE) != 0) {
		hf_word_print(out, "+more");
	}
	if (crd != 0) {
		hf_word_print(out, "+crd=%" PRIu32, crd);
	}
}

static void format_status(const struct hf_emu_fault *fault,
			  struct hf_word_out *out)
{
	print_status(fault, "status", out);
}

static void format_status_after(const struct hf_emu_fault *fault,
				struct hf_word_out *out)
{
	print_status(fault, "status-after", out);
}

static bool add_edit(struct hf_emu_fault *fault, uint32_t dword, uint32_t mask,
		     uint32_t value)
{
	if (fault->edit_count == HF_EMU_FAULT_EDITS) {
		return false;
	}
	fault->edits[fault->edit_count] = (struct hf_emu_fault_edit){
		.dword = dword,
		.mask = mask,
		.value = value,
	};
	fault->edit_count++;
	return true;
}

/* "FIELD/VALUE" or "dwN/VALUE/MASK". */
static bool parse_sqe(struct hf_emu_fault *fault, const char *word,
		      const char *arg)
{
	char name[16];
	const char *text = hf_word_split(arg, '/', name, sizeof(name));
	uint64_t value;
	uint64_t mask;

	(void)word;
	if (text == NULL) {
		return false;
	}
	if (strncmp(name, "dw", 2) == 0 &&
	    hf_word_number(name + 2, 15, &value)) {
		uint32_t dword = (uint32_t)value;

		return hf_word_masked(text, UINT32_MAX, &value, &mask) &&
		       add_edit(fault, dword, (uint32_t)mask, (uint32_t)value);
	}
	for (size_t i = 0; i < HF_ARRAY_LEN(entry_fields); i++) {
		uint32_t dword = entry_fields[i].dword;
		uint32_t shift = entry_fields[i].shift;
		uint64_t max = UINT64_MAX >> (64 - entry_fields[i].bits);

		if (strcmp(name, entry_fields[i].name) != 0) {
			continue;
		}
		if (!hf_word_number(text, max, &value) ||
		    !add_edit(fault, dword, (uint32_t)(max << shift),
			      (uint32_t)(value << shift))) {
			return false;
		}
		return entry_fields[i].bits != 64 ||
		       add_edit(fault, dword + 1, UINT32_MAX,
				(uint32_t)(value >> 32));
	}
	return false;
}

static void format_sqe(const struct hf_emu_fault *fault,
		       struct hf_word_out *out)
{
	for (uint32_t i = 0; i < fault->edit_count && i < HF_EMU_FAULT_EDITS;
	     i++) {
		hf_word_print(out,
			      ",sqe=dw%" PRIu32 "/0x%" PRIx32 "/0x%" PRIx32,
			      fault->edits[i].dword, fault->edits[i].value,
			      fault->edits[i].mask);
	}
}

/* "OFFSET/BYTES", the bytes as pairs of hex digits in their order. */
static bool parse_patch(struct hf_emu_fault *fault, const char *word,
			const char *arg)
{
	char head[32];
	const char *hex = hf_word_split(arg, '/', head, sizeof(head));
	uint64_t offset;
	struct hf_emu_fault_patch patch = {0};

	(void)word;
	if (hex == NULL || !hf_word_number(head, UINT32_MAX, &offset) ||
	    fault->patch_count == HF_EMU_FAULT_PATCHES) {
		return false;
	}

	size_t len = strlen(hex);
	if (len == 0 || len % 2 != 0 || len / 2 > sizeof(patch.bytes)) {
		return false;
	}
	patch.offset = (uint32_t)offset;
	patch.len_bytes = (uint32_t)(len / 2);
	for (size_t i = 0; i < patch.len_bytes; i++) {
		const char pair[] = {'0', 'x', hex[2 * i], hex[2 * i + 1], 0};
		uint64_t byte;

		if (!hf_word_number(pair, 0xff, &byte)) {
			return false;
		}
		patch.bytes[i] = (uint8_t)byte;
	}
	fault->patches[fault->patch_count] = patch;
	fault->patch_count++;
	return true;
}

static void format_patch(const struct hf_emu_fault *fault,
			 struct hf_word_out *out)
{
	for (uint32_t i = 0; i < fault->patch_count && i < HF_EMU_FAULT_PATCHES;
	     i++) {
		const struct hf_emu_fault_patch *patch = &fault->patches[i];

		hf_word_print(out, ",patch=0x%" PRIx32 "/", patch->offset);
		for (uint32_t b = 0; b < patch->len_bytes && b < 8; b++) {
			hf_word_print(out, "%02x", patch->bytes[b]);
		}
	}
}

/* "TYPE", "TYPE/INFO" or "TYPE/INFO/LOG". */
static bool parse_event(struct hf_emu_fault *fault, const char *word,
			const char *arg)
{
	char name[16];
	char info[16];
	const char *rest = hf_word_split(arg, '/', name, sizeof(name));
	const char *type = rest != NULL ? name : arg;
	uint64_t value;

	(void)word;
	if (hf_word_number(type, 7, &value)) {
		fault->event_type = (uint8_t)value;
	} else {
		size_t i = 0;

		while (i < HF_ARRAY_LEN(events) &&
		       strcmp(events[i].name, type) != 0) {
			i++;
		}
		if (i == HF_ARRAY_LEN(events)) {
			return false;
		}
		fault->event_type = events[i].type;
		fault->event_info = events[i].info;
		fault->event_log_id = events[i].log_id;
	}
	if (rest == NULL) {
		return true;
	}

	const char *log = hf_word_split(rest, '/', info, sizeof(info));
	if (!hf_word_number(log != NULL ? info : rest, 0xff, &value)) {
		return false;
	}
	fault->event_info = (uint8_t)value;
	if (log == NULL) {
		return true;
	}
	if (!hf_word_number(log, 0xff, &value)) {
		return false;
	}
	fault->event_log_id = (uint8_t)value;
	return true;
}

static void format_event(const struct hf_emu_fault *fault,
			 struct hf_word_out *out)
{
	hf_word_print(out, ",event=%u/0x%x/0x%x", fault->event_type,
		      fault->event_info, fault->event_log_id);
}

static bool parse_reg_value(struct hf_emu_fault *fault, const char *word,
			    const char *arg)
{
	(void)word;
	return hf_word_masked(arg, UINT64_MAX, &fault->reg_bits,
			      &fault->reg_mask);
}

static void format_reg_value(const struct hf_emu_fault *fault,
			     struct hf_word_out *out)
{
	hf_word_print(out, ",value=0x%" PRIx64 "/0x%" PRIx64, fault->reg_bits,
		      fault->reg_mask);
}

/* Shorthands of value=. */
static bool reg_short(struct hf_emu_fault *fault, const char *arg, uint64_t max)
{
	fault->reg_mask = max;
	fault->actions |= HF_EMU_FAULT_DO_REG_VALUE;
	return hf_word_number(arg, max, &fault->reg_bits);
}

static bool parse_mqes(struct hf_emu_fault *fault, const char *word,
		       const char *arg)
{
	(void)word;
	return fault->register_offset == 0 && reg_short(fault, arg, 0xffff);
}

static bool parse_rdy(struct hf_emu_fault *fault, const char *word,
		      const char *arg)
{
	(void)word;
	return fault->register_offset == 0x1c && reg_short(fault, arg, 1);
}

static bool parse_all_ones(struct hf_emu_fault *fault, const char *word,
			   const char *arg)
{
	(void)word;
	fault->reg_bits = UINT64_MAX;
	fault->reg_mask = UINT64_MAX;
	fault->actions |= HF_EMU_FAULT_DO_REG_VALUE;
	return *arg == '\0';
}

/* The answer to Number of Queues, whose counts are less one. */
static bool parse_grant(struct hf_emu_fault *fault, const char *word,
			const char *arg)
{
	char head[16];
	const char *tail = hf_word_split(arg, '/', head, sizeof(head));
	uint64_t sqs;
	uint64_t cqs;

	(void)word;
	if (!hf_word_number(tail != NULL ? head : arg, 65536, &sqs) ||
	    !hf_word_number(tail != NULL ? tail : arg, 65536, &cqs) ||
	    sqs == 0 || cqs == 0) {
		return false;
	}
	fault->result = (uint32_t)((cqs - 1) << 16 | (sqs - 1));
	fault->actions |= HF_EMU_FAULT_DO_RESULT;
	return true;
}

#define FLAG(name, where, bit_)                                                \
	{                                                                      \
		.word = name, .places = where, .kind = HF_WORD_FLAG,           \
		.bit = HF_EMU_FAULT_DO_##bit_                                  \
	}
#define TIME(name, where, bit_, field)                                         \
	{                                                                      \
		.word = name, .takes = "a time such as 5ms (ns, us, ms, s)",   \
		.places = where, .kind = HF_WORD_TIME,                         \
		.bit = HF_EMU_FAULT_DO_##bit_, FIELD(field)                    \
	}
#define NUMBER(name, where, bit_, field, most)                                 \
	{                                                                      \
		.word = name, .takes = "a number", .places = where,            \
		.kind = HF_WORD_NUMBER, .bit = HF_EMU_FAULT_DO_##bit_,         \
		FIELD(field), .max = most                                      \
	}
#define OPTIONAL(name, where, bit_, field, most, default_)                     \
	{                                                                      \
		.word = name, .takes = "a number, or nothing",                 \
		.places = where, .kind = HF_WORD_OPTIONAL,                     \
		.bit = HF_EMU_FAULT_DO_##bit_, FIELD(field), .max = most,      \
		.otherwise = default_                                          \
	}
#define OWN(name, what, where, bit_, parse_, format_)                          \
	{                                                                      \
		.word = name, .takes = what, .places = where,                  \
		.kind = HF_WORD_OWN, .bit = bit_, .parse = parse_,             \
		.format = format_                                              \
	}
#define STATUS_TAKES                                                           \
	"generic/CODE, specific/CODE, media/CODE, path/CODE, vendor/CODE or "  \
	"a "                                                                   \
	"status word, and then +dnr, +more, +crd=N"

const struct hf_fault_word hf_fault_actions[] = {
	OWN("sqe",
	    "FIELD/VALUE (at most 4 dwords): opcode, flags, cid, nsid, "
	    "mptr, prp1, prp2, cdw10 to cdw15, or dwN/VALUE/MASK",
	    HF_WORD_COMMAND, HF_EMU_FAULT_DO_EDIT, parse_sqe, format_sqe),
	OWN("status", STATUS_TAKES, HF_WORD_COMMAND, HF_EMU_FAULT_DO_STATUS,
	    parse_status, format_status),
	OWN("status-after", STATUS_TAKES, HF_WORD_COMMAND,
	    HF_EMU_FAULT_DO_STATUS_AFTER, parse_status, format_status_after),
	FLAG("drop", HF_WORD_COMMAND, DROP),
	TIME("delay", HF_WORD_COMMAND, DELAY, delay_ns),
	FLAG("hold", HF_WORD_COMMAND, HOLD),
	OPTIONAL("corrupt", HF_WORD_COMMAND, CORRUPT, corrupt_offset,
		 UINT32_MAX, 0),
	NUMBER("short", HF_WORD_COMMAND, SHORT, short_bytes, UINT64_MAX),
	NUMBER("fill", HF_WORD_COMMAND, FILL, fill_byte, UINT8_MAX),
	OWN("patch", "OFFSET/BYTES (at most 8 times), 1 to 8 bytes in hex",
	    HF_WORD_COMMAND, HF_EMU_FAULT_DO_PATCH, parse_patch, format_patch),
	TIME("late-data", HF_WORD_COMMAND, LATE_DATA, data_delay_ns),
	TIME("dma-after-abort", HF_WORD_COMMAND, DMA_AFTER_ABORT,
	     data_delay_ns),
	NUMBER("result", HF_WORD_COMMAND, RESULT, result, UINT32_MAX),
	OWN("grant", "QUEUES or SQS/CQS, from 1 on", HF_WORD_COMMAND, 0,
	    parse_grant, NULL),
	TIME("late-post", HF_WORD_COMMAND, LATE_POST, post_delay_ns),
	FLAG("no-post", HF_WORD_COMMAND, NO_POST),
	OPTIONAL("repeat", HF_WORD_COMMAND, REPEAT, repeat, 65535, 1),
	FLAG("reorder", HF_WORD_COMMAND, REORDER),
	OPTIONAL("wrong-cid", HF_WORD_COMMAND, WRONG_CID, cid, UINT16_MAX,
		 0xfffe),
	OPTIONAL("wrong-sqid", HF_WORD_COMMAND, WRONG_SQID, sqid, UINT16_MAX,
		 0xfffe),
	OPTIONAL("bad-sqhd", HF_WORD_COMMAND, BAD_SQHD, sqhd, UINT16_MAX,
		 0xfffe),
	FLAG("stale-phase", HF_WORD_COMMAND, STALE_PHASE),
	TIME("torn", HF_WORD_COMMAND, TORN, torn_ns),
	OPTIONAL("phantom", HF_WORD_COMMAND, PHANTOM, phantom_cid, UINT16_MAX,
		 0xfffd),
	OPTIONAL("spurious-irq", HF_WORD_COMMAND, SPURIOUS_IRQ, spurious_vector,
		 UINT16_MAX, 0),
	FLAG("cfs", HF_WORD_COMMAND | HF_WORD_REGISTER | HF_WORD_NOW, CFS),
	FLAG("gone", HF_WORD_COMMAND | HF_WORD_REGISTER | HF_WORD_NOW, GONE),
	OWN("event",
	    "TYPE, TYPE/INFO or TYPE/INFO/LOG; TYPE: error, smart, "
	    "notice, io, vendor or 0 to 7",
	    HF_WORD_COMMAND | HF_WORD_NOW, HF_EMU_FAULT_DO_EVENT, parse_event,
	    format_event),
	OWN("value", "VALUE or VALUE/MASK, of 64 bits", HF_WORD_REGISTER,
	    HF_EMU_FAULT_DO_REG_VALUE, parse_reg_value, format_reg_value),
	OWN("all-ones", "nothing", HF_WORD_REGISTER, 0, parse_all_ones, NULL),
	OWN("mqes", "a number of 16 bits, and stands with reg-cap",
	    HF_WORD_REGISTER, 0, parse_mqes, NULL),
	OWN("rdy-stuck", "0 or 1, and stands with reg-csts", HF_WORD_REGISTER,
	    0, parse_rdy, NULL),
	FLAG("ignore", HF_WORD_REGISTER, REG_IGNORE),
	TIME("delay", HF_WORD_REGISTER, REG_DELAY, delay_ns),
	FLAG("lose", HF_WORD_INTERRUPT, IRQ_LOSE),
	TIME("late", HF_WORD_INTERRUPT, IRQ_LATE, irq_delay_ns),
	NUMBER("wrong-vector", HF_WORD_INTERRUPT, IRQ_VECTOR, irq_vector,
	       UINT16_MAX),
	OPTIONAL("spurious", HF_WORD_INTERRUPT, IRQ_REPEAT, irq_repeat, 65535,
		 1),
	FLAG("note", HF_WORD_COMMAND | HF_WORD_REGISTER | HF_WORD_INTERRUPT,
	     NOTE),
	{.word = NULL},
};
