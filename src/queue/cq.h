/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion ring: memory that one device queue posts into. No commands. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/barrier.h"
#include "base/bytes.h"
#include "base/hint.h"
#include "device/device.h"
#include "queue/cqe.h"

struct hf_cq {
	const struct nvme_cqe *ring; /* DMA memory, written by the device */
	struct hf_doorbell doorbell;
	uint32_t entries;
	uint32_t head;      /* slot to read next; below entries */
	uint32_t head_rung; /* head as the device last heard it */
	bool phase;         /* tag a fresh entry at head carries */
};

/**
 * hf_cq_init() - an empty ring
 * @cq: to set up
 * @ring: zeroed DMA memory for @entries entries
 * @entries: 2 to 65536
 *
 * The doorbell is the caller's to fill in.
 */
void hf_cq_init(struct hf_cq *cq, const struct nvme_cqe *ring,
		uint32_t entries);

/*
 * The device makes the phase tag visible last. Without the acquire the other
 * dwords could be loaded from before it, and hand out the previous lap's entry
 * under the new tag.
 */
static inline uint32_t hf_cq_load_tag(const struct nvme_cqe *slot)
{
	uint32_t dw3 = hf_load_le32_acquire(&slot->dw3);

	hf_dma_rmb();
	return dw3;
}

static inline bool hf_cq_is_fresh(const struct hf_cq *cq, uint32_t dw3)
{
	return ((dw3 & NVME_CQE_DW3_PHASE) != 0) == cq->phase;
}

/* Is there an entry to reap? One load. */
static inline bool hf_cq_ready(const struct hf_cq *cq)
{
	return hf_cq_is_fresh(cq, hf_cq_load_tag(&cq->ring[cq->head]));
}

/**
 * hf_cq_next() - take one posted entry off a completion ring
 * @cq: ring to read; the caller owns it for the length of the call
 * @out: receives the entry in host byte order
 *
 * hf_cq_reap() for one entry: what is said there holds.
 *
 * Return: false when none was posted.
 */
HF_HOT_INLINE bool hf_cq_next(struct hf_cq *cq, struct hf_cqe *out)
{
	const struct nvme_cqe *slot = &cq->ring[cq->head];
	uint32_t dw3 = hf_cq_load_tag(slot);

	if (!hf_cq_is_fresh(cq, dw3)) {
		return false;
	}

	/* A peer may rewrite shared memory: dw3 is not loaded again. */
	hf_cqe_load(out, slot, dw3);
	cq->head++;
	if (HF_UNLIKELY(cq->head == cq->entries)) {
		cq->head = 0;
		cq->phase = !cq->phase; /* the device flips its tag each lap */
	}
	return true;
}

/**
 * hf_cq_reap() - take posted entries off a completion ring
 * @cq: ring to read; the caller owns it for the length of the call
 * @out: receives entries in host byte order, oldest first
 * @max: room in @out, 1 or more
 *
 * Reads memory only. The device learns of the freed slots when the caller
 * ends its batch with hf_cq_commit(). Nothing but the phase tag is believed
 * here: hf_pending_complete() judges the command identifier.
 *
 * Context: data path. Never blocks, allocates, locks or logs.
 * Return: entries written to @out, 0 when none was posted.
 */
uint32_t hf_cq_reap(struct hf_cq *cq, struct hf_cqe *out, uint32_t max);

/* Is there a posted entry with this command identifier? For inspect: looks at
 * each entry that was posted and not reaped. */
bool hf_cq_holds(const struct hf_cq *cq, uint16_t cid);

/* Tells the device how far the ring was read, if that is news to it. */
static inline void hf_cq_commit(struct hf_cq *cq)
{
	if (cq->head != cq->head_rung) {
		cq->head_rung = cq->head;
		hf_doorbell_ring(&cq->doorbell, cq->head);
	}
}
