/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/ioqueues.h"
#include "driver/retry.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"
#include "driver/admin.h"
#include "driver/deadline.h"
#include "driver/restore.h"

#define QUEUE_CONTIGUOUS 1u
#define CQ_INTERRUPTS    2u

static uint32_t wanted_words(const struct hf_driver *drv)
{
	return (drv->options.cpu_count + 63) / 64;
}

int hf_ioqueues_init(struct hf_driver *drv)
{
	drv->wanted = calloc(wanted_words(drv), sizeof(*drv->wanted));
	drv->io = calloc(drv->options.io_queues, sizeof(struct hf_qpair *));
	drv->io_doubtful =
		calloc(drv->options.io_queues, sizeof(*drv->io_doubtful));
	if (drv->wanted == NULL || drv->io == NULL ||
	    drv->io_doubtful == NULL) {
		return -ENOMEM;
	}
	return hf_issuers_init(&drv->issuers, drv->options.cpu_count,
			       hf_ioqueues_want, drv);
}

void hf_ioqueues_fini(struct hf_driver *drv)
{
	for (uint32_t i = 0; drv->io != NULL && i < drv->io_max; i++) {
		hf_qpair_destroy(drv->io[i]);
	}
	hf_issuers_fini(&drv->issuers);
	free((void *)drv->io);
	free(drv->io_doubtful);
	free(drv->wanted);
}

void hf_ioqueues_want(void *ctx, uint32_t cpu)
{
	struct hf_driver *drv = ctx;

	__atomic_fetch_or(&drv->wanted[cpu / 64], UINT64_C(1) << (cpu % 64),
			  __ATOMIC_RELEASE);
	hf_driver_kick(drv);
}

static void put_sqe(struct nvme_sqe *sqe, uint8_t opcode, uint32_t cdw10,
		    uint32_t cdw11, uint64_t iova)
{
	*sqe = (struct nvme_sqe){
		.opcode = opcode,
		.prp1 = htole64(iova),
		.cdw10 = htole32(cdw10),
		.cdw11 = htole32(cdw11),
	};
}

static uint32_t size_and_id(const struct hf_qpair *qp)
{
	return (qp->sq.entries - 1) << 16 | qp->qid;
}

static uint64_t ring_iova(const struct hf_qpair *qp, const void *ring)
{
	return qp->block.iova +
	       (uint64_t)((const uint8_t *)ring - qp->block.vaddr);
}

static int create_cq(struct hf_driver *drv, struct hf_job *job,
		     const struct hf_qpair *qp, struct hf_error *err)
{
	struct nvme_sqe sqe;

	put_sqe(&sqe, nvme_admin_create_cq, size_and_id(qp),
		(uint32_t)qp->vector << 16 | CQ_INTERRUPTS | QUEUE_CONTIGUOUS,
		ring_iova(qp, qp->cq.ring));
	return hf_admin_step(drv, job, &sqe, NULL, 0, false, err);
}

static int create_sq(struct hf_driver *drv, struct hf_job *job,
		     const struct hf_qpair *qp, struct hf_error *err)
{
	struct nvme_sqe sqe;

	/* The completion queue has the same identifier. */
	put_sqe(&sqe, nvme_admin_create_sq, size_and_id(qp),
		(uint32_t)qp->qid << 16 | QUEUE_CONTIGUOUS,
		ring_iova(qp, qp->sq.ring));
	return hf_admin_step(drv, job, &sqe, NULL, 0, false, err);
}

static int delete_cq(struct hf_driver *drv, struct hf_job *job, uint32_t qid,
		     struct hf_error *err)
{
	struct nvme_sqe sqe;

	put_sqe(&sqe, nvme_admin_delete_cq, qid, 0, 0);
	return hf_admin_step(drv, job, &sqe, NULL, 0, false, err);
}

/* Where memory has no IOVA of its own, a queue has to fit a huge page. */
static uint32_t pool_pages(const struct hf_driver *drv)
{
	uint32_t pages = drv->options.pool_pages;

	return drv->dev->dma.limits.physical ? HF_MIN(pages, 256u) : pages;
}

struct hf_qpair_config hf_ioqueues_config(struct hf_driver *drv, uint32_t index,
					  uint32_t cpu, int eventfd,
					  uint32_t entries)
{
	return (struct hf_qpair_config){
		.dev = drv->dev,
		.ledger = &drv->ledger,
		.index = index + 1,
		.cpu = cpu,
		.vector = (uint16_t)index,
		.eventfd = eventfd,
		.entries = entries,
		.pool_pages = pool_pages(drv),
		.doorbell_stride_bytes = drv->ctrl.stride_bytes,
		.shadow = &drv->shadow,
		.tick = &drv->tick,
		.retry = &drv->retry,
		.hooks = {.lied = hf_driver_lied,
			  .retry = hf_retry_wanted,
			  .awaken = hf_deadline_awaken,
			  .ctx = drv},
	};
}

static bool identifier_is_free(const struct hf_driver *drv, uint32_t index)
{
	const struct hf_ledger_view view =
		hf_ledger_queue_view(&drv->ledger, index + 1);

	return drv->io[index] == NULL && view.queue->state == HF_QUEUE_FREE;
}

/* Memory, slots and an interrupt for the lowest identifier that is free. */
static int prepare(struct hf_driver *drv, uint32_t cpu, uint32_t *qid,
		   struct hf_error *err)
{
	uint32_t index = 0;
	int eventfd;

	/* One that a predecessor left is not free, even while nobody here has
	 * used it yet. */
	while (index < drv->io_max && !identifier_is_free(drv, index)) {
		index++;
	}
	if (index == drv->io_max) {
		return hf_error_set(err, -ENOSPC,
				    "%s: all %u I/O queues are in use",
				    drv->dev->id, drv->io_max);
	}
	/* Queue N uses interrupt N - 1: the first shares the admin queue's. */
	int rc = drv->dev->ops->irq_map(drv->dev, index, cpu, &eventfd, err);
	if (rc != 0) {
		return rc;
	}

	const struct hf_qpair_config config = hf_ioqueues_config(
		drv, index, cpu, eventfd, drv->ledger.header->queue_entries);
	rc = hf_qpair_create(&drv->io[index], &config, err);
	if (rc == 0) {
		*qid = index + 1;
		drv->io_count++;
	}
	return rc;
}

static void forget(struct hf_driver *drv, uint32_t qid)
{
	hf_qpair_destroy(drv->io[qid - 1]);
	drv->io[qid - 1] = NULL;
	drv->io_count--;
}

static void went_live(struct hf_driver *drv, struct hf_qpair *qp)
{
	__atomic_store_n(&qp->view.queue->state, HF_QUEUE_LIVE,
			 __ATOMIC_RELEASE);
	hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_QUEUE], HF_LOG_INFO,
		       "%s: queue %u: made for CPU %u, %u entries, "
		       "interrupt %u",
		       drv->dev->id, qp->qid, qp->cpu, qp->sq.entries,
		       qp->vector);
}

static struct hf_qpair *nearest(const struct hf_driver *drv, uint32_t cpu)
{
	for (uint32_t c = cpu; c-- > 0;) {
		struct hf_qpair *qp = hf_issuer_qpair(&drv->issuers.each[c]);

		if (qp != NULL) {
			return qp;
		}
	}
	for (uint32_t c = cpu + 1; c < drv->issuers.count; c++) {
		struct hf_qpair *qp = hf_issuer_qpair(&drv->issuers.each[c]);

		if (qp != NULL) {
			return qp;
		}
	}
	return NULL;
}

uint32_t hf_ioqueues_fallback_count(const struct hf_driver *drv)
{
	uint32_t count = 0;

	for (uint32_t cpu = 0; cpu < drv->issuers.count; cpu++) {
		count += hf_issuer_is_fallback(&drv->issuers.each[cpu]) ? 1 : 0;
	}
	return count;
}

/* The controller is told of a queue once its memory outlives this process, if
 * there is somebody to keep it. */
static int prepare_kept(struct hf_driver *drv, struct hf_job *job,
			struct hf_error *err)
{
	if (job->keep == HF_JOB_KEEP_DONE) {
		int rc = hf_keep_step(drv, job, err);
		if (rc != 0) {
			return rc;
		}
	}
	int rc = prepare(drv, job->number, &job->cursor, err);
	return rc == HF_DMA_UNKEPT ? hf_keep_step(drv, job, err) : rc;
}

/*
 * The job that makes a queue for one CPU. number: the CPU; cursor: the queue
 * identifier, once there is one; saved: what failed. A failure is not the
 * job's: the CPU is served by another's queue then.
 */
static int step_prepare(struct hf_driver *drv, struct hf_job *job,
			struct hf_error *err)
{
	bool no_more = drv->io_count == drv->io_max || drv->is_quiet;

	job->cursor = 0;
	job->saved = drv->is_quiet ? -ENOSPC : prepare_kept(drv, job, err);
	if (job->saved == HF_STEP_WAIT) {
		return HF_STEP_WAIT;
	}
	if (job->saved != 0 && !no_more) {
		hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_QUEUE],
			       HF_LOG_ERROR, "%s", job->error.message);
		/* -ENOSPC is for a controller that has no more queues. */
		job->saved = job->saved == -ENOSPC ? -ENOMEM : job->saved;
	}
	return 0;
}

/* The controller was reset meanwhile: of the queue it knows nothing now. */
static int again_after_reset(struct hf_driver *drv, struct hf_job *job)
{
	forget(drv, job->cursor);
	return HF_STEP_RESTART;
}

static int step_create_cq(struct hf_driver *drv, struct hf_job *job,
			  struct hf_error *err)
{
	if (job->saved != 0) {
		return 0;
	}

	int rc = create_cq(drv, job, drv->io[job->cursor - 1], err);
	if (rc == HF_STEP_WAIT) {
		return rc;
	}
	if (rc == -ECONNRESET) {
		return again_after_reset(drv, job);
	}
	if (rc != 0) {
		job->saved = rc;
		hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_QUEUE],
			       HF_LOG_ERROR, "%s", job->error.message);
		/* The controller refused: it will not write there. */
		forget(drv, job->cursor);
		job->cursor = 0;
	}
	return 0;
}

static int step_create_sq(struct hf_driver *drv, struct hf_job *job,
			  struct hf_error *err)
{
	if (job->saved != 0) {
		return 0;
	}

	int rc = create_sq(drv, job, drv->io[job->cursor - 1], err);
	if (rc == HF_STEP_WAIT) {
		return rc;
	}
	if (rc == -ECONNRESET) {
		return again_after_reset(drv, job);
	}
	if (rc != 0) {
		job->saved = rc;
		hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_QUEUE],
			       HF_LOG_ERROR, "%s", job->error.message);
	}
	return 0;
}

/* Takes back the completion queue of a submission queue that was refused. */
static int step_undo(struct hf_driver *drv, struct hf_job *job,
		     struct hf_error *err)
{
	if (job->saved == 0 || job->cursor == 0) {
		return 0;
	}

	int rc = delete_cq(drv, job, job->cursor, err);
	if (rc == HF_STEP_WAIT) {
		return rc;
	}
	if (rc == 0 || rc == -ECONNRESET) {
		forget(drv, job->cursor);
		return 0;
	}
	/* The controller may still write there: the memory stays where it is,
	 * and the identifier in use. */
	hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_QUEUE], HF_LOG_ERROR,
		       "%s; its memory is kept", job->error.message);
	return 0;
}

static int step_settle(struct hf_driver *drv, struct hf_job *job,
		       struct hf_error *err)
{
	struct hf_issuer *issuer = &drv->issuers.each[job->number];

	(void)err;
	if (job->saved == 0) {
		went_live(drv, drv->io[job->cursor - 1]);
		if (drv->draining) {
			hf_qpair_set_state(drv->io[job->cursor - 1],
					   HF_QPAIR_DRAINING);
		}
		hf_issuer_set(issuer, drv->io[job->cursor - 1]);
		return 0;
	}

	struct hf_qpair *qp = nearest(drv, job->number);
	if (qp == NULL) {
		hf_issuer_kill(issuer, -ENODEV);
		return 0;
	}
	hf_log_line(&drv->log,
		    job->saved == -ENOSPC ? HF_LOG_INFO : HF_LOG_ERROR,
		    "%s: CPU %u: no queue of its own (%s); queue %u of CPU %u "
		    "serves it",
		    drv->dev->id, job->number,
		    job->saved == -ENOSPC ? "the controller has no more"
					  : "see above",
		    qp->qid, qp->cpu);
	hf_issuer_set(issuer, qp);
	return 0;
}

static void create_finished(struct hf_driver *drv, struct hf_job *job)
{
	(void)drv;
	free(job);
}

static const struct hf_job_step create_steps[] = {
	{"prepare an I/O queue", step_prepare},
	{"create an I/O completion queue", step_create_cq},
	{"create an I/O submission queue", step_create_sq},
	{"delete an I/O completion queue", step_undo},
	{"settle an I/O queue", step_settle},
};

static const struct hf_job_kind create_kind = {
	.name = "make a queue",
	.steps = create_steps,
	.step_count = HF_ARRAY_LEN(create_steps),
	.finished = create_finished,
};

static void serve(struct hf_driver *drv, uint32_t cpu)
{
	struct hf_job *job = calloc(1, sizeof(*job));

	if (hf_issuer_qpair(&drv->issuers.each[cpu]) != NULL ||
	    hf_restore_prototype(drv, cpu)) {
		free(job);
		return;
	}
	if (job == NULL) {
		struct hf_qpair *qp = nearest(drv, cpu);

		hf_log_error(&drv->log,
			     "%s: CPU %u: no memory to make a queue; that of "
			     "another CPU serves it",
			     drv->dev->id, cpu);
		if (qp != NULL) {
			hf_issuer_set(&drv->issuers.each[cpu], qp);
		} else {
			hf_issuer_kill(&drv->issuers.each[cpu], -ENOMEM);
		}
		return;
	}
	hf_job_init(job, &create_kind);
	job->number = cpu;
	hf_driver_queue_job_locked(drv, job);
}

void hf_ioqueues_serve_wanted(struct hf_driver *drv)
{
	for (uint32_t i = 0; i < wanted_words(drv); i++) {
		uint64_t word = __atomic_exchange_n(&drv->wanted[i], 0,
						    __ATOMIC_ACQUIRE);

		while (word != 0) {
			uint32_t bit = (uint32_t)__builtin_ctzll(word);

			word &= word - 1;
			serve(drv, i * 64 + bit);
		}
	}
}

static int make_in_bring_up(struct hf_driver *drv, struct hf_job *job,
			    uint32_t index, uint32_t stage,
			    struct hf_error *err)
{
	uint32_t qid;

	if (stage == 0) {
		return prepare(drv, index, &qid, err);
	}
	if (stage == 1) {
		return create_cq(drv, job, drv->io[index], err);
	}
	int rc = create_sq(drv, job, drv->io[index], err);
	if (rc == 0) {
		went_live(drv, drv->io[index]);
	}
	return rc;
}

/* cursor: three times the queue's index, plus 1 once its memory is there, plus
 * 2 once its CQ is. */
int hf_ioqueues_step_first(struct hf_driver *drv, struct hf_job *job,
			   struct hf_error *err)
{
	/* Where none can be made later, all are. */
	uint32_t count =
		drv->is_quiet ? HF_MIN(drv->io_max, drv->options.cpu_count) : 1;

	while (job->cursor < 3 * count) {
		int rc = make_in_bring_up(drv, job, job->cursor / 3,
					  job->cursor % 3, err);
		if (rc != 0) {
			return rc;
		}
		job->cursor++;
	}
	return 0;
}

void hf_ioqueues_serve_first(struct hf_driver *drv)
{
	for (uint32_t i = 0; i < drv->io_max; i++) {
		if (drv->io[i] != NULL) {
			hf_issuer_set(&drv->issuers.each[drv->io[i]->cpu],
				      drv->io[i]);
		}
	}
}

/* cursor: twice the queue's index, plus 1 once its CQ is there. */
int hf_ioqueues_step_again(struct hf_driver *drv, struct hf_job *job,
			   struct hf_error *err)
{
	while (job->cursor / 2 < drv->io_max) {
		struct hf_qpair *qp = drv->io[job->cursor / 2];
		int rc = 0;

		/* One that was not live is the business of the job that makes
		 * it, which begins anew. */
		if (qp == NULL || qp->view.queue->state != HF_QUEUE_LIVE) {
			job->cursor += 2;
			continue;
		}
		rc = job->cursor % 2 == 0 ? create_cq(drv, job, qp, err)
					  : create_sq(drv, job, qp, err);
		if (rc != 0) {
			return rc;
		}
		if (job->cursor % 2 == 1) {
			went_live(drv, qp);
		}
		job->cursor++;
	}
	return 0;
}
