/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts of a vfio-user device: eventfds handed over in few messages. Knows
 * no queue. */
#pragma once

#include "device/vfio_user_device.h"

/* Room for the descriptors of all vectors; none is made yet. */
HF_MUST_CHECK int hf_vfu_irq_init(struct hf_vfio_user *vu,
				  struct hf_error *err);
/* Closes the descriptors; the server keeps its own. */
void hf_vfu_irq_fini(struct hf_vfio_user *vu);

/* As in struct hf_device_ops. */
HF_MUST_CHECK int hf_vfu_irq_map(struct hf_vfio_user *vu, uint32_t vector,
				 int *eventfd, struct hf_error *err);
void hf_vfu_irq_unmap_all(struct hf_vfio_user *vu);

/* Hands all descriptors that there are to the server once more. */
HF_MUST_CHECK int hf_vfu_irq_repeat(struct hf_vfio_user *vu,
				    struct hf_error *err);

/* Lets the server ask for the device back, if it can: vu->request_fd. */
HF_MUST_CHECK int hf_vfu_irq_request(struct hf_vfio_user *vu,
				     struct hf_error *err);
