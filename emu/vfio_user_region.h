/* SPDX-License-Identifier: BSD-3-Clause */
/* The regions of a vfio-user device: registers, MSI-X table, configuration
 * space. Knows no message. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct hf_vfus_device;

/* Size of region @index; 0 for one that is not there. */
uint64_t hf_vfus_region_bytes(const struct hf_vfus_device *device,
			      uint32_t index);

/* Any range is allowed; 0 or -EINVAL. */
int hf_vfus_region_read(struct hf_vfus_device *device, uint32_t index,
			uint64_t offset, uint32_t len_bytes, uint8_t *out);
int hf_vfus_region_write(struct hf_vfus_device *device, uint32_t index,
			 uint64_t offset, uint32_t len_bytes,
			 const uint8_t *in);

/* The function is as after power-on, its registers included. */
void hf_vfus_function_reset(struct hf_vfus_device *device);
/* Tells the interrupts what configuration space says. */
void hf_vfus_irq_refresh(struct hf_vfus_device *device);
