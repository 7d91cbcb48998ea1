/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "device/vfio_internal.h"
#include "device/vfio_uapi.h"

#define IOMMU_NODE "/dev/iommu"

static int ioas_make(struct hf_vfio *vfio, struct hf_error *err)
{
	struct iommu_ioas_alloc alloc = {.size = sizeof(alloc)};

	int rc = hf_vfio_ioctl(vfio->iommufd, IOMMU_IOAS_ALLOC, &alloc);
	if (rc < 0) {
		return hf_error_set(err, rc,
				    "%s: iommufd makes no address space "
				    "(IOMMU_IOAS_ALLOC: %s)",
				    vfio->dev.id, strerrordesc_np(-rc));
	}
	vfio->ioas_id = alloc.out_ioas_id;
	vfio->ioas_ours = true;
	return 0;
}

/*
 * A device that was handed in may be bound already, and then refuses to be
 * bound again with EINVAL. Whether it is bound to this iommufd shows when it
 * is attached.
 */
static int cdev_bind(struct hf_vfio *vfio, bool may_be_bound,
		     struct hf_error *err)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = vfio->iommufd,
	};

	int rc = hf_vfio_ioctl_retry(vfio->device_fd, VFIO_DEVICE_BIND_IOMMUFD,
				     &bind);
	if (rc >= 0 || (rc == -EINVAL && may_be_bound)) {
		return 0;
	}
	if (rc == -ENOTTY) {
		return hf_error_set(err, rc,
				    "%s: this kernel cannot bind a device file "
				    "to an iommufd (Linux 6.6 and later can)",
				    vfio->dev.id);
	}
	return hf_error_set(err, rc, "%s: VFIO_DEVICE_BIND_IOMMUFD on %s: %s%s",
			    vfio->dev.id, vfio->node, strerrordesc_np(-rc),
			    rc == -EBUSY || rc == -EINVAL
				    ? "; is the device, or another one of its "
				      "IOMMU group, in use?"
				    : "");
}

int hf_vfio_cdev_attach(struct hf_vfio *vfio, struct hf_error *err)
{
	int rc = cdev_bind(vfio, true, err);
	if (rc == 0 && vfio->ioas_id == 0) {
		rc = ioas_make(vfio, err);
	}
	if (rc != 0) {
		return rc;
	}

	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
		.pt_id = vfio->ioas_id,
	};
	rc = hf_vfio_ioctl_retry(vfio->device_fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT,
				 &attach);
	if (rc < 0) {
		return hf_error_set(err, rc,
				    "%s: the device cannot be attached to "
				    "address space %u of the iommufd: %s",
				    vfio->dev.id, vfio->ioas_id,
				    strerrordesc_np(-rc));
	}
	return 0;
}

int hf_vfio_cdev_open(struct hf_vfio *vfio, struct hf_error *err)
{
	char name[32];

	int rc = hf_vfio_cdev_name(vfio->bdf, name, sizeof(name));
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "%s: the kernel has no device file of its "
				    "own for it (CONFIG_VFIO_DEVICE_CDEV, "
				    "Linux 6.6 and later)",
				    vfio->dev.id);
	}
	snprintf(vfio->node, sizeof(vfio->node), "/dev/vfio/devices/%s", name);
	rc = hf_vfio_open_node(IOMMU_NODE, vfio->dev.id, &vfio->iommufd, err);
	if (rc == 0) {
		rc = hf_vfio_open_node(vfio->node, vfio->dev.id,
				       &vfio->device_fd, err);
	}
	if (rc == 0) {
		rc = cdev_bind(vfio, false, err);
	}
	if (rc == 0) {
		rc = hf_vfio_cdev_attach(vfio, err);
	}
	return rc;
}

static int ranges_ask(struct hf_vfio *vfio, struct iommu_iova_range *ranges,
		      uint32_t room, uint32_t *count)
{
	struct iommu_ioas_iova_ranges ask = {
		.size = sizeof(ask),
		.ioas_id = vfio->ioas_id,
		.num_iovas = room,
		.allowed_iovas = (uintptr_t)ranges,
	};

	int rc = hf_vfio_ioctl(vfio->iommufd, IOMMU_IOAS_IOVA_RANGES, &ask);
	/* More than fit: those that did are enough to live in. */
	if (rc == -EMSGSIZE) {
		rc = 0;
	}
	*count = HF_MIN(ask.num_iovas, room);
	return rc;
}

int hf_vfio_cdev_limits(struct hf_vfio *vfio, struct hf_error *err)
{
	struct hf_dma_limits *limits = &vfio->dev.dma.limits;
	struct iommu_iova_range ranges[HF_ARRAY_LEN(limits->ranges)] = {0};
	uint32_t count = 0;

	int rc = ranges_ask(vfio, ranges, HF_ARRAY_LEN(ranges), &count);
	if (rc < 0) {
		return hf_error_set(err, rc,
				    "%s: iommufd does not tell the IOVA ranges "
				    "of address space %u "
				    "(IOMMU_IOAS_IOVA_RANGES: %s)",
				    vfio->dev.id, vfio->ioas_id,
				    strerrordesc_np(-rc));
	}
	for (uint32_t i = 0; i < count; i++) {
		if (ranges[i].last <= ranges[i].start) {
			continue;
		}
		limits->ranges[limits->range_count].first = ranges[i].start;
		limits->ranges[limits->range_count].last = ranges[i].last;
		limits->range_count++;
	}
	if (limits->range_count == 0) {
		return hf_error_set(err, -ENOSPC,
				    "%s: the IOMMU leaves no IOVA range for "
				    "the device",
				    vfio->dev.id);
	}
	/* iommufd knows no limit but memory. */
	limits->max_mappings = 0;
	return 0;
}
