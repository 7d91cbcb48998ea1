/* SPDX-License-Identifier: BSD-3-Clause */
/* The words that fault rules are written in. Knows their fields, not what they
 * do. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/emu_fault.h"

/* Where a word may stand. */
#define HF_WORD_COMMAND   (1u << 0)
#define HF_WORD_REGISTER  (1u << 1)
#define HF_WORD_INTERRUPT (1u << 2)
#define HF_WORD_NOW       (1u << 3)

enum hf_word_kind {
	HF_WORD_FLAG,     /* nothing after it */
	HF_WORD_NUMBER,   /* =NUMBER */
	HF_WORD_OPTIONAL, /* =NUMBER, or the default */
	HF_WORD_TIME,     /* =TIME */
	HF_WORD_OWN,      /* its own functions */
};

/* Text that grows within a buffer; what does not fit is cut off. */
struct hf_word_out {
	char *buf;
	size_t len_bytes;
	size_t used;
};

struct hf_fault_word {
	const char *word;
	const char *takes; /* what stands after it, for the error */
	unsigned int places;
	enum hf_word_kind kind;
	uint64_t bit;  /* of match or actions; 0: a shorthand, never printed */
	size_t offset; /* of its field in struct hf_emu_fault */
	size_t bytes;
	uint64_t max;
	uint64_t otherwise; /* the default of HF_WORD_OPTIONAL */
	/* HF_WORD_OWN: @arg is never NULL. False when it is not understood. */
	bool (*parse)(struct hf_emu_fault *fault, const char *word,
		      const char *arg);
	void (*format)(const struct hf_emu_fault *fault,
		       struct hf_word_out *out);
};

/* Both end with an entry whose word is NULL. */
extern const struct hf_fault_word hf_fault_conditions[];
extern const struct hf_fault_word hf_fault_actions[];

struct hf_fault_name {
	const char *name;
	uint32_t value;
};

/* End with a NULL name. */
extern const struct hf_fault_name hf_fault_admin_names[];
extern const struct hf_fault_name hf_fault_io_names[];
extern const struct hf_fault_name hf_fault_register_names[];

void hf_word_print(struct hf_word_out *out, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* "12", "0x1f", "1fh": all of @text, and at most @max. */
bool hf_word_number(const char *text, uint64_t max, uint64_t *value);
/* "5ms", with ns, us, ms or s. */
bool hf_word_time(const char *text, uint64_t *ns);
/* "VALUE" or "VALUE/MASK"; without a mask it is @max. */
bool hf_word_masked(const char *text, uint64_t max, uint64_t *value,
		    uint64_t *mask);
/* The part before @separator goes to @head; returns the rest, or NULL when
 * there is no separator or no room. */
const char *hf_word_split(const char *text, char separator, char *head,
			  size_t head_bytes);
