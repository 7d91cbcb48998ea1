/* SPDX-License-Identifier: BSD-3-Clause */
#include "servicing_load.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "perf.h"

enum {
	REAP_BUDGET = 4096,
	STOP_MS = 20000,
};

void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "perf-servicing, process %d: ", (int)getpid());
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

void notes_step(struct notes *notes, const char *name, uint64_t took_ns)
{
	if (notes->step_count < NOTES_STEPS_MAX) {
		struct notes_step *step = &notes->steps[notes->step_count++];

		snprintf(step->name, sizeof(step->name), "%s", name);
		step->took_ns = took_ns;
	}
}

void load_init(struct load *load, struct notes *notes, uint32_t queues,
	       uint32_t in_flight)
{
	*load = (struct load){
		.notes = notes,
		.queues = queues,
		.slots = in_flight == 0 ? queues : in_flight,
		.fast = queues,
	};
}

/* ------------------------------------------------------------- completions */

static void note_time(struct load *load, struct load_queue *queue)
{
	struct notes *notes = load->notes;
	uint64_t now = now_ns(CLOCK_MONOTONIC);
	uint64_t last = atomic_load(&notes->last_ns);

	if (load->waiting) {
		uint64_t asked = atomic_load(&notes->asked_ns);

		load->waiting = false;
		load->since_ns = asked > last ? asked : last;
		notes->gap_ns = now - load->since_ns;
	}
	if (!queue->seen) {
		queue->seen = true;
		load->seen++;
		if (load->seen == load->queues) {
			notes->all_ns = now - load->since_ns;
		}
	}
	atomic_store(&notes->last_ns, now);
}

static void done(struct hf_io *io, int result)
{
	struct load *load = ((struct load_io *)io)->load;
	uint32_t number = (uint32_t)io->cookie;
	uint32_t sequence = (uint32_t)(io->cookie >> 32);

	if (number >= load->slots || io != &load->ios[number].io) {
		fail("a completion of a read %#" PRIx64 " that there is not",
		     io->cookie);
	}
	struct notes_slot *slot = &load->notes->slots[number];
	struct load_queue *queue = &load->each[number % load->queues];

	if (sequence != atomic_load(&slot->issued) ||
	    sequence != atomic_load(&slot->ended) + 1) {
		fail("read %u was told of its issue %u, but %u were issued and "
		     "%u had ended",
		     number, sequence, atomic_load(&slot->issued),
		     atomic_load(&slot->ended));
	}
	check(result, "a read", NULL);
	note_time(load, queue);
	atomic_store(&slot->ended, sequence);
	if (number >= load->fast) {
		atomic_fetch_add(&load->notes->held_ended, 1);
	}
	load->under_way--;
	if (!load->stopping) {
		queue->todo[queue->todo_count++] = io;
	}
}

/* The process before had been told of this one, and died. */
static void done_again(struct hf_io *io, int result)
{
	struct load *load = ((struct load_io *)io)->load;
	uint32_t number = (uint32_t)((struct load_io *)io - load->ios);
	struct load_queue *queue = &load->each[number % load->queues];

	check(result, "a read that is told of again", NULL);
	queue->todo[queue->todo_count++] = io;
}

/* ------------------------------------------------------------------ issuing */

static void prepare(struct load *load, uint32_t number)
{
	struct notes_slot *slot = &load->notes->slots[number];
	struct hf_io *io = &load->ios[number].io;
	uint32_t sequence = atomic_load(&slot->issued) + 1;
	uint64_t lba = number < load->fast ? number : HELD_LBA + number;

	atomic_store(&slot->issued, sequence);
	hf_io_prep_read(io, load->ns, lba, 1,
			load->memory + (size_t)number * READ_BYTES);
	io->cookie = (uint64_t)sequence << 32 | number;
	io->done = done;
}

static void issue(struct load *load, struct load_queue *queue)
{
	uint32_t count = queue->todo_count;

	queue->todo_count = 0;
	if (count == 0 || load->stopping) {
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		prepare(load, (uint32_t)((struct load_io *)queue->todo[i] -
					 load->ios));
	}
	int taken = hf_submit(queue->queue, queue->todo, count);
	if (taken != (int)count) {
		fail("a queue took %d of %u reads", taken, count);
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t number = (uint32_t)queue->todo[i]->cookie;
		struct notes_slot *slot = &load->notes->slots[number];

		atomic_store(&slot->handed, atomic_load(&slot->issued));
	}
	load->under_way += count;
}

void load_turn(struct load *load, uint32_t queue)
{
	(void)hf_reap(load->each[queue].queue, REAP_BUDGET);
	issue(load, &load->each[queue]);
}

void load_turn_all(struct load *load)
{
	for (uint32_t i = 0; i < load->queues; i++) {
		load_turn(load, i);
	}
}

void load_stop(struct load *load)
{
	uint64_t deadline =
		now_ns(CLOCK_MONOTONIC) + STOP_MS * UINT64_C(1000000);

	load->stopping = true;
	while (load->under_way > 0) {
		load_turn_all(load);
		if (now_ns(CLOCK_MONOTONIC) > deadline) {
			fail("%u reads did not end", load->under_way);
		}
	}
}

/* ---------------------------------------------------------------- beginnings
 */

void load_open(struct load *load)
{
	uint32_t room = load->slots / load->queues + 1;
	struct hf_error err;

	load->ios = calloc(load->slots, sizeof(*load->ios));
	struct hf_io **todo =
		calloc((size_t)room * load->queues, sizeof(struct hf_io *));
	if (load->ios == NULL || todo == NULL) {
		fail("out of memory");
	}
	for (uint32_t i = 0; i < load->slots; i++) {
		load->ios[i].load = load;
	}
	for (uint32_t i = 0; i < load->queues; i++) {
		load->each[i].todo = todo + (size_t)i * room;
		check(hf_queue_open(&load->each[i].queue, load->drv, i,
				    HF_EVENT, &err),
		      "hf_queue_open", &err);
	}
}

static void to_be_issued(struct load *load, uint32_t number)
{
	struct load_queue *queue = &load->each[number % load->queues];

	queue->todo[queue->todo_count++] = &load->ios[number].io;
}

void load_begin(struct load *load)
{
	for (uint32_t i = 0; i < load->queues; i++) {
		to_be_issued(load, i);
		issue(load, &load->each[i]);
	}
	load_stop(load);
	load->stopping = false;
	for (uint32_t i = 0; i < load->slots; i++) {
		to_be_issued(load, i);
	}
}

static void attach(struct load *load, const struct hf_inflight *inflight,
		   bool *used)
{
	uint32_t number = (uint32_t)inflight->cookie;
	uint32_t sequence = (uint32_t)(inflight->cookie >> 32);
	struct hf_error err;

	if (number >= load->slots || used[number]) {
		fail("the driver has a read %#" PRIx64 " under way, %s",
		     inflight->cookie,
		     number >= load->slots ? "which there is not" : "twice");
	}
	const struct notes_slot *slot = &load->notes->slots[number];
	struct hf_io *io = &load->ios[number].io;
	bool again = sequence == atomic_load(&slot->ended);

	if (sequence != atomic_load(&slot->issued) ||
	    (again && !inflight->completed)) {
		fail("issue %u of read %u is under way, but %u were issued and "
		     "%u had ended",
		     sequence, number, atomic_load(&slot->issued),
		     atomic_load(&slot->ended));
	}
	io->ns = load->ns;
	io->done = again ? done_again : done;
	check(hf_io_attach(io, inflight, &err), "hf_io_attach", &err);
	used[number] = true;
	load->under_way += again ? 0 : 1;
	load->notes->told_again += again ? 1 : 0;
}

/* What the driver does not know of had ended, was not sent, or is lost. */
static void settle(struct load *load, uint32_t number)
{
	struct notes_slot *slot = &load->notes->slots[number];
	uint32_t issued = atomic_load(&slot->issued);

	if (issued != atomic_load(&slot->ended)) {
		if (issued == atomic_load(&slot->handed)) {
			fail("read %u was under way and is nowhere to be found",
			     number);
		}
		load->notes->not_begun++;
		atomic_store(&slot->ended, issued);
	}
	to_be_issued(load, number);
}

void load_inherit(struct load *load)
{
	bool used[NOTES_SLOTS_MAX] = {false};
	struct hf_inflight inflight;
	uint64_t len_bytes = 0;
	uint64_t cursor = 0;
	uint32_t at = 0;
	void *memory;

	if (hf_dma_next(load->drv, &at, &memory, &len_bytes) != 1 ||
	    len_bytes < (uint64_t)load->slots * READ_BYTES) {
		fail("the memory of the process before is not there");
	}
	load->memory = memory;
	load->waiting = true;
	while (hf_inflight_next(load->drv, &cursor, &inflight) == 1) {
		attach(load, &inflight, used);
	}
	load->notes->inherited = load->under_way;
	for (uint32_t i = 0; i < load->slots; i++) {
		if (!used[i]) {
			settle(load, i);
		}
	}
}

void load_check_all(const struct load *load)
{
	for (uint32_t i = 0; i < load->slots; i++) {
		const struct notes_slot *slot = &load->notes->slots[i];

		if (atomic_load(&slot->issued) != atomic_load(&slot->ended)) {
			fail("read %u was issued %u times and ended %u times",
			     i, atomic_load(&slot->issued),
			     atomic_load(&slot->ended));
		}
	}
}
