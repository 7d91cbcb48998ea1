/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking a queue pair over from a process that is gone. The ledger was written
 * by an older version, or by a process that died in the middle of a store:
 * everything is checked before anything is used. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "holdfast/io.h"
#include "queue/qpair_internal.h"

#define PRE_REAP_BATCH 64u

static int bad(const struct hf_qpair *qp, struct hf_error *err,
	       const char *what, uint64_t seen)
{
	return hf_error_set(err, -EINVAL,
			    "%s: queue %u cannot be taken over: the ledger's "
			    "%s is %llu, which no driver could have saved; "
			    "clear the device for a fresh start",
			    qp->dev->id, qp->qid, what,
			    (unsigned long long)seen);
}

static int check_geometry(const struct hf_qpair *qp,
			  const struct hf_qpair_config *config,
			  struct hf_error *err)
{
	const struct hf_ledger_header *header = config->ledger->header;
	const struct hf_ledger_queue *queue = qp->view.queue;

	if (queue->qid != qp->qid) {
		return bad(qp, err, "queue identifier", queue->qid);
	}
	if (queue->entries < 2 || queue->entries > 65536 ||
	    (qp->qid != 0 && queue->entries != header->queue_entries)) {
		return bad(qp, err, "number of entries", queue->entries);
	}
	if (queue->slot_count !=
	    HF_MIN(queue->entries - 1, header->slots_max)) {
		return bad(qp, err, "number of slots", queue->slot_count);
	}
	if (queue->record_count != header->records_max) {
		return bad(qp, err, "number of records", queue->record_count);
	}
	if (queue->page_count > header->pages_max) {
		return bad(qp, err, "number of pages", queue->page_count);
	}
	if ((uint32_t)queue->sq_recorded >= queue->entries ||
	    (uint32_t)queue->sq_rung >= queue->entries) {
		return bad(qp, err, "submission tail", queue->sq_recorded);
	}
	if ((queue->cq_head & ~HF_LEDGER_PHASE) >= queue->entries ||
	    (queue->cq_rung & ~HF_LEDGER_PHASE) >= queue->entries) {
		return bad(qp, err, "completion head", queue->cq_head);
	}
	if (queue->sq_head >= queue->entries) {
		return bad(qp, err, "submission head", queue->sq_head);
	}
	return 0;
}

static int claim_block(struct hf_qpair *qp, struct hf_error *err)
{
	const struct hf_ledger_queue *queue = qp->view.queue;
	uint64_t needed = hf_qpair_sq_bytes(queue->entries) +
			  hf_qpair_cq_bytes(queue->entries) +
			  (uint64_t)queue->page_count * NVME_PAGE_BYTES;

	int rc = hf_dma_block_claim(&qp->dev->dma,
				    qp->qid == 0 ? HF_DMA_OWNER_ADMIN_QUEUE
						 : HF_DMA_OWNER_IO_QUEUE,
				    qp->qid, &qp->block);
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "%s: queue %u cannot be taken over: its "
				    "memory at IOVA %#llx is missing",
				    qp->dev->id, qp->qid,
				    (unsigned long long)queue->iova);
	}
	if (qp->block.iova != queue->iova ||
	    qp->block.len_bytes != queue->len_bytes ||
	    queue->len_bytes != needed) {
		return hf_error_set(err, -EINVAL,
				    "%s: queue %u cannot be taken over: its "
				    "memory is %llu bytes at IOVA %#llx, and "
				    "%llu bytes at %#llx were left",
				    qp->dev->id, qp->qid,
				    (unsigned long long)qp->block.len_bytes,
				    (unsigned long long)qp->block.iova,
				    (unsigned long long)needed,
				    (unsigned long long)queue->iova);
	}
	return 0;
}

static void place_rings(struct hf_qpair *qp)
{
	const struct hf_ledger_queue *queue = qp->view.queue;
	uint8_t *at = qp->block.vaddr;

	hf_sq_init(&qp->sq, (struct nvme_sqe *)(void *)at, queue->entries);
	qp->sq.count = (uint32_t)(queue->sq_recorded >> 32);
	qp->sq.tail = (uint32_t)queue->sq_recorded;
	qp->sq.tail_rung = qp->sq.tail;
	qp->sq.head = queue->sq_head;
	at += hf_qpair_sq_bytes(queue->entries);
	hf_cq_init(&qp->cq, (struct nvme_cqe *)(void *)at, queue->entries);
	qp->cq.head = queue->cq_head & ~HF_LEDGER_PHASE;
	qp->cq.phase = (queue->cq_head & HF_LEDGER_PHASE) != 0;
	qp->cq.head_rung = qp->cq.head;
	at += hf_qpair_cq_bytes(queue->entries);
	qp->pool = (struct hf_pool){
		.vaddr = at,
		.iova = qp->block.iova + (uint64_t)(at - qp->block.vaddr),
		.next = qp->view.page_next,
		.count = queue->page_count,
		.free_head = HF_LEDGER_NONE,
	};
}

/* Walks the chain of a slot's pages; each may have one owner. */
static int own_pages(struct hf_qpair *qp, const struct hf_ledger_slot *slot,
		     uint8_t *owned, struct hf_error *err)
{
	uint16_t page = slot->first_page;

	if (page == HF_LEDGER_NONE) {
		return slot->page_count == 0 && slot->list_pages == 0
			       ? 0
			       : bad(qp, err, "page count of a command",
				     slot->page_count);
	}
	if (slot->page_count == 0 || slot->list_pages > slot->page_count) {
		return bad(qp, err, "page count of a command",
			   slot->page_count);
	}
	for (uint32_t i = 0; i < slot->page_count; i++) {
		if (page >= qp->pool.count || owned[page] != 0) {
			return bad(qp, err, "page of a command", page);
		}
		owned[page] = 1;
		page = qp->pool.next[page];
	}
	return 0;
}

static int check_slot(struct hf_qpair *qp, uint16_t number, uint8_t *owned,
		      struct hf_error *err)
{
	const struct hf_ledger_slot *slot = &qp->pending.slots[number];

	if (slot->state > HF_SLOT_RETRY) {
		return bad(qp, err, "state of a command", slot->state);
	}
	if (slot->kind < HF_SLOT_IO || slot->kind > HF_SLOT_FILLER) {
		return bad(qp, err, "kind of a command", slot->kind);
	}
	if (slot->kind == HF_SLOT_IO && slot->op > HF_OP_PASSTHROUGH) {
		return bad(qp, err, "operation of a command", slot->op);
	}
	/* One that is sent again is given another, perhaps at that moment. */
	if (slot->state != HF_SLOT_RETRY &&
	    le16toh(slot->sqe.cid) != hf_pending_cid(&qp->pending, number)) {
		return bad(qp, err, "command identifier",
			   le16toh(slot->sqe.cid));
	}
	if (slot->record != HF_LEDGER_NONE &&
	    (slot->record >= qp->view.queue->record_count ||
	     qp->view.records[slot->record].in_use == HF_RECORD_FREE)) {
		return bad(qp, err, "record of a command", slot->record);
	}
	if ((slot->flags & HF_SLOT_BOUNCED) != 0 &&
	    (uint64_t)(slot->page_count - slot->list_pages) * NVME_PAGE_BYTES <
		    slot->len_bytes) {
		return bad(qp, err, "length of a command", slot->len_bytes);
	}
	return own_pages(qp, slot, owned, err);
}

/* One that is made of several commands: its rest is issued by the successor. */
static bool may_be_split(uint8_t op)
{
	return op != HF_OP_FLUSH && op < HF_OP_PASSTHROUGH;
}

static int check_records(const struct hf_qpair *qp, struct hf_error *err)
{
	for (uint32_t i = 0; i < qp->view.queue->record_count; i++) {
		const struct hf_ledger_record *record = &qp->view.records[i];

		if (record->in_use > HF_RECORD_TOLD ||
		    (record->in_use == HF_RECORD_OPEN &&
		     (record->issued_blocks > record->blocks ||
		      !may_be_split(record->op)))) {
			return bad(qp, err, "record of a large I/O", i);
		}
		/* Whoever takes it from now on is of this process. */
		qp->records_attached[i] = record->in_use != HF_RECORD_OPEN;
	}
	return 0;
}

static void free_slot(struct hf_qpair *qp, uint32_t number)
{
	qp->pending.entries[number].next_free = qp->pending.free_head;
	qp->pending.free_head = (uint16_t)number;
}

static void free_page(struct hf_qpair *qp, uint32_t page)
{
	qp->pool.next[page] = qp->pool.free_head;
	qp->pool.free_head = (uint16_t)page;
	qp->pool.free_count++;
}

/* Not in the controller's hands: beyond the recorded tail (the counter wraps:
 * the difference is what counts), or to be sent again. */
static bool is_unsent(const struct hf_ledger_slot *slot, uint32_t recorded)
{
	return slot->state == HF_SLOT_RETRY ||
	       (slot->state == HF_SLOT_TAKEN &&
		(int32_t)(slot->position - recorded) >= 0);
}

static int adopt_slots(struct hf_qpair *qp,
		       struct hf_qpair_inherited *inherited, uint8_t *owned,
		       struct hf_error *err)
{
	const struct hf_ledger_queue *queue = qp->view.queue;
	uint32_t recorded = (uint32_t)(queue->sq_recorded >> 32);

	for (uint32_t i = queue->slot_count; i-- > 0;) {
		const struct hf_ledger_slot *slot = &qp->pending.slots[i];

		if (slot->lap >> (16 - qp->pending.lap_shift) != 0) {
			return bad(qp, err, "lap of a command", slot->lap);
		}
		if (slot->state == HF_SLOT_FREE) {
			free_slot(qp, i);
			continue;
		}
		int rc = check_slot(qp, (uint16_t)i, owned, err);
		if (rc != 0) {
			return rc;
		}
		qp->pending.in_use++;
		if (slot->record != HF_LEDGER_NONE) {
			qp->record_parts[slot->record]++;
		}
		inherited->under_way++;
		if (is_unsent(slot, recorded)) {
			inherited->never_sent++;
		}
	}
	return 0;
}

static int adopt_tables(struct hf_qpair *qp,
			struct hf_qpair_inherited *inherited,
			struct hf_error *err)
{
	const struct hf_ledger_queue *queue = qp->view.queue;
	uint8_t *owned = calloc(HF_MAX(queue->page_count, 1u), 1);

	qp->records_attached = calloc(queue->record_count, 1);
	qp->record_parts =
		calloc(queue->record_count, sizeof(*qp->record_parts));
	if (owned == NULL || qp->records_attached == NULL ||
	    qp->record_parts == NULL ||
	    hf_pending_attach(&qp->pending, qp->view.slots,
			      queue->slot_count) != 0) {
		free(owned);
		return hf_error_set(err, -ENOMEM, "%s: no memory for queue %u",
				    qp->dev->id, qp->qid);
	}
	int rc = check_records(qp, err);
	if (rc == 0) {
		rc = adopt_slots(qp, inherited, owned, err);
	}
	if (rc == 0) {
		hf_pending_keep_spare(&qp->pending);
		for (uint32_t page = queue->page_count; page-- > 0;) {
			if (owned[page] == 0) {
				free_page(qp, page);
			}
		}
	}
	free(owned);
	return rc;
}

int hf_qpair_restore(struct hf_qpair **out,
		     const struct hf_qpair_config *config,
		     struct hf_qpair_inherited *inherited, struct hf_error *err)
{
	struct hf_qpair *qp = hf_qpair_alloc(config);

	*inherited = (struct hf_qpair_inherited){0};
	if (qp == NULL) {
		return hf_error_set(err, -ENOMEM, "%s: no memory for queue %u",
				    config->dev->id, config->index);
	}
	qp->state = HF_QPAIR_FENCED;
	int rc = check_geometry(qp, config, err);
	if (rc == 0) {
		rc = claim_block(qp, err);
	}
	if (rc == 0) {
		place_rings(qp);
		rc = adopt_tables(qp, inherited, err);
	}
	if (rc == 0) {
		rc = hf_qpair_doorbells(qp, config, err);
	}
	if (rc != 0) {
		hf_qpair_leave(qp);
		return rc;
	}
	const struct hf_ledger_queue *queue = qp->view.queue;
	qp->sq_doubtful = queue->sq_recorded != queue->sq_rung;
	qp->cq_doubtful = queue->cq_head != queue->cq_rung;
	inherited->doubtful = qp->sq_doubtful || qp->cq_doubtful;
	/* What waited in the predecessor has waited long enough. */
	hf_qpair_retry_inherit(qp, hf_now_ms());
	*out = qp;
	return 0;
}

/* The predecessor may have taken an entry into its slot and died before it
 * recorded that the ring had moved: then the entry is of a command that is
 * DONE, and is passed over. */
static void take_posted(struct hf_qpair *qp, const struct hf_cqe *cqe)
{
	uint16_t number;

	if (hf_cqe_sq_id(cqe) != qp->qid) {
		hf_trouble_refused_add(&qp->trouble, HF_LIE_WRONG_QUEUE, cqe);
		return;
	}
	if (hf_pending_complete(&qp->pending, cqe, &number)) {
		if (!hf_sq_update_head(&qp->sq, hf_cqe_sq_head(cqe))) {
			hf_trouble_refused_add(&qp->trouble, HF_LIE_HEAD, cqe);
		}
		if (hf_cqe_status(cqe) != 0) {
			(void)hf_qpair_failed(qp, number);
		}
		/* Of those that were claimed before, the next reap tells. */
		if (qp->pending.entries[number].done != NULL &&
		    qp->pending.slots[number].state == HF_SLOT_DONE) {
			qp->pending.entries[number].next_free = qp->claimed;
			qp->claimed = number;
		}
		return;
	}
	if (number >= qp->pending.count ||
	    (qp->pending.slots[number].state != HF_SLOT_DONE &&
	     qp->pending.slots[number].state != HF_SLOT_RETRY) ||
	    hf_cqe_cid(cqe) != hf_pending_cid(&qp->pending, number)) {
		hf_trouble_refused_add(&qp->trouble, HF_LIE_UNKNOWN_COMMAND,
				       cqe);
	}
}

static int by_position(const void *a, const void *b)
{
	const struct hf_ledger_slot *const *first = a;
	const struct hf_ledger_slot *const *second = b;
	int32_t distance = (int32_t)((*first)->position - (*second)->position);

	return distance < 0 ? -1 : distance > 0;
}

/* A part is in its slot before the record says that it was issued. */
static void count_as_issued(struct hf_qpair *qp,
			    const struct hf_ledger_slot *slot)
{
	uint64_t lba = (uint64_t)le32toh(slot->sqe.cdw11) << 32 |
		       le32toh(slot->sqe.cdw10);
	uint64_t end = lba + (le32toh(slot->sqe.cdw12) & 0xffff) + 1;

	if (slot->record == HF_LEDGER_NONE || slot->len_bytes == 0) {
		return;
	}
	struct hf_ledger_record *record = &qp->view.records[slot->record];
	if (end > record->lba && end - record->lba <= record->blocks &&
	    end - record->lba > record->issued_blocks) {
		record->issued_blocks = end - record->lba;
	}
}

/*
 * Never sent for certain: the tail was not recorded behind them, and it is
 * recorded before it is rung. They go out now, in the order they were put.
 */
static void send_again(struct hf_qpair *qp)
{
	uint32_t recorded = qp->sq.count;
	/* Not from the heap: this has to come about. */
	struct hf_ledger_slot *unsent[HF_LEDGER_SLOTS_MAX];
	uint32_t count = 0;

	for (uint32_t i = 0; i < qp->pending.count; i++) {
		struct hf_ledger_slot *slot = &qp->pending.slots[i];

		if (slot->state == HF_SLOT_TAKEN && is_unsent(slot, recorded)) {
			unsent[count] = slot;
			count++;
		}
	}
	if (count > 0) {
		qsort((void *)unsent, count, sizeof(*unsent), by_position);
	}
	for (uint32_t i = 0; i < count; i++) {
		count_as_issued(qp, unsent[i]);
		unsent[i]->position = qp->sq.count;
		unsent[i]->tick = hf_qpair_tick(qp);
		hf_sq_push(&qp->sq, &unsent[i]->sqe);
	}
}

/* The predecessor died between the last part and its record. */
static void give_told_records(struct hf_qpair *qp)
{
	for (uint32_t i = 0; i < qp->view.queue->record_count; i++) {
		if (qp->view.records[i].in_use == HF_RECORD_TOLD) {
			hf_qpair_record_give(qp, (uint16_t)i);
		}
	}
}

void hf_qpair_resume_service(struct hf_qpair *qp)
{
	struct hf_cqe batch[PRE_REAP_BATCH];
	uint32_t posted;
	uint32_t total = 0;

	hf_qpair_lock(qp);
	do {
		posted = hf_cq_reap(&qp->cq, batch, PRE_REAP_BATCH);
		for (uint32_t i = 0; i < posted; i++) {
			take_posted(qp, &batch[i]);
		}
		total += posted;
	} while (posted == PRE_REAP_BATCH && total < 2 * qp->cq.entries);
	qp->cq_doubtful = qp->cq_doubtful && total == 0;
	hf_qpair_record_reaped(qp);
	send_again(qp);
	give_told_records(qp);
	qp->state = HF_QPAIR_LIVE;
	hf_qpair_resume(qp);
	hf_qpair_unlock(qp);
	hf_qpair_retry_soon(qp);
}

/*
 * The new tail, or the new head once the command has completed, says what may
 * not have been said. A ring of two entries has no place behind a command:
 * there the doorbell is written again. If it was written before, the controller
 * may report an Invalid Doorbell Write Value, and goes on.
 */
void hf_qpair_make_certain(struct hf_qpair *qp, const struct hf_request *filler,
			   bool *issued)
{
	*issued = false;
	if (hf_pending_lend_spare(&qp->pending) ||
	    qp->pending.free_head != HF_LEDGER_NONE) {
		*issued = hf_qpair_put(qp, filler) >= 0;
	}
	if (*issued) {
		hf_qpair_commit(qp);
		return;
	}
	if (qp->sq_doubtful && !hf_sq_dirty(&qp->sq)) {
		hf_doorbell_ring(&qp->sq.doorbell, qp->sq.tail);
	}
	if (qp->cq_doubtful) {
		hf_doorbell_ring(&qp->cq.doorbell, qp->cq.head);
	}
}

void hf_qpair_claim(struct hf_qpair *qp, uint16_t slot, hf_request_done *done,
		    void *ctx, const struct hf_data *data)
{
	struct hf_pending_entry *entry = &qp->pending.entries[slot];

	assert(slot < qp->pending.count && entry->done == NULL);
	entry->done = done;
	entry->ctx = ctx;
	entry->iov = data->iov;
	entry->iov_count = data->iov_count;
	entry->iov_offset = data->offset;
	if (qp->pending.slots[slot].state == HF_SLOT_DONE) {
		entry->next_free = qp->claimed;
		qp->claimed = slot;
	}
}
