/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "device/pci.h"
#include "device/pci_bind.h"

/* The rings and bounce pages of one controller fit many times. */
#define MEMLOCK_ENOUGH (UINT64_C(64) << 20)

enum { PATH_BYTES = 512 };

struct doctor {
	const char *root;
	const char *bdf; /* "": the machine */
	void (*each)(void *user, const struct hf_pci_finding *finding);
	void *user;
	int problems;
	char text[1024];
};

/* @remedy NULL: nothing has to be done. The text is made from the format. */
static void tell(struct doctor *doctor, enum hf_pci_verdict verdict,
		 const char *topic, const char *remedy, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void tell(struct doctor *doctor, enum hf_pci_verdict verdict,
		 const char *topic, const char *remedy, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(doctor->text, sizeof(doctor->text), format, args);
	va_end(args);
	struct hf_pci_finding finding = {
		.verdict = verdict,
		.topic = topic,
		.about = doctor->bdf,
		.text = doctor->text,
		.remedy = remedy != NULL ? remedy : "",
	};
	doctor->problems += verdict == HF_PCI_PROBLEM;
	doctor->each(doctor->user, &finding);
}

static int add_name(void *user, const char *name)
{
	hf_pci_append(user, HF_PCI_TEXT_BYTES, "%s", name);
	return 0;
}

static bool cpu_is_intel(const char *root)
{
	char path[PATH_BYTES];
	char line[256];
	bool intel = false;

	if (hf_pci_path(path, sizeof(path), root, "/proc/cpuinfo") != 0) {
		return false;
	}
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		return false;
	}
	while (!intel && fgets(line, sizeof(line), file) != NULL) {
		intel = strstr(line, "GenuineIntel") != NULL;
	}
	fclose(file);
	return intel;
}

static void look_at_iommu(struct doctor *doctor)
{
	char units[HF_PCI_TEXT_BYTES] = "";

	(void)hf_pci_each(doctor->root, "/sys/class/iommu", add_name, units);
	if (units[0] != '\0') {
		tell(doctor, HF_PCI_GOOD, "iommu", NULL, "the IOMMU is on: %s",
		     units);
		return;
	}
	if (hf_pci_noiommu_allowed(doctor->root)) {
		tell(doctor, HF_PCI_NOTE, "iommu",
		     "turn the IOMMU on; without one a device can write to "
		     "any memory (mode=noiommu)",
		     "the IOMMU is off, and VFIO's no-IOMMU mode is on");
		return;
	}
	tell(doctor, HF_PCI_PROBLEM, "iommu",
	     cpu_is_intel(doctor->root)
		     ? "turn on VT-d in the firmware's settings, add "
		       "intel_iommu=on to the kernel's command line, reboot"
		     : "turn on the IOMMU (AMD-Vi, SMMU) in the firmware's "
		       "settings, remove iommu=off and amd_iommu=off from the "
		       "kernel's command line, reboot",
	     "the IOMMU is off: VFIO cannot keep a device away from the "
	     "memory of others");
}

static void look_at_modules(struct doctor *doctor)
{
	const char *root = doctor->root;
	bool vfio_pci = hf_pci_exists(root, "/sys/bus/pci/drivers/vfio-pci");
	bool type1 = hf_pci_exists(root, "/sys/module/vfio_iommu_type1") ||
		     hf_pci_exists(root, "/dev/vfio/vfio");
	bool iommufd = hf_pci_exists(root, "/dev/iommu");

	if (!vfio_pci) {
		tell(doctor, HF_PCI_PROBLEM, "modules",
		     "modprobe vfio-pci; for every boot: echo vfio-pci > "
		     "/etc/modules-load.d/holdfast.conf",
		     "the driver vfio-pci is not loaded ('holdfast bind' loads "
		     "it)");
		return;
	}
	if (!type1 && !iommufd) {
		tell(doctor, HF_PCI_PROBLEM, "modules",
		     "modprobe vfio_iommu_type1",
		     "vfio-pci is loaded, and neither type1 nor iommufd is");
		return;
	}
	tell(doctor, HF_PCI_GOOD, "modules", NULL,
	     "vfio-pci is loaded; containers (type1): %s, iommufd: %s",
	     type1 ? "yes" : "no", iommufd ? "yes" : "no");
}

static void look_at_memlock(struct doctor *doctor)
{
	struct rlimit limit = {0};

	if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
		return;
	}
	if (limit.rlim_cur == RLIM_INFINITY) {
		tell(doctor, HF_PCI_GOOD, "memlock", NULL,
		     "memory may be locked without limit");
		return;
	}
	bool enough = limit.rlim_cur >= MEMLOCK_ENOUGH;
	tell(doctor, enough ? HF_PCI_GOOD : HF_PCI_NOTE, "memlock",
	     enough ? NULL
		    : "ulimit -l 65536 or more; LimitMEMLOCK= in a systemd "
		      "unit; 'memlock' in /etc/security/limits.conf",
	     "this process may lock %llu KiB of memory; all memory that a "
	     "device reaches is locked",
	     (unsigned long long)limit.rlim_cur / 1024);
}

static void look_at_huge_pages(struct doctor *doctor)
{
	char total[32], unused[32];

	if (hf_pci_read(doctor->root, total, sizeof(total),
			"/sys/kernel/mm/hugepages/hugepages-2048kB/"
			"nr_hugepages") != 0 ||
	    hf_pci_read(doctor->root, unused, sizeof(unused),
			"/sys/kernel/mm/hugepages/hugepages-2048kB/"
			"free_hugepages") != 0) {
		return;
	}
	bool some = strtoul(unused, NULL, 10) > 0;
	tell(doctor, some ? HF_PCI_GOOD : HF_PCI_NOTE, "huge-pages",
	     some ? NULL : "sysctl vm.nr_hugepages=64",
	     "%s of %s huge pages of 2 MiB are free%s", unused, total,
	     some ? "" : "; holdfast then uses pages of 4 KiB");
}

static void look_at_machine(struct doctor *doctor)
{
	doctor->bdf = "";
	look_at_iommu(doctor);
	look_at_modules(doctor);
	look_at_memlock(doctor);
	look_at_huge_pages(doctor);
}

/* Returns whether vfio-pci has the function. */
static bool look_at_driver(struct doctor *doctor)
{
	char driver[HF_PCI_NAME_BYTES];
	char disks[HF_PCI_TEXT_BYTES];
	char users[512];
	char remedy[64];

	hf_pci_driver(doctor->root, doctor->bdf, driver, sizeof(driver));
	if (strstr(driver, "vfio") != NULL) {
		tell(doctor, HF_PCI_GOOD, "driver", NULL, "bound to %s",
		     driver);
		return true;
	}
	if (hf_pci_users(doctor->root, doctor->bdf, users, sizeof(users))) {
		tell(doctor, HF_PCI_PROBLEM, "in-use",
		     "unmount, swapoff or stop what uses it; or take another "
		     "device",
		     "%s", users);
	}
	snprintf(remedy, sizeof(remedy), "holdfast bind %s", doctor->bdf);
	hf_pci_disks(doctor->root, doctor->bdf, disks, sizeof(disks));
	tell(doctor, HF_PCI_PROBLEM, "driver", remedy, "bound to %s%s%s%s",
	     driver[0] != '\0' ? driver : "no driver",
	     disks[0] != '\0' ? " (" : "", disks, disks[0] != '\0' ? ")" : "");
	return false;
}

static void look_at_group(struct doctor *doctor)
{
	char others[HF_PCI_TEXT_BYTES];
	uint32_t group;

	if (hf_pci_group(doctor->root, doctor->bdf, &group) != 0) {
		tell(doctor, HF_PCI_PROBLEM, "group",
		     "see 'iommu' above: groups come with the IOMMU",
		     "in no IOMMU group");
		return;
	}
	if (hf_pci_group_others(doctor->root, doctor->bdf, group, true, others,
				sizeof(others)) > 0) {
		tell(doctor, HF_PCI_PROBLEM, "group",
		     "bind these to vfio-pci or take their drivers away too; "
		     "or put the device into a slot with a group of its own",
		     "IOMMU group %u is shared with %s, which a driver of the "
		     "kernel's has",
		     group, others);
		return;
	}
	if (hf_pci_group_others(doctor->root, doctor->bdf, group, false, others,
				sizeof(others)) > 0) {
		tell(doctor, HF_PCI_GOOD, "group", NULL,
		     "IOMMU group %u, shared with %s: whoever has one has all",
		     group, others);
		return;
	}
	tell(doctor, HF_PCI_GOOD, "group", NULL, "alone in IOMMU group %u",
	     group);
}

static bool may_open(const struct doctor *doctor, const char *file)
{
	char path[PATH_BYTES];

	return hf_pci_path(path, sizeof(path), doctor->root, "%s", file) == 0 &&
	       access(path, R_OK | W_OK) == 0;
}

static void look_at_file(struct doctor *doctor, const char *file, bool *usable)
{
	char owner[HF_PCI_TEXT_BYTES];

	if (!hf_pci_exists(doctor->root, "%s", file)) {
		*usable = false;
		return;
	}
	*usable = may_open(doctor, file);
	hf_pci_file_owner(doctor->root, file, owner, sizeof(owner));
	tell(doctor, *usable ? HF_PCI_GOOD : HF_PCI_NOTE, "permissions",
	     *usable ? NULL
		     : "add this user to that group, or give the file to "
		       "another one by a udev rule: holdfast-vfio(7) has one",
	     "this process %s open %s (%s)", *usable ? "can" : "cannot", file,
	     owner);
}

/* Either path will do: its own file with iommufd, or its group's. */
static void look_at_permissions(struct doctor *doctor)
{
	char name[HF_PCI_NAME_BYTES];
	char file[PATH_BYTES];
	bool by_device = false;
	bool by_iommufd = false;
	bool by_group = false;
	uint32_t group;

	if (hf_pci_vfio_cdev(doctor->root, doctor->bdf, name, sizeof(name)) ==
	    0) {
		snprintf(file, sizeof(file), "/dev/vfio/devices/%s", name);
		look_at_file(doctor, file, &by_device);
		look_at_file(doctor, "/dev/iommu", &by_iommufd);
	}
	if (hf_pci_group(doctor->root, doctor->bdf, &group) == 0) {
		snprintf(file, sizeof(file), "/dev/vfio/%s%u",
			 hf_pci_exists(doctor->root, "/dev/vfio/noiommu-%u",
				       group)
				 ? "noiommu-"
				 : "",
			 group);
		look_at_file(doctor, file, &by_group);
	}
	if (!(by_device && by_iommufd) && !by_group) {
		tell(doctor, HF_PCI_PROBLEM, "permissions",
		     "run as a user who owns the device's file, see "
		     "holdfast-vfio(7); root always can",
		     "no file of the device can be opened by this process");
	}
}

static void look_at_openers(struct doctor *doctor)
{
	char who[HF_PCI_TEXT_BYTES];

	if (hf_pci_vfio_opened(doctor->root, doctor->bdf, who, sizeof(who))) {
		tell(doctor, HF_PCI_NOTE, "in-use",
		     "a device has one user at a time; end that one, or take "
		     "over from it",
		     "open in %s", who);
	}
}

static void look_at_function(struct doctor *doctor, const char *bdf)
{
	doctor->bdf = bdf;
	bool ours = look_at_driver(doctor);
	look_at_group(doctor);
	if (ours) {
		look_at_permissions(doctor);
		look_at_openers(doctor);
	}
}

static int look_at_each(void *user, const char *name)
{
	struct doctor *doctor = user;
	uint32_t class_code;

	if (hf_pci_class(doctor->root, name, &class_code) == 0 &&
	    class_code == HF_PCI_CLASS_NVME) {
		look_at_function(doctor, name);
	}
	return 0;
}

int hf_pci_diagnose(const char *address, const struct hf_pci_options *options,
		    void (*each)(void *user,
				 const struct hf_pci_finding *finding),
		    void *user, struct hf_error *err)
{
	struct doctor doctor = {.each = each, .user = user};
	char bdf[24];

	int rc = hf_pci_options_check(&options, err);
	if (rc != 0) {
		return rc;
	}
	doctor.root = options->root;
	if (address == NULL) {
		look_at_machine(&doctor);
		(void)hf_pci_each(doctor.root, HF_PCI_DEVICES, look_at_each,
				  &doctor);
		return doctor.problems;
	}

	if (hf_pci_parse(address, bdf, sizeof(bdf)) != 0) {
		return hf_error_set(err, -EINVAL,
				    "'%s' is no PCI address; write it as "
				    "0000:01:00.0",
				    address);
	}
	rc = hf_pci_check_nvme(doctor.root, bdf, err);
	if (rc != 0) {
		return rc;
	}
	look_at_machine(&doctor);
	look_at_function(&doctor, bdf);
	return doctor.problems;
}
