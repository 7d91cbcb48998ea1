/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "device/pci.h"
#include "device/vfio_internal.h"
#include "device/vfio_uapi.h"

#define CONTAINER_NODE "/dev/vfio/vfio"
/* What the kernel's module parameter dma_entry_limit is unless changed. */
#define TYPE1_ENTRIES_DEFAULT 65535u
#define TYPE1_INFO_MAX_BYTES  (64u * 1024)

static unsigned long iommu_type(const struct hf_vfio *vfio)
{
	return vfio->mode == HF_VFIO_NOIOMMU ? VFIO_NOIOMMU_IOMMU
					     : VFIO_TYPE1v2_IOMMU;
}

static int container_check(struct hf_vfio *vfio, struct hf_error *err)
{
	int version =
		hf_vfio_ioctl(vfio->container_fd, VFIO_GET_API_VERSION, NULL);

	if (version != VFIO_API_VERSION) {
		return hf_error_set(err, -EOPNOTSUPP,
				    "%s: %s speaks version %d of VFIO, not %d",
				    vfio->dev.id, CONTAINER_NODE, version,
				    VFIO_API_VERSION);
	}
	if (hf_vfio_ioctl_number(vfio->container_fd, VFIO_CHECK_EXTENSION,
				 iommu_type(vfio)) <= 0) {
		return hf_error_set(
			err, -EOPNOTSUPP,
			vfio->mode == HF_VFIO_NOIOMMU
				? "%s: no-IOMMU mode is off: as root, echo 1 > "
				  "/sys/module/vfio/parameters/"
				  "enable_unsafe_noiommu_mode, then bind the "
				  "device again"
				: "%s: the kernel offers no type1 IOMMU: "
				  "modprobe vfio_iommu_type1, and see that the "
				  "IOMMU is on (holdfast doctor)",
			vfio->dev.id);
	}
	return 0;
}

static int group_check_viable(struct hf_vfio *vfio, uint32_t group,
			      struct hf_error *err)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};

	int rc = hf_vfio_ioctl(vfio->group_fd, VFIO_GROUP_GET_STATUS, &status);
	if (rc < 0) {
		return hf_error_set(err, rc,
				    "%s: the kernel tells nothing about IOMMU "
				    "group %u: %s",
				    vfio->dev.id, group, strerrordesc_np(-rc));
	}
	if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) {
		return hf_vfio_group_not_viable(vfio->bdf, group, err);
	}
	return 0;
}

static int group_join(struct hf_vfio *vfio, struct hf_error *err)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	bool joined = hf_vfio_ioctl(vfio->group_fd, VFIO_GROUP_GET_STATUS,
				    &status) >= 0 &&
		      (status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET) != 0;

	if (joined) {
		return 0;
	}

	int rc = hf_vfio_ioctl_retry(vfio->group_fd, VFIO_GROUP_SET_CONTAINER,
				     &vfio->container_fd);
	if (rc < 0) {
		return hf_error_set(err, rc,
				    "%s: its IOMMU group cannot join a "
				    "container: %s",
				    vfio->dev.id, strerrordesc_np(-rc));
	}
	rc = hf_vfio_ioctl_number(vfio->container_fd, VFIO_SET_IOMMU,
				  iommu_type(vfio));
	if (rc < 0) {
		return hf_error_set(
			err, rc, "%s: the container takes no %s IOMMU: %s%s",
			vfio->dev.id,
			vfio->mode == HF_VFIO_NOIOMMU ? "no-IOMMU" : "type1v2",
			strerrordesc_np(-rc),
			rc == -EPERM ? "; without interrupt remapping the "
				       "kernel refuses unless "
				       "vfio_iommu_type1.allow_unsafe_"
				       "interrupts=1"
				     : "");
	}
	return 0;
}

int hf_vfio_group_attach(struct hf_vfio *vfio, struct hf_error *err)
{
	int rc = 0;

	if (vfio->container_fd < 0) {
		rc = hf_vfio_open_node(CONTAINER_NODE, vfio->dev.id,
				       &vfio->container_fd, err);
	}
	if (rc == 0) {
		rc = container_check(vfio, err);
	}
	if (rc == 0) {
		rc = group_join(vfio, err);
	}
	if (rc != 0) {
		return rc;
	}

	rc = hf_vfio_ioctl_retry(vfio->group_fd, VFIO_GROUP_GET_DEVICE_FD,
				 vfio->bdf);
	if (rc < 0) {
		return hf_error_set(err, rc,
				    "%s: IOMMU group gives no descriptor for "
				    "the device: %s%s",
				    vfio->dev.id, strerrordesc_np(-rc),
				    rc == -ENODEV
					    ? "; is it bound to vfio-pci, and "
					      "in this group?"
					    : "");
	}
	vfio->device_fd = rc;
	/* The kernel opens it without this flag. */
	(void)fcntl(vfio->device_fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

int hf_vfio_group_open(struct hf_vfio *vfio, struct hf_error *err)
{
	bool noiommu = vfio->mode == HF_VFIO_NOIOMMU;
	uint32_t group;

	int rc = hf_pci_group(NULL, vfio->bdf, &group);
	if (rc != 0) {
		return hf_error_set(
			err, -EOPNOTSUPP,
			noiommu ? "%s: it has no group; no-IOMMU mode has to "
				  "be on before it is bound to vfio-pci: as "
				  "root, echo 1 > /sys/module/vfio/parameters/"
				  "enable_unsafe_noiommu_mode"
				: "%s: it is in no IOMMU group, so the IOMMU "
				  "is "
				  "off: turn on VT-d or AMD-Vi in the firmware "
				  "and boot with intel_iommu=on (Intel); "
				  "'holdfast doctor' tells more",
			vfio->dev.id);
	}
	if (!noiommu && hf_pci_exists(NULL, "/dev/vfio/noiommu-%u", group)) {
		return hf_error_set(err, -EOPNOTSUPP,
				    "%s: the IOMMU is off, and the device was "
				    "bound for use without one, which has to "
				    "be asked for: vfio:%s,mode=noiommu; see "
				    "holdfast-vfio(7) first",
				    vfio->dev.id, vfio->bdf);
	}
	snprintf(vfio->node, sizeof(vfio->node),
		 noiommu ? "/dev/vfio/noiommu-%u" : "/dev/vfio/%u", group);
	rc = hf_vfio_open_node(vfio->node, vfio->dev.id, &vfio->group_fd, err);
	if (rc == 0) {
		rc = group_check_viable(vfio, group, err);
	}
	if (rc == 0) {
		rc = hf_vfio_group_attach(vfio, err);
	}
	return rc;
}

/* Calls @each for the capabilities of a chain that lies in @info. */
static const struct vfio_info_cap_header *cap_find(const void *info,
						   uint32_t len_bytes,
						   uint32_t first, uint16_t id,
						   uint32_t cap_bytes)
{
	uint32_t at = first;

	/* A chain longer than there is room for would be a circle. */
	for (uint32_t i = 0; at != 0 && i < len_bytes / 8; i++) {
		if (!hf_range_within(at, sizeof(struct vfio_info_cap_header),
				     len_bytes)) {
			return NULL;
		}
		const struct vfio_info_cap_header *cap =
			(const void *)((const char *)info + at);
		if (cap->id == id) {
			return hf_range_within(at, cap_bytes, len_bytes) ? cap
									 : NULL;
		}
		at = cap->next;
	}
	return NULL;
}

static void ranges_take(struct hf_vfio *vfio,
			const struct vfio_iommu_type1_info *info)
{
	struct hf_dma_limits *limits = &vfio->dev.dma.limits;
	const struct vfio_iommu_type1_info_cap_iova_range *cap =
		(const void *)cap_find(info, info->argsz, info->cap_offset,
				       VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
				       sizeof(*cap));
	if (cap == NULL) {
		return;
	}

	uint64_t at = (uintptr_t)cap - (uintptr_t)info + sizeof(*cap);
	uint32_t count = HF_MIN(cap->nr_iovas, HF_ARRAY_LEN(limits->ranges));
	if (!hf_range_within(at, count * sizeof(cap->iova_ranges[0]),
			     info->argsz)) {
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (cap->iova_ranges[i].end <= cap->iova_ranges[i].start) {
			continue;
		}
		limits->ranges[limits->range_count].first =
			cap->iova_ranges[i].start;
		limits->ranges[limits->range_count].last =
			cap->iova_ranges[i].end;
		limits->range_count++;
	}
}

int hf_vfio_group_limits(struct hf_vfio *vfio, struct hf_error *err)
{
	struct hf_dma_limits *limits = &vfio->dev.dma.limits;
	struct vfio_iommu_type1_info head = {.argsz = sizeof(head)};

	limits->max_mappings = TYPE1_ENTRIES_DEFAULT;
	if (vfio->mode == HF_VFIO_NOIOMMU) {
		return 0;
	}
	int rc = hf_vfio_ioctl(vfio->container_fd, VFIO_IOMMU_GET_INFO, &head);
	if (rc < 0) {
		return hf_error_set(err, rc,
				    "%s: the container tells nothing about its "
				    "IOMMU: %s",
				    vfio->dev.id, strerrordesc_np(-rc));
	}
	uint32_t room = HF_MAX(head.argsz, (uint32_t)sizeof(head));
	if (room > TYPE1_INFO_MAX_BYTES) {
		room = TYPE1_INFO_MAX_BYTES;
	}

	HF_AUTO_FREE struct vfio_iommu_type1_info *info = calloc(1, room);
	if (info == NULL) {
		return hf_error_set(err, -ENOMEM, "%s: no memory",
				    vfio->dev.id);
	}
	info->argsz = room;
	rc = hf_vfio_ioctl(vfio->container_fd, VFIO_IOMMU_GET_INFO, info);
	if (rc < 0 || (info->flags & VFIO_IOMMU_INFO_CAPS) == 0) {
		return 0;
	}
	info->argsz = HF_MIN(info->argsz, room);
	ranges_take(vfio, info);

	const struct vfio_iommu_type1_info_dma_avail *avail =
		(const void *)cap_find(info, info->argsz, info->cap_offset,
				       VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
				       sizeof(*avail));
	if (avail != NULL && avail->avail != 0) {
		limits->max_mappings = avail->avail;
	}
	return 0;
}
