/* SPDX-License-Identifier: BSD-3-Clause */
/* The pipeline of a copy: pieces read from one end, written to the other,
 * many at a time, and read back. Knows nothing of the command line. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "target.h"

struct copier_slot;

/* What was written where, so that it can be read back. */
struct copier_extent {
	uint64_t offset;
	uint64_t len_bytes;
	uint64_t hash; /* of the data, where it is no hole */
	bool hole;
};

/**
 * struct copier - a copy under way
 * @args: for messages
 * @source: open, with its queue
 * @dest: prepared, with its queue
 * @len_bytes: how much to copy, or TARGET_SIZE_UNKNOWN for a stream's all
 * @room_bytes: how much the destination can take
 * @chunk_bytes: size of a piece
 * @depth: pieces under way
 * @sparse: zeroes are not written where something better can be done
 * @keep_extents: remember what was written, for copier_verify()
 * @done_bytes: copied or verified so far, from the beginning on
 * @hole_bytes: of those, not written as data
 *
 * The rest is the copier's own.
 */
struct copier {
	const struct args *args;
	struct target *source;
	struct target *dest;
	uint64_t len_bytes;
	uint64_t room_bytes;
	uint64_t chunk_bytes;
	uint32_t depth;
	bool sparse;
	bool keep_extents;
	uint64_t done_bytes;
	uint64_t hole_bytes;

	uint8_t *memory;
	struct hf_driver *memory_owner;
	bool memory_shared;
	struct copier_slot *slots;
	uint64_t next;
	uint64_t tail;
	uint64_t next_offset;
	bool ended;
	bool failed;
	char reason[320];
	struct copier_extent *extents;
	uint64_t extent_count;
	uint64_t extent_room;
	uint64_t extent_next; /* to be read back */
	uint64_t extent_done; /* of that extent */
};

/* Memory for the pieces. Returns an exit code. */
int copier_init(struct copier *copier);
void copier_fini(struct copier *copier);

/* Each returns an exit code; a failure has said how far it came. */
int copier_run(struct copier *copier);
int copier_verify(struct copier *copier);
