/* SPDX-License-Identifier: BSD-3-Clause */
/* A device on the scripted server, and one that goes on where it is: in one
 * process, since descriptors tell nobody whose they were. */
#pragma once

#include "device/vfio_user_device.h"
#include "vfu_fixture.h"

struct takeover {
	struct vfu_fixture *f;
	struct hf_fdset *set; /* duplicates, as if they had been received */
	struct hf_device *heir;
	struct hf_dma_block block;
	int irq;
};

/* An open device that has memory and an interrupt, and what it hands out. */
struct takeover *takeover_prepare(void **state);
/* Hands out, for the next one, what @dev has. */
void takeover_carry_out(struct takeover *t, struct hf_device *dev);
struct hf_vfu_journal *takeover_journal(struct takeover *t);
/* The predecessor goes without a word, then the heir goes in order. */
void takeover_finish(struct takeover *t);
