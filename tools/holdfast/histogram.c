/* SPDX-License-Identifier: BSD-3-Clause */
#include "histogram.h"

#include <string.h>

#define STEPS (1u << HISTOGRAM_STEP_BITS)

void histogram_clear(struct histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
	histogram->min = UINT64_MAX;
}

static uint32_t bucket_of(uint64_t value)
{
	if (value < STEPS) {
		return (uint32_t)value;
	}

	uint32_t exponent = 63 - (uint32_t)__builtin_clzll(value);
	uint32_t shift = exponent - HISTOGRAM_STEP_BITS;

	return ((shift + 1) << HISTOGRAM_STEP_BITS) +
	       (uint32_t)(value >> shift) - STEPS;
}

uint64_t histogram_bucket_low(uint32_t i)
{
	uint32_t octave = i >> HISTOGRAM_STEP_BITS;

	if (octave == 0) {
		return i;
	}
	return (uint64_t)((i & (STEPS - 1)) + STEPS) << (octave - 1);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->count++;
	histogram->sum += value;
	if (value < histogram->min) {
		histogram->min = value;
	}
	if (value > histogram->max) {
		histogram->max = value;
	}
	histogram->bucket[bucket_of(value)]++;
}

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
	histogram->count += other->count;
	histogram->sum += other->sum;
	if (other->min < histogram->min) {
		histogram->min = other->min;
	}
	if (other->max > histogram->max) {
		histogram->max = other->max;
	}
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		histogram->bucket[i] += other->bucket[i];
	}
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
	double exact = (double)histogram->count * percent / 100;
	uint64_t rank = (uint64_t)exact;
	uint64_t seen = 0;

	rank += (double)rank < exact;
	rank = rank ? rank : 1;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->bucket[i];
		if (histogram->count && seen >= rank) {
			uint64_t low = histogram_bucket_low(i);
			uint64_t high = i + 1 < HISTOGRAM_BUCKETS
						? histogram_bucket_low(i + 1)
						: UINT64_MAX;
			uint64_t middle = low + (high - low) / 2;

			return middle < histogram->max ? middle
						       : histogram->max;
		}
	}
	return 0;
}
