/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: numbers, times and lists are read as people write them, nothing else
 * is taken for one, and what is shown can be read.
 * Method: tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "args.h"
#include "size.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static void sizes_with_and_without_units_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {
		{"0", 0},
		{"4096", 4096},
		{"0x1000", 4096},
		{"0XfF", 255},
		{"4k", 4096},
		{"4K", 4096},
		{"4KiB", 4096},
		{"1M", 1 << 20},
		{"2G", UINT64_C(2) << 30},
		{"3t", UINT64_C(3) << 40},
		{"0x10K", 16384},
		{"18446744073709551615", UINT64_MAX},
		{"010", 10},
	};

	(void)state;
	for (size_t i = 0; i < LEN(good); i++) {
		uint64_t value = 77;

		assert_true(size_parse(good[i].text, &value));
		assert_int_equal(value, good[i].value);
	}
}

static void what_is_no_size_is_refused(void **state)
{
	static const char *const bad[] = {
		"",          "-1",     "+1",  " 1",  "1 ",
		"1.5",       "x",      "0x",  "K",   "1KB",
		"1Kib ",     "1Q",     "1KK", "0xg", "18446744073709551616",
		"16777216T", "16384P",
	};

	(void)state;
	for (size_t i = 0; i < LEN(bad); i++) {
		uint64_t value;

		assert_false(size_parse(bad[i], &value));
	}
}

static void durations_carry_their_unit(void **state)
{
	static const char *const bad[] = {"",     "s",   "-1", "5x",
					  "1e99", "0x5", "5 s"};
	uint64_t ms;

	(void)state;
	assert_true(duration_parse("5", &ms) && ms == 5000);
	assert_true(duration_parse("5s", &ms) && ms == 5000);
	assert_true(duration_parse("0.5", &ms) && ms == 500);
	assert_true(duration_parse("200ms", &ms) && ms == 200);
	assert_true(duration_parse("2m", &ms) && ms == 120000);
	assert_true(duration_parse("1h", &ms) && ms == 3600000);
	for (size_t i = 0; i < LEN(bad); i++) {
		assert_false(duration_parse(bad[i], &ms));
	}
}

static void cpu_lists_name_each_once(void **state)
{
	static const char *const bad[] = {"",    ",",     "0,", "1-0",  "0-",
					  "0,0", "0-2,1", "a",  "1024", "-1"};
	struct args_cpus cpus;

	(void)state;
	assert_true(cpus_parse("6,0-3", &cpus));
	assert_int_equal(cpus.count, 5);
	assert_int_equal(cpus.cpu[0], 6);
	assert_int_equal(cpus.cpu[4], 3);
	assert_true(cpus_parse("0-1023", &cpus));
	assert_int_equal(cpus.count, 1024);
	for (size_t i = 0; i < LEN(bad); i++) {
		assert_false(cpus_parse(bad[i], &cpus));
	}
}

static void numbers_are_shown_in_the_unit_that_suits(void **state)
{
	char buf[32];

	(void)state;
	assert_string_equal(size_text(1023, buf, sizeof(buf)), "1023 B");
	assert_string_equal(size_text(1 << 20, buf, sizeof(buf)), "1 MiB");
	assert_string_equal(size_text(1536, buf, sizeof(buf)), "1.50 KiB");
	assert_string_equal(size_text(UINT64_MAX, buf, sizeof(buf)),
			    "16384.00 PiB");
	assert_string_equal(time_text(999, buf, sizeof(buf)), "999 ns");
	assert_string_equal(time_text(12300, buf, sizeof(buf)), "12.30 us");
	assert_string_equal(time_text(2500000000, buf, sizeof(buf)), "2.50 s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_with_and_without_units_are_read),
		cmocka_unit_test(what_is_no_size_is_refused),
		cmocka_unit_test(durations_carry_their_unit),
		cmocka_unit_test(cpu_lists_name_each_once),
		cmocka_unit_test(numbers_are_shown_in_the_unit_that_suits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
