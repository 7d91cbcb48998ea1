/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue/sq.h"

#include <assert.h>

void hf_sq_init(struct hf_sq *sq, struct nvme_sqe *ring, uint32_t entries)
{
	assert(entries >= 2);
	sq->ring = ring;
	sq->entries = entries;
	sq->count = 0;
	sq->tail = 0;
	sq->tail_rung = 0;
	sq->head = 0;
}

void hf_sq_commit(struct hf_sq *sq)
{
	assert(hf_sq_dirty(sq));
	sq->tail_rung = sq->tail;
	hf_doorbell_ring(&sq->doorbell, sq->tail);
}
