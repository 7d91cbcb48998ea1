/* SPDX-License-Identifier: BSD-3-Clause */
#include "namespace/split.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include <nvme/types.h>

#include "base/bytes.h"
#include "base/checked.h"

#define DSM_RANGE_BYTES 16u
#define NLB_MAX         65536u

static uint8_t opcode_of(enum hf_op op)
{
	switch (op) {
	case HF_OP_READ:
		return nvme_cmd_read;
	case HF_OP_WRITE:
		return nvme_cmd_write;
	case HF_OP_FLUSH:
		return nvme_cmd_flush;
	case HF_OP_DEALLOCATE:
		return nvme_cmd_dsm;
	case HF_OP_WRITE_ZEROES:
		return nvme_cmd_write_zeroes;
	case HF_OP_COMPARE:
		return nvme_cmd_compare;
	case HF_OP_VERIFY:
		return nvme_cmd_verify;
	case HF_OP_PASSTHROUGH:
		break;
	}
	assert(false);
	return 0;
}

uint8_t hf_split_slot_flags(const struct hf_io *io)
{
	uint8_t flags = 0;

	if (io->op == HF_OP_WRITE || io->op == HF_OP_COMPARE ||
	    io->op == HF_OP_DEALLOCATE ||
	    (io->op == HF_OP_PASSTHROUGH && io->command->to_device != 0)) {
		flags |= HF_SLOT_TO_DEVICE;
	}
	if ((io->flags & HF_IO_REPEATABLE) != 0) {
		flags |= HF_SLOT_REPEATABLE;
	}
	return flags;
}

bool hf_split_is_done(const struct hf_io *io, const struct hf_io_state *state)
{
	if (io->op == HF_OP_DEALLOCATE) {
		return state->range == io->range_count;
	}
	if (io->op == HF_OP_FLUSH || io->op == HF_OP_PASSTHROUGH) {
		return state->waiter.begun;
	}
	return state->issued_blocks == io->blocks;
}

static uint32_t limit_blocks(const struct hf_namespace *ns, uint32_t bytes)
{
	if (bytes == 0) {
		return NLB_MAX;
	}
	return HF_MIN(HF_MAX(bytes >> ns->block_shift, 1u), NLB_MAX);
}

static uint64_t part_blocks(const struct hf_io *io,
			    const struct hf_io_state *state)
{
	const struct hf_namespace *ns = io->ns;
	uint64_t left = io->blocks - state->issued_blocks;

	if (io->op == HF_OP_WRITE_ZEROES) {
		return HF_MIN(left,
			      limit_blocks(ns, ns->limits->zeroes_max_bytes));
	}
	if (io->op == HF_OP_VERIFY) {
		return HF_MIN(left,
			      limit_blocks(ns, ns->limits->verify_max_bytes));
	}

	uint64_t most = ns->max_blocks;
	if (ns->noiob_blocks != 0) {
		/* Up to the next boundary, which may lie within the I/O. */
		uint64_t at = io->lba + state->issued_blocks;

		most = HF_MIN(most, ns->noiob_blocks - at % ns->noiob_blocks);
	}
	return HF_MIN(left, most);
}

static void next_blocks(struct hf_split *split, struct hf_io *io,
			struct hf_io_state *state)
{
	uint8_t shift = io->ns->block_shift;
	struct nvme_sqe *sqe = &split->request.sqe;
	uint64_t lba = io->lba + state->issued_blocks;
	uint32_t cdw12;

	split->blocks = part_blocks(io, state);
	split->is_all = split->blocks == io->blocks;
	cdw12 = (uint32_t)(split->blocks - 1);
	if ((io->flags & HF_IO_FUA) != 0 && io->op != HF_OP_VERIFY) {
		cdw12 |= (uint32_t)NVME_IO_FUA << 16;
	}
	if ((io->flags & HF_IO_MAY_DEALLOCATE) != 0 &&
	    io->op == HF_OP_WRITE_ZEROES) {
		cdw12 |= (uint32_t)NVME_IO_DEAC << 16;
	}
	sqe->cdw10 = htole32((uint32_t)lba);
	sqe->cdw11 = htole32((uint32_t)(lba >> 32));
	sqe->cdw12 = htole32(cdw12);
	if (io->op == HF_OP_WRITE_ZEROES || io->op == HF_OP_VERIFY) {
		return;
	}

	split->request.data = (struct hf_data){
		.iov = io->iov_count != 0 ? io->iov : &state->single,
		.iov_count = io->iov_count != 0 ? io->iov_count : 1,
		.offset = state->issued_blocks << shift,
		.len_bytes = (uint32_t)(split->blocks << shift),
	};
}

/* Packs as many ranges as the controller takes into one command. */
static void next_ranges(struct hf_split *split, const struct hf_io *io,
			const struct hf_io_state *state)
{
	const struct hf_io_limits *limits = io->ns->limits;
	uint64_t range_max = limits->dsm_range_blocks_max != 0
				     ? limits->dsm_range_blocks_max
				     : UINT32_MAX;
	uint64_t budget = limits->dsm_blocks_max != 0 ? limits->dsm_blocks_max
						      : UINT64_MAX;
	uint32_t count = 0;

	split->range = state->range;
	split->range_blocks = state->range_blocks;
	while (count < limits->dsm_ranges_max && budget > 0 &&
	       split->range < io->range_count) {
		const struct hf_range *range = &io->ranges[split->range];
		uint64_t left = range->blocks - split->range_blocks;
		uint64_t blocks = HF_MIN(HF_MIN(left, range_max), budget);
		uint8_t *at = split->dsm + count * DSM_RANGE_BYTES;

		hf_put_le32(at, 0);
		hf_put_le32(at + 4, (uint32_t)blocks);
		hf_put_le64(at + 8, range->lba + split->range_blocks);
		count++;
		budget -= blocks;
		split->range_blocks += blocks;
		if (split->range_blocks == range->blocks) {
			split->range++;
			split->range_blocks = 0;
		}
	}
	split->is_all = state->range == 0 && state->range_blocks == 0 &&
			split->range == io->range_count;
	split->request.sqe.cdw10 = htole32(count - 1);
	split->request.sqe.cdw11 = htole32(NVME_DSMGMT_AD);
	split->dsm_iov.iov_base = split->dsm;
	split->dsm_iov.iov_len = (size_t)count * DSM_RANGE_BYTES;
	split->request.bounce = true;
	split->request.data = (struct hf_data){
		.iov = &split->dsm_iov,
		.iov_count = 1,
		.len_bytes = count * DSM_RANGE_BYTES,
	};
}

static void whole_command(struct hf_split *split, const struct hf_io *io,
			  struct hf_io_state *state)
{
	const struct hf_command *command = io->command;
	struct nvme_sqe *sqe = &split->request.sqe;

	sqe->opcode = command->opcode;
	sqe->nsid = htole32(command->nsid);
	sqe->cdw2 = htole32(command->cdw2);
	sqe->cdw3 = htole32(command->cdw3);
	sqe->cdw10 = htole32(command->cdw10);
	sqe->cdw11 = htole32(command->cdw11);
	sqe->cdw12 = htole32(command->cdw12);
	sqe->cdw13 = htole32(command->cdw13);
	sqe->cdw14 = htole32(command->cdw14);
	sqe->cdw15 = htole32(command->cdw15);
	split->request.data = (struct hf_data){
		.iov = &state->single,
		.iov_count = 1,
		.len_bytes = command->data_len_bytes,
	};
}

/* 0 where the class of the command decides. */
static uint32_t timeout_ticks(const struct hf_io *io)
{
	uint32_t ms = io->op == HF_OP_PASSTHROUGH ? io->command->timeout_ms
						  : io->timeout_ms;

	return ms == 0 ? 0 : (ms - 1) / HF_TICK_MS + 1;
}

void hf_split_next(struct hf_split *split, struct hf_io *io,
		   struct hf_io_state *state)
{
	split->request.sqe = (struct nvme_sqe){0};
	split->request.data = (struct hf_data){0};
	split->request.bounce = io->ns->limits->bounce;
	split->request.kind = HF_SLOT_IO;
	split->request.op = (uint8_t)io->op;
	split->request.flags = hf_split_slot_flags(io);
	split->request.cookie = io->cookie;
	split->request.timeout_ticks = timeout_ticks(io);
	split->blocks = 0;
	split->is_all = true;
	if (io->op == HF_OP_PASSTHROUGH) {
		whole_command(split, io, state);
		return;
	}

	split->request.sqe.opcode = opcode_of(io->op);
	split->request.sqe.nsid = htole32(io->ns->nsid);
	if (io->op == HF_OP_DEALLOCATE) {
		next_ranges(split, io, state);
	} else if (io->op != HF_OP_FLUSH) {
		next_blocks(split, io, state);
	}
}

void hf_split_advance(struct hf_io_state *state, const struct hf_split *split)
{
	state->issued_blocks += split->blocks;
	if (split->request.op == HF_OP_DEALLOCATE) {
		state->range = split->range;
		state->range_blocks = split->range_blocks;
	}
}
