/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/dma.h"

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
	free(dma->table);
	dma->table = NULL;
}

const struct hf_emu_dma_table *hf_emu_dma_table(const struct hf_emu_dma *dma)
{
	return __atomic_load_n(&dma->table, __ATOMIC_ACQUIRE);
}

/* Index of the first region that ends above @iova. */
static uint32_t table_find(const struct hf_emu_dma_table *table, uint64_t iova)
{
	uint32_t low = 0;
	uint32_t high = table->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct hf_emu_dma_region *region =
			&table->regions[middle];

		if (iova - region->iova < region->len_bytes ||
		    iova < region->iova) {
			high = middle;
		} else {
			low = middle + 1;
		}
	}
	return low;
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
	const struct hf_emu_dma_table *table = hf_emu_dma_table(dma);
	uint32_t i = table_find(table, iova);

	if (i == table->count || iova < table->regions[i].iova ||
	    (table->regions[i].prot & prot) != prot) {
		count(&dma->faults);
		return NULL;
	}

	const struct hf_emu_dma_region *region = &table->regions[i];
	uint64_t offset = iova - region->iova;
	*avail = region->len_bytes - offset;
	return region->vaddr + offset;
}

/* Publishes @fresh and frees the table before it once nobody looks at it. */
static void table_replace(struct hf_emu *emu, struct hf_emu_dma_table *fresh)
{
	struct hf_emu_dma_table *old = emu->dma.table;

	fresh->generation = old->generation + 1;
	__atomic_store_n(&emu->dma.table, fresh, __ATOMIC_RELEASE);
	hf_emu_synchronize(emu);
	free(old);
}

static struct hf_emu_dma_table *table_alloc(uint32_t regions)
{
	struct hf_emu_dma_table *table;

	table = calloc(1, sizeof(*table) + regions * sizeof(table->regions[0]));
	return table;
}

static int map_locked(struct hf_emu *emu,
		      const struct hf_emu_dma_region *region,
		      struct hf_error *err)
{
	const struct hf_emu_dma_table *old = emu->dma.table;
	uint32_t at = table_find(old, region->iova);

	if (at < old->count &&
	    hf_ranges_overlap(region->iova, region->len_bytes - 1,
			      old->regions[at].iova,
			      old->regions[at].len_bytes - 1)) {
		return hf_error_set(err, -EEXIST,
				    "emulated: IOVA 0x%llx is mapped already",
				    (unsigned long long)region->iova);
	}
	if (old->count >= DMA_MAX_REGIONS) {
		return hf_error_set(err, -ENOMEM,
				    "emulated: more than %u DMA mappings",
				    DMA_MAX_REGIONS);
	}

	struct hf_emu_dma_table *fresh = table_alloc(old->count + 1);
	if (fresh == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "emulated: no memory for a DMA mapping");
	}

	memcpy(fresh->regions, old->regions, at * sizeof(old->regions[0]));
	fresh->regions[at] = *region;
	memcpy(&fresh->regions[at + 1], &old->regions[at],
	       (old->count - at) * sizeof(old->regions[0]));
	fresh->count = old->count + 1;
	table_replace(emu, fresh);
	return 0;
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

static int unmap_locked(struct hf_emu *emu, uint64_t iova, uint64_t last,
			struct hf_error *err)
{
	const struct hf_emu_dma_table *old = emu->dma.table;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < old->count; i++) {
		const struct hf_emu_dma_region *region = &old->regions[i];
		uint64_t end = region->iova + (region->len_bytes - 1);

		if (region->iova > last || end < iova) {
			kept++;
		} else if (region->iova < iova || end > last) {
			return hf_error_set(
				err, -EINVAL,
				"emulated: the range from IOVA 0x%llx cuts the "
				"mapping at 0x%llx in two",
				(unsigned long long)iova,
				(unsigned long long)region->iova);
		}
	}
	if (kept == old->count) {
		return hf_error_set(err, -ENOENT,
				    "emulated: nothing is mapped at IOVA "
				    "0x%llx",
				    (unsigned long long)iova);
	}

	struct hf_emu_dma_table *fresh = table_alloc(kept);
	if (fresh == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "emulated: no memory to unmap");
	}
	for (uint32_t i = 0; i < old->count; i++) {
		const struct hf_emu_dma_region *region = &old->regions[i];

		if (region->iova > last ||
		    region->iova + (region->len_bytes - 1) < iova) {
			fresh->regions[fresh->count++] = *region;
		}
	}
	table_replace(emu, fresh);
	return 0;
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
	(void)!hf_emu_dma_unmap(emu, 0, UINT64_MAX, NULL);
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
