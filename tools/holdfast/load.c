/* SPDX-License-Identifier: BSD-3-Clause */
#include "load.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOAD_MAGIC   UINT64_C(0x6c6f6164746162) /* "loadtab" */
#define LOAD_VERSION 1

/*
 * A unit's word: the newest generation in bits 30:0, the oldest that is right
 * as well in bits 61:31, and bit 63 while a command is under way on it. One
 * word, so that a process killed between any two stores leaves it whole.
 */
#define WORD_BUSY       (UINT64_C(1) << 63)
#define GENERATION_BITS 31
#define GENERATION_MAX  ((UINT32_C(1) << GENERATION_BITS) - 1)

static uint64_t word_make(uint32_t oldest, uint32_t newest)
{
	return (uint64_t)oldest << GENERATION_BITS | newest;
}

static uint32_t word_newest(uint64_t word)
{
	return (uint32_t)(word & GENERATION_MAX);
}

static uint32_t word_oldest(uint64_t word)
{
	return (uint32_t)(word >> GENERATION_BITS & GENERATION_MAX);
}

/* The memfd's first page; slots follow, then the units' words. */
struct header {
	uint64_t magic;
	uint32_t version;
	uint32_t reserved;
	struct load_geometry geometry;
	struct load_counters counters;
};

#define HEADER_BYTES 4096u
static_assert(sizeof(struct header) <= HEADER_BYTES, "a page for the header");

struct load_table {
	struct load_geometry geometry; /* checked; the mapped one may change */
	uint64_t len_bytes;
	struct header *header;
	struct load_slot *slots;
	uint64_t *words;
};

static bool geometry_len(const struct load_geometry *g, uint64_t *len_bytes)
{
	uint64_t unit_bytes;
	uint64_t blocks;
	uint64_t end;
	uint64_t words;

	if (g->block_bytes < STAMP_MIN_BLOCK_BYTES || g->block_bytes % 64 ||
	    g->unit_blocks == 0 || g->slots == 0 || g->slots > 1u << 20 ||
	    g->units == 0) {
		return false;
	}
	if (__builtin_mul_overflow((uint64_t)g->unit_blocks, g->block_bytes,
				   &unit_bytes) ||
	    unit_bytes > UINT32_MAX ||
	    __builtin_mul_overflow(g->units, g->unit_blocks, &blocks) ||
	    __builtin_add_overflow(g->first_lba, blocks, &end) ||
	    __builtin_mul_overflow(g->units, sizeof(uint64_t), &words) ||
	    words > INT64_MAX / 2) {
		return false;
	}
	*len_bytes = HEADER_BYTES + g->slots * sizeof(struct load_slot) + words;
	return true;
}

static int map_table(struct load_table **table, int fd,
		     const struct load_geometry *geometry, uint64_t len_bytes,
		     void *memory)
{
	struct load_table *made = calloc(1, sizeof(*made));

	if (!made) {
		return -ENOMEM;
	}

	if (!memory) {
		memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd, 0);
	}
	if (memory == MAP_FAILED) {
		int error = -errno;

		free(made);
		return error;
	}
	made->geometry = *geometry;
	made->len_bytes = len_bytes;
	made->header = memory;
	made->slots = (void *)((char *)memory + HEADER_BYTES);
	made->words = (void *)(made->slots + geometry->slots);
	*table = made;
	return 0;
}

int load_table_create(struct load_table **table,
		      const struct load_geometry *geometry, int *fd)
{
	uint64_t len;

	if (!geometry_len(geometry, &len)) {
		return -EINVAL;
	}

	int memory =
		memfd_create("holdfast-load", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memory < 0) {
		return -errno;
	}

	int result = 0;
	if (ftruncate(memory, (off_t)len) != 0) {
		result = -errno;
	}
	if (!result) {
		result = map_table(table, memory, geometry, len, NULL);
	}
	if (result) {
		close(memory);
		return result;
	}
	(*table)->header->version = LOAD_VERSION;
	(*table)->header->geometry = *geometry;
	__atomic_store_n(&(*table)->header->magic, LOAD_MAGIC,
			 __ATOMIC_RELEASE);
	if (fd) {
		*fd = memory;
	} else {
		close(memory);
	}
	return 0;
}

void load_free_orphans(struct load_table *table)
{
	for (uint64_t i = 0; i < table->geometry.units; i++) {
		bool held = false;

		if (!(table->words[i] & WORD_BUSY)) {
			continue;
		}
		for (uint32_t s = 0; s < table->geometry.slots && !held; s++) {
			held = table->slots[s].state != LOAD_SLOT_FREE &&
			       table->slots[s].unit == i;
		}
		if (!held) {
			table->words[i] &= ~WORD_BUSY;
		}
	}
}

int load_table_attach(struct load_table **table, int fd)
{
	return load_table_attach_at(table, fd, NULL);
}

int load_table_attach_at(struct load_table **table, int fd, void *memory)
{
	struct header header;
	struct stat st;
	uint64_t len;

	if (fstat(fd, &st) != 0) {
		return -errno;
	}
	/* A copy: what is judged is what is used. */
	if (memory && st.st_size >= (off_t)sizeof(header)) {
		memcpy(&header, memory, sizeof(header));
	} else if (pread(fd, &header, sizeof(header), 0) !=
		   (ssize_t)sizeof(header)) {
		return -EBADMSG;
	}
	if (header.magic != LOAD_MAGIC || header.version != LOAD_VERSION ||
	    !geometry_len(&header.geometry, &len) ||
	    (uint64_t)st.st_size < len) {
		return -EBADMSG;
	}

	int result = map_table(table, fd, &header.geometry, len, memory);
	if (result) {
		return result;
	}
	for (uint32_t i = 0; i < header.geometry.slots; i++) {
		struct load_slot *slot = &(*table)->slots[i];

		if (slot->state > LOAD_SLOT_WRITING ||
		    slot->unit >= header.geometry.units ||
		    slot->generation > GENERATION_MAX) {
			load_table_close(*table);
			return -EBADMSG;
		}
		if (slot->state == LOAD_SLOT_FREE) {
			/* Drawn, and never begun: its process died there. */
			slot->sequence = slot->ended;
		}
	}
	return 0;
}

void load_table_close(struct load_table *table)
{
	if (table) {
		munmap(table->header, table->len_bytes);
		free(table);
	}
}

const struct load_geometry *load_geometry(const struct load_table *table)
{
	return &table->geometry;
}

static uint64_t counter(const uint64_t *value)
{
	return __atomic_load_n(value, __ATOMIC_RELAXED);
}

static void count(uint64_t *value, uint64_t by)
{
	__atomic_fetch_add(value, by, __ATOMIC_RELAXED);
}

void load_get_counters(const struct load_table *table,
		       struct load_counters *counters)
{
	const struct load_counters *from = &table->header->counters;

	uint64_t ended = 0;
	uint64_t issued = 0;

	for (uint32_t i = 0; i < table->geometry.slots; i++) {
		const struct load_slot *slot = &table->slots[i];

		/* What has ended was issued: looked at in this order. */
		ended += __atomic_load_n(&slot->ended, __ATOMIC_ACQUIRE);
		issued += __atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE);
	}
	*counters = (struct load_counters){
		.issued = issued,
		.failed = counter(&from->failed),
		.not_begun = counter(&from->not_begun),
		.unsure = counter(&from->unsure),
		.duplicated = counter(&from->duplicated),
		.verified_blocks = counter(&from->verified_blocks),
		.wrong_blocks = counter(&from->wrong_blocks),
	};
	counters->completed = ended - counters->failed - counters->not_begun -
			      counters->unsure;
}

void load_get_slot(const struct load_table *table, uint32_t slot,
		   struct load_slot *copy)
{
	assert(slot < table->geometry.slots);
	*copy = table->slots[slot];
}

static uint64_t word_load(const struct load_table *table, uint64_t unit)
{
	return __atomic_load_n(&table->words[unit], __ATOMIC_ACQUIRE);
}

uint32_t load_generation(const struct load_table *table, uint64_t unit)
{
	return word_newest(word_load(table, unit));
}

uint64_t load_lba(const struct load_table *table, uint64_t unit)
{
	return table->geometry.first_lba + unit * table->geometry.unit_blocks;
}

/* --------------------------------------------------------------- commands */

bool load_begin(struct load_table *table, uint32_t slot, uint64_t unit,
		bool write)
{
	struct load_slot *mine = &table->slots[slot];
	uint64_t word = word_load(table, unit);

	assert(slot < table->geometry.slots && unit < table->geometry.units);
	assert(mine->state == LOAD_SLOT_FREE);
	if (word & WORD_BUSY ||
	    !__atomic_compare_exchange_n(&table->words[unit], &word,
					 word | WORD_BUSY, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
		return false;
	}

	/* A load that writes one unit two thousand million times is at its
	 * end; the generation then stays, and hides nothing but repeats. */
	uint32_t newest = word_newest(word);
	mine->unit = unit;
	mine->generation = newest < GENERATION_MAX ? newest + 1 : newest;
	__atomic_store_n(&mine->sequence, mine->sequence + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&mine->state,
			 write ? LOAD_SLOT_WRITING : LOAD_SLOT_READING,
			 __ATOMIC_RELEASE);
	return true;
}

uint64_t load_cookie(const struct load_table *table, uint32_t slot)
{
	return (uint64_t)table->slots[slot].sequence << 32 | slot;
}

bool load_cookie_slot(const struct load_table *table, uint64_t cookie,
		      uint32_t *slot)
{
	uint32_t found = (uint32_t)cookie;

	if (found >= table->geometry.slots ||
	    table->slots[found].state == LOAD_SLOT_FREE ||
	    table->slots[found].sequence != cookie >> 32) {
		return false;
	}
	*slot = found;
	return true;
}

void load_stamp(const struct load_table *table, uint32_t slot, void *buf)
{
	const struct load_slot *mine = &table->slots[slot];
	const struct load_geometry *g = &table->geometry;
	uint64_t lba = load_lba(table, mine->unit);

	for (uint32_t i = 0; i < g->unit_blocks; i++) {
		struct stamp stamp = {
			.load = g->load,
			.lba = lba + i,
			.generation = mine->generation,
		};

		stamp_write((char *)buf + (size_t)i * g->block_bytes,
			    g->block_bytes, &stamp);
	}
}

/* Right: between the two generations; anything where none was written yet. */
static bool judge(const struct load_geometry *g, const void *block,
		  uint64_t word, struct load_fault *fault)
{
	fault->oldest = word_oldest(word);
	fault->newest = word_newest(word);
	if (fault->newest == 0) {
		return true;
	}
	fault->verdict = stamp_read(block, g->block_bytes, g->load, fault->lba,
				    &fault->found);
	if (fault->verdict != STAMP_GOOD) {
		return fault->oldest == 0;
	}
	return fault->found.generation >= fault->oldest &&
	       fault->found.generation <= fault->newest;
}

bool load_check(struct load_table *table, uint32_t slot, const void *buf,
		struct load_fault *fault)
{
	const struct load_slot *mine = &table->slots[slot];
	const struct load_geometry *g = &table->geometry;
	uint64_t word = word_load(table, mine->unit);
	uint64_t lba = load_lba(table, mine->unit);

	for (uint32_t i = 0; i < g->unit_blocks; i++) {
		*fault = (struct load_fault){.lba = lba + i};
		if (!judge(g, (const char *)buf + (size_t)i * g->block_bytes,
			   word, fault)) {
			count(&table->header->counters.wrong_blocks, 1);
			return false;
		}
	}
	if (word_newest(word) != 0) {
		count(&table->header->counters.verified_blocks, g->unit_blocks);
	}
	return true;
}

char *load_fault_text(const struct load_fault *fault, char *buf,
		      size_t len_bytes)
{
	if (fault->verdict == STAMP_GOOD) {
		snprintf(buf, len_bytes,
			 "LBA %" PRIu64 " holds generation %" PRIu64
			 ", and %" PRIu32 " was written last",
			 fault->lba, fault->found.generation, fault->newest);
	} else if (fault->verdict == STAMP_NONE) {
		snprintf(buf, len_bytes,
			 "LBA %" PRIu64 " holds %s; generation %" PRIu32
			 " was written there",
			 fault->lba, stamp_verdict_text(fault->verdict),
			 fault->newest);
	} else {
		snprintf(buf, len_bytes,
			 "LBA %" PRIu64 " holds %s: LBA %" PRIu64
			 ", generation %" PRIu64 "; generation %" PRIu32
			 " was written there",
			 fault->lba, stamp_verdict_text(fault->verdict),
			 fault->found.lba, fault->found.generation,
			 fault->newest);
	}
	return buf;
}

/* What a unit holds after a write that ended so. */
static uint64_t word_after(uint64_t word, uint32_t generation,
			   enum load_outcome outcome)
{
	switch (outcome) {
	case LOAD_DONE:
		return word_make(generation, generation);
	case LOAD_FAILED:
	case LOAD_UNSURE:
		return word_make(word_oldest(word), generation);
	case LOAD_NOT_BEGUN:
		return word & ~WORD_BUSY;
	}
	return word;
}

void load_end(struct load_table *table, uint32_t slot,
	      enum load_outcome outcome)
{
	struct load_slot *mine = &table->slots[slot];
	struct load_counters *counters = &table->header->counters;
	uint64_t unit = mine->unit;
	uint64_t word = word_load(table, unit);
	bool write = mine->state == LOAD_SLOT_WRITING;

	assert(mine->state != LOAD_SLOT_FREE);
	if (write) {
		word = word_after(word, mine->generation, outcome);
	}
	if (outcome == LOAD_NOT_BEGUN) {
		count(&counters->not_begun, 1);
	} else if (outcome == LOAD_FAILED) {
		count(&counters->failed, 1);
	} else if (outcome == LOAD_UNSURE) {
		count(&counters->unsure, 1);
	}

	/*
	 * The word first, still busy, so that nobody takes the unit; then the
	 * slot; then the unit is free. A process that dies in between leaves
	 * a slot that is ended again by its successor, with what the driver
	 * then says, or a busy unit that no slot holds.
	 */
	__atomic_store_n(&table->words[unit], word | WORD_BUSY,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&mine->ended, mine->sequence, __ATOMIC_RELEASE);
	__atomic_store_n(&mine->state, LOAD_SLOT_FREE, __ATOMIC_RELEASE);
	__atomic_store_n(&table->words[unit], word & ~WORD_BUSY,
			 __ATOMIC_RELEASE);
}

void load_handed(struct load_table *table, uint32_t slot, uint32_t sequence)
{
	__atomic_store_n(&table->slots[slot].handed, sequence,
			 __ATOMIC_RELEASE);
}

void load_count_duplicate(struct load_table *table)
{
	count(&table->header->counters.duplicated, 1);
}
