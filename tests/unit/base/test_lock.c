/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: one holder at a time, nobody left asleep, nothing asked of the kernel
 * where nobody else wants the lock.
 * Method: threads that count without atomics, and the lock's word looked at.
 */
#include <pthread.h>
#include <sched.h>

#include "base/lock.h"
#include "unit.h"

enum {
	THREADS = 4,
	ROUNDS = 20000,
};

struct counted {
	struct hf_lock lock;
	uint64_t count; /* under the lock */
};

static void *count(void *arg)
{
	struct counted *counted = arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		hf_lock_take(&counted->lock);
		uint64_t before = counted->count;
		if (i % 64 == 0) {
			sched_yield(); /* held for long: the others sleep */
		}
		counted->count = before + 1;
		hf_lock_give(&counted->lock);
	}
	return NULL;
}

static void one_holder_at_a_time_and_nobody_sleeps_for_ever(void **state)
{
	struct counted counted = {.count = 0};
	pthread_t threads[THREADS];

	(void)state;
	for (uint32_t i = 0; i < THREADS; i++) {
		assert_int_equal(
			pthread_create(&threads[i], NULL, count, &counted), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}

	assert_int_equal(counted.count, (uint64_t)THREADS * ROUNDS);
	assert_int_equal(counted.lock.state, HF_LOCK_FREE);
}

static void alone_it_never_says_that_somebody_waits(void **state)
{
	struct hf_lock lock = {0};

	(void)state;
	hf_lock_take(&lock);
	assert_int_equal(lock.state, HF_LOCK_HELD);
	hf_lock_give(&lock);
	assert_int_equal(lock.state, HF_LOCK_FREE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			one_holder_at_a_time_and_nobody_sleeps_for_ever),
		cmocka_unit_test(alone_it_never_says_that_somebody_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
