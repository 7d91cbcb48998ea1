/* SPDX-License-Identifier: BSD-3-Clause */
/* The I/O commands. Knows namespaces, and host memory through the command. */
#pragma once

#include <stdint.h>

#include "emu/cmd.h"

/**
 * hf_emu_io_execute() - execute one I/O command to its end
 * @cmd: fetched and checked for FUSE and PSDT; opcode and nsid were not
 *
 * Context: an I/O worker, in execution; several workers at once. May wait for
 * the disk, and for nothing that another command holds.
 * Return: 0 or the status word; dw0 and dw1 are left in @cmd.
 */
uint16_t hf_emu_io_execute(struct hf_emu_cmd *cmd);
