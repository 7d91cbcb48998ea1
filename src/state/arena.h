/* SPDX-License-Identifier: BSD-3-Clause */
/* Many small pieces of memory that all live for the length of one call. Knows
 * nothing of what is in them. */
#pragma once

#include <stddef.h>

struct hf_arena_part;

struct hf_arena {
	struct hf_arena_part *parts; /* the newest first */
	size_t used_bytes;           /* of the newest */
	size_t left_bytes; /* that may still be taken; what hostile input can
			    * cause ends here */
};

/* @max_bytes: all pieces together, with what alignment adds. */
void hf_arena_init(struct hf_arena *arena, size_t max_bytes);
void hf_arena_fini(struct hf_arena *arena);

/* Not zeroed, aligned for anything. NULL when memory, or @max_bytes, ran out.
 */
void *hf_arena_take(struct hf_arena *arena, size_t len_bytes);
