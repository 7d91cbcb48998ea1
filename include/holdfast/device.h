/* SPDX-License-Identifier: BSD-3-Clause */
/* How a controller is reached: addresses, opening, letting go. No commands. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/error.h"
#include "holdfast/log.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hf_device;
struct hf_emu;

/* Whether DMA memory comes from huge pages. */
enum hf_huge_pages {
	HF_HUGE_PAGES_AUTO, /* where the system has free ones */
	HF_HUGE_PAGES_OFF,
	HF_HUGE_PAGES_ONLY, /* fail rather than use 4 KiB pages */
};

/**
 * struct hf_device_options - how to open a device
 * @size: sizeof(struct hf_device_options) of the caller
 * @log: receiver of the device's log lines
 * @huge_pages: where DMA memory comes from
 * @timeout_ms: bound on each wait for the other side (a vfio-user server)
 * @dma_limit_bytes: refuse to take more DMA memory than this; 0 for no limit
 */
struct hf_device_options {
	size_t size;
	struct hf_log log;
	enum hf_huge_pages huge_pages;
	uint32_t timeout_ms;
	uint64_t dma_limit_bytes;
};

/**
 * hf_device_options_init() - fill in the defaults
 * @options: to fill
 *
 * Silent log, huge pages where there are some, five seconds, no limit.
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_device_options_init(struct hf_device_options *options);

/**
 * hf_device_open() - reach a controller
 * @device: receives the device; the caller owns it until a driver takes it
 * @address: "vfio:0000:01:00.0" (a bare PCI address too; ",mode=group" and
 *           other options in holdfast-vfio(7)),
 *           "vfio-user:/run/x.sock", or "emulated:" with options
 *           ("emulated:size=1G,lba=4096,namespaces=2", "emulated:disk.img")
 * @options: NULL for the defaults
 * @err: says what is wrong with the address or the device; may be NULL
 *
 * Nothing is done to the controller itself yet: a driver does that.
 *
 * Context: control path, any thread; blocks for the other side, bounded by
 * the options' timeout.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_device_open(struct hf_device **device,
					const char *address,
					const struct hf_device_options *options,
					struct hf_error *err);

/**
 * hf_device_open_emulated() - reach an emulated controller of this process
 * @device: receives the device
 * @emu: the controller; stays the caller's, and must outlive the device
 * @options: NULL for the defaults
 * @err: what went wrong; may be NULL
 *
 * For tests and tools that want a hand on the controller while a driver runs
 * it.
 *
 * Context: control path, any thread; never blocks.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int
hf_device_open_emulated(struct hf_device **device, struct hf_emu *emu,
			const struct hf_device_options *options,
			struct hf_error *err);

/**
 * struct hf_vfio_fds - descriptors of the kernel's VFIO that are open already
 * @size: sizeof(struct hf_vfio_fds) of the caller
 * @device: the device's file (/dev/vfio/devices/vfioN), or what its group gave
 * @iommufd: /dev/iommu, for a device file; bound to it or not yet
 * @ioas_id: address space of @iommufd to attach to; 0 makes one
 * @container: /dev/vfio/vfio that the device's group has joined
 * @group: /dev/vfio/N, where the device itself has not been taken from it
 * @address: "0000:01:00.0", for names and interrupts' CPUs; needed with @group
 *
 * Descriptors that are not there are -1. There are three ways: @device and
 * @iommufd; @device and @container; @group, perhaps with @container.
 */
struct hf_vfio_fds {
	size_t size;
	int device;
	int iommufd;
	uint32_t ioas_id;
	int container;
	int group;
	const char *address;
};

/**
 * hf_vfio_fds_init() - no descriptors yet
 * @fds: to fill
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_vfio_fds_init(struct hf_vfio_fds *fds);

/**
 * hf_device_open_vfio_fds() - reach a controller that somebody else opened
 * @device: receives the device; the caller owns it until a driver takes it
 * @fds: the descriptors; they stay the caller's, duplicates are used
 * @options: NULL for the defaults
 * @err: what is wrong with them; may be NULL
 *
 * For a process that may not open /dev/vfio itself and was handed a device. As
 * long as the caller, or anybody, keeps a descriptor of the device open, the
 * kernel does not reset the function when holdfast lets go of it.
 *
 * Context: control path, any thread; blocks for the kernel, half a second at
 * most.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_device_open_vfio_fds(
	struct hf_device **device, const struct hf_vfio_fds *fds,
	const struct hf_device_options *options, struct hf_error *err);

/**
 * hf_device_close() - let go of a device that no driver has taken
 * @device: NULL is allowed
 *
 * Context: control path, any thread.
 */
HF_API void hf_device_close(struct hf_device *device);

/**
 * hf_device_id() - the device's name in log lines and errors
 * @device: the device
 *
 * Context: any thread; never blocks.
 * Return: a string that lives as long as the device.
 */
HF_API const char *hf_device_id(const struct hf_device *device);

#ifdef __cplusplus
}
#endif
