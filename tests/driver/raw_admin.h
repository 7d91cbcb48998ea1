/* SPDX-License-Identifier: BSD-3-Clause */
/* An admin queue by hand, on the device port alone: what a backing can be
 * judged with before, and without, the driver. */
#pragma once

#include "device/device.h"

struct raw_admin {
	struct hf_device *dev;
	struct hf_dma_block sq;
	struct hf_dma_block cq;
	struct hf_dma_block data;
	uint32_t issued;
	uint32_t reaped;
	int eventfd; /* of interrupt 0 */
};

/* Resets the controller and enables it. */
HF_MUST_CHECK int raw_admin_start(struct raw_admin *admin,
				  struct hf_device *dev, struct hf_error *err);
/* The same out of a device that a predecessor ran, at its positions. */
HF_MUST_CHECK int raw_admin_claim(struct raw_admin *admin,
				  struct hf_device *dev, uint32_t issued,
				  uint32_t reaped, struct hf_error *err);
void raw_admin_stop(struct raw_admin *admin);

/* Identify Controller to @iova, without waiting for its end. */
HF_MUST_CHECK int raw_admin_submit(struct raw_admin *admin, uint64_t iova);
/* The oldest command's status field, or -ETIMEDOUT. */
HF_MUST_CHECK int raw_admin_reap(struct raw_admin *admin);
/* Both. */
int raw_admin_identify(struct raw_admin *admin, uint64_t iova);

/* Does an interrupt come within a second? It may have come before. */
bool raw_admin_interrupted(struct raw_admin *admin);
