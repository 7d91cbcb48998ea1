/* SPDX-License-Identifier: BSD-3-Clause */
/* The device port on a machine, and what a successor takes over of it. */
#pragma once

#include "device/device.h"
#include "device/fdset.h"
#include "machine.h"

/* @choices: what of the port fails. NULL when opening does. */
struct hf_device *machine_device_open(struct machine *machine,
				      struct stream *choices);

/* The same out of what a driver carried; takes what it uses out of @set. */
struct hf_device *machine_device_adopt(struct machine *machine,
				       struct stream *choices,
				       struct hf_fdset *set);
