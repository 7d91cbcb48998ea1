/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/vfio_user_device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <json-c/json.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"
#include "emu/core.h"
#include "emu/vfio_user_region.h"

#define PCI_DEVICE_ID_HOLDFAST 0x0001
#define DOORBELL_OFFSET        0x1000u
#define MAX_VERSION_JSON       4096u

/* ------------------------------------------------------------ setup and end */

static uint64_t power_of_two(uint64_t at_least)
{
	uint64_t size = 4096;

	while (size < at_least) {
		size *= 2;
	}
	return size;
}

static int share_doorbells(struct hf_vfus_device *device, struct hf_error *err)
{
	if (device->options->doorbells != HF_EMU_DOORBELLS_MAPPED) {
		return 0;
	}

	int fd = hf_emu_doorbell_share(device->emu, &device->doorbell_bytes,
				       err);
	if (fd < 0) {
		return fd;
	}
	device->doorbell_fd = fd;
	return 0;
}

int hf_vfus_device_init(struct hf_vfus_device *device, struct hf_emu *emu,
			const struct hf_emu_serve_options *options, int wake_fd,
			struct hf_error *err)
{
	const struct hf_emu_options *have = hf_emu_options_of(emu);

	memset(device, 0, sizeof(*device));
	device->emu = emu;
	device->options = options;
	device->doorbell_fd = -1;
	device->bar0_bytes = hf_emu_bar_bytes(emu);
	device->pba_offset =
		(uint32_t)power_of_two((uint64_t)have->vectors * 16);
	device->msix_bar_bytes = 2 * device->pba_offset;

	int result = share_doorbells(device, err);
	if (result != 0) {
		return result;
	}
	result = hf_vfus_irq_init(&device->irq, emu, have->vectors,
				  options->strict_intx, wake_fd);
	if (result != 0) {
		return hf_error_set(err, result,
				    "server: no memory for the interrupts");
	}
	hf_vfus_dma_init(&device->dma, emu, options->log,
			 options->max_dma_regions, !options->no_guard, wake_fd);

	const struct hf_pci_identity identity = {
		.vid = have->vid,
		.did = PCI_DEVICE_ID_HOLDFAST,
		.ssvid = have->ssvid,
		.ssid = PCI_DEVICE_ID_HOLDFAST,
		.bar0_bytes = device->bar0_bytes,
		.msix_bar_bytes = device->msix_bar_bytes,
		.vectors = have->vectors,
		.pba_offset = device->pba_offset,
	};
	hf_pci_config_init(&device->pci, &identity);
	hf_vfus_irq_refresh(device);
	return 0;
}

void hf_vfus_device_fini(struct hf_vfus_device *device)
{
	hf_emu_reset(device->emu);
	hf_vfus_dma_fini(&device->dma);
	hf_vfus_irq_fini(&device->irq);
}

void hf_vfus_device_connect(struct hf_vfus_device *device)
{
	device->negotiated = false;
}

void hf_vfus_device_disconnect(struct hf_vfus_device *device)
{
	device->negotiated = false;
	if (device->options->on_disconnect == HF_EMU_DISCONNECT_KEEP) {
		hf_vfus_dma_inherit(&device->dma);
		return;
	}

	/* First the controller stands still, then its memory goes. */
	hf_emu_reset(device->emu);
	hf_vfus_dma_unmap_all(&device->dma);
	hf_vfus_irq_reset(&device->irq);
	hf_pci_config_reset(&device->pci);
	hf_vfus_irq_refresh(device);
}

/* ----------------------------------------------------------------- VERSION */

/* The client's JSON must be JSON, and end with a NUL; what it says about the
 * client is of no use here: replies carry one descriptor at most, and no data
 * is sent that was not asked for. */
static int check_json(const uint8_t *text, uint32_t len_bytes)
{
	if (len_bytes == 0) {
		return 0;
	}
	if (len_bytes > MAX_VERSION_JSON || text[len_bytes - 1] != '\0') {
		return -EINVAL;
	}

	struct json_tokener *tokener = json_tokener_new_ex(8);
	if (tokener == NULL) {
		return -ENOMEM;
	}
	struct json_object *object = json_tokener_parse_ex(
		tokener, (const char *)text, (int)len_bytes);
	bool good =
		object != NULL && json_object_is_type(object, json_type_object);
	json_object_put(object);
	json_tokener_free(tokener);
	return good ? 0 : -EINVAL;
}

static uint32_t write_json(const struct hf_emu_serve_options *options,
			   char *out, size_t room)
{
	char limit[48] = "";

	if (!options->hide_limits) {
		snprintf(limit, sizeof(limit), ",\"max_dma_maps\":%u",
			 options->max_dma_regions);
	}
	int len = snprintf(out, room,
			   "{\"capabilities\":{\"max_msg_fds\":%u,"
			   "\"max_data_xfer_size\":%u,\"pgsizes\":%u%s}}",
			   options->max_msg_fds, HF_VFUS_MAX_TRANSFER,
			   VFU_DEFAULT_PGSIZES, limit);
	return (uint32_t)len + 1;
}

static int do_version(struct hf_vfus_device *device,
		      const struct hf_vfus_request *request,
		      struct hf_vfus_reply *reply)
{
	struct vfu_version version;

	reply->end = true;
	if (device->negotiated || request->len_bytes < sizeof(version)) {
		return -EINVAL;
	}
	memcpy(&version, request->payload, sizeof(version));
	if (version.major != VFU_VERSION_MAJOR) {
		return -ENOTSUP;
	}
	int result = check_json(request->payload + sizeof(version),
				request->len_bytes - (uint32_t)sizeof(version));
	if (result != 0) {
		return result;
	}

	reply->end = false;
	device->negotiated = true;
	version.minor = HF_MIN(version.minor, (uint16_t)VFU_VERSION_MINOR);
	memcpy(reply->payload, &version, sizeof(version));
	reply->len_bytes =
		(uint32_t)sizeof(version) +
		write_json(device->options,
			   (char *)reply->payload + sizeof(version), 256);
	return 0;
}

/* --------------------------------------------------------------------- DMA */

static int do_dma_map(struct hf_vfus_device *device,
		      const struct hf_vfus_request *request)
{
	struct vfu_dma_map map;

	if (request->len_bytes < sizeof(map) || request->fd_count > 1) {
		return -EINVAL;
	}
	memcpy(&map, request->payload, sizeof(map));
	if (map.argsz < sizeof(map) ||
	    (map.flags & ~(VFU_DMA_READABLE | VFU_DMA_WRITABLE)) != 0) {
		return -EINVAL;
	}

	const struct hf_vfus_dma_request wanted = {
		.iova = map.iova,
		.len_bytes = map.size,
		.prot = ((map.flags & VFU_DMA_READABLE) != 0 ? HF_EMU_DMA_READ
							     : 0u) |
			((map.flags & VFU_DMA_WRITABLE) != 0 ? HF_EMU_DMA_WRITE
							     : 0u),
		.fd = request->fd_count == 1 ? request->fds[0] : -1,
		.offset = map.offset,
	};
	return hf_vfus_dma_map(&device->dma, &wanted);
}

static int do_dma_unmap(struct hf_vfus_device *device,
			const struct hf_vfus_request *request,
			struct hf_vfus_reply *reply)
{
	struct vfu_dma_unmap unmap;

	if (request->len_bytes < sizeof(unmap)) {
		return -EINVAL;
	}
	memcpy(&unmap, request->payload, sizeof(unmap));
	if (unmap.argsz < sizeof(unmap) ||
	    (unmap.flags & ~VFU_DMA_UNMAP_ALL) != 0) {
		return -EINVAL;
	}

	if ((unmap.flags & VFU_DMA_UNMAP_ALL) != 0) {
		if (unmap.iova != 0 || unmap.size != 0) {
			return -EINVAL;
		}
		hf_vfus_dma_unmap_all(&device->dma);
	} else {
		int result =
			hf_vfus_dma_unmap(&device->dma, unmap.iova, unmap.size);
		if (result != 0) {
			return result;
		}
	}
	memcpy(reply->payload, &unmap, sizeof(unmap));
	reply->len_bytes = sizeof(unmap);
	return 0;
}

/* -------------------------------------------------------------- information */

static int do_get_info(const struct hf_vfus_request *request,
		       struct hf_vfus_reply *reply)
{
	struct vfu_device_info info;

	if (request->len_bytes < sizeof(info)) {
		return -EINVAL;
	}
	memcpy(&info, request->payload, sizeof(info));
	if (info.argsz < sizeof(info)) {
		return -EINVAL;
	}
	info.argsz = sizeof(info);
	info.flags = VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI;
	info.num_regions = VFIO_PCI_NUM_REGIONS;
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	memcpy(reply->payload, &info, sizeof(info));
	reply->len_bytes = sizeof(info);
	return 0;
}

/* Which part of BAR 0 can be mapped: the doorbells, or nothing at all. */
static void add_sparse(const struct hf_vfus_device *device,
		       struct vfu_region_info *info, uint32_t argsz,
		       struct hf_vfus_reply *reply)
{
	bool mapped = device->doorbell_fd >= 0;
	struct vfu_cap_sparse_mmap cap = {
		.header = {.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP,
			   .version = 1},
		.nr_areas = mapped ? 1 : 0,
	};
	struct vfu_sparse_area area = {.offset = DOORBELL_OFFSET,
				       .size = device->doorbell_bytes};
	uint32_t cap_bytes =
		(uint32_t)(sizeof(cap) + (mapped ? sizeof(area) : 0));

	info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	info->argsz = (uint32_t)sizeof(*info) + cap_bytes;
	if (argsz < info->argsz) {
		/* The client is to ask again, with more room. */
		return;
	}
	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	info->cap_offset = sizeof(*info);
	memcpy(reply->payload + sizeof(*info), &cap, sizeof(cap));
	memcpy(reply->payload + sizeof(*info) + sizeof(cap), &area,
	       sizeof(area));
	reply->len_bytes += cap_bytes;
	reply->fd = device->doorbell_fd;
}

static int do_region_info(const struct hf_vfus_device *device,
			  const struct hf_vfus_request *request,
			  struct hf_vfus_reply *reply)
{
	struct vfu_region_info info;

	if (request->len_bytes < sizeof(info)) {
		return -EINVAL;
	}
	memcpy(&info, request->payload, sizeof(info));

	uint32_t argsz = info.argsz;
	uint32_t index = info.index;
	if (argsz < sizeof(info) || index >= VFIO_PCI_NUM_REGIONS) {
		return -EINVAL;
	}
	memset(&info, 0, sizeof(info));
	info.argsz = sizeof(info);
	info.index = index;
	info.size = hf_vfus_region_bytes(device, index);
	if (info.size != 0) {
		info.flags = VFIO_REGION_INFO_FLAG_READ |
			     VFIO_REGION_INFO_FLAG_WRITE;
	}
	reply->len_bytes = sizeof(info);
	if (index == VFIO_PCI_BAR0_REGION_INDEX &&
	    device->options->doorbells != HF_EMU_DOORBELLS_NO_MMAP) {
		add_sparse(device, &info, argsz, reply);
	}
	memcpy(reply->payload, &info, sizeof(info));
	return 0;
}

/* No doorbell has a descriptor of its own: the list is empty. */
static int do_region_io_fds(const struct hf_vfus_request *request,
			    struct hf_vfus_reply *reply)
{
	struct {
		uint32_t argsz;
		uint32_t flags;
		uint32_t index;
		uint32_t count;
	} info;

	if (request->len_bytes < sizeof(info)) {
		return -EINVAL;
	}
	memcpy(&info, request->payload, sizeof(info));
	if (info.argsz < sizeof(info) || info.flags != 0 ||
	    info.index >= VFIO_PCI_NUM_REGIONS) {
		return -EINVAL;
	}
	info.argsz = sizeof(info);
	info.count = 0;
	memcpy(reply->payload, &info, sizeof(info));
	reply->len_bytes = sizeof(info);
	return 0;
}

static int do_irq_info(const struct hf_vfus_device *device,
		       const struct hf_vfus_request *request,
		       struct hf_vfus_reply *reply)
{
	struct vfu_irq_info info;

	if (request->len_bytes < sizeof(info)) {
		return -EINVAL;
	}
	memcpy(&info, request->payload, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= VFIO_PCI_NUM_IRQS) {
		return -EINVAL;
	}
	info.argsz = sizeof(info);
	info.count = hf_vfus_irq_count(&device->irq, info.index, &info.flags);
	memcpy(reply->payload, &info, sizeof(info));
	reply->len_bytes = sizeof(info);
	return 0;
}

/* ------------------------------------------------------ interrupts, regions */

static int do_set_irqs(struct hf_vfus_device *device,
		       const struct hf_vfus_request *request)
{
	struct vfu_irq_set set;

	if (request->len_bytes < sizeof(set)) {
		return -EINVAL;
	}
	memcpy(&set, request->payload, sizeof(set));
	if (set.argsz < sizeof(set)) {
		return -EINVAL;
	}
	return hf_vfus_irq_set(&device->irq, set.flags, set.index, set.start,
			       set.count, request->payload + sizeof(set),
			       request->len_bytes - (uint32_t)sizeof(set),
			       request->fds, request->fd_count);
}

static int do_region_read(struct hf_vfus_device *device,
			  const struct hf_vfus_request *request,
			  struct hf_vfus_reply *reply)
{
	struct vfu_region_access access;

	if (request->len_bytes < sizeof(access)) {
		return -EINVAL;
	}
	memcpy(&access, request->payload, sizeof(access));
	if (access.count > HF_VFUS_MAX_TRANSFER) {
		return -EINVAL;
	}
	int result = hf_vfus_region_read(device, access.region, access.offset,
					 access.count,
					 reply->payload + sizeof(access));
	if (result != 0) {
		return result;
	}
	memcpy(reply->payload, &access, sizeof(access));
	reply->len_bytes = (uint32_t)sizeof(access) + access.count;
	return 0;
}

static int do_region_write(struct hf_vfus_device *device,
			   const struct hf_vfus_request *request,
			   struct hf_vfus_reply *reply)
{
	struct vfu_region_access access;

	if (request->len_bytes < sizeof(access)) {
		return -EINVAL;
	}
	memcpy(&access, request->payload, sizeof(access));
	if (access.count != request->len_bytes - sizeof(access)) {
		return -EINVAL;
	}
	int result = hf_vfus_region_write(device, access.region, access.offset,
					  access.count,
					  request->payload + sizeof(access));
	if (result != 0) {
		return result;
	}
	memcpy(reply->payload, &access, sizeof(access));
	reply->len_bytes = sizeof(access);
	return 0;
}

static int do_reset(struct hf_vfus_device *device)
{
	if (!device->options->reset_keeps_state) {
		hf_vfus_function_reset(device);
	}
	return 0;
}

static int dispatch(struct hf_vfus_device *device,
		    const struct hf_vfus_request *request,
		    struct hf_vfus_reply *reply)
{
	switch (request->header.command) {
	case VFU_VERSION:
		return do_version(device, request, reply);
	case VFU_DMA_MAP:
		return do_dma_map(device, request);
	case VFU_DMA_UNMAP:
		return do_dma_unmap(device, request, reply);
	case VFU_DEVICE_GET_INFO:
		return do_get_info(request, reply);
	case VFU_DEVICE_GET_REGION_INFO:
		return do_region_info(device, request, reply);
	case VFU_DEVICE_GET_REGION_IO_FDS:
		return do_region_io_fds(request, reply);
	case VFU_DEVICE_GET_IRQ_INFO:
		return do_irq_info(device, request, reply);
	case VFU_DEVICE_SET_IRQS:
		return do_set_irqs(device, request);
	case VFU_REGION_READ:
		return do_region_read(device, request, reply);
	case VFU_REGION_WRITE:
		return do_region_write(device, request, reply);
	case VFU_DEVICE_RESET:
		return do_reset(device);
	default: /* a number from the client */
		return -ENOTSUP;
	}
}

int hf_vfus_device_handle(struct hf_vfus_device *device,
			  const struct hf_vfus_request *request,
			  struct hf_vfus_reply *reply)
{
	uint16_t command = request->header.command;
	bool fds_allowed =
		command == VFU_DMA_MAP || command == VFU_DEVICE_SET_IRQS;
	int result;

	reply->len_bytes = 0;
	reply->fd = -1;
	reply->end = false;
	device->messages[command < HF_ARRAY_LEN(device->messages) ? command
								  : 0]++;

	if (command != VFU_VERSION && !device->negotiated) {
		reply->end = true;
		result = -EINVAL;
	} else if (request->fd_count > device->options->max_msg_fds ||
		   (request->fd_count != 0 && !fds_allowed)) {
		result = -EINVAL;
	} else {
		result = dispatch(device, request, reply);
	}

	if (result != 0) {
		device->errors++;
		reply->len_bytes = 0;
		reply->fd = -1;
		hf_log_debug(device->options->log,
			     "server: message %u is answered with error %d",
			     command, -result);
	}
	return result;
}
