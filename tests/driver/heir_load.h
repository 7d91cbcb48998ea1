/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O that is under way while drivers follow one another, and tests that run
 * with a saved and with a killed predecessor. */
#pragma once

#include "heir.h"

#define COOKIE   UINT64_C(0x5e00000000)
#define WORK_MAX 40u

/* The I/O of a test, and its ends in whichever driver. */
struct load {
	struct rig_io work[WORK_MAX];
	struct hf_queue *queue;
	uint32_t attached;
};

/* A load on the queue of a CPU; free it with load_drop(). */
struct load *load_of(struct rig *rig, uint32_t cpu);
void load_put(struct rig *rig, struct load *load, uint32_t i, enum hf_op op,
	      uint64_t lba, uint64_t blocks, void *buf);
/* Attaches to all that is left; @buf takes what is bounced. Return: how many
 * there were. */
uint32_t load_attach(struct rig *rig, struct load *load, void *buf);
/* Its queue again, in another driver. */
void load_reopen(struct rig *rig, struct load *load, uint32_t cpu);
void load_drop(struct load *load);

/* Until the rule has seen so much. */
void heirs_until_hit(struct rig *rig, uint32_t rule, uint64_t hits);
/* Until the controller has posted so many in all; no driver is there. */
void heirs_until_posted(struct rig *rig, uint64_t completions);
/* A rig whose driver may have successors. */
void heirs_open(struct rig *rig);
/* A controller that was not asked anything, nor reset. */
void heirs_assert_left_alone(const struct hf_emu_stats *before,
			     const struct hf_emu_stats *after);

/* One test, and what it leaves is put away. */
void heirs_run(void **state, void (*test)(struct rig *rig, bool planned),
	       bool planned);

#define BOTH(name)                                                             \
	static void name##_saved(void **state)                                 \
	{                                                                      \
		heirs_run(state, name, true);                                  \
	}                                                                      \
	static void name##_killed(void **state)                                \
	{                                                                      \
		heirs_run(state, name, false);                                 \
	}
#define LIST(name) rig_test(name##_saved), rig_test(name##_killed)
