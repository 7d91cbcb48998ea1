/* SPDX-License-Identifier: BSD-3-Clause */
/* What the data path tells the compiler of itself: which way a branch goes
 * nearly always, and what is to stay out of the way. */
#pragma once

#define HF_LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define HF_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
/* A part of the path itself, of which the compiler makes no call. */
#define HF_HOT_INLINE static inline __attribute__((always_inline))
/* Rare: kept out of line, so that the path has no registers to save for it. */
#define HF_COLD __attribute__((cold, noinline))
