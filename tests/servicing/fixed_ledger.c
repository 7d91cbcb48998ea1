/* SPDX-License-Identifier: BSD-3-Clause */
#include "fixed_ledger.h"

#include <stdio.h>
#include <string.h>

enum {
	QUEUES = 3,
	SLOTS = 8,
	ENTRIES = 16,
};

static void fill_queue(struct hf_ledger *ledger, uint32_t index)
{
	struct hf_ledger_view view = hf_ledger_queue_view(ledger, index);
	struct hf_ledger_queue *queue = view.queue;

	queue->state = HF_QUEUE_LIVE;
	queue->qid = (uint16_t)index;
	queue->vector = (uint16_t)(index == 0 ? 0 : index - 1);
	queue->cpu = index == 0 ? 0 : index - 1;
	queue->entries = ENTRIES;
	queue->slot_count = SLOTS;
	queue->iova = UINT64_C(0x10000000) + index * UINT64_C(0x100000);
	queue->len_bytes = 0x10000;
	queue->sq_recorded = UINT64_C(5) << 32 | 5;
	queue->sq_rung = queue->sq_recorded;
	queue->cq_head = HF_LEDGER_PHASE | 4;
	queue->cq_rung = queue->cq_head;
	queue->sq_head = 4;
	struct hf_ledger_slot *slot = &view.slots[index];
	*slot = (struct hf_ledger_slot){
		.cookie = UINT64_C(0xc00c1e00) + index,
		.len_bytes = 4096,
		.record = HF_LEDGER_NONE,
		.first_page = HF_LEDGER_NONE,
		.state = HF_SLOT_TAKEN,
		.kind = index == 0 ? HF_SLOT_AER : HF_SLOT_IO,
	};
	memset(&slot->sqe, (int)(0x20 + index), sizeof(slot->sqe));
}

int fixed_ledger_create(struct hf_ledger *ledger)
{
	const struct hf_ledger_geometry geometry = {
		.queues_max = QUEUES,
		.slots_max = SLOTS,
		.records_max = 1,
		.pages_max = 8,
	};
	int rc = hf_ledger_create(ledger, &geometry, NULL);

	if (rc != 0) {
		return rc;
	}
	struct hf_ledger_header *header = ledger->header;
	header->ready = 1;
	header->cpu_count = 2;
	header->io_queues_max = 2;
	header->queue_entries = ENTRIES;
	header->version_register = 0x10400;
	header->capabilities = UINT64_C(0x2028030fff);
	snprintf(header->device_id, sizeof(header->device_id),
		 "vfio-user:/run/golden.sock");
	memset(header->identify, 0x5a, sizeof(header->identify));
	header->namespaces[0].nsid = 1;
	memset(header->namespaces[0].identify, 0xa5,
	       sizeof(header->namespaces[0].identify));
	for (uint32_t i = 0; i < QUEUES; i++) {
		fill_queue(ledger, i);
	}
	return 0;
}
