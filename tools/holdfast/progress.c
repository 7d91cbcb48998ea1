/* SPDX-License-Identifier: BSD-3-Clause */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "size.h"

#define REDRAW_NS UINT64_C(200000000)

uint64_t progress_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void progress_begin(struct progress *progress, const char *what,
		    uint64_t total_bytes)
{
	uint64_t now = progress_now_ns();

	*progress = (struct progress){
		.shown = isatty(STDERR_FILENO) == 1,
		.what = what,
		.total_bytes = total_bytes,
		.began_ns = now,
		.drawn_ns = now,
	};
}

void progress_update(struct progress *progress, uint64_t done_bytes)
{
	char done[32];
	char total[32];
	char rate[32];

	if (!progress->shown) {
		return;
	}

	uint64_t now = progress_now_ns();
	if (now - progress->drawn_ns < REDRAW_NS) {
		return;
	}
	progress->drawn_ns = now;
	progress->drawn = true;

	double seconds = (double)(now - progress->began_ns) / 1e9;
	double per_second = (double)done_bytes / seconds;
	size_text(done_bytes, done, sizeof(done));
	size_text((uint64_t)per_second, rate, sizeof(rate));
	if (progress->total_bytes == 0) {
		fprintf(stderr, "\r%s %s, %s/s\033[K", progress->what, done,
			rate);
		return;
	}

	double left = (double)(progress->total_bytes - done_bytes);
	uint64_t eta = per_second > 0 ? (uint64_t)(left / per_second) : 0;
	fprintf(stderr,
		"\r%s %3.0f%%, %s of %s, %s/s, %" PRIu64 ":%02" PRIu64
		" left\033[K",
		progress->what,
		100.0 * (double)done_bytes / (double)progress->total_bytes,
		done, size_text(progress->total_bytes, total, sizeof(total)),
		rate, eta / 60, eta % 60);
}

void progress_end(struct progress *progress)
{
	if (progress->drawn) {
		fprintf(stderr, "\r\033[K");
		progress->drawn = false;
	}
}
