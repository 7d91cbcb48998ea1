/* SPDX-License-Identifier: BSD-3-Clause */
/* What making DMA memory and taking it over have in common. */
#pragma once

#include "device/dma.h"
#include "state/registry.h"

#define HF_DMA_PAGE UINT64_C(4096)

/* Lock and tables, empty. @set: may have some that were made ahead, or NULL.
 * -ENOMEM; hf_dma_fini() undoes it in any case. */
HF_MUST_CHECK int hf_dma_prepare(struct hf_dma *dma, struct hf_device *dev,
				 struct hf_fdset *set);

/* A shared mapping of all of @fd, or NULL. */
/* @flags: more of mmap's. */
void *hf_dma_map_shared(int fd, uint64_t len_bytes, int flags);

/* A memfd of that size, sealed; or -errno. */
int hf_dma_memfd(const char *name, uint64_t len_bytes, unsigned int flags);

bool hf_dma_region_is_pool(const struct hf_dma *dma, uint32_t index);

/* Finds an IOVA for @map and lets the device reach it. Lock held. Or
 * HF_DMA_UNKEPT: it is there, and is to be kept before it is used. */
HF_MUST_CHECK int hf_dma_region_add(struct hf_dma *dma,
				    enum hf_registry_region_kind kind,
				    struct hf_dma_mapping *map, uint32_t *index,
				    struct hf_error *err);

/* Closes and frees what this process has of a region. Lock held. */
void hf_dma_region_forget(struct hf_dma *dma, uint32_t index);

/* Marks pages of a pool as used or free. */
void hf_dma_pages_mark(struct hf_dma_region *region, uint64_t first,
		       uint64_t count, bool used);
/* None of them is used. */
bool hf_dma_pages_are_free(const struct hf_dma_region *region, uint64_t first,
			   uint64_t count);
