/* SPDX-License-Identifier: BSD-3-Clause */
/* A completion in host byte order, copied out of the ring once. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "spec/entries.h"

struct hf_cqe {
	uint32_t dw0;
	uint32_t dw1;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t cid;
	uint16_t status; /* the status word: without the phase tag */
};

/* @dw3 was loaded already, with the phase tag it was judged by. */
static inline struct hf_cqe hf_cqe_load(const struct nvme_cqe *slot,
					uint32_t dw3)
{
	uint32_t dw2 = hf_get_le32(&slot->dw2);

	return (struct hf_cqe){
		.dw0 = hf_get_le32(&slot->dw0),
		.dw1 = hf_get_le32(&slot->dw1),
		.sq_head = (uint16_t)dw2,
		.sq_id = (uint16_t)(dw2 >> 16),
		.cid = (uint16_t)dw3,
		.status = (uint16_t)(dw3 >> NVME_CQE_DW3_STATUS_SHIFT),
	};
}
