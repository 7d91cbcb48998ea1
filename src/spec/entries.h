/* SPDX-License-Identifier: BSD-3-Clause */
/* Submission and completion entries, byte for byte. No state.
 * NVM Express Base Specification, "Submission Queue Entry" and "Completion
 * Queue Entry"; opcodes and statuses come from libnvme's nvme/types.h. */
#pragma once

#include <assert.h>
#include <stdint.h>

/* All fields are little-endian in memory. */
struct nvme_sqe {
	uint8_t opcode;
	uint8_t flags; /* FUSE in bits 1:0, PSDT in 7:6 */
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2;
	uint32_t cdw3;
	uint64_t mptr;
	uint64_t prp1;
	uint64_t prp2;
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12;
	uint32_t cdw13;
	uint32_t cdw14;
	uint32_t cdw15;
};
static_assert(sizeof(struct nvme_sqe) == 64, "a submission entry is 64 bytes");

struct nvme_cqe {
	uint32_t dw0;
	uint32_t dw1;
	uint32_t dw2; /* SQ head in 15:0, SQ identifier in 31:16 */
	uint32_t dw3; /* CID in 15:0, phase in 16, status in 31:17 */
};
static_assert(sizeof(struct nvme_cqe) == 16, "a completion entry is 16 bytes");

#define NVME_CQE_DW3_PHASE        (UINT32_C(1) << 16)
#define NVME_CQE_DW3_STATUS_SHIFT 17

/* Fields of the status word (the 15 bits above the phase tag). */
#define NVME_STATUS_SC(status)  ((status)&0xffu)
#define NVME_STATUS_SCT(status) (((status) >> 8) & 0x7u)
#define NVME_STATUS_CRD(status) (((status) >> 11) & 0x3u)
#define NVME_STATUS_MORE        (1u << 13)
#define NVME_STATUS_DNR         (1u << 14)

/* The PSDT field of an entry's flags. */
#define NVME_SQE_FLAGS_PSDT_SHIFT 6
#define NVME_SQE_FLAGS_FUSE_MASK  0x3u

#define NVME_PAGE_BYTES           4096u /* CC.MPS = 0: the only size in use */
#define NVME_PAGE_SHIFT           12
#define NVME_PRP_ENTRIES_PER_PAGE (NVME_PAGE_BYTES / 8)
