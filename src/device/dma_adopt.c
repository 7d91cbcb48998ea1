/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking DMA memory over from a process that is gone. Nothing in the registry
 * is believed: it was written by an older version, or a half-dead process. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/sealed.h"
#include "device/device.h"
#include "device/dma_internal.h"
#include "device/fdset.h"
#include "state/registry.h"

static int bad(const struct hf_dma *dma, struct hf_error *err, const char *what,
	       uint32_t index)
{
	return hf_error_set(err, -EINVAL,
			    "%s: the registry of DMA memory contradicts "
			    "itself: %s %u; the state cannot be used, clear "
			    "the device",
			    dma->dev->id, what, index);
}

/* As it would be for its next owner: whoever else has it could kill this
 * process at any time, by a SIGBUS. */
static int may_shrink(const struct hf_dma *dma, struct hf_error *err,
		      const char *what)
{
	return hf_error_set(err, -EINVAL,
			    "%s: %s is in a file that is not sealed against "
			    "shrinking, as holdfast's are: it is another one; "
			    "the state cannot be used, clear the device",
			    dma->dev->id, what);
}

static int map_registry_file(struct hf_dma *dma, struct hf_error *err)
{
	struct stat st;

	if (!hf_keeps_its_size(dma->registry_fd)) {
		return may_shrink(dma, err, "the registry of DMA memory");
	}
	if (fstat(dma->registry_fd, &st) != 0 ||
	    st.st_size != (off_t)sizeof(*dma->registry)) {
		return bad(dma, err, "its size, version", 0);
	}
	/* All of it is read: one call is cheaper than many faults. */
	dma->registry = hf_dma_map_shared(dma->registry_fd,
					  sizeof(*dma->registry), MAP_POPULATE);
	return dma->registry != NULL
		       ? 0
		       : hf_error_set(err, -ENOMEM,
				      "%s: the registry of DMA memory cannot "
				      "be mapped",
				      dma->dev->id);
}

static int map_registry(struct hf_dma *dma, struct hf_fdset *set,
			struct hf_error *err)
{
	dma->registry_fd = hf_fdset_take(set, "dma-registry");
	if (dma->registry_fd < 0) {
		return hf_error_set(err, -ENOENT,
				    "%s: the descriptor of the DMA memory's "
				    "registry was not handed over",
				    dma->dev->id);
	}
	dma->registry = hf_fdset_take_map(set, dma->registry_fd,
					  sizeof(*dma->registry));
	int rc = dma->registry == NULL ? map_registry_file(dma, err) : 0;
	if (rc != 0) {
		return rc;
	}
	if (dma->registry->magic != HF_REGISTRY_MAGIC ||
	    dma->registry->version != HF_REGISTRY_VERSION ||
	    dma->registry->header_bytes != sizeof(*dma->registry) ||
	    dma->registry->regions_max != HF_REGISTRY_REGIONS_MAX ||
	    dma->registry->blocks_max != HF_REGISTRY_BLOCKS_MAX) {
		return bad(dma, err, "version", dma->registry->version);
	}
	return 0;
}

static bool region_is_sane(const struct hf_dma_registry *registry,
			   uint32_t index)
{
	const struct hf_registry_region *region = &registry->regions[index];

	if (region->state > HF_REGION_REVOKED ||
	    region->kind < HF_REGION_POOL || region->kind > HF_REGION_PRIVATE ||
	    region->len_bytes == 0 ||
	    !hf_is_aligned(region->iova | region->len_bytes | region->fd_offset,
			   HF_DMA_PAGE) ||
	    region->iova > UINT64_MAX - region->len_bytes) {
		return false;
	}
	for (uint32_t i = 0; i < index; i++) {
		const struct hf_registry_region *other = &registry->regions[i];

		if (other->state != HF_REGION_FREE &&
		    hf_ranges_overlap(other->iova, other->len_bytes,
				      region->iova, region->len_bytes)) {
			return false;
		}
	}
	return true;
}

static bool file_holds(int fd, uint64_t offset, uint64_t len_bytes)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size >= 0 &&
	       hf_range_within(offset, len_bytes, (uint64_t)st.st_size);
}

/* What was mapped ahead was found to keep its size, and has it. */
static int map_file(struct hf_dma *dma, struct hf_fdset *set, uint32_t index,
		    void **vaddr, struct hf_error *err)
{
	const struct hf_registry_region *entry = &dma->registry->regions[index];
	int fd = dma->regions[index].map.fd;

	*vaddr = entry->fd_offset == 0
			 ? hf_fdset_take_map(set, fd, entry->len_bytes)
			 : NULL;
	if (*vaddr != NULL) {
		return 0;
	}
	/* What the caller registered is the caller's, as it has made it. */
	if (entry->kind == HF_REGION_POOL && !hf_keeps_its_size(fd)) {
		return may_shrink(dma, err, "a pool of DMA memory");
	}
	if (!file_holds(fd, entry->fd_offset, entry->len_bytes)) {
		return hf_error_set(err, -EINVAL,
				    "%s: DMA memory %u is smaller than the "
				    "%llu bytes that the registry says",
				    dma->dev->id, index,
				    (unsigned long long)entry->len_bytes);
	}
	*vaddr = mmap(NULL, entry->len_bytes, PROT_READ | PROT_WRITE,
		      MAP_SHARED, fd, (off_t)entry->fd_offset);
	return *vaddr != MAP_FAILED
		       ? 0
		       : hf_error_set(err, -ENOMEM,
				      "%s: DMA memory %u cannot be mapped",
				      dma->dev->id, index);
}

static int use_region(struct hf_dma *dma, uint32_t index, void *vaddr,
		      struct hf_error *err)
{
	const struct hf_registry_region *entry = &dma->registry->regions[index];
	struct hf_dma_region *region = &dma->regions[index];

	if (hf_iova_map_add(&dma->map, vaddr, entry->len_bytes, entry->iova) !=
	    0) {
		munmap(vaddr, entry->len_bytes);
		return hf_error_set(err, -ENOMEM,
				    "%s: no memory to find DMA memory %u by",
				    dma->dev->id, index);
	}
	region->map.vaddr = vaddr;
	region->adopted = true;
	dma->regions_end = index + 1; /* they come in this order */
	if (entry->kind != HF_REGION_POOL) {
		return 0;
	}
	region->pages = entry->len_bytes / HF_DMA_PAGE;
	region->used = calloc((region->pages + 63) / 64, sizeof(*region->used));
	return region->used != NULL
		       ? 0
		       : hf_error_set(err, -ENOMEM,
				      "%s: no memory to keep track of DMA "
				      "memory %u",
				      dma->dev->id, index);
}

static int map_region(struct hf_dma *dma, struct hf_fdset *set, uint32_t index,
		      struct hf_error *err)
{
	const struct hf_registry_region *entry = &dma->registry->regions[index];
	struct hf_dma_region *region = &dma->regions[index];
	void *vaddr;

	region->map = (struct hf_dma_mapping){
		.iova = entry->iova,
		.len_bytes = entry->len_bytes,
		.fd = hf_fdset_take(set, "dma-%u", index),
		.fd_offset = entry->fd_offset,
	};
	if (entry->kind == HF_REGION_PRIVATE) {
		return 0; /* nobody can reach it any more but the device */
	}
	if (region->map.fd < 0) {
		return hf_error_set(err, -ENOENT,
				    "%s: DMA memory %u (%llu bytes at IOVA "
				    "%#llx) is missing",
				    dma->dev->id, index,
				    (unsigned long long)entry->len_bytes,
				    (unsigned long long)entry->iova);
	}
	int rc = map_file(dma, set, index, &vaddr, err);
	return rc == 0 ? use_region(dma, index, vaddr, err) : rc;
}

static bool place_block(struct hf_dma *dma,
			const struct hf_registry_block *entry)
{
	if (entry->region >= HF_REGISTRY_REGIONS_MAX ||
	    dma->regions[entry->region].used == NULL) {
		return false;
	}
	struct hf_dma_region *region = &dma->regions[entry->region];
	uint64_t first = entry->offset / HF_DMA_PAGE;
	uint64_t count = entry->len_bytes / HF_DMA_PAGE;
	if (count == 0 ||
	    !hf_is_aligned(entry->offset | entry->len_bytes, HF_DMA_PAGE) ||
	    !hf_range_within(first, count, region->pages) ||
	    !hf_dma_pages_are_free(region, first, count)) {
		return false;
	}
	hf_dma_pages_mark(region, first, count, true);
	dma->allocated_bytes += entry->len_bytes;
	return true;
}

static int adopt_all(struct hf_dma *dma, struct hf_fdset *set,
		     struct hf_error *err)
{
	const struct hf_dma_registry *registry = dma->registry;

	for (uint32_t i = 0; i < HF_REGISTRY_REGIONS_MAX; i++) {
		if (registry->regions[i].state == HF_REGION_FREE) {
			continue;
		}
		if (!region_is_sane(registry, i)) {
			return bad(dma, err, "region", i);
		}
		if (registry->regions[i].state == HF_REGION_REVOKED) {
			return hf_error_set(
				err, -ENODEV,
				"%s: its driver gave the controller "
				"up, and took memory away from it: "
				"there is nothing to go on with; "
				"clear the device for a fresh "
				"start",
				dma->dev->id);
		}
		if (registry->regions[i].state != HF_REGION_MAPPED) {
			continue;
		}
		int rc = map_region(dma, set, i, err);
		if (rc != 0) {
			return rc;
		}
	}
	for (uint32_t i = 0; i < HF_REGISTRY_BLOCKS_MAX; i++) {
		if (registry->blocks[i].owner != 0 &&
		    !place_block(dma, &registry->blocks[i])) {
			return bad(dma, err, "block", i);
		}
	}
	return 0;
}

/*
 * The predecessor died while it mapped or unmapped these: whether the device
 * reaches them is not known, so they are unmapped for certain. That fails
 * where nothing was mapped, which is what is wanted.
 */
static void settle_intents(struct hf_dma *dma)
{
	for (uint32_t i = 0; i < HF_REGISTRY_REGIONS_MAX; i++) {
		struct hf_registry_region *entry = &dma->registry->regions[i];
		const struct hf_dma_mapping map = {
			.iova = entry->iova,
			.len_bytes = entry->len_bytes,
			.fd = -1,
		};

		if (entry->state == HF_REGION_MAPPING ||
		    entry->state == HF_REGION_UNMAPPING) {
			(void)!dma->dev->ops->dma_unmap(dma->dev, &map, NULL);
			__atomic_store_n(&entry->state, HF_REGION_FREE,
					 __ATOMIC_RELEASE);
		}
	}
}

int hf_dma_adopt(struct hf_dma *dma, struct hf_device *dev,
		 struct hf_fdset *set, struct hf_error *err)
{
	int rc = hf_dma_prepare(dma, dev, set);

	if (rc != 0) {
		hf_dma_fini(dma, false);
		return hf_error_set(err, rc, "%s: no memory for DMA memory",
				    dev->id);
	}
	rc = map_registry(dma, set, err);
	if (rc == 0) {
		rc = adopt_all(dma, set, err);
	}
	if (rc != 0) {
		hf_dma_fini(dma, false);
		return rc;
	}
	settle_intents(dma);
	return 0;
}
