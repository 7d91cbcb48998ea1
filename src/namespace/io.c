/* SPDX-License-Identifier: BSD-3-Clause */
#include "namespace/io.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/hint.h"
#include "namespace/direct.h"
#include "namespace/split.h"

static struct hf_io *io_of(struct hf_waiter *waiter)
{
	return hf_container_of(waiter, struct hf_io, private_);
}

static bool has_data(enum hf_op op)
{
	return op == HF_OP_READ || op == HF_OP_WRITE || op == HF_OP_COMPARE;
}

/* What a command needs of the controller beyond reading and writing. */
static uint16_t oncs_bit(enum hf_op op)
{
	switch (op) {
	case HF_OP_DEALLOCATE:
		return NVME_CTRL_ONCS_DSM;
	case HF_OP_WRITE_ZEROES:
		return NVME_CTRL_ONCS_WRITE_ZEROES;
	case HF_OP_COMPARE:
		return NVME_CTRL_ONCS_COMPARE;
	case HF_OP_VERIFY:
		return NVME_CTRL_ONCS_VERIFY;
	case HF_OP_READ:
	case HF_OP_WRITE:
	case HF_OP_FLUSH:
	case HF_OP_PASSTHROUGH:
		return 0;
	}
	return 0;
}

static int check_data(const struct hf_io *io, uint64_t len_bytes)
{
	uint64_t total = 0;

	if (io->iov_count == 0) {
		return io->buf != NULL ? 0 : -EINVAL;
	}
	if (io->iov == NULL) {
		return -EINVAL;
	}
	for (uint32_t i = 0; i < io->iov_count; i++) {
		const struct iovec *iov = &io->iov[i];

		if ((iov->iov_base == NULL && iov->iov_len != 0) ||
		    !hf_add_u64(total, iov->iov_len, &total)) {
			return -EINVAL;
		}
	}
	return total == len_bytes ? 0 : -EINVAL;
}

static int check_ranges(const struct hf_io *io, uint64_t blocks)
{
	if (io->range_count == 0 || io->ranges == NULL) {
		return -EINVAL;
	}
	for (uint32_t i = 0; i < io->range_count; i++) {
		if (io->ranges[i].blocks == 0) {
			return -EINVAL;
		}
		if (!hf_range_within(io->ranges[i].lba, io->ranges[i].blocks,
				     blocks)) {
			return -ERANGE;
		}
	}
	return 0;
}

static int check_command(const struct hf_io *io)
{
	const struct hf_command *command = io->command;

	if (command == NULL || !hf_command_is_sound(command)) {
		return -EINVAL;
	}
	return command->data_len_bytes <= io->ns->limits->max_transfer_bytes
		       ? 0
		       : -EMSGSIZE;
}

static bool changes_data(enum hf_op op)
{
	return op == HF_OP_WRITE || op == HF_OP_DEALLOCATE ||
	       op == HF_OP_WRITE_ZEROES;
}

/* Of the command that the operation stands for. */
static int check_operation(const struct hf_io *io, uint64_t blocks)
{
	switch (io->op) {
	case HF_OP_FLUSH:
		return 0;
	case HF_OP_DEALLOCATE:
		return check_ranges(io, blocks);
	case HF_OP_PASSTHROUGH:
		return check_command(io);
	case HF_OP_READ:
	case HF_OP_WRITE:
	case HF_OP_WRITE_ZEROES:
	case HF_OP_COMPARE:
	case HF_OP_VERIFY:
		break;
	}
	if (io->blocks == 0) {
		return -EINVAL;
	}
	if (!hf_range_within(io->lba, io->blocks, blocks)) {
		return -ERANGE;
	}
	return has_data(io->op)
		       ? check_data(io, io->blocks << io->ns->block_shift)
		       : 0;
}

int hf_io_check(const struct hf_io *io, const void *owner)
{
	if (!hf_io_is_whole(io) || io->ns->owner != owner ||
	    (uint32_t)io->op > HF_OP_PASSTHROUGH) {
		return -EINVAL;
	}
	if (hf_io_is_lent(io)) {
		return -EBUSY;
	}
	const struct hf_namespace *ns = io->ns;
	uint64_t blocks = __atomic_load_n(&ns->blocks, __ATOMIC_RELAXED);
	uint16_t needed = oncs_bit(io->op);

	if (__atomic_load_n(&ns->removed, __ATOMIC_RELAXED)) {
		return -ENODEV;
	}
	if ((ns->limits->oncs & needed) != needed) {
		return -ENOTSUP;
	}
	if (changes_data(io->op) &&
	    __atomic_load_n(&ns->read_only, __ATOMIC_RELAXED)) {
		return -EROFS;
	}
	return check_operation(io, blocks);
}

static void finish(struct hf_io *io)
{
	struct hf_io_state *state = hf_io_state_of(io);
	struct hf_qpair *qp = state->qp;
	uint16_t record = state->record;
	int result = __atomic_load_n(&state->first_error, __ATOMIC_RELAXED);

	state->qp = NULL;
	io->result = result;
	io->done(io, result); /* the caller's again: not touched from here */
	if (record != HF_LEDGER_NONE) {
		hf_qpair_lock(qp);
		hf_qpair_record_give(qp, record);
		hf_qpair_unlock(qp);
	}
}

void hf_io_note_error(struct hf_io *io, int result)
{
	struct hf_io_state *state = hf_io_state_of(io);
	int none = 0;

	if (result != 0 &&
	    __atomic_compare_exchange_n(&state->first_error, &none, result,
					false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED) &&
	    state->record != HF_LEDGER_NONE) {
		state->qp->view.records[state->record].result = result;
	}
}

/* One part less under way, or no more to be issued. */
static void drop_part(struct hf_io *io)
{
	if (__atomic_sub_fetch(&hf_io_state_of(io)->parts, 1,
			       __ATOMIC_ACQ_REL) == 0) {
		finish(io);
	}
}

void hf_io_part_done(void *ctx, const struct hf_completion *how)
{
	struct hf_io *io = ctx;

	if (io->op == HF_OP_PASSTHROUGH && io->command != NULL) {
		io->command->result = how->dw0;
		io->command->result_hi = how->dw1;
	}
	hf_io_note_error(io, how->result);
	drop_part(io);
}

void hf_io_lost_part_done(void *ctx, const struct hf_completion *how)
{
	struct hf_completion lost = *how;

	if (lost.result == 0) {
		lost.result = -EOWNERDEAD;
	}
	hf_io_part_done(ctx, &lost);
}

/* Recorded before the first of several parts is issued, so that it comes back
 * as one I/O whatever happens to this process. */
static int take_record(struct hf_io *io, struct hf_qpair *qp)
{
	struct hf_io_state *state = hf_io_state_of(io);
	uint16_t number = hf_qpair_record_take(qp);

	if (number == HF_LEDGER_NONE) {
		return -EAGAIN;
	}
	struct hf_ledger_record *record = &qp->view.records[number];
	record->cookie = io->cookie;
	record->lba = io->lba;
	record->blocks =
		io->op == HF_OP_DEALLOCATE ? io->range_count : io->blocks;
	record->issued_blocks = 0;
	record->iova = io->buf != NULL ? hf_iova_lookup(qp->map, io->buf)
				       : HF_IOVA_NONE;
	record->nsid = io->ns->nsid;
	record->result = 0;
	record->op = (uint8_t)io->op;
	record->flags = hf_split_slot_flags(io);
	__atomic_store_n(&record->in_use, HF_RECORD_OPEN, __ATOMIC_RELEASE);
	state->record = number;
	return 0;
}

/* Issues parts until all are, or there is no room. Locked. */
static int issue_parts(struct hf_io *io, struct hf_qpair *qp)
{
	struct hf_io_state *state = hf_io_state_of(io);
	struct hf_split split;

	while (!hf_split_is_done(io, state)) {
		hf_split_next(&split, io, state);
		if (!split.is_all && state->record == HF_LEDGER_NONE &&
		    take_record(io, qp) != 0) {
			return -EAGAIN;
		}
		split.request.record = state->record;
		split.request.done = hf_io_part_done;
		split.request.ctx = io;
		__atomic_add_fetch(&state->parts, 1, __ATOMIC_RELAXED);
		int rc = hf_qpair_put(qp, &split.request);
		if (rc < 0) {
			__atomic_sub_fetch(&state->parts, 1, __ATOMIC_RELAXED);
			return rc;
		}
		state->waiter.begun = true;
		hf_split_advance(state, &split);
		if (state->record != HF_LEDGER_NONE) {
			qp->view.records[state->record].issued_blocks =
				io->op == HF_OP_DEALLOCATE
					? state->range
					: state->issued_blocks;
		}
	}
	/* Cannot be the last: what was just put has not been rung. */
	__atomic_sub_fetch(&state->parts, 1, __ATOMIC_RELAXED);
	return 0;
}

static int resume(struct hf_waiter *waiter, struct hf_qpair *qp)
{
	struct hf_io *io = io_of(waiter);

	hf_io_state_of(io)->qp = qp;
	return issue_parts(io, qp);
}

static void cancel(struct hf_waiter *waiter, int result)
{
	struct hf_io *io = io_of(waiter);

	hf_io_note_error(io, result);
	drop_part(io);
}

void hf_io_begin(struct hf_io *io)
{
	struct hf_io_state *state = hf_io_state_of(io);

	state->waiter.resume = resume;
	state->waiter.cancel = cancel;
	hf_list_init(&state->waiter.link);
	state->single.iov_base = io->buf;
	state->single.iov_len = io->blocks << io->ns->block_shift;
	state->issued_blocks = 0;
	state->range = 0;
	state->range_blocks = 0;
	state->parts = 1;
	state->first_error = 0;
	state->record = HF_LEDGER_NONE;
	state->waiter.begun = false;
	if (io->op == HF_OP_PASSTHROUGH && io->command != NULL) {
		state->single.iov_base = io->command->data;
		state->single.iov_len = io->command->data_len_bytes;
	}
}

/* It was refused, and is the caller's as before. */
static void take_back(struct hf_io_state *state)
{
	state->qp = NULL;
	state->parts = 0;
}

/* Locked. */
static int submit_one(struct hf_qpair *qp, struct hf_io *io)
{
	bool may_wait = (io->flags & HF_IO_NOWAIT) == 0;
	struct hf_io_state *state = hf_io_state_of(io);

	if (qp->state == HF_QPAIR_DEAD) {
		return -ENODEV;
	}
	/* Whoever came before goes first. */
	bool in_line =
		qp->state != HF_QPAIR_LIVE || !hf_list_empty(&qp->waiting);
	if (in_line && !may_wait) {
		return -EAGAIN;
	}
	hf_io_begin(io);
	state->qp = qp;
	if (!in_line) {
		int rc = issue_parts(io, qp);

		if (rc == 0) {
			return 0;
		}
		if (!may_wait && !state->waiter.begun) {
			if (state->record != HF_LEDGER_NONE) {
				hf_qpair_record_give(qp, state->record);
			}
			take_back(state);
			return rc;
		}
	}
	hf_qpair_park(qp, &state->waiter);
	return 0;
}

/* One that cannot go the short way, or is not to be taken. Locked. */
HF_COLD static int submit_long(struct hf_qpair *qp, struct hf_io *io)
{
	int rc = hf_io_check(io, qp->hooks.ctx);

	return rc != 0 ? rc : submit_one(qp, io);
}

static uint32_t submit_to(struct hf_qpair *qp, struct hf_io *const *ios,
			  uint32_t count, int *rc)
{
	uint32_t taken = 0;

	hf_qpair_lock(qp);
	while (taken < count) {
		if (qp->state == HF_QPAIR_LIVE && hf_list_empty(&qp->waiting)) {
			taken += hf_direct_submit(qp, ios + taken,
						  count - taken);
			if (taken == count) {
				break;
			}
		}
		*rc = submit_long(qp, ios[taken]);
		if (*rc != 0) {
			break;
		}
		taken++;
	}
	hf_qpair_commit(qp);
	hf_qpair_unlock(qp);
	return taken;
}

static int park_one(struct hf_issuer *issuer, struct hf_io *io)
{
	int rc = hf_io_check(io, issuer->ctx);

	if (rc != 0) {
		return rc;
	}
	if ((io->flags & HF_IO_NOWAIT) != 0) {
		return hf_issuer_ask(issuer);
	}
	hf_io_begin(io);
	hf_io_state_of(io)->qp = NULL;
	rc = hf_issuer_park(issuer, &hf_io_state_of(io)->waiter);
	if (rc != 0) {
		take_back(hf_io_state_of(io));
	}
	return rc;
}

/* Until there is a queue pair. */
HF_COLD static int submit_early(struct hf_issuer *issuer,
				struct hf_io *const *ios, uint32_t count)
{
	uint32_t taken = 0;
	int rc = 0;

	while (taken < count && rc == 0) {
		struct hf_qpair *qp = hf_issuer_qpair(issuer);

		if (qp != NULL) {
			taken += submit_to(qp, ios + taken, count - taken, &rc);
			continue;
		}
		rc = park_one(issuer, ios[taken]);
		if (rc == 0) {
			taken++;
		} else if (rc == -EEXIST) {
			rc = 0; /* it was made meanwhile */
		}
	}
	return taken > 0 ? (int)taken : rc;
}

int hf_io_submit(struct hf_issuer *issuer, struct hf_io *const *ios,
		 uint32_t count)
{
	struct hf_qpair *qp = hf_issuer_qpair(issuer);
	int rc = 0;

	if (HF_UNLIKELY(qp == NULL)) {
		return submit_early(issuer, ios, count);
	}
	uint32_t taken = submit_to(qp, ios, count, &rc);
	return taken > 0 ? (int)taken : rc;
}
