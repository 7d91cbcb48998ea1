/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "device/pci.h"
#include "device/vfio.h"
#include "device/vfio_internal.h"

static int duplicate(int fd, int *copy)
{
	if (fd < 0) {
		return 0;
	}
	*copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *copy < 0 ? -errno : 0;
}

static int fds_check(const struct hf_vfio_fds *fds, struct hf_error *err)
{
	if (fds->size != sizeof(*fds)) {
		return hf_error_set(err, -EINVAL,
				    "VFIO descriptors of %zu bytes: initialise "
				    "them with hf_vfio_fds_init()",
				    fds->size);
	}
	bool by_cdev = fds->device >= 0 && fds->iommufd >= 0;
	bool by_container = fds->device >= 0 && fds->container >= 0;
	bool by_group = fds->group >= 0 && fds->address != NULL;
	if (by_cdev == (by_container || by_group) ||
	    (fds->iommufd >= 0 && fds->container >= 0)) {
		return hf_error_set(err, -EINVAL,
				    "VFIO descriptors: give the device and an "
				    "iommufd, or the device and its container, "
				    "or a group with the PCI address");
	}
	return 0;
}

static int fds_take(struct hf_vfio *vfio, const struct hf_vfio_fds *fds,
		    struct hf_error *err)
{
	int rc = duplicate(fds->device, &vfio->device_fd);
	if (rc == 0) {
		rc = duplicate(fds->iommufd, &vfio->iommufd);
	}
	if (rc == 0) {
		rc = duplicate(fds->container, &vfio->container_fd);
	}
	if (rc == 0) {
		rc = duplicate(fds->group, &vfio->group_fd);
	}
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "%s: a VFIO descriptor cannot be "
				    "duplicated: %s",
				    vfio->dev.id, strerrordesc_np(-rc));
	}

	vfio->ioas_id = fds->ioas_id;
	if (vfio->iommufd >= 0) {
		hf_vfio_set_mode(vfio, HF_VFIO_CDEV);
		return hf_vfio_cdev_attach(vfio, err);
	}
	hf_vfio_set_mode(vfio, HF_VFIO_GROUP);
	return vfio->device_fd >= 0 ? 0 : hf_vfio_group_attach(vfio, err);
}

int hf_vfio_open_fds(struct hf_device **out, const struct hf_vfio_fds *fds,
		     const struct hf_device_options *options,
		     struct hf_error *err)
{
	int rc = fds_check(fds, err);
	if (rc != 0) {
		return rc;
	}

	struct hf_vfio *vfio = hf_vfio_new(options);
	if (vfio == NULL) {
		return hf_error_set(err, -ENOMEM, "vfio: no memory");
	}
	if (fds->address != NULL &&
	    hf_pci_parse(fds->address, vfio->bdf, sizeof(vfio->bdf)) != 0) {
		rc = hf_error_set(err, -EINVAL, "'%s' is no PCI address",
				  fds->address);
		hf_vfio_free(vfio, HF_RELEASE_KEEP);
		return rc;
	}
	if (fds->address == NULL) {
		hf_pci_of_device_fd(fds->device, vfio->bdf, sizeof(vfio->bdf));
	}
	if (vfio->bdf[0] != '\0') {
		snprintf(vfio->dev.id, sizeof(vfio->dev.id), "vfio:%s",
			 vfio->bdf);
	} else {
		snprintf(vfio->dev.id, sizeof(vfio->dev.id), "vfio:fd %d",
			 fds->device);
	}
	strcpy(vfio->node, "descriptors that were handed in");
	rc = fds_take(vfio, fds, err);
	if (rc != 0) {
		hf_vfio_free(vfio, HF_RELEASE_KEEP);
		return rc;
	}
	return hf_vfio_finish(out, vfio, err);
}

void hf_vfio_fds_init(struct hf_vfio_fds *fds)
{
	*fds = (struct hf_vfio_fds){
		.size = sizeof(*fds),
		.device = -1,
		.iommufd = -1,
		.container = -1,
		.group = -1,
	};
}

int hf_device_open_vfio_fds(struct hf_device **device,
			    const struct hf_vfio_fds *fds,
			    const struct hf_device_options *options,
			    struct hf_error *err)
{
	struct hf_device_options defaults;

	hf_device_options_init(&defaults);
	if (options != NULL && options->size != sizeof(*options)) {
		return hf_error_set(err, -EINVAL,
				    "device options of %zu bytes: initialise "
				    "them with hf_device_options_init()",
				    options->size);
	}
	return hf_vfio_open_fds(device, fds,
				options != NULL ? options : &defaults, err);
}
