/* SPDX-License-Identifier: BSD-3-Clause */
/* Log-linear histogram: 128 steps to each power of two. Knows no unit. */
#pragma once

#include <stdint.h>

#define HISTOGRAM_STEP_BITS 7
#define HISTOGRAM_BUCKETS                                                      \
	((64 - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS)

/* What histogram_percentile() gives is off by at most so much of itself: half
 * a step. */
#define HISTOGRAM_ERROR_PERCENT 0.4

struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t min;
	uint64_t max;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_clear(struct histogram *histogram);
void histogram_add(struct histogram *histogram, uint64_t value);

/* Adds all that @other holds. */
void histogram_merge(struct histogram *histogram,
		     const struct histogram *other);

/* The value that @percent of the values do not exceed; 0 when empty. */
uint64_t histogram_percentile(const struct histogram *histogram,
			      double percent);

/* Values of bucket @i are from this one up to the next bucket's. */
uint64_t histogram_bucket_low(uint32_t i);
