/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "device/pci.h"
#include "device/vfio.h"
#include "device/vfio_internal.h"
#include "device/vfio_uapi.h"
#include "state/registry.h"

static int adopt_u32(const struct hf_fdset *set, const char *key, uint32_t max,
		     uint32_t *value, struct hf_error *err)
{
	uint64_t wide = 0;

	int rc = hf_fdset_get_u64(set, key, &wide);
	if (rc != 0 || wide > max) {
		return hf_error_set(err, -EINVAL,
				    "taking over a VFIO device: '%s' is %s",
				    key, rc != 0 ? "missing" : "out of range");
	}
	*value = (uint32_t)wide;
	return 0;
}

static int adopt_mode(struct hf_vfio *vfio, const struct hf_fdset *set,
		      struct hf_error *err)
{
	char mode[16];

	if (hf_fdset_get_text(set, "vfio.mode", mode, sizeof(mode)) != 0) {
		mode[0] = '\0';
	}
	if (strcmp(mode, "cdev") == 0) {
		hf_vfio_set_mode(vfio, HF_VFIO_CDEV);
		vfio->iommufd = hf_fdset_find(set, "vfio-iommufd");
	} else if (strcmp(mode, "group") == 0 || strcmp(mode, "noiommu") == 0) {
		hf_vfio_set_mode(vfio, mode[0] == 'g' ? HF_VFIO_GROUP
						      : HF_VFIO_NOIOMMU);
		vfio->container_fd = hf_fdset_find(set, "vfio-container");
	} else {
		return hf_error_set(err, -EINVAL,
				    "taking over %s: mode '%s' is not known",
				    vfio->dev.id, mode);
	}
	vfio->device_fd = hf_fdset_find(set, "vfio-device");
	if (vfio->device_fd < 0 ||
	    (vfio->iommufd < 0 && vfio->container_fd < 0)) {
		return hf_error_set(err, -EBADF,
				    "taking over %s: the descriptor of the "
				    "device or of its %s is missing; nothing "
				    "can be mapped without it",
				    vfio->dev.id,
				    vfio->mode == HF_VFIO_CDEV ? "iommufd"
							       : "container");
	}
	return 0;
}

/* Descriptors are borrowed from @set until everything has been checked. */
static int adopt_facts(struct hf_vfio *vfio, const struct hf_fdset *set,
		       struct hf_error *err)
{
	char address[HF_PCI_ADDRESS_BYTES] = "";

	(void)!hf_fdset_get_text(set, "vfio.address", address, sizeof(address));
	if (address[0] != '\0' &&
	    hf_pci_parse(address, vfio->bdf, sizeof(vfio->bdf)) != 0) {
		return hf_error_set(err, -EINVAL,
				    "taking over a VFIO device: '%s' is no PCI "
				    "address",
				    address);
	}
	snprintf(vfio->dev.id, sizeof(vfio->dev.id), "vfio:%s", vfio->bdf);
	strcpy(vfio->node, "a predecessor's descriptors");

	int rc = adopt_mode(vfio, set, err);
	if (rc == 0) {
		rc = adopt_u32(set, "vfio.ioas", UINT32_MAX, &vfio->ioas_id,
			       err);
	}
	if (rc == 0) {
		rc = adopt_u32(set, "vfio.vectors", HF_VFIO_VECTORS_MAX,
			       &vfio->vector_count, err);
	}
	for (uint32_t i = 0; rc == 0 && i < vfio->vector_count; i++) {
		vfio->vectors[i].eventfd = hf_fdset_find(set, "vfio-irq-%u", i);
		if (vfio->vectors[i].eventfd < 0) {
			rc = hf_error_set(err, -EBADF,
					  "taking over %s: the eventfd of "
					  "vector %u is missing",
					  vfio->dev.id, i);
		}
	}
	return rc;
}

static int adopt_same_function(struct hf_vfio *vfio, const struct hf_fdset *set,
			       struct hf_error *err)
{
	uint32_t found = (uint32_t)vfio->vendor_id << 16 | vfio->device_id;
	uint32_t wanted = 0;
	uint64_t bar0 = 0;

	int rc = adopt_u32(set, "vfio.pci-id", UINT32_MAX, &wanted, err);
	if (rc != 0) {
		return rc;
	}
	if (hf_fdset_get_u64(set, "vfio.bar0", &bar0) != 0 || found != wanted ||
	    bar0 != vfio->dev.bar0_bytes) {
		return hf_error_set(err, -ENODEV,
				    "taking over %s: the device is %08x, not "
				    "the %08x that the predecessor drove",
				    vfio->dev.id, found, wanted);
	}
	return 0;
}

/* What is in force already counts against the kernel's limit too. */
static void adopt_count(struct hf_vfio *vfio)
{
	const struct hf_dma *dma = &vfio->dev.dma;

	for (uint32_t i = 0; i < HF_REGISTRY_REGIONS_MAX; i++) {
		if (dma->registry->regions[i].state == HF_REGION_MAPPED) {
			vfio->mapping_count++;
			vfio->locked_bytes +=
				dma->registry->regions[i].len_bytes;
		}
	}
	if (vfio->dev.dma.limits.max_mappings != 0) {
		vfio->dev.dma.limits.max_mappings += vfio->mapping_count;
	}
}

/*
 * What the predecessor locked is charged to us from now on, where the kernel
 * can do that: since Linux 6.14, and only with mappings of files. Elsewhere it
 * stays pinned, and charged to whom it was: see holdfast-vfio(7).
 */
static void adopt_charge(const struct hf_vfio *vfio)
{
	struct iommu_ioas_change_process ask = {.size = sizeof(ask)};

	if (vfio->iommufd < 0) {
		return;
	}
	int rc = hf_vfio_ioctl(vfio->iommufd, IOMMU_IOAS_CHANGE_PROCESS, &ask);
	if (rc < 0) {
		hf_log_info(&vfio->dev.options.log,
			    "%s: locked memory stays charged to the process "
			    "that mapped it: %s",
			    vfio->dev.id, strerrordesc_np(-rc));
	}
}

/* Numbers are the same ones; they are only no longer the set's. */
static void adopt_own(struct hf_vfio *vfio, struct hf_fdset *set)
{
	const int fds[] = {
		hf_fdset_take(set, "vfio-device"),
		hf_fdset_take(set, "vfio-iommufd"),
		hf_fdset_take(set, "vfio-container"),
	};

	for (uint32_t i = 0; i < 3; i++) {
		if (fds[i] >= 0) {
			(void)fcntl(fds[i], F_SETFD, FD_CLOEXEC);
		}
	}
	for (uint32_t i = 0; i < vfio->vector_count; i++) {
		int fd = hf_fdset_take(set, "vfio-irq-%u", i);
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
}

static void adopt_undo(struct hf_vfio *vfio)
{
	vfio->device_fd = -1;
	vfio->iommufd = -1;
	vfio->container_fd = -1;
	for (uint32_t i = 0; i < HF_VFIO_VECTORS_MAX; i++) {
		vfio->vectors[i].eventfd = -1;
	}
	hf_vfio_free(vfio, HF_RELEASE_KEEP);
}

int hf_vfio_adopt(struct hf_device **out, struct hf_fdset *set,
		  const struct hf_device_options *options, struct hf_error *err)
{
	struct hf_vfio *vfio = hf_vfio_new(options);

	if (vfio == NULL) {
		return hf_error_set(err, -ENOMEM, "vfio: no memory");
	}
	vfio->adopted = true;
	int rc = adopt_facts(vfio, set, err);
	if (rc == 0) {
		rc = hf_vfio_setup(vfio, true, err);
	}
	if (rc == 0) {
		rc = adopt_same_function(vfio, set, err);
	}
	if (rc == 0) {
		rc = hf_vfio_bus_master(vfio, true, err);
		hf_steps_mark(&vfio->dev.steps, "look at the function");
	}
	if (rc == 0) {
		rc = hf_dma_adopt(&vfio->dev.dma, &vfio->dev, set, err);
		hf_steps_mark(&vfio->dev.steps, "map the DMA memory");
	}
	if (rc != 0) {
		adopt_undo(vfio);
		return rc;
	}
	adopt_count(vfio);
	adopt_own(vfio, set);
	adopt_charge(vfio);
	*out = &vfio->dev;
	return 0;
}
