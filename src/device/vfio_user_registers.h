/* SPDX-License-Identifier: BSD-3-Clause */
/* Several registers of BAR 0 in one turn of the server, which may be asked for
 * before they are wanted. Knows not what they mean. */
#pragma once

#include "device/vfio_user_device.h"

/* What is under way, and room for the replies. */
struct hf_vfu_registers {
	uint32_t count;
	uint64_t asked_ns; /* 0: the values are not for this process */
	struct hf_reg_read reads[HF_REG_READS_MAX];
	struct vfu_region_access asks[HF_REG_READS_MAX];
	struct {
		struct vfu_region_access access;
		uint8_t data[8];
	} replies[HF_REG_READS_MAX];
	struct hf_vfu_call calls[HF_REG_READS_MAX];
};

/* Asks, and waits for no reply: the next hf_vfu_registers_read() of the same
 * registers has the values. What they are at some moment in between. */
HF_MUST_CHECK int hf_vfu_registers_ask(struct hf_vfio_user *vu,
				       const struct hf_reg_read *reads,
				       uint32_t count, struct hf_error *err);

/* Asks for a successor, and waits a moment: it takes the replies, by
 * hf_vfu_registers_inherit(), if it comes soon. Whoever comes later, or knows
 * nothing of them, drops them. */
void hf_vfu_registers_leave(struct hf_vfio_user *vu,
			    const struct hf_reg_read *reads, uint32_t count);
/* False: nobody has asked for these registers just now. */
bool hf_vfu_registers_inherit(struct hf_vfio_user *vu,
			      const struct hf_reg_read *reads, uint32_t count);

HF_MUST_CHECK int hf_vfu_registers_read(struct hf_vfio_user *vu,
					struct hf_reg_read *reads,
					uint32_t count);
