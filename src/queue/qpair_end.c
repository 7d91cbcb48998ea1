/* SPDX-License-Identifier: BSD-3-Clause */
/* Ending what is under way, or waits, on a queue pair that does not go on. */
#include <assert.h>

#include <nvme/types.h>

#include "queue/qpair_internal.h"

/* Marks one command that is under way as ended. One that is DONE is being
 * delivered by the thread that reaped it. */
static bool take_over(struct hf_qpair *qp, uint32_t number, bool keep)
{
	struct hf_ledger_slot *slot = &qp->pending.slots[number];
	struct hf_pending_entry *entry = &qp->pending.entries[number];

	/* What waits to be sent again is not in the controller's hands. */
	bool ends = slot->state == HF_SLOT_RETRY
			    ? !keep
			    : slot->state == HF_SLOT_TAKEN &&
				      !(keep && (slot->flags &
						 HF_SLOT_REPEATABLE) != 0);
	if (!ends) {
		return false;
	}
	/* What nobody has attached to waits for that with this status. */
	slot->status = NVME_SC_ABORT_REQ;
	__atomic_store_n(&slot->state, HF_SLOT_DONE, __ATOMIC_RELEASE);
	if (entry->done != NULL) {
		entry->next_free = qp->ended;
		qp->ended = (uint16_t)number;
	}
	return true;
}

uint32_t hf_qpair_mark_ended(struct hf_qpair *qp, int result,
			     bool keep_repeatable)
{
	uint32_t ended = 0;

	hf_qpair_lock(qp);
	assert(!hf_qpair_reaps(qp));
	qp->end_result = result;
	if (!keep_repeatable) {
		qp->retry_first = HF_LEDGER_NONE;
	}
	for (uint32_t i = qp->pending.count; i-- > 0;) {
		ended += take_over(qp, i, keep_repeatable) ? 1 : 0;
	}
	hf_qpair_unlock(qp);
	return ended;
}

/* Those that were ended, and those that had completed before somebody
 * attached to them: a queue that is not live hands them out in here. */
static uint16_t next_ended(struct hf_qpair *qp, int *result)
{
	uint16_t *first =
		qp->ended != HF_LEDGER_NONE ? &qp->ended : &qp->claimed;
	uint16_t number = *first;

	if (number == HF_LEDGER_NONE ||
	    (first == &qp->claimed && hf_qpair_reaps(qp))) {
		return HF_LEDGER_NONE;
	}
	*result = first == &qp->ended ? qp->end_result
				      : qp->pending.slots[number].status;
	*first = qp->pending.entries[number].next_free;
	return number;
}

bool hf_qpair_has_ended(struct hf_qpair *qp)
{
	hf_qpair_lock(qp);
	bool has = qp->ended != HF_LEDGER_NONE ||
		   (qp->claimed != HF_LEDGER_NONE && !hf_qpair_reaps(qp));
	hf_qpair_unlock(qp);
	return has;
}

void hf_qpair_tell_ended(struct hf_qpair *qp)
{
	uint16_t number;
	int result;

	hf_qpair_lock(qp);
	while ((number = next_ended(qp, &result)) != HF_LEDGER_NONE) {
		hf_qpair_unlock(qp);
		hf_qpair_deliver(qp, number, result);
		hf_qpair_lock(qp);
		hf_qpair_release(qp, number);
	}
	if (qp->pending.spare_lent) {
		hf_pending_keep_spare(&qp->pending);
	}
	hf_qpair_unlock(qp);
	/* Whoever sleeps for one of these sleeps for the queue pair's
	 * interrupt, which will not come. */
	hf_qpair_wake(qp);
}

bool hf_qpair_is_delivering(struct hf_qpair *qp)
{
	bool delivering = false;

	hf_qpair_lock(qp);
	for (uint32_t i = 0; i < qp->pending.count; i++) {
		delivering = delivering ||
			     (qp->pending.slots[i].state == HF_SLOT_DONE &&
			      qp->pending.entries[i].done != NULL);
	}
	hf_qpair_unlock(qp);
	return delivering;
}

static struct hf_waiter *take_waiter(struct hf_qpair *qp, bool idle_only)
{
	struct hf_waiter *found = NULL;

	hf_qpair_lock(qp);
	hf_list_for_each(link, &qp->waiting)
	{
		struct hf_waiter *waiter =
			hf_container_of(link, struct hf_waiter, link);

		if (!idle_only || !waiter->begun) {
			found = waiter;
			break;
		}
	}
	if (found != NULL) {
		hf_list_remove(&found->link);
	}
	hf_qpair_unlock(qp);
	return found;
}

static void cancel_each(struct hf_qpair *qp, int result, bool idle_only)
{
	struct hf_waiter *waiter;

	while ((waiter = take_waiter(qp, idle_only)) != NULL) {
		waiter->cancel(waiter, result);
	}
}

void hf_qpair_cancel_waiting(struct hf_qpair *qp, int result)
{
	cancel_each(qp, result, false);
}

void hf_qpair_cancel_idle(struct hf_qpair *qp, int result)
{
	cancel_each(qp, result, true);
}
