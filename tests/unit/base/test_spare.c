/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a thread that was made ahead does what one made then would do, once,
 * and one that was not needed ends.
 * Method: it counts in a variable of the test, and is joined.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void *tell_blocked(void *arg)
{
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, arg), 0);
	return arg;
}

/* As one that is made at that moment. */
static void it_blocks_what_its_starter_does(void **state)
{
	struct hf_spare *spare = hf_spare_new();
	pthread_t thread;
	sigset_t blocked;
	sigset_t before;
	sigset_t mine;

	(void)state;
	sigemptyset(&mine);
	sigaddset(&mine, SIGUSR2);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &mine, &before), 0);
	assert_int_equal(hf_spare_start(spare, &thread, tell_blocked, &blocked),
			 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(sigismember(&blocked, SIGUSR2), 1);
	assert_int_equal(sigismember(&blocked, SIGUSR1),
			 sigismember(&before, SIGUSR1));
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

/* ThreadSanitizer knows no threads of a process that came of such a fork. */
#ifndef __SANITIZE_THREAD__
/* Its process has none of it. */
static void one_of_before_a_fork_is_made_again(void **state)
{
	struct hf_spare *spare = hf_spare_new();
	struct hf_spare *other = hf_spare_new();
	int status = 0;

	(void)state;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pthread_t thread;
		int times = 0;

		hf_spare_free(other);
		_exit(hf_spare_start(spare, &thread, count, &times) == 0 &&
				      pthread_join(thread, NULL) == 0 &&
				      times == 1
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	hf_spare_free(spare);
	hf_spare_free(other);
}
#endif

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
		cmocka_unit_test(it_blocks_what_its_starter_does),
#ifndef __SANITIZE_THREAD__
		cmocka_unit_test(one_of_before_a_fork_is_made_again),
#endif
		cmocka_unit_test(one_that_is_not_needed_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
