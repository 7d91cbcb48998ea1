/* SPDX-License-Identifier: BSD-3-Clause */
#include "namespace/inflight.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/error.h"

static bool is_unattached(const struct hf_qpair *qp, uint32_t slot)
{
	return qp->pending.slots[slot].state != HF_SLOT_FREE &&
	       qp->pending.slots[slot].kind == HF_SLOT_IO &&
	       qp->pending.entries[slot].done == NULL;
}

/* A predecessor's, and nobody's here. A queue that was made here has none. */
static bool record_is_open(const struct hf_qpair *qp, uint32_t number)
{
	return qp->records_attached != NULL &&
	       qp->view.records[number].in_use == HF_RECORD_OPEN &&
	       qp->records_attached[number] == 0;
}

static uint64_t sqe_lba(const struct nvme_sqe *sqe)
{
	return (uint64_t)le32toh(sqe->cdw11) << 32 | le32toh(sqe->cdw10);
}

static uint64_t sqe_blocks(const struct hf_ledger_slot *slot)
{
	if (slot->op == HF_OP_FLUSH || slot->op == HF_OP_DEALLOCATE ||
	    slot->op == HF_OP_PASSTHROUGH) {
		return 0;
	}
	return (le32toh(slot->sqe.cdw12) & 0xffff) + UINT64_C(1);
}

static void describe_slot(struct hf_qpair *qp, uint32_t number,
			  struct hf_inflight *inflight)
{
	const struct hf_ledger_slot *slot = &qp->pending.slots[number];
	bool bounced = (slot->flags & HF_SLOT_BOUNCED) != 0;
	bool has_lba = sqe_blocks(slot) != 0;

	*inflight = (struct hf_inflight){
		.cookie = slot->cookie,
		.op = (enum hf_op)slot->op,
		.nsid = le32toh(slot->sqe.nsid),
		.lba = has_lba ? sqe_lba(&slot->sqe) : 0,
		.blocks = sqe_blocks(slot),
		.bounced = bounced && slot->len_bytes != 0,
		.completed = slot->state == HF_SLOT_DONE,
		.private_ = {qp->qid, number},
	};
	if (inflight->completed) {
		inflight->result = slot->status;
	}
	if (!bounced && slot->len_bytes != 0) {
		inflight->buf =
			hf_dma_vaddr(&qp->dev->dma, le64toh(slot->sqe.prp1),
				     slot->len_bytes);
	}
}

/* The parts of a large I/O that have a slot: have all of them ended? And with
 * what, where nothing was noted in the record before. */
static bool parts_have_ended(const struct hf_qpair *qp, uint32_t number,
			     int *result)
{
	for (uint32_t i = 0; i < qp->pending.count; i++) {
		const struct hf_ledger_slot *slot = &qp->pending.slots[i];

		if (slot->state == HF_SLOT_FREE || slot->record != number) {
			continue;
		}
		if (slot->state != HF_SLOT_DONE) {
			return false;
		}
		if (*result == 0) {
			*result = slot->status;
		}
	}
	return true;
}

static void describe_record(struct hf_qpair *qp, uint32_t number,
			    struct hf_inflight *inflight)
{
	const struct hf_ledger_record *record = &qp->view.records[number];
	bool bounced = record->iova == HF_IOVA_NONE;

	*inflight = (struct hf_inflight){
		.cookie = record->cookie,
		.op = (enum hf_op)record->op,
		.nsid = record->nsid,
		.lba = record->lba,
		.blocks = record->blocks,
		.bounced = bounced,
		.private_ = {qp->qid, HF_INFLIGHT_RECORD | number},
	};
	int result = record->result;
	if (record->issued_blocks == record->blocks &&
	    parts_have_ended(qp, number, &result)) {
		inflight->completed = true;
		inflight->result = result;
	}
	if (!bounced) {
		/* One byte: where it begins; the device was given the rest
		 * page by page. */
		inflight->buf = hf_dma_vaddr(&qp->dev->dma, record->iova, 1);
	}
}

int hf_inflight_find(struct hf_qpair *qp, uint32_t *at,
		     struct hf_inflight *inflight)
{
	uint32_t records = qp->view.queue->record_count;
	int found = 0;

	hf_qpair_lock(qp);
	while (found == 0 && *at < records + qp->pending.count) {
		uint32_t i = *at;

		(*at)++;
		if (i < records) {
			if (record_is_open(qp, i)) {
				describe_record(qp, i, inflight);
				found = 1;
			}
		} else if (is_unattached(qp, i - records) &&
			   qp->pending.slots[i - records].record ==
				   HF_LEDGER_NONE) {
			describe_slot(qp, i - records, inflight);
			found = 1;
		}
	}
	hf_qpair_unlock(qp);
	return found;
}

/* Does this op move data into the caller's memory? */
static bool fills_memory(enum hf_op op)
{
	return op == HF_OP_READ;
}

static int check(const struct hf_io *io, const struct hf_inflight *inflight,
		 struct hf_error *err)
{
	if (io->ns == NULL || io->done == NULL ||
	    (inflight->op != HF_OP_PASSTHROUGH &&
	     io->ns->nsid != inflight->nsid)) {
		return hf_error_set(err, -EINVAL,
				    "an I/O of namespace %u is attached to "
				    "with that namespace and a callback",
				    inflight->nsid);
	}
	if (inflight->bounced && fills_memory(inflight->op) &&
	    io->buf == NULL) {
		return hf_error_set(err, -EINVAL,
				    "the read with cookie %#llx needs a buffer "
				    "to be copied to",
				    (unsigned long long)inflight->cookie);
	}
	if (!inflight->bounced && inflight->buf != NULL && io->buf != NULL &&
	    io->buf != inflight->buf) {
		return hf_error_set(err, -EINVAL,
				    "the data of the I/O with cookie %#llx "
				    "lies at %p, not at %p",
				    (unsigned long long)inflight->cookie,
				    inflight->buf, io->buf);
	}
	return 0;
}

static void fill_in(struct hf_io *io, const struct hf_inflight *inflight)
{
	io->op = inflight->op;
	io->lba = inflight->lba;
	io->blocks = inflight->blocks;
	io->cookie = inflight->cookie;
	io->iov_count = 0;
	if (io->buf == NULL) {
		io->buf = inflight->buf;
	}
	hf_io_begin(io);
}

static void claim_slot(struct hf_qpair *qp, struct hf_io *io, uint16_t number,
		       uint64_t offset, bool lost)
{
	struct hf_io_state *state = hf_io_state_of(io);
	const struct hf_data data = {
		.iov = &state->single,
		.iov_count = 1,
		.offset = offset,
		.len_bytes = qp->pending.slots[number].len_bytes,
	};

	__atomic_add_fetch(&state->parts, 1, __ATOMIC_RELAXED);
	hf_qpair_claim(qp, number,
		       lost ? hf_io_lost_part_done : hf_io_part_done, io,
		       &data);
}

static bool is_lost(const struct hf_inflight *inflight)
{
	return fills_memory(inflight->op) && !inflight->bounced &&
	       inflight->buf == NULL;
}

static int attach_slot(struct hf_qpair *qp, struct hf_io *io,
		       const struct hf_inflight *inflight)
{
	uint16_t number = (uint16_t)inflight->private_[1];

	if (number >= qp->pending.count || !is_unattached(qp, number)) {
		return -EALREADY;
	}
	fill_in(io, inflight);
	struct hf_io_state *state = hf_io_state_of(io);
	state->qp = qp;
	state->waiter.begun = true;
	state->issued_blocks = io->blocks;
	state->single.iov_len = qp->pending.slots[number].len_bytes;
	claim_slot(qp, io, number, 0, is_lost(inflight));
	__atomic_sub_fetch(&state->parts, 1, __ATOMIC_RELAXED);
	return 0;
}

static bool needs_buffer(const struct hf_io *io)
{
	return io->op == HF_OP_READ || io->op == HF_OP_WRITE ||
	       io->op == HF_OP_COMPARE;
}

/* What was not issued of a large I/O cannot be any more where its ranges, or
 * its data, died with the process that had them. */
static void give_up_rest(struct hf_io *io,
			 const struct hf_ledger_record *record)
{
	struct hf_io_state *state = hf_io_state_of(io);
	bool ranges = io->op == HF_OP_DEALLOCATE;

	if (ranges) {
		io->range_count = 0;
	}
	if (ranges || (needs_buffer(io) && io->buf == NULL)) {
		if (record->issued_blocks < record->blocks) {
			hf_io_note_error(io, ranges ? -ECANCELED : -EOWNERDEAD);
		}
		state->issued_blocks = record->blocks;
	}
}

static int attach_record(struct hf_qpair *qp, struct hf_io *io,
			 const struct hf_inflight *inflight)
{
	uint32_t number = inflight->private_[1] & ~HF_INFLIGHT_RECORD;

	if (number >= qp->view.queue->record_count ||
	    !record_is_open(qp, number)) {
		return -EALREADY;
	}
	if (qp->state == HF_QPAIR_DEAD) {
		return -ENODEV; /* the rest of it cannot be issued */
	}
	const struct hf_ledger_record *record = &qp->view.records[number];
	fill_in(io, inflight);
	struct hf_io_state *state = hf_io_state_of(io);
	state->qp = qp;
	state->waiter.begun = true;
	state->record = (uint16_t)number;
	state->first_error = record->result;
	state->issued_blocks = record->issued_blocks;
	qp->records_attached[number] = 1;
	for (uint32_t i = 0; i < qp->pending.count; i++) {
		const struct hf_ledger_slot *slot = &qp->pending.slots[i];

		if (is_unattached(qp, i) && slot->record == number) {
			uint64_t offset =
				sqe_blocks(slot) != 0
					? (sqe_lba(&slot->sqe) - record->lba)
						  << io->ns->block_shift
					: 0;

			claim_slot(qp, io, (uint16_t)i, offset,
				   is_lost(inflight));
		}
	}
	give_up_rest(io, record);
	/* The rest is issued in its turn; the part that stands for it is given
	 * up when all is. */
	hf_qpair_park(qp, &state->waiter);
	hf_qpair_resume(qp);
	return 0;
}

int hf_inflight_attach(struct hf_qpair *qp, struct hf_io *io,
		       const struct hf_inflight *inflight, struct hf_error *err)
{
	int rc = check(io, inflight, err);

	if (rc != 0) {
		return rc;
	}
	bool split = (inflight->private_[1] & HF_INFLIGHT_RECORD) != 0;
	hf_qpair_lock(qp);
	bool dead = qp->state == HF_QPAIR_DEAD;
	/* Of what is claimed already, the reaper has been told. */
	bool told = qp->claimed != HF_LEDGER_NONE;
	rc = split ? attach_record(qp, io, inflight)
		   : attach_slot(qp, io, inflight);
	bool wake = split || (!told && qp->claimed != HF_LEDGER_NONE);
	hf_qpair_unlock(qp);
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "the I/O with cookie %#llx is attached to "
				    "already, or has ended",
				    (unsigned long long)inflight->cookie);
	}
	/* Whoever reaps finds what had completed before; nobody reaps a queue
	 * whose controller was lost. */
	if (dead) {
		hf_qpair_tell_ended(qp);
	}
	if (wake) {
		hf_qpair_wake(qp);
	}
	return 0;
}

uint32_t hf_inflight_drop(struct hf_qpair *qp, hf_request_done *done, void *ctx)
{
	const struct hf_data none = {0};
	uint32_t count = 0;

	hf_qpair_lock(qp);
	for (uint32_t i = 0; i < qp->view.queue->record_count; i++) {
		if (record_is_open(qp, i)) {
			qp->records_attached[i] = 1;
			hf_qpair_record_give(qp, (uint16_t)i);
		}
	}
	for (uint32_t i = 0; i < qp->pending.count; i++) {
		if (is_unattached(qp, i)) {
			hf_qpair_claim(qp, (uint16_t)i, done, ctx, &none);
			count++;
		}
	}
	hf_qpair_unlock(qp);
	hf_qpair_wake(qp);
	return count;
}
