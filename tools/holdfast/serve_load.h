/* SPDX-License-Identifier: BSD-3-Clause */
/* The verified load of a serving process: goes on over restarts, and finds the
 * commands of the process before. Knows nothing of sockets. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <holdfast/driver.h>
#include <holdfast/error.h>
#include <holdfast/namespace.h>

#include "load.h"
#include "serve_shared.h"

struct serve_worker;

/**
 * struct serve_load - a load, running or not
 * @drv: the driver
 * @ns: the namespace
 * @table: what was written, what is under way
 * @shared: gaps and faults go there
 * @way: how this process came to the device
 *
 * The rest is the load's own.
 */
struct serve_load {
	struct hf_driver *drv;
	struct hf_namespace *ns;
	struct load_table *table;
	struct serve_shared *shared;
	enum serve_way way;

	struct serve_worker *workers;
	uint32_t started;
	uint8_t *memory;
	uint64_t memory_bytes;
	bool paused;
	atomic_bool stop;    /* the threads are to end at once */
	atomic_bool issue;   /* new commands may be issued */
	atomic_bool waiting; /* for the first completion of this process */
	_Atomic uint64_t first_ns; /* that completion; 0: it has not come */
	atomic_bool leaving;       /* what was not begun comes back canceled */
};

/* One read on each CPU's queue, so that all queues exist; the data's memory;
 * nothing is under way afterwards. Return: 0, or -1 with @err filled. */
int serve_load_prepare(struct serve_load *load, struct hf_error *err);

/* The memory, and all that is under way, of the process before. */
int serve_load_inherit(struct serve_load *load, struct hf_error *err);

/* Threads that reap; new commands once serve_load_issue() has been called. */
int serve_load_start(struct serve_load *load, struct hf_error *err);
void serve_load_issue(struct serve_load *load, bool allowed);

/* Nothing is issued or reaped by a thread any more; commands stay under way.
 * What has ended by now has been told. Threads may be there: the driver's
 * queues stay until serve_load_stop(). */
void serve_load_pause(struct serve_load *load);

/* The same, and the threads are gone. */
void serve_load_stop(struct serve_load *load);

/* Waits until nothing is under way; false after @timeout_ms. */
bool serve_load_drain(struct serve_load *load, uint32_t timeout_ms);

/* Reads everything that was ever written. Nothing is under way. */
int serve_load_verify_all(struct serve_load *load, struct hf_error *err);

/* Lets go of everything but the driver. @keep: that is gone already, and the
 * DMA memory stays a successor's. */
void serve_load_fini(struct serve_load *load, bool keep);
