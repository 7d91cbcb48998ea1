/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/error.h"
#include "device/vfio_internal.h"
#include "device/vfio_uapi.h"

static int map_file(struct hf_vfio *vfio, const struct hf_dma_mapping *map)
{
	struct iommu_ioas_map_file ask = {
		.size = sizeof(ask),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE |
			 IOMMU_IOAS_MAP_READABLE,
		.ioas_id = vfio->ioas_id,
		.fd = map->fd,
		.start = map->fd_offset,
		.length = map->len_bytes,
		.iova = map->iova,
	};

	return hf_vfio_ioctl(vfio->iommufd, IOMMU_IOAS_MAP_FILE, &ask);
}

static int map_iommufd(struct hf_vfio *vfio, const struct hf_dma_mapping *map)
{
	struct iommu_ioas_map ask = {
		.size = sizeof(ask),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE |
			 IOMMU_IOAS_MAP_READABLE,
		.ioas_id = vfio->ioas_id,
		.user_va = (uintptr_t)map->vaddr,
		.length = map->len_bytes,
		.iova = map->iova,
	};

	/*
	 * A file's pages that are mapped without a process's addresses belong
	 * to no process, so a successor inherits them whole. Only memfds can
	 * be mapped that way, and only since Linux 6.13.
	 */
	if (map->fd >= 0 && !vfio->no_map_file) {
		int rc = map_file(vfio, map);
		if (rc == -ENOTTY) {
			vfio->no_map_file = true;
		}
		if (rc >= 0 || rc == -ENOMEM || rc == -EEXIST) {
			return rc;
		}
	}
	return hf_vfio_ioctl(vfio->iommufd, IOMMU_IOAS_MAP, &ask);
}

static int map_type1(struct hf_vfio *vfio, const struct hf_dma_mapping *map)
{
	struct vfio_iommu_type1_dma_map ask = {
		.argsz = sizeof(ask),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)map->vaddr,
		.iova = map->iova,
		.size = map->len_bytes,
	};

	return hf_vfio_ioctl(vfio->container_fd, VFIO_IOMMU_MAP_DMA, &ask);
}

/* Without an IOMMU there is nobody to tell; hf_vfio_noiommu_iova() has looked
 * at the memory, which is of a file. */
static int map_any(struct hf_vfio *vfio, const struct hf_dma_mapping *map)
{
	switch (vfio->mode) {
	case HF_VFIO_CDEV:
		return map_iommufd(vfio, map);
	case HF_VFIO_GROUP:
		return map_type1(vfio, map);
	case HF_VFIO_NOIOMMU:
		return map->fd >= 0 ? 0 : -ENOTSUP;
	case HF_VFIO_AUTO:
		break;
	}
	return -EINVAL;
}

static int explain_no_memory(struct hf_vfio *vfio,
			     const struct hf_dma_mapping *map,
			     struct hf_error *err)
{
	struct rlimit limit = {0};

	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY) {
		return hf_error_set(err, -ENOMEM,
				    "%s: the kernel has no memory to map %llu "
				    "bytes for DMA",
				    vfio->dev.id,
				    (unsigned long long)map->len_bytes);
	}
	return hf_error_set(
		err, -ENOMEM,
		"%s: %llu more bytes of DMA memory pass RLIMIT_MEMLOCK: %llu "
		"bytes are mapped%s and the limit is %llu; raise it (ulimit "
		"-l, LimitMEMLOCK= in the systemd unit, memlock in "
		"/etc/security/limits.conf)",
		vfio->dev.id, (unsigned long long)map->len_bytes,
		(unsigned long long)vfio->locked_bytes,
		vfio->mode == HF_VFIO_CDEV
			? " (iommufd counts all processes of the user)"
			: "",
		(unsigned long long)limit.rlim_cur);
}

static int explain_map(struct hf_vfio *vfio, int rc,
		       const struct hf_dma_mapping *map, struct hf_error *err)
{
	if (rc == -ENOMEM) {
		return explain_no_memory(vfio, map, err);
	}
	if (rc == -ENOSPC) {
		return hf_error_set(
			err, rc,
			"%s: the container's limit of DMA mappings is reached "
			"(%u here): register fewer and larger ranges, or raise "
			"dma_entry_limit of the module vfio_iommu_type1",
			vfio->dev.id, vfio->mapping_count);
	}
	return hf_error_set(err, rc,
			    "%s: mapping %llu bytes at %p for DMA at IOVA "
			    "%#llx failed: %s",
			    vfio->dev.id, (unsigned long long)map->len_bytes,
			    map->vaddr, (unsigned long long)map->iova,
			    strerrordesc_np(-rc));
}

int hf_vfio_dma_map(struct hf_device *dev, const struct hf_dma_mapping *map,
		    struct hf_error *err)
{
	struct hf_vfio *vfio = hf_vfio_of(dev);

	int rc = map_any(vfio, map);
	if (rc < 0) {
		return explain_map(vfio, rc, map, err);
	}
	__atomic_add_fetch(&vfio->locked_bytes, map->len_bytes,
			   __ATOMIC_RELAXED);
	__atomic_add_fetch(&vfio->mapping_count, 1, __ATOMIC_RELAXED);
	return 0;
}

static int unmap_iommufd(struct hf_vfio *vfio, const struct hf_dma_mapping *map)
{
	struct iommu_ioas_unmap ask = {
		.size = sizeof(ask),
		.ioas_id = vfio->ioas_id,
		.iova = map->iova,
		.length = map->len_bytes,
	};

	int rc = hf_vfio_ioctl(vfio->iommufd, IOMMU_IOAS_UNMAP, &ask);
	/* Nothing was mapped there: what a predecessor's unfinished attempt
	 * may have left, and what type1 says nothing about either. */
	return rc == -ENOENT ? 1 : rc;
}

static int unmap_type1(struct hf_vfio *vfio, const struct hf_dma_mapping *map)
{
	struct vfio_iommu_type1_dma_unmap ask = {
		.argsz = sizeof(ask),
		.iova = map->iova,
		.size = map->len_bytes,
	};

	int rc = hf_vfio_ioctl(vfio->container_fd, VFIO_IOMMU_UNMAP_DMA, &ask);
	return rc >= 0 && ask.size == 0 ? 1 : rc;
}

static int unmap_any(struct hf_vfio *vfio, const struct hf_dma_mapping *map)
{
	switch (vfio->mode) {
	case HF_VFIO_CDEV:
		return unmap_iommufd(vfio, map);
	case HF_VFIO_GROUP:
		return unmap_type1(vfio, map);
	case HF_VFIO_NOIOMMU:
		return 0;
	case HF_VFIO_AUTO:
		break;
	}
	return -EINVAL;
}

int hf_vfio_dma_unmap(struct hf_device *dev, const struct hf_dma_mapping *map,
		      struct hf_error *err)
{
	struct hf_vfio *vfio = hf_vfio_of(dev);

	int rc = unmap_any(vfio, map);
	if (rc < 0) {
		return hf_error_set(err, rc,
				    "%s: unmapping %llu bytes at IOVA %#llx "
				    "failed: %s",
				    dev->id, (unsigned long long)map->len_bytes,
				    (unsigned long long)map->iova,
				    strerrordesc_np(-rc));
	}
	if (rc == 0 && vfio->mapping_count > 0) {
		__atomic_sub_fetch(&vfio->locked_bytes, map->len_bytes,
				   __ATOMIC_RELAXED);
		__atomic_sub_fetch(&vfio->mapping_count, 1, __ATOMIC_RELAXED);
	}
	return 0;
}
