/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory that a vfio-user client lends: its DMA regions, and the files that
 * they are parts of. Knows no message. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "holdfast/emu.h"

struct hf_vfus_dma {
	struct hf_emu *emu;
	const struct hf_log *log;
	void *regions; /* tsearch(3) tree of struct region, by IOVA */
	struct hf_list files;
	uint32_t count;
	uint32_t max;
	uint64_t shrunk;
	bool guarded;
	int notify_fd; /* of the guards */
};

struct hf_vfus_dma_request {
	uint64_t iova;
	uint64_t len_bytes;
	unsigned int prot; /* HF_EMU_DMA_READ, HF_EMU_DMA_WRITE */
	int fd;            /* -1: memory that cannot be mapped */
	uint64_t offset;
};

void hf_vfus_dma_init(struct hf_vfus_dma *dma, struct hf_emu *emu,
		      const struct hf_log *log, uint32_t max, bool guarded,
		      int notify_fd);
void hf_vfus_dma_fini(struct hf_vfus_dma *dma);

/**
 * hf_vfus_dma_map() - a region from the client
 * @dma: regions
 * @request: nothing in it has been checked; the descriptor stays the caller's
 *
 * A region without a descriptor takes its place and no more: the controller
 * cannot reach it. A region of a client that has gone gives way, and if it is
 * the same memory, it stays without an interruption.
 *
 * Context: the server's thread; may wait for commands in execution.
 * Return: 0; -EINVAL for misaligned or wrapping ranges, memory that the file
 * does not have, or too many regions; -EEXIST for an overlap; -EACCES;
 * what mmap(2) said.
 */
int hf_vfus_dma_map(struct hf_vfus_dma *dma,
		    const struct hf_vfus_dma_request *request);

/* Whole regions only. 0, -ENOENT, or -EINVAL with nothing done. */
int hf_vfus_dma_unmap(struct hf_vfus_dma *dma, uint64_t iova,
		      uint64_t len_bytes);
void hf_vfus_dma_unmap_all(struct hf_vfus_dma *dma);

/* The client has gone; what it lent stays until somebody maps over it. */
void hf_vfus_dma_inherit(struct hf_vfus_dma *dma);

/* Lets go of regions whose memory a client took away; returns how many. */
uint32_t hf_vfus_dma_drop_shrunk(struct hf_vfus_dma *dma);
