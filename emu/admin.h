/* SPDX-License-Identifier: BSD-3-Clause */
/* The admin commands. */
#pragma once

#include <stdint.h>

#include "emu/cmd.h"

/* One admin command to its end, or HF_EMU_STAYS. The admin worker, in its
 * round; FUSE and PSDT were checked. */
uint16_t hf_emu_admin_execute(struct hf_emu_cmd *cmd);

/* emu/admin_queues.c */
uint16_t hf_emu_create_cq(struct hf_emu_cmd *cmd);
uint16_t hf_emu_create_sq(struct hf_emu_cmd *cmd);
uint16_t hf_emu_delete_cq(struct hf_emu_cmd *cmd);
uint16_t hf_emu_delete_sq(struct hf_emu_cmd *cmd);

/* emu/identify.c */
uint16_t hf_emu_identify(struct hf_emu_cmd *cmd);
