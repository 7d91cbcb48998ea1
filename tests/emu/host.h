/* SPDX-License-Identifier: BSD-3-Clause */
/* A tiny host for the emulated controller: its own rings and entries, and
 * nothing of holdfast's driver. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <nvme/types.h>

#include "holdfast/emu.h"
#include "spec/entries.h"

#define HOST_MEM_BYTES (UINT64_C(64) << 20)
#define HOST_IOVA      UINT64_C(0x100000000)
#define HOST_QUEUES    8

/* Statuses with Do Not Retry left out: what "host_*" calls return. */
#define ST_CMD(sc)   ((NVME_SCT_CMD_SPECIFIC << 8) | (sc))
#define ST_MEDIA(sc) ((NVME_SCT_MEDIA << 8) | (sc))

struct host_queue {
	uint32_t entries; /* of both rings; 0: not there */
	struct nvme_sqe *sq;
	struct nvme_cqe *cq;
	uint64_t sq_iova;
	uint64_t cq_iova;
	uint32_t tail;
	uint32_t head;
	uint32_t sq_head; /* as the device reports it */
	bool phase;
	uint16_t next_cid;
};

struct host {
	struct hf_emu *emu;
	bool threads;
	uint32_t dstrd;
	uint8_t *mem;
	uint64_t used_bytes;
	struct host_queue queues[HOST_QUEUES];
};

/* Options for a test: the defaults, served by hand, without delays. */
void host_options(struct hf_emu_options *options);
/* A controller and lent memory, not enabled; asserts on failure. */
void host_open(struct host *host, const struct hf_emu_options *options);
void host_close(struct host *host);
/* A namespace of @size_bytes of memory with blocks of @lba_bytes. */
uint32_t host_add_namespace(struct host *host, uint64_t size_bytes,
			    uint32_t lba_bytes);

/* Whole pages of lent memory, zeroed. */
void *host_alloc(struct host *host, uint64_t bytes, uint64_t *iova);
void *host_at(struct host *host, uint64_t iova);

uint32_t host_read32(struct host *host, uint64_t offset);
void host_write32(struct host *host, uint64_t offset, uint32_t value);
void host_write64(struct host *host, uint64_t offset, uint64_t value);
uint32_t host_csts(struct host *host);
/* Lets the controller work until it has nothing more to do. */
void host_run(struct host *host);

/* Admin rings of @entries each, set up in the registers. */
void host_prepare_admin(struct host *host, uint32_t entries);
/* CC for enabling: 4 KiB pages, entry sizes set. */
uint32_t host_cc(void);
/* Prepares and enables; asserts that it becomes ready. */
void host_enable(struct host *host);
void host_disable(struct host *host);
/* Open, one namespace of 1 MiB with 512-byte blocks, enabled. */
void host_start(struct host *host);
void host_start_with(struct host *host, const struct hf_emu_options *options);

/* An entry into the ring, with an identifier; the doorbell is not rung. */
uint16_t host_push(struct host *host, uint16_t qid, const struct nvme_sqe *sqe);
void host_ring(struct host *host, uint16_t qid);
/* The next completion, if there is one; the CQ doorbell is rung at once. */
bool host_reap(struct host *host, uint16_t qid, struct nvme_cqe *cqe);
/* Is there one? Nothing is taken. */
bool host_peek(struct host *host, uint16_t qid);
/* All of that for one command; asserts that it completes. */
uint16_t host_command(struct host *host, uint16_t qid,
		      const struct nvme_sqe *sqe, struct nvme_cqe *cqe);
/* Submits one command and rings; returns its identifier. */
uint16_t host_send(struct host *host, uint16_t qid, const struct nvme_sqe *sqe);

/* The status of an entry without Do Not Retry. */
uint16_t host_status(const struct nvme_cqe *cqe);
uint16_t host_cid(const struct nvme_cqe *cqe);

uint16_t host_admin(struct host *host, uint8_t opcode, uint32_t nsid,
		    uint32_t cdw10, uint32_t cdw11, uint64_t prp1,
		    uint32_t *dw0);
/* Both queues of an identifier; asserts on failure. */
void host_create_queue(struct host *host, uint16_t qid, uint32_t entries,
		       uint16_t vector);
uint16_t host_identify(struct host *host, uint8_t cns, uint32_t nsid,
		       void *data);
uint16_t host_log(struct host *host, uint8_t log_id, bool retain, void *data,
		  uint32_t bytes);
struct nvme_sqe host_rw(uint8_t opcode, uint64_t lba, uint32_t blocks,
			uint64_t prp1);
