/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/barrier.h"

/* What it is held for takes less time than a sleep, mostly. */
#define SPINS 100u

void hf_lock_take_slowly(struct hf_lock *lock)
{
	for (uint32_t spin = 0; spin < SPINS; spin++) {
		uint32_t state = HF_LOCK_FREE;

		if (__atomic_load_n(&lock->state, __ATOMIC_RELAXED) ==
			    HF_LOCK_FREE &&
		    __atomic_compare_exchange_n(
			    &lock->state, &state, HF_LOCK_HELD, false,
			    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			return;
		}
		hf_cpu_relax();
	}
	/*
	 * Taken as wanted, since others may sleep besides: who gives it back
	 * wakes one of them, at worst for nothing. The kernel lets nobody
	 * sleep once the word is not "wanted" any more, so that no wake-up
	 * falls between the look and the sleep.
	 */
	while (__atomic_exchange_n(&lock->state, HF_LOCK_WANTED,
				   __ATOMIC_ACQUIRE) != HF_LOCK_FREE) {
		(void)!syscall(SYS_futex, &lock->state, FUTEX_WAIT_PRIVATE,
			       HF_LOCK_WANTED, NULL, NULL, 0);
	}
}

void hf_lock_wake(struct hf_lock *lock)
{
	(void)!syscall(SYS_futex, &lock->state, FUTEX_WAKE_PRIVATE, 1, NULL,
		       NULL, 0);
}
