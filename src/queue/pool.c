/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue/pool.h"

#include <assert.h>

#include "state/ledger.h"

void hf_pool_init(struct hf_pool *pool, uint8_t *vaddr, uint64_t iova,
		  uint16_t *next, uint32_t count)
{
	assert(count <= HF_LEDGER_PAGES_MAX);
	pool->vaddr = vaddr;
	pool->iova = iova;
	pool->next = next;
	pool->count = count;
	pool->free_count = count;
	pool->free_head = count > 0 ? 0 : HF_LEDGER_NONE;
	for (uint32_t i = 0; i < count; i++) {
		next[i] = i + 1 < count ? (uint16_t)(i + 1) : HF_LEDGER_NONE;
	}
}

uint16_t hf_pool_take(struct hf_pool *pool, uint32_t count)
{
	assert(count > 0);
	if (count > pool->free_count) {
		return HF_LEDGER_NONE;
	}

	uint16_t first = pool->free_head;
	uint16_t last = first;
	for (uint32_t i = 1; i < count; i++) {
		last = pool->next[last];
	}
	pool->free_head = pool->next[last];
	pool->free_count -= count;
	pool->next[last] = HF_LEDGER_NONE;
	return first;
}

void hf_pool_give(struct hf_pool *pool, uint16_t first, uint32_t count)
{
	uint16_t last = first;

	assert(count > 0 && first < pool->count);
	for (uint32_t i = 1; i < count; i++) {
		last = pool->next[last];
		assert(last < pool->count);
	}
	pool->next[last] = pool->free_head;
	pool->free_head = first;
	pool->free_count += count;
}
