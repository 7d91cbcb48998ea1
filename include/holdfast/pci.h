/* SPDX-License-Identifier: BSD-3-Clause */
/* The machine's NVMe functions: which driver has them, giving them to
 * vfio-pci and back, and what stands in the way. Opens no controller. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct hf_pci_options - how to look at, or change, PCI functions
 * @size: sizeof(struct hf_pci_options) of the caller
 * @root: a directory that holds the sys, proc, dev and run to look at instead
 *        of the machine's own; NULL for these
 * @dry_run: check everything and tell each step, but change nothing
 * @step: told of each step as the shell command that does the same, before it
 *        is done; NULL for silence
 * @user: handed to @step
 */
struct hf_pci_options {
	size_t size;
	const char *root;
	bool dry_run;
	void (*step)(void *user, const char *command);
	void *user;
};

/**
 * hf_pci_options_init() - fill in the defaults
 * @options: to fill
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_pci_options_init(struct hf_pci_options *options);

/**
 * struct hf_pci_function - one NVMe function
 * @address: "0000:01:00.0"
 * @vendor_id: PCI vendor
 * @device_id: PCI device
 * @driver: the driver that has it; "" for none
 * @previous_driver: whom hf_pci_unbind() gives it back to; "" if unknown
 * @iommu_group: its IOMMU group, -1 where the IOMMU is off
 * @group_others: the group's other functions with their drivers; "" if alone
 * @numa_node: node that it is close to, -1 for none
 * @device_file: "/dev/vfio/devices/vfio0"; "" where the kernel has none
 * @group_file: "/dev/vfio/12"; "" without a group
 * @disks: its block devices, separated by spaces; "" for none
 * @used_by: what uses them, in words; "" if nothing was found
 *
 * The library makes these, and may add members at the end.
 */
struct hf_pci_function {
	char address[24];
	uint16_t vendor_id;
	uint16_t device_id;
	char driver[64];
	char previous_driver[64];
	int64_t iommu_group;
	char group_others[256];
	int32_t numa_node;
	char device_file[64];
	char group_file[64];
	char disks[256];
	char used_by[512];
};

/**
 * hf_pci_list() - look at each NVMe function
 * @options: NULL for the defaults
 * @each: called for each function in order of address; a result other than 0
 *        ends the list
 * @user: handed to @each
 * @err: what went wrong; may be NULL
 *
 * Context: any thread; reads sysfs.
 * Return: 0, what @each returned, or a negative errno.
 */
HF_API HF_MUST_CHECK int
hf_pci_list(const struct hf_pci_options *options,
	    int (*each)(void *user, const struct hf_pci_function *function),
	    void *user, struct hf_error *err);

/**
 * hf_pci_bind() - give an NVMe function to vfio-pci
 * @address: "0000:01:00.0" or "01:00.0"
 * @options: NULL for the defaults
 * @err: what stands in the way, by name, and what to do; may be NULL
 *
 * Loads vfio-pci, remembers the driver that has the function (in
 * /run/holdfast/driver), and lets vfio-pci have it. When that fails, the
 * function is given back. A function whose disks are mounted, swapped to, part
 * of LVM, MD or device-mapper, or open, is refused. Needs root.
 *
 * Context: any thread; blocks for modprobe(8) and the kernel's drivers.
 * Return: 0 (also when vfio-pci has it already), -EBUSY when it is in use, or
 * another negative errno.
 */
HF_API HF_MUST_CHECK int hf_pci_bind(const char *address,
				     const struct hf_pci_options *options,
				     struct hf_error *err);

/**
 * hf_pci_unbind() - give an NVMe function back to its previous driver
 * @address: "0000:01:00.0" or "01:00.0"
 * @options: NULL for the defaults
 * @err: what stands in the way, by name, and what to do; may be NULL
 *
 * Without a note of the previous driver the kernel chooses, as it does at boot.
 * Refused while a process has the function open. Needs root.
 *
 * Context: any thread; blocks for the kernel's drivers.
 * Return: 0, -EBUSY when it is open, or another negative errno.
 */
HF_API HF_MUST_CHECK int hf_pci_unbind(const char *address,
				       const struct hf_pci_options *options,
				       struct hf_error *err);

/* How much a finding matters. */
enum hf_pci_verdict {
	HF_PCI_GOOD,
	HF_PCI_NOTE,    /* works, and could be better */
	HF_PCI_PROBLEM, /* has to be changed first */
};

/**
 * struct hf_pci_finding - one thing that was looked at
 * @verdict: how it is
 * @topic: a stable word: "iommu", "modules", "memlock", "huge-pages",
 *         "function", "driver", "group", "permissions", "in-use"
 * @about: the function that it is about; "" for the machine
 * @text: what was seen
 * @remedy: the command or setting that changes it; "" if nothing has to
 */
struct hf_pci_finding {
	enum hf_pci_verdict verdict;
	const char *topic;
	const char *about;
	const char *text;
	const char *remedy;
};

/**
 * hf_pci_diagnose() - what stands between this user and a controller
 * @address: one function, or NULL for the machine and each NVMe function
 * @options: NULL for the defaults
 * @each: called for each finding
 * @user: handed to @each
 * @err: what went wrong; may be NULL
 *
 * Permissions and limits are those of the calling process.
 *
 * Context: any thread; reads sysfs and procfs.
 * Return: how many problems there are, or a negative errno.
 */
HF_API HF_MUST_CHECK int
hf_pci_diagnose(const char *address, const struct hf_pci_options *options,
		void (*each)(void *user, const struct hf_pci_finding *finding),
		void *user, struct hf_error *err);

#ifdef __cplusplus
}
#endif
