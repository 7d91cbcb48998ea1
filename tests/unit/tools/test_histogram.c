/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: percentiles are off by no more than is stated, for any value.
 * Method: values over the whole range; compared with the exact answer.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "histogram.h"

static int setup(void **state)
{
	*state = calloc(2, sizeof(struct histogram));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

/* Two values, so that the lower one is not capped by the greatest. */
static void each_value_comes_back_within_the_stated_error(void **state)
{
	struct histogram *histogram = *state;

	for (uint64_t value = 1; value < UINT64_MAX / 3;
	     value += value / 7 + 1) {
		histogram_clear(histogram);
		histogram_add(histogram, value);
		histogram_add(histogram, UINT64_MAX);

		double found = (double)histogram_percentile(histogram, 50);
		double error = fabs(found - (double)value) / (double)value;

		assert_true(error * 100 <= HISTOGRAM_ERROR_PERCENT);
	}
}

static void buckets_follow_each_other_without_a_gap(void **state)
{
	(void)state;
	for (uint32_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
		assert_true(histogram_bucket_low(i) <
			    histogram_bucket_low(i + 1));
	}
}

static void percentiles_count_from_below(void **state)
{
	struct histogram *histogram = *state;

	histogram_clear(histogram);
	for (uint64_t i = 1; i <= 100; i++) {
		histogram_add(histogram, i);
	}

	assert_int_equal(histogram_percentile(histogram, 50), 50);
	assert_int_equal(histogram_percentile(histogram, 99), 99);
	assert_int_equal(histogram_percentile(histogram, 100), 100);
	assert_int_equal(histogram->max, 100);
	assert_int_equal(histogram->min, 1);
	assert_int_equal(histogram->sum, 5050);
}

static void merging_adds_everything(void **state)
{
	struct histogram *one = *state;
	struct histogram *two = one + 1;

	histogram_clear(one);
	histogram_clear(two);
	histogram_add(one, 5);
	histogram_add(two, 3);
	histogram_add(two, 1000000);
	histogram_merge(one, two);

	assert_int_equal(one->count, 3);
	assert_int_equal(one->min, 3);
	assert_int_equal(one->max, 1000000);
	assert_int_equal(histogram_percentile(one, 50), 5);
}

static void an_empty_one_has_no_percentile(void **state)
{
	struct histogram *histogram = *state;

	histogram_clear(histogram);
	assert_int_equal(histogram_percentile(histogram, 99), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_value_comes_back_within_the_stated_error),
		cmocka_unit_test(buckets_follow_each_other_without_a_gap),
		cmocka_unit_test(percentiles_count_from_below),
		cmocka_unit_test(merging_adds_everything),
		cmocka_unit_test(an_empty_one_has_no_percentile),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
