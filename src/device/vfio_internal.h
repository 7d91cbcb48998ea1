/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the VFIO backing share: one opened function. Nothing of
 * it is seen above the port. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"

enum {
	HF_PCI_ADDRESS_BYTES = 24,
	HF_VFIO_VECTORS_MAX = 256,
	HF_VFIO_AREAS_MAX = 8,
};

enum hf_vfio_mode {
	HF_VFIO_AUTO,
	HF_VFIO_CDEV,    /* /dev/vfio/devices/vfioN and iommufd */
	HF_VFIO_GROUP,   /* /dev/vfio/N and a type1 container */
	HF_VFIO_NOIOMMU, /* /dev/vfio/noiommu-N: no protection at all */
};

/* What the user asked for. */
struct hf_vfio_request {
	char bdf[HF_PCI_ADDRESS_BYTES];
	enum hf_vfio_mode mode;
	uint32_t vectors; /* 0: as many as there are CPUs */
};

/* A part of BAR 0 that is mapped here. */
struct hf_vfio_area {
	uint8_t *vaddr;
	uint64_t offset;
	uint64_t len_bytes;
};

struct hf_vfio_vector {
	int eventfd;
	bool armed;
	bool affinity_tried;
	int affinity_error; /* 0, or why the CPU could not be had */
	uint32_t cpu;
	uint32_t linux_irq; /* 0: not found */
};

struct hf_vfio {
	struct hf_device dev; /* first */
	char bdf[HF_PCI_ADDRESS_BYTES];
	char node[64]; /* the file that was opened, for people */
	enum hf_vfio_mode mode;
	bool adopted;

	int device_fd;
	int group_fd;
	int container_fd;
	int iommufd;
	uint32_t ioas_id;
	bool ioas_ours; /* made here, nobody else's mappings are in it */
	bool no_map_file;

	bool can_reset;
	uint16_t vendor_id;
	uint16_t device_id;
	uint64_t config_offset;
	uint64_t config_bytes;
	uint64_t bar0_offset;
	struct hf_vfio_area areas[HF_VFIO_AREAS_MAX];
	uint32_t area_count;

	uint32_t msix_size;     /* entries of the function's table */
	uint32_t vectors_asked; /* by the user; 0: by the number of CPUs */
	uint32_t vector_count;
	bool vectors_fixed; /* the kernel cannot add any later */
	struct hf_vfio_vector vectors[HF_VFIO_VECTORS_MAX];
	int request_fd; /* -1: the kernel cannot tell */
	int error_fd;
	uint64_t pcie_errors; /* that the kernel told of */

	uint64_t locked_bytes; /* mapped for DMA by this process */
	uint32_t mapping_count;
};

static inline struct hf_vfio *hf_vfio_of(struct hf_device *dev)
{
	return (struct hf_vfio *)(void *)dev;
}

const char *hf_vfio_mode_name(enum hf_vfio_mode mode);

/* ioctl(2) that returns -errno and repeats what the kernel refuses for the
 * moment (EBUSY, ENODEV, EAGAIN, EINTR), half a second at most. */
HF_MUST_CHECK int hf_vfio_ioctl_retry(int fd, unsigned long request, void *arg);
/* The same without repeating anything but EINTR. */
HF_MUST_CHECK int hf_vfio_ioctl(int fd, unsigned long request, void *arg);
/* For requests that take a number. */
HF_MUST_CHECK int hf_vfio_ioctl_number(int fd, unsigned long request,
				       unsigned long number);

/* open(2) that is repeated so; -errno. */
HF_MUST_CHECK int hf_vfio_open_retry(const char *path);

/* vfio_sysfs.c: may this be opened at all, and why not? */
HF_MUST_CHECK int hf_vfio_check_function(const char *bdf, struct hf_error *err);
/* Opens a device file with O_RDWR; @what names it in the sentence. */
HF_MUST_CHECK int hf_vfio_open_node(const char *path, const char *what, int *fd,
				    struct hf_error *err);
/* "vfio3", or -ENOENT where the kernel has no such file for the function. */
HF_MUST_CHECK int hf_vfio_cdev_name(const char *bdf, char *buf,
				    uint32_t len_bytes);
/* Says who keeps the group from being used. */
int hf_vfio_group_not_viable(const char *bdf, uint32_t group,
			     struct hf_error *err);

/* vfio_cdev.c, vfio_group.c: fill in the descriptors. */
HF_MUST_CHECK int hf_vfio_cdev_open(struct hf_vfio *vfio, struct hf_error *err);
/* A device file and an iommufd that are open: binds and attaches. */
HF_MUST_CHECK int hf_vfio_cdev_attach(struct hf_vfio *vfio,
				      struct hf_error *err);
HF_MUST_CHECK int hf_vfio_group_open(struct hf_vfio *vfio,
				     struct hf_error *err);
/* A group (and perhaps a container) that is open: gets the device. */
HF_MUST_CHECK int hf_vfio_group_attach(struct hf_vfio *vfio,
				       struct hf_error *err);
HF_MUST_CHECK int hf_vfio_cdev_limits(struct hf_vfio *vfio,
				      struct hf_error *err);
HF_MUST_CHECK int hf_vfio_group_limits(struct hf_vfio *vfio,
				       struct hf_error *err);

/* vfio_regs.c: config space and BAR 0. */
HF_MUST_CHECK int hf_vfio_regs_init(struct hf_vfio *vfio, struct hf_error *err);
void hf_vfio_regs_fini(struct hf_vfio *vfio);
HF_MUST_CHECK int hf_vfio_bus_master(struct hf_vfio *vfio, bool on,
				     struct hf_error *err);
int hf_vfio_reg_read(struct hf_device *dev, uint32_t offset,
		     uint32_t size_bytes, uint64_t *value);
int hf_vfio_reg_write(struct hf_device *dev, uint32_t offset,
		      uint32_t size_bytes, uint64_t value);

/* vfio_irq.c. With @inherited set, vectors[] has eventfds already. */
HF_MUST_CHECK int hf_vfio_irq_init(struct hf_vfio *vfio, bool inherited,
				   struct hf_error *err);
/* Closes what is here; with @disable also turns MSI-X off. */
void hf_vfio_irq_fini(struct hf_vfio *vfio, bool disable);
uint32_t hf_vfio_irq_count(struct hf_device *dev);
int hf_vfio_irq_map(struct hf_device *dev, uint32_t vector, uint32_t cpu,
		    int *eventfd, struct hf_error *err);
void hf_vfio_irq_unmap_all(struct hf_device *dev);
int hf_vfio_request_fd(struct hf_device *dev);
struct json_object;
void hf_vfio_irq_inspect(struct hf_vfio *vfio, struct json_object *into);

/* vfio_dma.c */
int hf_vfio_dma_map(struct hf_device *dev, const struct hf_dma_mapping *map,
		    struct hf_error *err);
int hf_vfio_dma_unmap(struct hf_device *dev, const struct hf_dma_mapping *map,
		      struct hf_error *err);

/* vfio_noiommu.c: the physical address of huge pages. */
int hf_vfio_noiommu_iova(struct hf_device *dev, struct hf_dma_mapping *map,
			 struct hf_error *err);

/* vfio_carry.c */
int hf_vfio_carry(struct hf_device *dev, struct hf_fdset *set,
		  struct hf_error *err);
/* vfio.c: everything after the descriptors are there, but for DMA memory. */
HF_MUST_CHECK int hf_vfio_setup(struct hf_vfio *vfio, bool inherited,
				struct hf_error *err);
/* hf_vfio_setup(), bus mastering and DMA memory; frees @vfio on failure. */
HF_MUST_CHECK int hf_vfio_finish(struct hf_device **out, struct hf_vfio *vfio,
				 struct hf_error *err);
/* Where the mode is known: what the device can do depends on it. */
void hf_vfio_set_mode(struct hf_vfio *vfio, enum hf_vfio_mode mode);
struct hf_vfio *hf_vfio_new(const struct hf_device_options *options);
/* Frees one whose hf_device_init() has not happened, or has been undone. */
void hf_vfio_free(struct hf_vfio *vfio, enum hf_release how);
