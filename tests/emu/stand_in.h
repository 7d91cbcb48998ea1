/* SPDX-License-Identifier: BSD-3-Clause */
/* Stands in for the controller's core, so that namespaces and I/O commands can
 * be tried without queues, registers and threads. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/cmd.h"
#include "emu/namespace.h"
#include "holdfast/emu.h"

#define STAND_IN_DATA_BYTES (1u << 20)

struct hf_emu {
	struct hf_emu_options options;
	struct hf_namespaces *namespaces;
	struct hf_faults *faults;
	bool vwc;
	uint8_t host_id[16];
	uint32_t changed; /* how often a notice was due */
	uint32_t changed_nsid;
	uint32_t synchronized;
	uint32_t released;
	uint32_t events;
	bool fatal;
	bool gone;

	/* Host memory of the next command, and how it is cut into pieces. */
	uint8_t data[STAND_IN_DATA_BYTES];
	size_t piece_bytes; /* 0: one piece */
};

struct hf_emu *stand_in_create(void);
void stand_in_destroy(struct hf_emu *emu);

/* Adds a namespace of 1 MiB of memory and returns its nsid. */
uint32_t stand_in_namespace(struct hf_emu *emu, uint32_t lba_bytes);

/* Executes; the data is in emu->data. Returns the status. */
uint16_t stand_in_io(struct hf_emu *emu, uint8_t opcode, uint32_t nsid,
		     const uint32_t cdw[6]);
/* SLBA and number of blocks as most commands have them. */
uint16_t stand_in_range(struct hf_emu *emu, uint8_t opcode, uint32_t nsid,
			uint64_t slba, uint32_t blocks, uint32_t flags);
