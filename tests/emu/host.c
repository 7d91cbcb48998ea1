/* SPDX-License-Identifier: BSD-3-Clause */
#include "host.h"

#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "cmocka_all.h"

#define PATIENCE_MS 20000

void host_options(struct hf_emu_options *options)
{
	hf_emu_options_init(options);
	options->serve = HF_EMU_MANUAL;
}

void host_open(struct host *host, const struct hf_emu_options *options)
{
	struct hf_error err = {0};
	void *mem = mmap(NULL, HOST_MEM_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(mem, MAP_FAILED);
	*host = (struct host){.mem = mem};
	host->threads = options->serve == HF_EMU_THREADS;
	host->dstrd = options->dstrd;
	if (hf_emu_create(&host->emu, options, &err) != 0) {
		fail_msg("%s", err.message);
	}
	assert_int_equal(
		hf_emu_dma_map(host->emu, HOST_IOVA, mem, HOST_MEM_BYTES,
			       HF_EMU_DMA_READ | HF_EMU_DMA_WRITE, NULL),
		0);
}

void host_close(struct host *host)
{
	hf_emu_destroy(host->emu);
	munmap(host->mem, HOST_MEM_BYTES);
}

uint32_t host_add_namespace(struct host *host, uint64_t size_bytes,
			    uint32_t lba_bytes)
{
	struct hf_emu_namespace_options options;
	struct hf_error err = {0};
	uint32_t nsid;

	hf_emu_namespace_options_init(&options);
	options.size_bytes = size_bytes;
	options.lba_bytes = lba_bytes;
	if (hf_emu_namespace_add(host->emu, &options, &nsid, &err) != 0) {
		fail_msg("%s", err.message);
	}
	return nsid;
}

void *host_alloc(struct host *host, uint64_t bytes, uint64_t *iova)
{
	uint8_t *vaddr = host->mem + host->used_bytes;

	*iova = HOST_IOVA + host->used_bytes;
	bytes = (bytes + 4095) & ~UINT64_C(4095);
	assert_true(host->used_bytes + bytes <= HOST_MEM_BYTES);
	host->used_bytes += bytes;
	memset(vaddr, 0, bytes);
	return vaddr;
}

void *host_at(struct host *host, uint64_t iova)
{
	assert_true(iova >= HOST_IOVA && iova < HOST_IOVA + HOST_MEM_BYTES);
	return host->mem + (iova - HOST_IOVA);
}

uint32_t host_read32(struct host *host, uint64_t offset)
{
	return (uint32_t)hf_emu_reg_read(host->emu, offset, 4);
}

void host_write32(struct host *host, uint64_t offset, uint32_t value)
{
	hf_emu_reg_write(host->emu, offset, 4, value);
}

void host_write64(struct host *host, uint64_t offset, uint64_t value)
{
	hf_emu_reg_write(host->emu, offset, 8, value);
}

uint32_t host_csts(struct host *host)
{
	return host_read32(host, NVME_REG_CSTS);
}

void host_run(struct host *host)
{
	if (!host->threads) {
		(void)hf_emu_process(host->emu, UINT32_MAX);
	}
}

static void queue_init(struct host *host, struct host_queue *q,
		       uint32_t entries)
{
	*q = (struct host_queue){.entries = entries, .phase = true};
	q->sq = host_alloc(host, entries * sizeof(*q->sq), &q->sq_iova);
	q->cq = host_alloc(host, entries * sizeof(*q->cq), &q->cq_iova);
}

void host_prepare_admin(struct host *host, uint32_t entries)
{
	struct host_queue *q = &host->queues[0];

	queue_init(host, q, entries);
	host_write32(host, NVME_REG_AQA, (entries - 1) | (entries - 1) << 16);
	host_write64(host, NVME_REG_ASQ, q->sq_iova);
	host_write64(host, NVME_REG_ACQ, q->cq_iova);
}

uint32_t host_cc(void)
{
	return 1u << NVME_CC_EN_SHIFT | 6u << NVME_CC_IOSQES_SHIFT |
	       4u << NVME_CC_IOCQES_SHIFT;
}

static void wait_ready(struct host *host, uint32_t ready)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

	while ((host_csts(host) & 1) != ready) {
		assert_false(hf_deadline_passed(deadline));
		host_run(host);
		sched_yield();
	}
}

void host_enable(struct host *host)
{
	host_prepare_admin(host, 32);
	host_write32(host, NVME_REG_CC, host_cc());
	wait_ready(host, 1);
}

void host_disable(struct host *host)
{
	host_write32(host, NVME_REG_CC, 0);
	wait_ready(host, 0);
	memset(host->queues, 0, sizeof(host->queues));
}

void host_start_with(struct host *host, const struct hf_emu_options *options)
{
	host_open(host, options);
	host_add_namespace(host, 1 << 20, 512);
	host_enable(host);
}

void host_start(struct host *host)
{
	struct hf_emu_options options;

	host_options(&options);
	host_start_with(host, &options);
}

uint16_t host_push(struct host *host, uint16_t qid, const struct nvme_sqe *sqe)
{
	struct host_queue *q = &host->queues[qid];
	struct nvme_sqe *slot = &q->sq[q->tail];
	uint16_t cid = q->next_cid++;

	/* Little-endian machines only: the entry goes as it is. */
	*slot = *sqe;
	slot->cid = cid;
	q->tail = (q->tail + 1) % q->entries;
	return cid;
}

static uint64_t doorbell(const struct host *host, uint16_t qid, bool of_cq)
{
	return 0x1000 + (2u * qid + of_cq) * (UINT64_C(4) << host->dstrd);
}

void host_ring(struct host *host, uint16_t qid)
{
	host_write32(host, doorbell(host, qid, false), host->queues[qid].tail);
}

bool host_peek(struct host *host, uint16_t qid)
{
	struct host_queue *q = &host->queues[qid];
	uint32_t dw3 = hf_load_le32_acquire(&q->cq[q->head].dw3);

	return ((dw3 & NVME_CQE_DW3_PHASE) != 0) == q->phase;
}

bool host_reap(struct host *host, uint16_t qid, struct nvme_cqe *cqe)
{
	struct host_queue *q = &host->queues[qid];

	if (!host_peek(host, qid)) {
		return false;
	}
	*cqe = q->cq[q->head];
	q->sq_head = cqe->dw2 & 0xffff;
	q->head++;
	if (q->head == q->entries) {
		q->head = 0;
		q->phase = !q->phase;
	}
	host_write32(host, doorbell(host, qid, true), q->head);
	return true;
}

uint16_t host_status(const struct nvme_cqe *cqe)
{
	return (uint16_t)((cqe->dw3 >> NVME_CQE_DW3_STATUS_SHIFT) &
			  ~NVME_STATUS_DNR);
}

uint16_t host_cid(const struct nvme_cqe *cqe)
{
	return (uint16_t)cqe->dw3;
}

uint16_t host_send(struct host *host, uint16_t qid, const struct nvme_sqe *sqe)
{
	uint16_t cid = host_push(host, qid, sqe);

	host_ring(host, qid);
	host_run(host);
	return cid;
}

uint16_t host_command(struct host *host, uint16_t qid,
		      const struct nvme_sqe *sqe, struct nvme_cqe *cqe)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);
	uint16_t cid = host_send(host, qid, sqe);

	while (!host_reap(host, qid, cqe)) {
		assert_false(hf_deadline_passed(deadline));
		assert_true(host->threads);
		sched_yield();
	}
	assert_int_equal(host_cid(cqe), cid);
	assert_int_equal(cqe->dw2 >> 16, qid);
	return host_status(cqe);
}

uint16_t host_admin(struct host *host, uint8_t opcode, uint32_t nsid,
		    uint32_t cdw10, uint32_t cdw11, uint64_t prp1,
		    uint32_t *dw0)
{
	struct nvme_cqe cqe;
	struct nvme_sqe sqe = {
		.opcode = opcode,
		.nsid = nsid,
		.prp1 = prp1,
		.cdw10 = cdw10,
		.cdw11 = cdw11,
	};
	uint16_t status = host_command(host, 0, &sqe, &cqe);

	if (dw0 != NULL) {
		*dw0 = cqe.dw0;
	}
	return status;
}

void host_create_queue(struct host *host, uint16_t qid, uint32_t entries,
		       uint16_t vector)
{
	struct host_queue *q = &host->queues[qid];

	queue_init(host, q, entries);
	assert_int_equal(host_admin(host, nvme_admin_create_cq, 0,
				    qid | (entries - 1) << 16,
				    3u | (uint32_t)vector << 16, q->cq_iova,
				    NULL),
			 0);
	assert_int_equal(host_admin(host, nvme_admin_create_sq, 0,
				    qid | (entries - 1) << 16,
				    1u | (uint32_t)qid << 16, q->sq_iova, NULL),
			 0);
}

uint16_t host_identify(struct host *host, uint8_t cns, uint32_t nsid,
		       void *data)
{
	uint64_t iova;
	void *page = host_alloc(host, 4096, &iova);
	uint16_t status =
		host_admin(host, nvme_admin_identify, nsid, cns, 0, iova, NULL);

	memcpy(data, page, 4096);
	return status;
}

uint16_t host_log(struct host *host, uint8_t log_id, bool retain, void *data,
		  uint32_t bytes)
{
	uint64_t iova;
	void *page = host_alloc(host, bytes, &iova);
	uint32_t cdw10 =
		log_id | (retain ? 1u << 15 : 0) | (bytes / 4 - 1) << 16;
	uint16_t status = host_admin(host, nvme_admin_get_log_page, 0, cdw10, 0,
				     iova, NULL);

	memcpy(data, page, bytes);
	return status;
}

struct nvme_sqe host_rw(uint8_t opcode, uint64_t lba, uint32_t blocks,
			uint64_t prp1)
{
	return (struct nvme_sqe){
		.opcode = opcode,
		.nsid = 1,
		.prp1 = prp1,
		.cdw10 = (uint32_t)lba,
		.cdw11 = (uint32_t)(lba >> 32),
		.cdw12 = blocks - 1,
	};
}
