/* SPDX-License-Identifier: BSD-3-Clause */
#include "state/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/checked.h"

#define PART_BYTES ((size_t)64 << 10)

struct hf_arena_part {
	struct hf_arena_part *older;
	size_t len_bytes;
	max_align_t data[];
};

void hf_arena_init(struct hf_arena *arena, size_t max_bytes)
{
	*arena = (struct hf_arena){.left_bytes = max_bytes};
}

void hf_arena_fini(struct hf_arena *arena)
{
	while (arena->parts != NULL) {
		struct hf_arena_part *older = arena->parts->older;

		free(arena->parts);
		arena->parts = older;
	}
}

static bool add_part(struct hf_arena *arena, size_t len_bytes)
{
	len_bytes = HF_MAX(len_bytes, PART_BYTES);
	struct hf_arena_part *part = malloc(sizeof(*part) + len_bytes);

	if (part == NULL) {
		return false;
	}
	part->older = arena->parts;
	part->len_bytes = len_bytes;
	arena->parts = part;
	arena->used_bytes = 0;
	return true;
}

void *hf_arena_take(struct hf_arena *arena, size_t len_bytes)
{
	uint64_t aligned;

	if (!hf_align_up(len_bytes, alignof(max_align_t), &aligned) ||
	    aligned > arena->left_bytes) {
		return NULL;
	}
	if (arena->parts == NULL ||
	    arena->parts->len_bytes - arena->used_bytes < aligned) {
		if (!add_part(arena, aligned)) {
			return NULL;
		}
	}
	uint8_t *memory = (uint8_t *)arena->parts->data + arena->used_bytes;
	arena->used_bytes += aligned;
	arena->left_bytes -= aligned;
	return memory;
}
