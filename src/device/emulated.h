/* SPDX-License-Identifier: BSD-3-Clause */
/* The emulated controller as a device. Knows its public interface only. */
#pragma once

#include "holdfast/device.h"
#include "holdfast/emu.h"

/**
 * hf_emulated_open() - make an emulated controller and reach it
 * @device: receives the device, which owns the controller
 * @text: what follows "emulated:" in an address
 * @options: the device's options
 * @err: names the word that was not understood
 *
 * Return: 0 or a negative errno.
 */
HF_MUST_CHECK int hf_emulated_open(struct hf_device **device, const char *text,
				   const struct hf_device_options *options,
				   struct hf_error *err);
