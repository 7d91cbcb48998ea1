/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that are under way: the slots of the ledger, and for each what this
 * process does when it ends. Knows no ring. */
#pragma once

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/hint.h"
#include "queue/cqe.h"
#include "state/ledger.h"

/* How a command ended. */
struct hf_completion {
	int result; /* 0, -errno, or the status word */
	uint32_t dw0;
	uint32_t dw1;
};

typedef void hf_request_done(void *ctx, const struct hf_completion *how);

/* What a process knows of a slot besides what the ledger keeps. One line of
 * the cache each. */
struct hf_pending_entry {
	hf_request_done *done;
	void *ctx;
	const struct iovec *iov; /* where bounced data from the device goes */
	uint32_t iov_count;
	uint32_t abort_tick; /* when it was asked to be aborted */
	uint64_t iov_offset;
	bool aborted;
	uint8_t tries; /* so often it was sent again */
	uint16_t next_free;
	uint32_t born_tick; /* sent again: when it was sent first */
	uint32_t due_ms;    /* to be sent again: when; it wraps */
	uint8_t unused[12];
};
static_assert(sizeof(struct hf_pending_entry) == 64, "a line each");

struct hf_pending {
	struct hf_ledger_slot *slots;
	struct hf_pending_entry *entries;
	uint32_t count;
	uint32_t in_use;
	uint16_t free_head;
	uint16_t number_mask; /* bits of a CID that number the slot */
	uint16_t lap_mask;    /* of what stands above them */
	uint32_t lap_shift;   /* how many number it */
	uint16_t spare; /* kept for a filler; HF_LEDGER_NONE: there is none */
	bool spare_lent;
};

/* Every slot is free. -ENOMEM. */
HF_MUST_CHECK int hf_pending_init(struct hf_pending *pending,
				  struct hf_ledger_slot *slots, uint32_t count);
/* The same over slots that a predecessor left: none is free until the caller
 * says so, and nobody is told of any. -ENOMEM. */
HF_MUST_CHECK int hf_pending_attach(struct hf_pending *pending,
				    struct hf_ledger_slot *slots,
				    uint32_t count);
void hf_pending_fini(struct hf_pending *pending);

/*
 * Keeps the last slot for a command of a successor's own, which needs a place
 * in a ring that is full; one that is in use is kept by another call, once it
 * is free. A table of one slot has none to keep.
 */
void hf_pending_keep_spare(struct hf_pending *pending);
/* The next slot to be taken is the spare; false when there is none. */
HF_MUST_CHECK bool hf_pending_lend_spare(struct hf_pending *pending);

/* Takes a free slot: its number, or HF_LEDGER_NONE. The slot stays FREE in the
 * ledger until hf_pending_publish(). */
static inline uint16_t hf_pending_take(struct hf_pending *pending)
{
	uint16_t slot = pending->free_head;

	if (slot != HF_LEDGER_NONE) {
		pending->free_head = pending->entries[slot].next_free;
		pending->in_use++;
	}
	return slot;
}

/* The command identifier of a slot that was taken. */
static inline uint16_t hf_pending_cid(const struct hf_pending *pending,
				      uint16_t slot)
{
	return (uint16_t)(slot | pending->slots[slot].lap
					 << pending->lap_shift);
}

/* The slot's fields are complete: from here on it is in the ledger. */
static inline void hf_pending_publish(struct hf_pending *pending, uint16_t slot)
{
	/* A process that dies here must not leave a half-written command that
	 * says it was taken. */
	__atomic_store_n(&pending->slots[slot].state, HF_SLOT_TAKEN,
			 __ATOMIC_RELEASE);
}

/**
 * hf_pending_complete() - find and mark the command that a completion is of
 * @pending: the table
 * @cqe: what the device posted; nothing of it is believed
 * @number: receives the slot, which is DONE now, with status and result
 *          recorded
 *
 * Return: false when no command of that identifier is under way: unknown, of
 * an earlier lap, or completed before.
 */
static inline bool hf_pending_complete(struct hf_pending *pending,
				       const struct hf_cqe *cqe,
				       uint16_t *number)
{
	*number = hf_cqe_cid(cqe) & pending->number_mask;
	if (*number >= pending->count) {
		return false;
	}
	struct hf_ledger_slot *slot = &pending->slots[*number];
	/* The identifier stands in the command, which no device reaches. */
	if (slot->state != HF_SLOT_TAKEN ||
	    slot->sqe.cid != htole16(hf_cqe_cid(cqe))) {
		return false;
	}

	slot->status = hf_cqe_status(cqe);
	slot->dw0 = cqe->dw0;
	slot->dw1 = cqe->dw1;
	/* What it ended with is there before it is said to have ended. */
	__atomic_store_n(&slot->state, HF_SLOT_DONE, __ATOMIC_RELEASE);
	return true;
}

/* Another identifier for the same slot. All ones in every bit is FFFFh, which
 * the Error Information log uses for "no command". */
static inline void hf_pending_next_lap(struct hf_pending *pending,
				       uint16_t slot)
{
	struct hf_ledger_slot *entry = &pending->slots[slot];

	entry->lap = (uint16_t)((entry->lap + 1) & pending->lap_mask);
	if (HF_UNLIKELY(slot == pending->number_mask) &&
	    entry->lap == pending->lap_mask) {
		entry->lap = 0;
	}
}

/* A completion that hf_pending_complete() refused: is it of a command that has
 * ended, or of an earlier one in its slot? */
static inline bool hf_pending_was_there(const struct hf_pending *pending,
					const struct hf_cqe *cqe)
{
	uint16_t number = hf_cqe_cid(cqe) & pending->number_mask;

	if (number >= pending->count) {
		return false;
	}
	uint32_t behind = ((uint32_t)pending->slots[number].lap -
			   ((uint32_t)hf_cqe_cid(cqe) >> pending->lap_shift)) &
			  pending->lap_mask;
	return behind == 0 ? pending->slots[number].state != HF_SLOT_FREE
			   : behind <= pending->lap_mask / 2u;
}

/* Gives a slot back, whose caller was told. */
static inline void hf_pending_give(struct hf_pending *pending, uint16_t slot)
{
	struct hf_ledger_slot *entry = &pending->slots[slot];

	/*
	 * The lap moves on after the slot is free: a process that dies in
	 * between leaves no command whose identifier is not its own. A
	 * completion that comes twice finds a free slot, or another lap.
	 */
	__atomic_store_n(&entry->state, HF_SLOT_FREE, __ATOMIC_RELEASE);
	hf_pending_next_lap(pending, slot);
	pending->entries[slot].next_free = pending->free_head;
	pending->free_head = slot;
	pending->in_use--;
}
