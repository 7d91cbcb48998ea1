/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver of one controller: opening, its control side, DMA memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/device.h"
#include "holdfast/error.h"
#include "holdfast/log.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hf_driver;
struct nvme_id_ctrl; /* libnvme's <nvme/types.h> */

/**
 * enum hf_shadow_doorbells - when the controller is given memory to look at
 * instead of doorbell registers (Doorbell Buffer Config, NVMe Base 5.8)
 * @HF_SHADOW_DOORBELLS_AUTO: where it offers that and each doorbell would cost
 *                            a message or an exit of a virtual machine
 * @HF_SHADOW_DOORBELLS_OFF: never
 * @HF_SHADOW_DOORBELLS_ON: wherever the controller offers it
 */
enum hf_shadow_doorbells {
	HF_SHADOW_DOORBELLS_AUTO,
	HF_SHADOW_DOORBELLS_OFF,
	HF_SHADOW_DOORBELLS_ON,
};

/**
 * enum hf_device_class - what a controller takes while drivers follow one
 * another on it
 * @HF_DEVICE_CLASS_AUTO: what is known of its PCI vendor and device; one whose
 *                        identifiers cannot be read is not left enabled
 * @HF_DEVICE_CLASS_ORDINARY: whatever the specification allows
 * @HF_DEVICE_CLASS_QUIET: no admin command once it is up: all queues are made
 *                         at the start, there are no asynchronous events, and
 *                         namespaces are those of the start
 * @HF_DEVICE_CLASS_FORBIDDEN: it must not outlive its driver
 */
enum hf_device_class {
	HF_DEVICE_CLASS_AUTO,
	HF_DEVICE_CLASS_ORDINARY,
	HF_DEVICE_CLASS_QUIET,
	HF_DEVICE_CLASS_FORBIDDEN,
};

/**
 * struct hf_driver_options - how a controller is driven
 * @size: sizeof(struct hf_driver_options) of the caller
 * @log: receiver of the driver's log lines
 * @cpu_count: CPUs served, 0 up to this; each has a queue of its own where the
 *             controller has enough
 * @io_queues: ask the controller for at most so many; 1 or more
 * @queue_entries: entries of each I/O queue, 2 or more, bounded by CAP.MQES;
 *                 from 3 on, two less commands are under way at once
 * @pool_pages: 4 KiB pages of each I/O queue for PRP lists and bouncing
 * @bounce: copy all data through pages that the driver owns
 * @runtime: start a control thread and interrupt threads; without them, the
 *           caller drives hf_driver_process()
 * @device: how to open the device, with hf_driver_open()
 * @keepalive: hf_driver_save() may leave the controller enabled for a
 *             successor, and hf_driver_carry() give a keeper the device
 * @io_timeout_ms: deadline of reads, writes and compares; 0 turns off all
 *                 deadlines
 * @long_timeout_ms: deadline of flushes and of what touches many blocks
 * @admin_timeout_ms: deadline of admin commands, but for formatting
 * @shadow_doorbells: of enum hf_shadow_doorbells; a successor goes on with what
 *                    it finds
 * @retries: a command whose status says that another try may succeed is sent
 *           again at most so often, 0 to 100; 0 hands every error to the
 *           caller. See "Retries" in holdfast(3).
 * @device_class: of enum hf_device_class; what is said here goes before what
 *                is known. A successor of a quiet driver is quiet, and one
 *                that knows nothing goes by what its predecessor knew.
 */
struct hf_driver_options {
	size_t size;
	struct hf_log log;
	uint32_t cpu_count;
	uint32_t io_queues;
	uint32_t queue_entries;
	uint32_t pool_pages;
	bool bounce;
	bool runtime;
	struct hf_device_options device;
	bool keepalive;
	uint32_t io_timeout_ms;
	uint32_t long_timeout_ms;
	uint32_t admin_timeout_ms;
	uint32_t shadow_doorbells;
	uint32_t retries;
	uint32_t device_class;
};

/**
 * hf_driver_options_init() - fill in the defaults
 * @options: to fill
 *
 * All CPUs of this machine, a queue for each, 256 entries, 512 pages, no
 * forced bouncing, with the runtime.
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_driver_options_init(struct hf_driver_options *options);

/**
 * hf_driver_open() - open a device and bring its controller up
 * @drv: receives the driver
 * @address: as for hf_device_open()
 * @options: NULL for the defaults
 * @err: what went wrong, and in which step; may be NULL
 *
 * hf_device_open(), hf_driver_start() and hf_driver_ready_wait() in one. A
 * controller that is found enabled is reset first.
 *
 * Context: control path, any thread; blocks, bounded by the controller's own
 * time limits (CAP.TO or CRTO).
 * Return: 0, a negative errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_driver_open(struct hf_driver **drv,
					const char *address,
					const struct hf_driver_options *options,
					struct hf_error *err);

/**
 * hf_driver_start() - begin to bring a controller up
 * @drv: receives the driver
 * @device: taken over on success; still the caller's on failure
 * @options: NULL for the defaults
 * @err: what went wrong; may be NULL
 *
 * Returns at once; hf_driver_process() does the steps, so that many
 * controllers can be brought up side by side.
 *
 * Context: control path, any thread; never blocks.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int
hf_driver_start(struct hf_driver **drv, struct hf_device *device,
		const struct hf_driver_options *options, struct hf_error *err);

/**
 * hf_driver_ready_wait() - wait until the controller is up, or is not to be
 * @drv: a driver that hf_driver_start() gave
 * @err: what went wrong, and in which step; may be NULL
 *
 * Context: blocks, bounded by the controller's own time limits.
 * Return: 0, a negative errno or an NVMe status word; on failure the driver
 * is still to be closed.
 */
HF_API HF_MUST_CHECK int hf_driver_ready_wait(struct hf_driver *drv,
					      struct hf_error *err);

/**
 * hf_driver_fd() - readable when hf_driver_process() has something to do
 * @drv: the driver
 *
 * Context: any thread; never blocks. The descriptor stays the driver's.
 * Return: a descriptor for poll or epoll.
 */
HF_API int hf_driver_fd(const struct hf_driver *drv);

/**
 * hf_driver_process() - do the control work that is due
 * @drv: the driver
 *
 * Queues that are wanted, asynchronous events, rescans, deadlines. The
 * runtime's control thread does this; without a runtime, the caller's event
 * loop does.
 *
 * Context: any thread; never blocks, but for hf_driver_keep_with() without the
 * runtime.
 * Return: 0, or -ENODEV once the controller is lost for good.
 */
HF_API int hf_driver_process(struct hf_driver *drv);

/**
 * hf_driver_close() - shut the controller down and let go of it
 * @drv: NULL is allowed; gone afterwards in any case
 * @err: what was left undone; may be NULL
 *
 * A proper shutdown (CC.SHN) bounded by RTD3E, then a disable. What is in
 * flight ends with -ECANCELED, after the device can no longer touch its
 * memory; a callback that submits more is refused with -ENODEV. Namespaces and
 * queues become invalid. If the device cannot be proven stopped, the memory it
 * may touch is kept and the error says so.
 *
 * Context: control path; blocks, also for what hf_driver_keep_with() was given,
 * while that is under way. No other thread may be inside a call.
 * Return: 0 or a negative errno.
 */
HF_API int hf_driver_close(struct hf_driver *drv, struct hf_error *err);

/**
 * hf_driver_identify() - the Identify Controller data
 * @drv: a driver that is ready
 *
 * Context: any thread; never blocks.
 * Return: 4096 bytes that live as long as the driver.
 */
HF_API const struct nvme_id_ctrl *
hf_driver_identify(const struct hf_driver *drv);

/**
 * hf_driver_device() - the device under a driver
 * @drv: the driver
 *
 * Context: any thread; never blocks.
 * Return: the device; it stays the driver's.
 */
HF_API struct hf_device *hf_driver_device(const struct hf_driver *drv);

/**
 * struct hf_driver_info - what the driver has to work with
 * @cpu_count: CPUs served
 * @io_queues_max: as granted by the controller and bounded by interrupts
 * @io_queues: made so far
 * @fallback_cpus: CPUs that issue through another CPU's queue
 * @queue_entries: entries of each I/O queue
 * @max_transfer_bytes: one command moves at most so many
 * @version: the VS register
 * @capabilities: the CAP register
 */
struct hf_driver_info {
	uint32_t cpu_count;
	uint32_t io_queues_max;
	uint32_t io_queues;
	uint32_t fallback_cpus;
	uint32_t queue_entries;
	uint64_t max_transfer_bytes;
	uint32_t version;
	uint64_t capabilities;
};

/**
 * hf_driver_get_info() - how the driver stands
 * @drv: a driver that is ready
 * @info: to fill
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_driver_get_info(struct hf_driver *drv,
			       struct hf_driver_info *info);

/**
 * hf_driver_inspect() - the live state as a tree
 * @drv: the driver
 *
 * Looks only: nothing that is under way is disturbed.
 *
 * Context: any thread; never blocks.
 * Return: JSON for the caller to free(), or NULL when memory ran out.
 */
HF_API char *hf_driver_inspect(struct hf_driver *drv);

/* What an event is about. */
enum hf_event_kind {
	HF_EVENT_NAMESPACE_CHANGED, /* size or attributes of @nsid */
	HF_EVENT_NAMESPACE_REMOVED, /* gone, or another one in its place */
	HF_EVENT_NAMESPACE_ADDED,   /* not open: hf_namespace_open() it */
	HF_EVENT_ASYNC,             /* an asynchronous event: type, info, log */
	HF_EVENT_CONTROLLER_RESET,  /* the controller was reset and is back */
	HF_EVENT_CONTROLLER_LOST,   /* failed for good, or removed */
	HF_EVENT_REMOVE_REQUESTED,  /* the system wants the device back */
};

/**
 * struct hf_event - something that happened by itself
 * @kind: what it is about
 * @nsid: with the namespace kinds
 * @async_type: asynchronous event type, with HF_EVENT_ASYNC
 * @async_info: asynchronous event information
 * @log_page: the log page that tells more; it has been read already
 * @lost: events before this one that were dropped, since nobody took them
 * @text: the event in words
 */
struct hf_event {
	enum hf_event_kind kind;
	uint32_t nsid;
	uint8_t async_type;
	uint8_t async_info;
	uint8_t log_page;
	uint32_t lost;
	char text[160];
};

/**
 * hf_event_next() - take the oldest event
 * @drv: the driver
 * @event: to fill
 *
 * Context: any thread; never blocks.
 * Return: 1 when there was one, 0 when not.
 */
HF_API int hf_event_next(struct hf_driver *drv, struct hf_event *event);

/**
 * hf_event_fd() - readable while there are events to take
 * @drv: the driver
 *
 * Context: any thread; never blocks. The descriptor stays the driver's.
 * Return: a descriptor for poll or epoll.
 */
HF_API int hf_event_fd(const struct hf_driver *drv);

/**
 * hf_dma_alloc() - memory that the controller reaches without copying
 * @drv: the driver
 * @len_bytes: rounded up to 4 KiB
 * @err: what went wrong; may be NULL
 *
 * In a memfd, so that it outlives the process with the rest of what a
 * successor needs. Aligned to 4 KiB, zeroed.
 *
 * Context: control path, any thread; may make system calls. May block with
 * hf_driver_keep_with().
 * Return: the memory, or NULL.
 */
HF_API void *hf_dma_alloc(struct hf_driver *drv, uint64_t len_bytes,
			  struct hf_error *err);

/**
 * hf_dma_free() - give hf_dma_alloc() memory back
 * @drv: the driver
 * @memory: NULL is allowed; nothing may be in flight on it
 *
 * Context: control path, any thread.
 */
HF_API void hf_dma_free(struct hf_driver *drv, void *memory);

/**
 * hf_dma_register() - let the controller reach the caller's memory
 * @drv: the driver
 * @memory: 4 KiB aligned
 * @len_bytes: a multiple of 4 KiB
 * @fd: memfd or other shared file that @memory maps, or -1 for private memory
 * @fd_offset: where in @fd it begins
 * @err: what went wrong; may be NULL
 *
 * Private memory does not survive the process; a vfio-user server cannot reach
 * it at all (-ENOTSUP): I/O on it is copied then, as for memory that was never
 * registered. Memory in a file lives on with the device: where a predecessor
 * had registered the same part of it, the controller's mapping is found again.
 *
 * The file is the caller's, and holdfast seals nothing: whoever has a
 * descriptor of it, a keeper, a server or a successor too, can make it smaller,
 * and a process that then touches what is gone dies of SIGBUS. Of a memfd that
 * was made with MFD_ALLOW_SEALING, fcntl(F_ADD_SEALS, F_SEAL_SHRINK) prevents
 * that; and a successor maps only such ahead. (What hf_dma_alloc() gives is
 * sealed, and no successor takes it otherwise.)
 *
 * Context: control path, any thread; may make system calls. May block with
 * hf_driver_keep_with().
 * Return: 0, -EINVAL, -EEXIST for an overlap, -ENOSPC at the limit of
 * mappings, -ENOMEM at the limit of locked memory, another negative errno.
 */
HF_API HF_MUST_CHECK int hf_dma_register(struct hf_driver *drv, void *memory,
					 uint64_t len_bytes, int fd,
					 uint64_t fd_offset,
					 struct hf_error *err);

/**
 * hf_dma_unregister() - undo hf_dma_register()
 * @drv: the driver
 * @memory: as registered; nothing may be in flight on it
 * @err: what went wrong; may be NULL
 *
 * Context: control path, any thread; may make system calls.
 * Return: 0, -ENOENT, or another negative errno.
 */
HF_API HF_MUST_CHECK int hf_dma_unregister(struct hf_driver *drv, void *memory,
					   struct hf_error *err);

#ifdef __cplusplus
}
#endif
