/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a CPU issues: its queue pair, or what waits for one to be made. Knows
 * neither how one is made nor what is issued. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "queue/qpair.h"

struct hf_issuer {
	struct hf_qpair *qp; /* atomic; NULL until the first command */
	uint32_t cpu;
	bool wanted; /* the control side was asked */
	bool polled; /* atomic: its queue is open, and looked at by its user */
	int dead;    /* not 0: what everything ends with from now on */
	pthread_mutex_t lock;
	struct hf_list parked; /* of struct hf_waiter */
	/* Asks the control side for a queue pair. Without a lock. */
	void (*want)(void *ctx, uint32_t cpu);
	void *ctx;
	/* Tells of the queue pair once there is one. Under @lock. */
	void (*made)(void *made_ctx, struct hf_qpair *qp);
	void *made_ctx;
};

/* One for each CPU that is served. */
struct hf_issuers {
	uint32_t count;
	struct hf_issuer *each;
};

HF_MUST_CHECK int hf_issuers_init(struct hf_issuers *issuers, uint32_t count,
				  void (*want)(void *ctx, uint32_t cpu),
				  void *ctx);
void hf_issuers_fini(struct hf_issuers *issuers);

/* The queue pair to issue on, or NULL. One load. */
static inline struct hf_qpair *hf_issuer_qpair(const struct hf_issuer *issuer)
{
	return __atomic_load_n(&issuer->qp, __ATOMIC_ACQUIRE);
}

/**
 * hf_issuer_park() - wait for a queue pair to be made
 * @issuer: has none yet
 * @waiter: goes on there, in order
 *
 * Return: 0 when it waits; -EEXIST when there is a queue pair by now; or what
 * the controller died of.
 */
int hf_issuer_park(struct hf_issuer *issuer, struct hf_waiter *waiter);

/* Asks for a queue pair without waiting for it. Return: -EAGAIN; -EEXIST when
 * there is one by now; or what the controller died of. */
int hf_issuer_ask(struct hf_issuer *issuer);

/* Have @made called, now if there is a queue pair already; NULL for no more. */
void hf_issuer_tell(struct hf_issuer *issuer,
		    void (*made)(void *made_ctx, struct hf_qpair *qp),
		    void *made_ctx);

/* Gives the CPU its queue pair, or another CPU's; what waits goes on. */
void hf_issuer_set(struct hf_issuer *issuer, struct hf_qpair *qp);

/* The queue pair goes: the next command asks for another. Nothing may be
 * inside a call on it. */
void hf_issuer_clear(struct hf_issuer *issuer);

/* Ends what waits for a queue pair, and no more. */
void hf_issuer_cancel_parked(struct hf_issuer *issuer, int result);

/* Nothing more will be issued: ends what waits, and what is still to come. */
void hf_issuer_kill(struct hf_issuer *issuer, int result);

/* Does its user look at the ring by itself, in its own time? */
static inline bool hf_issuer_is_polled(const struct hf_issuer *issuer)
{
	return __atomic_load_n(&issuer->polled, __ATOMIC_RELAXED);
}

/* Is the queue pair made for another CPU? */
static inline bool hf_issuer_is_fallback(const struct hf_issuer *issuer)
{
	const struct hf_qpair *qp = hf_issuer_qpair(issuer);

	return qp != NULL && qp->cpu != issuer->cpu;
}
