/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a thread that was made ahead does what one made then would do, once,
 * and one that was not needed ends.
 * Method: it counts in a variable of the test, and is joined.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/spare.h"

static void *count(void *arg)
{
	++*(int *)arg;
	return arg;
}

static void runs_once(struct hf_spare *spare)
{
	pthread_t thread;
	void *result = NULL;
	int times = 0;

	assert_int_equal(hf_spare_start(spare, &thread, count, &times), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, &times);
	assert_int_equal(times, 1);
}

static void a_spare_thread_runs(void **state)
{
	struct hf_spare *spare = hf_spare_new();

	(void)state;
	assert_non_null(spare);
	runs_once(spare);
}

static void without_one_a_thread_is_made(void **state)
{
	(void)state;
	runs_once(NULL);
}

/* Nothing of it is left: a sanitizer would say so. */
static void one_that_is_not_needed_ends(void **state)
{
	(void)state;
	hf_spare_free(hf_spare_new());
	hf_spare_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_spare_thread_runs),
		cmocka_unit_test(without_one_a_thread_is_made),
		cmocka_unit_test(one_that_is_not_needed_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
