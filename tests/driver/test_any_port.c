/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a backing carries registers, memory and interrupts between a real
 *       controller and this process, and nothing else reaches the controller.
 * Method: an admin queue by hand on the device port; no driver. That memory
 *       which was not mapped is out of reach is for the kernel to say, in the
 *       log of a machine with an IOMMU (HOLDFAST_TEST_IOMMU=1 asks for that).
 */
#include "any_device.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <nvme/types.h>

#include "base/clock.h"
#include "raw_admin.h"

/* Mapped by nobody, and within 39 bits. */
#define NOBODYS_IOVA UINT64_C(0x7654321000)

static struct hf_device *start(struct raw_admin *admin)
{
	struct hf_device *dev = any_open_device(ANY_PLAIN, NULL);
	struct hf_error err = {0};

	if (raw_admin_start(admin, dev, &err) != 0) {
		fail_msg("%s", err.message);
	}
	return dev;
}

static void stop(struct raw_admin *admin)
{
	struct hf_device *dev = admin->dev;

	raw_admin_stop(admin);
	hf_device_close(dev);
}

static void registers_are_read(void **state)
{
	struct hf_device *dev = any_open_device(ANY_PLAIN, NULL);
	uint32_t version = 0;
	uint32_t low = 0;
	uint64_t cap = 0;

	(void)state;
	assert_int_equal(hf_reg_read64(dev, NVME_REG_CAP, &cap), 0);
	assert_int_equal(hf_reg_read32(dev, NVME_REG_CAP, &low), 0);
	assert_int_equal(hf_reg_read32(dev, NVME_REG_VS, &version), 0);
	assert_int_equal(low, cap & UINT32_MAX);
	assert_in_range(version, 0x10000, 0x2ffff);
	assert_int_equal(
		hf_reg_read32(dev, (uint32_t)dev->bar0_bytes, &version),
		-ERANGE);
	hf_device_close(dev);
}

static void identify_arrives_in_dma_memory(void **state)
{
	struct raw_admin admin;
	const struct nvme_id_ctrl *id;

	(void)state;
	start(&admin);
	id = (const struct nvme_id_ctrl *)admin.data.vaddr;
	/* More than once round the ring. */
	for (int i = 0; i < 20; i++) {
		memset(admin.data.vaddr, 0, 4096);
		assert_int_equal(raw_admin_identify(&admin, admin.data.iova),
				 0);
		assert_int_equal(id->sqes, 0x66);
	}
	stop(&admin);
}

static void completion_raises_the_interrupt(void **state)
{
	struct raw_admin admin;

	(void)state;
	start(&admin);
	assert_int_equal(raw_admin_identify(&admin, admin.data.iova), 0);
	assert_true(raw_admin_interrupted(&admin));
	stop(&admin);
}

static void private_memory_is_reached_while_mapped(void **state)
{
	struct raw_admin admin;
	struct hf_device *dev = start(&admin);
	struct nvme_id_ctrl *id = aligned_alloc(4096, 4096);
	struct hf_dma_mapping map = {.iova = UINT64_C(0x8000000),
				     .vaddr = id,
				     .len_bytes = 4096,
				     .fd = -1};
	struct hf_error err = {0};
	int rc;

	(void)state;
	assert_non_null(id);
	memset(id, 0, 4096);
	rc = dev->ops->dma_map(dev, &map, &err);
	if (rc == 0) {
		assert_int_equal(raw_admin_identify(&admin, map.iova), 0);
		assert_int_equal(id->sqes, 0x66);
		assert_int_equal(dev->ops->dma_unmap(dev, &map, &err), 0);
		assert_int_equal(id->sqes, 0x66);
	} else {
		assert_int_equal(rc, -ENOTSUP);
	}
	free(id);
	stop(&admin);
}

/* Does the kernel's log tell of a fault at @iova within five seconds? */
static bool fault_logged(uint64_t iova)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct pollfd waiting = {.fd = fd, .events = POLLIN};
	uint64_t deadline = hf_deadline_ms(5000);
	bool found = false;
	char want[32];
	char record[1024];

	assert_true(fd >= 0);
	snprintf(want, sizeof(want), "fault addr 0x%llx",
		 (unsigned long long)iova);
	while (!found && !hf_deadline_passed(deadline)) {
		/* One record a call, from the oldest on. */
		ssize_t len = read(fd, record, sizeof(record) - 1);

		if (len > 0) {
			record[len] = '\0';
			found = strstr(record, want) != NULL;
		} else {
			(void)!poll(&waiting, 1, hf_deadline_poll_ms(deadline));
		}
	}
	close(fd);
	return found;
}

static void dma_outside_mapped_memory_is_refused(void **state)
{
	struct raw_admin admin;

	(void)state;
	start(&admin);
	/* Whatever the controller says, the IOMMU has the last word. */
	(void)raw_admin_identify(&admin, NOBODYS_IOVA);
	assert_true(fault_logged(NOBODYS_IOVA));
	/* And nobody else is harmed. */
	assert_int_equal(raw_admin_identify(&admin, admin.data.iova), 0);
	stop(&admin);
}

static int teardown(void **state)
{
	(void)state;
	return any_no_mistakes(NULL);
}

int main(void)
{
	int absent = any_absent(ANY_PLAIN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_are_read),
		cmocka_unit_test(identify_arrives_in_dma_memory),
		cmocka_unit_test(completion_raises_the_interrupt),
		cmocka_unit_test(private_memory_is_reached_while_mapped),
	};
	const struct CMUnitTest iommu_tests[] = {
		cmocka_unit_test(dma_outside_mapped_memory_is_refused),
	};

	if (absent >= 0) {
		return absent;
	}
	if (getenv("HOLDFAST_TEST_IOMMU") != NULL) {
		return cmocka_run_group_tests(iommu_tests, NULL, teardown);
	}
	return cmocka_run_group_tests(tests, NULL, teardown);
}
