/* SPDX-License-Identifier: BSD-3-Clause */
/* New DMA memory waits until whoever keeps the descriptors for a successor has
 * them. Knows not who that is. */
#include "device/device.h"
#include "device/dma_internal.h"
#include "state/registry.h"

void hf_dma_keep(struct hf_dma *dma, bool on)
{
	pthread_mutex_lock(&dma->lock);
	dma->keeps = on;
	pthread_mutex_unlock(&dma->lock);
}

bool hf_dma_offer(struct hf_dma *dma)
{
	bool found = false;

	pthread_mutex_lock(&dma->lock);
	for (uint32_t i = 0; i < dma->regions_end; i++) {
		if (dma->regions[i].keeping == HF_DMA_WAITS) {
			dma->regions[i].keeping = HF_DMA_OFFERED;
			found = true;
		}
	}
	pthread_mutex_unlock(&dma->lock);
	return found;
}

/* MAPPED is said last: from then on a successor counts on the descriptor. */
static bool take_into_use(struct hf_dma *dma, uint32_t index)
{
	struct hf_dma_region *region = &dma->regions[index];

	if (hf_iova_map_add(&dma->map, region->map.vaddr, region->map.len_bytes,
			    region->map.iova) != 0) {
		return false;
	}
	region->keeping = HF_DMA_KEPT;
	__atomic_store_n(&dma->registry->regions[index].state, HF_REGION_MAPPED,
			 __ATOMIC_RELEASE);
	return true;
}

/* It is of no use to anybody; only where the device cannot be made to forget
 * it, it stays, as memory that a successor unmaps. */
static void let_go(struct hf_dma *dma, uint32_t index)
{
	struct hf_dma_region *region = &dma->regions[index];
	struct hf_error err;

	if (dma->dev->ops->dma_unmap(dma->dev, &region->map, &err) != 0) {
		hf_log_warning(&dma->dev->options.log,
			       "%s: DMA memory %u was not kept, and was not "
			       "unmapped: %s",
			       dma->dev->id, index, err.message);
		region->keeping = HF_DMA_STUCK;
		return;
	}
	hf_dma_region_forget(dma, index);
	__atomic_store_n(&dma->registry->regions[index].state, HF_REGION_FREE,
			 __ATOMIC_RELEASE);
}

void hf_dma_settle(struct hf_dma *dma, bool kept)
{
	pthread_mutex_lock(&dma->lock);
	for (uint32_t i = 0; i < dma->regions_end; i++) {
		if (dma->regions[i].keeping == HF_DMA_OFFERED &&
		    !(kept && take_into_use(dma, i))) {
			let_go(dma, i);
		}
	}
	pthread_mutex_unlock(&dma->lock);
}
