/* SPDX-License-Identifier: BSD-3-Clause */
/* Scatter gather lists of a command, checked. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/cmd.h"

/* Resolves the SGL of @cmd to exactly @len_bytes. */
uint16_t hf_emu_sgl_map(struct hf_emu_cmd *cmd, uint64_t len_bytes);

/* emu/cmd.c: memory of this process, or a range of IOVAs, joins the vector. */
bool hf_emu_cmd_add_iov(struct hf_emu_cmd *cmd, void *base, uint64_t len_bytes);
uint16_t hf_emu_cmd_add_range(struct hf_emu_cmd *cmd, uint64_t iova,
			      uint64_t len_bytes);
