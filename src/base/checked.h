/* SPDX-License-Identifier: BSD-3-Clause */
/* Arithmetic on numbers that somebody else chose. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Each returns false, and leaves no usable result, where the sum, product or
 * end of range does not fit. */
static inline bool hf_add_u64(uint64_t a, uint64_t b, uint64_t *sum)
{
	return !__builtin_add_overflow(a, b, sum);
}

static inline bool hf_mul_u64(uint64_t a, uint64_t b, uint64_t *product)
{
	return !__builtin_mul_overflow(a, b, product);
}

/* Does [@start, @start + @len) lie within [0, @limit)? */
static inline bool hf_range_within(uint64_t start, uint64_t len, uint64_t limit)
{
	return start <= limit && len <= limit - start;
}

/* Do the two ranges share a byte? Neither may wrap. */
static inline bool hf_ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b,
				     uint64_t b_len)
{
	return a_len != 0 && b_len != 0 && a < b + b_len && b < a + a_len;
}

static inline bool hf_is_aligned(uint64_t value, uint64_t power_of_two)
{
	return (value & (power_of_two - 1)) == 0;
}

/* False when rounding up wraps. */
static inline bool hf_align_up(uint64_t value, uint64_t power_of_two,
			       uint64_t *aligned)
{
	if (!hf_add_u64(value, power_of_two - 1, aligned)) {
		return false;
	}
	*aligned &= ~(power_of_two - 1);
	return true;
}

#define HF_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define HF_MAX(a, b)    ((a) > (b) ? (a) : (b))
#define HF_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
