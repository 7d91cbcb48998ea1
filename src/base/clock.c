/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/clock.h"

#include <limits.h>

int hf_deadline_poll_ms(uint64_t deadline_ns)
{
	if (deadline_ns == UINT64_MAX) {
		return -1;
	}

	uint64_t now = hf_now_ns();
	if (now >= deadline_ns) {
		return 0;
	}

	uint64_t left_ms =
		(deadline_ns - now + HF_NS_PER_MS - 1) / HF_NS_PER_MS;
	return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}
