/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what keeps a function from being opened is named, with what to do;
 *       nothing is left behind by an attempt that failed; a device whose
 *       descriptors somebody else opened is as good as one that was opened.
 * Method: the kernel's own refusals, one after the other, on QEMU's controller
 *         at HOLDFAST_TEST_PLAIN and on what else the machine has.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/vfio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "device/pci.h"
#include "device/vfio_internal.h"
#include "holdfast/pci.h"
#include "raw_admin.h"

#define BDF "0000:00:03.0"

static const char *address(void)
{
	return getenv("HOLDFAST_TEST_PLAIN");
}

static bool by_cdev(void)
{
	return strstr(address(), "mode=cdev") != NULL;
}

static void refused(const char *where, int code, const char *words)
{
	struct hf_device *dev = NULL;
	struct hf_error err = {0};
	int rc = hf_device_open(&dev, where, NULL, &err);

	if (rc != code || strstr(err.message, words) == NULL) {
		fail_msg("%s: %d (%d wanted), '%s' (with '%s')", where, rc,
			 code, err.message, words);
	}
	assert_null(dev);
}

static struct hf_device *opened(const char *where)
{
	struct hf_device *dev = NULL;
	struct hf_error err = {0};

	if (hf_device_open(&dev, where, NULL, &err) != 0) {
		fail_msg("%s", err.message);
	}
	return dev;
}

/* The controller answers, then is let go. */
static void works(struct hf_device *dev)
{
	struct raw_admin admin;
	struct hf_error err = {0};

	if (raw_admin_start(&admin, dev, &err) != 0) {
		fail_msg("%s", err.message);
	}
	assert_int_equal(raw_admin_identify(&admin, admin.data.iova), 0);
	assert_true(raw_admin_interrupted(&admin));
	raw_admin_stop(&admin);
	hf_device_close(dev);
}

static void words_that_are_no_address(void **state)
{
	(void)state;
	refused("vfio:nvme0", -EINVAL, "is no PCI address");
	refused("vfio:" BDF ",mode=fast", -EINVAL, "no mode 'fast'");
	refused("vfio:" BDF ",colour=red", -EINVAL, "option 'colour=red'");
	refused("vfio:" BDF ",vectors=0", -EINVAL, "vectors=0");
	refused("vfio:" BDF ",", -EINVAL, "option ''");
}

static void function_that_is_not_there(void **state)
{
	(void)state;
	refused("vfio:0000:7f:00.0", -ENODEV, "no PCI function 0000:7f:00.0");
}

static void function_of_another_class(void **state)
{
	(void)state;
	/* The host bridge. */
	refused("vfio:0000:00:00.0", -EINVAL, "class code is 060000");
}

static void function_without_a_driver(void **state)
{
	struct hf_pci_options options;
	struct hf_error err = {0};
	FILE *unbind = fopen("/sys/bus/pci/drivers/vfio-pci/unbind", "we");

	(void)state;
	assert_non_null(unbind);
	fputs(BDF, unbind);
	assert_int_equal(fclose(unbind), 0);
	refused(address(), -ENODEV, "'holdfast bind " BDF "'");
	hf_pci_options_init(&options);
	if (hf_pci_bind(BDF, &options, &err) != 0) {
		fail_msg("%s", err.message);
	}
	works(opened(address()));
}

/* Somebody else is named, and a moment later it is ours. */
static void function_that_is_open_already(void **state)
{
	struct hf_device *dev = opened(address());
	char want[64];

	(void)state;
	snprintf(want, sizeof(want), "%d", (int)getpid());
	if (by_cdev()) {
		struct hf_device *second = NULL;
		struct hf_error err = {0};

		assert_true(hf_device_open(&second, address(), NULL, &err) < 0);
		assert_non_null(strstr(err.message, "in use"));
	} else {
		refused(address(), -EBUSY, want);
	}
	hf_device_close(dev);
	works(opened(address()));
}

static void file_without_permission(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		struct hf_device *dev = NULL;
		struct hf_error err = {0};

		if (setgroups(0, NULL) != 0 || setgid(12345) != 0 ||
		    setuid(12345) != 0) {
			_exit(2);
		}
		int rc = hf_device_open(&dev, address(), NULL, &err);
		bool good = rc == -EACCES &&
			    strstr(err.message, "no permission") != NULL &&
			    strstr(err.message, "owner ") != NULL;
		if (!good) {
			print_error("%d: %s\n", rc, err.message);
		}
		_exit(good ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* As root nothing is limited, so another user has the descriptors. */
static int exceed_memlock(void)
{
	struct hf_device *dev = opened(address());
	struct rlimit limit = {.rlim_cur = 4 << 20, .rlim_max = 4 << 20};
	struct hf_error err = {0};
	struct hf_dma_block block;

	if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || setgid(12345) != 0 ||
	    setuid(12345) != 0) {
		return 2;
	}
	dev->options.huge_pages = HF_HUGE_PAGES_OFF;
	int rc = hf_dma_block_alloc(&dev->dma, 16 << 20, HF_DMA_OWNER_CALLER, 1,
				    &block, &err);
	bool good = rc == -ENOMEM &&
		    strstr(err.message, "RLIMIT_MEMLOCK") != NULL &&
		    strstr(err.message, "4194304") != NULL;
	if (!good) {
		print_error("%d: %s\n", rc, err.message);
	}
	hf_device_close(dev);
	return good ? 0 : 1;
}

static void memory_beyond_the_limit(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		_exit(exceed_memlock());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void fds_of_nobody(void **state)
{
	struct hf_vfio_fds fds;
	struct hf_device *dev = NULL;
	struct hf_error err = {0};

	(void)state;
	hf_vfio_fds_init(&fds);
	assert_int_equal(hf_device_open_vfio_fds(&dev, &fds, NULL, &err),
			 -EINVAL);
	/* Descriptors, but of something else. */
	fds.device = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds.container = fds.device;
	assert_true(hf_device_open_vfio_fds(&dev, &fds, NULL, &err) < 0);
	fds.container = -1;
	fds.iommufd = fds.device;
	assert_true(hf_device_open_vfio_fds(&dev, &fds, NULL, &err) < 0);
	assert_null(dev);
	/* They stayed the caller's. */
	assert_true(fcntl(fds.device, F_GETFD) >= 0);
	close(fds.device);
}

static int open_for_another(const char *path)
{
	int fd = hf_vfio_open_retry(path);

	if (fd < 0) {
		fail_msg("%s: %d", path, fd);
	}
	return fd;
}

static void fds_of_a_device_file_and_iommufd(void **state)
{
	struct hf_vfio_fds fds;
	struct hf_device *dev = NULL;
	struct hf_error err = {0};
	char name[32];
	char path[64];

	(void)state;
	if (!by_cdev()) {
		skip();
	}
	hf_vfio_fds_init(&fds);
	assert_int_equal(hf_vfio_cdev_name(BDF, name, sizeof(name)), 0);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", name);
	fds.device = open_for_another(path);
	fds.iommufd = open_for_another("/dev/iommu");
	for (int turn = 0; turn < 2; turn++) {
		/* The second time it is bound already. */
		if (hf_device_open_vfio_fds(&dev, &fds, NULL, &err) != 0) {
			fail_msg("%s", err.message);
		}
		/* The address was found by the descriptor. */
		assert_string_equal(hf_device_id(dev), "vfio:" BDF);
		works(dev);
	}
	close(fds.device);
	close(fds.iommufd);
}

static int group_of_plain(void)
{
	char path[64];
	uint32_t group;

	assert_int_equal(hf_pci_group(NULL, BDF, &group), 0);
	snprintf(path, sizeof(path), "/dev/vfio/%u", group);
	return open_for_another(path);
}

static void fds_of_a_group(void **state)
{
	struct hf_vfio_fds fds;
	struct hf_device *dev = NULL;
	struct hf_error err = {0};

	(void)state;
	if (by_cdev()) {
		skip();
	}
	hf_vfio_fds_init(&fds);
	fds.group = group_of_plain();
	fds.address = BDF;
	if (hf_device_open_vfio_fds(&dev, &fds, NULL, &err) != 0) {
		fail_msg("%s", err.message);
	}
	works(dev);
	close(fds.group);
}

static void fds_of_a_device_and_its_container(void **state)
{
	struct hf_vfio_fds fds;
	struct hf_device *dev = NULL;
	struct hf_error err = {0};
	int group;

	(void)state;
	if (by_cdev()) {
		skip();
	}
	hf_vfio_fds_init(&fds);
	group = group_of_plain();
	fds.container = open_for_another("/dev/vfio/vfio");
	assert_int_equal(ioctl(group, VFIO_GROUP_SET_CONTAINER, &fds.container),
			 0);
	assert_int_equal(
		ioctl(fds.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	fds.device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, BDF);
	assert_true(fds.device >= 0);
	/* The group is not needed any more. */
	close(group);
	for (int turn = 0; turn < 2; turn++) {
		if (hf_device_open_vfio_fds(&dev, &fds, NULL, &err) != 0) {
			fail_msg("%s", err.message);
		}
		works(dev);
	}
	close(fds.device);
	close(fds.container);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_that_are_no_address),
		cmocka_unit_test(function_that_is_not_there),
		cmocka_unit_test(function_of_another_class),
		cmocka_unit_test(function_without_a_driver),
		cmocka_unit_test(function_that_is_open_already),
		cmocka_unit_test(file_without_permission),
		cmocka_unit_test(memory_beyond_the_limit),
		cmocka_unit_test(fds_of_nobody),
		cmocka_unit_test(fds_of_a_device_file_and_iommufd),
		cmocka_unit_test(fds_of_a_group),
		cmocka_unit_test(fds_of_a_device_and_its_container),
	};

	if (address() == NULL) {
		printf("1..0 # SKIP HOLDFAST_TEST_PLAIN is not set\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
