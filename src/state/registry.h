/* SPDX-License-Identifier: BSD-3-Clause */
/* What DMA memory exists, for a successor to read: a layout in a memfd. Knows
 * neither device nor queue. */
#pragma once

#include <assert.h>
#include <stdint.h>

#define HF_REGISTRY_MAGIC UINT64_C(0x31474552414d4448) /* "HDMAREG1" */

enum {
	HF_REGISTRY_VERSION = 1,
	HF_REGISTRY_REGIONS_MAX = 1024,
	HF_REGISTRY_BLOCKS_MAX = 8192,
};

enum hf_registry_region_state {
	HF_REGION_FREE = 0,
	HF_REGION_MAPPING = 1, /* asked of the device, not confirmed */
	HF_REGION_MAPPED = 2,
	HF_REGION_UNMAPPING = 3,
	HF_REGION_REVOKED = 4, /* taken from a device that did not stop */
};

enum hf_registry_region_kind {
	HF_REGION_POOL = 1,    /* holdfast's: blocks lie in it; a memfd */
	HF_REGION_SHARED = 2,  /* registered by the caller, a shared file */
	HF_REGION_PRIVATE = 3, /* registered by the caller, private memory */
};

/* The region's descriptor is carried as "dma-<index>". */
struct hf_registry_region {
	uint32_t state;
	uint32_t kind;
	uint64_t iova;
	uint64_t len_bytes;
	uint64_t fd_offset;
	uint64_t vaddr; /* in the owner's address space: only to recognise */
};
static_assert(sizeof(struct hf_registry_region) == 40, "layout is kept");

struct hf_registry_block {
	uint32_t owner; /* enum hf_dma_owner; 0: free */
	uint32_t owner_id;
	uint32_t region;
	uint32_t reserved;
	uint64_t offset; /* in the region */
	uint64_t len_bytes;
};
static_assert(sizeof(struct hf_registry_block) == 32, "layout is kept");

struct hf_dma_registry {
	uint64_t magic;
	uint32_t version;
	uint32_t
		header_bytes; /* sizeof(struct hf_dma_registry) of the writer */
	uint32_t regions_max;
	uint32_t blocks_max;
	struct hf_registry_region regions[HF_REGISTRY_REGIONS_MAX];
	struct hf_registry_block blocks[HF_REGISTRY_BLOCKS_MAX];
};
