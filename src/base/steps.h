/* SPDX-License-Identifier: BSD-3-Clause */
/* When each step of something that is done once was over: a short list of
 * stamps, for a person to read. Knows nothing of what is done. */
#pragma once

#include <stdint.h>

#include "base/clock.h"

enum {
	HF_STEPS_MAX = 24,
};

struct hf_step {
	const char *name; /* a literal: it lives as long as the program */
	uint64_t ended_ns;
};

struct hf_steps {
	uint64_t began_ns; /* 0: it was never done */
	uint32_t count;
	struct hf_step steps[HF_STEPS_MAX];
};

static inline void hf_steps_begin(struct hf_steps *steps)
{
	steps->count = 0;
	steps->began_ns = hf_now_ns();
}

/* What was done since the last mark is called @name. What finds no room is
 * counted to the step that comes after. */
static inline void hf_steps_mark(struct hf_steps *steps, const char *name)
{
	if (steps->count < HF_STEPS_MAX) {
		steps->steps[steps->count++] = (struct hf_step){
			.name = name,
			.ended_ns = hf_now_ns(),
		};
	}
}

static inline void hf_steps_append(struct hf_steps *steps,
				   const struct hf_steps *more)
{
	for (uint32_t i = 0; i < more->count && steps->count < HF_STEPS_MAX;
	     i++) {
		steps->steps[steps->count++] = more->steps[i];
	}
}
