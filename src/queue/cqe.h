/* SPDX-License-Identifier: BSD-3-Clause */
/* A completion in host byte order, copied out of the ring once. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "spec/entries.h"

struct hf_cqe {
	uint32_t dw0;
	uint32_t dw1;
	uint32_t dw2;
	uint32_t dw3;
};

/* @dw3 was loaded already, with the phase tag it was judged by. */
static inline void hf_cqe_load(struct hf_cqe *cqe, const struct nvme_cqe *slot,
			       uint32_t dw3)
{
	cqe->dw0 = hf_get_le32(&slot->dw0);
	cqe->dw1 = hf_get_le32(&slot->dw1);
	cqe->dw2 = hf_get_le32(&slot->dw2);
	cqe->dw3 = dw3;
}

static inline uint16_t hf_cqe_sq_head(const struct hf_cqe *cqe)
{
	return (uint16_t)cqe->dw2;
}

static inline uint16_t hf_cqe_sq_id(const struct hf_cqe *cqe)
{
	return (uint16_t)(cqe->dw2 >> 16);
}

static inline uint16_t hf_cqe_cid(const struct hf_cqe *cqe)
{
	return (uint16_t)cqe->dw3;
}

/* The status word: without the phase tag. */
static inline uint16_t hf_cqe_status(const struct hf_cqe *cqe)
{
	return (uint16_t)(cqe->dw3 >> NVME_CQE_DW3_STATUS_SHIFT);
}
