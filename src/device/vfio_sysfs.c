/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "device/pci.h"
#include "device/vfio_internal.h"

int hf_vfio_check_function(const char *bdf, struct hf_error *err)
{
	char driver[HF_PCI_NAME_BYTES];

	int rc = hf_pci_check_nvme(NULL, bdf, err);
	if (rc != 0) {
		return rc;
	}
	hf_pci_driver(NULL, bdf, driver, sizeof(driver));
	/* Besides vfio-pci there are variants of it for single devices. */
	if (strncmp(driver, "vfio", 4) == 0 || strstr(driver, "vfio") != NULL) {
		return 0;
	}
	if (driver[0] == '\0') {
		return hf_error_set(err, -ENODEV,
				    "%s is bound to no driver; 'holdfast bind "
				    "%s' binds it to vfio-pci",
				    bdf, bdf);
	}
	return hf_error_set(err, -EBUSY,
			    "%s is bound to the driver '%s', not to vfio-pci; "
			    "'holdfast bind %s' changes that",
			    bdf, driver, bdf);
}

static int explain_open(int code, const char *path, const char *what,
			struct hf_error *err)
{
	char text[HF_PCI_TEXT_BYTES];

	switch (code) {
	case -EACCES:
	case -EPERM:
		hf_pci_file_owner(NULL, path, text, sizeof(text));
		return hf_error_set(err, code,
				    "%s: no permission to open %s (%s): become "
				    "a member of that group, or let a udev "
				    "rule give the file to yours, see "
				    "holdfast-vfio(7)",
				    what, path, text);
	case -EBUSY:
		if (!hf_pci_who_opened(NULL, path, text, sizeof(text))) {
			strcpy(text, "a process that this user cannot see");
		}
		return hf_error_set(err, code, "%s: %s is already open in %s",
				    what, path, text);
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
		return hf_error_set(err, code,
				    "%s: there is no %s: is the kernel module "
				    "loaded? 'holdfast doctor' tells",
				    what, path);
	}
	return hf_error_set(err, code, "%s: %s cannot be opened: %s", what,
			    path, strerrordesc_np(-code));
}

int hf_vfio_open_node(const char *path, const char *what, int *fd,
		      struct hf_error *err)
{
	*fd = hf_vfio_open_retry(path);
	if (*fd >= 0) {
		return 0;
	}
	int code = *fd;
	*fd = -1;
	return explain_open(code, path, what, err);
}

int hf_vfio_cdev_name(const char *bdf, char *buf, uint32_t len_bytes)
{
	return hf_pci_vfio_cdev(NULL, bdf, buf, len_bytes);
}

int hf_vfio_group_not_viable(const char *bdf, uint32_t group,
			     struct hf_error *err)
{
	char others[HF_PCI_TEXT_BYTES];

	if (hf_pci_group_others(NULL, bdf, group, true, others,
				sizeof(others)) == 0) {
		strcpy(others, "a device that sysfs does not show");
	}
	return hf_error_set(err, -EPERM,
			    "%s: IOMMU group %u cannot be used: a driver of "
			    "the kernel's still has %s; bind these to vfio-pci "
			    "or to no driver too",
			    bdf, group, others);
}
