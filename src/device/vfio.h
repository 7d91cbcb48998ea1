/* SPDX-License-Identifier: BSD-3-Clause */
/* The backing for the kernel's VFIO: a PCI function. Knows no NVMe but the
 * class code of a controller. */
#pragma once

#include "device/device.h"

struct hf_vfio_fds; /* holdfast/device.h */

/**
 * hf_vfio_open() - reach a PCI function that is bound to vfio-pci
 * @out: receives the device
 * @bdf_and_options: "0000:01:00.0", then options: ",mode=cdev" (the device's
 *                   own file and iommufd), ",mode=group" (group file and
 *                   type1), ",mode=noiommu"; ",vectors=N" bounds interrupts
 * @options: never NULL
 * @err: what is wrong, and with which command to change it
 *
 * Without a mode: cdev where kernel and permissions allow, else group.
 *
 * Return: 0 or a negative errno.
 */
HF_MUST_CHECK int hf_vfio_open(struct hf_device **out,
			       const char *bdf_and_options,
			       const struct hf_device_options *options,
			       struct hf_error *err);

/* The same out of descriptors that somebody else opened, which stay theirs. */
HF_MUST_CHECK int hf_vfio_open_fds(struct hf_device **out,
				   const struct hf_vfio_fds *fds,
				   const struct hf_device_options *options,
				   struct hf_error *err);

/*
 * A device that is running, out of what ops->carry gave to a predecessor that
 * is dead for certain. It is not reset; its mappings stay in force; vectors are
 * armed again. What an interrupt told meanwhile may be lost: look at every
 * completion queue once. On success the descriptors have been taken out of
 * @set; on failure those of the device still are in it, and nothing has been
 * done to the device that a second attempt would mind.
 */
HF_MUST_CHECK int hf_vfio_adopt(struct hf_device **out, struct hf_fdset *set,
				const struct hf_device_options *options,
				struct hf_error *err);
