/* SPDX-License-Identifier: BSD-3-Clause */
/* Successors of a rig's driver, one after the other, in one process: what a
 * driver leaves is kept, and adopted as another process would. */
#pragma once

#include "rig.h"

enum { HEIRS_MAX = 8 };

/* What a driver left. */
struct heirs {
	struct hf_fdset *set; /* descriptors of the DMA memory; ours */
	int ledger_fd;
	uint8_t *bytes; /* saved state; NULL: it was killed */
	size_t len_bytes;
	struct hf_device *dev; /* adopted, while no driver has it */

	const struct hf_device_ops *emulated;
	struct hf_device *first; /* whom the controller knows */
	struct hf_device *kept[HEIRS_MAX];
	uint32_t kept_count;
};

/* The rig's driver may be saved from here on. Call it once it is open. */
void heirs_begin(struct rig *rig);
/* Frees what was kept. The last driver is closed. */
void heirs_end(struct rig *rig);

/* The driver saves and leaves, or is just no longer there. The namespace is
 * forgotten. Return: what saving does. */
int heirs_let_go(struct rig *rig, bool planned);

/* Adopts what was left, heirs->dev, or says why not. */
int heirs_adopt(struct rig *rig);
/* The same if that was not done, and restores the rig's driver from it; on
 * failure heirs->dev stays. */
int heirs_restore(struct rig *rig);
/* Lets go, restores, opens namespace 1; none of it may fail. */
void heirs_replace(struct rig *rig, bool planned);
