/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue/cq.h"

#include <assert.h>

#include "base/barrier.h"

void hf_cq_init(struct hf_cq *cq, const struct nvme_cqe *ring, uint32_t entries)
{
	assert(entries >= 2);
	cq->ring = ring;
	cq->entries = entries;
	cq->head = 0;
	cq->head_rung = 0;
	cq->phase = true;
}

static void cq_advance(struct hf_cq *cq)
{
	cq->head++;
	if (cq->head == cq->entries) {
		cq->head = 0;
		cq->phase = !cq->phase; /* the device flips its tag each lap */
	}
}

/*
 * The device makes the phase tag visible last. Without the acquire the other
 * dwords could be loaded from before it, and hand out the previous lap's entry
 * under the new tag.
 */
static uint32_t load_tag(const struct nvme_cqe *slot)
{
	uint32_t dw3 = hf_load_le32_acquire(&slot->dw3);

	hf_dma_rmb();
	return dw3;
}

static bool is_fresh(const struct hf_cq *cq, uint32_t dw3)
{
	return ((dw3 & NVME_CQE_DW3_PHASE) != 0) == cq->phase;
}

bool hf_cq_ready(const struct hf_cq *cq)
{
	return is_fresh(cq, load_tag(&cq->ring[cq->head]));
}

uint32_t hf_cq_reap(struct hf_cq *cq, struct hf_cqe *out, uint32_t max)
{
	uint32_t count = 0;

	assert(cq->head < cq->entries);
	assert(max > 0);

	while (count < max) {
		const struct nvme_cqe *slot = &cq->ring[cq->head];
		uint32_t dw3 = load_tag(slot);

		if (!is_fresh(cq, dw3)) {
			break;
		}

		/* A peer may rewrite shared memory: dw3 is not loaded again. */
		out[count] = hf_cqe_load(slot, dw3);
		count++;
		cq_advance(cq);
	}

	return count;
}

void hf_cq_commit(struct hf_cq *cq)
{
	if (cq->head != cq->head_rung) {
		cq->head_rung = cq->head;
		hf_doorbell_ring(&cq->doorbell, cq->head);
	}
}
