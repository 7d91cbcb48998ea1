/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <holdfast/error.h>

/* What is under way at the end is waited for so long. */
#define DRAIN_NS UINT64_C(60000000000)

/* A unit that is in use is passed over so many times. */
#define UNIT_TRIES 64

/* After so many looks at an empty queue, others may have the CPU: a controller
 * in this process, say, could need it to answer. */
#define EMPTY_LOOKS 256

struct worker_io {
	struct hf_io io;
	struct worker *worker;
	uint8_t *buf;
	uint64_t submitted_ns;
	uint64_t done_ns;
	uint32_t slot;
	bool write;
};

/* The worker that this thread is. */
static __thread struct worker *self;

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* xorshift64*: good enough to choose places with, and cheap. */
static uint64_t draw(struct worker *worker)
{
	uint64_t x = worker->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	worker->random = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* Evenly enough for any number of units, without a division. */
static uint64_t draw_below(struct worker *worker, uint64_t limit)
{
	return (uint64_t)((unsigned __int128)draw(worker) * limit >> 64);
}

static void worker_fail(struct worker *worker, const char *message)
{
	if (!worker->failed) {
		worker->failed = true;
		snprintf(worker->message, sizeof(worker->message), "%s",
			 message);
	}
	atomic_store(&worker->plan->stop, true);
}

/* ------------------------------------------------------------- completions */

static void judge(struct worker *worker, struct worker_io *io, int result)
{
	struct load_table *load = worker->plan->load;
	struct load_fault fault;
	char text[320];

	if (result == 0 && !io->write &&
	    !load_check(load, io->slot, io->buf, &fault)) {
		worker_fail(worker,
			    load_fault_text(&fault, text, sizeof(text)));
	}
	load_end(load, io->slot, result == 0 ? LOAD_DONE : LOAD_FAILED);
}

static void take_back(struct worker *worker, struct worker_io *io)
{
	int result = io->io.result;

	if (io->submitted_ns >= worker->begin_ns &&
	    io->done_ns <= worker->end_ns) {
		histogram_add(&worker->latency, io->done_ns - io->submitted_ns);
		worker->reads += !io->write;
		worker->last_ns = io->done_ns;
	}
	if (result) {
		char words[160];
		char text[320];

		snprintf(text, sizeof(text), "%s of LBA %" PRIu64 " failed: %s",
			 io->write ? "a write" : "a read", io->io.lba,
			 hf_result_text(result, words, sizeof(words)));
		worker_fail(worker, text);
	}
	if (worker->plan->load) {
		judge(worker, io, result);
	}
	worker->free[worker->free_count++] = io;
	worker->under_way--;
}

static void done(struct hf_io *io, int result)
{
	struct worker_io *mine = io->user;
	struct worker *worker = mine->worker;

	io->result = result;
	if (worker == self) {
		/* One look at the clock for all that a reap brings. */
		if (worker->reap_ns == 0) {
			worker->reap_ns = now_ns();
		}
		mine->done_ns = worker->reap_ns;
		take_back(worker, mine);
		return;
	}
	pthread_mutex_lock(&worker->lock);
	mine->done_ns = now_ns();
	unsigned int count = atomic_load_explicit(&worker->foreign_count,
						  memory_order_relaxed);
	worker->foreign[count] = mine;
	atomic_store_explicit(&worker->foreign_count, count + 1,
			      memory_order_release);
	pthread_cond_signal(&worker->returned);
	pthread_mutex_unlock(&worker->lock);
}

/* What others reaped for this worker; waits for it a little if asked to. */
static int take_foreign(struct worker *worker, bool wait)
{
	unsigned int count = atomic_load_explicit(&worker->foreign_count,
						  memory_order_acquire);
	struct timespec until;

	if (count == 0 && !wait) {
		return 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += 100000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&worker->lock);
	if (wait && atomic_load(&worker->foreign_count) == 0) {
		pthread_cond_timedwait(&worker->returned, &worker->lock,
				       &until);
	}
	count = atomic_load(&worker->foreign_count);
	for (unsigned int i = 0; i < count; i++) {
		take_back(worker, worker->foreign[i]);
	}
	atomic_store(&worker->foreign_count, 0);
	pthread_mutex_unlock(&worker->lock);
	return (int)count;
}

/* --------------------------------------------------------------- new work */

static bool choose_write(struct worker *worker)
{
	switch (worker->plan->pattern) {
	case WORKER_RANDREAD:
	case WORKER_READ:
		return false;
	case WORKER_RANDWRITE:
	case WORKER_WRITE:
		return true;
	case WORKER_RANDRW:
		return draw_below(worker, 100) >= worker->plan->read_percent;
	}
	return false;
}

static uint64_t choose_unit(struct worker *worker)
{
	const struct worker_plan *plan = worker->plan;

	if (plan->pattern != WORKER_READ && plan->pattern != WORKER_WRITE) {
		return draw_below(worker, plan->units);
	}

	uint64_t unit = worker->next_unit++;
	if (worker->next_unit == plan->units) {
		worker->next_unit = 0;
	}
	return unit;
}

/* A unit that no other command uses, held in the load's table. */
static bool claim(struct worker *worker, struct worker_io *io, uint64_t *unit)
{
	struct load_table *load = worker->plan->load;

	for (int i = 0; i < UNIT_TRIES; i++) {
		*unit = choose_unit(worker);
		/* A mixed load writes first what was never written. */
		if (worker->plan->pattern == WORKER_RANDRW && !io->write) {
			io->write = load_generation(load, *unit) == 0;
		}
		if (load_begin(load, io->slot, *unit, io->write)) {
			return true;
		}
	}
	return false;
}

static bool prepare(struct worker *worker, struct worker_io *io)
{
	struct worker_plan *plan = worker->plan;
	uint64_t unit;

	io->write = choose_write(worker);
	if (!plan->load) {
		unit = choose_unit(worker);
	} else if (!claim(worker, io, &unit)) {
		return false;
	}

	uint64_t lba = plan->first_lba + unit * plan->unit_blocks;
	if (io->write) {
		hf_io_prep_write(&io->io, plan->ns, lba, plan->unit_blocks,
				 io->buf);
	} else {
		hf_io_prep_read(&io->io, plan->ns, lba, plan->unit_blocks,
				io->buf);
	}
	io->io.user = io;
	io->io.done = done;
	if (plan->load) {
		if (io->write) {
			load_stamp(plan->load, io->slot, io->buf);
		}
		io->io.cookie = load_cookie(plan->load, io->slot);
	}
	return true;
}

static bool is_done(struct worker *worker, uint64_t now)
{
	const struct worker_plan *plan = worker->plan;

	if (atomic_load_explicit(&worker->plan->stop, memory_order_relaxed) ||
	    now >= worker->end_ns) {
		return true;
	}
	if (plan->one_pass) {
		return worker->units_left == 0;
	}
	return plan->count != 0 && worker->begun >= plan->count;
}

/* How many more may be begun. */
static uint32_t allowance(const struct worker *worker, uint64_t now)
{
	const struct worker_plan *plan = worker->plan;
	uint64_t most = plan->batch;

	if (plan->one_pass && worker->units_left < most) {
		most = worker->units_left;
	}
	if (plan->count && now >= worker->begin_ns &&
	    plan->count - worker->begun < most) {
		most = plan->count - worker->begun;
	}
	return (uint32_t)most;
}

/* Takes what is free, up to a batch. */
static uint32_t collect(struct worker *worker, uint64_t now)
{
	uint32_t most = allowance(worker, now);
	uint32_t count = 0;

	while (count < most && worker->free_count > 0) {
		struct worker_io *io = worker->free[worker->free_count - 1];

		if (!prepare(worker, io)) {
			break;
		}
		io->submitted_ns = now;
		worker->free_count--;
		worker->under_way++;
		worker->batch[count++] = &io->io;
	}
	worker->units_left -= worker->plan->one_pass ? count : 0;
	if (now >= worker->begin_ns) {
		worker->begun += count;
	}
	return count;
}

/* What is refused ends at once, with the reason. */
static void hand_over(struct worker *worker, uint32_t count)
{
	uint32_t at = 0;

	while (at < count) {
		int taken = hf_submit(worker->queue, worker->batch + at,
				      count - at);

		if (taken > 0) {
			at += (uint32_t)taken;
		} else {
			struct hf_io *io = worker->batch[at++];

			io->done(io, taken ? taken : -EAGAIN);
		}
	}
}

/* -------------------------------------------------------------- the loops */

static int reap(struct worker *worker)
{
	int count = 0;

	if (worker->plan->mode != HF_THREAD) {
		worker->reap_ns = 0;
		count = hf_reap(worker->queue, worker->plan->depth);
	}
	return count + take_foreign(worker, false);
}

/* Nothing to hand over, nothing came: sleeps, or looks again at once. */
static void wait_some(struct worker *worker)
{
	int result = 0;

	if (worker->under_way == 0) {
		sched_yield(); /* all units are in use by others */
		return;
	}
	switch (worker->plan->mode) {
	case HF_POLL:
		if (++worker->empty_looks >= EMPTY_LOOKS) {
			worker->empty_looks = 0;
			sched_yield();
		}
		break;
	case HF_EVENT:
		/* A timeout is as good: the caller looks again. Soon, where
		 * another worker may have reaped for this one. */
		result = hf_queue_wait(worker->queue,
				       worker->workers > 1 ? 2 : 100);
		break;
	case HF_THREAD:
		take_foreign(worker, true);
		break;
	}
	(void)result;
}

static void run(struct worker *worker)
{
	uint64_t now = now_ns();

	while (!is_done(worker, now)) {
		uint32_t count = collect(worker, now);

		hand_over(worker, count);
		if (reap(worker) == 0 && count == 0) {
			wait_some(worker);
		} else {
			worker->empty_looks = 0;
		}
		now = now_ns();
	}

	uint64_t deadline = now + DRAIN_NS;
	while (worker->under_way > 0 && now < deadline) {
		if (reap(worker) == 0) {
			wait_some(worker);
		}
		now = now_ns();
	}
}

static void pin(uint32_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* A CPU that is not ours to choose is no reason to stop. */
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *worker_main(void *user)
{
	struct worker *worker = user;
	const struct worker_plan *plan = worker->plan;
	uint64_t cpu_before;

	self = worker;
	pin(worker->cpu);

	uint64_t start = now_ns();
	worker->begin_ns = start + plan->warmup_ns;
	worker->end_ns =
		plan->time_ns ? worker->begin_ns + plan->time_ns : UINT64_MAX;
	worker->last_ns = worker->begin_ns;
	cpu_before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	run(worker);

	/* CPU time is taken over all of it, and told for the counted part. */
	uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_before;
	uint64_t whole = now_ns() - start;
	worker->ios = worker->latency.count;
	worker->measured_ns = worker->last_ns - worker->begin_ns;
	worker->cpu_ns =
		whole ? (uint64_t)((double)cpu * (double)worker->measured_ns /
				   (double)whole)
		      : 0;
	if (worker->under_way > 0) {
		worker->stuck = true;
		worker_fail(worker, "I/Os did not end within a minute");
	}
	atomic_store(&worker->ended, 1);
	return NULL;
}

/* ------------------------------------------------------------ life, death */

static int get_memory(struct worker *worker)
{
	const struct worker_plan *plan = worker->plan;
	struct hf_error err = {.message = ""};

	worker->io = calloc(plan->depth, sizeof(*worker->io));
	worker->free = calloc(plan->depth, sizeof(*worker->free));
	worker->foreign = calloc(plan->depth, sizeof(*worker->foreign));
	worker->batch = calloc(plan->batch, sizeof(*worker->batch));
	if (!worker->io || !worker->free || !worker->foreign ||
	    !worker->batch) {
		worker_fail(worker, "out of memory");
		return -1;
	}
	worker->memory = hf_dma_alloc(
		plan->drv, (uint64_t)plan->depth * plan->unit_bytes, &err);
	if (!worker->memory) {
		worker_fail(worker, err.message);
		return -1;
	}
	for (uint32_t i = 0; i < plan->depth; i++) {
		worker->io[i].worker = worker;
		worker->io[i].buf =
			worker->memory + (uint64_t)i * plan->unit_bytes;
		worker->io[i].slot = worker->index * plan->depth + i;
		worker->free[worker->free_count++] = &worker->io[i];
	}
	return 0;
}

void worker_reset(struct worker *worker)
{
	memset(worker, 0, sizeof(*worker));
}

int worker_init(struct worker *worker, uint64_t seed)
{
	const struct worker_plan *plan = worker->plan;
	struct hf_error err = {.message = ""};
	pthread_condattr_t attr;
	uint64_t from = plan->units * worker->index / worker->workers;
	uint64_t to = plan->units * (worker->index + 1) / worker->workers;

	pthread_mutex_init(&worker->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&worker->returned, &attr);
	pthread_condattr_destroy(&attr);
	histogram_clear(&worker->latency);
	worker->random = seed | 1;
	worker->next_unit = from;
	worker->units_left = to - from;
	if (get_memory(worker) != 0) {
		return -1;
	}
	if (hf_queue_open(&worker->queue, plan->drv, worker->cpu, plan->mode,
			  &err)) {
		worker->queue = NULL;
		worker_fail(worker, err.message);
		return -1;
	}
	return 0;
}

int worker_start(struct worker *worker)
{
	return pthread_create(&worker->thread, NULL, worker_main, worker);
}

void worker_join(struct worker *worker)
{
	pthread_join(worker->thread, NULL);
	hf_queue_close(worker->queue);
	worker->queue = NULL;
	if (!worker->stuck) {
		hf_dma_free(worker->plan->drv, worker->memory);
		worker->memory = NULL;
	}
}

void worker_fini(struct worker *worker)
{
	if (worker->queue) {
		hf_queue_close(worker->queue);
	}
	if (worker->memory && !worker->stuck) {
		hf_dma_free(worker->plan->drv, worker->memory);
	}
	free(worker->io);
	free(worker->free);
	free(worker->foreign);
	free(worker->batch);
	pthread_cond_destroy(&worker->returned);
	pthread_mutex_destroy(&worker->lock);
}
