/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue/pending.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static uint32_t bits_for(uint32_t count)
{
	uint32_t bits = 0;

	while ((1u << bits) < count) {
		bits++;
	}
	return bits;
}

int hf_pending_attach(struct hf_pending *pending, struct hf_ledger_slot *slots,
		      uint32_t count)
{
	assert(count >= 1 && count <= HF_LEDGER_SLOTS_MAX);
	pending->entries = calloc(count, sizeof(*pending->entries));
	if (pending->entries == NULL) {
		return -ENOMEM;
	}

	pending->slots = slots;
	pending->count = count;
	pending->in_use = 0;
	pending->lap_shift = bits_for(count);
	pending->free_head = HF_LEDGER_NONE;
	return 0;
}

int hf_pending_init(struct hf_pending *pending, struct hf_ledger_slot *slots,
		    uint32_t count)
{
	if (hf_pending_attach(pending, slots, count) != 0) {
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++) {
		slots[i].state = HF_SLOT_FREE;
		slots[i].lap = 0;
		pending->entries[i].next_free =
			i + 1 < count ? (uint16_t)(i + 1) : HF_LEDGER_NONE;
	}
	pending->free_head = 0;
	return 0;
}

void hf_pending_fini(struct hf_pending *pending)
{
	free(pending->entries);
	pending->entries = NULL;
}

uint16_t hf_pending_take(struct hf_pending *pending)
{
	uint16_t slot = pending->free_head;

	if (slot != HF_LEDGER_NONE) {
		pending->free_head = pending->entries[slot].next_free;
		pending->in_use++;
	}
	return slot;
}

uint16_t hf_pending_complete(struct hf_pending *pending,
			     const struct hf_cqe *cqe)
{
	uint32_t mask = (1u << pending->lap_shift) - 1;
	uint16_t number = (uint16_t)(cqe->cid & mask);

	if (number >= pending->count) {
		return HF_LEDGER_NONE;
	}
	struct hf_ledger_slot *slot = &pending->slots[number];
	if (slot->state != HF_SLOT_TAKEN ||
	    cqe->cid != hf_pending_cid(pending, number)) {
		return HF_LEDGER_NONE;
	}

	slot->status = cqe->status;
	slot->dw0 = cqe->dw0;
	slot->dw1 = cqe->dw1;
	/* What it ended with is there before it is said to have ended. */
	__atomic_store_n(&slot->state, HF_SLOT_DONE, __ATOMIC_RELEASE);
	return number;
}

void hf_pending_give(struct hf_pending *pending, uint16_t slot)
{
	struct hf_ledger_slot *entry = &pending->slots[slot];
	uint16_t laps = (uint16_t)((1u << (16 - pending->lap_shift)) - 1);

	/*
	 * The lap moves on first, so that a completion that comes twice finds
	 * no command of its identifier. All ones in every bit is FFFFh, which
	 * the Error Information log uses for "no command".
	 */
	entry->lap = (uint16_t)((entry->lap + 1) & laps);
	if (hf_pending_cid(pending, slot) == 0xffff) {
		entry->lap = 0;
	}
	__atomic_store_n(&entry->state, HF_SLOT_FREE, __ATOMIC_RELEASE);
	pending->entries[slot].next_free = pending->free_head;
	pending->free_head = slot;
	pending->in_use--;
}
