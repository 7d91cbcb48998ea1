/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue pair: rings, slots and pages of one queue, and the commands that wait
 * for a place in it. Knows no namespace and no driver. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/hint.h"
#include "base/list.h"
#include "base/lock.h"
#include "device/device.h"
#include "queue/cq.h"
#include "queue/pending.h"
#include "queue/pool.h"
#include "queue/prp.h"
#include "queue/retry.h"
#include "queue/sq.h"
#include "queue/trouble.h"
#include "state/ledger.h"

struct hf_qpair;

enum {
	HF_TICK_MS = 100, /* the coarse clock's unit: deadlines' */
	/* The clock stands still: nothing is under way, nobody looks. */
	HF_TICK_ASLEEP = 0,
};

/* Something that could not be issued for want of a slot or a page. */
struct hf_waiter {
	struct hf_list link;
	/* Issues more of it. With the queue pair's lock held. Return: 0 when
	 * all is issued, -EAGAIN to stay in front of the line. */
	int (*resume)(struct hf_waiter *waiter, struct hf_qpair *qp);
	/* It will not be issued any more. Without a lock. */
	void (*cancel)(struct hf_waiter *waiter, int result);
	bool begun; /* a part of it was issued */
};

/* What a command is made of; lives until hf_qpair_put() returns, but for the
 * iovec array, which is needed until it is done. */
struct hf_request {
	struct nvme_sqe sqe; /* without command identifier */
	struct hf_data data; /* len_bytes 0: none, the PRPs are as in @sqe */
	bool bounce;         /* copy, even where the device reaches it */
	uint8_t kind;        /* enum hf_slot_kind */
	uint8_t op;
	uint8_t flags; /* HF_SLOT_TO_DEVICE, HF_SLOT_REPEATABLE */
	uint16_t record;
	uint32_t timeout_ticks;
	uint64_t cookie;
	hf_request_done *done; /* once; not under a lock */
	void *ctx;
};

enum hf_qpair_state {
	HF_QPAIR_LIVE,     /* takes and issues */
	HF_QPAIR_DRAINING, /* takes and reaps, issues nothing yet */
	HF_QPAIR_FENCED,   /* takes, issues nothing, reaps nothing */
	HF_QPAIR_DEAD,     /* takes nothing more */
};

/* What happened on a queue pair that its owner acts on. */
struct hf_qpair_hooks {
	/* The device lied. Without a lock, from the thread that reaps. */
	void (*lied)(void *ctx, struct hf_qpair *qp, enum hf_qpair_lie lie,
		     const struct hf_cqe *cqe);
	/* Commands wait to be sent again: hf_qpair_retry() is to be called
	 * soon. Without a lock, from the thread that reaps. */
	void (*retry)(void *ctx, struct hf_qpair *qp);
	/* A command is put while the clock stands still: sets it going.
	 * Locked. Return: the time. */
	uint32_t (*awaken)(void *ctx);
	void *ctx;
};

/* A lock and counters for each, on lines of their own where it matters. */
struct hf_qpair {
	struct hf_lock lock;
	struct hf_sq sq;
	struct hf_cq cq;
	struct hf_pending pending;
	struct hf_pool pool;
	struct hf_ledger_view view;
	struct hf_list waiting; /* of struct hf_waiter, oldest first */
	const struct hf_iova_map *map;
	const uint32_t *tick; /* the driver's coarse clock */
	struct hf_device *dev;
	struct hf_dma_block block;
	struct hf_qpair_hooks hooks;
	bool sq_doubtful;       /* restored: the tail may not have been rung */
	bool cq_doubtful;       /* the same for the head */
	uint16_t *record_parts; /* slots that name each record */
	uint8_t *records_attached; /* restored: who has an owner again */
	uint16_t claimed; /* completed commands that were attached to since */
	uint16_t ended;   /* by hf_qpair_mark_ended(), nobody was told yet */
	int end_result;   /* what they are told */
	uint64_t submitted;
	uint64_t completed;
	uint64_t doorbells;
	uint64_t bounced;
	uint64_t waited;
	const struct hf_retry_policy *retry; /* NULL: nothing is sent again */
	uint16_t retry_first; /* waits to be sent again, oldest first */
	uint16_t retry_last;
	struct hf_trouble trouble;
	int eventfd;    /* of the vector; never read */
	uint32_t index; /* in the ledger */
	uint32_t cpu;
	uint16_t qid;
	uint16_t vector;
	enum hf_qpair_state state;
};

struct hf_qpair_config {
	struct hf_device *dev;
	const struct hf_ledger *ledger;
	uint32_t index; /* in the ledger, and the queue identifier */
	uint32_t cpu;
	uint16_t vector;
	int eventfd;
	uint32_t entries;
	uint32_t pool_pages;
	uint32_t doorbell_stride_bytes;
	const struct hf_dma_block *shadow; /* of the doorbells; may be empty */
	const uint32_t *tick;
	const struct hf_retry_policy *retry; /* NULL: nothing is sent again */
	struct hf_qpair_hooks hooks;
};

/**
 * hf_qpair_create() - memory and tables for one queue pair
 * @qp: receives it
 * @config: as above; entries is 2 or more and within the ledger's geometry
 * @err: what ran out
 *
 * The controller is told by the caller. Live at once.
 *
 * Context: control path.
 * Return: 0 or a negative errno.
 */
HF_MUST_CHECK int hf_qpair_create(struct hf_qpair **qp,
				  const struct hf_qpair_config *config,
				  struct hf_error *err);

/**
 * hf_qpair_restore() - a queue pair that a predecessor left
 * @qp: receives it, fenced
 * @config: as above; the geometry must be the ledger's
 * @inherited: what is still under way on it
 * @err: what cannot be, with the queue's name
 *
 * The ledger and the rings are believed only after they were checked, and
 * nothing outside of this process is changed: that is
 * hf_qpair_resume_service().
 *
 * Context: control path.
 * Return: 0 or a negative errno.
 */
struct hf_qpair_inherited {
	uint32_t under_way;  /* slots that are in use */
	uint32_t never_sent; /* of which so many go out with the next bell */
	bool doubtful;       /* a doorbell may not have been rung */
};
HF_MUST_CHECK int hf_qpair_restore(struct hf_qpair **qp,
				   const struct hf_qpair_config *config,
				   struct hf_qpair_inherited *inherited,
				   struct hf_error *err);

/* Takes what was posted meanwhile, puts what was never sent into the ring
 * again, and goes live. */
void hf_qpair_resume_service(struct hf_qpair *qp);

/* Hands over a command that a predecessor issued: @done is called for it, by
 * the next reap where it has completed already. Locked. */
void hf_qpair_claim(struct hf_qpair *qp, uint16_t slot, hf_request_done *done,
		    void *ctx, const struct hf_data *data);

/* Issues a command of a successor's own, in the place that is kept for it;
 * where there is none, what may not have been rung is rung again. Locked. */
void hf_qpair_make_certain(struct hf_qpair *qp, const struct hf_request *filler,
			   bool *issued);

/* Makes whoever waits for the queue's interrupt look at it. */
void hf_qpair_wake(struct hf_qpair *qp);

/* Frees the tables, and leaves memory and ledger to a successor. */
void hf_qpair_leave(struct hf_qpair *qp);

/* The device must not touch its memory any more, and nothing may be under way
 * or waiting. NULL is allowed. */
void hf_qpair_destroy(struct hf_qpair *qp);

/* Empties the rings, for a controller that was reset. What is still under way
 * was kept by hf_qpair_mark_ended() and is put into the ring again; it goes out
 * when the queue pair goes live. What waits, waits on. */
void hf_qpair_reset(struct hf_qpair *qp);

static inline void hf_qpair_lock(struct hf_qpair *qp)
{
	hf_lock_take(&qp->lock);
}

static inline void hf_qpair_unlock(struct hf_qpair *qp)
{
	hf_lock_give(&qp->lock);
}

/*
 * The time that a command is put at. Under the lock: whoever lets the clock
 * stand still looks at each queue under its lock afterwards, and so either
 * sees the command, or was seen here.
 */
static inline uint32_t hf_qpair_tick(struct hf_qpair *qp)
{
	uint32_t tick = __atomic_load_n(qp->tick, __ATOMIC_RELAXED);

	return HF_LIKELY(tick != HF_TICK_ASLEEP)
		       ? tick
		       : qp->hooks.awaken(qp->hooks.ctx);
}

/**
 * hf_qpair_put() - issue one command, without the doorbell
 * @qp: queue pair, locked
 * @request: the command
 *
 * Context: data path.
 * Return: the slot's number, or -EAGAIN for want of a slot or a page.
 */
int hf_qpair_put(struct hf_qpair *qp, const struct hf_request *request);

/* Rings the doorbell for all that was put since the last time. Locked. */
void hf_qpair_commit(struct hf_qpair *qp);

/* Puts a waiter at the end of the line. Locked. */
void hf_qpair_park(struct hf_qpair *qp, struct hf_waiter *waiter);

/* Lets what waits go on, as far as there is room, and rings. Locked. */
void hf_qpair_resume(struct hf_qpair *qp);

/* A record for an I/O of several parts, or HF_LEDGER_NONE. Locked. */
uint16_t hf_qpair_record_take(struct hf_qpair *qp);
void hf_qpair_record_give(struct hf_qpair *qp, uint16_t record);

/**
 * hf_qpair_reap() - take completions, call back, let waiters go on
 * @qp: queue pair, not locked
 * @budget: at most so many
 *
 * Context: data path; callbacks run in here, without a lock.
 * Return: completions taken.
 */
uint32_t hf_qpair_reap(struct hf_qpair *qp, uint32_t budget);

/**
 * hf_qpair_retry() - send again what has waited long enough
 * @qp: queue pair, not locked
 * @now_ms: the clock, in milliseconds; it wraps
 *
 * Context: control path or data path; never blocks.
 * Return: milliseconds until the next one is due; UINT32_MAX when none is, or
 * when the queue pair does not issue now.
 */
uint32_t hf_qpair_retry(struct hf_qpair *qp, uint32_t now_ms);

/* Does anything wait to be sent again? */
bool hf_qpair_retries_wait(struct hf_qpair *qp);

/* Is there a completion to take? */
bool hf_qpair_ready(struct hf_qpair *qp);

/* Changes the state; what waits is resumed when it goes live. */
void hf_qpair_set_state(struct hf_qpair *qp, enum hf_qpair_state state);

/**
 * hf_qpair_mark_ended() - end every command that is under way
 * @qp: queue pair, fenced or dead
 * @result: what each is told, but for those that had completed
 * @keep_repeatable: leave those that may be issued again
 *
 * Only once the device cannot touch their memory any more. Nobody is told:
 * that is hf_qpair_tell_ended(), which the caller calls when it holds no lock.
 *
 * Context: control path.
 * Return: commands ended.
 */
uint32_t hf_qpair_mark_ended(struct hf_qpair *qp, int result,
			     bool keep_repeatable);

/* Is there somebody to be told? */
bool hf_qpair_has_ended(struct hf_qpair *qp);

/* Callbacks run in here, without a lock. */
void hf_qpair_tell_ended(struct hf_qpair *qp);

/* Does another thread still hand out completions that it took before? */
bool hf_qpair_is_delivering(struct hf_qpair *qp);

/* Ends everything that waits in line, or only what was not begun. Callbacks
 * run in here. */
void hf_qpair_cancel_waiting(struct hf_qpair *qp, int result);
void hf_qpair_cancel_idle(struct hf_qpair *qp, int result);
