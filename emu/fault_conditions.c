/* SPDX-License-Identifier: BSD-3-Clause */
/* The conditions of fault rules. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu/fault_words.h"

#define ANYWHERE (HF_WORD_COMMAND | HF_WORD_REGISTER | HF_WORD_INTERRUPT)

#define FIELD(name)                                                            \
	.offset = offsetof(struct hf_emu_fault, name),                         \
	.bytes = sizeof(((struct hf_emu_fault *)0)->name)

static bool parse_lba(struct hf_emu_fault *fault, const char *word,
		      const char *arg)
{
	char head[32];
	const char *tail = hf_word_split(arg, '-', head, sizeof(head));

	(void)word;
	if (tail == NULL) {
		if (!hf_word_number(arg, UINT64_MAX, &fault->lba_first)) {
			return false;
		}
		fault->lba_last = fault->lba_first;
		return true;
	}
	return hf_word_number(head, UINT64_MAX, &fault->lba_first) &&
	       hf_word_number(tail, UINT64_MAX, &fault->lba_last) &&
	       fault->lba_first <= fault->lba_last;
}

static void format_lba(const struct hf_emu_fault *fault,
		       struct hf_word_out *out)
{
	hf_word_print(out, ",lba=%" PRIu64 "-%" PRIu64, fault->lba_first,
		      fault->lba_last);
}

/* The word ends in the number of the dword. */
static bool parse_cdw(struct hf_emu_fault *fault, const char *word,
		      const char *arg)
{
	int i = atoi(word + strlen("cdw")) - 10;
	uint64_t value;
	uint64_t mask;

	if (!hf_word_masked(arg, UINT32_MAX, &value, &mask)) {
		return false;
	}
	fault->cdw[i] = (fault->cdw[i] & ~(uint32_t)mask) | (uint32_t)value;
	fault->cdw_mask[i] |= (uint32_t)mask;
	fault->match |= HF_EMU_FAULT_MATCH_CDW;
	return true;
}

static void format_cdw(const struct hf_emu_fault *fault,
		       struct hf_word_out *out)
{
	for (int i = 0; i < 6; i++) {
		if (fault->cdw_mask[i] != 0) {
			hf_word_print(out, ",cdw%d=0x%" PRIx32 "/0x%" PRIx32,
				      10 + i, fault->cdw[i],
				      fault->cdw_mask[i]);
		}
	}
}

/* Names for the low part of command dword 10. */
static bool parse_low(struct hf_emu_fault *fault, const char *arg,
		      uint32_t mask)
{
	uint64_t value;

	if (!hf_word_number(arg, mask, &value)) {
		return false;
	}
	fault->cdw[0] = (fault->cdw[0] & ~mask) | (uint32_t)value;
	fault->cdw_mask[0] |= mask;
	fault->match |= HF_EMU_FAULT_MATCH_CDW;
	return true;
}

static bool parse_low8(struct hf_emu_fault *fault, const char *word,
		       const char *arg)
{
	(void)word;
	return parse_low(fault, arg, 0xff);
}

static bool parse_low16(struct hf_emu_fault *fault, const char *word,
			const char *arg)
{
	(void)word;
	return parse_low(fault, arg, 0xffff);
}

static bool parse_value(struct hf_emu_fault *fault, const char *word,
			const char *arg)
{
	(void)word;
	return hf_word_masked(arg, UINT64_MAX, &fault->value,
			      &fault->value_mask);
}

static void format_value(const struct hf_emu_fault *fault,
			 struct hf_word_out *out)
{
	hf_word_print(out, ",value=0x%" PRIx64 "/0x%" PRIx64, fault->value,
		      fault->value_mask);
}

/* "0.25", with up to six digits after the point, or "1". */
static bool parse_prob(struct hf_emu_fault *fault, const char *word,
		       const char *arg)
{
	static const char zeroes[] = "000000";
	char digits[8] = "";
	uint64_t ppm;
	size_t len = strlen(arg);

	(void)word;
	if (strcmp(arg, "1") == 0) {
		fault->prob_ppm = 1000000;
		return true;
	}
	if (len < 3 || len > 8 || arg[0] != '0' || arg[1] != '.' ||
	    strspn(arg + 2, "0123456789") != len - 2) {
		return false;
	}
	snprintf(digits, sizeof(digits), "%.6s%s", arg + 2, zeroes + (len - 2));
	if (!hf_word_number(digits, 999999, &ppm)) {
		return false;
	}
	fault->prob_ppm = (uint32_t)ppm;
	return true;
}

static void format_prob(const struct hf_emu_fault *fault,
			struct hf_word_out *out)
{
	if (fault->prob_ppm >= 1000000) {
		hf_word_print(out, ",prob=1");
	} else {
		hf_word_print(out, ",prob=0.%06" PRIu32, fault->prob_ppm);
	}
}

#define NUMBER(name, where, bit_, field, most)                                 \
	{                                                                      \
		.word = name, .takes = "a number", .places = where,            \
		.kind = HF_WORD_NUMBER, .bit = HF_EMU_FAULT_MATCH_##bit_,      \
		FIELD(field), .max = most                                      \
	}
#define CDW(name)                                                              \
	{                                                                      \
		.word = name, .takes = "VALUE or VALUE/MASK, of 32 bits",      \
		.places = HF_WORD_COMMAND, .kind = HF_WORD_OWN,                \
		.parse = parse_cdw                                             \
	}
#define LOW(name, function, bits)                                              \
	{                                                                      \
		.word = name, .takes = "a number of " bits " bits",            \
		.places = HF_WORD_COMMAND, .kind = HF_WORD_OWN,                \
		.parse = function                                              \
	}

const struct hf_fault_word hf_fault_conditions[] = {
	NUMBER("nsid", HF_WORD_COMMAND, NSID, nsid, UINT32_MAX),
	{.word = "lba",
	 .takes = "FIRST or FIRST-LAST, block numbers",
	 .places = HF_WORD_COMMAND,
	 .kind = HF_WORD_OWN,
	 .bit = HF_EMU_FAULT_MATCH_LBA,
	 .parse = parse_lba,
	 .format = format_lba},
	NUMBER("queue", HF_WORD_COMMAND, QUEUE, queue, UINT16_MAX),
	{.word = "cdw10",
	 .takes = "VALUE or VALUE/MASK, of 32 bits",
	 .places = HF_WORD_COMMAND,
	 .kind = HF_WORD_OWN,
	 .bit = HF_EMU_FAULT_MATCH_CDW,
	 .parse = parse_cdw,
	 .format = format_cdw},
	CDW("cdw11"),
	CDW("cdw12"),
	CDW("cdw13"),
	CDW("cdw14"),
	CDW("cdw15"),
	LOW("cns", parse_low8, "8"),
	LOW("fid", parse_low8, "8"),
	LOW("lid", parse_low8, "8"),
	LOW("qid", parse_low16, "16"),
	{.word = "read",
	 .places = HF_WORD_REGISTER,
	 .kind = HF_WORD_FLAG,
	 .bit = HF_EMU_FAULT_MATCH_READ},
	{.word = "write",
	 .places = HF_WORD_REGISTER,
	 .kind = HF_WORD_FLAG,
	 .bit = HF_EMU_FAULT_MATCH_WRITE},
	{.word = "value",
	 .takes = "VALUE or VALUE/MASK, of 64 bits",
	 .places = HF_WORD_REGISTER,
	 .kind = HF_WORD_OWN,
	 .bit = HF_EMU_FAULT_MATCH_VALUE,
	 .parse = parse_value,
	 .format = format_value},
	NUMBER("vector", HF_WORD_INTERRUPT, VECTOR, vector, UINT16_MAX),
	NUMBER("nth", ANYWHERE, NTH, nth, UINT64_MAX),
	NUMBER("every", ANYWHERE, EVERY, every, UINT64_MAX),
	NUMBER("after", ANYWHERE, AFTER, after, UINT64_MAX),
	NUMBER("count", ANYWHERE | HF_WORD_NOW, COUNT, count, UINT32_MAX),
	{.word = "prob",
	 .takes = "a chance from 0.000001 to 1",
	 .places = ANYWHERE,
	 .kind = HF_WORD_OWN,
	 .bit = HF_EMU_FAULT_MATCH_PROB,
	 .parse = parse_prob,
	 .format = format_prob},
	NUMBER("seed", ANYWHERE, SEED, seed, UINT64_MAX),
	{.word = NULL},
};
