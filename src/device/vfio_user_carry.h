/* SPDX-License-Identifier: BSD-3-Clause */
/* What a successor needs of a vfio-user device, out and in. Knows no memory:
 * that is the DMA part's. */
#pragma once

#include "device/vfio_user_device.h"

/* Socket, journal, mapping, eventfds, and the facts as text. */
HF_MUST_CHECK int hf_vfu_carry_out(struct hf_vfio_user *vu,
				   struct hf_fdset *set, struct hf_error *err);
/* The facts alone, each judged; vu->path, dev.id and dev.bar0_bytes too. */
HF_MUST_CHECK int hf_vfu_carry_facts(struct hf_vfio_user *vu,
				     const struct hf_fdset *set,
				     struct hf_error *err);
/* The descriptors, which stay those of @set. Either of the two below ends
 * that. */
HF_MUST_CHECK int hf_vfu_carry_fds(struct hf_vfio_user *vu,
				   struct hf_fdset *set, struct hf_error *err);
/* They are the device's from now on. */
void hf_vfu_carry_done(struct hf_fdset *set);
/* The device is not to close them. */
void hf_vfu_carry_undo(struct hf_vfio_user *vu);
