/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion ring: memory that one device queue posts into. No commands. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

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

/* Is there an entry to reap? One load. */
bool hf_cq_ready(const struct hf_cq *cq);

/* Tells the device how far the ring was read, if that is news to it. */
void hf_cq_commit(struct hf_cq *cq);
