/* SPDX-License-Identifier: BSD-3-Clause */
/* Stopping a controller whose driver is gone. Knows registers and memory, no
 * queue and no driver. */
#pragma once

#include "device/device.h"
#include "holdfast/error.h"

/**
 * hf_clear_stop() - stop a controller for certain
 * @dev: nobody drives it any more
 * @err: what it did not do
 *
 * By CC.EN; else by a reset of the function; else by taking all memory away
 * from it.
 *
 * Context: blocks, bounded by the controller's own time limit.
 * Return: 0 when it has stopped; -EBUSY when it may still write to memory;
 * -ENODEV, -EIO when it cannot do that, but was not stopped in order.
 */
HF_MUST_CHECK int hf_clear_stop(struct hf_device *dev, struct hf_error *err);
