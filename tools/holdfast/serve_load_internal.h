/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the load share. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <holdfast/io.h>

#include "serve_load.h"

struct serve_io {
	struct hf_io io;
	struct serve_worker *worker;
	uint32_t slot;
	uint32_t sequence;
	bool write;
};

/* One CPU's share. Others may reap for it where they share a queue pair, so
 * the list of what is free has a lock. */
struct serve_worker {
	struct serve_load *load;
	uint32_t cpu;
	uint64_t random;
	struct hf_queue *queue;
	int queue_fd;
	pthread_t thread;
	pthread_mutex_t works; /* held by the thread, but when it sleeps */
	pthread_mutex_t lock;
	struct serve_io *ios;
	struct serve_io **free;
	uint32_t free_count;
};

void *serve_load_slot_buf(const struct serve_load *load, uint32_t slot);
struct serve_io *serve_load_slot_io(const struct serve_load *load,
				    uint32_t slot);
int serve_load_make_workers(struct serve_load *load, struct hf_error *err);
/* Return: -1. */
int serve_load_no_memory(struct hf_error *err);

/* The ends of an I/O: one of the load, and one that it has heard of before. */
void serve_load_done(struct hf_io *io, int result);
void serve_load_done_again(struct hf_io *io, int result);
