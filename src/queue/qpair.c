/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue/qpair.h"

#include <assert.h>
#include <errno.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/hint.h"
#include "queue/qpair_internal.h"

#define REAP_BATCH 64u

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
	slot->tick = hf_qpair_tick(qp);
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
	entry->tries = 0;
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
	if (request->record != HF_LEDGER_NONE) {
		qp->record_parts[request->record]++;
	}
	hf_pending_publish(&qp->pending, number);
	hf_sq_push(&qp->sq, &qp->pending.slots[number].sqe);
	qp->submitted++;
	return number;
}

void hf_qpair_commit(struct hf_qpair *qp)
{
	/* In the midst of a reset the ring holds what is to be repeated, and
	 * the controller does not have the queue yet: it is told when the
	 * queue goes live. */
	if (!hf_sq_dirty(&qp->sq) || HF_UNLIKELY(!hf_qpair_reaps(qp))) {
		return;
	}

	/*
	 * The tail is recorded before the doorbell: a process that dies in
	 * between leaves a tail that may not have been rung, which its
	 * successor's next command makes certain. The other way about, a rung
	 * command would look as if it had never been sent, and be sent twice.
	 */
	uint64_t position = hf_qpair_sq_position(qp);
#ifdef HF_NEGATIVE_CONTROL
	/* The wrong way around, and time to be killed in between: the tests
	 * have to see what comes of it. */
	hf_sq_commit(&qp->sq);
	for (volatile uint32_t i = 0; i < HF_NEGATIVE_CONTROL; i++) {
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
		if (qp->view.records[i].in_use == HF_RECORD_FREE) {
			return (uint16_t)i;
		}
	}
	return HF_LEDGER_NONE;
}

/*
 * Slots of its parts may still be on their way to be free. Would another I/O
 * get the record now, a successor would take them for parts of that one.
 */
void hf_qpair_record_give(struct hf_qpair *qp, uint16_t record)
{
	__atomic_store_n(&qp->view.records[record].in_use,
			 qp->record_parts[record] == 0 ? HF_RECORD_FREE
						       : HF_RECORD_TOLD,
			 __ATOMIC_RELEASE);
}

static void part_is_free(struct hf_qpair *qp, uint16_t record)
{
	if (record == HF_LEDGER_NONE) {
		return;
	}
	qp->record_parts[record]--;
	if (qp->record_parts[record] == 0 &&
	    qp->view.records[record].in_use == HF_RECORD_TOLD) {
		hf_qpair_record_give(qp, record);
	}
}

/* A slot that has pages, or is a part of a larger I/O. */
HF_COLD static void release_with(struct hf_qpair *qp, uint16_t number)
{
	const struct hf_ledger_slot *slot = &qp->pending.slots[number];

	if (slot->first_page != HF_LEDGER_NONE) {
		hf_pool_give(&qp->pool, slot->first_page, slot->page_count);
	}
	hf_pending_give(&qp->pending, number);
	part_is_free(qp, slot->record);
	qp->completed++;
}

/* Data from the device, to where the caller wants it. */
HF_COLD static void unbounce(const struct hf_qpair *qp,
			     const struct hf_ledger_slot *slot,
			     const struct hf_pending_entry *entry)
{
	const struct hf_prps prps = {
		.first_page = slot->first_page,
		.page_count = slot->page_count,
		.list_pages = slot->list_pages,
	};
	const struct hf_data data = {
		.iov = entry->iov,
		.iov_count = entry->iov_count,
		.offset = entry->iov_offset,
		.len_bytes = slot->len_bytes,
	};

	hf_prp_copy_out(&prps, &data, &qp->pool);
}

/* Not under the lock: the slot is this thread's until it is given back. */
HF_HOT_INLINE void deliver(struct hf_qpair *qp, uint16_t number, int result)
{
	const struct hf_ledger_slot *slot = &qp->pending.slots[number];
	const struct hf_pending_entry *entry = &qp->pending.entries[number];
	const uint8_t bounce_flags = HF_SLOT_BOUNCED | HF_SLOT_TO_DEVICE;

	/* Without a buffer: a predecessor's, whose data nobody wants. */
	if (HF_UNLIKELY((slot->flags & bounce_flags) == HF_SLOT_BOUNCED) &&
	    result == 0 && entry->iov_count != 0) {
		unbounce(qp, slot, entry);
	}
	const struct hf_completion how = {
		.result = result,
		.dw0 = slot->dw0,
		.dw1 = slot->dw1,
	};
	entry->done(entry->ctx, &how);
}

HF_HOT_INLINE void release(struct hf_qpair *qp, uint16_t number)
{
	const struct hf_ledger_slot *slot = &qp->pending.slots[number];

	if (HF_UNLIKELY((slot->first_page & slot->record) != HF_LEDGER_NONE)) {
		release_with(qp, number);
		return;
	}
	hf_pending_give(&qp->pending, number);
	qp->completed++;
}

void hf_qpair_deliver(struct hf_qpair *qp, uint16_t number, int result)
{
	deliver(qp, number, result);
}

void hf_qpair_release(struct hf_qpair *qp, uint16_t number)
{
	release(qp, number);
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
	bool retries; /* something waits to be sent again */
	enum hf_qpair_lie lie;
	struct hf_cqe cqe; /* of the last lie */
};

/* Inline, or the entry could not stay in registers. */
HF_HOT_INLINE void note_lie(struct hf_qpair *qp, struct harvest *harvest,
			    enum hf_qpair_lie lie, const struct hf_cqe *cqe)
{
	hf_trouble_refused_add(&qp->trouble, lie, cqe);
	harvest->lied = true;
	harvest->lie = lie;
	harvest->cqe = *cqe;
}

HF_HOT_INLINE void judge(struct hf_qpair *qp, struct harvest *harvest,
			 const struct hf_cqe *cqe)
{
	if (HF_UNLIKELY(hf_cqe_sq_id(cqe) != qp->qid)) {
		note_lie(qp, harvest, HF_LIE_WRONG_QUEUE, cqe);
		return;
	}
	if (HF_UNLIKELY(!hf_sq_update_head(&qp->sq, hf_cqe_sq_head(cqe)))) {
		note_lie(qp, harvest, HF_LIE_HEAD, cqe);
	}
	uint16_t slot;
	if (HF_UNLIKELY(!hf_pending_complete(&qp->pending, cqe, &slot))) {
		note_lie(qp, harvest,
			 hf_pending_was_there(&qp->pending, cqe)
				 ? HF_LIE_STALE_COMMAND
				 : HF_LIE_UNKNOWN_COMMAND,
			 cqe);
		return;
	}
	if (HF_UNLIKELY(hf_cqe_status(cqe) != 0) && hf_qpair_failed(qp, slot)) {
		harvest->retries = true;
		return;
	}
	if (HF_UNLIKELY(qp->pending.entries[slot].done == NULL)) {
		return; /* a predecessor's, that nobody has attached to yet */
	}
	harvest->slots[harvest->count] = slot;
	harvest->count++;
}

/* Completed before somebody attached to them. */
HF_COLD static void gather_claimed(struct hf_qpair *qp, struct harvest *harvest,
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
	uint32_t position = hf_qpair_cq_position(qp);

	/* Behind the completion ring's, it would be too old for a successor
	 * that finds nothing posted. */
	qp->view.queue->sq_head = qp->sq.head;
	__atomic_store_n(&qp->view.queue->cq_head, position, __ATOMIC_RELEASE);
	hf_cq_commit(&qp->cq);
	__atomic_store_n(&qp->view.queue->cq_rung, position, __ATOMIC_RELEASE);
}

HF_HOT_INLINE uint32_t gather(struct hf_qpair *qp, struct harvest *harvest,
			      uint32_t max)
{
	struct hf_cqe cqe;
	uint32_t posted = 0;

	harvest->count = 0;
	while (posted < max && hf_cq_next(&qp->cq, &cqe)) {
#ifdef HF_NEGATIVE_CONTROL_HEAD
		hf_qpair_record_reaped(qp); /* too early: tests have to see */
#endif
		judge(qp, harvest, &cqe);
		posted++;
	}
	if (posted > 0) {
		hf_qpair_record_reaped(qp);
	}
	return posted;
}

uint32_t hf_qpair_reap(struct hf_qpair *qp, uint32_t budget)
{
	struct harvest harvest;
	uint32_t taken = 0;

	harvest.lied = false;
	harvest.retries = false;
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

			deliver(qp, number, qp->pending.slots[number].status);
		}
		hf_qpair_lock(qp);
		for (uint32_t i = 0; i < harvest.count; i++) {
			release(qp, harvest.slots[i]);
		}
		if (HF_UNLIKELY(qp->pending.spare_lent)) {
			hf_pending_keep_spare(&qp->pending);
		}
		/* Nearly always nothing waits, and then nothing is to ring. */
		if (HF_UNLIKELY(!hf_list_empty(&qp->waiting) ||
				hf_sq_dirty(&qp->sq))) {
			hf_qpair_resume(qp);
		}
		taken += posted;
		if (posted < room && !claimed) {
			break;
		}
	}
	hf_qpair_unlock(qp);

	if (HF_UNLIKELY(harvest.lied)) {
		qp->hooks.lied(qp->hooks.ctx, qp, harvest.lie, &harvest.cqe);
	}
	/* Only now: the ring's head is recorded past the completion, so that a
	 * successor does not meet it beside the command's next try. */
	if (HF_UNLIKELY(harvest.retries)) {
		hf_qpair_retry_soon(qp);
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
