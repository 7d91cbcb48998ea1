/* SPDX-License-Identifier: BSD-3-Clause */
/* A load of reads that goes on over restarts, and what its processes know
 * together. Knows nothing of how they follow each other. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <holdfast/holdfast.h>

enum {
	NOTES_SLOTS_MAX = 4096,
	NOTES_STEPS_MAX = 32,
	QUEUES_MAX = 64,
	READ_BYTES = 512,
	/* Reads from here on are held by the controller until it is told. */
	HELD_LBA = 8192,
};

/* A read by its number; it is issued again when it has ended. All of its
 * numbers count its issues, so that none can be lost or told twice unseen. */
struct notes_slot {
	_Atomic uint32_t issued;
	_Atomic uint32_t handed; /* hf_submit() has returned since */
	_Atomic uint32_t ended;
};

struct notes_step {
	char name[40];
	uint64_t took_ns;
};

/* In a memfd that all processes map. */
struct notes {
	_Atomic uint64_t last_ns;  /* the newest completion */
	_Atomic uint64_t asked_ns; /* no load was to be seen from here on */
	_Atomic uint64_t held_ended;
	uint64_t save_ns;
	uint64_t restore_ns;
	uint64_t gap_ns; /* to the first completion */
	uint64_t all_ns; /* until each queue had one */
	uint64_t told_again;
	uint64_t not_begun;
	uint64_t inherited;
	uint32_t step_count;
	struct notes_step steps[NOTES_STEPS_MAX];
	struct notes_slot slots[NOTES_SLOTS_MAX];
};

struct load_io {
	struct hf_io io;
	struct load *load;
};

struct load_queue {
	struct hf_queue *queue;
	struct hf_io **todo; /* to be issued at the next turn */
	uint32_t todo_count;
	bool seen; /* has completed something in this process */
};

struct load {
	struct hf_driver *drv;
	struct hf_namespace *ns;
	struct notes *notes;
	uint8_t *memory;
	uint32_t queues;
	uint32_t slots;
	uint32_t fast;      /* of these: not held by the controller */
	uint32_t under_way; /* issued by this process, or inherited */
	uint32_t seen;      /* queues that have completed something */
	bool waiting;       /* for the first completion of this process */
	uint64_t since_ns;  /* that wait began */
	bool stopping;      /* nothing new is issued */
	struct load_io *ios;
	struct load_queue each[QUEUES_MAX];
};

void fail(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* @in_flight: reads that are under way at once; 0 for a load of one read on
 * each queue that stops before it is left. */
void load_init(struct load *load, struct notes *notes, uint32_t queues,
	       uint32_t in_flight);

/* Queues and what is to be issued; all that the driver has under way. */
void load_open(struct load *load);
/* One read on each queue, so that all exist; nothing is under way afterwards.
 */
void load_begin(struct load *load);
/* What the process before had under way is ours, the rest is to be issued. */
void load_inherit(struct load *load);

/* Takes what has ended on one queue, and issues what is due on it. */
void load_turn(struct load *load, uint32_t queue);
void load_turn_all(struct load *load);

/* Issues nothing more, and takes what ends for so long as something is to. */
void load_stop(struct load *load);

/* Every read has ended as often as it was issued. */
void load_check_all(const struct load *load);

void notes_step(struct notes *notes, const char *name, uint64_t took_ns);
