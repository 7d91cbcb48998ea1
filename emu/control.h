/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of the control socket: one JSON object in, one out. Knows no
 * socket. */
#pragma once

#include <stdbool.h>

#include "holdfast/emu_serve.h"

/**
 * hf_control_execute() - carry out one line
 * @emu: controller
 * @server: server, or NULL
 * @line: the text, without its newline; anything
 * @quit: set when the line asks to quit
 *
 * Return: the answer, without a newline, for free(); NULL without memory.
 */
char *hf_control_execute(struct hf_emu *emu, struct hf_emu_server *server,
			 const char *line, bool *quit);
