/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: time from opening a controller to the first completion.
 * Method: open, open a namespace, read one block, close; the median of 21.
 * usage: perf-open ADDRESS; prints microseconds
 */
#include "perf.h"

enum {
	RUNS = 21,
};

static int by_value(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static uint64_t one_run(const char *address)
{
	static unsigned char block[4096];
	struct hf_namespace *ns;
	struct hf_driver *drv;
	struct hf_error err;
	uint64_t began = now_ns(CLOCK_MONOTONIC);

	check(hf_driver_open(&drv, address, NULL, &err), "hf_driver_open",
	      &err);
	check(hf_namespace_open(&ns, drv, 1, &err), "hf_namespace_open", &err);
	check(hf_read(ns, 0, 1, block), "hf_read", NULL);

	uint64_t took = now_ns(CLOCK_MONOTONIC) - began;

	hf_namespace_close(ns);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
	return took;
}

int main(int argc, char **argv)
{
	uint64_t took[RUNS];

	if (argc != 2) {
		fprintf(stderr, "usage: perf-open ADDRESS\n");
		return 2;
	}
	for (int i = 0; i < RUNS; i++) {
		took[i] = one_run(argv[1]);
	}
	qsort(took, RUNS, sizeof(took[0]), by_value);
	printf("%.1f\n", (double)took[RUNS / 2] / 1000.0);
	return 0;
}
