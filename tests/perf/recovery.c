/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: how long a caller is without its disk, by kind of fault.
 * Method: short deadlines; a fault, then blocking reads until one succeeds;
 * the median of some runs, each on a controller of its own.
 * usage: perf-recovery [RUNS]; prints lines of milliseconds and a name
 */
#include <inttypes.h>
#include <stddef.h>

#include "perf.h"

enum {
	RUNS_MAX = 31,
	RULES = 3,
	IO_TIMEOUT_MS = 300,
};

struct fault {
	const char *name;
	const char *rules[RULES];
};

static const struct fault faults[] = {
	{"none", {NULL}},
	{"lost interrupt",
	 {"io-read,nth=1:delay=5ms", "irq,count=1:lose", NULL}},
	{"retryable status (Command Interrupted)",
	 {"io-read,nth=1:status=generic/21h", NULL, NULL}},
	{"namespace not ready",
	 {"io-read,nth=1:status=generic/82h", NULL, NULL}},
	{"hung command, Abort works", {"io-read,nth=1:hold", NULL, NULL}},
	{"lost completion: Abort, then reset",
	 {"io-read,nth=1:drop", NULL, NULL}},
	{"lost completion, Abort fails",
	 {"io-read,nth=1:drop", "admin-abort:status=06h", NULL}},
	{"wrong completion: reset at once",
	 {"io-read,nth=1:wrong-cid", NULL, NULL}},
	{"fatal status (CSTS.CFS)", {"io-read,nth=1:cfs", NULL, NULL}},
	{"the same, and ready only after 500 ms",
	 {"io-read,nth=1:cfs", "reg-cc,write,value=1/1:delay=500ms", NULL}},
	{"the same, and no I/O queue at the first try",
	 {"io-read,nth=1:cfs", "admin-create-iocq,nth=1:status=06h+dnr", NULL}},
	{"registers all ones, then back",
	 {"io-read,nth=1:drop", "reg-csts,read,count=3:all-ones", NULL}},
};

static int by_value(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static uint64_t one_run(const struct fault *fault)
{
	static unsigned char block[4096];
	struct hf_emu *emu = perf_null_controller();
	struct hf_driver_options options;
	struct hf_namespace *ns;
	struct hf_error err;

	hf_driver_options_init(&options);
	options.io_timeout_ms = IO_TIMEOUT_MS;
	options.long_timeout_ms = IO_TIMEOUT_MS;
	options.cpu_count = 1;
	struct hf_driver *drv = perf_open(emu, &options);
	check(hf_namespace_open(&ns, drv, 1, &err), "hf_namespace_open", &err);
	check(hf_read(ns, 0, 8, block), "hf_read", NULL);
	for (uint32_t i = 0; i < RULES && fault->rules[i] != NULL; i++) {
		check(hf_emu_fault_add(emu, fault->rules[i], NULL, &err),
		      fault->rules[i], &err);
	}

	uint64_t began = now_ns(CLOCK_MONOTONIC);
	int result;
	uint32_t tries = 0;

	do {
		result = hf_read(ns, 0, 8, block);
		tries++;
	} while (result != 0 && tries < 1000);
	check(result, fault->name, NULL);
	uint64_t took = now_ns(CLOCK_MONOTONIC) - began;

	hf_emu_fault_clear(emu);
	hf_namespace_close(ns);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
	hf_emu_destroy(emu);
	return took;
}

int main(int argc, char **argv)
{
	int runs = argc > 1 ? atoi(argv[1]) : 3;
	uint64_t took[RUNS_MAX];

	if (runs < 1 || runs > RUNS_MAX) {
		fprintf(stderr, "usage: perf-recovery [1 to %d]\n", RUNS_MAX);
		return 2;
	}
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		for (int run = 0; run < runs; run++) {
			took[run] = one_run(&faults[i]);
		}
		qsort(took, (size_t)runs, sizeof(took[0]), by_value);
		printf("%10.1f ms  %s\n", (double)took[runs / 2] / 1e6,
		       faults[i].name);
		fflush(stdout);
	}
	return 0;
}
