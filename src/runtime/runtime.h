/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads, and ways to sleep, for those who want no event loop. The driver
 * below starts no thread and waits nowhere. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/driver.h"

/* Where callers sleep for completions of one queue pair: one of them leads and
 * reaps for all. */
struct hf_waitpoint {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	bool leader;
	uint32_t followers;
	int epoll_fd;  /* edge-triggered on the interrupt; -1 until needed */
	bool is_blind; /* there is none, which was said */
};

/* The public handle of one CPU's queue. */
struct hf_queue {
	struct hf_driver *drv;
	struct hf_issuer *issuer;
	enum hf_queue_mode mode; /* atomic */
	bool open;
	int epoll_fd; /* edge-triggered on the interrupt, and again_fd */
	int again_fd; /* eventfd: a reap stopped at its budget */
	const struct hf_qpair *watched;
	bool is_blind; /* atomic: once, an interrupt could not be watched */
	pthread_mutex_t lock; /* of mode changes */
	bool has_thread;
	bool stop; /* atomic: the thread is to end */
	pthread_t thread;
};

struct hf_runtime {
	struct hf_driver *drv;
	struct hf_waitpoint *points; /* by queue identifier less one */
	uint32_t point_count;
	struct hf_queue *queues; /* by CPU */
	bool threads;
	bool control_runs;
	bool control_ends; /* it does nothing more, and is to be joined */
	bool stop;         /* under the lock */
	pthread_mutex_t processes; /* held by the control thread at work */
	pthread_t control;
	pthread_mutex_t keep_lock; /* whoever starts the thread, or joins it */
	bool keep_runs;            /* or has ended, and is to be joined */
	pthread_t keep;
};

/* What sleeping and queues need; with options.runtime, the control thread. */
HF_MUST_CHECK int hf_runtime_create(struct hf_driver *drv,
				    struct hf_error *err);
/* The same, and none of the driver's work is done by a thread of the runtime's
 * before the same thread calls the second; ever, if it is not to @run. */
HF_MUST_CHECK int hf_runtime_create_held(struct hf_driver *drv,
					 struct hf_error *err);
void hf_runtime_let_go(struct hf_driver *drv, bool run);
/* Ends all threads. */
void hf_runtime_destroy(struct hf_driver *drv);

/* Stops all threads where they are, so that nothing reaps or calls back; and
 * starts them again. */
void hf_runtime_pause(struct hf_driver *drv);
HF_MUST_CHECK int hf_runtime_unpause(struct hf_driver *drv,
				     struct hf_error *err);

/* A thread for what hf_driver_keep_with() was given, whenever a job waits for
 * it: made then, which a take-over need not wait for. Without threads, there
 * is none. The second waits for it. */
void hf_runtime_keep_init(struct hf_runtime *runtime);
void hf_runtime_keep_fini(struct hf_runtime *runtime);

/* See hf_queue_open() and the others in holdfast/io.h. */
HF_MUST_CHECK int hf_runtime_queue_open(struct hf_driver *drv, uint32_t cpu,
					enum hf_queue_mode mode,
					struct hf_queue **queue,
					struct hf_error *err);
void hf_runtime_queue_close(struct hf_queue *queue);
HF_MUST_CHECK int hf_runtime_queue_mode(struct hf_queue *queue,
					enum hf_queue_mode mode);
void hf_runtime_queue_pause(struct hf_queue *queue);
HF_MUST_CHECK int hf_runtime_queue_unpause(struct hf_queue *queue);
int hf_runtime_queue_reap(struct hf_queue *queue, uint32_t budget);

/* Issues one I/O on the queue of the CPU that the caller runs on, and sleeps
 * until it has ended. */
HF_MUST_CHECK int hf_runtime_io_wait(struct hf_driver *drv, struct hf_io *io);
