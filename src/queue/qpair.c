/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue/qpair.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/error.h"
#include "queue/qpair_internal.h"

#define DOORBELLS  0x1000u
#define REAP_BATCH 64u

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

int hf_qpair_doorbells(struct hf_qpair *qp, uint32_t stride_bytes,
		       struct hf_error *err)
{
	uint32_t offset = DOORBELLS + 2u * qp->qid * stride_bytes;

	int rc = hf_doorbell_init(&qp->sq.doorbell, qp->dev, offset, err);
	if (rc != 0) {
		return rc;
	}
	return hf_doorbell_init(&qp->cq.doorbell, qp->dev,
				offset + stride_bytes, err);
}

static uint64_t sq_position(const struct hf_qpair *qp)
{
	return (uint64_t)qp->sq.count << 32 | qp->sq.tail;
}

static uint32_t cq_position(const struct hf_qpair *qp)
{
	return qp->cq.head | (qp->cq.phase ? HF_LEDGER_PHASE : 0);
}

static void record_positions(struct hf_qpair *qp)
{
	struct hf_ledger_queue *queue = qp->view.queue;

	queue->sq_head = 0;
	queue->sq_recorded = sq_position(qp);
	queue->sq_rung = queue->sq_recorded;
	queue->cq_head = cq_position(qp);
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
	uint32_t entries = config->entries;
	/* One entry of a ring always stays free. */
	uint32_t slot_count = HF_MIN(entries - 1, header->slots_max);

	int rc = hf_dma_block_alloc(
		&config->dev->dma,
		hf_qpair_sq_bytes(entries) + hf_qpair_cq_bytes(entries) +
			(uint64_t)config->pool_pages * NVME_PAGE_BYTES,
		qp->qid == 0 ? HF_DMA_OWNER_ADMIN_QUEUE : HF_DMA_OWNER_IO_QUEUE,
		qp->qid, &qp->block, err);
	if (rc != 0) {
		return rc;
	}
	if (hf_pending_init(&qp->pending, qp->view.slots, slot_count) != 0) {
		return hf_error_set(err, -ENOMEM,
				    "%s: queue %u: no memory for %u commands",
				    qp->dev->id, qp->qid, slot_count);
	}
	memset(qp->view.records, 0,
	       header->records_max * sizeof(*qp->view.records));
	qp->view.queue->record_count = header->records_max;
	qpair_layout(qp, entries, config->pool_pages);
	ledger_describe(qp, entries, slot_count, config->pool_pages);
	return hf_qpair_doorbells(qp, config->doorbell_stride_bytes, err);
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
	qp->hooks = config->hooks;
	qp->eventfd = config->eventfd;
	qp->index = config->index;
	qp->qid = (uint16_t)config->index;
	qp->vector = config->vector;
	qp->cpu = config->cpu;
	qp->state = HF_QPAIR_LIVE;
	qp->claimed = HF_LEDGER_NONE;
	qp->ended = HF_LEDGER_NONE;
	qp->view = hf_ledger_queue_view(config->ledger, config->index);
	hf_list_init(&qp->waiting);
	pthread_mutex_init(&qp->lock, NULL);
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
	hf_pending_fini(&qp->pending);
	pthread_mutex_destroy(&qp->lock);
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
		again[i]->tick = __atomic_load_n(qp->tick, __ATOMIC_RELAXED);
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
	record_positions(qp);
	put_again(qp, old_count);
	hf_qpair_unlock(qp);
}

static int describe_data(struct hf_qpair *qp, const struct hf_request *request,
			 struct hf_prps *prps, uint8_t *flags)
{
	*prps = (struct hf_prps){.first_page = HF_LEDGER_NONE};
	if (request->data.len_bytes == 0) {
		return 0;
	}

	int rc = request->bounce ? -EFAULT
				 : hf_prp_direct(prps, &request->data, qp->map,
						 &qp->pool);
	if (rc != -EFAULT) {
		return rc;
	}
	rc = hf_prp_bounce(prps, request->data.len_bytes, &qp->pool);
	if (rc == 0) {
		*flags |= HF_SLOT_BOUNCED;
		qp->bounced++;
		if ((*flags & HF_SLOT_TO_DEVICE) != 0) {
			hf_prp_copy_in(prps, &request->data, &qp->pool);
		}
	}
	return rc;
}

static void fill_slot(struct hf_qpair *qp, uint16_t number,
		      const struct hf_request *request,
		      const struct hf_prps *prps, uint8_t flags)
{
	struct hf_ledger_slot *slot = &qp->pending.slots[number];
	struct hf_pending_entry *entry = &qp->pending.entries[number];

	slot->sqe = request->sqe;
	slot->sqe.cid = htole16(hf_pending_cid(&qp->pending, number));
	if (request->data.len_bytes != 0) {
		slot->sqe.prp1 = htole64(prps->prp1);
		slot->sqe.prp2 = htole64(prps->prp2);
	}
	slot->cookie = request->cookie;
	slot->len_bytes = request->data.len_bytes;
	slot->tick = __atomic_load_n(qp->tick, __ATOMIC_RELAXED);
	slot->timeout_ticks = request->timeout_ticks;
	slot->record = request->record;
	slot->first_page = prps->first_page;
	slot->page_count = prps->page_count;
	slot->list_pages = prps->list_pages;
	slot->kind = request->kind;
	slot->flags = flags;
	slot->op = request->op;
	slot->position = qp->sq.count;
	entry->aborted = false;
	entry->done = request->done;
	entry->ctx = request->ctx;
	entry->iov = request->data.iov;
	entry->iov_count = request->data.iov_count;
	entry->iov_offset = request->data.offset;
}

int hf_qpair_put(struct hf_qpair *qp, const struct hf_request *request)
{
	uint8_t flags = request->flags;
	struct hf_prps prps;

	if (qp->pending.free_head == HF_LEDGER_NONE) {
		return -EAGAIN;
	}
	int rc = describe_data(qp, request, &prps, &flags);
	if (rc != 0) {
		return rc;
	}

	uint16_t number = hf_pending_take(&qp->pending);
	fill_slot(qp, number, request, &prps, flags);
	hf_pending_publish(&qp->pending, number);
	hf_sq_push(&qp->sq, &qp->pending.slots[number].sqe);
	qp->submitted++;
	return number;
}

void hf_qpair_commit(struct hf_qpair *qp)
{
	if (!hf_sq_dirty(&qp->sq)) {
		return;
	}

	/*
	 * The tail is recorded before the doorbell: a process that dies in
	 * between leaves a tail that may not have been rung, which its
	 * successor's next command makes certain. The other way about, a rung
	 * command would look as if it had never been sent, and be sent twice.
	 */
	uint64_t position = sq_position(qp);
#ifdef HF_NEGATIVE_CONTROL
	/* The wrong way around, and time to be killed in between: the tests
	 * have to see what comes of it. */
	hf_sq_commit(&qp->sq);
	for (volatile uint32_t i = 0; i < 50000; i++) {
	}
	__atomic_store_n(&qp->view.queue->sq_recorded, position,
			 __ATOMIC_RELEASE);
#else
	__atomic_store_n(&qp->view.queue->sq_recorded, position,
			 __ATOMIC_RELEASE);
	hf_sq_commit(&qp->sq);
#endif
	__atomic_store_n(&qp->view.queue->sq_rung, position, __ATOMIC_RELEASE);
	qp->doorbells++;
}

void hf_qpair_park(struct hf_qpair *qp, struct hf_waiter *waiter)
{
	hf_list_push_back(&qp->waiting, &waiter->link);
	qp->waited++;
}

uint16_t hf_qpair_record_take(struct hf_qpair *qp)
{
	for (uint32_t i = 0; i < qp->view.queue->record_count; i++) {
		if (qp->view.records[i].in_use == 0) {
			return (uint16_t)i;
		}
	}
	return HF_LEDGER_NONE;
}

void hf_qpair_record_give(struct hf_qpair *qp, uint16_t record)
{
	__atomic_store_n(&qp->view.records[record].in_use, 0, __ATOMIC_RELEASE);
}

static struct hf_prps slot_prps(const struct hf_ledger_slot *slot)
{
	return (struct hf_prps){
		.first_page = slot->first_page,
		.page_count = slot->page_count,
		.list_pages = slot->list_pages,
	};
}

void hf_qpair_deliver(struct hf_qpair *qp, uint16_t number, int result)
{
	const struct hf_ledger_slot *slot = &qp->pending.slots[number];
	const struct hf_pending_entry *entry = &qp->pending.entries[number];

	if (result == 0 && (slot->flags & HF_SLOT_BOUNCED) != 0 &&
	    (slot->flags & HF_SLOT_TO_DEVICE) == 0) {
		const struct hf_prps prps = slot_prps(slot);
		const struct hf_data data = {
			.iov = entry->iov,
			.iov_count = entry->iov_count,
			.offset = entry->iov_offset,
			.len_bytes = slot->len_bytes,
		};

		hf_prp_copy_out(&prps, &data, &qp->pool);
	}
	const struct hf_completion how = {
		.result = result,
		.dw0 = slot->dw0,
		.dw1 = slot->dw1,
	};
	entry->done(entry->ctx, &how);
}

void hf_qpair_release(struct hf_qpair *qp, uint16_t number)
{
	struct hf_ledger_slot *slot = &qp->pending.slots[number];

	if (slot->first_page != HF_LEDGER_NONE) {
		hf_pool_give(&qp->pool, slot->first_page, slot->page_count);
	}
	hf_pending_give(&qp->pending, number);
	qp->completed++;
}

void hf_qpair_resume(struct hf_qpair *qp)
{
	while (qp->state == HF_QPAIR_LIVE && !hf_list_empty(&qp->waiting)) {
		struct hf_waiter *waiter = hf_container_of(
			qp->waiting.next, struct hf_waiter, link);

		if (waiter->resume(waiter, qp) != 0) {
			break;
		}
		hf_list_remove(&waiter->link);
	}
	hf_qpair_commit(qp);
}

/* What one look at the ring found. */
struct harvest {
	uint16_t slots[REAP_BATCH];
	uint32_t count;
	bool lied;
	enum hf_qpair_lie lie;
	struct hf_cqe cqe; /* of the last lie */
};

static void note_lie(struct hf_qpair *qp, struct harvest *harvest,
		     enum hf_qpair_lie lie, const struct hf_cqe *cqe)
{
	qp->lies[lie]++;
	harvest->lied = true;
	harvest->lie = lie;
	harvest->cqe = *cqe;
}

static void judge(struct hf_qpair *qp, struct harvest *harvest,
		  const struct hf_cqe *cqe)
{
	if (cqe->sq_id != qp->qid) {
		note_lie(qp, harvest, HF_LIE_WRONG_QUEUE, cqe);
		return;
	}
	if (!hf_sq_update_head(&qp->sq, cqe->sq_head)) {
		note_lie(qp, harvest, HF_LIE_HEAD, cqe);
	}
	uint16_t slot = hf_pending_complete(&qp->pending, cqe);
	if (slot == HF_LEDGER_NONE) {
		note_lie(qp, harvest, HF_LIE_UNKNOWN_COMMAND, cqe);
		return;
	}
	if (qp->pending.entries[slot].done == NULL) {
		return; /* a predecessor's, that nobody has attached to yet */
	}
	harvest->slots[harvest->count] = slot;
	harvest->count++;
}

/* Completed before somebody attached to them. */
static void gather_claimed(struct hf_qpair *qp, struct harvest *harvest,
			   uint32_t max)
{
	harvest->count = 0;
	while (qp->claimed != HF_LEDGER_NONE && harvest->count < max) {
		uint16_t slot = qp->claimed;

		qp->claimed = qp->pending.entries[slot].next_free;
		harvest->slots[harvest->count] = slot;
		harvest->count++;
	}
}

/*
 * Completions are in their slots before the head moves past them, and the head
 * is recorded before the device may use the ring's slots again: a successor
 * finds each completion in one place at least.
 */
void hf_qpair_record_reaped(struct hf_qpair *qp)
{
	uint32_t position = cq_position(qp);

	__atomic_store_n(&qp->view.queue->cq_head, position, __ATOMIC_RELEASE);
	qp->view.queue->sq_head = qp->sq.head;
	hf_cq_commit(&qp->cq);
	__atomic_store_n(&qp->view.queue->cq_rung, position, __ATOMIC_RELEASE);
}

static uint32_t gather(struct hf_qpair *qp, struct harvest *harvest,
		       uint32_t max)
{
	struct hf_cqe batch[REAP_BATCH];

	harvest->count = 0;
	uint32_t posted = hf_cq_reap(&qp->cq, batch, HF_MIN(max, REAP_BATCH));
	for (uint32_t i = 0; i < posted; i++) {
		judge(qp, harvest, &batch[i]);
	}
	if (posted == 0) {
		return 0;
	}
	hf_qpair_record_reaped(qp);
	return posted;
}

uint32_t hf_qpair_reap(struct hf_qpair *qp, uint32_t budget)
{
	struct harvest harvest;
	uint32_t taken = 0;

	harvest.lied = false;
	hf_qpair_lock(qp);
	while (taken < budget && hf_qpair_reaps(qp)) {
		uint32_t room = HF_MIN(budget - taken, REAP_BATCH);
		bool claimed = qp->claimed != HF_LEDGER_NONE;
		uint32_t posted;

		if (claimed) {
			gather_claimed(qp, &harvest, room);
			posted = harvest.count;
		} else {
			posted = gather(qp, &harvest, room);
		}
		if (posted == 0) {
			break;
		}
		hf_qpair_unlock(qp);
		for (uint32_t i = 0; i < harvest.count; i++) {
			uint16_t number = harvest.slots[i];

			hf_qpair_deliver(qp, number,
					 qp->pending.slots[number].status);
		}
		hf_qpair_lock(qp);
		for (uint32_t i = 0; i < harvest.count; i++) {
			hf_qpair_release(qp, harvest.slots[i]);
		}
		hf_qpair_resume(qp);
		taken += posted;
		if (posted < room && !claimed) {
			break;
		}
	}
	hf_qpair_unlock(qp);

	if (harvest.lied) {
		qp->hooks.lied(qp->hooks.ctx, qp, harvest.lie, &harvest.cqe);
	}
	return taken;
}

bool hf_qpair_ready(struct hf_qpair *qp)
{
	hf_qpair_lock(qp);
	bool ready = hf_qpair_reaps(qp) &&
		     (qp->claimed != HF_LEDGER_NONE || hf_cq_ready(&qp->cq));
	hf_qpair_unlock(qp);
	return ready;
}

void hf_qpair_set_state(struct hf_qpair *qp, enum hf_qpair_state state)
{
	hf_qpair_lock(qp);
	qp->state = state;
	hf_qpair_resume(qp);
	hf_qpair_unlock(qp);
}
