/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/vfio_user_dma.h"

#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"
#include "state/registry.h"

/* A server that says EINVAL to its limit also says it to other things; with
 * fewer mappings than any server allows, it is taken for one of those. */
#define LIMIT_LEARNT_FROM 16u

/* Changed under the lock of the DMA part, looked at without it. */
static void set_maps(struct hf_vfio_user *vu, uint32_t maps)
{
	__atomic_store_n(&vu->dma_maps, maps, __ATOMIC_RELAXED);
}

/* The server has no room for one more, or says so in other words. */
static int at_limit(struct hf_vfio_user *vu, int code,
		    const struct hf_dma_mapping *map, struct hf_error *err)
{
	struct hf_dma_limits *limits = &vu->dev.dma.limits;

	vu->dma_refused_at = vu->dma_maps;
	if (code == -ENOSPC || vu->dma_maps >= LIMIT_LEARNT_FROM) {
		limits->max_mappings = vu->dma_maps;
		hf_log_warning(&vu->dev.options.log,
			       "%s: the server takes %u DMA mappings and no "
			       "more",
			       vu->dev.id, vu->dma_maps);
	}
	return hf_error_set(err, -ENOSPC,
			    "%s: the server refused DMA mapping number %u, of "
			    "%llu bytes, which is its limit (%s); register "
			    "fewer and larger ranges",
			    vu->dev.id, vu->dma_maps + 1,
			    (unsigned long long)map->len_bytes,
			    strerror(-code));
}

/* The smallest page that the server takes, or 0. */
static uint64_t smallest_page(const struct hf_vfio_user *vu)
{
	return vu->facts.page_sizes & (~vu->facts.page_sizes + 1);
}

int hf_vfu_dma_map(struct hf_vfio_user *vu, const struct hf_dma_mapping *map,
		   struct hf_error *err)
{
	const struct vfu_dma_map ask = {
		.argsz = sizeof(ask),
		.flags = VFU_DMA_READABLE | VFU_DMA_WRITABLE,
		.offset = map->fd_offset,
		.iova = map->iova,
		.size = map->len_bytes,
	};
	struct hf_vfu_call call = {
		.command = VFU_DMA_MAP,
		.request = &ask,
		.request_bytes = sizeof(ask),
		.fds = &map->fd,
		.fd_count = 1,
		/* Some servers give the request back. */
		.reply = &(struct vfu_dma_map){0},
		.reply_max_bytes = sizeof(ask),
	};

	if (map->fd < 0) {
		return hf_error_set(err, -ENOTSUP,
				    "%s: the controller is in another process "
				    "and can reach only memory in a shared "
				    "file",
				    vu->dev.id);
	}
	if (!hf_is_aligned(map->iova | map->len_bytes | map->fd_offset,
			   smallest_page(vu))) {
		return hf_error_set(err, -EINVAL,
				    "%s: the server maps pages of %llu bytes, "
				    "and the memory is not of whole ones",
				    vu->dev.id,
				    (unsigned long long)smallest_page(vu));
	}
	/* First: the server may want the memory before we hear of it. */
	if (hf_vfu_memory_add(&vu->conn, map->iova, map->vaddr,
			      map->len_bytes) != 0) {
		return hf_error_set(err, -ENOSPC,
				    "%s: all %d DMA mappings are in use; "
				    "register fewer and larger ranges",
				    vu->dev.id, HF_VFU_MEMORY_MAX);
	}

	int rc = hf_vfu_call(&vu->conn, &call, err);
	if (rc == 0) {
		set_maps(vu, vu->dma_maps + 1);
		return 0;
	}
	hf_vfu_memory_remove(&vu->conn, map->iova);
	if ((rc == -EINVAL || rc == -ENOSPC) && vu->dma_maps > 0) {
		return at_limit(vu, rc, map, err);
	}
	return rc;
}

int hf_vfu_dma_unmap(struct hf_vfio_user *vu, const struct hf_dma_mapping *map,
		     struct hf_error *err)
{
	const struct vfu_dma_unmap ask = {
		.argsz = sizeof(ask),
		.iova = map->iova,
		.size = map->len_bytes,
	};
	struct vfu_dma_unmap echo;
	struct hf_vfu_call call = {
		.command = VFU_DMA_UNMAP,
		.request = &ask,
		.request_bytes = sizeof(ask),
		.reply = &echo,
		.reply_max_bytes = sizeof(echo),
	};

	int rc = hf_vfu_call(&vu->conn, &call, err);
	if (rc == 0) {
		set_maps(vu, vu->dma_maps - (vu->dma_maps > 0 ? 1 : 0));
		hf_vfu_memory_remove(&vu->conn, map->iova);
	} else if ((rc == -ENOENT || rc == -EINVAL) && vu->adopting) {
		/* The predecessor died before the server heard of it. */
		rc = 0;
	}
	return rc;
}

int hf_vfu_dma_adopted(struct hf_vfio_user *vu, struct hf_error *err)
{
	const struct hf_dma *dma = &vu->dev.dma;

	/* Those that were mapped anew on the way are met again here. */
	vu->adopting = false;
	vu->dma_maps = 0;
	hf_vfu_memory_clear(&vu->conn);
	for (uint32_t i = 0; i < HF_REGISTRY_REGIONS_MAX; i++) {
		const struct hf_dma_mapping *map = &dma->regions[i].map;

		if (dma->registry->regions[i].state != HF_REGION_MAPPED ||
		    map->vaddr == NULL) {
			continue;
		}
		if (hf_vfu_memory_add(&vu->conn, map->iova, map->vaddr,
				      map->len_bytes) != 0) {
			return hf_error_set(err, -ENOSPC,
					    "%s: more than %d DMA mappings "
					    "were handed over",
					    vu->dev.id, HF_VFU_MEMORY_MAX);
		}
		vu->dma_maps++;
	}
	return 0;
}
