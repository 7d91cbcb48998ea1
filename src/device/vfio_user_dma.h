/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory handed to a vfio-user server, by descriptor, and its limits. Knows no
 * blocks. */
#pragma once

#include "device/vfio_user_device.h"

/* As in struct hf_device_ops. */
HF_MUST_CHECK int hf_vfu_dma_map(struct hf_vfio_user *vu,
				 const struct hf_dma_mapping *map,
				 struct hf_error *err);
HF_MUST_CHECK int hf_vfu_dma_unmap(struct hf_vfio_user *vu,
				   const struct hf_dma_mapping *map,
				   struct hf_error *err);
/* Knows what dev.dma holds after hf_dma_adopt(). */
HF_MUST_CHECK int hf_vfu_dma_adopted(struct hf_vfio_user *vu,
				     struct hf_error *err);
