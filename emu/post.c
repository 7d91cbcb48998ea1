/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "emu/ctrl.h"
#include "emu/later.h"
#include "emu/worker.h"

/* A reordered entry is posted by itself when nothing follows it. */
#define SWAPPED_AT_LAST_NS UINT64_C(100000000)

static struct nvme_cqe *slot_at(struct hf_emu_cq *cq, uint32_t index)
{
	return (struct nvme_cqe *)(void *)hf_emu_ring_at(&cq->ring, index);
}

static void store_dw(uint32_t *p, uint32_t value)
{
	__atomic_store_n(p, htole32(value), __ATOMIC_RELAXED);
}

/*
 * Dword 3 carries the phase tag, so it is stored last and with release: who
 * sees the tag sees the rest, and the data that was moved before.
 */
static void write_slot(struct nvme_cqe *slot, const struct nvme_cqe *cqe,
		       bool phase)
{
	store_dw(&slot->dw0, cqe->dw0);
	store_dw(&slot->dw1, cqe->dw1);
	store_dw(&slot->dw2, cqe->dw2);
	hf_store_le32_release(&slot->dw3,
			      cqe->dw3 | (phase ? NVME_CQE_DW3_PHASE : 0));
}

static void advance(struct hf_emu_worker *worker, struct hf_emu_cq *cq)
{
	uint32_t tail = cq->tail + 1;

	if (tail == cq->entries) {
		tail = 0;
		cq->phase = !cq->phase;
	}
	hf_emu_store(&cq->tail, tail);
	cq->commands++;
	if (cq->unsignaled++ == 0) {
		cq->unsignaled_since_ns = 0;
	}
	worker->completions++;
}

/* The tail is advanced before the entry can be seen, or else the host's
 * doorbell could come before this side knows that there was an entry. */
static void post_now(struct hf_emu_worker *worker, struct hf_emu_cq *cq,
		     const struct nvme_cqe *cqe)
{
	struct nvme_cqe *slot = slot_at(cq, cq->tail);
	bool phase = cq->phase;

	advance(worker, cq);
	write_slot(slot, cqe, phase);
}

static void keep_entry(struct hf_emu *emu, struct hf_list *list,
		       const struct nvme_cqe *cqe)
{
	struct hf_emu_entry *entry = malloc(sizeof(*entry));

	if (entry == NULL) {
		hf_emu_fatal(emu, "no memory to keep a completion");
		return;
	}
	entry->cqe = *cqe;
	hf_list_push_back(list, &entry->link);
}

static bool ring_there(struct hf_emu *emu, struct hf_emu_cq *cq)
{
	if (hf_emu_ring_resolve(emu, &cq->ring)) {
		return true;
	}
	hf_emu_fatal(emu, "a completion queue's memory is not mapped");
	return false;
}

void hf_emu_cq_post_backlog(struct hf_emu_worker *worker, struct hf_emu_cq *cq)
{
	if (hf_list_empty(&cq->backlog) || !ring_there(worker->emu, cq)) {
		return;
	}
	while (!hf_list_empty(&cq->backlog) && hf_emu_cq_room(cq) != 0) {
		struct hf_emu_entry *entry =
			hf_container_of(hf_list_pop_front(&cq->backlog),
					struct hf_emu_entry, link);

		post_now(worker, cq, &entry->cqe);
		free(entry);
	}
	if (!hf_list_empty(&cq->backlog)) {
		__atomic_store_n(&cq->starved, 1, __ATOMIC_SEQ_CST);
	}
}

static void post(struct hf_emu_worker *worker, struct hf_emu_cq *cq,
		 const struct nvme_cqe *cqe)
{
	if (cq->valid == 0 || !ring_there(worker->emu, cq)) {
		return;
	}
	if (hf_list_empty(&cq->backlog) && hf_emu_cq_room(cq) != 0) {
		post_now(worker, cq, cqe);
	} else {
		keep_entry(worker->emu, &cq->backlog, cqe);
		__atomic_store_n(&cq->starved, 1, __ATOMIC_SEQ_CST);
	}
}

static void post_swapped(struct hf_emu_worker *worker, struct hf_emu_cq *cq)
{
	hf_list_for_each_safe(link, &cq->swapped)
	{
		struct hf_emu_entry *entry =
			hf_container_of(link, struct hf_emu_entry, link);

		post(worker, cq, &entry->cqe);
		free(entry);
	}
	hf_list_init(&cq->swapped);
}

void hf_emu_post_swapped(struct hf_emu_worker *worker, uint16_t cqid)
{
	post_swapped(worker, &worker->emu->cqs[cqid]);
}

void hf_emu_post_rest(struct hf_emu_worker *worker,
		      const struct hf_emu_later *later)
{
	struct hf_emu_cq *cq = &worker->emu->cqs[later->cqid];

	if (cq->valid == 0 || later->slot >= cq->entries ||
	    !ring_there(worker->emu, cq)) {
		return;
	}
	struct nvme_cqe *slot = slot_at(cq, later->slot);
	store_dw(&slot->dw0, later->cqe.dw0);
	store_dw(&slot->dw1, later->cqe.dw1);
	store_dw(&slot->dw2, later->cqe.dw2);
}

/* Dword 3 now, the others when due. */
static void post_torn(struct hf_emu_worker *worker, struct hf_emu_cq *cq,
		      const struct nvme_cqe *cqe, uint64_t torn_ns)
{
	struct hf_emu_later *later = hf_emu_later_new(worker, torn_ns);

	if (later == NULL || hf_emu_cq_room(cq) == 0 ||
	    !hf_list_empty(&cq->backlog) || !ring_there(worker->emu, cq)) {
		free(later);
		post(worker, cq, cqe);
		return;
	}
	later->what = HF_EMU_LATER_TORN;
	later->cqid = cq->qid;
	later->slot = cq->tail;
	later->cqe = *cqe;

	struct nvme_cqe *slot = slot_at(cq, cq->tail);
	uint32_t phase = cq->phase ? NVME_CQE_DW3_PHASE : 0;
	advance(worker, cq);
	hf_store_le32_release(&slot->dw3, cqe->dw3 | phase);
	hf_emu_later_add(worker, later);
}

static void post_out_of_turn(struct hf_emu_worker *worker, struct hf_emu_cq *cq,
			     const struct nvme_cqe *cqe)
{
	struct hf_emu_later *later =
		hf_emu_later_new(worker, SWAPPED_AT_LAST_NS);

	if (later == NULL) {
		post(worker, cq, cqe);
		return;
	}
	later->what = HF_EMU_LATER_SWAPPED;
	later->cqid = cq->qid;
	hf_emu_later_add(worker, later);
	keep_entry(worker->emu, &cq->swapped, cqe);
}

static void post_phantom(struct hf_emu_worker *worker, struct hf_emu_cq *cq,
			 const struct nvme_cqe *cqe, uint16_t cid)
{
	struct nvme_cqe phantom = {
		.dw2 = cqe->dw2,
		.dw3 = cid,
	};

	post(worker, cq, &phantom);
}

static void post_faulty(struct hf_emu_worker *worker, struct hf_emu_cq *cq,
			struct nvme_cqe *cqe, const struct hf_fault_verdict *v)
{
	if ((v->actions & HF_FAULT_RESULT) != 0) {
		cqe->dw0 = v->dw0;
	}
	if ((v->actions & HF_FAULT_CID) != 0) {
		cqe->dw3 = (cqe->dw3 & ~UINT32_C(0xffff)) | v->cid;
	}
	if ((v->actions & HF_FAULT_SQID) != 0) {
		cqe->dw2 = (cqe->dw2 & 0xffff) | (uint32_t)v->sqid << 16;
	}
	if ((v->actions & HF_FAULT_SQHD) != 0) {
		cqe->dw2 = (cqe->dw2 & ~UINT32_C(0xffff)) | v->sqhd;
	}
	if ((v->actions & HF_FAULT_PHANTOM) != 0) {
		post_phantom(worker, cq, cqe, v->phantom_cid);
	}
	if ((v->actions & HF_FAULT_STALE_PHASE) != 0) {
		/* Left where the next entry will be: this one is lost. */
		if (ring_there(worker->emu, cq) && hf_emu_cq_room(cq) != 0) {
			write_slot(slot_at(cq, cq->tail), cqe, !cq->phase);
		}
		worker->dropped++;
		return;
	}
	if ((v->actions & HF_FAULT_REORDER) != 0) {
		post_out_of_turn(worker, cq, cqe);
		return;
	}
	if ((v->actions & HF_FAULT_TORN) != 0) {
		post_torn(worker, cq, cqe, v->torn_ns);
	} else {
		post(worker, cq, cqe);
	}
	uint32_t repeats = (v->actions & HF_FAULT_REPEAT) != 0 ? v->repeat : 0;
	for (uint32_t i = 0; i < HF_MIN(repeats, cq->entries); i++) {
		post(worker, cq, cqe);
	}
}

void hf_emu_post(struct hf_emu_worker *worker, struct hf_emu_cmd *cmd,
		 uint16_t status)
{
	struct hf_emu *emu = worker->emu;
	struct hf_emu_cq *cq = &emu->cqs[hf_emu_load(&cmd->sq->cqid)];
	bool waiting = !hf_list_empty(&cq->swapped);
	struct nvme_cqe cqe = {
		.dw0 = cmd->dw0,
		.dw1 = cmd->dw1,
		.dw2 = cmd->sq->head | (uint32_t)cmd->sqid << 16,
		.dw3 = cmd->sqe.cid | (uint32_t)status
					      << NVME_CQE_DW3_STATUS_SHIFT,
	};

	if (status != 0) {
		worker->errors++;
		hf_emu_logs_error(emu, cmd, status);
	}
	if (cmd->fault != NULL) {
		post_faulty(worker, cq, &cqe, cmd->fault);
	} else {
		post(worker, cq, &cqe);
	}
	if (waiting) {
		post_swapped(worker, cq);
	}
}

static void raise_faulty(struct hf_emu_worker *worker, uint16_t vector,
			 const struct hf_fault_interrupt_verdict *verdict)
{
	struct hf_emu *emu = worker->emu;

	if ((verdict->actions & HF_FAULT_IRQ_VECTOR) != 0) {
		vector = verdict->vector;
	}
	if ((verdict->actions & HF_FAULT_IRQ_LOSE) != 0) {
		return;
	}
	if ((verdict->actions & HF_FAULT_IRQ_LATE) != 0) {
		struct hf_emu_later *later =
			hf_emu_later_new(worker, verdict->delay_ns);

		if (later != NULL) {
			later->what = HF_EMU_LATER_IRQ;
			later->vector = vector;
			hf_emu_later_add(worker, later);
			return;
		}
	}
	hf_emu_irq_raise(emu, vector);
	if ((verdict->actions & HF_FAULT_IRQ_REPEAT) != 0) {
		for (uint32_t i = 0; i < HF_MIN(verdict->repeat, 65536u); i++) {
			hf_emu_irq_raise(emu, vector);
		}
	}
}

static void raise_vector(struct hf_emu_worker *worker, uint16_t vector)
{
	struct hf_emu *emu = worker->emu;
	struct hf_fault_interrupt_verdict verdict = {0};

	if ((hf_faults_armed(emu->faults) & HF_FAULT_SITE_INTERRUPT) != 0 &&
	    hf_fault_interrupt(emu->faults, vector, &verdict)) {
		raise_faulty(worker, vector, &verdict);
		return;
	}
	hf_emu_irq_raise(emu, vector);
}

uint64_t hf_emu_cq_signal(struct hf_emu_worker *worker, struct hf_emu_cq *cq)
{
	struct hf_emu *emu = worker->emu;
	uint32_t entries_z;
	uint64_t time_ns;

	if (cq->unsignaled == 0) {
		return UINT64_MAX;
	}
	if (cq->irq_enabled == 0) {
		cq->unsignaled = 0;
		return UINT64_MAX;
	}
	if (hf_emu_coalescing(emu, cq->qid, (uint16_t)cq->vector, &entries_z,
			      &time_ns) &&
	    cq->unsignaled <= entries_z) {
		uint64_t now_ns = hf_emu_now_ns(emu);

		if (cq->unsignaled_since_ns == 0) {
			cq->unsignaled_since_ns = now_ns;
		}
		if (now_ns - cq->unsignaled_since_ns < time_ns) {
			return cq->unsignaled_since_ns + time_ns;
		}
	}
	cq->unsignaled = 0;
	raise_vector(worker, (uint16_t)cq->vector);
	return UINT64_MAX;
}
