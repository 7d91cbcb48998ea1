/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands of a queue pair that are sent again: the line in which they wait,
 * and what makes each instant recoverable for a successor. */
#include <endian.h>

#include "base/checked.h"
#include "base/clock.h"
#include "holdfast/io.h"
#include "queue/qpair_internal.h"

#define LIMIT_MS 30000u

/*
 * Doing twice what these do is as good as doing it once, and the caller, who
 * was not told yet, cannot have built on the first. Anything else that was
 * passed through is the caller's to repeat: the driver does not know what it
 * does.
 */
static bool may_be_sent_again(const struct hf_ledger_slot *slot)
{
	if (slot->kind != HF_SLOT_IO ||
	    (slot->sqe.flags & NVME_SQE_FLAGS_FUSE_MASK) != 0) {
		return false;
	}
	switch ((enum hf_op)slot->op) {
	case HF_OP_READ:
	case HF_OP_WRITE:
	case HF_OP_FLUSH:
	case HF_OP_DEALLOCATE:
	case HF_OP_WRITE_ZEROES:
	case HF_OP_COMPARE:
	case HF_OP_VERIFY:
		return true;
	case HF_OP_PASSTHROUGH:
		return false;
	}
	return false;
}

/* For all tries together. */
static uint64_t limit_ms(const struct hf_retry_policy *policy,
			 const struct hf_ledger_slot *slot)
{
	uint32_t limit = policy->long_limit_ms;

	if (slot->timeout_ticks != 0) {
		return (uint64_t)slot->timeout_ticks * HF_TICK_MS;
	}
	if (slot->op == HF_OP_READ || slot->op == HF_OP_WRITE ||
	    slot->op == HF_OP_COMPARE) {
		limit = policy->data_limit_ms;
	}
	return limit != 0 ? limit : LIMIT_MS;
}

/* One that was aborted because it took too long is not begun anew. */
static enum hf_retry_kind kind_of(const struct hf_qpair *qp,
				  const struct hf_ledger_slot *slot,
				  const struct hf_pending_entry *entry)
{
	if (qp->retry == NULL || qp->retry->max == 0 || entry->aborted ||
	    !may_be_sent_again(slot)) {
		return HF_RETRY_NONE;
	}
	return hf_retry_kind_of(
		slot->status,
		__atomic_load_n(&qp->retry->acre, __ATOMIC_RELAXED));
}

static void put_in_line(struct hf_qpair *qp, uint16_t number)
{
	qp->pending.entries[number].next_free = HF_LEDGER_NONE;
	if (qp->retry_first == HF_LEDGER_NONE) {
		qp->retry_first = number;
	} else {
		qp->pending.entries[qp->retry_last].next_free = number;
	}
	qp->retry_last = number;
}

static bool is_worth_it(struct hf_qpair *qp, uint16_t number,
			enum hf_retry_kind kind)
{
	const struct hf_ledger_slot *slot = &qp->pending.slots[number];
	struct hf_pending_entry *entry = &qp->pending.entries[number];

	if (kind == HF_RETRY_NONE) {
		return false;
	}
	if (entry->tries == 0) {
		entry->born_tick = slot->tick;
	}
	uint32_t tick = hf_qpair_tick(qp);
	int32_t age_ticks = (int32_t)(tick - entry->born_tick);
	/* The clock is coarse, and may be behind a predecessor's. */
	uint64_t age_ms = (uint64_t)HF_MAX(age_ticks, 0) * HF_TICK_MS;
	uint64_t delay_ms =
		hf_retry_delay_ms(qp->retry, kind, slot->status, entry->tries);
	if (entry->tries >= qp->retry->max ||
	    age_ms + delay_ms > limit_ms(qp->retry, slot)) {
		qp->trouble.gave_up++;
		return false;
	}
	entry->due_ms = hf_now_ms() + (uint32_t)delay_ms;
	return true;
}

bool hf_qpair_failed(struct hf_qpair *qp, uint16_t number)
{
	struct hf_ledger_slot *slot = &qp->pending.slots[number];
	struct hf_pending_entry *entry = &qp->pending.entries[number];
	struct hf_trouble_error *error = hf_trouble_error_add(&qp->trouble);
	enum hf_retry_kind kind = kind_of(qp, slot, entry);

	if (!is_worth_it(qp, number, kind)) {
		kind = HF_RETRY_NONE;
	}
	error->sqe = slot->sqe;
	error->status = slot->status;
	error->op = slot->op;
	error->tries = entry->tries;
	error->retry = kind;
	if (kind == HF_RETRY_NONE) {
		return false;
	}
	qp->trouble.retried[kind]++;
	entry->tries++;
	/* The controller is done with it: a successor sends it as one that
	 * was never sent. */
	__atomic_store_n(&slot->state, HF_SLOT_RETRY, __ATOMIC_RELEASE);
	put_in_line(qp, number);
	return true;
}

static void send_again(struct hf_qpair *qp, uint16_t number)
{
	struct hf_ledger_slot *slot = &qp->pending.slots[number];

	/* Under another identifier, so that a completion of the last try that
	 * comes once more is not taken for this one's. */
	hf_pending_next_lap(&qp->pending, number);
	slot->sqe.cid = htole16(hf_pending_cid(&qp->pending, number));
	slot->position = qp->sq.count;
	slot->tick = hf_qpair_tick(qp);
	qp->pending.entries[number].aborted = false;
	/* A process that dies before this leaves one that waits still. */
	hf_pending_publish(&qp->pending, number);
	hf_sq_push(&qp->sq, &slot->sqe);
}

uint32_t hf_qpair_retry(struct hf_qpair *qp, uint32_t now_ms)
{
	uint32_t next_ms = UINT32_MAX;

	hf_qpair_lock(qp);
	uint16_t number = qp->retry_first;
	bool issues = hf_qpair_reaps(qp) && number != HF_LEDGER_NONE;

	if (issues) {
		qp->retry_first = HF_LEDGER_NONE;
	}
	while (issues && number != HF_LEDGER_NONE) {
		struct hf_pending_entry *entry = &qp->pending.entries[number];
		uint16_t after = entry->next_free;
		int32_t left_ms = (int32_t)(entry->due_ms - now_ms);

		if (left_ms <= 0) {
			send_again(qp, number);
		} else {
			next_ms = HF_MIN(next_ms, (uint32_t)left_ms);
			put_in_line(qp, number);
		}
		number = after;
	}
	hf_qpair_commit(qp);
	hf_qpair_unlock(qp);
	return next_ms;
}

void hf_qpair_retry_soon(struct hf_qpair *qp)
{
	(void)hf_qpair_retry(qp, hf_now_ms());
	/* Also where the queue was fenced meanwhile and nothing is due: it
	 * goes on with them when it goes live again. */
	if (hf_qpair_retries_wait(qp)) {
		qp->hooks.retry(qp->hooks.ctx, qp);
	}
}

bool hf_qpair_retries_wait(struct hf_qpair *qp)
{
	hf_qpair_lock(qp);
	bool wait = qp->retry_first != HF_LEDGER_NONE;
	hf_qpair_unlock(qp);
	return wait;
}

void hf_qpair_retry_inherit(struct hf_qpair *qp, uint32_t now_ms)
{
	for (uint32_t i = 0; i < qp->pending.count; i++) {
		struct hf_pending_entry *entry = &qp->pending.entries[i];

		if (qp->pending.slots[i].state == HF_SLOT_RETRY) {
			entry->tries = 1;
			entry->born_tick = qp->pending.slots[i].tick;
			entry->due_ms = now_ms;
			put_in_line(qp, (uint16_t)i);
		}
	}
}
