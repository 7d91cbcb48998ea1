/* SPDX-License-Identifier: BSD-3-Clause */
/* What the workers have counted, added up. */
#pragma once

#include <stdint.h>

struct hf_emu;

struct hf_emu_io_counts {
	uint64_t reads;
	uint64_t writes;
	uint64_t read_bytes;
	uint64_t written_bytes;
};

/* From within an admin command: the admin worker's lock is held. */
void hf_emu_io_counts(struct hf_emu *emu, struct hf_emu_io_counts *counts);
