/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/deadline.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "driver/admin.h"
#include "driver/bring_up.h"

#define SWEEP_TICKS (HF_SWEEP_MS / HF_TICK_MS)
/* What a controller has for an aborted command to end. */
#define GRACE_TICKS (2000 / HF_TICK_MS)
/* A command this old has the controller looked at. */
#define LOOK_TICKS SWEEP_TICKS
#define CSTS_CFS   2u

/* The oldest command of a queue that is past its deadline. */
struct overdue {
	bool found;
	uint16_t slot;
	uint16_t cid;
	uint8_t opcode;
	uint32_t age_ticks;
	bool aborted;        /* asked to be, before */
	uint32_t abort_tick; /* when */
};

static uint32_t ticks_of(uint32_t timeout_ms)
{
	return (uint32_t)(((uint64_t)timeout_ms + HF_TICK_MS - 1) / HF_TICK_MS);
}

/* 0: never due. */
static uint32_t limit_ticks(const struct hf_driver *drv,
			    const struct hf_qpair *qp,
			    const struct hf_ledger_slot *slot)
{
	const struct hf_driver_options *options = &drv->options;

	if (slot->kind == HF_SLOT_AER || options->io_timeout_ms == 0) {
		return 0;
	}
	if (slot->timeout_ticks != 0) {
		return slot->timeout_ticks;
	}
	if (qp->qid == 0) {
		/* Formatting takes what it takes. */
		return slot->sqe.opcode == nvme_admin_format_nvm
			       ? 0
			       : ticks_of(options->admin_timeout_ms);
	}
	switch (slot->sqe.opcode) {
	case nvme_cmd_read:
	case nvme_cmd_write:
	case nvme_cmd_compare:
		return ticks_of(options->io_timeout_ms);
	default:
		return ticks_of(options->long_timeout_ms);
	}
}

/* Returns the age of the oldest command, overdue or not. */
static uint32_t look(const struct hf_driver *drv, struct hf_qpair *qp,
		     struct overdue *overdue)
{
	uint32_t oldest = 0;

	*overdue = (struct overdue){0};
	hf_qpair_lock(qp);
	uint32_t count = qp->pending.in_use > 0 ? qp->pending.count : 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct hf_ledger_slot *slot = &qp->pending.slots[i];
		const struct hf_pending_entry *entry = &qp->pending.entries[i];

		if (slot->state != HF_SLOT_TAKEN || slot->kind == HF_SLOT_AER) {
			continue;
		}
		uint32_t age = drv->now - slot->tick;
		uint32_t limit = limit_ticks(drv, qp, slot);
		oldest = HF_MAX(oldest, age);
		/* A tick of slack: the clock is that coarse. */
		if (limit == 0 || age <= limit ||
		    (overdue->found && age <= overdue->age_ticks)) {
			continue;
		}
		*overdue = (struct overdue){
			.found = true,
			.slot = (uint16_t)i,
			.cid = hf_pending_cid(&qp->pending, (uint16_t)i),
			.opcode = slot->sqe.opcode,
			.age_ticks = age,
			.aborted = entry->aborted,
			.abort_tick = entry->abort_tick,
		};
	}
	hf_qpair_unlock(qp);
	return oldest;
}

static void abort_done(void *ctx, const struct hf_completion *how)
{
	struct hf_driver *drv = ctx;

	/* Whether it was aborted shows in whether it ends; bit 0 is what the
	 * controller says of that. */
	if (how->result != 0) {
		drv->aborts_failed++;
	} else if ((how->dw0 & 1) != 0) {
		drv->aborts_not_done++;
	} else {
		drv->aborts_done++;
	}
	drv->abort_outstanding = false;
}

static void ask_to_abort(struct hf_driver *drv, struct hf_qpair *qp,
			 const struct overdue *overdue)
{
	const struct hf_data none = {0};
	const struct nvme_sqe sqe = {
		.opcode = nvme_admin_abort_cmd,
		.cdw10 = htole32((uint32_t)overdue->cid << 16 | qp->qid),
	};

	/* One at a time: the controller's limit may be that. */
	if (drv->abort_outstanding ||
	    hf_admin_issue(drv, &sqe, &none, false, HF_SLOT_ADMIN, 0,
			   abort_done, drv) != 0) {
		return;
	}
	drv->abort_outstanding = true;
	drv->aborts++;
	hf_qpair_lock(qp);
	struct hf_pending_entry *entry = &qp->pending.entries[overdue->slot];
	if (qp->pending.slots[overdue->slot].state == HF_SLOT_TAKEN &&
	    hf_pending_cid(&qp->pending, overdue->slot) == overdue->cid) {
		entry->aborted = true;
		entry->abort_tick = drv->now;
	}
	hf_qpair_unlock(qp);
	hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_ABORT], HF_LOG_WARNING,
		       "%s: queue %u: command %02xh (%04xh) has taken %u ms: "
		       "aborting it",
		       drv->dev->id, qp->qid, overdue->opcode, overdue->cid,
		       overdue->age_ticks * HF_TICK_MS);
}

/* The completion is there: nobody was told, or nobody looks. */
static void lost_interrupt(struct hf_driver *drv, struct hf_qpair *qp)
{
	drv->lost_interrupts++;
	hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_INTERRUPT],
		       HF_LOG_WARNING,
		       "%s: queue %u: a completion lay there without an "
		       "interrupt",
		       drv->dev->id, qp->qid);
	hf_qpair_wake(qp);
}

/* True when the controller has to be reset. */
static bool act(struct hf_driver *drv, struct hf_qpair *qp,
		const struct overdue *overdue)
{
	if (hf_qpair_ready(qp)) {
		lost_interrupt(drv, qp);
		return false;
	}
	if (qp->qid == 0 || drv->is_quiet) {
		return true;
	}
	if (!overdue->aborted) {
		ask_to_abort(drv, qp, overdue);
		return false;
	}
	return drv->now - overdue->abort_tick > GRACE_TICKS;
}

static bool controller_is_well(struct hf_driver *drv)
{
	struct hf_error err;
	uint32_t csts;

	int rc = hf_ctrl_status(&drv->ctrl, &csts, &err);
	if (rc != 0) {
		/* It may come back, as after an error of the link. */
		drv->vanished = true;
		hf_bring_up_again(drv, "its registers read as all ones");
		return false;
	}
	if ((csts & CSTS_CFS) != 0) {
		hf_bring_up_again(drv, "it reports a fatal error (CSTS.CFS)");
		return false;
	}
	return true;
}

static void reset_for(struct hf_driver *drv, const struct hf_qpair *qp,
		      const struct overdue *overdue)
{
	char why[128];

	snprintf(why, sizeof(why),
		 "command %02xh on queue %u did not end in %u ms%s",
		 overdue->opcode, qp->qid, overdue->age_ticks * HF_TICK_MS,
		 overdue->aborted ? ", nor when it was aborted" : "");
	if (drv->bringing_up) {
		hf_bring_up_give_up(drv, why);
	} else {
		hf_bring_up_again(drv, why);
	}
}

uint32_t hf_deadline_now(void)
{
	uint32_t now = (uint32_t)(hf_now_ns() / HF_NS_PER_MS / HF_TICK_MS);

	return now != HF_TICK_ASLEEP ? now : now + 1;
}

/* What a sweep found of the queues: is there work, and is there news? */
struct activity {
	bool busy;          /* something is under way, or waits */
	uint64_t submitted; /* commands that there ever were */
};

static void look_for_activity(struct hf_qpair *qp, struct activity *activity)
{
	uint32_t events = 0;

	hf_qpair_lock(qp);
	/* What may stay for ever is not under way. */
	for (uint32_t i = 0; qp->qid == 0 && i < qp->pending.count; i++) {
		const struct hf_ledger_slot *slot = &qp->pending.slots[i];

		if (slot->state == HF_SLOT_TAKEN && slot->kind == HF_SLOT_AER) {
			events++;
		}
	}
	if (qp->pending.in_use > events || !hf_list_empty(&qp->waiting)) {
		activity->busy = true;
	}
	activity->submitted += qp->submitted;
	hf_qpair_unlock(qp);
}

static struct activity look_again(struct hf_driver *drv)
{
	struct activity activity = {.busy = false};

	look_for_activity(drv->admin, &activity);
	for (uint32_t i = 0; i < drv->io_max; i++) {
		if (drv->io[i] != NULL) {
			look_for_activity(drv->io[i], &activity);
		}
	}
	return activity;
}

/*
 * Lets the clock stand still where nothing is under way and nothing was since
 * the last sweep, so that an idle driver costs nothing; the first command
 * after that sets it going again (hf_qpair_tick()). None is missed: the clock
 * is stopped first, and then each queue is looked at once more, under its
 * lock. A command that is put before that look is seen by it; one that is put
 * after it has taken the lock later, and so finds the clock stopped.
 */
static void doze(struct hf_driver *drv, const struct activity *activity)
{
	bool news = activity->submitted != drv->sweep_submitted;

	drv->sweep_submitted = activity->submitted;
	if (activity->busy || news || drv->bringing_up || drv->draining ||
	    drv->removal_told || hf_driver_state(drv) != HF_DRIVER_READY ||
	    !hf_list_empty(&drv->jobs)) {
		return;
	}
	__atomic_store_n(&drv->tick, HF_TICK_ASLEEP, __ATOMIC_RELAXED);
	const struct activity now = look_again(drv);
	if (now.busy || now.submitted != drv->sweep_submitted) {
		__atomic_store_n(&drv->tick, drv->now, __ATOMIC_RELAXED);
	}
}

bool hf_deadline_sweeps(const struct hf_driver *drv)
{
	return __atomic_load_n(&drv->tick, __ATOMIC_RELAXED) !=
		       HF_TICK_ASLEEP &&
	       !drv->saved && !hf_driver_is_over(drv);
}

uint32_t hf_deadline_awaken(void *ctx)
{
	struct hf_driver *drv = ctx;
	uint32_t now = hf_deadline_now();
	uint32_t before = HF_TICK_ASLEEP;

	/* One of those that come at once asks for the timer. */
	if (__atomic_compare_exchange_n(&drv->tick, &before, now, false,
					__ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		hf_driver_kick(drv);
	}
	return now;
}

void hf_deadline_sweep(struct hf_driver *drv)
{
	struct activity activity = {.busy = false};
	struct overdue overdue;
	uint32_t oldest;

	if (drv->now - drv->sweep_tick < SWEEP_TICKS || drv->admin == NULL ||
	    drv->saved || hf_driver_state(drv) == HF_DRIVER_CLOSING ||
	    hf_driver_state(drv) == HF_DRIVER_FAILED) {
		return;
	}
	drv->sweep_tick = drv->now;
	look_for_activity(drv->admin, &activity);
	oldest = look(drv, drv->admin, &overdue);
	if (overdue.found && act(drv, drv->admin, &overdue)) {
		reset_for(drv, drv->admin, &overdue);
		return;
	}
	for (uint32_t i = 0; !drv->bringing_up && i < drv->io_max; i++) {
		struct hf_qpair *qp = drv->io[i];

		if (qp == NULL) {
			continue;
		}
		look_for_activity(qp, &activity);
		uint32_t age = look(drv, qp, &overdue);
		oldest = HF_MAX(oldest, age);
		if (!overdue.found && age >= SWEEP_TICKS &&
		    !hf_issuer_is_polled(&drv->issuers.each[qp->cpu]) &&
		    hf_qpair_ready(qp)) {
			lost_interrupt(drv, qp);
		}
		if (overdue.found && act(drv, qp, &overdue)) {
			reset_for(drv, qp, &overdue);
			return;
		}
	}
	/* Also one that was asked for: nothing else tells when it goes. */
	if (!drv->bringing_up && (oldest >= LOOK_TICKS || drv->removal_told)) {
		(void)controller_is_well(drv);
	}
	doze(drv, &activity);
}
