/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/dma.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "device/device.h"
#include "device/dma_internal.h"
#include "state/registry.h"

/* Above the 32-bit hole where PCs have their interrupt window. */
#define IOVA_PREFERRED      UINT64_C(0x100000000)
#define IOVA_LAST           ((UINT64_C(1) << 48) - 1)
#define POOL_MIN_BYTES      (UINT64_C(2) << 20)
#define POOL_MAX_BYTES      (UINT64_C(64) << 20)
#define HUGE_BYTES          (UINT64_C(2) << 20)
#define NVME_PAGE           UINT64_C(4096)
#define DMA_BLOCK_MAX_BYTES (UINT64_C(1) << 40)

/*
 * A successor, or a server at the other end, maps these files too: sealing the
 * size keeps either side from pulling the pages from under the other.
 */
static int memfd_sealed(const char *name, uint64_t len_bytes,
			unsigned int flags)
{
	HF_AUTO_CLOSE int fd =
		memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	if (fd < 0) {
		return -errno;
	}
	if (ftruncate(fd, (off_t)len_bytes) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
		    0) {
		return -errno;
	}
	return hf_take_fd(&fd);
}

void *hf_dma_map_shared(int fd, uint64_t len_bytes)
{
	void *memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			    fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int hf_dma_prepare(struct hf_dma *dma, struct hf_device *dev)
{
	dma->dev = dev;
	dma->registry = NULL;
	dma->registry_fd = -1;
	dma->allocated_bytes = 0;
	dma->next_pool_bytes = POOL_MIN_BYTES;
	dma->map.top = NULL;
	dma->regions = calloc(HF_REGISTRY_REGIONS_MAX, sizeof(*dma->regions));
	pthread_mutex_init(&dma->lock, NULL);
	dma->initialised = true;
	return dma->regions != NULL ? hf_iova_map_init(&dma->map) : -ENOMEM;
}

static int dma_no_memory(struct hf_dma *dma, struct hf_error *err)
{
	hf_dma_fini(dma, false);
	return hf_error_set(err, -ENOMEM,
			    "%s: no memory for the registry of DMA memory",
			    dma->dev->id);
}

int hf_dma_init(struct hf_dma *dma, struct hf_device *dev, struct hf_error *err)
{
	if (hf_dma_prepare(dma, dev) != 0) {
		return dma_no_memory(dma, err);
	}

	dma->registry_fd =
		memfd_sealed("holdfast-registry", sizeof(*dma->registry), 0);
	if (dma->registry_fd < 0) {
		return dma_no_memory(dma, err);
	}
	dma->registry =
		hf_dma_map_shared(dma->registry_fd, sizeof(*dma->registry));
	if (dma->registry == NULL) {
		return dma_no_memory(dma, err);
	}

	dma->registry->version = HF_REGISTRY_VERSION;
	dma->registry->header_bytes = sizeof(*dma->registry);
	dma->registry->regions_max = HF_REGISTRY_REGIONS_MAX;
	dma->registry->blocks_max = HF_REGISTRY_BLOCKS_MAX;
	dma->registry->magic = HF_REGISTRY_MAGIC;
	return 0;
}

static bool region_is_pool(const struct hf_dma *dma, uint32_t index)
{
	return dma->registry->regions[index].kind == HF_REGION_POOL;
}

static void region_forget(struct hf_dma *dma, uint32_t index)
{
	struct hf_dma_region *region = &dma->regions[index];

	if (region->map.vaddr != NULL && region->map.len_bytes != 0) {
		hf_iova_map_remove(&dma->map, region->map.vaddr,
				   region->map.len_bytes);
		if (region_is_pool(dma, index) || region->adopted) {
			munmap(region->map.vaddr, region->map.len_bytes);
		}
	}
	if (region->map.fd >= 0 && region->map.len_bytes != 0) {
		close(region->map.fd);
	}
	free(region->used);
	*region = (struct hf_dma_region){0};
}

void hf_dma_fini(struct hf_dma *dma, bool unmap)
{
	if (!dma->initialised) {
		return;
	}

	bool begun = dma->registry != NULL && dma->regions != NULL;

	for (uint32_t i = 0; begun && i < HF_REGISTRY_REGIONS_MAX; i++) {
		if (dma->registry->regions[i].state == HF_REGION_FREE) {
			continue;
		}
		if (unmap && dma->regions[i].map.len_bytes != 0 &&
		    dma->registry->regions[i].state != HF_REGION_REVOKED) {
			/* The device is going: nothing is left to tell. */
			(void)!dma->dev->ops->dma_unmap(
				dma->dev, &dma->regions[i].map, NULL);
		}
		region_forget(dma, i);
	}
	hf_iova_map_fini(&dma->map);
	if (dma->registry != NULL) {
		munmap(dma->registry, sizeof(*dma->registry));
	}
	if (dma->registry_fd >= 0) {
		close(dma->registry_fd);
	}
	free(dma->regions);
	pthread_mutex_destroy(&dma->lock);
	dma->initialised = false;
}

int hf_dma_revoke(struct hf_dma *dma, struct hf_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&dma->lock);
	for (uint32_t i = 0; rc == 0 && i < HF_REGISTRY_REGIONS_MAX; i++) {
		struct hf_registry_region *entry = &dma->registry->regions[i];

		if (entry->state != HF_REGION_MAPPED) {
			continue;
		}
		rc = dma->dev->ops->dma_unmap(dma->dev, &dma->regions[i].map,
					      err);
		if (rc == 0) {
			entry->state = HF_REGION_REVOKED;
		}
	}
	pthread_mutex_unlock(&dma->lock);
	return rc;
}

/* The end of a live region that [iova, iova + len) touches; 0: it is free. */
static uint64_t iova_conflict(const struct hf_dma *dma, uint64_t iova,
			      uint64_t len_bytes)
{
	for (uint32_t i = 0; i < HF_REGISTRY_REGIONS_MAX; i++) {
		const struct hf_registry_region *region =
			&dma->registry->regions[i];

		if (region->state != HF_REGION_FREE &&
		    hf_ranges_overlap(iova, len_bytes, region->iova,
				      region->len_bytes)) {
			return region->iova + region->len_bytes;
		}
	}
	return 0;
}

static bool iova_in_range(const struct hf_dma *dma, uint64_t first,
			  uint64_t last, uint64_t len_bytes, uint64_t align,
			  uint64_t *iova)
{
	uint64_t at;

	if (!hf_align_up(first, align, &at)) {
		return false;
	}
	/* Each turn passes one live region for good. */
	for (uint32_t turn = 0; turn <= HF_REGISTRY_REGIONS_MAX; turn++) {
		if (at > last || len_bytes - 1 > last - at) {
			return false;
		}
		uint64_t end = iova_conflict(dma, at, len_bytes);
		if (end == 0) {
			*iova = at;
			return true;
		}
		if (!hf_align_up(end, align, &at)) {
			return false;
		}
	}
	return false;
}

static int iova_find(const struct hf_dma *dma, uint64_t len_bytes,
		     uint64_t *iova)
{
	const struct hf_dma_limits *limits = &dma->limits;
	uint64_t align = len_bytes >= HUGE_BYTES ? HUGE_BYTES : NVME_PAGE;
	uint32_t ranges = limits->range_count;

	for (uint32_t pass = 0; pass < 2; pass++) {
		uint64_t floor = pass == 0 ? IOVA_PREFERRED : NVME_PAGE;

		if (ranges == 0 && iova_in_range(dma, floor, IOVA_LAST,
						 len_bytes, align, iova)) {
			return 0;
		}
		for (uint32_t i = 0; i < ranges; i++) {
			uint64_t first = HF_MAX(limits->ranges[i].first, floor);

			if (iova_in_range(dma, first, limits->ranges[i].last,
					  len_bytes, align, iova)) {
				return 0;
			}
		}
	}
	return -ENOSPC;
}

static int region_slot(const struct hf_dma *dma, uint32_t *index,
		       struct hf_error *err)
{
	uint32_t live = 0;
	uint32_t free_slot = HF_REGISTRY_REGIONS_MAX;
	uint32_t max = HF_REGISTRY_REGIONS_MAX;

	for (uint32_t i = 0; i < HF_REGISTRY_REGIONS_MAX; i++) {
		if (dma->registry->regions[i].state != HF_REGION_FREE) {
			live++;
		} else if (free_slot == HF_REGISTRY_REGIONS_MAX) {
			free_slot = i;
		}
	}
	if (dma->limits.max_mappings != 0) {
		max = HF_MIN(max, dma->limits.max_mappings);
	}
	if (live >= max) {
		return hf_error_set(err, -ENOSPC,
				    "%s: all %u DMA mappings are in use; "
				    "register fewer and larger ranges",
				    dma->dev->id, max);
	}
	*index = free_slot;
	return 0;
}

/*
 * The registry says MAPPING before the device is asked and MAPPED after, so
 * that a successor of a process that was killed in between knows which ranges
 * it must make certain of.
 */
static int region_add(struct hf_dma *dma, enum hf_registry_region_kind kind,
		      struct hf_dma_mapping *map, uint32_t *index,
		      struct hf_error *err)
{
	int rc = region_slot(dma, index, err);
	if (rc != 0) {
		return rc;
	}
	if (iova_find(dma, map->len_bytes, &map->iova) != 0) {
		return hf_error_set(err, -ENOSPC,
				    "%s: no IOVA range is left for %llu bytes",
				    dma->dev->id,
				    (unsigned long long)map->len_bytes);
	}
	rc = hf_iova_map_add(&dma->map, map->vaddr, map->len_bytes, map->iova);
	if (rc != 0) {
		return hf_error_set(err, rc,
				    rc == -EEXIST
					    ? "%s: a part of the memory at %p "
					      "is registered already"
					    : "%s: no memory to keep track of "
					      "the memory at %p",
				    dma->dev->id, map->vaddr);
	}

	struct hf_registry_region *entry = &dma->registry->regions[*index];
	entry->kind = kind;
	entry->iova = map->iova;
	entry->len_bytes = map->len_bytes;
	entry->fd_offset = map->fd_offset;
	entry->vaddr = (uintptr_t)map->vaddr;
	__atomic_store_n(&entry->state, HF_REGION_MAPPING, __ATOMIC_RELEASE);
	rc = dma->dev->ops->dma_map(dma->dev, map, err);
	if (rc != 0) {
		__atomic_store_n(&entry->state, HF_REGION_FREE,
				 __ATOMIC_RELEASE);
		hf_iova_map_remove(&dma->map, map->vaddr, map->len_bytes);
		return rc;
	}
	dma->regions[*index].map = *map;
	__atomic_store_n(&entry->state, HF_REGION_MAPPED, __ATOMIC_RELEASE);
	return 0;
}

static int pool_memfd(const struct hf_dma *dma, uint64_t len_bytes,
		      void **vaddr)
{
	enum hf_huge_pages huge = dma->dev->options.huge_pages;
	int fd = -ENOMEM;

	if (huge != HF_HUGE_PAGES_OFF) {
		fd = memfd_sealed("holdfast-dma", len_bytes,
				  MFD_HUGETLB | MFD_HUGE_2MB);
		*vaddr = fd >= 0 ? hf_dma_map_shared(fd, len_bytes) : NULL;
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

	fd = memfd_sealed("holdfast-dma", len_bytes, 0);
	*vaddr = fd >= 0 ? hf_dma_map_shared(fd, len_bytes) : NULL;
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
	uint64_t *used = calloc(map.len_bytes / NVME_PAGE / 64, sizeof(*used));
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

	int rc = region_add(dma, HF_REGION_POOL, &map, &index, err);
	if (rc != 0) {
		munmap(map.vaddr, map.len_bytes);
		close(map.fd);
		free(used);
		return rc;
	}
	dma->regions[index].used = used;
	dma->regions[index].pages = map.len_bytes / NVME_PAGE;
	dma->next_pool_bytes = HF_MIN(dma->next_pool_bytes * 2, POOL_MAX_BYTES);
	return 0;
}

static bool page_used(const struct hf_dma_region *region, uint64_t page)
{
	return (region->used[page / 64] >> (page % 64) & 1) != 0;
}

void hf_dma_pages_mark(struct hf_dma_region *region, uint64_t first,
		       uint64_t count, bool used)
{
	for (uint64_t page = first; page < first + count; page++) {
		uint64_t bit = UINT64_C(1) << (page % 64);

		if (used) {
			region->used[page / 64] |= bit;
		} else {
			region->used[page / 64] &= ~bit;
		}
	}
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
		    region_is_pool(dma, i) &&
		    pages_find(&dma->regions[i], pages, first)) {
			*region = i;
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
	uint64_t pages = len_bytes / NVME_PAGE;
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
		int rc = pool_add(dma, len_bytes, err);
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
	entry->offset = first * NVME_PAGE;
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

	if (len_bytes == 0 || len_bytes > DMA_BLOCK_MAX_BYTES ||
	    !hf_align_up(len_bytes, NVME_PAGE, &rounded)) {
		return hf_error_set(err, -EINVAL,
				    "%s: a block of %llu bytes of DMA memory: "
				    "1 to %llu are possible",
				    dma->dev->id, (unsigned long long)len_bytes,
				    (unsigned long long)DMA_BLOCK_MAX_BYTES);
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
			  entry->offset / NVME_PAGE,
			  entry->len_bytes / NVME_PAGE, false);
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

uint8_t *hf_dma_vaddr(struct hf_dma *dma, uint64_t iova, uint64_t len_bytes)
{
	uint8_t *vaddr = NULL;

	pthread_mutex_lock(&dma->lock);
	for (uint32_t i = 0; vaddr == NULL && i < HF_REGISTRY_REGIONS_MAX;
	     i++) {
		const struct hf_dma_mapping *map = &dma->regions[i].map;

		if (dma->registry->regions[i].state == HF_REGION_MAPPED &&
		    map->vaddr != NULL && iova >= map->iova &&
		    hf_range_within(iova - map->iova, len_bytes,
				    map->len_bytes)) {
			vaddr = (uint8_t *)map->vaddr + (iova - map->iova);
		}
	}
	pthread_mutex_unlock(&dma->lock);
	return vaddr;
}

int hf_dma_register_range(struct hf_dma *dma, void *vaddr, uint64_t len_bytes,
			  int fd, uint64_t fd_offset, struct hf_error *err)
{
	struct hf_dma_mapping map = {
		.vaddr = vaddr,
		.len_bytes = len_bytes,
		.fd = -1,
		.fd_offset = fd_offset,
	};
	uint32_t index;

	if (len_bytes == 0 ||
	    !hf_is_aligned((uintptr_t)vaddr | len_bytes | fd_offset,
			   NVME_PAGE)) {
		return hf_error_set(err, -EINVAL,
				    "%s: memory at %p of %llu bytes: address, "
				    "length and file offset must be multiples "
				    "of 4096",
				    dma->dev->id, vaddr,
				    (unsigned long long)len_bytes);
	}
	if (fd < 0 && !dma->limits.private_memory) {
		return hf_error_set(err, -ENOTSUP,
				    "%s: the controller is in another process "
				    "and can reach only memory in a shared "
				    "file: hand its descriptor over, or use "
				    "hf_dma_alloc()",
				    dma->dev->id);
	}
	if (fd >= 0) {
		map.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (map.fd < 0) {
			return hf_error_set(err, -errno,
					    "%s: descriptor %d of the memory "
					    "cannot be duplicated: %s",
					    dma->dev->id, fd,
					    strerrordesc_np(errno));
		}
	}

	pthread_mutex_lock(&dma->lock);
	int rc = region_add(dma, fd >= 0 ? HF_REGION_SHARED : HF_REGION_PRIVATE,
			    &map, &index, err);
	pthread_mutex_unlock(&dma->lock);
	if (rc != 0 && map.fd >= 0) {
		close(map.fd);
	}
	return rc;
}

static int region_find(const struct hf_dma *dma, const void *vaddr,
		       uint32_t *index)
{
	for (uint32_t i = 0; i < HF_REGISTRY_REGIONS_MAX; i++) {
		if (dma->registry->regions[i].state == HF_REGION_MAPPED &&
		    !region_is_pool(dma, i) &&
		    dma->regions[i].map.vaddr == vaddr) {
			*index = i;
			return 0;
		}
	}
	return -ENOENT;
}

int hf_dma_unregister_range(struct hf_dma *dma, void *vaddr,
			    struct hf_error *err)
{
	uint32_t index;

	pthread_mutex_lock(&dma->lock);
	int rc = region_find(dma, vaddr, &index);
	if (rc != 0) {
		pthread_mutex_unlock(&dma->lock);
		return hf_error_set(err, rc,
				    "%s: no registered memory begins at %p",
				    dma->dev->id, vaddr);
	}

	struct hf_registry_region *entry = &dma->registry->regions[index];
	__atomic_store_n(&entry->state, HF_REGION_UNMAPPING, __ATOMIC_RELEASE);
	rc = dma->dev->ops->dma_unmap(dma->dev, &dma->regions[index].map, err);
	if (rc == 0) {
		region_forget(dma, index);
		__atomic_store_n(&entry->state, HF_REGION_FREE,
				 __ATOMIC_RELEASE);
	} else {
		__atomic_store_n(&entry->state, HF_REGION_MAPPED,
				 __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&dma->lock);
	return rc;
}

int hf_dma_carry(struct hf_dma *dma, struct hf_fdset *set, struct hf_error *err)
{
	int rc = hf_fdset_add(set, dma->registry_fd, err, "dma-registry");

	for (uint32_t i = 0; rc == 0 && i < HF_REGISTRY_REGIONS_MAX; i++) {
		if (dma->registry->regions[i].state != HF_REGION_FREE &&
		    dma->regions[i].map.fd >= 0) {
			rc = hf_fdset_add(set, dma->regions[i].map.fd, err,
					  "dma-%u", i);
		}
	}
	return rc;
}
