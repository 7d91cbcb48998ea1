/* SPDX-License-Identifier: BSD-3-Clause */
#include "state/saved_unpack.h"

/* What a driver saves grows by a factor of three when it is unpacked; an empty
 * message of two bytes could become a struct of two hundred. */
#define UNPACKED_BASE_BYTES ((size_t)64 << 10)
#define UNPACKED_FACTOR     ((size_t)16)

/* Each piece of a message would be asked of the heap, and given back, by
 * itself: that was most of the time of a restore with many commands under way.
 */
static void *take(void *user, size_t len_bytes)
{
	return hf_arena_take(user, len_bytes);
}

static void leave(void *user, void *piece)
{
	(void)user;
	(void)piece;
}

Holdfast__Saved__Driver *hf_saved_unpack(struct hf_arena *arena,
					 const uint8_t *bytes, size_t len_bytes)
{
	ProtobufCAllocator allocator = {
		.alloc = take,
		.free = leave,
		.allocator_data = arena,
	};

	hf_arena_init(arena, UNPACKED_BASE_BYTES + UNPACKED_FACTOR * len_bytes);
	return holdfast__saved__driver__unpack(&allocator, len_bytes, bytes);
}
