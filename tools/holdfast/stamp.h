/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks that say themselves what they are: which load wrote them, where, and
 * how often that place had been written before. Does no I/O. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 64 bits of a well mixed hash; the same on every machine. */
uint64_t stamp_hash(const void *data, size_t len_bytes, uint64_t seed);

/* Whether all bytes are zero. */
bool stamp_is_zero(const void *data, size_t len_bytes);

#define STAMP_MIN_BLOCK_BYTES 512u

/**
 * struct stamp - what a block is
 * @load: which load wrote it: drawn at random for each
 * @lba: where it belongs
 * @generation: how often the place has been written by that load, from 1
 */
struct stamp {
	uint64_t load;
	uint64_t lba;
	uint64_t generation;
};

/**
 * stamp_write() - fill a block
 * @block: 8-byte aligned
 * @block_bytes: at least STAMP_MIN_BLOCK_BYTES, a multiple of 64
 * @stamp: what it is to say
 *
 * Every byte depends on the stamp, so that a block that is torn between two
 * generations fails its checksum.
 */
void stamp_write(void *block, size_t block_bytes, const struct stamp *stamp);

enum stamp_verdict {
	STAMP_GOOD,
	STAMP_NONE,    /* no stamp at all */
	STAMP_TORN,    /* a stamp, and the checksum is wrong */
	STAMP_FOREIGN, /* whole, of another load */
	STAMP_MOVED,   /* whole, of another place */
};

/**
 * stamp_read() - judge a block
 * @block: 8-byte aligned
 * @block_bytes: as for stamp_write()
 * @load: the load that is expected
 * @lba: the place that is expected
 * @found: receives what the block says, unless STAMP_NONE
 *
 * Return: STAMP_GOOD when it is whole, of this load and place; the
 * generation is for the caller to judge.
 */
enum stamp_verdict stamp_read(const void *block, size_t block_bytes,
			      uint64_t load, uint64_t lba, struct stamp *found);

/* "another block's data", for messages. */
const char *stamp_verdict_text(enum stamp_verdict verdict);
