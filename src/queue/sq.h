/* SPDX-License-Identifier: BSD-3-Clause */
/* Submission ring: memory that one device queue fetches from. Knows neither
 * who submits nor what becomes of it. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hint.h"
#include "device/device.h"
#include "spec/entries.h"

struct hf_sq {
	struct nvme_sqe *ring; /* DMA memory, read by the device */
	struct hf_doorbell doorbell;
	uint32_t entries;
	uint32_t count;     /* entries ever pushed; wraps */
	uint32_t tail;      /* slot to write next; below entries */
	uint32_t tail_rung; /* tail as the device last heard it */
	uint32_t head;      /* as the device last told */
};

/* @ring: zeroed DMA memory for @entries entries; the doorbell is the caller's
 * to fill in. */
void hf_sq_init(struct hf_sq *sq, struct nvme_sqe *ring, uint32_t entries);

/**
 * hf_sq_push() - put an entry into the ring
 * @sq: ring to write; the caller owns it for the length of the call
 * @sqe: the entry, little-endian
 *
 * The caller has made sure of a free slot: it never has as many commands
 * outstanding as the ring has entries.
 *
 * Context: data path. Never blocks, allocates, locks or logs.
 */
static inline void hf_sq_push(struct hf_sq *sq, const struct nvme_sqe *sqe)
{
	uint32_t index = sq->tail;

	sq->ring[index] = *sqe;
	sq->tail = index + 1 == sq->entries ? 0 : index + 1;
	sq->count++;
}

/* Is there an entry that the device was not told of? */
static inline bool hf_sq_dirty(const struct hf_sq *sq)
{
	return sq->tail != sq->tail_rung;
}

/* Tells the device of every entry up to the tail. Only when dirty: ringing the
 * same value twice is an error of the host's (Invalid Doorbell Write Value). */
static inline void hf_sq_commit(struct hf_sq *sq)
{
	assert(hf_sq_dirty(sq));
	sq->tail_rung = sq->tail;
	hf_doorbell_ring(&sq->doorbell, sq->tail);
}

/* hf_sq_update_head() where what was rung wraps around the ring's end. */
bool hf_sq_update_head_wrapped(struct hf_sq *sq, uint32_t head);

/**
 * hf_sq_update_head() - believe what a completion says of the head, if it can
 * be
 * @sq: the ring
 * @head: SQ Head Pointer of a completion
 *
 * Return: false when the device cannot be there: it claims to have fetched
 * what was never rung.
 */
static inline bool hf_sq_update_head(struct hf_sq *sq, uint32_t head)
{
	/* Not behind where it was, and not beyond what was rung. */
	if (HF_LIKELY(head >= sq->head && head <= sq->tail_rung)) {
		sq->head = head;
		return true;
	}
	return hf_sq_update_head_wrapped(sq, head);
}
