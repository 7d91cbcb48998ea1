/* SPDX-License-Identifier: BSD-3-Clause */
#include "model_device.h"

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>
#include <nvme/types.h>

#include "base/bytes.h"
#include "base/error.h"

#define DOORBELLS  0x1000u
#define KEY_BLOCKS 16u

static void wrong(struct model *model, const char *what)
{
	if (model->wrong == NULL) {
		model->wrong = what;
	}
}

static uint64_t sq_bytes(uint32_t entries)
{
	uint64_t bytes = (uint64_t)entries * sizeof(struct nvme_sqe);

	return (bytes + NVME_PAGE_BYTES - 1) / NVME_PAGE_BYTES *
	       NVME_PAGE_BYTES;
}

void model_init(struct model *model, struct hf_device *dev,
		const struct hf_ledger *ledger)
{
	memset(model, 0, sizeof(*model));
	for (uint32_t i = 0; i < MODEL_QUEUES; i++) {
		struct model_queue *queue = &model->queues[i];
		const struct hf_ledger_view view =
			hf_ledger_queue_view(ledger, i);
		uint8_t *at = hf_dma_vaddr(&dev->dma, view.queue->iova,
					   view.queue->len_bytes);

		assert_non_null(at);
		queue->sq = (void *)at;
		queue->cq = (void *)(at + sq_bytes(view.queue->entries));
		queue->entries = view.queue->entries;
		queue->sq_tail = (uint32_t)view.queue->sq_rung;
		queue->sq_head = queue->sq_tail;
		queue->cq_head = view.queue->cq_head & ~HF_LEDGER_PHASE;
		queue->cq_tail = queue->cq_head;
		queue->phase = (view.queue->cq_head & HF_LEDGER_PHASE) != 0;
	}
}

static uint32_t ring_distance(uint32_t from, uint32_t to, uint32_t entries)
{
	return to >= from ? to - from : to + entries - from;
}

/* There is no other way out where no command has a place behind another. */
static bool may_repeat(const struct model_queue *queue)
{
	return queue->entries == 2;
}

void model_ring(struct model *model, uint32_t qid, bool is_cq, uint32_t value)
{
	struct model_queue *queue = &model->queues[qid];

	if (value >= queue->entries) {
		wrong(model, "a doorbell beyond the ring");
		return;
	}
	if (is_cq) {
		if (value == queue->cq_head && !may_repeat(queue)) {
			wrong(model, "a CQ doorbell with the same value twice");
		}
		if (ring_distance(queue->cq_head, value, queue->entries) >
		    ring_distance(queue->cq_head, queue->cq_tail,
				  queue->entries)) {
			wrong(model, "a CQ doorbell past what was posted");
		}
		queue->cq_head = value;
		return;
	}
	if (value == queue->sq_tail && !may_repeat(queue)) {
		wrong(model, "an SQ doorbell with the same value twice");
	}
	if (ring_distance(queue->sq_head, value, queue->entries) <
	    ring_distance(queue->sq_head, queue->sq_tail, queue->entries)) {
		wrong(model, "an SQ doorbell that goes back");
	}
	queue->sq_tail = value;
}

static uint32_t key_of(const struct nvme_sqe *sqe)
{
	uint64_t lba =
		(uint64_t)le32toh(sqe->cdw11) << 32 | le32toh(sqe->cdw10);

	if ((sqe->opcode != nvme_cmd_read && sqe->opcode != nvme_cmd_write) ||
	    lba < MODEL_BASE_LBA ||
	    lba >= MODEL_BASE_LBA + MODEL_KEYS * KEY_BLOCKS) {
		return MODEL_KEYS;
	}
	return (uint32_t)(lba - MODEL_BASE_LBA) / KEY_BLOCKS;
}

bool model_fetch(struct model *model, uint32_t qid)
{
	struct model_queue *queue = &model->queues[qid];
	const struct nvme_sqe *sqe = &queue->sq[queue->sq_head];

	if (queue->sq_head == queue->sq_tail) {
		return false;
	}
	assert_true(queue->held_count < MODEL_HELD);
	struct model_command *command = &queue->held[queue->held_count];
	*command = (struct model_command){
		.cid = le16toh(sqe->cid),
		.opcode = sqe->opcode,
		.key = qid != 0 ? key_of(sqe) : MODEL_KEYS,
	};
	for (uint32_t i = 0; i < queue->held_count; i++) {
		if (queue->held[i].cid == command->cid) {
			wrong(model, "a command identifier that is in use");
		}
	}
	if (command->key < MODEL_KEYS) {
		model->fetched[command->key]++;
	}
	if (qid == 0) {
		model->other_commands++;
	}
	queue->held_count++;
	queue->sq_head = (queue->sq_head + 1) % queue->entries;
	return true;
}

void model_complete(struct model *model, uint32_t qid, uint32_t held)
{
	struct model_queue *queue = &model->queues[qid];
	const struct model_command command = queue->held[held];
	struct nvme_cqe *cqe = &queue->cq[queue->cq_tail];

	if ((queue->cq_tail + 1) % queue->entries == queue->cq_head) {
		wrong(model, "a completion queue that is full");
		return;
	}
	if (command.key < MODEL_KEYS) {
		model->completed[command.key]++;
	}
	hf_put_le32(&cqe->dw0, 0);
	hf_put_le32(&cqe->dw1, 0);
	hf_put_le32(&cqe->dw2, qid << 16 | queue->sq_head);
	hf_put_le32(&cqe->dw3,
		    command.cid | (queue->phase ? NVME_CQE_DW3_PHASE : 0));
	queue->cq_tail++;
	if (queue->cq_tail == queue->entries) {
		queue->cq_tail = 0;
		queue->phase = !queue->phase;
	}
	queue->held_count--;
	memmove(&queue->held[held], &queue->held[held + 1],
		(queue->held_count - held) * sizeof(queue->held[0]));
}

void model_run(struct model *model)
{
	for (uint32_t qid = 0; qid < MODEL_QUEUES; qid++) {
		struct model_queue *queue = &model->queues[qid];

		while (model_fetch(model, qid)) {
		}
		for (uint32_t i = queue->held_count; i-- > 0;) {
			if (qid != 0 ||
			    queue->held[i].opcode != nvme_admin_async_event) {
				model_complete(model, qid, i);
			}
		}
	}
}

static struct model_host *host_of(struct hf_device *dev)
{
	return (struct model_host *)(void *)dev;
}

static int host_reg_read(struct hf_device *dev, uint32_t offset,
			 uint32_t size_bytes, uint64_t *value)
{
	struct model_host *host = host_of(dev);

	return host->registers->ops->reg_read(host->registers, offset,
					      size_bytes, value);
}

static int host_reg_write(struct hf_device *dev, uint32_t offset,
			  uint32_t size_bytes, uint64_t value)
{
	struct model_host *host = host_of(dev);
	uint32_t number = (offset - DOORBELLS) / 4;

	(void)size_bytes;
	if (offset < DOORBELLS || number >= 2 * MODEL_QUEUES) {
		wrong(host->model, "a register that was written");
		return 0;
	}
	model_ring(host->model, number / 2, number % 2 != 0, (uint32_t)value);
	return 0;
}

static uint32_t host_irq_count(struct hf_device *dev)
{
	(void)dev;
	return 1;
}

static int host_irq_map(struct hf_device *dev, uint32_t vector, uint32_t cpu,
			int *eventfd_out, struct hf_error *err)
{
	(void)vector;
	(void)cpu;
	(void)err;
	*eventfd_out = host_of(dev)->eventfd;
	return 0;
}

static void host_irq_unmap_all(struct hf_device *dev)
{
	(void)dev;
}

static int host_dma_map(struct hf_device *dev, const struct hf_dma_mapping *map,
			struct hf_error *err)
{
	(void)dev;
	(void)map;
	return hf_error_set(err, -ENOTSUP, "the model maps nothing");
}

static int host_dma_unmap(struct hf_device *dev,
			  const struct hf_dma_mapping *map,
			  struct hf_error *err)
{
	(void)dev;
	(void)map;
	(void)err;
	return 0;
}

static int host_reset(struct hf_device *dev, struct hf_error *err)
{
	wrong(host_of(dev)->model, "a reset");
	return hf_error_set(err, -ENOTSUP, "the model is never reset");
}

static void host_destroy(struct hf_device *dev, enum hf_release how)
{
	(void)how;
	hf_device_fini(dev, HF_RELEASE_KEEP);
	close(host_of(dev)->eventfd);
	free(dev);
}

static const struct hf_device_ops host_ops = {
	.kind = "model",
	.reg_read = host_reg_read,
	.reg_write = host_reg_write,
	.irq_count = host_irq_count,
	.irq_map = host_irq_map,
	.irq_unmap_all = host_irq_unmap_all,
	.dma_map = host_dma_map,
	.dma_unmap = host_dma_unmap,
	.reset = host_reset,
	.destroy = host_destroy,
};

/* What a successor receives: descriptors of its own. */
static struct hf_fdset *duplicate(struct hf_device *old)
{
	struct hf_fdset *set = calloc(1, sizeof(*set));
	struct hf_error err;

	assert_non_null(set);
	hf_fdset_init(set);
	assert_int_equal(hf_dma_carry(&old->dma, set, &err), 0);
	for (uint32_t i = 0; i < set->count; i++) {
		set->entries[i].fd = dup(set->entries[i].fd);
		assert_true(set->entries[i].fd >= 0);
	}
	return set;
}

struct hf_device *model_device_create(struct model *model,
				      struct hf_device *old,
				      const struct hf_ledger *ledger)
{
	struct model_host *host = calloc(1, sizeof(*host));
	struct hf_fdset *set = duplicate(old);
	struct hf_error err = {.message = ""};

	assert_non_null(host);
	host->dev.ops = &host_ops;
	host->dev.bar0_bytes = DOORBELLS + 4096;
	snprintf(host->dev.id, sizeof(host->dev.id), "%s", old->id);
	host->model = model;
	host->registers = old;
	host->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (hf_dma_adopt(&host->dev.dma, &host->dev, set, &err) != 0 ||
	    hf_ledger_adopt(&host->dev.inherited, dup(ledger->fd), &err) != 0) {
		fail_msg("%s", err.message);
	}
	hf_fdset_close(set);
	free(set);
	return &host->dev;
}
