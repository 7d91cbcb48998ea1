/* SPDX-License-Identifier: BSD-3-Clause */
#include "holdfast/driver.h"

#include <errno.h>
#include <string.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/error.h"
#include "driver/admin.h"
#include "driver/driver.h"
#include "driver/inspect.h"
#include "driver/ioqueues.h"
#include "driver/keep.h"
#include "driver/lifecycle.h"
#include "namespace/io.h"
#include "runtime/runtime.h"

/* Of finding room in memory that was made for it. */
#define KEEP_TRIES 16

int hf_driver_start(struct hf_driver **drv, struct hf_device *device,
		    const struct hf_driver_options *options,
		    struct hf_error *err)
{
	struct hf_driver_options defaults;

	if (options == NULL) {
		hf_driver_options_init(&defaults);
		options = &defaults;
	}
	int rc = hf_lifecycle_start(drv, device, options, err);
	if (rc != 0) {
		return rc;
	}
	rc = hf_runtime_create(*drv, err);
	if (rc != 0) {
		/* Nothing has been done to the controller; the device goes
		 * back to the caller. */
		hf_lifecycle_abandon(*drv);
	}
	return rc;
}

int hf_driver_ready_wait(struct hf_driver *drv, struct hf_error *err)
{
	return hf_lifecycle_ready_wait(drv, err);
}

int hf_driver_open(struct hf_driver **drv, const char *address,
		   const struct hf_driver_options *options,
		   struct hf_error *err)
{
	struct hf_driver_options defaults;
	struct hf_device *device;

	if (options == NULL) {
		hf_driver_options_init(&defaults);
		options = &defaults;
	}
	int rc = hf_device_open(&device, address, &options->device, err);
	if (rc != 0) {
		return rc;
	}
	rc = hf_driver_start(drv, device, options, err);
	if (rc != 0) {
		hf_device_close(device);
		return rc;
	}
	rc = hf_driver_ready_wait(*drv, err);
	if (rc != 0) {
		/* What opening failed with is what matters. */
		(void)hf_driver_close(*drv, NULL);
	}
	return rc;
}

int hf_driver_fd(const struct hf_driver *drv)
{
	return drv->epoll_fd;
}

int hf_driver_close(struct hf_driver *drv, struct hf_error *err)
{
	if (drv == NULL) {
		return 0;
	}
	/* Callbacks may submit more in here, and are told that it is over:
	 * the queues have to be there until the last of them has run. */
	(void)!hf_keep_pause(drv, NULL);
	hf_runtime_pause(drv);
	int rc = hf_lifecycle_stop(drv, err);
	hf_runtime_destroy(drv);
	if (rc == 0) {
		hf_lifecycle_free(drv);
	}
	return rc;
}

const struct nvme_id_ctrl *hf_driver_identify(const struct hf_driver *drv)
{
	return (const void *)drv->ledger.header->identify;
}

struct hf_device *hf_driver_device(const struct hf_driver *drv)
{
	return drv->dev;
}

void hf_driver_get_info(struct hf_driver *drv, struct hf_driver_info *info)
{
	pthread_mutex_lock(&drv->control);
	*info = (struct hf_driver_info){
		.cpu_count = drv->options.cpu_count,
		.io_queues_max = drv->io_max,
		.io_queues = drv->io_count,
		.fallback_cpus = hf_ioqueues_fallback_count(drv),
		.queue_entries = drv->ledger.header->queue_entries,
		.max_transfer_bytes = drv->limits.max_transfer_bytes,
		.version = drv->ctrl.vs,
		.capabilities = drv->ctrl.cap,
	};
	pthread_mutex_unlock(&drv->control);
}

char *hf_driver_inspect(struct hf_driver *drv)
{
	return hf_inspect(drv);
}

int hf_event_next(struct hf_driver *drv, struct hf_event *event)
{
	return hf_event_ring_take(&drv->events, event);
}

int hf_event_fd(const struct hf_driver *drv)
{
	return drv->events.fd;
}

void *hf_dma_alloc(struct hf_driver *drv, uint64_t len_bytes,
		   struct hf_error *err)
{
	struct hf_dma *dma = &drv->dev->dma;
	struct hf_dma_block block;

	int rc = hf_dma_block_alloc(dma, len_bytes, HF_DMA_OWNER_CALLER, 0,
				    &block, err);
	/* Others may take the room that was made: then there is more. */
	for (uint32_t i = 0; rc == HF_DMA_UNKEPT && i < KEEP_TRIES; i++) {
		rc = hf_keep_new(drv, err);
		if (rc == 0) {
			rc = hf_dma_block_alloc(dma, len_bytes,
						HF_DMA_OWNER_CALLER, 0, &block,
						err);
		}
	}
	if (rc == HF_DMA_UNKEPT) {
		(void)hf_error_set(err, -ENOMEM,
				   "%s: other threads took what DMA memory was "
				   "made, %d times",
				   drv->dev->id, KEEP_TRIES);
	}
	return rc == 0 ? block.vaddr : NULL;
}

void hf_dma_free(struct hf_driver *drv, void *memory)
{
	struct hf_dma_block block;

	if (memory != NULL &&
	    hf_dma_block_find(&drv->dev->dma, memory, &block) == 0) {
		hf_dma_block_free(&drv->dev->dma, &block);
	}
}

int hf_dma_register(struct hf_driver *drv, void *memory, uint64_t len_bytes,
		    int fd, uint64_t fd_offset, struct hf_error *err)
{
	struct hf_dma *dma = &drv->dev->dma;

	int rc = hf_dma_register_range(dma, memory, len_bytes, fd, fd_offset,
				       err);
	if (rc != HF_DMA_UNKEPT) {
		return rc;
	}
	rc = hf_keep_new(drv, err);
	/* Another thread may have had it kept, or failed to. */
	if (hf_dma_is_registered(dma, memory)) {
		return 0;
	}
	return rc != 0 ? rc
		       : hf_error_set(err, -EIO,
				      "%s: the memory at %p was not kept for a "
				      "successor, and is not registered",
				      drv->dev->id, memory);
}

int hf_dma_unregister(struct hf_driver *drv, void *memory, struct hf_error *err)
{
	return hf_dma_unregister_range(&drv->dev->dma, memory, err);
}

/* Settings that queues depend on; that make a controller give up a host which
 * does not send Keep Alive, as across a restart; or that lend it memory for
 * longer than the command takes. */
static bool is_forbidden_feature(uint32_t feature)
{
	return feature == NVME_FEAT_FID_NUM_QUEUES ||
	       feature == NVME_FEAT_FID_KATO ||
	       feature == NVME_FEAT_FID_HOST_MEM_BUF;
}

/* NVMe Base 2.1, which libnvme's types are older than. */
#define ADMIN_CONTROLLER_DATA_QUEUE 0x45u

/* Commands that would pull the rug from under the driver. */
static bool is_forbidden(const struct hf_command *command)
{
	switch (command->opcode) {
	case nvme_admin_create_sq:
	case nvme_admin_delete_sq:
	case nvme_admin_create_cq:
	case nvme_admin_delete_cq:
	case nvme_admin_async_event:
	case nvme_admin_dbbuf:
		return true;
	case nvme_admin_abort_cmd:
		/* Of the admin queue: its event requests, and what control
		 * work waits for. */
		return (command->cdw10 & 0xffff) == 0;
	case ADMIN_CONTROLLER_DATA_QUEUE:
		/* The controller writes to its buffer after it has ended. */
		return true;
	case nvme_admin_set_features:
		return is_forbidden_feature(command->cdw10 & 0xff);
	default:
		return false;
	}
}

int hf_admin_command(struct hf_driver *drv, struct hf_command *command,
		     struct hf_error *err)
{
	if (is_forbidden(command)) {
		return hf_error_set(err, -EPERM,
				    "%s: admin command %02xh is the driver's "
				    "own business and is not passed through",
				    drv->dev->id, command->opcode);
	}
	if (!hf_command_is_sound(command)) {
		return hf_error_set(err, -EINVAL,
				    "%s: admin command %02xh: a buffer and its "
				    "length must be given together, and its "
				    "direction must be that of the opcode",
				    drv->dev->id, command->opcode);
	}
	/* Before that it has neither a queue nor limits. */
	int rc = hf_admin_up_wait(drv, command, err);
	if (rc != 0) {
		return rc;
	}
	/* Half of the queue's pages, so that copied data always finds room. */
	uint32_t max_bytes =
		HF_MIN(drv->limits.max_transfer_bytes,
		       drv->admin->pool.count / 2 * NVME_PAGE_BYTES);
	if (command->data_len_bytes > max_bytes) {
		return hf_error_set(err, -EMSGSIZE,
				    "%s: admin command %02xh: %u bytes of data "
				    "are more than one command takes, %u",
				    drv->dev->id, command->opcode,
				    command->data_len_bytes, max_bytes);
	}
	return hf_admin_command_wait(drv, command, err);
}
