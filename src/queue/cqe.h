/* SPDX-License-Identifier: BSD-3-Clause */
/* A completion in host byte order, copied out of the ring once. */
#pragma once

#include <endian.h>
#include <stdint.h>

#include "spec/entries.h"

struct hf_cqe {
	uint32_t dw0;
	uint32_t dw1;
	uint32_t dw2;
	uint32_t dw3;
};

/* @dw3 was loaded already, with the phase tag it was judged by. The rest is
 * whole by then, unless the device lies: it may be storing there at this
 * moment. Each dword is loaded once, and as one. */
static inline void hf_cqe_load(struct hf_cqe *cqe, const struct nvme_cqe *slot,
			       uint32_t dw3)
{
	cqe->dw0 = le32toh(__atomic_load_n(&slot->dw0, __ATOMIC_RELAXED));
	cqe->dw1 = le32toh(__atomic_load_n(&slot->dw1, __ATOMIC_RELAXED));
	cqe->dw2 = le32toh(__atomic_load_n(&slot->dw2, __ATOMIC_RELAXED));
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
