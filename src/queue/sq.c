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

void hf_sq_push(struct hf_sq *sq, const struct nvme_sqe *sqe)
{
	uint32_t index = sq->tail;

	sq->ring[index] = *sqe;
	sq->tail = index + 1 == sq->entries ? 0 : index + 1;
	sq->count++;
}

void hf_sq_commit(struct hf_sq *sq)
{
	assert(hf_sq_dirty(sq));
	sq->tail_rung = sq->tail;
	hf_doorbell_ring(&sq->doorbell, sq->tail);
}

bool hf_sq_update_head(struct hf_sq *sq, uint32_t head)
{
	if (head >= sq->entries) {
		return false;
	}

	/* How far the device says it went, and how far it can have gone. */
	uint32_t told = head >= sq->head ? head - sq->head
					 : head + sq->entries - sq->head;
	uint32_t rung = sq->tail_rung >= sq->head
				? sq->tail_rung - sq->head
				: sq->tail_rung + sq->entries - sq->head;
	if (told > rung) {
		return false;
	}
	sq->head = head;
	return true;
}
