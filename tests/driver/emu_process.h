/* SPDX-License-Identifier: BSD-3-Clause */
/* An emulated controller in a process of its own, behind a vfio-user socket.
 * Knows no driver. */
#pragma once

#include <sys/types.h>

#include "holdfast/emu.h"
#include "holdfast/emu_serve.h"

struct emu_process {
	pid_t pid;
	char directory[64]; /* the socket is "cntrl" in it */
	char address[96];   /* "vfio-user:..." */
	int stop_fd;        /* closed: it ends; a byte: its faults do */
	int result_fd;      /* struct emu_process_result, at its end */
};

/* What it counted. */
struct emu_process_result {
	struct hf_emu_serve_stats serve;
	struct hf_emu_stats emu;
};

/* Starts it with one namespace of memory, 64 MiB in blocks of 4096 bytes. Fork:
 * call it while no other thread runs. NULL takes the defaults. */
void emu_process_start(struct emu_process *process,
		       const struct hf_emu_options *options,
		       const struct hf_emu_serve_options *serve);
/* The same, with a fault rule, and one more; either may be NULL. */
void emu_process_start_with(struct emu_process *process,
			    const struct hf_emu_options *options,
			    const struct hf_emu_serve_options *serve,
			    const char *fault, const char *fault_too);
/* Its faults end, and let go of what they hold. Any process that the descriptor
 * was inherited by. */
void emu_process_clear_faults(const struct emu_process *process);
/* Ends it in order; @result (may be NULL) receives what it counted. */
void emu_process_end(struct emu_process *process,
		     struct emu_process_result *result);
/* The same; @stats (may be NULL) receives what it counted. */
void emu_process_stop(struct emu_process *process,
		      struct hf_emu_serve_stats *stats);
/* SIGKILL; the socket stays behind. */
void emu_process_kill(struct emu_process *process);
