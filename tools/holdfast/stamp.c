/* SPDX-License-Identifier: BSD-3-Clause */
#include "stamp.h"

#include <assert.h>
#include <string.h>

#include <endian.h>

/* Odd constants with bits well spread. */
#define MIX_A UINT64_C(0x9e3779b97f4a7c15)
#define MIX_B UINT64_C(0xd1342543de82ef95)
#define MIX_C UINT64_C(0xbf58476d1ce4e5b9)
#define MIX_D UINT64_C(0x94d049bb133111eb)

static uint64_t finish(uint64_t x)
{
	x ^= x >> 30;
	x *= MIX_C;
	x ^= x >> 27;
	x *= MIX_D;
	x ^= x >> 31;
	return x;
}

/* Both halves of a 128-bit product: no input bit is lost. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load_word(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return le64toh(word);
}

/* Four lanes, so that the multiplications do not wait for each other. */
uint64_t stamp_hash(const void *data, size_t len_bytes, uint64_t seed)
{
	const uint8_t *at = data;
	size_t left = len_bytes;
	uint64_t lane[4] = {seed ^ MIX_A, seed ^ MIX_B, seed ^ MIX_C,
			    seed ^ MIX_D};

	while (left >= 64) {
		for (int i = 0; i < 4; i++) {
			lane[i] = fold(lane[i] ^ load_word(at + 16 * i),
				       MIX_A ^ load_word(at + 16 * i + 8)) +
				  MIX_B;
		}
		at += 64;
		left -= 64;
	}

	uint64_t hash = len_bytes * MIX_D;
	for (int i = 0; i < 4; i++) {
		hash = finish(hash ^ lane[i]);
	}
	while (left > 0) {
		uint8_t tail[8] = {0};
		size_t part = left < 8 ? left : 8;

		memcpy(tail, at, part);
		hash = finish(hash ^ load_word(tail));
		at += part;
		left -= part;
	}
	return hash;
}

bool stamp_is_zero(const void *data, size_t len_bytes)
{
	const uint8_t *bytes = data;

	if (len_bytes == 0) {
		return true;
	}
	/* Each byte equals the one before it, and the first is zero. */
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, len_bytes - 1) == 0;
}

/* ----------------------------------------------------------------- blocks */

#define STAMP_MAGIC UINT64_C(0x686f6c6466617374) /* "holdfast" */

/* The first bytes of a block, little-endian; the rest is filler. */
struct head {
	uint64_t magic;
	uint64_t load;
	uint64_t lba;
	uint64_t generation;
	uint64_t checksum; /* over the block, with this field zero */
	uint64_t reserved[3];
};
static_assert(sizeof(struct head) == 64, "the head is eight words");

static uint64_t block_checksum(const void *block, size_t block_bytes)
{
	const uint8_t *bytes = block;
	struct head head;

	memcpy(&head, bytes, sizeof(head));
	head.checksum = 0;
	return stamp_hash(bytes + sizeof(head), block_bytes - sizeof(head),
			  stamp_hash(&head, sizeof(head), STAMP_MAGIC));
}

void stamp_write(void *block, size_t block_bytes, const struct stamp *stamp)
{
	assert(block_bytes >= STAMP_MIN_BLOCK_BYTES && block_bytes % 64 == 0);

	struct head *head = block;
	uint64_t *words = block;
	uint64_t seed = finish(stamp->load ^ finish(stamp->lba) ^
			       finish(stamp->generation * MIX_A));

	*head = (struct head){
		.magic = htole64(STAMP_MAGIC),
		.load = htole64(stamp->load),
		.lba = htole64(stamp->lba),
		.generation = htole64(stamp->generation),
	};
	for (size_t i = sizeof(*head) / 8; i < block_bytes / 8; i++) {
		words[i] = htole64(seed + i * MIX_B);
	}
	head->checksum = htole64(block_checksum(block, block_bytes));
}

enum stamp_verdict stamp_read(const void *block, size_t block_bytes,
			      uint64_t load, uint64_t lba, struct stamp *found)
{
	struct head head;

	memcpy(&head, block, sizeof(head));
	*found = (struct stamp){
		.load = le64toh(head.load),
		.lba = le64toh(head.lba),
		.generation = le64toh(head.generation),
	};
	if (le64toh(head.magic) != STAMP_MAGIC) {
		return STAMP_NONE;
	}
	if (le64toh(head.checksum) != block_checksum(block, block_bytes)) {
		return STAMP_TORN;
	}
	if (found->load != load) {
		return STAMP_FOREIGN;
	}
	if (found->lba != lba) {
		return STAMP_MOVED;
	}
	return STAMP_GOOD;
}

const char *stamp_verdict_text(enum stamp_verdict verdict)
{
	switch (verdict) {
	case STAMP_GOOD:
		return "the right block";
	case STAMP_NONE:
		return "data that nobody stamped";
	case STAMP_TORN:
		return "a block whose checksum is wrong";
	case STAMP_FOREIGN:
		return "a block of an earlier load";
	case STAMP_MOVED:
		return "another block's data";
	}
	return "?";
}
