/* SPDX-License-Identifier: BSD-3-Clause */
/* The messages of the vfio-user protocol 0.1, byte for byte. No socket and no
 * state: both ends include it.
 * "vfio-user Protocol Specification" (QEMU's docs/interop/vfio-user.rst); the
 * flags, region and interrupt indexes are those of <linux/vfio.h>. */
#pragma once

#include <assert.h>
#include <stdint.h>

#include <linux/vfio.h>

/* Numbers are in the byte order of the host: both ends run on it. */

enum vfu_command {
	VFU_VERSION = 1,
	VFU_DMA_MAP = 2,
	VFU_DMA_UNMAP = 3,
	VFU_DEVICE_GET_INFO = 4,
	VFU_DEVICE_GET_REGION_INFO = 5,
	VFU_DEVICE_GET_REGION_IO_FDS = 6,
	VFU_DEVICE_GET_IRQ_INFO = 7,
	VFU_DEVICE_SET_IRQS = 8,
	VFU_REGION_READ = 9,
	VFU_REGION_WRITE = 10,
	VFU_DMA_READ = 11,  /* server to client */
	VFU_DMA_WRITE = 12, /* server to client */
	VFU_DEVICE_RESET = 13,
	VFU_REGION_WRITE_MULTI = 15,
	VFU_DEVICE_FEATURE = 16,
};

/* Bits of vfu_header.flags. */
#define VFU_FLAG_TYPE_MASK    0xfu
#define VFU_FLAG_TYPE_COMMAND 0x0u
#define VFU_FLAG_TYPE_REPLY   0x1u
#define VFU_FLAG_NO_REPLY     0x10u
#define VFU_FLAG_ERROR        0x20u

/* What stands for a number that a VERSION message leaves out. */
#define VFU_VERSION_MAJOR              0u
#define VFU_VERSION_MINOR              1u
#define VFU_DEFAULT_MAX_MSG_FDS        1u
#define VFU_DEFAULT_MAX_DATA_XFER_SIZE 1048576u
#define VFU_DEFAULT_MAX_DMA_MAPS       65535u
#define VFU_DEFAULT_PGSIZES            4096u

/* In front of every message, command and reply alike. */
struct vfu_header {
	uint16_t id;
	uint16_t command;
	uint32_t size; /* of the whole message, this header included */
	uint32_t flags;
	uint32_t error; /* errno, with VFU_FLAG_ERROR only; may be 0 */
};
static_assert(sizeof(struct vfu_header) == 16, "a header is 16 bytes");

/* Followed by JSON, if there is any, with its terminating NUL. */
struct vfu_version {
	uint16_t major;
	uint16_t minor;
};
static_assert(sizeof(struct vfu_version) == 4, "as on the wire");

struct vfu_dma_map {
	uint32_t argsz; /* sizeof(struct vfu_dma_map): the reply is empty */
	uint32_t flags; /* VFU_DMA_READABLE, VFU_DMA_WRITABLE */
	uint64_t offset;
	uint64_t iova;
	uint64_t size;
};
static_assert(sizeof(struct vfu_dma_map) == 32, "as on the wire");

#define VFU_DMA_READABLE 0x1u
#define VFU_DMA_WRITABLE 0x2u

struct vfu_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
};
static_assert(sizeof(struct vfu_dma_unmap) == 24, "as on the wire");

/* Removes all mappings: address and size are 0. Not in the specification, but
 * taken by libvfio-user. */
#define VFU_DMA_UNMAP_ALL 0x2u

struct vfu_device_info {
	uint32_t argsz;
	uint32_t flags; /* VFIO_DEVICE_FLAGS_... */
	uint32_t num_regions;
	uint32_t num_irqs;
};
static_assert(sizeof(struct vfu_device_info) == 16, "as on the wire");

/* Capabilities follow, from cap_offset on, counted from this struct. */
struct vfu_region_info {
	uint32_t argsz;
	uint32_t flags; /* VFIO_REGION_INFO_FLAG_... */
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset; /* of the region in the descriptor that is mapped */
};
static_assert(sizeof(struct vfu_region_info) == 32, "as on the wire");

struct vfu_cap_header {
	uint16_t id; /* VFIO_REGION_INFO_CAP_... */
	uint16_t version;
	uint32_t next; /* counted from the region info; 0 ends the list */
};
static_assert(sizeof(struct vfu_cap_header) == 8, "as on the wire");

/* VFIO_REGION_INFO_CAP_SPARSE_MMAP; nr_areas areas follow. */
struct vfu_cap_sparse_mmap {
	struct vfu_cap_header header;
	uint32_t nr_areas;
	uint32_t reserved;
};
static_assert(sizeof(struct vfu_cap_sparse_mmap) == 16, "as on the wire");

struct vfu_sparse_area {
	uint64_t offset; /* in the region */
	uint64_t size;
};
static_assert(sizeof(struct vfu_sparse_area) == 16, "as on the wire");

struct vfu_irq_info {
	uint32_t argsz;
	uint32_t flags; /* VFIO_IRQ_INFO_... */
	uint32_t index;
	uint32_t count;
};
static_assert(sizeof(struct vfu_irq_info) == 16, "as on the wire");

/* Booleans may follow; descriptors are attached to the message. */
struct vfu_irq_set {
	uint32_t argsz;
	uint32_t flags; /* VFIO_IRQ_SET_... */
	uint32_t index;
	uint32_t start;
	uint32_t count;
};
static_assert(sizeof(struct vfu_irq_set) == 20, "as on the wire");

/* Data follows in the command that writes, and in the reply to a read. */
struct vfu_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};
static_assert(sizeof(struct vfu_region_access) == 16, "as on the wire");

struct vfu_dma_access {
	uint64_t iova;
	uint64_t count;
};
static_assert(sizeof(struct vfu_dma_access) == 16, "as on the wire");

/* More than any server or client was seen to send at once. */
#define VFU_MAX_FDS 253u
