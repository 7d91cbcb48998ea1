/* SPDX-License-Identifier: BSD-3-Clause */
/* Makes the write of one block whole for readers. Knows no medium. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * A controller promises that a read never sees half of a block that another
 * command writes at the same time. Here a table of sequence counts keeps that
 * promise: block N belongs to stripe N modulo the table. A writer makes the
 * count odd, stores, and makes it even again; a reader takes no lock and reads
 * again when a count was odd or has moved.
 */
#define HF_EMU_STRIPES          1024u
#define HF_EMU_STRIPE_RANGE_MAX 32u /* most blocks under one hold */

struct hf_emu_stripes {
	uint32_t sequence[HF_EMU_STRIPES];
};

/* Both take 1 to HF_EMU_STRIPE_RANGE_MAX blocks from @block on. */
void hf_emu_stripes_lock(struct hf_emu_stripes *stripes, uint64_t block,
			 uint32_t count);
void hf_emu_stripes_unlock(struct hf_emu_stripes *stripes, uint64_t block,
			   uint32_t count);

/* False when a writer is in there. @seen has room for @count. */
bool hf_emu_stripes_read_begin(const struct hf_emu_stripes *stripes,
			       uint64_t block, uint32_t count, uint32_t *seen);
/* False when what was read since may be half of something. */
bool hf_emu_stripes_read_whole(const struct hf_emu_stripes *stripes,
			       uint64_t block, uint32_t count,
			       const uint32_t *seen);
