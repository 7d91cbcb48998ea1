/* SPDX-License-Identifier: BSD-3-Clause */
/* A lock for short stretches on the data path: two instructions that touch
 * memory where nobody else wants it, a sleep in the kernel where somebody
 * does. Knows nothing of what it guards. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/hint.h"

/* Zeroed memory is a lock that nobody holds. */
struct hf_lock {
	uint32_t state; /* atomic: enum hf_lock_state */
};

enum hf_lock_state {
	HF_LOCK_FREE = 0,
	HF_LOCK_HELD = 1,
	HF_LOCK_WANTED = 2, /* held, and somebody may sleep for it */
};

/* The parts that have to wait, or to wake. */
void hf_lock_take_slowly(struct hf_lock *lock);
void hf_lock_wake(struct hf_lock *lock);

static inline void hf_lock_take(struct hf_lock *lock)
{
	uint32_t state = HF_LOCK_FREE;

	if (HF_UNLIKELY(!__atomic_compare_exchange_n(
		    &lock->state, &state, HF_LOCK_HELD, false, __ATOMIC_ACQUIRE,
		    __ATOMIC_RELAXED))) {
		hf_lock_take_slowly(lock);
	}
}

/* Not looked at any more once it is free, but for its address. */
static inline void hf_lock_give(struct hf_lock *lock)
{
	if (HF_UNLIKELY(__atomic_exchange_n(&lock->state, HF_LOCK_FREE,
					    __ATOMIC_RELEASE) ==
			HF_LOCK_WANTED)) {
		hf_lock_wake(lock);
	}
}
