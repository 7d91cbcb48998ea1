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

bool hf_sq_update_head_wrapped(struct hf_sq *sq, uint32_t head)
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
