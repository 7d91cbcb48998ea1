/* SPDX-License-Identifier: BSD-3-Clause */
/* How far a long transfer is, on a terminal and nowhere else. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool shown; /* standard error is a terminal */
	bool drawn;
	const char *what;
	uint64_t total_bytes; /* 0 when nobody knows */
	uint64_t began_ns;
	uint64_t drawn_ns;
};

void progress_begin(struct progress *progress, const char *what,
		    uint64_t total_bytes);

/* Draws a few times a second at most. */
void progress_update(struct progress *progress, uint64_t done_bytes);

/* Clears the line. */
void progress_end(struct progress *progress);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t progress_now_ns(void);
