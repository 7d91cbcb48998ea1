/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/dma.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "device/device.h"
#include "device/dma_internal.h"
#include "state/registry.h"

/* Above the 32-bit hole where PCs have their interrupt window. */
#define IOVA_PREFERRED UINT64_C(0x100000000)
#define IOVA_LAST      ((UINT64_C(1) << 48) - 1)
#define POOL_MIN_BYTES (UINT64_C(2) << 20)
#define HUGE_BYTES     (UINT64_C(2) << 20)

/*
 * A successor, or a server at the other end, maps these files too: sealing the
 * size keeps either side from pulling the pages from under the other.
 */
int hf_dma_memfd(const char *name, uint64_t len_bytes, unsigned int flags)
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

void *hf_dma_map_shared(int fd, uint64_t len_bytes, int flags)
{
	void *memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | flags, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int hf_dma_prepare(struct hf_dma *dma, struct hf_device *dev,
		   struct hf_fdset *set)
{
	dma->dev = dev;
	dma->registry = NULL;
	dma->registry_fd = -1;
	dma->allocated_bytes = 0;
	dma->regions_end = 0;
	dma->next_pool_bytes = POOL_MIN_BYTES;
	dma->map.top = NULL;
	dma->keeps = false;
	dma->regions = calloc(HF_REGISTRY_REGIONS_MAX, sizeof(*dma->regions));
	pthread_mutex_init(&dma->lock, NULL);
	dma->initialised = true;
	if (dma->regions == NULL) {
		return -ENOMEM;
	}
	return set != NULL && hf_fdset_take_iova_map(set, &dma->map)
		       ? 0
		       : hf_iova_map_init(&dma->map);
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
	if (hf_dma_prepare(dma, dev, NULL) != 0) {
		return dma_no_memory(dma, err);
	}

	dma->registry_fd =
		hf_dma_memfd("holdfast-registry", sizeof(*dma->registry), 0);
	if (dma->registry_fd < 0) {
		return dma_no_memory(dma, err);
	}
	/* All of its pages are there from now on: a successor reads all, and
	 * each one that it would make then makes the gap longer. */
	dma->registry = hf_dma_map_shared(dma->registry_fd,
					  sizeof(*dma->registry), MAP_POPULATE);
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

bool hf_dma_region_is_pool(const struct hf_dma *dma, uint32_t index)
{
	return dma->registry->regions[index].kind == HF_REGION_POOL;
}

void hf_dma_region_forget(struct hf_dma *dma, uint32_t index)
{
	struct hf_dma_region *region = &dma->regions[index];

	if (region->map.vaddr != NULL && region->map.len_bytes != 0) {
		if (region->keeping == HF_DMA_KEPT) {
			hf_iova_map_remove(&dma->map, region->map.vaddr,
					   region->map.len_bytes);
		}
		if (hf_dma_region_is_pool(dma, index) ||
		    (region->adopted && region->first_view == NULL)) {
			munmap(region->map.vaddr, region->map.len_bytes);
		}
	}
	if (region->first_view != NULL) {
		hf_iova_map_remove(&dma->map, region->first_view,
				   region->map.len_bytes);
		munmap(region->first_view, region->map.len_bytes);
	}
	if (region->map.fd >= 0 && region->map.len_bytes != 0) {
		hf_device_close_fd(dma->dev, region->map.fd);
	}
	free(region->used);
	*region = (struct hf_dma_region){0};
}

/* The device is going, gone even: but one that is left with a mapping of what
 * is no longer ours is worth a word. */
static void unmap_last(struct hf_dma *dma, uint32_t index)
{
	struct hf_error err;

	int rc = dma->dev->ops->dma_unmap(dma->dev, &dma->regions[index].map,
					  &err);
	if (rc != 0 && rc != -ENODEV) {
		hf_log_warning(&dma->dev->options.log,
			       "%s: DMA memory %u is let go of, and was not "
			       "unmapped: %s",
			       dma->dev->id, index, err.message);
	}
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
			unmap_last(dma, i);
		}
		hf_dma_region_forget(dma, i);
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

	if (dma->limits.physical) {
		return hf_error_set(err, -ENOTSUP,
				    "%s: without an IOMMU nothing keeps the "
				    "device from memory",
				    dma->dev->id);
	}
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
	uint64_t align = len_bytes >= HUGE_BYTES ? HUGE_BYTES : HF_DMA_PAGE;
	uint32_t ranges = limits->range_count;

	for (uint32_t pass = 0; pass < 2; pass++) {
		uint64_t floor = pass == 0 ? IOVA_PREFERRED : HF_DMA_PAGE;

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

static int iova_choose(const struct hf_dma *dma, struct hf_dma_mapping *map,
		       struct hf_error *err)
{
	if (dma->limits.physical) {
		return dma->dev->ops->dma_iova(dma->dev, map, err);
	}
	if (iova_find(dma, map->len_bytes, &map->iova) != 0) {
		return hf_error_set(err, -ENOSPC,
				    "%s: no IOVA range is left for %llu bytes",
				    dma->dev->id,
				    (unsigned long long)map->len_bytes);
	}
	return 0;
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

/* Is some of it registered already, or about to be? */
static bool is_known(const struct hf_dma *dma, const struct hf_dma_mapping *map)
{
	for (uint32_t i = 0; i < dma->regions_end; i++) {
		const struct hf_dma_mapping *other = &dma->regions[i].map;

		if (dma->registry->regions[i].state != HF_REGION_FREE &&
		    dma->regions[i].keeping != HF_DMA_STUCK &&
		    other->vaddr != NULL &&
		    hf_ranges_overlap((uintptr_t)other->vaddr, other->len_bytes,
				      (uintptr_t)map->vaddr, map->len_bytes)) {
			return true;
		}
	}
	return false;
}

/* One that waits is not found by the path of a command before it is kept. */
static int make_known(struct hf_dma *dma, const struct hf_dma_mapping *map,
		      bool waits, struct hf_error *err)
{
	int rc = waits && is_known(dma, map) ? -EEXIST : 0;

	if (rc == 0 && !waits) {
		rc = hf_iova_map_add(&dma->map, map->vaddr, map->len_bytes,
				     map->iova);
	}
	if (rc != 0) {
		return hf_error_set(err, rc,
				    rc == -EEXIST
					    ? "%s: a part of the memory at %p "
					      "is registered already"
					    : "%s: no memory to keep track of "
					      "the memory at %p",
				    dma->dev->id, map->vaddr);
	}
	return 0;
}

/*
 * The registry says MAPPING before the device is asked and MAPPED after, so
 * that a successor of a process that was killed in between knows which ranges
 * it must make certain of. Of one whose descriptor nobody else has yet, it
 * goes on to say so.
 */
int hf_dma_region_add(struct hf_dma *dma, enum hf_registry_region_kind kind,
		      struct hf_dma_mapping *map, uint32_t *index,
		      struct hf_error *err)
{
	int rc = region_slot(dma, index, err);
	if (rc != 0) {
		return rc;
	}
	rc = iova_choose(dma, map, err);
	if (rc != 0) {
		return rc;
	}
	bool waits = dma->keeps && map->fd >= 0;
	rc = make_known(dma, map, waits, err);
	if (rc != 0) {
		return rc;
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
		if (!waits) {
			hf_iova_map_remove(&dma->map, map->vaddr,
					   map->len_bytes);
		}
		return rc;
	}
	dma->regions[*index].map = *map;
	hf_device_fd_added(dma->dev);
	dma->regions_end = HF_MAX(dma->regions_end, *index + 1);
	if (waits) {
		dma->regions[*index].keeping = HF_DMA_WAITS;
		return HF_DMA_UNKEPT;
	}
	__atomic_store_n(&entry->state, HF_REGION_MAPPED, __ATOMIC_RELEASE);
	return 0;
}

uint8_t *hf_dma_vaddr(struct hf_dma *dma, uint64_t iova, uint64_t len_bytes)
{
	uint8_t *vaddr = NULL;

	pthread_mutex_lock(&dma->lock);
	for (uint32_t i = 0; vaddr == NULL && i < dma->regions_end; i++) {
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

static bool is_same_part(const struct hf_dma_mapping *one,
			 const struct hf_dma_mapping *other)
{
	struct stat a;
	struct stat b;

	return one->len_bytes == other->len_bytes &&
	       one->fd_offset == other->fd_offset && one->fd >= 0 &&
	       fstat(one->fd, &a) == 0 && fstat(other->fd, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* What a predecessor had registered is not mapped once more for the device: of
 * one after the other that registers its memory, the last would find no room.
 * Return: -ENOENT when it had not. */
static int region_find_again(struct hf_dma *dma, struct hf_dma_mapping *map,
			     struct hf_error *err)
{
	for (uint32_t i = 0; i < dma->regions_end; i++) {
		struct hf_dma_region *region = &dma->regions[i];

		if (dma->registry->regions[i].state != HF_REGION_MAPPED ||
		    hf_dma_region_is_pool(dma, i) || !region->adopted ||
		    region->first_view != NULL ||
		    !is_same_part(&region->map, map)) {
			continue;
		}
		map->iova = region->map.iova;
		int rc = make_known(dma, map, false, err);
		if (rc == 0) {
			region->first_view = region->map.vaddr;
			region->map.vaddr = map->vaddr;
			dma->registry->regions[i].vaddr = (uintptr_t)map->vaddr;
			close(map->fd);
		}
		return rc;
	}
	return -ENOENT;
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
			   HF_DMA_PAGE)) {
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
	int rc = fd >= 0 ? region_find_again(dma, &map, err) : -ENOENT;
	if (rc == -ENOENT) {
		rc = hf_dma_region_add(
			dma, fd >= 0 ? HF_REGION_SHARED : HF_REGION_PRIVATE,
			&map, &index, err);
	}
	pthread_mutex_unlock(&dma->lock);
	if (rc < 0 && map.fd >= 0) {
		close(map.fd);
	}
	return rc;
}

static int region_find(const struct hf_dma *dma, const void *vaddr,
		       uint32_t *index)
{
	for (uint32_t i = 0; i < HF_REGISTRY_REGIONS_MAX; i++) {
		if (dma->registry->regions[i].state == HF_REGION_MAPPED &&
		    !hf_dma_region_is_pool(dma, i) &&
		    dma->regions[i].map.vaddr == vaddr) {
			*index = i;
			return 0;
		}
	}
	return -ENOENT;
}

bool hf_dma_is_registered(struct hf_dma *dma, const void *vaddr)
{
	uint32_t index;

	pthread_mutex_lock(&dma->lock);
	int rc = region_find(dma, vaddr, &index);
	pthread_mutex_unlock(&dma->lock);
	return rc == 0;
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
		hf_dma_region_forget(dma, index);
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

	pthread_mutex_lock(&dma->lock);
	for (uint32_t i = 0; rc == 0 && i < HF_REGISTRY_REGIONS_MAX; i++) {
		if (dma->registry->regions[i].state != HF_REGION_FREE &&
		    dma->regions[i].map.fd >= 0) {
			rc = hf_fdset_add(set, dma->regions[i].map.fd, err,
					  "dma-%u", i);
		}
	}
	pthread_mutex_unlock(&dma->lock);
	return rc;
}
