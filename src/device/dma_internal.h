/* SPDX-License-Identifier: BSD-3-Clause */
/* What making DMA memory and taking it over have in common. */
#pragma once

#include "device/dma.h"

#define HF_DMA_PAGE UINT64_C(4096)

/* Lock and tables, empty. -ENOMEM; hf_dma_fini() undoes it in any case. */
HF_MUST_CHECK int hf_dma_prepare(struct hf_dma *dma, struct hf_device *dev);

/* A shared mapping of all of @fd, or NULL. */
void *hf_dma_map_shared(int fd, uint64_t len_bytes);

/* Marks pages of a pool as used or free. */
void hf_dma_pages_mark(struct hf_dma_region *region, uint64_t first,
		       uint64_t count, bool used);
