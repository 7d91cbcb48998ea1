/* SPDX-License-Identifier: BSD-3-Clause */
/* One command in execution, and its way to host memory. Knows no opcode. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "emu/core.h"
#include "spec/entries.h"

struct hf_emu_worker;
struct hf_emu_sq;
struct hf_fault_verdict;

/*
 * Owned by the worker that executes it; everything in it was copied from the
 * host once. The iovec is valid until the command's execution returns: host
 * memory is only touched within an execution, which is what lets
 * hf_emu_dma_unmap() and hf_emu_synchronize() wait for it.
 */
struct hf_emu_cmd {
	struct hf_emu *emu;
	struct hf_emu_worker *worker;
	struct hf_emu_sq *sq;
	uint16_t sqid;
	struct nvme_sqe sqe; /* in host byte order, whatever its type says */

	/* Results besides the status. */
	uint32_t dw0;
	uint32_t dw1;

	/* Set by hf_emu_cmd_map(). */
	struct iovec *iov;
	uint32_t iov_count;
	uint64_t data_bytes;
	bool to_host;

	/* NULL unless a fault rule matched this command. */
	struct hf_fault_verdict *fault;
};

enum hf_emu_dir {
	HF_EMU_TO_HOST,   /* the controller writes host memory */
	HF_EMU_FROM_HOST, /* the controller reads host memory */
};

/**
 * hf_emu_cmd_map() - resolve the data pointer of a command
 * @cmd: command; its iov, iov_count and data_bytes are set
 * @len_bytes: length of the data; 0 maps nothing
 * @dir: what will be done with the memory
 *
 * Walks PRPs or SGLs, checks every address, and yields host memory of exactly
 * @len_bytes. MDTS is checked here. Call once per execution, before any data
 * moves.
 *
 * Context: a worker, in execution.
 * Return: 0 or the NVMe status to end the command with.
 */
uint16_t hf_emu_cmd_map(struct hf_emu_cmd *cmd, uint64_t len_bytes,
			enum hf_emu_dir dir);

/* Copies between the mapped memory and @buf; the range must lie within what
 * hf_emu_cmd_map() was given. */
void hf_emu_cmd_to_host(struct hf_emu_cmd *cmd, uint64_t offset,
			const void *buf, uint64_t len_bytes);
void hf_emu_cmd_from_host(struct hf_emu_cmd *cmd, uint64_t offset, void *buf,
			  uint64_t len_bytes);
/* Fills the range with zeroes. */
void hf_emu_cmd_zero_host(struct hf_emu_cmd *cmd, uint64_t offset,
			  uint64_t len_bytes);
