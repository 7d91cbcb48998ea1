/* SPDX-License-Identifier: BSD-3-Clause */
/* What making a queue pair and taking one over have in common. */
#pragma once

#include "queue/qpair.h"

/* A queue pair without memory, or NULL. */
struct hf_qpair *hf_qpair_alloc(const struct hf_qpair_config *config);

uint64_t hf_qpair_sq_bytes(uint32_t entries);
uint64_t hf_qpair_cq_bytes(uint32_t entries);

/* Where the doorbells are. */
HF_MUST_CHECK int hf_qpair_doorbells(struct hf_qpair *qp,
				     const struct hf_qpair_config *config,
				     struct hf_error *err);

/* As the ledger records them. */
static inline uint64_t hf_qpair_sq_position(const struct hf_qpair *qp)
{
	return (uint64_t)qp->sq.count << 32 | qp->sq.tail;
}

static inline uint32_t hf_qpair_cq_position(const struct hf_qpair *qp)
{
	return qp->cq.head | (qp->cq.phase ? HF_LEDGER_PHASE : 0);
}

/* Records how far the completion ring was read, and rings. Locked. */
void hf_qpair_record_reaped(struct hf_qpair *qp);

/* Does it take completions? Locked. */
static inline bool hf_qpair_reaps(const struct hf_qpair *qp)
{
	return qp->state == HF_QPAIR_LIVE || qp->state == HF_QPAIR_DRAINING;
}

/* Calls back. Not under the lock: the slot is this thread's until it is given
 * back. */
void hf_qpair_deliver(struct hf_qpair *qp, uint16_t number, int result);
/* Notes a command that ended with an error; true when it is to be sent again,
 * and waits for that. Locked. */
bool hf_qpair_failed(struct hf_qpair *qp, uint16_t number);
/* Sends again what is due, and has the owner see to the rest. Not locked. */
void hf_qpair_retry_soon(struct hf_qpair *qp);
/* Has those wait on that a predecessor had waiting; they are due. */
void hf_qpair_retry_inherit(struct hf_qpair *qp, uint32_t now_ms);

/* Gives a slot and its pages back. Locked. */
void hf_qpair_release(struct hf_qpair *qp, uint16_t number);
