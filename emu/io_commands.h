/* SPDX-License-Identifier: BSD-3-Clause */
/* The I/O commands, one function each, and what they share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/cmd.h"
#include "emu/ns.h"

#define HF_INVALID_FIELD HF_STATUS_DNR(NVME_SC_INVALID_FIELD)

/* A checked range of blocks. */
struct hf_io_range {
	uint64_t slba;
	uint32_t blocks;
	uint64_t offset; /* in bytes */
	uint64_t bytes;
};

/* Each takes a command for a namespace that exists; 0 or the status. */
uint16_t hf_io_read(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns);
uint16_t hf_io_write(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns);
uint16_t hf_io_compare(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns);
uint16_t hf_io_verify(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns);
uint16_t hf_io_write_zeroes(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns);
uint16_t hf_io_dsm(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns);
uint16_t hf_io_flush(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns);
uint16_t hf_io_resv_register(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns);
uint16_t hf_io_resv_acquire(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns);
uint16_t hf_io_resv_release(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns);
uint16_t hf_io_resv_report(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns);

/* Reads SLBA and NLB as most commands have them. */
uint16_t hf_io_range_of(const struct hf_emu_cmd *cmd,
			const struct hf_emu_ns *ns, struct hf_io_range *range);

/* What a medium's -errno becomes. */
uint16_t hf_io_media_status(int ret, bool write);

/* Reservation Conflict, or 0. */
uint16_t hf_io_reserved(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns,
			bool write);

/* Is it all right to write there at all? */
uint16_t hf_io_writable(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns);
