/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"
#include "device/vfio_internal.h"

int hf_vfio_carry(struct hf_device *dev, struct hf_fdset *set,
		  struct hf_error *err)
{
	struct hf_vfio *vfio = hf_vfio_of(dev);
	bool cdev = vfio->mode == HF_VFIO_CDEV;

	int rc = hf_fdset_add(set, vfio->device_fd, err, "vfio-device");
	if (rc == 0) {
		rc = cdev ? hf_fdset_add(set, vfio->iommufd, err,
					 "vfio-iommufd")
			  : hf_fdset_add(set, vfio->container_fd, err,
					 "vfio-container");
	}
	for (uint32_t i = 0; rc == 0 && i < vfio->vector_count; i++) {
		rc = hf_fdset_add(set, vfio->vectors[i].eventfd, err,
				  "vfio-irq-%u", i);
	}
	if (rc == 0) {
		rc = hf_fdset_put_text(set, err, "vfio.address", "%s",
				       vfio->bdf);
	}
	if (rc == 0) {
		rc = hf_fdset_put_text(set, err, "vfio.mode", "%s",
				       hf_vfio_mode_name(vfio->mode));
	}
	if (rc == 0) {
		rc = hf_fdset_put_text(set, err, "vfio.ioas", "%u",
				       vfio->ioas_id);
	}
	if (rc == 0) {
		rc = hf_fdset_put_text(set, err, "vfio.vectors", "%u",
				       vfio->vector_count);
	}
	if (rc == 0) {
		rc = hf_fdset_put_text(set, err, "vfio.pci-id", "%u",
				       (uint32_t)vfio->vendor_id << 16 |
					       vfio->device_id);
	}
	if (rc == 0) {
		rc = hf_fdset_put_text(set, err, "vfio.bar0", "%llu",
				       (unsigned long long)dev->bar0_bytes);
	}
	return rc == 0 ? hf_dma_carry(&dev->dma, set, err) : rc;
}
