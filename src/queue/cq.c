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

bool hf_cq_holds(const struct hf_cq *cq, uint16_t cid)
{
	uint32_t head = cq->head;
	bool phase = cq->phase;

	for (uint32_t i = 0; i < cq->entries; i++) {
		uint32_t dw3 = hf_cq_load_tag(&cq->ring[head]);

		if (((dw3 & NVME_CQE_DW3_PHASE) != 0) != phase) {
			return false;
		}
		if ((uint16_t)dw3 == cid) {
			return true;
		}
		head++;
		if (head == cq->entries) {
			head = 0;
			phase = !phase;
		}
	}
	return false;
}
