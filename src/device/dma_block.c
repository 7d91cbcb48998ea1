/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks: who owns which pages of the pools. Regions are in dma.c. */
#include <assert.h>
#include <errno.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "device/device.h"
#include "device/dma_internal.h"
#include "state/registry.h"

#define POOL_MAX_BYTES  (UINT64_C(64) << 20)
#define HUGE_BYTES      (UINT64_C(2) << 20)
#define BLOCK_MAX_BYTES (UINT64_C(1) << 40)

static int pool_memfd(const struct hf_dma *dma, uint64_t len_bytes,
		      void **vaddr)
{
	enum hf_huge_pages huge = dma->dev->options.huge_pages;
	int fd = -ENOMEM;

	if (huge != HF_HUGE_PAGES_OFF) {
		fd = hf_dma_memfd("holdfast-dma", len_bytes,
				  MFD_HUGETLB | MFD_HUGE_2MB);
		*vaddr = fd >= 0 ? hf_dma_map_shared(fd, len_bytes, 0) : NULL;
		if (*vaddr != NULL) {
			return fd;
		}
		if (fd >= 0) {
			close(fd);
		}
	}
	if (huge == HF_HUGE_PAGES_ONLY) {
		return -ENOMEM;
	}

	fd = hf_dma_memfd("holdfast-dma", len_bytes, 0);
	*vaddr = fd >= 0 ? hf_dma_map_shared(fd, len_bytes, 0) : NULL;
	if (fd >= 0 && *vaddr == NULL) {
		close(fd);
		fd = -ENOMEM;
	}
	return fd;
}

static int pool_add(struct hf_dma *dma, uint64_t len_bytes,
		    struct hf_error *err)
{
	struct hf_dma_mapping map = {0};
	uint32_t index;

	if (!hf_align_up(HF_MAX(len_bytes, dma->next_pool_bytes), HUGE_BYTES,
			 &map.len_bytes)) {
		return hf_error_set(err, -ENOMEM,
				    "%s: %llu bytes of DMA memory"
				    " are too many",
				    dma->dev->id,
				    (unsigned long long)len_bytes);
	}
	uint64_t *used =
		calloc(map.len_bytes / HF_DMA_PAGE / 64, sizeof(*used));
	map.fd = used != NULL ? pool_memfd(dma, map.len_bytes, &map.vaddr)
			      : -ENOMEM;
	if (map.fd < 0) {
		free(used);
		return hf_error_set(
			err, -ENOMEM,
			"%s: no memory for %llu bytes of DMA memory%s",
			dma->dev->id, (unsigned long long)map.len_bytes,
			dma->dev->options.huge_pages == HF_HUGE_PAGES_ONLY
				? " in huge pages; raise vm.nr_hugepages"
				: "");
	}

	int rc = hf_dma_region_add(dma, HF_REGION_POOL, &map, &index, err);
	if (rc < 0) {
		munmap(map.vaddr, map.len_bytes);
		close(map.fd);
		free(used);
		return rc;
	}
	dma->regions[index].used = used;
	dma->regions[index].pages = map.len_bytes / HF_DMA_PAGE;
	if (!dma->limits.physical) {
		dma->next_pool_bytes =
			HF_MIN(dma->next_pool_bytes * 2, POOL_MAX_BYTES);
	}
	return rc;
}

static bool page_used(const struct hf_dma_region *region, uint64_t page)
{
	return (region->used[page / 64] >> (page % 64) & 1) != 0;
}

/* The bits that [@first, @first + @count) has in a word that it meets. */
static uint64_t bits_of(uint64_t first, uint64_t count, uint64_t word)
{
	uint64_t from = HF_MAX(first, word * 64) - word * 64;
	uint64_t to = HF_MIN(first + count, word * 64 + 64) - word * 64;

	return UINT64_MAX >> (64 - (to - from)) << from;
}

/* By words: a successor marks all the memory there is while a load waits. */
void hf_dma_pages_mark(struct hf_dma_region *region, uint64_t first,
		       uint64_t count, bool used)
{
	for (uint64_t word = first / 64; word * 64 < first + count; word++) {
		uint64_t bits = bits_of(first, count, word);

		if (used) {
			region->used[word] |= bits;
		} else {
			region->used[word] &= ~bits;
		}
	}
}

bool hf_dma_pages_are_free(const struct hf_dma_region *region, uint64_t first,
			   uint64_t count)
{
	for (uint64_t word = first / 64; word * 64 < first + count; word++) {
		if ((region->used[word] & bits_of(first, count, word)) != 0) {
			return false;
		}
	}
	return true;
}

static bool pages_find(const struct hf_dma_region *region, uint64_t count,
		       uint64_t *first)
{
	uint64_t run = 0;

	for (uint64_t page = 0; page < region->pages; page++) {
		run = page_used(region, page) ? 0 : run + 1;
		if (run == count) {
			*first = page + 1 - count;
			return true;
		}
	}
	return false;
}

static bool block_place(struct hf_dma *dma, uint64_t pages, uint32_t *region,
			uint64_t *first)
{
	for (uint32_t i = 0; i < HF_REGISTRY_REGIONS_MAX; i++) {
		if (dma->registry->regions[i].state == HF_REGION_MAPPED &&
		    hf_dma_region_is_pool(dma, i) &&
		    pages_find(&dma->regions[i], pages, first)) {
			*region = i;
			return true;
		}
	}
	return false;
}

/* Will there be room, once what waits to be kept is? */
static bool is_room_coming(const struct hf_dma *dma, uint64_t pages)
{
	uint64_t first;

	for (uint32_t i = 0; i < dma->regions_end; i++) {
		if ((dma->regions[i].keeping == HF_DMA_WAITS ||
		     dma->regions[i].keeping == HF_DMA_OFFERED) &&
		    hf_dma_region_is_pool(dma, i) &&
		    pages_find(&dma->regions[i], pages, &first)) {
			return true;
		}
	}
	return false;
}

static void block_describe(const struct hf_dma *dma, uint32_t index,
			   struct hf_dma_block *block)
{
	const struct hf_registry_block *entry = &dma->registry->blocks[index];
	const struct hf_dma_mapping *map = &dma->regions[entry->region].map;

	*block = (struct hf_dma_block){
		.vaddr = (uint8_t *)map->vaddr + entry->offset,
		.iova = map->iova + entry->offset,
		.len_bytes = entry->len_bytes,
		.index = index,
	};
}

static int block_add(struct hf_dma *dma, uint64_t len_bytes,
		     enum hf_dma_owner owner, uint32_t owner_id,
		     struct hf_dma_block *block, struct hf_error *err)
{
	uint64_t pages = len_bytes / HF_DMA_PAGE;
	uint64_t limit = dma->dev->options.dma_limit_bytes;
	uint32_t index = 0;
	uint32_t region;
	uint64_t first;

	while (index < HF_REGISTRY_BLOCKS_MAX &&
	       dma->registry->blocks[index].owner != 0) {
		index++;
	}
	if (index == HF_REGISTRY_BLOCKS_MAX) {
		return hf_error_set(err, -ENOSPC,
				    "%s: all %d blocks of DMA memory are in "
				    "use; allocate fewer and larger ones",
				    dma->dev->id, HF_REGISTRY_BLOCKS_MAX);
	}
	if (limit != 0 &&
	    len_bytes > limit - HF_MIN(limit, dma->allocated_bytes)) {
		return hf_error_set(err, -ENOMEM,
				    "%s: %llu more bytes of DMA memory would "
				    "pass the limit of %llu",
				    dma->dev->id, (unsigned long long)len_bytes,
				    (unsigned long long)limit);
	}
	if (!block_place(dma, pages, &region, &first)) {
		int rc = is_room_coming(dma, pages)
				 ? HF_DMA_UNKEPT
				 : pool_add(dma, len_bytes, err);
		if (rc != 0) {
			return rc;
		}
		bool placed = block_place(dma, pages, &region, &first);
		assert(placed);
	}

	struct hf_registry_block *entry = &dma->registry->blocks[index];
	hf_dma_pages_mark(&dma->regions[region], first, pages, true);
	dma->allocated_bytes += len_bytes;
	entry->owner_id = owner_id;
	entry->region = region;
	entry->offset = first * HF_DMA_PAGE;
	entry->len_bytes = len_bytes;
	block_describe(dma, index, block);
	memset(block->vaddr, 0, block->len_bytes);
	/* The owner last: until then the block is nobody's. */
	__atomic_store_n(&entry->owner, owner, __ATOMIC_RELEASE);
	return 0;
}

int hf_dma_block_alloc(struct hf_dma *dma, uint64_t len_bytes,
		       enum hf_dma_owner owner, uint32_t owner_id,
		       struct hf_dma_block *block, struct hf_error *err)
{
	uint64_t rounded;

	if (len_bytes == 0 || len_bytes > BLOCK_MAX_BYTES ||
	    !hf_align_up(len_bytes, HF_DMA_PAGE, &rounded)) {
		return hf_error_set(err, -EINVAL,
				    "%s: a block of %llu bytes of DMA memory: "
				    "1 to %llu are possible",
				    dma->dev->id, (unsigned long long)len_bytes,
				    (unsigned long long)BLOCK_MAX_BYTES);
	}

	pthread_mutex_lock(&dma->lock);
	int rc = block_add(dma, rounded, owner, owner_id, block, err);
	pthread_mutex_unlock(&dma->lock);
	return rc;
}

void hf_dma_block_free(struct hf_dma *dma, struct hf_dma_block *block)
{
	if (block->vaddr == NULL) {
		return;
	}

	pthread_mutex_lock(&dma->lock);
	struct hf_registry_block *entry = &dma->registry->blocks[block->index];
	__atomic_store_n(&entry->owner, 0, __ATOMIC_RELEASE);
	hf_dma_pages_mark(&dma->regions[entry->region],
			  entry->offset / HF_DMA_PAGE,
			  entry->len_bytes / HF_DMA_PAGE, false);
	dma->allocated_bytes -= entry->len_bytes;
	pthread_mutex_unlock(&dma->lock);
	*block = (struct hf_dma_block){0};
}

int hf_dma_block_find(struct hf_dma *dma, const void *vaddr,
		      struct hf_dma_block *block)
{
	int rc = -ENOENT;

	pthread_mutex_lock(&dma->lock);
	for (uint32_t i = 0; rc != 0 && i < HF_REGISTRY_BLOCKS_MAX; i++) {
		if (dma->registry->blocks[i].owner == 0) {
			continue;
		}
		block_describe(dma, i, block);
		rc = block->vaddr == vaddr ? 0 : -ENOENT;
	}
	pthread_mutex_unlock(&dma->lock);
	return rc;
}

int hf_dma_block_claim(struct hf_dma *dma, enum hf_dma_owner owner,
		       uint32_t owner_id, struct hf_dma_block *block)
{
	int rc = -ENOENT;

	pthread_mutex_lock(&dma->lock);
	for (uint32_t i = 0; rc != 0 && i < HF_REGISTRY_BLOCKS_MAX; i++) {
		const struct hf_registry_block *entry =
			&dma->registry->blocks[i];

		if (entry->owner == (uint32_t)owner &&
		    entry->owner_id == owner_id) {
			block_describe(dma, i, block);
			rc = 0;
		}
	}
	pthread_mutex_unlock(&dma->lock);
	return rc;
}

void hf_dma_block_forget(struct hf_dma *dma, enum hf_dma_owner owner,
			 uint32_t owner_id)
{
	struct hf_dma_block block;

	if (hf_dma_block_claim(dma, owner, owner_id, &block) == 0) {
		hf_dma_block_free(dma, &block);
	}
}

int hf_dma_block_next(struct hf_dma *dma, uint32_t *cursor,
		      struct hf_dma_block *block)
{
	int rc = -ENOENT;

	pthread_mutex_lock(&dma->lock);
	while (rc != 0 && *cursor < HF_REGISTRY_BLOCKS_MAX) {
		if (dma->registry->blocks[*cursor].owner ==
		    HF_DMA_OWNER_CALLER) {
			block_describe(dma, *cursor, block);
			rc = 0;
		}
		(*cursor)++;
	}
	pthread_mutex_unlock(&dma->lock);
	return rc;
}
