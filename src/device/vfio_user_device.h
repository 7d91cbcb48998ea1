/* SPDX-License-Identifier: BSD-3-Clause */
/* The vfio-user backing from inside: what its parts share. Knows no messages.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"
#include "device/vfio_user_conn.h"

enum {
	HF_VFU_VECTORS_MAX = 2048, /* what an MSI-X table can hold */
};

/* What VERSION settled, and what the device told of itself. */
struct hf_vfu_facts {
	uint32_t max_fds;        /* per message that we send */
	uint32_t max_xfer_bytes; /* per register access */
	uint32_t max_dma_maps;   /* as the server said; 0: it did not */
	uint64_t page_sizes;
	bool can_reset;
	bool has_request; /* an interrupt that asks for the device back */
	uint64_t bar0_bytes;
	uint64_t doorbells_file_offset; /* of 0x1000, in the descriptor */
	uint64_t doorbells_bytes;       /* 0: not mapped */
	uint32_t vectors;
	uint32_t msix_offset; /* of the capability, in config space */
	uint16_t msix_control;
};

struct hf_vfio_user {
	struct hf_device dev; /* first: the port hands out its address */
	char path[256];
	struct hf_vfu_conn conn;
	bool conn_ready;
	struct hf_vfu_facts facts;
	int bar0_fd; /* -1: doorbells go by message */
	void *doorbells_page;
	int *eventfds;  /* facts.vectors of them; -1: none yet */
	int request_fd; /* -1: the server cannot ask for the device back */
	struct hf_vfu_registers *asked; /* NULL: none are under way */
	bool msix_enabled;
	bool adopting;     /* a mapping to undo may never have been made */
	uint32_t dma_maps; /* in force */
	uint32_t dma_refused_at;   /* how many were, when one was refused */
	uint64_t open_round_trips; /* what opening took */
};

static inline struct hf_vfio_user *hf_vfio_user_of(struct hf_device *dev)
{
	return (struct hf_vfio_user *)(void *)dev;
}

/* One without a connection; NULL: no memory, and @err says so. */
struct hf_vfio_user *hf_vfu_new(const char *path,
				const struct hf_device_options *options,
				struct hf_error *err);
/* Frees all but what hf_device_init() made; says nothing to the server. */
void hf_vfu_free(struct hf_vfio_user *vu);
/* Tells the port of the facts. */
void hf_vfu_set_limits(struct hf_vfio_user *vu);
