/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: the small parts that everything stands on: numbers out of text,
 * arithmetic that cannot wrap, deadlines, lists.
 * Method: tables, the edges of each range.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/text.h"
#include "unit.h"

static void sizes_are_numbers_with_a_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {
		{"0", 0},
		{"4096", 4096},
		{"0x1000", 4096},
		{"4k", 4096},
		{"4K", 4096},
		{"1G", UINT64_C(1) << 30},
		{"2T", UINT64_C(2) << 40},
		{"0x10M", UINT64_C(16) << 20},
		{"18446744073709551615", UINT64_MAX},
	};
	static const char *const bad[] = {
		"",          "-1",  "+1",   " 1", "k",
		"1kk",       "1kB", "4 k",  "0x", "18446744073709551616",
		"16777216T", "1e3", "1.5G",
	};
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < HF_ARRAY_LEN(good); i++) {
		assert_true(hf_text_size(good[i].text, &value));
		assert_int_equal(value, good[i].value);
	}
	for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
		if (hf_text_size(bad[i], &value)) {
			fail_msg("'%s' is no size", bad[i]);
		}
	}
}

static void option_lists_are_taken_apart(void **state)
{
	const char *list = "disk.img,size=1G,empty=,last=a=b";
	char key[32];
	char value[256];

	(void)state;
	assert_int_equal(hf_text_option(&list, key, value), 1);
	assert_string_equal(key, "");
	assert_string_equal(value, "disk.img");
	assert_int_equal(hf_text_option(&list, key, value), 1);
	assert_string_equal(key, "size");
	assert_string_equal(value, "1G");
	assert_int_equal(hf_text_option(&list, key, value), 1);
	assert_string_equal(key, "empty");
	assert_string_equal(value, "");
	assert_int_equal(hf_text_option(&list, key, value), 1);
	assert_string_equal(key, "last");
	assert_string_equal(value, "a=b");
	assert_int_equal(hf_text_option(&list, key, value), 0);
}

static void words_that_are_empty_or_too_long_are_refused(void **state)
{
	char word[400];
	const char *list;
	char key[32];
	char value[256];

	(void)state;
	list = ",a";
	assert_int_equal(hf_text_option(&list, key, value), -EINVAL);
	list = "=a";
	assert_int_equal(hf_text_option(&list, key, value), -EINVAL);
	memset(word, 'x', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	list = word;
	assert_int_equal(hf_text_option(&list, key, value), -EINVAL);
	word[32] = '=';
	list = word;
	assert_int_equal(hf_text_option(&list, key, value), -EINVAL);
	word[255] = '\0';
	word[32] = 'x';
	list = word;
	assert_int_equal(hf_text_option(&list, key, value), 1);
	assert_int_equal(strlen(value), 255);
}

static void sums_and_products_do_not_wrap(void **state)
{
	uint64_t v;

	(void)state;
	assert_true(hf_add_u64(UINT64_MAX - 1, 1, &v));
	assert_false(hf_add_u64(UINT64_MAX, 1, &v));
	assert_true(hf_mul_u64(UINT64_C(1) << 32, (UINT64_C(1) << 32) - 1, &v));
	assert_false(hf_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &v));
	assert_true(hf_align_up(4097, 4096, &v));
	assert_int_equal(v, 8192);
	assert_true(hf_align_up(0, 4096, &v));
	assert_int_equal(v, 0);
	assert_false(hf_align_up(UINT64_MAX - 4094, 4096, &v));
}

static void ranges_are_judged_at_their_edges(void **state)
{
	(void)state;
	assert_true(hf_range_within(0, 10, 10));
	assert_true(hf_range_within(10, 0, 10));
	assert_false(hf_range_within(10, 1, 10));
	assert_false(hf_range_within(11, 0, 10));
	assert_false(hf_range_within(1, UINT64_MAX, 10));
	assert_false(hf_range_within(UINT64_MAX, UINT64_MAX, 10));
	assert_true(hf_ranges_overlap(0, 10, 9, 1));
	assert_false(hf_ranges_overlap(0, 10, 10, 1));
	assert_false(hf_ranges_overlap(5, 0, 0, 10));
}

static void deadlines_saturate_and_round_up(void **state)
{
	(void)state;
	assert_int_equal(hf_deadline_ms(UINT64_MAX), UINT64_MAX);
	assert_int_equal(hf_deadline_poll_ms(UINT64_MAX), -1);
	assert_int_equal(hf_deadline_poll_ms(0), 0);
	assert_in_range(hf_deadline_poll_ms(hf_deadline_ms(1000)), 900, 1000);
	assert_int_equal(hf_deadline_poll_ms(UINT64_MAX - 1), INT_MAX);
	assert_true(hf_deadline_passed(hf_now_ns()));
	assert_false(hf_deadline_passed(UINT64_MAX));
}

struct item {
	int number;
	struct hf_list link;
};

static void lists_keep_order_and_let_go(void **state)
{
	struct hf_list list;
	struct item items[4];
	int sum = 0;

	(void)state;
	hf_list_init(&list);
	assert_null(hf_list_pop_front(&list));
	for (int i = 0; i < 4; i++) {
		items[i].number = i;
		hf_list_push_back(&list, &items[i].link);
	}
	hf_list_remove(&items[2].link);
	hf_list_remove(&items[2].link); /* harmless */
	hf_list_push_front(&list, &items[2].link);
	hf_list_for_each_safe(link, &list)
	{
		struct item *item = hf_container_of(link, struct item, link);

		sum = sum * 10 + item->number;
		hf_list_remove(link);
	}
	assert_int_equal(sum, 2013);
	assert_true(hf_list_empty(&list));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_numbers_with_a_unit),
		cmocka_unit_test(option_lists_are_taken_apart),
		cmocka_unit_test(words_that_are_empty_or_too_long_are_refused),
		cmocka_unit_test(sums_and_products_do_not_wrap),
		cmocka_unit_test(ranges_are_judged_at_their_edges),
		cmocka_unit_test(deadlines_saturate_and_round_up),
		cmocka_unit_test(lists_keep_order_and_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
