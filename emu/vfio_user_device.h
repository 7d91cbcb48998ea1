/* SPDX-License-Identifier: BSD-3-Clause */
/* A controller as a vfio-user device: what each message does. Knows no socket:
 * whole messages go in, whole replies come out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/pci_config.h"
#include "emu/vfio_user_dma.h"
#include "emu/vfio_user_irq.h"
#include "holdfast/emu_serve.h"
#include "spec/vfio_user.h"

/* What may be read from or written to a region by one message. */
#define HF_VFUS_MAX_TRANSFER VFU_DEFAULT_MAX_DATA_XFER_SIZE
/* The largest message either way. */
#define HF_VFUS_MAX_MESSAGE                                                    \
	(sizeof(struct vfu_header) + sizeof(struct vfu_region_access) +        \
	 HF_VFUS_MAX_TRANSFER)

struct hf_vfus_device {
	struct hf_emu *emu;
	const struct hf_emu_serve_options *options;
	struct hf_pci_config pci;
	struct hf_vfus_dma dma;
	struct hf_vfus_irq irq;
	uint64_t bar0_bytes;
	uint32_t msix_bar_bytes;
	uint32_t pba_offset;
	int doorbell_fd; /* the controller's; -1: not mapped */
	uint64_t doorbell_bytes;
	bool negotiated; /* VERSION has been dealt with */
	uint64_t messages[32];
	uint64_t errors;
};

struct hf_vfus_request {
	struct vfu_header header;
	const uint8_t *payload;
	uint32_t len_bytes; /* of the payload */
	int *fds;           /* one that is kept is set to -1 */
	uint32_t fd_count;
};

struct hf_vfus_reply {
	uint8_t *payload; /* room for HF_VFUS_MAX_MESSAGE */
	uint32_t len_bytes;
	int fd;   /* to be sent along, or -1; stays the device's */
	bool end; /* the connection is of no use any more */
};

int hf_vfus_device_init(struct hf_vfus_device *device, struct hf_emu *emu,
			const struct hf_emu_serve_options *options, int wake_fd,
			struct hf_error *err);
void hf_vfus_device_fini(struct hf_vfus_device *device);

/* A client has connected; one has gone. */
void hf_vfus_device_connect(struct hf_vfus_device *device);
void hf_vfus_device_disconnect(struct hf_vfus_device *device);

/**
 * hf_vfus_device_handle() - do what a message says
 * @device: device
 * @request: a command; nothing but the header's size and type was checked
 * @reply: receives the reply's payload
 *
 * Context: the server's thread; may wait for commands in execution.
 * Return: 0, or -errno for an error reply, which has no payload.
 */
int hf_vfus_device_handle(struct hf_vfus_device *device,
			  const struct hf_vfus_request *request,
			  struct hf_vfus_reply *reply);
