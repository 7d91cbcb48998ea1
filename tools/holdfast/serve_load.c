/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve_load.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <holdfast/io.h>
#include <holdfast/servicing.h>

#include "progress.h"
#include "serve_load_internal.h"
#include "turns.h"

#define BATCH      32u
#define UNIT_TRIES 16

static uint64_t draw_below(struct serve_worker *worker, uint64_t limit)
{
	uint64_t x = worker->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	worker->random = x;
	x *= UINT64_C(0x2545f4914f6cdd1d);
	return (uint64_t)((unsigned __int128)x * limit >> 64);
}

static uint64_t unit_bytes(const struct serve_load *load)
{
	const struct load_geometry *g = load_geometry(load->table);

	return (uint64_t)g->unit_blocks * g->block_bytes;
}

void *serve_load_slot_buf(const struct serve_load *load, uint32_t slot)
{
	return load->memory + slot * unit_bytes(load);
}

struct serve_io *serve_load_slot_io(const struct serve_load *load,
				    uint32_t slot)
{
	uint32_t depth = load->shared->depth;

	return &load->workers[slot / depth].ios[slot % depth];
}

/* ------------------------------------------------------------- completions */

static void give_back(struct serve_io *io)
{
	struct serve_worker *worker = io->worker;

	pthread_mutex_lock(&worker->lock);
	worker->free[worker->free_count++] = io;
	pthread_mutex_unlock(&worker->lock);
}

static void note_time(struct serve_load *load)
{
	uint64_t now = progress_now_ns();

	if (atomic_load_explicit(&load->waiting, memory_order_relaxed) &&
	    atomic_exchange(&load->waiting, false)) {
		uint64_t last = load->shared->last_ns;

		serve_shared_gap(load->shared, load->way,
				 now > last ? now - last : 0);
		atomic_store(&load->first_ns, now);
	}
	__atomic_store_n(&load->shared->last_ns, now, __ATOMIC_RELAXED);
}

static void note_failure(struct serve_load *load, const struct hf_io *io,
			 int result)
{
	char words[160];
	char text[320];

	snprintf(text, sizeof(text), "%s of LBA %" PRIu64 " failed: %s",
		 io->op == HF_OP_WRITE ? "a write" : "a read", io->lba,
		 hf_result_text(result, words, sizeof(words)));
	serve_shared_fault(load->shared, text);
}

void serve_load_done(struct hf_io *io, int result)
{
	struct serve_io *mine = io->user;
	struct serve_load *load = mine->worker->load;
	enum load_outcome outcome = LOAD_DONE;
	struct load_fault fault;
	char text[320];

	if (result == -ECANCELED && atomic_load(&load->leaving)) {
		outcome = LOAD_NOT_BEGUN;
	} else if (result) {
		note_failure(load, io, result);
		serve_shared_end(load->shared, result);
		outcome = LOAD_FAILED;
	} else if (io->op == HF_OP_READ &&
		   !load_check(load->table, mine->slot, io->buf, &fault)) {
		serve_shared_fault(load->shared,
				   load_fault_text(&fault, text, sizeof(text)));
	}
	if (outcome != LOAD_NOT_BEGUN) {
		note_time(load);
	}
	load_end(load->table, mine->slot, outcome);
	give_back(mine);
}

/* The dead process had been told of this one. */
void serve_load_done_again(struct hf_io *io, int result)
{
	(void)result;
	give_back(io->user);
}

/* --------------------------------------------------------------- new work */

/* False when no unit was free. */
static bool prepare(struct serve_worker *worker, struct serve_io *io)
{
	struct serve_load *load = worker->load;
	struct load_table *table = load->table;
	const struct load_geometry *g = load_geometry(table);

	for (int i = 0; i < UNIT_TRIES; i++) {
		uint64_t unit = draw_below(worker, g->units);
		struct load_slot slot;

		io->write =
			load_generation(table, unit) == 0 ||
			draw_below(worker, 100) >= load->shared->read_percent;
		if (!load_begin(table, io->slot, unit, io->write)) {
			continue;
		}
		void *buf = serve_load_slot_buf(load, io->slot);
		if (io->write) {
			load_stamp(table, io->slot, buf);
			hf_io_prep_write(&io->io, load->ns,
					 load_lba(table, unit), g->unit_blocks,
					 buf);
		} else {
			hf_io_prep_read(&io->io, load->ns,
					load_lba(table, unit), g->unit_blocks,
					buf);
		}
		load_get_slot(table, io->slot, &slot);
		io->sequence = slot.sequence;
		io->io.flags = HF_IO_NOWAIT;
		io->io.timeout_ms = load->shared->timeout_ms;
		io->io.cookie = load_cookie(table, io->slot);
		io->io.done = serve_load_done;
		io->io.user = io;
		return true;
	}
	return false;
}

static bool is_to_stop(const struct serve_worker *worker)
{
	return atomic_load_explicit(&worker->load->stop, memory_order_relaxed);
}

static uint32_t collect(struct serve_worker *worker, struct serve_io **batch)
{
	uint32_t count = 0;
	uint32_t ready = 0;

	pthread_mutex_lock(&worker->lock);
	while (count < BATCH && worker->free_count > 0) {
		batch[count++] = worker->free[--worker->free_count];
	}
	pthread_mutex_unlock(&worker->lock);
	while (ready < count && !is_to_stop(worker) &&
	       prepare(worker, batch[ready])) {
		ready++;
	}
	for (uint32_t i = ready; i < count; i++) {
		give_back(batch[i]);
	}
	return ready;
}

/* Return: how many the driver took. */
static uint32_t hand_over(struct serve_worker *worker, struct serve_io **batch,
			  uint32_t count)
{
	struct load_table *table = worker->load->table;
	struct hf_io *ios[BATCH];
	int taken;

	for (uint32_t i = 0; i < count; i++) {
		ios[i] = &batch[i]->io;
	}
	taken = count ? hf_submit(worker->queue, ios, count) : 0;
	if (taken < 0 && taken != -EAGAIN) {
		note_failure(worker->load, ios[0], taken);
	}
	uint32_t done_count = taken > 0 ? (uint32_t)taken : 0;
	for (uint32_t i = 0; i < count; i++) {
		if (i < done_count) {
			load_handed(table, batch[i]->slot, batch[i]->sequence);
		} else {
			load_end(table, batch[i]->slot, LOAD_NOT_BEGUN);
			give_back(batch[i]);
		}
	}
	return done_count;
}

/* A short turn: whoever stops the load waits for the end of it. Return: whether
 * there was something to do. */
static bool take_turn(struct serve_worker *worker)
{
	struct serve_io *batch[BATCH];
	uint32_t count = 0;

	if (atomic_load(&worker->load->issue)) {
		count = collect(worker, batch);
		count = hand_over(worker, batch, count);
	}
	return hf_reap(worker->queue, BATCH) > 0 || count > 0;
}

static void *worker_main(void *user)
{
	struct serve_worker *worker = user;
	struct pollfd completions = {.fd = worker->queue_fd, .events = POLLIN};

	for (;;) {
		pthread_mutex_lock(&worker->works);
		bool stop = is_to_stop(worker);
		bool idle = !stop && !take_turn(worker);
		pthread_mutex_unlock(&worker->works);
		if (stop) {
			return NULL;
		}
		if (idle) {
			/* A timeout is as good: it looks again. */
			(void)!poll(&completions, 1, 1);
		}
	}
}

/* ------------------------------------------------------------- beginnings */

int serve_load_no_memory(struct hf_error *err)
{
	snprintf(err->message, sizeof(err->message), "out of memory");
	return -1;
}

static int make_worker(struct serve_load *load, uint32_t i,
		       struct hf_error *err)
{
	struct serve_worker *worker = &load->workers[i];
	uint32_t depth = load->shared->depth;

	worker->load = load;
	worker->cpu = i;
	worker->random = (progress_now_ns() + i * 7919) | 1;
	pthread_mutex_init(&worker->lock, NULL);
	turns_mutex_init(&worker->works);
	worker->ios = calloc(depth, sizeof(*worker->ios));
	worker->free = calloc(depth, sizeof(struct serve_io *));
	if (!worker->ios || !worker->free) {
		return serve_load_no_memory(err);
	}
	for (uint32_t j = 0; j < depth; j++) {
		worker->ios[j].worker = worker;
		worker->ios[j].slot = i * depth + j;
	}
	if (hf_queue_open(&worker->queue, load->drv, i, HF_EVENT, err) != 0) {
		worker->queue = NULL;
		return -1;
	}
	worker->queue_fd = hf_queue_fd(worker->queue);
	return 0;
}

int serve_load_make_workers(struct serve_load *load, struct hf_error *err)
{
	load->workers = calloc(load->shared->workers, sizeof(*load->workers));
	if (!load->workers) {
		return serve_load_no_memory(err);
	}
	for (uint32_t i = 0; i < load->shared->workers; i++) {
		if (make_worker(load, i, err) != 0) {
			return -1;
		}
	}
	load->memory_bytes = unit_bytes(load) *
			     (uint64_t)load->shared->workers *
			     load->shared->depth;
	return 0;
}

static void note_first(struct hf_io *io, int result)
{
	io->result = result;
	atomic_store((atomic_bool *)io->user, true);
}

/* The queue pair is made by this. */
static int touch_queue(struct serve_load *load, struct serve_worker *worker,
		       struct hf_error *err)
{
	atomic_bool ended = false;
	struct hf_io io;
	struct hf_io *list = &io;

	hf_io_prep_read(&io, load->ns, load_lba(load->table, 0),
			load_geometry(load->table)->unit_blocks, load->memory);
	io.done = note_first;
	io.user = &ended;
	int rc = hf_submit(worker->queue, &list, 1);
	if (rc != 1) {
		snprintf(err->message, sizeof(err->message),
			 "queue of CPU %" PRIu32 ": submit: %d", worker->cpu,
			 rc);
		return -1;
	}
	while (!atomic_load(&ended)) {
		if (hf_reap(worker->queue, 1) == 0) {
			(void)!hf_queue_wait(worker->queue, 10);
		}
	}
	if (io.result) {
		char words[160];

		snprintf(err->message, sizeof(err->message),
			 "the first read of CPU %" PRIu32 ": %s", worker->cpu,
			 hf_result_text(io.result, words, sizeof(words)));
		return -1;
	}
	return 0;
}

static void all_are_free(struct serve_worker *worker, uint32_t depth)
{
	for (uint32_t i = depth; i > 0; i--) {
		worker->free[worker->free_count++] = &worker->ios[i - 1];
	}
}

int serve_load_prepare(struct serve_load *load, struct hf_error *err)
{
	if (serve_load_make_workers(load, err) != 0) {
		return -1;
	}
	load->memory = hf_dma_alloc(load->drv, load->memory_bytes, err);
	if (!load->memory) {
		return -1;
	}
	for (uint32_t i = 0; i < load->shared->workers; i++) {
		if (touch_queue(load, &load->workers[i], err) != 0) {
			return -1;
		}
		all_are_free(&load->workers[i], load->shared->depth);
	}
	return 0;
}

/*
 * Its CPU is set before it runs. A thread that moves itself waits for the
 * kernel to do it, and a process that is killed meanwhile was seen to keep the
 * device for seconds.
 */
static int start_worker(struct serve_worker *worker)
{
	pthread_attr_t attributes;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(worker->cpu, &set);
	pthread_attr_init(&attributes);
	pthread_attr_setaffinity_np(&attributes, sizeof(set), &set);
	int error = pthread_create(&worker->thread, &attributes, worker_main,
				   worker);
	pthread_attr_destroy(&attributes);
	/* A CPU that there is not: then anywhere. */
	return error == EINVAL ? pthread_create(&worker->thread, NULL,
						worker_main, worker)
			       : error;
}

/* For no thread: of what has ended, nothing waits for one to get a CPU. */
static void reap_all(struct serve_load *load)
{
	for (uint32_t i = 0; load->workers && i < load->shared->workers; i++) {
		if (load->workers[i].queue) {
			(void)!hf_reap(load->workers[i].queue,
				       load->shared->depth);
		}
	}
}

int serve_load_start(struct serve_load *load, struct hf_error *err)
{
	serve_load_stop(load);
	load->paused = false;
	atomic_store(&load->stop, false);
	atomic_store(&load->leaving, false);
	reap_all(load);
	for (uint32_t i = 0; i < load->shared->workers; i++) {
		int error = start_worker(&load->workers[i]);

		if (error) {
			snprintf(err->message, sizeof(err->message),
				 "no thread: %s", strerror(error));
			serve_load_stop(load);
			return -1;
		}
		load->started++;
	}
	return 0;
}

void serve_load_issue(struct serve_load *load, bool allowed)
{
	atomic_store(&load->issue, allowed);
}

/* Its thread may sleep on: waking it takes time, and a successor waits. */
static void end_turn(struct serve_worker *worker)
{
	pthread_mutex_lock(&worker->works);
	pthread_mutex_unlock(&worker->works);
}

void serve_load_pause(struct serve_load *load)
{
	if (load->paused) {
		return;
	}
	load->paused = true;
	atomic_store(&load->stop, true);
	for (uint32_t i = 0; i < load->started; i++) {
		end_turn(&load->workers[i]);
	}
	reap_all(load);
	/* What comes back in this thread was not begun. */
	atomic_store(&load->leaving, true);
}

void serve_load_stop(struct serve_load *load)
{
	serve_load_pause(load);
	for (uint32_t i = 0; i < load->started; i++) {
		pthread_join(load->workers[i].thread, NULL);
	}
	load->started = 0;
}

bool serve_load_drain(struct serve_load *load, uint32_t timeout_ms)
{
	uint64_t deadline = progress_now_ns() + (uint64_t)timeout_ms * 1000000;
	const struct timespec pause = {.tv_nsec = 1000000};

	serve_load_issue(load, false);
	/* A turn that began before may still issue. */
	for (uint32_t i = 0; i < load->started; i++) {
		pthread_mutex_lock(&load->workers[i].works);
		pthread_mutex_unlock(&load->workers[i].works);
	}
	for (;;) {
		struct load_counters c;

		load_get_counters(load->table, &c);
		if (c.issued ==
		    c.completed + c.failed + c.not_begun + c.unsure) {
			return true;
		}
		if (progress_now_ns() >= deadline) {
			return false;
		}
		nanosleep(&pause, NULL);
	}
}

int serve_load_verify_all(struct serve_load *load, struct hf_error *err)
{
	const struct load_geometry *g = load_geometry(load->table);
	struct load_fault fault;
	char text[320];

	for (uint64_t unit = 0; unit < g->units; unit++) {
		if (load_generation(load->table, unit) == 0) {
			continue;
		}
		if (!load_begin(load->table, 0, unit, false)) {
			snprintf(err->message, sizeof(err->message),
				 "unit %" PRIu64 " is still in use", unit);
			return -1;
		}
		int result = hf_read(load->ns, load_lba(load->table, unit),
				     g->unit_blocks, load->memory);
		if (result == 0 &&
		    !load_check(load->table, 0, load->memory, &fault)) {
			serve_shared_fault(
				load->shared,
				load_fault_text(&fault, text, sizeof(text)));
		}
		load_end(load->table, 0, result ? LOAD_FAILED : LOAD_DONE);
	}
	return 0;
}

void serve_load_fini(struct serve_load *load, bool keep)
{
	for (uint32_t i = 0; load->workers && i < load->shared->workers; i++) {
		struct serve_worker *worker = &load->workers[i];

		if (!keep) {
			hf_queue_close(worker->queue);
		}
		free(worker->ios);
		free(worker->free);
		if (worker->load) {
			pthread_mutex_destroy(&worker->lock);
			pthread_mutex_destroy(&worker->works);
		}
	}
	free(load->workers);
	load->workers = NULL;
	if (!keep && load->memory) {
		hf_dma_free(load->drv, load->memory);
	}
	load->memory = NULL;
}
