/* SPDX-License-Identifier: BSD-3-Clause */
#include "namespace/direct.h"

#include <endian.h>

#include <nvme/types.h>

#include "base/checked.h"

#define OFFSET_MASK (NVME_PAGE_BYTES - 1)

static void direct_done(void *ctx, const struct hf_completion *how)
{
	struct hf_io *io = ctx;

	io->result = how->result;
	io->done(io, how->result);
}

static uint32_t timeout_ticks(const struct hf_io *io)
{
	return io->timeout_ms == 0 ? 0 : (io->timeout_ms - 1) / HF_TICK_MS + 1;
}

static void fill_sqe(struct nvme_sqe *sqe, const struct hf_io *io, uint16_t cid,
		     uint64_t prp1, uint64_t prp2)
{
	uint32_t fua =
		(io->flags & HF_IO_FUA) != 0 ? (uint32_t)NVME_IO_FUA << 16 : 0;

	*sqe = (struct nvme_sqe){
		.opcode = io->op == HF_OP_READ ? nvme_cmd_read : nvme_cmd_write,
		.cid = htole16(cid),
		.nsid = htole32(io->ns->nsid),
		.prp1 = htole64(prp1),
		.prp2 = htole64(prp2),
		.cdw10 = htole32((uint32_t)io->lba),
		.cdw11 = htole32((uint32_t)(io->lba >> 32)),
		.cdw12 = htole32((uint32_t)(io->blocks - 1) | fua),
	};
}

static void put(struct hf_qpair *qp, struct hf_io *io, uint32_t len_bytes,
		uint64_t prp1, uint64_t prp2)
{
	uint16_t number = hf_pending_take(&qp->pending);
	struct hf_ledger_slot *slot = &qp->pending.slots[number];
	struct hf_pending_entry *entry = &qp->pending.entries[number];
	uint8_t flags = io->op == HF_OP_WRITE ? HF_SLOT_TO_DEVICE : 0;

	if ((io->flags & HF_IO_REPEATABLE) != 0) {
		flags |= HF_SLOT_REPEATABLE;
	}
	fill_sqe(&slot->sqe, io, hf_pending_cid(&qp->pending, number), prp1,
		 prp2);
	slot->cookie = io->cookie;
	slot->len_bytes = len_bytes;
	slot->tick = __atomic_load_n(qp->tick, __ATOMIC_RELAXED);
	slot->timeout_ticks = timeout_ticks(io);
	slot->record = HF_LEDGER_NONE;
	slot->first_page = HF_LEDGER_NONE;
	slot->page_count = 0;
	slot->list_pages = 0;
	slot->kind = HF_SLOT_IO;
	slot->flags = flags;
	slot->op = (uint8_t)io->op;
	slot->position = qp->sq.count;
	entry->aborted = false;
	entry->done = direct_done;
	entry->ctx = io;
	hf_pending_publish(&qp->pending, number);
	hf_sq_push(&qp->sq, &slot->sqe);
	qp->submitted++;
}

bool hf_direct_submit(struct hf_qpair *qp, struct hf_io *io)
{
	const struct hf_namespace *ns = io->ns;
	uint8_t *vaddr = io->buf;
	uint32_t offset = (uint32_t)((uintptr_t)vaddr & OFFSET_MASK);

	/* A removed namespace has no blocks: the range is refused, and the
	 * long way finds out why. Zero blocks wrap around and are too many. */
	if ((uint32_t)io->op > HF_OP_WRITE || io->iov_count != 0 ||
	    io->blocks - 1 >= ns->direct_blocks ||
	    !hf_range_within(io->lba, io->blocks,
			     __atomic_load_n(&ns->blocks, __ATOMIC_RELAXED)) ||
	    (io->op == HF_OP_WRITE &&
	     __atomic_load_n(&ns->read_only, __ATOMIC_RELAXED)) ||
	    qp->pending.free_head == HF_LEDGER_NONE || (offset & 3) != 0) {
		return false;
	}

	uint32_t len_bytes = (uint32_t)io->blocks << ns->block_shift;
	uint64_t prp1 = hf_iova_lookup(qp->map, vaddr);
	uint64_t prp2 = 0;
	if (offset + len_bytes > NVME_PAGE_BYTES) {
		if (offset + len_bytes > 2 * NVME_PAGE_BYTES) {
			return false;
		}
		prp2 = hf_iova_lookup(qp->map,
				      vaddr + NVME_PAGE_BYTES - offset);
	}
	if (prp1 == HF_IOVA_NONE || prp2 == HF_IOVA_NONE) {
		return false;
	}
	hf_io_state_of(io)->qp = qp;
	put(qp, io, len_bytes, prp1, prp2);
	return true;
}
