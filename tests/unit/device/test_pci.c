/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a function that somebody uses is never taken, what stands in the way
 *       is named with its remedy, and the steps are the right ones.
 * Method: a made-up machine's sysfs in a temporary directory. What a kernel
 *         does when its files are written is for the guests' tests.
 */
#include "holdfast/pci.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/pci.h"
#include "fake_sysfs.h"

#define BDF  "0000:01:00.0"
#define NVME "0x010802\n"

struct machine {
	struct fake_sysfs fake;
	struct hf_pci_options options;
	struct hf_error err;
	char steps[4096];
	char findings[8192];
};

static void note_step(void *user, const char *command)
{
	struct machine *m = user;
	size_t used = strlen(m->steps);

	snprintf(m->steps + used, sizeof(m->steps) - used, "%s\n", command);
}

static void note_finding(void *user, const struct hf_pci_finding *finding)
{
	struct machine *m = user;
	size_t used = strlen(m->findings);

	snprintf(m->findings + used, sizeof(m->findings) - used,
		 "%d %s %s: %s -> %s\n", (int)finding->verdict, finding->topic,
		 finding->about, finding->text, finding->remedy);
}

static int setup(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	fake_init(&m->fake);
	fake_function(&m->fake, BDF, NVME, "nvme", 12);
	fake_disk(&m->fake, BDF);
	hf_pci_options_init(&m->options);
	m->options.root = m->fake.root;
	m->options.step = note_step;
	m->options.user = m;
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;

	fake_fini(&m->fake);
	free(m);
	return 0;
}

/* Bind is refused with @code and these words, and nothing was done. */
static void refused(struct machine *m, const char *address, int code,
		    const char *words)
{
	assert_int_equal(hf_pci_bind(address, &m->options, &m->err), code);
	if (strstr(m->err.message, words) == NULL) {
		fail_msg("'%s' lacks '%s'", m->err.message, words);
	}
	assert_string_equal(m->steps, "");
}

static void addresses_are_written_as_the_kernel_does(void **state)
{
	static const struct {
		const char *text;
		const char *bdf; /* NULL: refused */
	} cases[] = {
		{"0000:01:00.0", "0000:01:00.0"},
		{"01:00.0", "0000:01:00.0"},
		{"1:0.7", "0000:01:00.7"},
		{"10000:e1:00.0", "10000:e1:00.0"},
		{"0000:AB:1f.0", "0000:ab:1f.0"},
		{"", NULL},
		{"nvme0", NULL},
		{"0000:01:00", NULL},
		{"0000:01:00.8", NULL},
		{"0000:01:20.0", NULL},
		{"0000:01:00.0x", NULL},
		{"../../0:0.0", NULL},
	};
	char bdf[24];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = hf_pci_parse(cases[i].text, bdf, sizeof(bdf));

		if (cases[i].bdf == NULL) {
			assert_int_equal(rc, -EINVAL);
		} else {
			assert_int_equal(rc, 0);
			assert_string_equal(bdf, cases[i].bdf);
		}
	}
}

static void bind_refuses_what_is_no_address(void **state)
{
	refused(*state, "nvme0", -EINVAL, "no PCI address");
}

static void bind_refuses_a_function_that_is_not_there(void **state)
{
	refused(*state, "0000:02:00.0", -ENODEV,
		"no PCI function 0000:02:00.0");
}

static void bind_refuses_another_class(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, "0000:02:00.0", "0x020000\n", "e1000e", 13);
	refused(m, "0000:02:00.0", -EINVAL, "class code is 020000");
}

static void bind_refuses_a_mounted_partition(void **state)
{
	struct machine *m = *state;

	fake_file(&m->fake, "/proc/self/mountinfo",
		  "22 1 259:1 / /srv/my\\040data rw - ext4 /dev/x rw\n");
	refused(m, BDF, -EBUSY, "nvme0n1p1 is mounted at /srv/my data");
}

static void bind_refuses_a_mount_that_only_process_1_sees(void **state)
{
	struct machine *m = *state;

	fake_file(&m->fake, "/proc/1/mountinfo",
		  "22 1 259:0 / /host rw - xfs /dev/nvme0n1 rw\n");
	refused(m, BDF, -EBUSY, "nvme0n1 is mounted at /host");
}

static void bind_refuses_a_mount_with_a_device_number_of_its_own(void **state)
{
	struct machine *m = *state;

	fake_file(&m->fake, "/proc/self/mountinfo",
		  "22 1 0:31 / /data rw shared:1 - btrfs /dev/nvme0n1p1 rw\n");
	refused(m, BDF, -EBUSY, "nvme0n1p1 is mounted at /data");
}

static void bind_refuses_swap(void **state)
{
	struct machine *m = *state;

	fake_file(&m->fake, "/proc/swaps",
		  "Filename Type Size Used Priority\n"
		  "/dev/nvme0n1p1 partition 1000 0 -2\n");
	refused(m, BDF, -EBUSY, "nvme0n1p1 is used as swap space");
}

static void bind_refuses_lvm(void **state)
{
	struct machine *m = *state;

	fake_file(&m->fake, "/sys/class/block/dm-0/dm/name", "vg-home\n");
	fake_file(&m->fake, "/sys/class/block/dm-0/dm/uuid", "LVM-abc\n");
	fake_link(&m->fake, "/sys/class/block/nvme0n1/holders/dm-0", "x");
	refused(m, BDF, -EBUSY, "nvme0n1 belongs to the LVM volume vg-home");
}

static void bind_refuses_device_mapper(void **state)
{
	struct machine *m = *state;

	fake_file(&m->fake, "/sys/class/block/dm-3/dm/name", "secret\n");
	fake_file(&m->fake, "/sys/class/block/dm-3/dm/uuid", "CRYPT-LUKS2-1\n");
	fake_link(&m->fake, "/sys/class/block/nvme0n1p1/holders/dm-3", "x");
	refused(m, BDF, -EBUSY,
		"nvme0n1p1 belongs to the device-mapper device secret");
}

static void bind_refuses_md(void **state)
{
	struct machine *m = *state;

	fake_link(&m->fake, "/sys/class/block/nvme0n1p1/holders/md127", "x");
	refused(m, BDF, -EBUSY, "nvme0n1p1 belongs to the MD array md127");
}

static void bind_refuses_an_open_disk(void **state)
{
	struct machine *m = *state;

	fake_opener(&m->fake, 4711, "postgres\n", "/dev/nvme0n1");
	refused(m, BDF, -EBUSY, "nvme0n1 is open in process 4711 (postgres)");
}

static void bind_refuses_an_open_controller(void **state)
{
	struct machine *m = *state;

	fake_opener(&m->fake, 12, "nvme\n", "/dev/nvme0");
	refused(m, BDF, -EBUSY, "nvme0 is open in process 12 (nvme)");
}

static void bind_refuses_without_an_iommu(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, "0000:03:00.0", NVME, "nvme", -1);
	refused(m, "0000:03:00.0", -EOPNOTSUPP, "intel_iommu=on");
}

static void bind_names_every_use(void **state)
{
	struct machine *m = *state;

	fake_file(&m->fake, "/proc/swaps", "x\n/dev/nvme0n1p1 partition\n");
	fake_opener(&m->fake, 5, "dd\n", "/dev/nvme0n1");
	refused(m, BDF, -EBUSY, "nvme0n1p1 is used as swap space");
	assert_non_null(strstr(m->err.message, "process 5 (dd)"));
}

static void bind_does_nothing_when_it_is_done(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, BDF, NVME, "vfio-pci", 12);
	assert_int_equal(hf_pci_bind(BDF, &m->options, &m->err), 0);
	assert_string_equal(m->steps, "");
}

static void dry_run_tells_each_step_and_changes_nothing(void **state)
{
	struct machine *m = *state;
	char text[64];

	m->options.dry_run = true;
	assert_int_equal(hf_pci_bind("01:00.0", &m->options, &m->err), 0);

	assert_string_equal(m->steps,
			    "mkdir -p /run/holdfast/driver && echo nvme > "
			    "/run/holdfast/driver/" BDF "\n"
			    "echo vfio-pci > /sys/bus/pci/devices/" BDF
			    "/driver_override\n"
			    "echo " BDF " > /sys/bus/pci/drivers/nvme/unbind\n"
			    "echo " BDF " > /sys/bus/pci/drivers_probe\n");
	fake_read(&m->fake, "/sys/bus/pci/devices/" BDF "/driver_override",
		  text, sizeof(text));
	assert_string_equal(text, "(null)\n");
	fake_read(&m->fake, "/run/holdfast/driver/" BDF, text, sizeof(text));
	assert_string_equal(text, "");
}

static void dry_run_says_that_the_module_would_be_loaded(void **state)
{
	struct machine *m = *state;

	fake_remove(&m->fake, "/sys/bus/pci/drivers/vfio-pci");
	m->options.dry_run = true;
	assert_int_equal(hf_pci_bind(BDF, &m->options, &m->err), 0);
	assert_ptr_equal(strstr(m->steps, "modprobe vfio-pci\n"), m->steps);
}

static void bind_says_which_module_cannot_be_loaded(void **state)
{
	struct machine *m = *state;

	fake_remove(&m->fake, "/sys/bus/pci/drivers/vfio-pci");
	assert_true(hf_pci_bind(BDF, &m->options, &m->err) < 0);
	assert_non_null(strstr(m->err.message, "modprobe vfio-pci"));
}

/* These files do nothing, so the function does not change hands. */
static void bind_gives_back_when_the_driver_does_not_take_it(void **state)
{
	struct machine *m = *state;
	char text[64];

	assert_int_equal(hf_pci_bind(BDF, &m->options, &m->err), -EIO);

	assert_non_null(strstr(m->err.message, "vfio-pci did not take it"));
	fake_read(&m->fake, "/sys/bus/pci/devices/" BDF "/driver_override",
		  text, sizeof(text));
	assert_int_equal(text[0], '\n');
	fake_read(&m->fake, "/run/holdfast/driver/" BDF, text, sizeof(text));
	assert_string_equal(text, "");
}

static void unbind_refuses_another_driver(void **state)
{
	struct machine *m = *state;

	assert_int_equal(hf_pci_unbind(BDF, &m->options, &m->err), -EINVAL);
	assert_non_null(strstr(m->err.message, "not bound to vfio-pci but to "
					       "nvme"));
}

static void unbind_refuses_a_function_that_is_open(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, BDF, NVME, "vfio-pci", 12);
	fake_opener(&m->fake, 99, "holdfast\n", "/dev/vfio/12");
	assert_int_equal(hf_pci_unbind(BDF, &m->options, &m->err), -EBUSY);
	assert_non_null(strstr(m->err.message, "process 99 (holdfast)"));
	assert_string_equal(m->steps, "");
}

static void unbind_refuses_a_device_file_that_is_open(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, BDF, NVME, "vfio-pci", 12);
	fake_directory(&m->fake, "/sys/bus/pci/devices/" BDF "/vfio-dev/vfio3");
	fake_opener(&m->fake, 98, "qemu\n", "/dev/vfio/devices/vfio3");
	assert_int_equal(hf_pci_unbind(BDF, &m->options, &m->err), -EBUSY);
	assert_non_null(strstr(m->err.message, "process 98 (qemu)"));
}

static void unbind_gives_back_to_the_previous_driver(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, BDF, NVME, "vfio-pci", 12);
	fake_file(&m->fake, "/run/holdfast/driver/" BDF, "nvme");
	m->options.dry_run = true;
	assert_int_equal(hf_pci_unbind(BDF, &m->options, &m->err), 0);
	assert_string_equal(
		m->steps,
		"echo '' > /sys/bus/pci/devices/" BDF "/driver_override\n"
		"echo " BDF " > /sys/bus/pci/drivers/vfio-pci/unbind\n"
		"echo " BDF " > /sys/bus/pci/drivers/nvme/bind\n"
		"rm -f /run/holdfast/driver/" BDF "\n");
}

static void unbind_without_a_note_lets_the_kernel_choose(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, BDF, NVME, "vfio-pci", 12);
	m->options.dry_run = true;
	assert_int_equal(hf_pci_unbind(BDF, &m->options, &m->err), 0);
	assert_non_null(strstr(m->steps, "> /sys/bus/pci/drivers_probe\n"));
}

/* A note is a file that somebody may have written: it is no path. */
static void a_note_cannot_lead_elsewhere(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, BDF, NVME, "vfio-pci", 12);
	fake_file(&m->fake, "/run/holdfast/driver/" BDF, "../../../etc/x");
	m->options.dry_run = true;
	assert_int_equal(hf_pci_unbind(BDF, &m->options, &m->err), 0);
	assert_null(strstr(m->steps, "etc"));
}

static int keep_function(void *user, const struct hf_pci_function *function)
{
	struct hf_pci_function *kept = user;

	assert_int_equal(kept->address[0], 0);
	*kept = *function;
	return 0;
}

static void list_tells_everything_of_nvme_functions_only(void **state)
{
	struct machine *m = *state;
	struct hf_pci_function function = {0};

	fake_function(&m->fake, "0000:01:00.1", "0x040300\n", "snd_hda_intel",
		      12);
	fake_file(&m->fake, "/proc/swaps", "x\n/dev/nvme0n1p1 partition\n");
	assert_int_equal(
		hf_pci_list(&m->options, keep_function, &function, &m->err), 0);

	assert_string_equal(function.address, BDF);
	assert_string_equal(function.driver, "nvme");
	assert_int_equal(function.vendor_id, 0x1b36);
	assert_int_equal(function.device_id, 0x0010);
	assert_int_equal(function.iommu_group, 12);
	assert_string_equal(function.group_others,
			    "0000:01:00.1 (snd_hda_intel)");
	assert_string_equal(function.disks, "nvme0n1");
	assert_string_equal(function.used_by,
			    "nvme0n1p1 is used as swap space");
	assert_int_equal(function.numa_node, -1);
	assert_string_equal(function.group_file, "/dev/vfio/12");
}

static void list_says_when_there_is_no_sysfs(void **state)
{
	struct machine *m = *state;
	struct hf_pci_function function = {0};

	m->options.root = "/nowhere";
	assert_int_equal(
		hf_pci_list(&m->options, keep_function, &function, &m->err),
		-ENOENT);
	assert_non_null(strstr(m->err.message, "/nowhere/sys"));
}

static int diagnose(struct machine *m, const char *address)
{
	m->findings[0] = '\0';
	return hf_pci_diagnose(address, &m->options, note_finding, m, &m->err);
}

static void found(const struct machine *m, const char *words)
{
	if (strstr(m->findings, words) == NULL) {
		fail_msg("'%s' lacks '%s'", m->findings, words);
	}
}

static void doctor_finds_nothing_on_a_good_machine(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, BDF, NVME, "vfio-pci", 12);
	assert_int_equal(diagnose(m, BDF), 0);
	found(m, "0 iommu : the IOMMU is on: dmar0");
	found(m, "0 group " BDF ": alone in IOMMU group 12");
	found(m, "0 driver " BDF ": bound to vfio-pci");
}

static void doctor_finds_the_iommu_off(void **state)
{
	struct machine *m = *state;

	fake_remove(&m->fake, "/sys/class/iommu/dmar0");
	fake_file(&m->fake, "/proc/cpuinfo", "vendor_id\t: GenuineIntel\n");
	fake_function(&m->fake, BDF, NVME, "vfio-pci", 12);
	assert_int_equal(diagnose(m, BDF), 1);
	found(m, "2 iommu");
	found(m, "intel_iommu=on");
}

static void doctor_finds_a_group_that_is_not_viable(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, BDF, NVME, "vfio-pci", 12);
	fake_function(&m->fake, "0000:01:00.1", "0x020000\n", "e1000e", 12);
	/* A bridge harms nobody. */
	fake_function(&m->fake, "0000:00:01.0", "0x060400\n", "pcieport", 12);
	assert_int_equal(diagnose(m, BDF), 1);
	found(m, "shared with 0000:01:00.1 (e1000e), which a driver");
	assert_null(strstr(m->findings, "0000:00:01.0 (pcieport), which"));
}

static void doctor_finds_the_module_and_the_driver_missing(void **state)
{
	struct machine *m = *state;

	fake_remove(&m->fake, "/sys/bus/pci/drivers/vfio-pci");
	assert_int_equal(diagnose(m, BDF), 2);
	found(m, "-> modprobe vfio-pci");
	found(m, "bound to nvme (nvme0n1) -> holdfast bind " BDF);
}

static void doctor_finds_what_uses_a_disk(void **state)
{
	struct machine *m = *state;

	fake_file(&m->fake, "/proc/swaps", "x\n/dev/nvme0n1p1 partition\n");
	assert_int_equal(diagnose(m, BDF), 2);
	found(m, "2 in-use " BDF ": nvme0n1p1 is used as swap space");
}

static void doctor_finds_who_has_it_open(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, BDF, NVME, "vfio-pci", 12);
	fake_opener(&m->fake, 99, "holdfast\n", "/dev/vfio/12");
	assert_int_equal(diagnose(m, BDF), 0);
	found(m, "1 in-use " BDF ": open in process 99 (holdfast)");
}

static void doctor_finds_no_file_to_open(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, BDF, NVME, "vfio-pci", 12);
	fake_remove(&m->fake, "/dev/vfio/12");
	assert_int_equal(diagnose(m, BDF), 1);
	found(m, "2 permissions");
}

static void doctor_looks_at_each_function(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, BDF, NVME, "vfio-pci", 12);
	fake_function(&m->fake, "0000:04:00.0", NVME, NULL, 13);
	assert_int_equal(diagnose(m, NULL), 1);
	found(m, "2 driver 0000:04:00.0: bound to no driver -> holdfast bind "
		 "0000:04:00.0");
}

static void doctor_refuses_another_class(void **state)
{
	struct machine *m = *state;

	fake_function(&m->fake, "0000:02:00.0", "0x020000\n", "e1000e", 13);
	assert_int_equal(diagnose(m, "0000:02:00.0"), -EINVAL);
}

#define PCI_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_written_as_the_kernel_does),
		PCI_TEST(bind_refuses_what_is_no_address),
		PCI_TEST(bind_refuses_a_function_that_is_not_there),
		PCI_TEST(bind_refuses_another_class),
		PCI_TEST(bind_refuses_a_mounted_partition),
		PCI_TEST(bind_refuses_a_mount_that_only_process_1_sees),
		PCI_TEST(bind_refuses_a_mount_with_a_device_number_of_its_own),
		PCI_TEST(bind_refuses_swap),
		PCI_TEST(bind_refuses_lvm),
		PCI_TEST(bind_refuses_device_mapper),
		PCI_TEST(bind_refuses_md),
		PCI_TEST(bind_refuses_an_open_disk),
		PCI_TEST(bind_refuses_an_open_controller),
		PCI_TEST(bind_refuses_without_an_iommu),
		PCI_TEST(bind_names_every_use),
		PCI_TEST(bind_does_nothing_when_it_is_done),
		PCI_TEST(dry_run_tells_each_step_and_changes_nothing),
		PCI_TEST(dry_run_says_that_the_module_would_be_loaded),
		PCI_TEST(bind_says_which_module_cannot_be_loaded),
		PCI_TEST(bind_gives_back_when_the_driver_does_not_take_it),
		PCI_TEST(unbind_refuses_another_driver),
		PCI_TEST(unbind_refuses_a_function_that_is_open),
		PCI_TEST(unbind_refuses_a_device_file_that_is_open),
		PCI_TEST(unbind_gives_back_to_the_previous_driver),
		PCI_TEST(unbind_without_a_note_lets_the_kernel_choose),
		PCI_TEST(a_note_cannot_lead_elsewhere),
		PCI_TEST(list_tells_everything_of_nvme_functions_only),
		PCI_TEST(list_says_when_there_is_no_sysfs),
		PCI_TEST(doctor_finds_nothing_on_a_good_machine),
		PCI_TEST(doctor_finds_the_iommu_off),
		PCI_TEST(doctor_finds_a_group_that_is_not_viable),
		PCI_TEST(doctor_finds_the_module_and_the_driver_missing),
		PCI_TEST(doctor_finds_what_uses_a_disk),
		PCI_TEST(doctor_finds_who_has_it_open),
		PCI_TEST(doctor_finds_no_file_to_open),
		PCI_TEST(doctor_looks_at_each_function),
		PCI_TEST(doctor_refuses_another_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
