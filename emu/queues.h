/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings in host memory and their doorbells. Knows no command but its entry. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "spec/entries.h"

struct hf_emu;
struct hf_emu_worker;

/*
 * Memory of a ring, page by page, since neither side promises that it lies in
 * one mapping. Addresses are looked up again when the table has changed.
 */
struct hf_emu_ring {
	uint32_t entries;
	uint32_t entry_bytes;
	uint32_t pages;
	uint32_t prot;
	uint64_t generation; /* of the table that vaddrs were found in */
	uint8_t *base;       /* all of it, where it is contiguous; else NULL */
	uint64_t *iovas;     /* of each 4 KiB page */
	uint8_t **vaddrs;
};

/*
 * Fields that carry "atomic" are used by any thread; the rest belongs to the
 * worker, or to who holds its lock.
 */
struct hf_emu_sq {
	uint32_t valid;           /* atomic */
	uint32_t entries;         /* atomic */
	uint32_t tail;            /* atomic: as the host rang it */
	uint32_t head;            /* atomic: next to fetch */
	uint32_t stopped;         /* atomic: an invalid doorbell was rung */
	uint32_t cqid;            /* atomic */
	uint32_t worker;          /* atomic: index */
	uint64_t doorbell_writes; /* atomic */
	uint16_t qid;
	uint32_t page_seen; /* last value taken from the shared page */
	uint64_t commands;
	struct hf_emu_ring ring;
} __attribute__((aligned(64)));

struct hf_emu_cq {
	uint32_t valid;           /* atomic */
	uint32_t entries;         /* atomic */
	uint32_t head;            /* atomic: as the host rang it */
	uint32_t tail;            /* atomic: next to post */
	uint32_t starved;         /* atomic: somebody waits for room */
	uint32_t worker;          /* atomic: index */
	uint32_t irq_enabled;     /* atomic */
	uint32_t vector;          /* atomic */
	uint64_t doorbell_writes; /* atomic */
	uint16_t qid;
	bool phase;
	uint32_t sq_count; /* queues that post here */
	uint32_t page_seen;
	uint32_t unsignaled; /* posted since the last interrupt */
	uint64_t unsignaled_since_ns;
	uint64_t commands;
	struct hf_list backlog; /* entries that found no room */
	struct hf_list swapped; /* entries to post after the next one */
	struct hf_emu_ring ring;
} __attribute__((aligned(64)));

/* Where a ring is, as a creating command or AQA, ASQ and ACQ say. */
struct hf_emu_ring_place {
	uint32_t entries;
	uint32_t entry_bytes;
	uint32_t prot;
	bool contiguous; /* prp1 is the ring; else a list of its pages */
	uint64_t prp1;
};

/*
 * Fails with an NVMe status: PRP Offset Invalid, Data Transfer Error for what
 * is not mapped, Internal Error without memory.
 */
uint16_t hf_emu_ring_init(struct hf_emu *emu, struct hf_emu_ring *ring,
			  const struct hf_emu_ring_place *place);
void hf_emu_ring_fini(struct hf_emu_ring *ring);
/* False when a part of the ring is not mapped any more. */
bool hf_emu_ring_resolve(struct hf_emu *emu, struct hf_emu_ring *ring);

static inline uint8_t *hf_emu_ring_at(const struct hf_emu_ring *ring,
				      uint32_t index)
{
	uint32_t offset = index * ring->entry_bytes;

	if (ring->base != NULL) {
		return ring->base + offset;
	}
	return ring->vaddrs[offset >> NVME_PAGE_SHIFT] +
	       (offset & (NVME_PAGE_BYTES - 1));
}

/* Brings a queue to life, or ends it. Its worker is locked, or idle for good.
 */
uint16_t hf_emu_sq_start(struct hf_emu *emu, uint16_t qid, uint16_t cqid,
			 const struct hf_emu_ring_place *place);
void hf_emu_sq_stop(struct hf_emu *emu, uint16_t qid);
uint16_t hf_emu_cq_start(struct hf_emu *emu, uint16_t qid, uint16_t vector,
			 bool irq_enabled,
			 const struct hf_emu_ring_place *place);
void hf_emu_cq_stop(struct hf_emu *emu, uint16_t qid);

/* Entries that can be posted before the host takes some. */
uint32_t hf_emu_cq_room(const struct hf_emu_cq *cq);
bool hf_emu_cq_empty(const struct hf_emu_cq *cq);

/* Anything for its worker to do? Reads atomics only. */
bool hf_emu_sq_has_work(const struct hf_emu *emu, const struct hf_emu_sq *sq);

/* Next entry of a submission queue in host byte order, copied once. */
void hf_emu_sq_fetch(struct hf_emu_sq *sq, struct nvme_sqe *sqe);

/* A doorbell was written, by register or seen in the shared page. */
void hf_emu_doorbell(struct hf_emu *emu, uint32_t index, uint32_t value);

/* Looks at the shared page and the shadow doorbells of one queue. Within its
 * worker's round. */
void hf_emu_sq_look(struct hf_emu *emu, struct hf_emu_sq *sq);
void hf_emu_cq_look(struct hf_emu *emu, struct hf_emu_cq *cq);
/* Is there anything to see in the shared page? Reads atomics only. */
bool hf_emu_sq_page_news(const struct hf_emu *emu, const struct hf_emu_sq *sq);
bool hf_emu_cq_page_news(const struct hf_emu *emu, const struct hf_emu_cq *cq);
/* A queue is created: its word in the shared page starts at 0. */
void hf_emu_doorbell_clear(struct hf_emu *emu, uint32_t index);

/* The worker is about to sleep: where shadow doorbells are in use, say which
 * values the host is to ring for. False when a new value came meanwhile. */
bool hf_emu_sq_arm(struct hf_emu *emu, struct hf_emu_sq *sq);
