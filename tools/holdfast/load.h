/* SPDX-License-Identifier: BSD-3-Clause */
/* What a verified load has written, and what it has under way, in memory that
 * can outlive the process. Does no I/O: whoever issues tells it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stamp.h"

/**
 * struct load_geometry - the part of a namespace that a load works on
 * @load: drawn at random: stamps of other loads are foreign
 * @nsid: namespace
 * @block_bytes: its block size
 * @unit_blocks: blocks that are always read and written together
 * @slots: commands under way at most
 * @first_lba: where it begins
 * @units: how many units it has
 */
struct load_geometry {
	uint64_t load;
	uint32_t nsid;
	uint32_t block_bytes;
	uint32_t unit_blocks;
	uint32_t slots;
	uint64_t first_lba;
	uint64_t units;
};

/* Counted over all processes that used the table. What is issued and what has
 * ended is told by the slots, so that a process killed between any two stores
 * does not miscount it. */
struct load_counters {
	uint64_t issued;
	uint64_t completed;
	uint64_t failed;
	uint64_t not_begun;  /* never reached the controller */
	uint64_t unsure;     /* writes whose end nobody learned */
	uint64_t duplicated; /* completions for what was not under way */
	uint64_t verified_blocks;
	uint64_t wrong_blocks;
};

enum load_slot_state {
	LOAD_SLOT_FREE,
	LOAD_SLOT_READING,
	LOAD_SLOT_WRITING,
};

/* A command under way. */
struct load_slot {
	uint32_t state; /* enum load_slot_state */
	uint32_t sequence;
	uint32_t generation; /* with writing: what is being written */
	uint32_t ended;      /* sequence of the last one that ended */
	uint32_t handed;     /* sequence of the last one that was handed over */
	uint32_t reserved;
	uint64_t unit;
};

struct load_table;

/**
 * load_table_create() - a table in a memfd, nothing written yet
 * @table: receives it
 * @geometry: of the load
 * @fd: receives the memfd, for a successor; may be NULL
 *
 * Return: 0, -EINVAL or another negative errno.
 */
int load_table_create(struct load_table **table,
		      const struct load_geometry *geometry, int *fd);

/**
 * load_table_attach() - a predecessor's table
 * @table: receives it
 * @fd: the memfd; stays the caller's
 *
 * Every number in it is checked. Slots that are not free are what was under
 * way: each is to be ended with load_end().
 *
 * Return: 0, -EBADMSG for what is no table, another negative errno.
 */
int load_table_attach(struct load_table **table, int fd);
/* The same where all of the file is mapped already: at @memory, which is the
 * table's from now on if this succeeds. */
int load_table_attach_at(struct load_table **table, int fd, void *memory);

/* After a crash: a unit that the dead process held is held by a slot, or by
 * nobody, where it died between the two. Looks at all of them. */
void load_free_orphans(struct load_table *table);

void load_table_close(struct load_table *table);

const struct load_geometry *load_geometry(const struct load_table *table);

/* A look at the counters; they go on meanwhile. */
void load_get_counters(const struct load_table *table,
		       struct load_counters *counters);

/* A slot's contents. */
void load_get_slot(const struct load_table *table, uint32_t slot,
		   struct load_slot *copy);

/* How often a unit was written; 0 for never. */
uint32_t load_generation(const struct load_table *table, uint64_t unit);

uint64_t load_lba(const struct load_table *table, uint64_t unit);

/**
 * load_begin() - take a unit for one command
 * @table: the table
 * @slot: free, and the caller's own
 * @unit: to be read or written
 * @write: which
 *
 * Any thread. A unit has one command at a time, so that what it must read as
 * is always known.
 *
 * Return: false when the unit has a command under way.
 */
bool load_begin(struct load_table *table, uint32_t slot, uint64_t unit,
		bool write);

/* The cookie for the command in @slot, and back. */
uint64_t load_cookie(const struct load_table *table, uint32_t slot);

/* Return: false when the cookie is not that of a command under way. */
bool load_cookie_slot(const struct load_table *table, uint64_t cookie,
		      uint32_t *slot);

/* Stamps the unit that @slot is about to write. */
void load_stamp(const struct load_table *table, uint32_t slot, void *buf);

/* What was wrong with a block. */
struct load_fault {
	uint64_t lba;
	enum stamp_verdict verdict; /* STAMP_GOOD: the wrong generation */
	struct stamp found;
	uint32_t oldest; /* generations that would have been right */
	uint32_t newest;
};

/**
 * load_check() - judge what @slot has read
 * @table: the table
 * @slot: reading
 * @buf: the unit
 * @fault: receives the first wrong block
 *
 * Return: whether every block is the last one written there, by this load.
 */
bool load_check(struct load_table *table, uint32_t slot, const void *buf,
		struct load_fault *fault);

/* A sentence on a fault. Returns @buf. */
char *load_fault_text(const struct load_fault *fault, char *buf,
		      size_t len_bytes);

enum load_outcome {
	LOAD_DONE,      /* it completed with success */
	LOAD_FAILED,    /* it completed with an error */
	LOAD_NOT_BEGUN, /* it never reached the controller */
	LOAD_UNSURE,    /* nobody knows: a write may have taken effect */
};

/**
 * load_end() - the command in @slot has ended
 * @table: the table
 * @slot: reading or writing
 * @outcome: how
 *
 * After a write that failed or is unsure, the old and the new generation are
 * both right until the next write.
 */
void load_end(struct load_table *table, uint32_t slot,
	      enum load_outcome outcome);

/* The driver has taken the command @sequence of @slot: if this process dies,
 * its successor must find it. */
void load_handed(struct load_table *table, uint32_t slot, uint32_t sequence);

/* A completion came for a command that was not under way. */
void load_count_duplicate(struct load_table *table);
