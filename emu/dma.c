/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/dma.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "emu/ctrl.h"
#include "holdfast/emu.h"

#define DMA_PAGE_BYTES  4096u
#define DMA_MAX_REGIONS (1u << 20)

int hf_emu_dma_init(struct hf_emu_dma *dma)
{
	dma->table = calloc(1, sizeof(*dma->table));
	if (dma->table == NULL) {
		return -ENOMEM;
	}

	dma->table->generation = 1;
	pthread_mutex_init(&dma->lock, NULL);
	return 0;
}

void hf_emu_dma_fini(struct hf_emu_dma *dma)
{
	if (dma->table == NULL) {
		return;
	}
	pthread_mutex_destroy(&dma->lock);
	for (uint32_t i = 0; i < dma->table->count; i++) {
		free(dma->table->entries[i].chunk);
	}
	for (uint32_t i = 0; i < dma->retired_count; i++) {
		free(dma->retired[i]);
	}
	free(dma->table);
	dma->table = NULL;
}

const struct hf_emu_dma_table *hf_emu_dma_table(const struct hf_emu_dma *dma)
{
	return __atomic_load_n(&dma->table, __ATOMIC_ACQUIRE);
}

/* Index of the last chunk that begins at or below @iova; 0 when none does. */
static uint32_t table_find(const struct hf_emu_dma_table *table, uint64_t iova)
{
	uint32_t low = 0;
	uint32_t high = table->count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (table->entries[middle].first_iova <= iova) {
			low = middle;
		} else {
			high = middle;
		}
	}
	return low;
}

/* Index of the first region that ends above @iova; the count for none. */
static uint32_t chunk_find(const struct hf_emu_dma_chunk *chunk, uint64_t iova)
{
	uint32_t low = 0;
	uint32_t high = chunk->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct hf_emu_dma_region *region =
			&chunk->regions[middle];

		if (iova - region->iova < region->len_bytes ||
		    iova < region->iova) {
			high = middle;
		} else {
			low = middle + 1;
		}
	}
	return low;
}

/* The first region that ends above @iova, or NULL. */
static const struct hf_emu_dma_region *
region_at(const struct hf_emu_dma_table *table, uint64_t iova)
{
	if (table->count == 0) {
		return NULL;
	}

	uint32_t at = table_find(table, iova);
	const struct hf_emu_dma_chunk *chunk = table->entries[at].chunk;
	uint32_t i = chunk_find(chunk, iova);

	if (i < chunk->count) {
		return &chunk->regions[i];
	}
	return at + 1 < table->count ? &table->entries[at + 1].chunk->regions[0]
				     : NULL;
}

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void hf_emu_dma_touched(struct hf_emu_dma *dma, uint64_t iova,
			uint64_t len_bytes, unsigned int prot)
{
	uint64_t watched = __atomic_load_n(&dma->watch_bytes, __ATOMIC_RELAXED);

	if (watched == 0) {
		return;
	}

	uint64_t start = __atomic_load_n(&dma->watch_iova, __ATOMIC_RELAXED);
	if (!hf_ranges_overlap(iova, len_bytes, start, watched)) {
		return;
	}
	if ((prot & HF_EMU_DMA_WRITE) != 0) {
		count(&dma->watch_writes);
	} else {
		count(&dma->watch_reads);
	}
}

void *hf_emu_dma_at(struct hf_emu_dma *dma, uint64_t iova, unsigned int prot,
		    uint64_t *avail)
{
	const struct hf_emu_dma_region *region =
		region_at(hf_emu_dma_table(dma), iova);

	if (region == NULL || iova < region->iova ||
	    (region->prot & prot) != prot) {
		count(&dma->faults);
		return NULL;
	}

	uint64_t offset = iova - region->iova;
	*avail = region->len_bytes - offset;
	return region->vaddr + offset;
}

/* Frees what was replaced, once nobody looks at it. */
static void retired_free(struct hf_emu *emu)
{
	struct hf_emu_dma *dma = &emu->dma;

	hf_emu_synchronize(emu);
	for (uint32_t i = 0; i < dma->retired_count; i++) {
		free(dma->retired[i]);
	}
	dma->retired_count = 0;
}

/* What replaces @old has been published; the lock is held. */
static void retire(struct hf_emu *emu, void *old)
{
	struct hf_emu_dma *dma = &emu->dma;

	if (dma->retired_count == HF_EMU_DMA_RETIRED) {
		retired_free(emu);
	}
	dma->retired[dma->retired_count++] = old;
}

static void table_publish(struct hf_emu *emu, struct hf_emu_dma_table *fresh)
{
	struct hf_emu_dma_table *old = emu->dma.table;

	fresh->generation = old->generation + 1;
	__atomic_store_n(&emu->dma.table, fresh, __ATOMIC_RELEASE);
	retire(emu, old);
}

static struct hf_emu_dma_table *table_alloc(uint32_t chunks)
{
	struct hf_emu_dma_table *table;

	return calloc(1, sizeof(*table) +
				 (size_t)chunks * sizeof(table->entries[0]));
}

static void table_push(struct hf_emu_dma_table *table,
		       struct hf_emu_dma_chunk *chunk)
{
	table->entries[table->count].first_iova = chunk->regions[0].iova;
	table->entries[table->count].chunk = chunk;
	table->count++;
}

/*
 * One or two chunks with what @old holds and @region at index @at: two when
 * one is too small. False without memory.
 */
static bool chunk_insert(const struct hf_emu_dma_chunk *old, uint32_t at,
			 const struct hf_emu_dma_region *region,
			 struct hf_emu_dma_chunk *made[2])
{
	uint32_t total = (old == NULL ? 0 : old->count) + 1;
	uint32_t first = total <= HF_EMU_DMA_CHUNK ? total : total / 2;

	made[0] = calloc(1, sizeof(*made[0]));
	made[1] = first < total ? calloc(1, sizeof(*made[1])) : NULL;
	if (made[0] == NULL || (first < total && made[1] == NULL)) {
		free(made[0]);
		free(made[1]);
		return false;
	}
	for (uint32_t i = 0; i < total; i++) {
		struct hf_emu_dma_chunk *to = made[i < first ? 0 : 1];

		to->regions[to->count++] =
			i == at ? *region : old->regions[i < at ? i : i - 1];
	}
	return true;
}

static int region_insert(struct hf_emu *emu,
			 const struct hf_emu_dma_region *region)
{
	const struct hf_emu_dma_table *old = emu->dma.table;
	uint32_t place = table_find(old, region->iova);
	struct hf_emu_dma_chunk *chunk =
		old->count == 0 ? NULL : old->entries[place].chunk;
	uint32_t at = chunk == NULL ? 0 : chunk_find(chunk, region->iova);
	struct hf_emu_dma_chunk *made[2];
	struct hf_emu_dma_table *fresh = table_alloc(old->count + 2);

	if (fresh == NULL || !chunk_insert(chunk, at, region, made)) {
		free(fresh);
		return -ENOMEM;
	}

	fresh->regions = old->regions + 1;
	for (uint32_t i = 0; i < HF_MAX(old->count, 1u); i++) {
		if (i != place) {
			table_push(fresh, old->entries[i].chunk);
			continue;
		}
		table_push(fresh, made[0]);
		if (made[1] != NULL) {
			table_push(fresh, made[1]);
		}
	}
	table_publish(emu, fresh);
	if (chunk != NULL) {
		retire(emu, chunk);
	}
	return 0;
}

static int map_locked(struct hf_emu *emu,
		      const struct hf_emu_dma_region *region,
		      struct hf_error *err)
{
	const struct hf_emu_dma_table *table = emu->dma.table;
	const struct hf_emu_dma_region *next = region_at(table, region->iova);

	if (next != NULL &&
	    hf_ranges_overlap(region->iova, region->len_bytes - 1, next->iova,
			      next->len_bytes - 1)) {
		return hf_error_set(err, -EEXIST,
				    "emulated: IOVA 0x%llx is mapped already",
				    (unsigned long long)region->iova);
	}
	if (table->regions >= DMA_MAX_REGIONS) {
		return hf_error_set(err, -ENOMEM,
				    "emulated: more than %u DMA mappings",
				    DMA_MAX_REGIONS);
	}
	return region_insert(emu, region) == 0
		       ? 0
		       : hf_error_set(err, -ENOMEM,
				      "emulated: no memory for a DMA mapping");
}

int hf_emu_dma_map(struct hf_emu *emu, uint64_t iova, void *vaddr,
		   uint64_t len_bytes, unsigned int prot, struct hf_error *err)
{
	struct hf_emu_dma_region region = {
		.iova = iova,
		.len_bytes = len_bytes,
		.vaddr = vaddr,
		.prot = prot,
	};

	if (vaddr == NULL || len_bytes == 0 || iova + (len_bytes - 1) < iova ||
	    !hf_is_aligned(iova, DMA_PAGE_BYTES) ||
	    !hf_is_aligned(len_bytes, DMA_PAGE_BYTES) ||
	    !hf_is_aligned((uintptr_t)vaddr, DMA_PAGE_BYTES) ||
	    (prot & ~(unsigned int)(HF_EMU_DMA_READ | HF_EMU_DMA_WRITE)) != 0) {
		return hf_error_set(err, -EINVAL,
				    "emulated: cannot map 0x%llx bytes at IOVA "
				    "0x%llx: whole pages of 4096 bytes only",
				    (unsigned long long)len_bytes,
				    (unsigned long long)iova);
	}

	pthread_mutex_lock(&emu->dma.lock);
	int ret = map_locked(emu, &region, err);
	pthread_mutex_unlock(&emu->dma.lock);
	return ret;
}

/* Does the mapping at @iova begin before it? */
static bool cuts(const struct hf_emu_dma_table *table, uint64_t iova)
{
	const struct hf_emu_dma_region *region = region_at(table, iova);

	return region != NULL && region->iova < iova;
}

static bool chunk_touches(const struct hf_emu_dma_chunk *chunk, uint64_t iova,
			  uint64_t last)
{
	const struct hf_emu_dma_region *end = &chunk->regions[chunk->count - 1];

	return chunk->regions[0].iova <= last &&
	       end->iova + (end->len_bytes - 1) >= iova;
}

/* Copies what @from holds outside of the range. */
static void chunk_keep(struct hf_emu_dma_chunk *to,
		       const struct hf_emu_dma_chunk *from, uint64_t iova,
		       uint64_t last)
{
	for (uint32_t i = 0; i < from->count; i++) {
		if (from->regions[i].iova < iova ||
		    from->regions[i].iova > last) {
			to->regions[to->count++] = from->regions[i];
		}
	}
}

/* Fills @fresh with what @old holds outside of the range. Only the chunks at
 * its two ends can be left in part: they are copied to @spare, of which the
 * number used is returned. */
static uint32_t table_keep(struct hf_emu_dma_table *fresh,
			   const struct hf_emu_dma_table *old, uint64_t iova,
			   uint64_t last, struct hf_emu_dma_chunk *spare[2])
{
	uint32_t used = 0;

	fresh->regions = old->regions;
	for (uint32_t i = 0; i < old->count; i++) {
		struct hf_emu_dma_chunk *chunk = old->entries[i].chunk;

		if (!chunk_touches(chunk, iova, last)) {
			table_push(fresh, chunk);
			continue;
		}
		fresh->regions -= chunk->count;
		if (chunk->regions[0].iova >= iova &&
		    chunk->regions[chunk->count - 1].iova <= last) {
			continue;
		}
		assert(used < 2);
		chunk_keep(spare[used], chunk, iova, last);
		fresh->regions += spare[used]->count;
		table_push(fresh, spare[used]);
		used++;
	}
	return used;
}

/* The range begins and ends between mappings; at least one lies in it. */
static int regions_remove(struct hf_emu *emu, uint64_t iova, uint64_t last)
{
	struct hf_emu_dma_table *old = emu->dma.table;
	struct hf_emu_dma_table *fresh = table_alloc(old->count);
	struct hf_emu_dma_chunk *spare[2] = {calloc(1, sizeof(*spare[0])),
					     calloc(1, sizeof(*spare[1]))};

	if (fresh == NULL || spare[0] == NULL || spare[1] == NULL) {
		free(fresh);
		free(spare[0]);
		free(spare[1]);
		return -ENOMEM;
	}
	uint32_t used = table_keep(fresh, old, iova, last, spare);
	for (; used < 2; used++) {
		free(spare[used]);
	}

	fresh->generation = old->generation + 1;
	__atomic_store_n(&emu->dma.table, fresh, __ATOMIC_RELEASE);
	/* No command may use the memory when this returns: not put off. */
	retired_free(emu);
	for (uint32_t i = 0; i < old->count; i++) {
		if (chunk_touches(old->entries[i].chunk, iova, last)) {
			free(old->entries[i].chunk);
		}
	}
	free(old);
	return 0;
}

static int unmap_locked(struct hf_emu *emu, uint64_t iova, uint64_t last,
			struct hf_error *err)
{
	const struct hf_emu_dma_table *table = emu->dma.table;
	const struct hf_emu_dma_region *first = region_at(table, iova);

	if (first == NULL || first->iova > last) {
		return hf_error_set(err, -ENOENT,
				    "emulated: nothing is mapped at IOVA "
				    "0x%llx",
				    (unsigned long long)iova);
	}
	if (cuts(table, iova) ||
	    (last != UINT64_MAX && cuts(table, last + 1))) {
		return hf_error_set(err, -EINVAL,
				    "emulated: the range from 0x%llx to 0x%llx "
				    "cuts a mapping in two",
				    (unsigned long long)iova,
				    (unsigned long long)last);
	}
	return regions_remove(emu, iova, last) == 0
		       ? 0
		       : hf_error_set(err, -ENOMEM,
				      "emulated: no memory to unmap");
}

int hf_emu_dma_unmap(struct hf_emu *emu, uint64_t iova, uint64_t len_bytes,
		     struct hf_error *err)
{
	if (len_bytes == 0 || iova + (len_bytes - 1) < iova) {
		return hf_error_set(err, -EINVAL,
				    "emulated: 0x%llx bytes at IOVA 0x%llx are "
				    "no range",
				    (unsigned long long)len_bytes,
				    (unsigned long long)iova);
	}

	pthread_mutex_lock(&emu->dma.lock);
	int ret = unmap_locked(emu, iova, iova + (len_bytes - 1), err);
	pthread_mutex_unlock(&emu->dma.lock);
	return ret;
}

void hf_emu_dma_unmap_all(struct hf_emu *emu)
{
	pthread_mutex_lock(&emu->dma.lock);
	(void)!unmap_locked(emu, 0, UINT64_MAX, NULL);
	pthread_mutex_unlock(&emu->dma.lock);
}

void hf_emu_dma_watch(struct hf_emu *emu, uint64_t iova, uint64_t len_bytes)
{
	struct hf_emu_dma *dma = &emu->dma;

	__atomic_store_n(&dma->watch_bytes, 0, __ATOMIC_RELAXED);
	hf_emu_synchronize(emu);
	__atomic_store_n(&dma->watch_iova, iova, __ATOMIC_RELAXED);
	__atomic_store_n(&dma->watch_reads, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&dma->watch_writes, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&dma->watch_bytes, len_bytes, __ATOMIC_RELEASE);
}
