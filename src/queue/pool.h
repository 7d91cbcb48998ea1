/* SPDX-License-Identifier: BSD-3-Clause */
/* The pages of one queue, for PRP lists and bounced data. Which command owns
 * which is in the ledger. */
#pragma once

#include <stdint.h>

#include "spec/entries.h"

struct hf_pool {
	uint8_t *vaddr;
	uint64_t iova;
	uint16_t *next; /* in the ledger: the page behind each page */
	uint32_t count;
	uint32_t free_count;
	uint16_t free_head;
};

/* All of @count pages are free; @next is written. */
void hf_pool_init(struct hf_pool *pool, uint8_t *vaddr, uint64_t iova,
		  uint16_t *next, uint32_t count);

/* A chain of @count pages, the first of it, or HF_LEDGER_NONE when there are
 * not so many. @count is 1 or more. */
uint16_t hf_pool_take(struct hf_pool *pool, uint32_t count);

/* Gives a chain of @count pages back. */
void hf_pool_give(struct hf_pool *pool, uint16_t first, uint32_t count);

static inline uint8_t *hf_pool_vaddr(const struct hf_pool *pool, uint16_t page)
{
	return pool->vaddr + ((uint64_t)page << NVME_PAGE_SHIFT);
}

static inline uint64_t hf_pool_iova(const struct hf_pool *pool, uint16_t page)
{
	return pool->iova + ((uint64_t)page << NVME_PAGE_SHIFT);
}
