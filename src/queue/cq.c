/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue/cq.h"

#include <assert.h>

void hf_cq_init(struct hf_cq *cq, const struct nvme_cqe *ring, uint32_t entries)
{
	assert(entries >= 2);
	cq->ring = ring;
	cq->entries = entries;
	cq->head = 0;
	cq->head_rung = 0;
	cq->phase = true;
}

uint32_t hf_cq_reap(struct hf_cq *cq, struct hf_cqe *out, uint32_t max)
{
	uint32_t count = 0;

	assert(cq->head < cq->entries);
	assert(max > 0);

	while (count < max && hf_cq_next(cq, &out[count])) {
		count++;
	}

	return count;
}
