/* SPDX-License-Identifier: BSD-3-Clause */
/* Host memory as the bus shows it: IOVA to address, checked. Knows no command.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct hf_emu;

struct hf_emu_dma_region {
	uint64_t iova;
	uint64_t len_bytes;
	uint8_t *vaddr;
	unsigned int prot;
};

/*
 * Both are immutable once published. Whoever looks something up does so within
 * a worker's round; what was replaced is freed after the rounds that may still
 * look at it have ended. Regions are in chunks so that one more of tens of
 * thousands costs the copy of one chunk.
 */
#define HF_EMU_DMA_CHUNK 256u

struct hf_emu_dma_chunk {
	uint32_t count; /* 1 or more */
	struct hf_emu_dma_region regions[HF_EMU_DMA_CHUNK];
};

struct hf_emu_dma_entry {
	uint64_t first_iova; /* of the chunk's first region */
	struct hf_emu_dma_chunk *chunk;
};

struct hf_emu_dma_table {
	uint64_t generation;
	uint32_t regions;
	uint32_t count;
	struct hf_emu_dma_entry entries[]; /* ascending */
};

/* Replaced and not yet free. */
#define HF_EMU_DMA_RETIRED 256u

struct hf_emu_dma {
	pthread_mutex_t lock; /* held by who replaces the table */
	struct hf_emu_dma_table *table;
	void *retired[HF_EMU_DMA_RETIRED];
	uint32_t retired_count;
	uint64_t faults;
	uint64_t watch_iova;
	uint64_t watch_bytes;
	uint64_t watch_reads;
	uint64_t watch_writes;
};

int hf_emu_dma_init(struct hf_emu_dma *dma);
void hf_emu_dma_fini(struct hf_emu_dma *dma);

/* The table now; valid until the round of the worker that asks ends. */
const struct hf_emu_dma_table *hf_emu_dma_table(const struct hf_emu_dma *dma);

/**
 * hf_emu_dma_at() - memory at an IOVA
 * @dma: where
 * @iova: address given by the host; anything
 * @prot: what will be done
 * @avail: receives how many bytes follow without a gap
 *
 * Counts a fault when there is no such memory.
 *
 * Context: within a worker's round.
 * Return: NULL when it is not mapped, or not for that.
 */
void *hf_emu_dma_at(struct hf_emu_dma *dma, uint64_t iova, unsigned int prot,
		    uint64_t *avail);

/* For hf_emu_dma_watch(): this memory is being read or written. */
void hf_emu_dma_touched(struct hf_emu_dma *dma, uint64_t iova,
			uint64_t len_bytes, unsigned int prot);
