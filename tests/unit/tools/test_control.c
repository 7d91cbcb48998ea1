/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: who asks a serving process and does not listen costs it seconds, no
 * more, and who asks one that says nonsense gets an error.
 * Method: both ends of a socket in this process.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "control.h"

/* More than any socket holds. */
#define LONG_BYTES (64u << 20)

/* What control.c wants of args.c. */
int cli_fail(const struct args *args, const char *format, ...)
{
	(void)args;
	(void)format;
	return CLI_FAILED;
}

int cli_usage(const struct args *args, const char *format, ...)
{
	(void)args;
	(void)format;
	return CLI_USAGE;
}

static void an_answer_that_nobody_reads_is_given_up(void **state)
{
	char *text = malloc(LONG_BYTES + 1);
	int ends[2];

	(void)state;
	assert_non_null(text);
	memset(text, 'x', LONG_BYTES);
	text[LONG_BYTES] = '\0';
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);

	/* It comes back at all: a test that hangs has failed. */
	alarm(60);
	control_answer(ends[0], true, text);
	alarm(0);

	char mark;
	assert_int_equal(recv(ends[1], &mark, 1, 0), 1);
	assert_int_equal(mark, '+');
	close(ends[0]);
	close(ends[1]);
	free(text);
}

static void a_long_answer_is_whole(void **state)
{
	static char text[100000];
	static char heard[sizeof(text)];
	size_t used = 0;
	ssize_t part;
	int ends[2];

	(void)state;
	memset(text, 'y', sizeof(text) - 1);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);

	control_answer(ends[0], false, text);
	close(ends[0]);

	assert_int_equal(recv(ends[1], heard, 1, 0), 1);
	assert_int_equal(heard[0], '-');
	while ((part = recv(ends[1], heard + used, sizeof(heard) - used, 0)) >
	       0) {
		used += (size_t)part;
	}
	assert_int_equal(used, sizeof(text) - 1);
	assert_memory_equal(heard, text, used);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_that_nobody_reads_is_given_up),
		cmocka_unit_test(a_long_answer_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
