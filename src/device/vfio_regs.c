/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "device/vfio_internal.h"
#include "device/vfio_uapi.h"

#define REGION_INFO_MAX_BYTES (64u * 1024)
#define DOORBELLS_OFFSET      0x1000u
#define CLASS_NVME            0x010802u
/* Enough for 65536 queue pairs at the widest doorbell stride that is used;
 * a controller memory buffer behind them is not touched. */
#define BAR0_MAP_MAX_BYTES (UINT64_C(1) << 20)

static int config_read(struct hf_vfio *vfio, uint32_t offset, void *buf,
		       uint32_t len_bytes, struct hf_error *err)
{
	ssize_t got = -1;

	errno = ENXIO;
	if (hf_range_within(offset, len_bytes, vfio->config_bytes)) {
		got = pread(vfio->device_fd, buf, len_bytes,
			    (off_t)(vfio->config_offset + offset));
	}
	if (got != (ssize_t)len_bytes) {
		int code = got < 0 ? -errno : -EIO;
		return hf_error_set(err, code,
				    "%s: config space at %#x cannot be read: "
				    "%s",
				    vfio->dev.id, offset,
				    strerrordesc_np(-code));
	}
	return 0;
}

static int config_write16(struct hf_vfio *vfio, uint32_t offset, uint16_t value,
			  struct hf_error *err)
{
	uint8_t bytes[2];

	hf_put_le16(bytes, value);
	if (pwrite(vfio->device_fd, bytes, sizeof(bytes),
		   (off_t)(vfio->config_offset + offset)) != sizeof(bytes)) {
		return hf_error_set(err, -EIO,
				    "%s: config space at %#x cannot be written",
				    vfio->dev.id, offset);
	}
	return 0;
}

/* NULL when the kernel tells nothing; the caller frees. */
static struct vfio_region_info *
region_info(struct hf_vfio *vfio, uint32_t index, struct hf_error *err)
{
	uint32_t room = sizeof(struct vfio_region_info);
	struct vfio_region_info *info = NULL;
	int rc = -ENOMEM;

	/* The first answer says how large the second has to be. */
	for (uint32_t turn = 0; turn < 2; turn++) {
		free(info);
		info = calloc(1, room);
		if (info == NULL) {
			break;
		}
		info->argsz = room;
		info->index = index;
		rc = hf_vfio_ioctl(vfio->device_fd, VFIO_DEVICE_GET_REGION_INFO,
				   info);
		if (rc < 0 || info->argsz <= room) {
			break;
		}
		room = HF_MIN(info->argsz, REGION_INFO_MAX_BYTES);
	}
	if (info == NULL || rc < 0) {
		free(info);
		hf_error_set(err, -ENODEV,
			     "%s: the kernel tells nothing about region %u: %s",
			     vfio->dev.id, index, strerrordesc_np(-rc));
		return NULL;
	}
	info->argsz = HF_MIN(info->argsz, room);
	return info;
}

static int config_init(struct hf_vfio *vfio, struct hf_error *err)
{
	HF_AUTO_FREE struct vfio_region_info *info =
		region_info(vfio, VFIO_PCI_CONFIG_REGION_INDEX, err);
	uint8_t head[12];

	if (info == NULL) {
		return -ENODEV;
	}
	vfio->config_offset = info->offset;
	vfio->config_bytes = info->size;
	int rc = config_read(vfio, 0, head, sizeof(head), err);
	if (rc != 0) {
		return rc;
	}

	vfio->vendor_id = hf_get_le16(head + PCI_VENDOR_ID);
	vfio->device_id = hf_get_le16(head + PCI_DEVICE_ID);
	vfio->dev.pci_vendor = vfio->vendor_id;
	vfio->dev.pci_device = vfio->device_id;
	uint32_t class_code = hf_get_le32(head + PCI_CLASS_REVISION) >> 8;
	if (vfio->vendor_id == 0xffff) {
		return hf_error_set(err, -ENODEV,
				    "%s: the device is gone: its config space "
				    "reads as all ones",
				    vfio->dev.id);
	}
	if (class_code != CLASS_NVME) {
		return hf_error_set(err, -EINVAL,
				    "%s: not an NVMe controller: its class "
				    "code is %06x, that of NVMe is %06x",
				    vfio->dev.id, class_code, CLASS_NVME);
	}
	return 0;
}

/* Memory space stays on, interrupts by wire off, DMA as asked. */
int hf_vfio_bus_master(struct hf_vfio *vfio, bool on, struct hf_error *err)
{
	uint8_t bytes[2];

	int rc = config_read(vfio, PCI_COMMAND, bytes, sizeof(bytes), err);
	if (rc != 0) {
		return rc;
	}
	uint16_t before = hf_get_le16(bytes);
	uint16_t after = before | PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE;
	if (on) {
		after |= PCI_COMMAND_MASTER;
	} else {
		after &= (uint16_t)~PCI_COMMAND_MASTER;
	}
	return after == before ? 0
			       : config_write16(vfio, PCI_COMMAND, after, err);
}

static void area_map(struct hf_vfio *vfio, uint64_t offset, uint64_t len_bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	len_bytes = HF_MIN(len_bytes, BAR0_MAP_MAX_BYTES);
	if (vfio->area_count == HF_VFIO_AREAS_MAX || len_bytes == 0 ||
	    !hf_is_aligned(offset | len_bytes, page) ||
	    !hf_range_within(offset, len_bytes, vfio->dev.bar0_bytes)) {
		return;
	}
	void *vaddr =
		mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		     vfio->device_fd, (off_t)(vfio->bar0_offset + offset));
	if (vaddr == MAP_FAILED) {
		hf_log_info(&vfio->dev.options.log,
			    "%s: BAR 0 at %#llx cannot be mapped (%s): it is "
			    "written by system calls",
			    vfio->dev.id, (unsigned long long)offset,
			    strerrordesc_np(errno));
		return;
	}
	vfio->areas[vfio->area_count++] = (struct hf_vfio_area){
		.vaddr = vaddr,
		.offset = offset,
		.len_bytes = len_bytes,
	};
}

/* Where the MSI-X table lies in the BAR, older kernels leave a hole. */
static const struct vfio_region_info_cap_sparse_mmap *
sparse_find(const struct vfio_region_info *info)
{
	const struct vfio_region_info_cap_sparse_mmap *sparse;
	uint32_t at =
		info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0;

	for (uint32_t i = 0; at != 0 && i < 64; i++) {
		if (!hf_range_within(at, sizeof(sparse->header), info->argsz)) {
			return NULL;
		}
		sparse = (const void *)((const char *)info + at);
		if (sparse->header.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
			bool whole = hf_range_within(at, sizeof(*sparse),
						     info->argsz) &&
				     hf_range_within(
					     at + sizeof(*sparse),
					     (uint64_t)sparse->nr_areas *
						     sizeof(sparse->areas[0]),
					     info->argsz);
			return whole ? sparse : NULL;
		}
		at = sparse->header.next;
	}
	return NULL;
}

/*
 * Only the doorbells go through the mapping. They are written, never read, and
 * a write that nobody takes is lost without a trace, so that a device that is
 * pulled out cannot hurt us there. The kernel takes the mapping away (SIGBUS)
 * only when memory space is switched off in the command register, which nobody
 * but the holder of this descriptor can do; during a function reset, an access
 * waits. The other registers are read by pread(2), which fails instead.
 */
static void doorbells_find(struct hf_vfio *vfio)
{
	for (uint32_t i = 0; i < vfio->area_count; i++) {
		const struct hf_vfio_area *area = &vfio->areas[i];

		if (area->offset <= DOORBELLS_OFFSET &&
		    area->offset + area->len_bytes > DOORBELLS_OFFSET) {
			uint64_t skip = DOORBELLS_OFFSET - area->offset;

			vfio->dev.doorbells = area->vaddr + skip;
			vfio->dev.doorbells_bytes = area->len_bytes - skip;
		}
	}
}

static int bar0_init(struct hf_vfio *vfio, struct hf_error *err)
{
	HF_AUTO_FREE struct vfio_region_info *info =
		region_info(vfio, VFIO_PCI_BAR0_REGION_INDEX, err);

	if (info == NULL) {
		return -ENODEV;
	}
	uint32_t both =
		VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if ((info->flags & both) != both || info->size < HF_BAR0_MIN_BYTES) {
		return hf_error_set(err, -ENODEV,
				    "%s: BAR 0 of %llu bytes cannot be a "
				    "controller's registers",
				    vfio->dev.id,
				    (unsigned long long)info->size);
	}
	vfio->dev.bar0_bytes = info->size;
	vfio->bar0_offset = info->offset;
	if ((info->flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) {
		return 0;
	}

	const struct vfio_region_info_cap_sparse_mmap *sparse =
		sparse_find(info);
	if (sparse == NULL) {
		area_map(vfio, 0, info->size);
	}
	for (uint32_t i = 0; sparse != NULL && i < sparse->nr_areas; i++) {
		area_map(vfio, sparse->areas[i].offset, sparse->areas[i].size);
	}
	doorbells_find(vfio);
	/* A controller that offers shadow doorbells is a hypervisor's. */
	vfio->dev.doorbells_trap = true;
	return 0;
}

int hf_vfio_regs_init(struct hf_vfio *vfio, struct hf_error *err)
{
	int rc = config_init(vfio, err);

	return rc != 0 ? rc : bar0_init(vfio, err);
}

void hf_vfio_regs_fini(struct hf_vfio *vfio)
{
	for (uint32_t i = 0; i < vfio->area_count; i++) {
		munmap(vfio->areas[i].vaddr, vfio->areas[i].len_bytes);
	}
	vfio->area_count = 0;
	vfio->dev.doorbells = NULL;
	vfio->dev.doorbells_bytes = 0;
}

/* The kernel refuses with EIO while the device does not answer at all. */
static int access_failed(ssize_t done)
{
	if (done >= 0 || errno == EIO || errno == ENXIO) {
		return -ENODEV;
	}
	return -errno;
}

int hf_vfio_reg_read(struct hf_device *dev, uint32_t offset,
		     uint32_t size_bytes, uint64_t *value)
{
	struct hf_vfio *vfio = hf_vfio_of(dev);
	uint8_t bytes[8] = {0};

	ssize_t done = pread(vfio->device_fd, bytes, size_bytes,
			     (off_t)(vfio->bar0_offset + offset));
	if (done != (ssize_t)size_bytes) {
		return access_failed(done);
	}
	*value = hf_get_le64(bytes);
	return 0;
}

int hf_vfio_reg_write(struct hf_device *dev, uint32_t offset,
		      uint32_t size_bytes, uint64_t value)
{
	struct hf_vfio *vfio = hf_vfio_of(dev);
	uint8_t bytes[8];

	hf_put_le64(bytes, value);
	ssize_t done = pwrite(vfio->device_fd, bytes, size_bytes,
			      (off_t)(vfio->bar0_offset + offset));
	return done == (ssize_t)size_bytes ? 0 : access_failed(done);
}
