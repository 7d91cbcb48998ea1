/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue/pending.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	size_t len_bytes = count * sizeof(*pending->entries);
	pending->entries = aligned_alloc(sizeof(*pending->entries), len_bytes);
	if (pending->entries == NULL) {
		return -ENOMEM;
	}
	memset(pending->entries, 0, len_bytes);

	pending->slots = slots;
	pending->count = count;
	pending->in_use = 0;
	pending->lap_shift = bits_for(count);
	pending->number_mask = (uint16_t)((1u << pending->lap_shift) - 1);
	pending->lap_mask = (uint16_t)((1u << (16 - pending->lap_shift)) - 1);
	pending->free_head = HF_LEDGER_NONE;
	pending->spare = HF_LEDGER_NONE;
	pending->spare_lent = false;
	return 0;
}

void hf_pending_keep_spare(struct hf_pending *pending)
{
	uint16_t spare = (uint16_t)(pending->count - 1);
	uint16_t *link = &pending->free_head;

	if (pending->count < 2) {
		return;
	}
	pending->spare = spare;
	pending->spare_lent = true; /* until it is free */
	while (*link != HF_LEDGER_NONE && *link != spare) {
		link = &pending->entries[*link].next_free;
	}
	if (*link == spare) {
		*link = pending->entries[spare].next_free;
		pending->spare_lent = false;
	}
}

bool hf_pending_lend_spare(struct hf_pending *pending)
{
	if (pending->spare == HF_LEDGER_NONE || pending->spare_lent) {
		return false;
	}
	pending->entries[pending->spare].next_free = pending->free_head;
	pending->free_head = pending->spare;
	pending->spare_lent = true;
	return true;
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
