/* SPDX-License-Identifier: BSD-3-Clause */
/* A benchmark's options and results; running is in bench.c, showing in
 * bench_report.c. */
#pragma once

#include "args.h"
#include "conn.h"
#include "histogram.h"
#include "load.h"
#include "worker.h"

struct bench_options {
	int rw; /* enum worker_pattern */
	int mode;
	int shadow_doorbells; /* enum hf_shadow_doorbells */
	uint64_t bs;
	uint64_t qd;
	uint64_t batch;
	uint64_t time_ms;
	uint64_t count;
	uint64_t warmup_ms;
	struct args_cpus cpus;
	uint64_t read_percent;
	uint64_t lba;
	uint64_t size;
	bool verify;
	bool histogram;
	uint64_t queue_entries;
	uint64_t seed;
};

/**
 * struct bench - a benchmark
 * @args: the command line
 * @opt: its options
 * @conn: controller and namespace
 * @plan: of the phase that runs
 * @workers: one for each CPU
 * @load: judges, with --verify
 * @units: I/O-sized parts of the namespace
 * @stuck: some I/O did not end
 * @process_cpu_ns: CPU time of all threads over the measured phase
 * @latency: of all workers
 * @reads: of all workers
 * @seconds: how long was counted
 * @iops: I/Os a second, all workers together
 * @cpu_ns: CPU time of the workers' threads
 */
struct bench {
	struct args *args;
	struct bench_options opt;
	struct conn conn;
	struct worker_plan plan;
	struct worker *workers;
	struct load_table *load;
	uint64_t units;
	bool stuck;
	uint64_t process_cpu_ns;
	struct histogram latency;
	uint64_t reads;
	double seconds;
	double iops;
	uint64_t cpu_ns;
};

/* Adds the workers up, after the measured phase. */
void bench_collect(struct bench *bench);

void bench_print(struct bench *bench, const char *rw, const char *mode);
