/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/queues.h"

#include <stdlib.h>
#include <string.h>

#include "base/barrier.h"
#include "base/bytes.h"
#include "base/checked.h"
#include "emu/ctrl.h"

uint32_t hf_emu_cq_room(const struct hf_emu_cq *cq)
{
	uint32_t entries = hf_emu_load(&cq->entries);
	uint32_t head = hf_emu_load(&cq->head);
	uint32_t tail = hf_emu_load(&cq->tail);

	if (entries == 0) {
		return 0;
	}
	return (head + entries - tail - 1) % entries;
}

bool hf_emu_cq_empty(const struct hf_emu_cq *cq)
{
	return hf_emu_load(&cq->head) == hf_emu_load(&cq->tail);
}

bool hf_emu_sq_has_work(const struct hf_emu *emu, const struct hf_emu_sq *sq)
{
	if (hf_emu_load(&sq->valid) == 0 || hf_emu_load(&sq->stopped) != 0 ||
	    hf_emu_load(&sq->tail) == hf_emu_load(&sq->head)) {
		return false;
	}
	return hf_emu_cq_room(&emu->cqs[hf_emu_load(&sq->cqid)]) != 0;
}

void hf_emu_sq_fetch(struct hf_emu_sq *sq, struct nvme_sqe *sqe)
{
	uint32_t head = sq->head;
	struct nvme_sqe raw;

	/* One copy: the host may go on writing to its memory. */
	memcpy(&raw, hf_emu_ring_at(&sq->ring, head), sizeof(raw));
	sqe->opcode = raw.opcode;
	sqe->flags = raw.flags;
	sqe->cid = le16toh(raw.cid);
	sqe->nsid = le32toh(raw.nsid);
	sqe->cdw2 = le32toh(raw.cdw2);
	sqe->cdw3 = le32toh(raw.cdw3);
	sqe->mptr = le64toh(raw.mptr);
	sqe->prp1 = le64toh(raw.prp1);
	sqe->prp2 = le64toh(raw.prp2);
	sqe->cdw10 = le32toh(raw.cdw10);
	sqe->cdw11 = le32toh(raw.cdw11);
	sqe->cdw12 = le32toh(raw.cdw12);
	sqe->cdw13 = le32toh(raw.cdw13);
	sqe->cdw14 = le32toh(raw.cdw14);
	sqe->cdw15 = le32toh(raw.cdw15);

	head++;
	hf_emu_store(&sq->head, head == sq->entries ? 0 : head);
	sq->commands++;
}

uint16_t hf_emu_sq_start(struct hf_emu *emu, uint16_t qid, uint16_t cqid,
			 const struct hf_emu_ring_place *place)
{
	struct hf_emu_sq *sq = &emu->sqs[qid];
	struct hf_emu_cq *cq = &emu->cqs[cqid];
	uint16_t status = hf_emu_ring_init(emu, &sq->ring, place);

	if (status != 0) {
		return status;
	}

	hf_emu_doorbell_clear(emu, qid * 2u);
	sq->page_seen = 0;
	hf_emu_store(&sq->head, 0);
	hf_emu_store(&sq->tail, 0);
	hf_emu_store(&sq->stopped, 0);
	hf_emu_store(&sq->entries, place->entries);
	hf_emu_store(&sq->cqid, cqid);
	hf_emu_store(&sq->worker, cq->worker);
	cq->sq_count++;
	hf_emu_worker_add_sq(&emu->workers[cq->worker], qid);
	hf_emu_store(&sq->valid, 1);
	return 0;
}

void hf_emu_sq_stop(struct hf_emu *emu, uint16_t qid)
{
	struct hf_emu_sq *sq = &emu->sqs[qid];

	if (sq->valid == 0) {
		return;
	}
	hf_emu_store(&sq->valid, 0);
	hf_emu_worker_remove_sq(&emu->workers[sq->worker], qid);
	emu->cqs[sq->cqid].sq_count--;
	hf_emu_store(&sq->entries, 0);
	hf_emu_ring_fini(&sq->ring);
}

uint16_t hf_emu_cq_start(struct hf_emu *emu, uint16_t qid, uint16_t vector,
			 bool irq_enabled,
			 const struct hf_emu_ring_place *place)
{
	struct hf_emu_cq *cq = &emu->cqs[qid];
	uint16_t status = hf_emu_ring_init(emu, &cq->ring, place);
	uint32_t io_workers = emu->worker_count - 1;

	if (status != 0) {
		return status;
	}

	cq->phase = true;
	cq->sq_count = 0;
	hf_emu_doorbell_clear(emu, qid * 2u + 1);
	cq->page_seen = 0;
	cq->unsignaled = 0;
	hf_emu_store(&cq->head, 0);
	hf_emu_store(&cq->tail, 0);
	hf_emu_store(&cq->starved, 0);
	hf_emu_store(&cq->vector, vector);
	hf_emu_store(&cq->irq_enabled, irq_enabled);
	hf_emu_store(&cq->worker, qid == 0 ? 0 : 1 + (qid - 1u) % io_workers);
	hf_emu_store(&cq->entries, place->entries);
	hf_emu_worker_add_cq(&emu->workers[cq->worker], qid);
	hf_emu_store(&cq->valid, 1);
	return 0;
}

static void entries_free(struct hf_list *list)
{
	hf_list_for_each_safe(link, list)
	{
		free(hf_container_of(link, struct hf_emu_entry, link));
	}
	hf_list_init(list);
}

void hf_emu_cq_stop(struct hf_emu *emu, uint16_t qid)
{
	struct hf_emu_cq *cq = &emu->cqs[qid];

	if (cq->valid == 0) {
		return;
	}
	hf_emu_store(&cq->valid, 0);
	hf_emu_worker_remove_cq(&emu->workers[cq->worker], qid);
	hf_emu_store(&cq->entries, 0);
	hf_emu_store(&cq->head, 0);
	hf_emu_store(&cq->tail, 0);
	entries_free(&cq->backlog);
	entries_free(&cq->swapped);
	hf_emu_ring_fini(&cq->ring);
}
