/* SPDX-License-Identifier: BSD-3-Clause */
#include "namespace/direct.h"

#include <assert.h>
#include <endian.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/hint.h"

#define OFFSET_MASK (NVME_PAGE_BYTES - 1)

static void direct_done(void *ctx, const struct hf_completion *how)
{
	struct hf_io *io = ctx;

	hf_io_state_of(io)->qp = NULL; /* from here on it may be submitted */
	io->result = how->result;
	io->done(io, how->result);
}

HF_HOT_INLINE uint32_t timeout_ticks(const struct hf_io *io)
{
	return HF_LIKELY(io->timeout_ms == 0)
		       ? 0
		       : (io->timeout_ms - 1) / HF_TICK_MS + 1;
}

/* What follows from these needs no branch. */
static_assert(HF_OP_READ == 0 && HF_OP_WRITE == 1 && nvme_cmd_read == 2 &&
		      nvme_cmd_write == 1,
	      "an opcode is two minus the operation");
static_assert(HF_SLOT_TO_DEVICE == HF_OP_WRITE << 1 &&
		      HF_SLOT_REPEATABLE == HF_IO_REPEATABLE >> 1,
	      "a slot's flags are the operation's and the caller's, shifted");
static_assert(HF_IO_FUA == 1 && NVME_IO_FUA == 1 << 14,
	      "the caller's flag is dword 12's bit 30, shifted");

/* Field by field, in the order of their places: what is made of an initializer
 * is stored twice. */
HF_HOT_INLINE void fill_sqe(struct nvme_sqe *sqe, const struct hf_io *io,
			    uint16_t cid, uint64_t prp1, uint64_t prp2)
{
	sqe->opcode = (uint8_t)(nvme_cmd_read - (uint32_t)io->op);
	sqe->flags = 0;
	sqe->cid = htole16(cid);
	sqe->nsid = htole32(io->ns->nsid);
	sqe->cdw2 = 0;
	sqe->cdw3 = 0;
	sqe->mptr = 0;
	sqe->prp1 = htole64(prp1);
	sqe->prp2 = htole64(prp2);
	sqe->cdw10 = htole32((uint32_t)io->lba);
	sqe->cdw11 = htole32((uint32_t)(io->lba >> 32));
	sqe->cdw12 = htole32((uint32_t)(io->blocks - 1) |
			     (io->flags & HF_IO_FUA) << 30);
	sqe->cdw13 = 0;
	sqe->cdw14 = 0;
	sqe->cdw15 = 0;
}

HF_HOT_INLINE void put(struct hf_qpair *qp, struct hf_io *io, uint16_t number,
		       uint32_t len_bytes, uint64_t prp1, uint64_t prp2,
		       uint32_t tick)
{
	struct hf_ledger_slot *slot = &qp->pending.slots[number];
	struct hf_pending_entry *entry = &qp->pending.entries[number];

	fill_sqe(&slot->sqe, io, hf_pending_cid(&qp->pending, number), prp1,
		 prp2);
	slot->cookie = io->cookie;
	slot->len_bytes = len_bytes;
	slot->tick = tick;
	slot->timeout_ticks = timeout_ticks(io);
	slot->record = HF_LEDGER_NONE;
	slot->first_page = HF_LEDGER_NONE;
	slot->page_count = 0;
	slot->list_pages = 0;
	slot->kind = HF_SLOT_IO;
	slot->flags = (uint8_t)((uint32_t)io->op << 1 |
				(io->flags >> 1 & HF_SLOT_REPEATABLE));
	slot->op = (uint8_t)io->op;
	slot->position = qp->sq.count;
	entry->aborted = false;
	entry->tries = 0;
	entry->done = direct_done;
	entry->ctx = io;
	hf_pending_publish(&qp->pending, number);
	hf_sq_push(&qp->sq, &slot->sqe);
}

/* Where the second page of the data is, or HF_IOVA_NONE. */
static uint64_t second_page(const struct hf_qpair *qp, const uint8_t *vaddr,
			    uint32_t offset, uint32_t len_bytes)
{
	return offset + len_bytes <= 2 * NVME_PAGE_BYTES
		       ? hf_iova_lookup(qp->map,
					vaddr + NVME_PAGE_BYTES - offset)
		       : HF_IOVA_NONE;
}

/* Return: false when it has to go the long way; nothing was done then. */
HF_HOT_INLINE bool submit(struct hf_qpair *qp, struct hf_io *io, uint32_t tick)
{
	const struct hf_namespace *ns = io->ns;
	const uint8_t *vaddr = io->buf;
	uint32_t offset = (uint32_t)((uintptr_t)vaddr & OFFSET_MASK);

	/* An operation of reading or writing, without a list, with no flag but
	 * those that are known, and not under way: one test for all. */
	if (HF_UNLIKELY(((uint32_t)io->op >> 1 | io->iov_count |
			 (io->flags & ~HF_IO_FLAGS) |
			 (uintptr_t)hf_io_state_of(io)->qp) != 0 ||
			ns == NULL || io->done == NULL ||
			ns->owner != qp->hooks.ctx)) {
		return false;
	}
	/* A removed namespace has no blocks: the range is refused, and the
	 * long way finds out why. Zero blocks wrap around and are too many. */
	if (HF_UNLIKELY(io->blocks - 1 >= ns->direct_blocks ||
			!hf_range_within(io->lba, io->blocks,
					 __atomic_load_n(&ns->blocks,
							 __ATOMIC_RELAXED)) ||
			(io->op == HF_OP_WRITE &&
			 __atomic_load_n(&ns->read_only, __ATOMIC_RELAXED)) ||
			(offset & 3) != 0)) {
		return false;
	}

	uint32_t len_bytes = (uint32_t)io->blocks << ns->block_shift;
	uint64_t prp1;
	uint64_t prp2 = 0;
	if (HF_UNLIKELY(!hf_iova_find(qp->map, vaddr, &prp1))) {
		return false;
	}
	if (offset + len_bytes > NVME_PAGE_BYTES) {
		prp2 = second_page(qp, vaddr, offset, len_bytes);
		if (prp2 == HF_IOVA_NONE) {
			return false;
		}
	}
	uint16_t number = hf_pending_take(&qp->pending);
	if (HF_UNLIKELY(number == HF_LEDGER_NONE)) {
		return false;
	}
	hf_io_state_of(io)->qp = qp;
	put(qp, io, number, len_bytes, prp1, prp2, tick);
	return true;
}

uint32_t hf_direct_submit(struct hf_qpair *qp, struct hf_io *const *ios,
			  uint32_t count)
{
	uint32_t tick = hf_qpair_tick(qp);
	struct hf_io *const *end = ios + count;
	struct hf_io *const *next = ios;

	while (next < end && submit(qp, *next, tick)) {
		next++;
	}
	uint32_t taken = (uint32_t)(next - ios);
	qp->submitted += taken;
	return taken;
}
