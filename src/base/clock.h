/* SPDX-License-Identifier: BSD-3-Clause */
/* Monotonic time and deadlines, in nanoseconds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define HF_NS_PER_MS UINT64_C(1000000)
#define HF_NS_PER_S  UINT64_C(1000000000)

static inline uint64_t hf_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * HF_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* For times that are compared soon: it wraps after seven weeks. */
static inline uint32_t hf_now_ms(void)
{
	return (uint32_t)(hf_now_ns() / HF_NS_PER_MS);
}

/* A deadline is the time it falls due; UINT64_MAX never does. */
static inline uint64_t hf_deadline_ms(uint64_t timeout_ms)
{
	uint64_t now = hf_now_ns();

	if (timeout_ms > (UINT64_MAX - now) / HF_NS_PER_MS) {
		return UINT64_MAX;
	}
	return now + timeout_ms * HF_NS_PER_MS;
}

static inline bool hf_deadline_passed(uint64_t deadline_ns)
{
	return hf_now_ns() >= deadline_ns;
}

/* What poll(2) takes: milliseconds left, rounded up, -1 for no deadline. */
int hf_deadline_poll_ms(uint64_t deadline_ns);
