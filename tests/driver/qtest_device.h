/* SPDX-License-Identifier: BSD-3-Clause */
/* A device backing for tests: QEMU's NVMe controller with no guest kernel.
 * Knows PCI and MSI-X, not NVMe. */
#pragma once

#include "device/device.h"
#include "qtest_machine.h"

/* What differs from test to test; NULL stands for the defaults. */
struct hf_qtest_config {
	/* More of "-device nvme": "max_ioqpairs=8,msix_qsize=9". */
	const char *controller;
	/* A -drive with id=d0: 256 MiB in a memfd unless given. */
	const char *drive;
	/* More of "-device nvme-ns": "logical_block_size=4096,...". */
	const char *ns;
	/* More arguments, up to a NULL. */
	const char *const *more;
};

/*
 * Starts a QEMU and reaches its controller, "qtest:nvme0". Its namespace 1 is
 * on drive d0, and it is part of subsystem subsys0. -ENOENT: no QEMU here.
 */
HF_MUST_CHECK int hf_qtest_open(struct hf_device **dev,
				const struct hf_qtest_config *config,
				const struct hf_device_options *options,
				struct hf_error *err);

/* The machine behind a device that hf_qtest_open() gave. */
struct hf_qtest_machine *hf_qtest_machine(struct hf_device *dev);

/*
 * What QEMU's controllers found wrong with their driver, over all devices that
 * this process has had and closed; lines that hold @allowed do not count (may
 * be NULL).
 */
uint32_t hf_qtest_mistakes(const char *allowed);
