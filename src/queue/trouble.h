/* SPDX-License-Identifier: BSD-3-Clause */
/* What went wrong on a queue, remembered for whoever asks: counters, and the
 * last of each kind. Bounded; costs nothing while all goes well. */
#pragma once

#include <stdint.h>

#include "queue/cqe.h"
#include "queue/retry.h"

enum {
	HF_TROUBLE_ERRORS = 16, /* remembered */
	HF_TROUBLE_REFUSED = 8,
};

/* How a device lied. */
enum hf_qpair_lie {
	HF_LIE_UNKNOWN_COMMAND, /* no such command is under way */
	HF_LIE_STALE_COMMAND,   /* one that had ended, or its slot's last */
	HF_LIE_WRONG_QUEUE,     /* SQ identifier of another queue */
	HF_LIE_HEAD,            /* SQ head where it cannot be */
	HF_LIE_COUNT,
};

/* A command that ended with an error. */
struct hf_trouble_error {
	uint64_t when_ns;
	struct nvme_sqe sqe; /* as it was sent */
	uint16_t status;
	uint8_t op;
	uint8_t tries;            /* how often it had been sent again by then */
	enum hf_retry_kind retry; /* HF_RETRY_NONE: the caller was told */
};

/* A completion that was not believed. */
struct hf_trouble_refused {
	uint64_t when_ns;
	struct hf_cqe cqe;
	enum hf_qpair_lie why;
};

/* Rings: the newest is at (count - 1) modulo their size. */
struct hf_trouble {
	uint64_t error_count;
	uint64_t refused_count;
	uint64_t lies[HF_LIE_COUNT];
	uint64_t retried[HF_RETRY_KINDS];
	uint64_t gave_up; /* retryable, but too often or for too long */
	struct hf_trouble_error errors[HF_TROUBLE_ERRORS];
	struct hf_trouble_refused refused[HF_TROUBLE_REFUSED];
};

/* Both under the lock of the queue. */
struct hf_trouble_error *hf_trouble_error_add(struct hf_trouble *trouble);
void hf_trouble_refused_add(struct hf_trouble *trouble, enum hf_qpair_lie why,
			    const struct hf_cqe *cqe);

/* "unknown_command", "stale_command", ... */
const char *hf_trouble_lie_name(enum hf_qpair_lie lie);
