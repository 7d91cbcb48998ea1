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
/* Duplicates of the descriptors; those of @set stay in it. */
HF_MUST_CHECK int hf_vfu_carry_fds(struct hf_vfio_user *vu,
				   const struct hf_fdset *set,
				   struct hf_error *err);
/* Takes the originals out of @set, and closes them. */
void hf_vfu_carry_done(struct hf_fdset *set);
