/* SPDX-License-Identifier: BSD-3-Clause */
#include "holdfast/pci.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "device/pci.h"
#include "device/pci_bind.h"

void hf_pci_options_init(struct hf_pci_options *options)
{
	*options = (struct hf_pci_options){.size = sizeof(*options)};
}

int hf_pci_options_check(const struct hf_pci_options **options,
			 struct hf_error *err)
{
	static const struct hf_pci_options defaults = {
		.size = sizeof(defaults),
	};

	if (*options == NULL) {
		*options = &defaults;
	}
	if ((*options)->size != sizeof(defaults)) {
		return hf_error_set(err, -EINVAL,
				    "PCI options of %zu bytes: initialise them "
				    "with hf_pci_options_init()",
				    (*options)->size);
	}
	return 0;
}

static uint16_t read_id(const char *root, const char *bdf, const char *name)
{
	char text[HF_PCI_NAME_BYTES];

	if (hf_pci_read(root, text, sizeof(text), HF_PCI_DEVICES "/%s/%s", bdf,
			name) != 0) {
		return 0xffff;
	}
	return (uint16_t)strtoul(text, NULL, 16);
}

static void describe(const char *root, const char *bdf,
		     struct hf_pci_function *function)
{
	char text[HF_PCI_NAME_BYTES];
	uint32_t group;

	*function = (struct hf_pci_function){
		.iommu_group = -1,
		.numa_node = -1,
		.vendor_id = read_id(root, bdf, "vendor"),
		.device_id = read_id(root, bdf, "device"),
	};
	snprintf(function->address, sizeof(function->address), "%s", bdf);
	hf_pci_driver(root, bdf, function->driver, sizeof(function->driver));
	hf_pci_note_read(root, bdf, function->previous_driver,
			 sizeof(function->previous_driver));
	if (hf_pci_group(root, bdf, &group) == 0) {
		function->iommu_group = group;
		(void)hf_pci_group_others(root, bdf, group, false,
					  function->group_others,
					  sizeof(function->group_others));
		snprintf(function->group_file, sizeof(function->group_file),
			 "/dev/vfio/%u", group);
	}
	if (hf_pci_read(root, text, sizeof(text),
			HF_PCI_DEVICES "/%s/numa_node", bdf) == 0) {
		function->numa_node = (int32_t)strtol(text, NULL, 10);
	}
	if (hf_pci_vfio_cdev(root, bdf, text, sizeof(text)) == 0) {
		snprintf(function->device_file, sizeof(function->device_file),
			 "/dev/vfio/devices/%.40s", text);
	}
	hf_pci_disks(root, bdf, function->disks, sizeof(function->disks));
	(void)hf_pci_users(root, bdf, function->used_by,
			   sizeof(function->used_by));
}

struct listing {
	const char *root;
	int (*each)(void *user, const struct hf_pci_function *function);
	void *user;
};

static int list_one(void *user, const char *name)
{
	struct listing *listing = user;
	struct hf_pci_function function;
	uint32_t class_code;

	if (hf_pci_class(listing->root, name, &class_code) != 0 ||
	    class_code != HF_PCI_CLASS_NVME) {
		return 0;
	}
	describe(listing->root, name, &function);
	return listing->each(listing->user, &function);
}

int hf_pci_list(const struct hf_pci_options *options,
		int (*each)(void *user, const struct hf_pci_function *function),
		void *user, struct hf_error *err)
{
	int rc = hf_pci_options_check(&options, err);
	if (rc != 0) {
		return rc;
	}

	struct listing listing = {
		.root = options->root,
		.each = each,
		.user = user,
	};
	rc = hf_pci_each(options->root, HF_PCI_DEVICES, list_one, &listing);
	if (rc < 0 && !hf_pci_exists(options->root, "%s", HF_PCI_DEVICES)) {
		return hf_error_set(err, rc,
				    "%s%s cannot be read: %s; is sysfs "
				    "mounted, and is there a PCI bus?",
				    options->root != NULL ? options->root : "",
				    HF_PCI_DEVICES, strerrordesc_np(-rc));
	}
	return rc;
}
