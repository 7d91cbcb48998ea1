/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue pair comes and goes: its memory, its tables, its rings emptied. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/checked.h"
#include "base/error.h"
#include "queue/qpair_internal.h"

#define DOORBELLS 0x1000u

static uint64_t pages_bytes(uint64_t bytes)
{
	return (bytes + NVME_PAGE_BYTES - 1) / NVME_PAGE_BYTES *
	       NVME_PAGE_BYTES;
}

uint64_t hf_qpair_sq_bytes(uint32_t entries)
{
	return pages_bytes((uint64_t)entries * sizeof(struct nvme_sqe));
}

uint64_t hf_qpair_cq_bytes(uint32_t entries)
{
	return pages_bytes((uint64_t)entries * sizeof(struct nvme_cqe));
}

/* The admin queue has none: controllers look at its registers in any case. A
 * queue whose place is behind the page rings its registers. */
static void find_shadow(struct hf_doorbell *doorbell, uint32_t offset,
			const struct hf_dma_block *shadow)
{
	uint32_t at = offset - DOORBELLS;

	if (shadow->vaddr != NULL && at <= NVME_PAGE_BYTES - sizeof(uint32_t)) {
		uint8_t *word = shadow->vaddr + at;

		hf_doorbell_shadow(
			doorbell, (uint32_t *)(void *)word,
			(uint32_t *)(void *)(word + NVME_PAGE_BYTES));
	}
}

int hf_qpair_doorbells(struct hf_qpair *qp,
		       const struct hf_qpair_config *config,
		       struct hf_error *err)
{
	uint32_t stride_bytes = config->doorbell_stride_bytes;
	uint32_t offset = DOORBELLS + 2u * qp->qid * stride_bytes;

	int rc = hf_doorbell_init(&qp->sq.doorbell, qp->dev, offset, err);
	if (rc == 0) {
		rc = hf_doorbell_init(&qp->cq.doorbell, qp->dev,
				      offset + stride_bytes, err);
	}
	if (rc == 0 && qp->qid != 0 && config->shadow != NULL) {
		find_shadow(&qp->sq.doorbell, offset, config->shadow);
		find_shadow(&qp->cq.doorbell, offset + stride_bytes,
			    config->shadow);
	}
	return rc;
}

static void record_positions(struct hf_qpair *qp)
{
	struct hf_ledger_queue *queue = qp->view.queue;

	queue->sq_head = 0;
	queue->sq_recorded = hf_qpair_sq_position(qp);
	queue->sq_rung = queue->sq_recorded;
	queue->cq_head = hf_qpair_cq_position(qp);
	queue->cq_rung = queue->cq_head;
}

static void qpair_layout(struct hf_qpair *qp, uint32_t entries,
			 uint32_t pool_pages)
{
	uint8_t *at = qp->block.vaddr;

	hf_sq_init(&qp->sq, (struct nvme_sqe *)(void *)at, entries);
	at += hf_qpair_sq_bytes(entries);
	hf_cq_init(&qp->cq, (struct nvme_cqe *)(void *)at, entries);
	at += hf_qpair_cq_bytes(entries);
	hf_pool_init(&qp->pool, at,
		     qp->block.iova + (uint64_t)(at - qp->block.vaddr),
		     qp->view.page_next, pool_pages);
	record_positions(qp);
}

static void ledger_describe(struct hf_qpair *qp, uint32_t entries,
			    uint32_t slot_count, uint32_t pool_pages)
{
	struct hf_ledger_queue *queue = qp->view.queue;

	queue->qid = qp->qid;
	queue->vector = qp->vector;
	queue->cpu = qp->cpu;
	queue->entries = entries;
	queue->slot_count = slot_count;
	queue->page_count = pool_pages;
	queue->iova = qp->block.iova;
	queue->len_bytes = qp->block.len_bytes;
	queue->sq_head = 0;
	__atomic_store_n(&queue->state, HF_QUEUE_CREATING, __ATOMIC_RELEASE);
}

static int qpair_memory(struct hf_qpair *qp,
			const struct hf_qpair_config *config,
			struct hf_error *err)
{
	const struct hf_ledger_header *header = config->ledger->header;
	enum hf_dma_owner owner =
		qp->qid == 0 ? HF_DMA_OWNER_ADMIN_QUEUE : HF_DMA_OWNER_IO_QUEUE;
	uint32_t entries = config->entries;
	/* One entry of a ring always stays free. */
	uint32_t slot_count = HF_MIN(entries - 1, header->slots_max);

	/* A predecessor may have died when it had the memory and before the
	 * ledger said so, or after the ledger no longer did. */
	hf_dma_block_forget(&config->dev->dma, owner, qp->qid);
	int rc = hf_dma_block_alloc(
		&config->dev->dma,
		hf_qpair_sq_bytes(entries) + hf_qpair_cq_bytes(entries) +
			(uint64_t)config->pool_pages * NVME_PAGE_BYTES,
		owner, qp->qid, &qp->block, err);
	if (rc != 0) {
		return rc;
	}
	if (hf_pending_init(&qp->pending, qp->view.slots, slot_count) != 0) {
		return hf_error_set(err, -ENOMEM,
				    "%s: queue %u: no memory for %u commands",
				    qp->dev->id, qp->qid, slot_count);
	}
	hf_pending_keep_spare(&qp->pending);
	qp->record_parts =
		calloc(header->records_max, sizeof(*qp->record_parts));
	if (qp->record_parts == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "%s: queue %u: no memory for records",
				    qp->dev->id, qp->qid);
	}
	memset(qp->view.records, 0,
	       header->records_max * sizeof(*qp->view.records));
	qp->view.queue->record_count = header->records_max;
	qpair_layout(qp, entries, config->pool_pages);
	ledger_describe(qp, entries, slot_count, config->pool_pages);
	return hf_qpair_doorbells(qp, config, err);
}

struct hf_qpair *hf_qpair_alloc(const struct hf_qpair_config *config)
{
	struct hf_qpair *qp = calloc(1, sizeof(*qp));

	if (qp == NULL) {
		return NULL;
	}
	qp->dev = config->dev;
	qp->map = &config->dev->dma.map;
	qp->tick = config->tick;
	qp->retry = config->retry;
	qp->hooks = config->hooks;
	qp->eventfd = config->eventfd;
	qp->index = config->index;
	qp->qid = (uint16_t)config->index;
	qp->vector = config->vector;
	qp->cpu = config->cpu;
	qp->state = HF_QPAIR_LIVE;
	qp->claimed = HF_LEDGER_NONE;
	qp->ended = HF_LEDGER_NONE;
	qp->retry_first = HF_LEDGER_NONE;
	qp->retry_last = HF_LEDGER_NONE;
	qp->view = hf_ledger_queue_view(config->ledger, config->index);
	hf_list_init(&qp->waiting);
	return qp;
}

int hf_qpair_create(struct hf_qpair **out, const struct hf_qpair_config *config,
		    struct hf_error *err)
{
	const struct hf_ledger_header *header = config->ledger->header;
	struct hf_qpair *qp = hf_qpair_alloc(config);

	assert(config->entries >= 2 && config->index < header->queues_max);
	assert(config->pool_pages <= header->pages_max);
	if (qp == NULL) {
		return hf_error_set(err, -ENOMEM, "%s: no memory for queue %u",
				    config->dev->id, config->index);
	}
	int rc = qpair_memory(qp, config, err);
	if (rc != 0) {
		hf_qpair_destroy(qp);
		return rc;
	}
	*out = qp;
	return 0;
}

void hf_qpair_wake(struct hf_qpair *qp)
{
	(void)!eventfd_write(qp->eventfd, 1);
}

void hf_qpair_leave(struct hf_qpair *qp)
{
	if (qp == NULL) {
		return;
	}
	free(qp->records_attached);
	free(qp->record_parts);
	hf_pending_fini(&qp->pending);
	free(qp);
}

void hf_qpair_destroy(struct hf_qpair *qp)
{
	if (qp == NULL) {
		return;
	}

	assert(hf_list_empty(&qp->waiting));
	__atomic_store_n(&qp->view.queue->state, HF_QUEUE_FREE,
			 __ATOMIC_RELEASE);
	hf_dma_block_free(&qp->dev->dma, &qp->block);
	hf_qpair_leave(qp);
}

/* The oldest command that is to be issued again, at or behind @after. */
static struct hf_ledger_slot *next_again(struct hf_qpair *qp, uint32_t first,
					 uint64_t *after)
{
	struct hf_ledger_slot *oldest = NULL;
	uint64_t oldest_age = UINT64_MAX;

	for (uint32_t i = 0; i < qp->pending.count; i++) {
		struct hf_ledger_slot *slot = &qp->pending.slots[i];
		/* Counted from the oldest that there can be: it wraps. */
		uint64_t age = (uint32_t)(slot->position - first);

		if (slot->state == HF_SLOT_TAKEN && age >= *after &&
		    age < oldest_age) {
			oldest = slot;
			oldest_age = age;
		}
	}
	*after = oldest_age + 1;
	return oldest;
}

/* What may be repeated goes into the empty ring again, in order. */
static void put_again(struct hf_qpair *qp, uint32_t old_count)
{
	uint32_t first = old_count - (UINT32_MAX >> 1);
	uint64_t after = 0;
	struct hf_ledger_slot *again[HF_LEDGER_SLOTS_MAX];
	uint32_t count = 0;
	struct hf_ledger_slot *slot;

	while (count < qp->pending.count &&
	       (slot = next_again(qp, first, &after)) != NULL) {
		again[count] = slot;
		count++;
	}
	for (uint32_t i = 0; i < count; i++) {
		again[i]->position = qp->sq.count;
		again[i]->tick = hf_qpair_tick(qp);
		qp->pending.entries[again[i] - qp->pending.slots].aborted =
			false;
		hf_sq_push(&qp->sq, &again[i]->sqe);
	}
}

void hf_qpair_reset(struct hf_qpair *qp)
{
	hf_qpair_lock(qp);
	uint32_t entries = qp->sq.entries;
	uint32_t old_count = qp->sq.count;

	memset(qp->block.vaddr, 0,
	       hf_qpair_sq_bytes(entries) + hf_qpair_cq_bytes(entries));
	hf_sq_init(&qp->sq, qp->sq.ring, entries);
	hf_cq_init(&qp->cq, qp->cq.ring, entries);
	qp->sq.doorbell.certain = true;
	qp->cq.doorbell.certain = true;
	record_positions(qp);
	put_again(qp, old_count);
	hf_qpair_unlock(qp);
}
