/* SPDX-License-Identifier: BSD-3-Clause */
/* The conversation that opens a vfio-user device: version, regions, interrupts,
 * config space. Keeps nothing but the facts. */
#pragma once

#include "device/vfio_user_device.h"

/* VERSION: what both ends can take. */
HF_MUST_CHECK int hf_vfu_negotiate(struct hf_vfio_user *vu,
				   struct hf_error *err);
/* Device, BAR 0 (with its descriptor, if it can be mapped), interrupts. */
HF_MUST_CHECK int hf_vfu_discover(struct hf_vfio_user *vu,
				  struct hf_error *err);
/* Is it an NVMe controller? Finds MSI-X; bus master on, INTx off. */
HF_MUST_CHECK int hf_vfu_configure(struct hf_vfio_user *vu,
				   struct hf_error *err);
/* Maps the doorbells where facts and descriptor allow; else by message. */
void hf_vfu_map_doorbells(struct hf_vfio_user *vu);

/* Bytes of a region, in as many messages as the server's limit asks for. */
HF_MUST_CHECK int hf_vfu_region_read(struct hf_vfio_user *vu, uint32_t region,
				     uint64_t offset, void *buf,
				     uint32_t len_bytes, struct hf_error *err);
/* One register, in one message. */
HF_MUST_CHECK int hf_vfu_region_write(struct hf_vfio_user *vu, uint32_t region,
				      uint64_t offset, const void *buf,
				      uint32_t len_bytes, struct hf_error *err);
/* Is the reply about what was asked? */
HF_MUST_CHECK int hf_vfu_check_echo(struct hf_vfio_user *vu,
				    const struct vfu_region_access *ask,
				    const struct vfu_region_access *echo,
				    struct hf_error *err);
