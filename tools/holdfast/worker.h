/* SPDX-License-Identifier: BSD-3-Clause */
/* One CPU's share of a load: keeps a queue full, measures each I/O, and has
 * what it reads judged. Knows nothing of the command line. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <holdfast/driver.h>
#include <holdfast/io.h>

#include "histogram.h"
#include "load.h"

enum worker_pattern {
	WORKER_RANDREAD,
	WORKER_RANDWRITE,
	WORKER_RANDRW,
	WORKER_READ,
	WORKER_WRITE,
};

/**
 * struct worker_plan - what all workers of a load have in common
 * @drv: the driver
 * @ns: the namespace
 * @mode: how completions are taken
 * @pattern: what is issued
 * @read_percent: share of reads, with WORKER_RANDRW
 * @unit_bytes: of one I/O
 * @unit_blocks: the same in blocks
 * @first_lba: where the load's part of the namespace begins
 * @units: how many units it has
 * @depth: I/Os under way for each worker
 * @batch: handed over at once, at most
 * @warmup_ns: not counted, at the beginning
 * @time_ns: counted; 0 for no limit
 * @count: I/Os of each worker, after the warm-up; 0 for no limit
 * @one_pass: with a sequential pattern: end after one pass of the units
 * @load: judges what is read; NULL for none
 * @stop: set by the first that fails, or from outside
 */
struct worker_plan {
	struct hf_driver *drv;
	struct hf_namespace *ns;
	enum hf_queue_mode mode;
	enum worker_pattern pattern;
	uint32_t read_percent;
	uint32_t unit_bytes;
	uint32_t unit_blocks;
	uint64_t first_lba;
	uint64_t units;
	uint32_t depth;
	uint32_t batch;
	uint64_t warmup_ns;
	uint64_t time_ns;
	uint64_t count;
	bool one_pass;
	struct load_table *load;
	atomic_bool stop;
};

struct worker_io;

/**
 * struct worker - one of them
 * @plan: the common part
 * @index: which one; its slots of the load table begin at @index * depth
 * @workers: how many there are
 * @cpu: CPU that it is pinned to, and whose queue it uses
 * @ios: counted
 * @reads: of those
 * @measured_ns: how long it counted
 * @cpu_ns: CPU time of its thread meanwhile
 * @failed: it ended early; @message says why
 * @stuck: I/Os are still under way: the memory is not to be freed before the
 *         driver is closed
 * @latency: in nanoseconds
 *
 * The rest is the worker's own.
 */
struct worker {
	struct worker_plan *plan;
	uint32_t index;
	uint32_t workers;
	uint32_t cpu;
	uint64_t ios;
	uint64_t reads;
	uint64_t measured_ns;
	uint64_t cpu_ns;
	bool failed;
	bool stuck;
	char message[400];
	struct histogram latency;
	atomic_uint ended; /* its thread has nothing more to do */

	struct hf_queue *queue;
	struct worker_io *io;
	struct worker_io **free;
	struct hf_io **batch;
	uint8_t *memory;
	uint32_t free_count;
	uint32_t under_way;
	uint32_t empty_looks;
	uint64_t random;
	uint64_t next_unit;
	uint64_t units_left;
	uint64_t begun;
	uint64_t reap_ns;
	uint64_t begin_ns;
	uint64_t end_ns;
	uint64_t last_ns;
	pthread_t thread;
	/* What other threads reaped for this one: the driver's own, and those
	 * that share a queue pair with it. */
	pthread_mutex_t lock;
	pthread_cond_t returned;
	struct worker_io **foreign;
	atomic_uint foreign_count;
};

/* Everything as at the beginning, before worker_init(). */
void worker_reset(struct worker *worker);

/* Memory and the queue. Returns 0, or -1 with @message set; worker_fini() is
 * due in either case. */
int worker_init(struct worker *worker, uint64_t seed);

/* Runs it in a thread of its own. Returns 0 or an errno. */
int worker_start(struct worker *worker);

/* Waits for its end. */
void worker_join(struct worker *worker);

/* After worker_join(), and after the driver is closed where it is stuck. */
void worker_fini(struct worker *worker);
