/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/vfio_user_setup.h"

#include <assert.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"
#include "device/vfio_user_json.h"
#include "device/vfio_user_region.h"

#define DOORBELLS_OFFSET   0x1000u
#define VERSION_TEXT_BYTES 4096u
#define CONFIG_BYTES       256u
#define NVME_CLASS         0x010802u
#define BAR_BYTES_MAX      (UINT64_C(1) << 32)

/* A capability is at least a header long, so no list holds more. */
#define CONFIG_CAPS_MAX ((CONFIG_BYTES - PCI_STD_HEADER_SIZEOF) / 4)

static int settle(struct hf_vfio_user *vu, const struct vfu_version *version,
		  const char *text, uint32_t text_bytes, struct hf_error *err)
{
	struct hf_vfu_capabilities caps;
	const char *wrong = NULL;

	if (version->major != VFU_VERSION_MAJOR ||
	    version->minor > VFU_VERSION_MINOR) {
		return hf_vfu_conn_violation(
			&vu->conn, err,
			"the server speaks vfio-user %u.%u, and holdfast %u.%u",
			version->major, version->minor, VFU_VERSION_MAJOR,
			VFU_VERSION_MINOR);
	}
	int rc = hf_vfu_json_parse(text, text_bytes, &caps, &wrong);
	if (rc == -EPROTO) {
		return hf_vfu_conn_violation(
			&vu->conn, err,
			"the text of the server's VERSION reply makes no "
			"sense: %s",
			wrong);
	}
	if (rc != 0) {
		return hf_error_set(err, rc, "%s: no memory", vu->dev.id);
	}
	if (caps.max_data_xfer_size < 8) {
		return hf_vfu_conn_violation(
			&vu->conn, err,
			"the server takes %llu bytes at once, and a register "
			"has 8",
			(unsigned long long)caps.max_data_xfer_size);
	}

	vu->facts.max_fds = (uint32_t)HF_MIN(caps.max_msg_fds, VFU_MAX_FDS);
	vu->facts.max_xfer_bytes = (uint32_t)HF_MIN(caps.max_data_xfer_size,
						    HF_VFU_OUR_MAX_XFER_BYTES);
	vu->facts.max_dma_maps =
		(uint32_t)HF_MIN(caps.max_dma_maps, UINT32_MAX);
	vu->facts.page_sizes = caps.pgsizes;
	return 0;
}

int hf_vfu_negotiate(struct hf_vfio_user *vu, struct hf_error *err)
{
	struct {
		struct vfu_version version;
		char text[VERSION_TEXT_BYTES];
	} reply = {0};
	const struct vfu_version version = {VFU_VERSION_MAJOR,
					    VFU_VERSION_MINOR};
	char text[256];

	/* A server may answer only what was proposed: so everything is. */
	int len = snprintf(text, sizeof(text),
			   "{\"capabilities\":{\"max_msg_fds\":%d,"
			   "\"max_data_xfer_size\":%d,\"max_dma_maps\":%u,"
			   "\"pgsizes\":%u}}",
			   HF_VFU_OUR_MAX_FDS, HF_VFU_OUR_MAX_XFER_BYTES,
			   VFU_DEFAULT_MAX_DMA_MAPS, VFU_DEFAULT_PGSIZES);
	assert(len > 0 && (size_t)len < sizeof(text));

	struct hf_vfu_call call = {
		.command = VFU_VERSION,
		.request = &version,
		.request_bytes = sizeof(version),
		.data = text,
		.data_bytes = (uint32_t)len + 1,
		.reply = &reply,
		.reply_min_bytes = sizeof(reply.version),
		.reply_max_bytes = sizeof(reply),
	};
	int rc = hf_vfu_call(&vu->conn, &call, err);
	if (rc != 0) {
		return rc;
	}
	return settle(vu, &reply.version, reply.text,
		      call.reply_bytes - (uint32_t)sizeof(reply.version), err);
}

static int get_device_info(struct hf_vfio_user *vu, struct hf_error *err)
{
	const struct vfu_device_info ask = {.argsz = sizeof(ask)};
	struct vfu_device_info info = {0};
	struct hf_vfu_call call = {
		.command = VFU_DEVICE_GET_INFO,
		.request = &ask,
		.request_bytes = sizeof(ask),
		.reply = &info,
		.reply_min_bytes = sizeof(info),
		.reply_max_bytes = sizeof(info),
	};

	int rc = hf_vfu_call(&vu->conn, &call, err);
	if (rc != 0) {
		return rc;
	}
	if ((info.flags & VFIO_DEVICE_FLAGS_PCI) == 0 ||
	    info.num_regions <= VFIO_PCI_CONFIG_REGION_INDEX ||
	    info.num_irqs <= VFIO_PCI_MSIX_IRQ_INDEX) {
		return hf_error_set(err, -ENODEV,
				    "%s: the server offers no PCI device with "
				    "MSI-X: flags %#x, %u regions, %u kinds of "
				    "interrupt",
				    vu->dev.id, info.flags, info.num_regions,
				    info.num_irqs);
	}
	vu->facts.has_request = info.num_irqs > VFIO_PCI_REQ_IRQ_INDEX;
	vu->facts.can_reset = (info.flags & VFIO_DEVICE_FLAGS_RESET) != 0;
	return 0;
}

/* Asks with room for @room bytes; the descriptor, if any, to vu->bar0_fd. */
static int ask_region(struct hf_vfio_user *vu, void *reply, uint32_t room,
		      uint32_t *reply_bytes, struct hf_error *err)
{
	const struct vfu_region_info ask = {
		.argsz = room,
		.index = VFIO_PCI_BAR0_REGION_INDEX,
	};
	struct hf_vfu_call call = {
		.command = VFU_DEVICE_GET_REGION_INFO,
		.request = &ask,
		.request_bytes = sizeof(ask),
		.reply = reply,
		.reply_min_bytes = sizeof(ask),
		.reply_max_bytes = room,
		.take_fd = true,
	};

	int rc = hf_vfu_call(&vu->conn, &call, err);
	*reply_bytes = call.reply_bytes;
	vu->bar0_fd = call.reply_fd;
	return rc;
}

static int take_bar0(struct hf_vfio_user *vu, const uint8_t *reply,
		     uint32_t reply_bytes, struct hf_error *err)
{
	const uint32_t needed =
		VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	struct hf_vfu_region region;

	const char *wrong = hf_vfu_region_parse(reply, reply_bytes, &region);
	if (wrong != NULL) {
		return hf_vfu_conn_violation(&vu->conn, err,
					     "what the server says of BAR 0 "
					     "makes no sense: %s",
					     wrong);
	}
	if ((region.flags & needed) != needed ||
	    region.size_bytes < HF_BAR0_MIN_BYTES ||
	    region.size_bytes > BAR_BYTES_MAX) {
		return hf_error_set(err, -ENODEV,
				    "%s: BAR 0 of %#llx bytes with flags %#x "
				    "is not that of an NVMe controller",
				    vu->dev.id,
				    (unsigned long long)region.size_bytes,
				    region.flags);
	}
	vu->facts.bar0_bytes = region.size_bytes;
	if (vu->bar0_fd >= 0) {
		hf_vfu_region_mappable(&region, DOORBELLS_OFFSET,
				       &vu->facts.doorbells_file_offset,
				       &vu->facts.doorbells_bytes);
	}
	return 0;
}

static int get_bar0(struct hf_vfio_user *vu, struct hf_error *err)
{
	uint8_t reply[HF_VFU_REGION_INFO_MAX] = {0};
	uint32_t reply_bytes;
	struct vfu_region_info info;
	uint32_t room = HF_VFU_REGION_INFO_FIRST;

	int rc = ask_region(vu, reply, room, &reply_bytes, err);
	if (rc != 0) {
		return rc;
	}
	memcpy(&info, reply, sizeof(info));
	if (info.argsz > room) {
		/* There is more than we had room for: once again, with it. */
		if (info.argsz > sizeof(reply)) {
			return hf_vfu_conn_violation(
				&vu->conn, err,
				"the server needs %u bytes to describe BAR 0",
				info.argsz);
		}
		if (vu->bar0_fd >= 0) {
			close(vu->bar0_fd);
		}
		room = info.argsz;
		rc = ask_region(vu, reply, room, &reply_bytes, err);
		if (rc != 0) {
			return rc;
		}
	}
	return take_bar0(vu, reply, reply_bytes, err);
}

static int get_vectors(struct hf_vfio_user *vu, struct hf_error *err)
{
	const struct vfu_irq_info ask = {
		.argsz = sizeof(ask),
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
	};
	struct vfu_irq_info info = {0};
	struct hf_vfu_call call = {
		.command = VFU_DEVICE_GET_IRQ_INFO,
		.request = &ask,
		.request_bytes = sizeof(ask),
		.reply = &info,
		.reply_min_bytes = sizeof(info),
		.reply_max_bytes = sizeof(info),
	};

	int rc = hf_vfu_call(&vu->conn, &call, err);
	if (rc != 0) {
		return rc;
	}
	if (info.count == 0 || info.index != VFIO_PCI_MSIX_IRQ_INDEX) {
		return hf_error_set(err, -ENODEV,
				    "%s: the server offers no MSI-X vectors, "
				    "and holdfast takes completions by no "
				    "other interrupt",
				    vu->dev.id);
	}
	vu->facts.vectors = HF_MIN(info.count, HF_VFU_VECTORS_MAX);
	return 0;
}

int hf_vfu_discover(struct hf_vfio_user *vu, struct hf_error *err)
{
	int rc = get_device_info(vu, err);

	if (rc == 0) {
		rc = get_bar0(vu, err);
	}
	if (rc == 0) {
		rc = get_vectors(vu, err);
	}
	return rc;
}

/* 0 when there is none. */
static uint32_t find_msix(const uint8_t *config)
{
	if ((hf_get_le16(config + PCI_STATUS) & PCI_STATUS_CAP_LIST) == 0) {
		return 0;
	}

	uint32_t at = config[PCI_CAPABILITY_LIST] & ~3u;
	for (uint32_t turn = 0; turn < CONFIG_CAPS_MAX; turn++) {
		if (at < PCI_STD_HEADER_SIZEOF ||
		    at + PCI_CAP_MSIX_SIZEOF > CONFIG_BYTES) {
			return 0;
		}
		if (config[at] == PCI_CAP_ID_MSIX) {
			return at;
		}
		at = config[at + 1] & ~3u;
	}
	return 0;
}

int hf_vfu_configure(struct hf_vfio_user *vu, struct hf_error *err)
{
	const uint16_t wanted = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
				PCI_COMMAND_INTX_DISABLE;
	uint8_t config[CONFIG_BYTES] = {0};
	uint8_t command[2];

	int rc = hf_vfu_region_read(vu, VFIO_PCI_CONFIG_REGION_INDEX, 0, config,
				    sizeof(config), err);
	if (rc != 0) {
		return rc;
	}
	vu->dev.pci_vendor = hf_get_le16(config + PCI_VENDOR_ID);
	vu->dev.pci_device = hf_get_le16(config + PCI_DEVICE_ID);
	uint32_t class_code = hf_get_le32(config + PCI_CLASS_REVISION) >> 8;
	if (class_code != NVME_CLASS) {
		return hf_error_set(err, -ENODEV,
				    "%s: the device %04x:%04x behind the "
				    "socket is no NVMe controller: its class "
				    "is %06x, not %06x",
				    vu->dev.id, vu->dev.pci_vendor,
				    vu->dev.pci_device, class_code, NVME_CLASS);
	}
	vu->facts.msix_offset = find_msix(config);
	if (vu->facts.msix_offset == 0) {
		return hf_error_set(err, -ENODEV,
				    "%s: the controller has no MSI-X "
				    "capability in its config space",
				    vu->dev.id);
	}
	vu->facts.msix_control =
		hf_get_le16(config + vu->facts.msix_offset + PCI_MSIX_FLAGS);

	uint16_t now = hf_get_le16(config + PCI_COMMAND);
	if ((now & wanted) == wanted) {
		return 0;
	}
	hf_put_le16(command, now | wanted);
	return hf_vfu_region_write(vu, VFIO_PCI_CONFIG_REGION_INDEX,
				   PCI_COMMAND, command, sizeof(command), err);
}

/* A file that ends before the mapping does would kill us at the first ring. */
static bool file_holds(int fd, uint64_t offset, uint64_t len_bytes)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= 0 &&
	       hf_range_within(offset, len_bytes, (uint64_t)st.st_size);
}

void hf_vfu_map_doorbells(struct hf_vfio_user *vu)
{
	struct hf_vfu_facts *facts = &vu->facts;
	const char *why = "the server offers no mapping";
	enum hf_log_level level = HF_LOG_INFO;

	if (vu->bar0_fd >= 0 && facts->doorbells_bytes > 0) {
		why = "the file behind them is too short";
		if (file_holds(vu->bar0_fd, facts->doorbells_file_offset,
			       facts->doorbells_bytes)) {
			void *page = mmap(NULL, facts->doorbells_bytes,
					  PROT_READ | PROT_WRITE, MAP_SHARED,
					  vu->bar0_fd,
					  (off_t)facts->doorbells_file_offset);

			vu->doorbells_page = page != MAP_FAILED ? page : NULL;
			why = "they cannot be mapped here";
			level = HF_LOG_WARNING;
		}
	}
	if (vu->doorbells_page != NULL) {
		vu->dev.doorbells = vu->doorbells_page;
		vu->dev.doorbells_bytes = facts->doorbells_bytes;
		return;
	}

	if (vu->bar0_fd >= 0) {
		close(vu->bar0_fd);
		vu->bar0_fd = -1;
	}
	facts->doorbells_bytes = 0;
	vu->dev.doorbells_trap = true;
	hf_log_line(&vu->dev.options.log, level,
		    "%s: doorbells are rung by message: %s", vu->dev.id, why);
}

int hf_vfu_check_echo(struct hf_vfio_user *vu,
		      const struct vfu_region_access *asked,
		      const struct vfu_region_access *got, struct hf_error *err)
{
	if (got->offset == asked->offset && got->region == asked->region &&
	    got->count == asked->count) {
		return 0;
	}
	return hf_vfu_conn_violation(
		&vu->conn, err,
		"asked for %u bytes at %#llx of region %u, the server answered "
		"with %u at %#llx of region %u",
		asked->count, (unsigned long long)asked->offset, asked->region,
		got->count, (unsigned long long)got->offset, got->region);
}

int hf_vfu_region_read(struct hf_vfio_user *vu, uint32_t region,
		       uint64_t offset, void *buf, uint32_t len_bytes,
		       struct hf_error *err)
{
	struct {
		struct vfu_region_access access;
		uint8_t data[CONFIG_BYTES];
	} reply = {0};
	uint32_t done = 0;

	while (done < len_bytes) {
		uint32_t step =
			HF_MIN(len_bytes - done, vu->facts.max_xfer_bytes);
		step = HF_MIN(step, CONFIG_BYTES);
		const struct vfu_region_access ask = {
			.offset = offset + done,
			.region = region,
			.count = step,
		};
		struct hf_vfu_call call = {
			.command = VFU_REGION_READ,
			.request = &ask,
			.request_bytes = sizeof(ask),
			.reply = &reply,
			.reply_min_bytes = (uint32_t)sizeof(ask) + step,
			.reply_max_bytes = (uint32_t)sizeof(ask) + step,
		};

		int rc = hf_vfu_call(&vu->conn, &call, err);
		if (rc == 0) {
			rc = hf_vfu_check_echo(vu, &ask, &reply.access, err);
		}
		if (rc != 0) {
			return rc;
		}
		memcpy((uint8_t *)buf + done, reply.data, step);
		done += step;
	}
	return 0;
}

int hf_vfu_region_write(struct hf_vfio_user *vu, uint32_t region,
			uint64_t offset, const void *buf, uint32_t len_bytes,
			struct hf_error *err)
{
	const struct vfu_region_access ask = {
		.offset = offset, .region = region, .count = len_bytes};
	struct vfu_region_access echo = {0};
	struct hf_vfu_call call = {
		.command = VFU_REGION_WRITE,
		.request = &ask,
		.request_bytes = sizeof(ask),
		.data = buf,
		.data_bytes = len_bytes,
		.reply = &echo,
		.reply_min_bytes = sizeof(echo),
		.reply_max_bytes = sizeof(echo),
	};

	int rc = hf_vfu_call(&vu->conn, &call, err);
	return rc != 0 ? rc : hf_vfu_check_echo(vu, &ask, &echo, err);
}
