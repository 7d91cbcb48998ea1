/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "machine_internal.h"

#define CC_EN          1u
#define CC_SHN         (3u << 14)
#define CSTS_RDY       1u
#define CSTS_CFS       2u
#define CSTS_SHST_DONE (2u << 2)
#define CRTO_OFFSET    0x68u
/* Limits of its own that a driver waits for: a second, or four. */
#define CRTO_MASK   0x7u
#define CAP_TO_MASK (UINT64_C(0xf8) << 24)
/* Commands that one doorbell starts. */
#define FETCH_MAX 256u

void machine_init(struct machine *machine, struct stream *lies,
		  uint8_t block_shift, uint8_t dstrd)
{
	*machine = (struct machine){
		.lies = lies,
		.block_shift = block_shift,
		.cap = 63 | UINT64_C(1) << 16 | UINT64_C(2) << 24 |
		       (uint64_t)(dstrd & 0xf) << 32 | UINT64_C(1) << 37,
	};
	for (uint32_t i = 0; i < MACHINE_VECTORS; i++) {
		machine->eventfds[i] = -1;
	}
}

void machine_reset(struct machine *machine)
{
	memset(machine->sqs, 0, sizeof(machine->sqs));
	memset(machine->cqs, 0, sizeof(machine->cqs));
	machine->cc &= ~CC_EN;
	machine->csts = 0;
	machine->aer_count = 0;
	/* What was held back is posted late, or never: its queue is gone. */
}

void machine_fini(struct machine *machine)
{
	machine_reset(machine);
	machine->late_count = 0;
	machine->touched_count = 0;
	for (uint32_t i = 0; i < MACHINE_WINDOWS; i++) {
		if (machine->windows[i].vaddr != NULL) {
			munmap(machine->windows[i].vaddr,
			       machine->windows[i].len_bytes);
			machine->windows[i].vaddr = NULL;
		}
	}
	for (uint32_t i = 0; i < MACHINE_VECTORS; i++) {
		if (machine->eventfds[i] >= 0) {
			close(machine->eventfds[i]);
			machine->eventfds[i] = -1;
		}
	}
}

bool machine_has_memory(const struct machine *machine)
{
	for (uint32_t i = 0; i < MACHINE_WINDOWS; i++) {
		if (machine->windows[i].vaddr != NULL) {
			return true;
		}
	}
	return false;
}

int machine_map(struct machine *machine, const struct hf_dma_mapping *map)
{
	for (uint32_t i = 0; i < MACHINE_WINDOWS; i++) {
		struct machine_window *window = &machine->windows[i];

		if (window->vaddr != NULL) {
			continue;
		}
		void *vaddr = mmap(NULL, map->len_bytes, PROT_READ | PROT_WRITE,
				   MAP_SHARED, map->fd, (off_t)map->fd_offset);
		if (vaddr == MAP_FAILED) {
			return -ENOMEM;
		}
		window->vaddr = vaddr;
		window->iova = map->iova;
		window->len_bytes = map->len_bytes;
		return 0;
	}
	return -ENOSPC;
}

void machine_unmap(struct machine *machine, uint64_t iova)
{
	for (uint32_t i = 0; i < MACHINE_WINDOWS; i++) {
		struct machine_window *window = &machine->windows[i];

		if (window->vaddr != NULL && window->iova == iova) {
			munmap(window->vaddr, window->len_bytes);
			window->vaddr = NULL;
		}
	}
}

uint8_t *machine_at(struct machine *machine, uint64_t iova, uint64_t len_bytes)
{
	for (uint32_t i = 0; i < MACHINE_WINDOWS; i++) {
		struct machine_window *window = &machine->windows[i];

		if (window->vaddr != NULL && iova >= window->iova &&
		    hf_range_within(iova - window->iova, len_bytes,
				    window->len_bytes)) {
			return window->vaddr + (iova - window->iova);
		}
	}
	return NULL;
}

static uint64_t honest_register(const struct machine *machine, uint32_t offset)
{
	switch (offset) {
	case NVME_REG_CAP:
		return machine->cap;
	case NVME_REG_VS:
		return 0x00020000;
	case NVME_REG_CC:
		return machine->cc;
	case NVME_REG_CSTS:
		return machine->csts;
	case NVME_REG_AQA:
		return machine->aqa;
	case NVME_REG_ASQ:
		return machine->asq;
	case NVME_REG_ACQ:
		return machine->acq;
	default:
		return 0;
	}
}

static int lying_register(struct machine *machine, uint8_t choice,
			  uint64_t *value)
{
	if (choice < 0xd8) {
		*value ^= (uint64_t)stream_u8(machine->lies)
			  << stream_u8(machine->lies) % 57;
	} else if (choice < 0xe0) {
		*value = UINT64_MAX;
	} else if (choice < 0xe8) {
		*value = stream_u32(machine->lies) |
			 (uint64_t)stream_u32(machine->lies) << 32;
	} else if (choice < 0xec) {
		return -ENODEV;
	} else if (choice < 0xf2) {
		machine->csts ^= CSTS_CFS;
	} else if (choice < 0xf8) {
		machine->rdy_sticks = !machine->rdy_sticks;
	} else {
		machine->gone_reads = stream_u8(machine->lies);
	}
	return 0;
}

int machine_read(struct machine *machine, uint32_t offset, uint32_t size_bytes,
		 uint64_t *value)
{
	uint8_t choice = stream_u8(machine->lies);
	int rc = 0;

	*value = honest_register(machine, offset);
	if (machine->gone_reads > 0) {
		machine->gone_reads--;
		*value = UINT64_MAX;
	} else if (choice >= 0xc0) {
		rc = lying_register(machine, choice, value);
	}
	if (offset == CRTO_OFFSET) {
		*value &= CRTO_MASK | CRTO_MASK << 16;
	}
	if (offset == NVME_REG_CAP && *value != UINT64_MAX) {
		*value &= ~CAP_TO_MASK;
	}
	if (size_bytes == 4) {
		*value &= UINT32_MAX;
	}
	return rc;
}

static void enable(struct machine *machine)
{
	struct machine_queue *sq = &machine->sqs[0];
	struct machine_queue *cq = &machine->cqs[0];

	*sq = (struct machine_queue){
		.live = true,
		.base = machine->asq,
		.entries = (machine->aqa & 0xfff) + 1,
	};
	*cq = (struct machine_queue){
		.live = true,
		.base = machine->acq,
		.entries = (machine->aqa >> 16 & 0xfff) + 1,
		.phase = true,
	};
	if (!machine->rdy_sticks) {
		machine->csts = CSTS_RDY;
	}
}

static void write_cc(struct machine *machine, uint32_t cc)
{
	bool was = (machine->cc & CC_EN) != 0;
	bool is = (cc & CC_EN) != 0;
	uint32_t rdy = machine->rdy_sticks ? machine->csts & CSTS_RDY : 0;

	machine->cc = cc;
	if (was && !is) {
		machine_reset(machine);
		machine->csts = rdy;
	} else if (!was && is) {
		enable(machine);
	}
	if ((cc & CC_SHN) != 0) {
		machine->csts |= CSTS_SHST_DONE;
	}
}

static void fetch(struct machine *machine, uint16_t sqid)
{
	struct machine_queue *sq = &machine->sqs[sqid];

	for (uint32_t i = 0; i < FETCH_MAX && sq->live && sq->at != sq->tail;
	     i++) {
		struct machine_answer answer = {.sqid = sqid};
		struct nvme_sqe sqe;
		const uint8_t *entry = machine_at(
			machine, sq->base + (uint64_t)sq->at * sizeof(sqe),
			sizeof(sqe));

		sq->at = (sq->at + 1) % sq->entries;
		if (entry == NULL) {
			continue;
		}
		memcpy(&sqe, entry, sizeof(sqe));
		answer.cid = le16toh(sqe.cid);
		answer.prp1 = le64toh(sqe.prp1);
		if (machine_execute(machine, &sqe, &answer)) {
			machine_answer(machine, &answer);
		}
	}
}

static void ring(struct machine *machine, uint32_t offset, uint32_t value)
{
	uint32_t stride = 4u << (machine->cap >> 32 & 0xf);
	uint32_t number = (offset - 0x1000) / stride;
	uint16_t qid = (uint16_t)(number / 2);

	if (number % 2 == 0 && qid < MACHINE_QUEUES && machine->sqs[qid].live &&
	    value < machine->sqs[qid].entries) {
		machine->sqs[qid].tail = value;
		fetch(machine, qid);
	}
}

int machine_write(struct machine *machine, uint32_t offset, uint64_t value)
{
	switch (offset) {
	case NVME_REG_CC:
		write_cc(machine, (uint32_t)value);
		return 0;
	case NVME_REG_AQA:
		machine->aqa = (uint32_t)value;
		return 0;
	case NVME_REG_ASQ:
		machine->asq = value;
		return 0;
	case NVME_REG_ACQ:
		machine->acq = value;
		return 0;
	default:
		break;
	}
	if (offset >= 0x1000) {
		ring(machine, offset, (uint32_t)value);
	}
	return 0;
}

void machine_interrupt(struct machine *machine, uint32_t vector)
{
	if (vector < MACHINE_VECTORS && machine->eventfds[vector] >= 0) {
		(void)!eventfd_write(machine->eventfds[vector], 1);
	}
}
