/* SPDX-License-Identifier: BSD-3-Clause */
/* DMA memory: regions in memfds, blocks in regions, and where the device sees
 * a byte of this process. Knows no queue and no command. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "device/iova_map.h"
#include "holdfast/error.h"

struct hf_device;
struct hf_fdset;
struct hf_dma_registry; /* src/state/registry.h: what a successor reads */

/* A range as the device and this process see it. */
struct hf_dma_mapping {
	uint64_t iova;
	void *vaddr;
	uint64_t len_bytes;
	int fd; /* -1: private memory */
	uint64_t fd_offset;
};

/* What the backing can do; filled in before hf_device_init(). */
struct hf_dma_limits {
	uint32_t max_mappings; /* 0: no limit that is known */
	uint32_t range_count; /* IOVA ranges that may be used; 0: all of 48 bits
			       */
	struct {
		uint64_t first;
		uint64_t last;
	} ranges[32];
	bool private_memory; /* can map memory that is in no shared file */
	bool physical; /* an IOVA is where memory is: ops->dma_iova tells, and
			  pools are of one huge page each */
};

/* A piece of DMA memory that somebody owns. */
struct hf_dma_block {
	uint8_t *vaddr;
	uint64_t iova;
	uint64_t len_bytes;
	uint32_t index; /* in the registry */
};

/* Who owns a block: kept in the registry, found again by a successor. */
enum hf_dma_owner {
	HF_DMA_OWNER_ADMIN_QUEUE = 1,
	HF_DMA_OWNER_IO_QUEUE = 2, /* owner_id: queue identifier */
	HF_DMA_OWNER_CALLER = 3,   /* hf_dma_alloc() */
	HF_DMA_OWNER_SHADOW = 4,   /* shadow doorbells */
};

/*
 * Whether whoever keeps the descriptors for a successor has the region's. One
 * that it does not have is used for nothing, and MAPPING in the registry: a
 * successor that cannot have it undoes the mapping.
 */
enum hf_dma_keeping {
	HF_DMA_KEPT = 0, /* or nobody keeps, or it has none */
	HF_DMA_WAITS,
	HF_DMA_OFFERED, /* it is being told of it */
	HF_DMA_STUCK,   /* not to be used, and could not be unmapped */
};

/* One mapping of the device's, under its index in the registry. */
struct hf_dma_region {
	enum hf_dma_keeping keeping;
	struct hf_dma_mapping map; /* vaddr NULL: nobody here can reach it */
	uint64_t *used;            /* of a pool: a bit for each 4 KiB page */
	uint64_t pages;
	bool adopted; /* mapped by hf_dma_adopt(), not by the caller */
	/* Where hf_dma_adopt() mapped it, once the caller has registered a
	 * mapping of its own; what was attached to before lies there. */
	void *first_view;
};

struct hf_dma {
	struct hf_device *dev;
	pthread_mutex_t lock;
	struct hf_dma_limits limits;
	struct hf_dma_registry *registry; /* shared mapping */
	int registry_fd;
	struct hf_dma_region
		*regions;     /* as many as the registry has room for */
	uint32_t regions_end; /* those that were ever in use are below it */
	uint64_t allocated_bytes;
	uint64_t next_pool_bytes; /* pools grow, so that they stay few */
	struct hf_iova_map map;
	bool keeps; /* new regions wait until their descriptors are kept */
	bool initialised;
};

/* Of what makes memory: it is there, and waits for hf_dma_settle(). */
#define HF_DMA_UNKEPT 1

HF_MUST_CHECK int hf_dma_init(struct hf_dma *dma, struct hf_device *dev,
			      struct hf_error *err);
/* Unmaps everything from the device if @unmap, and frees this process's view;
 * with @unmap unset, memfds that the fdset carries live on. */
void hf_dma_fini(struct hf_dma *dma, bool unmap);

/* Takes all memory away from the device, for one that cannot be stopped in any
 * other way; it stays mapped here. */
HF_MUST_CHECK int hf_dma_revoke(struct hf_dma *dma, struct hf_error *err);

/**
 * hf_dma_block_alloc() - zeroed DMA memory, contiguous for the device
 * @dma: the device's DMA memory
 * @len_bytes: rounded up to 4 KiB
 * @owner: who will own it
 * @owner_id: which one of these
 * @block: receives the block
 * @err: says what ran out: memory, mappings, locked memory, the limit
 *
 * Return: 0, -ENOMEM, -ENOSPC; HF_DMA_UNKEPT: none yet, but there will be once
 * the new region that was mapped for it is kept.
 */
HF_MUST_CHECK int hf_dma_block_alloc(struct hf_dma *dma, uint64_t len_bytes,
				     enum hf_dma_owner owner, uint32_t owner_id,
				     struct hf_dma_block *block,
				     struct hf_error *err);
/* The device must not touch it any more. An empty block is allowed. */
void hf_dma_block_free(struct hf_dma *dma, struct hf_dma_block *block);
/* The block that begins at @vaddr; -ENOENT. */
HF_MUST_CHECK int hf_dma_block_find(struct hf_dma *dma, const void *vaddr,
				    struct hf_dma_block *block);

/* Memory of the caller's: see hf_dma_register() in holdfast/driver.h. Or
 * HF_DMA_UNKEPT: it is registered once it is kept. */
HF_MUST_CHECK int hf_dma_register_range(struct hf_dma *dma, void *vaddr,
					uint64_t len_bytes, int fd,
					uint64_t fd_offset,
					struct hf_error *err);
HF_MUST_CHECK int hf_dma_unregister_range(struct hf_dma *dma, void *vaddr,
					  struct hf_error *err);

/* Does registered memory begin at @vaddr? */
bool hf_dma_is_registered(struct hf_dma *dma, const void *vaddr);

/* From now on, does a new region wait until its descriptor is kept? */
void hf_dma_keep(struct hf_dma *dma, bool on);
/* What is carried from here on has the descriptors of all that waits. False:
 * nothing does. */
bool hf_dma_offer(struct hf_dma *dma);
/* What was offered is kept, and used from now on; or it is not, and let go
 * of. One thread at a time from hf_dma_offer() to here. */
void hf_dma_settle(struct hf_dma *dma, bool kept);

/* Adds the registry and each region's descriptor to what is carried. */
HF_MUST_CHECK int hf_dma_carry(struct hf_dma *dma, struct hf_fdset *set,
			       struct hf_error *err);
/*
 * Takes over what a predecessor left, out of @set (its descriptors then belong
 * to @dma): checks the registry, maps each memfd here; the device's mappings
 * are still in force. Called by a backing instead of hf_dma_init(). Nothing is
 * changed when it fails.
 */
HF_MUST_CHECK int hf_dma_adopt(struct hf_dma *dma, struct hf_device *dev,
			       struct hf_fdset *set, struct hf_error *err);
/* This process's view of what the device sees at [iova, iova + len), or NULL
 * when that is not in one region that is mapped here. */
uint8_t *hf_dma_vaddr(struct hf_dma *dma, uint64_t iova, uint64_t len_bytes);
/* The callers' blocks, hf_dma_alloc()'s, one after the other: the first at or
 * behind *@cursor, which moves on; -ENOENT at the end. */
HF_MUST_CHECK int hf_dma_block_next(struct hf_dma *dma, uint32_t *cursor,
				    struct hf_dma_block *block);
/* The block of an owner that a predecessor left; -ENOENT. */
HF_MUST_CHECK int hf_dma_block_claim(struct hf_dma *dma,
				     enum hf_dma_owner owner, uint32_t owner_id,
				     struct hf_dma_block *block);
/* Frees the block of an owner that a predecessor left and nobody has a claim
 * to, if there is one: two of one name, and the next successor could not tell
 * which of them the controller writes to. */
void hf_dma_block_forget(struct hf_dma *dma, enum hf_dma_owner owner,
			 uint32_t owner_id);
