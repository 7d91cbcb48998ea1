/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a function that is still being reset, which the kernel says with EBUSY
 *       or ENODEV, is asked again a few times, and other errors are told at
 *       once.
 * Method: the calls of the system are the test's: they fail so often, and
 *         pauses pass at once and are added up.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "device/vfio_internal.h"

static struct {
	uint32_t fail; /* so many calls do */
	int with;      /* errno */
	uint32_t calls;
	uint32_t pauses;
	long paused_ms;
} f;

static int answer(int good)
{
	f.calls++;
	if (f.calls <= f.fail) {
		errno = f.with;
		return -1;
	}
	return good;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): what the linker makes of them */
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	(void)fd;
	(void)request;
	return answer(0);
}

int __wrap_open64(const char *path, int flags, ...)
{
	(void)path;
	(void)flags;
	return answer(77);
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
	(void)left;
	f.pauses++;
	f.paused_ms += time->tv_sec * 1000 + time->tv_nsec / 1000000;
	return 0;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static int ask(uint32_t fail, int with)
{
	f.fail = fail;
	f.with = with;
	f.calls = 0;
	f.pauses = 0;
	f.paused_ms = 0;
	return hf_vfio_ioctl_retry(3, 0, NULL);
}

static int ask_to_open(uint32_t fail, int with)
{
	(void)ask(0, 0);
	f.fail = fail;
	f.with = with;
	f.calls = 0;
	return hf_vfio_open_retry("/dev/vfio/1");
}

static void what_passes_soon_is_waited_for(void **state)
{
	static const int each[] = {EBUSY, ENODEV, EAGAIN};

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(ask(3, each[i]), 0);
		assert_int_equal(f.calls, 4);
		assert_int_equal(f.pauses, 3);
		assert_int_equal(ask_to_open(3, each[i]), 77);
		assert_int_equal(f.calls, 4);
		assert_int_equal(f.pauses, 3);
	}
}

static void what_does_not_pass_is_told_after_a_short_while(void **state)
{
	(void)state;
	assert_int_equal(ask(UINT32_MAX, EBUSY), -EBUSY);
	assert_int_equal(f.calls, 5);
	assert_in_range(f.paused_ms, 250, 1000);
	assert_int_equal(ask_to_open(UINT32_MAX, ENODEV), -ENODEV);
	assert_int_equal(f.calls, 5);
	assert_in_range(f.paused_ms, 250, 1000);
}

static void other_errors_are_told_at_once(void **state)
{
	static const int each[] = {EINVAL, EPERM, ENOENT, ENOTTY, ENOMEM};

	(void)state;
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(ask(1, each[i]), -each[i]);
		assert_int_equal(f.calls, 1);
		assert_int_equal(ask_to_open(1, each[i]), -each[i]);
		assert_int_equal(f.calls, 1);
		assert_int_equal(f.pauses, 0);
	}
}

static void a_signal_costs_no_try(void **state)
{
	(void)state;
	assert_int_equal(ask(20, EINTR), 0);
	assert_int_equal(f.calls, 21);
	assert_int_equal(f.pauses, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_passes_soon_is_waited_for),
		cmocka_unit_test(
			what_does_not_pass_is_told_after_a_short_while),
		cmocka_unit_test(other_errors_are_told_at_once),
		cmocka_unit_test(a_signal_costs_no_try),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
