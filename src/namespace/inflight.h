/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O that a predecessor left under way: found in the ledger, attached to. */
#pragma once

#include "holdfast/servicing.h"
#include "namespace/io.h"

/* How the second word of hf_inflight.private_ is read. */
#define HF_INFLIGHT_RECORD (UINT32_C(1) << 31)

/* The next one on this queue at or behind *@at, which moves on: 1, or 0. */
int hf_inflight_find(struct hf_qpair *qp, uint32_t *at,
		     struct hf_inflight *inflight);

/* As hf_io_attach(), on the queue that @inflight is on. */
int hf_inflight_attach(struct hf_qpair *qp, struct hf_io *io,
		       const struct hf_inflight *inflight,
		       struct hf_error *err);

/* Drops the results of all that is not attached to: @done is called for each,
 * with @ctx. Return: how many there are. */
uint32_t hf_inflight_drop(struct hf_qpair *qp, hf_request_done *done,
			  void *ctx);
