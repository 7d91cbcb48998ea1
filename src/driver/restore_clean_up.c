/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues that a predecessor had made by half. */
#include <endian.h>
#include <stdlib.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "driver/admin.h"
#include "driver/restore.h"

/* A queue that was being made or deleted when its owner died: the controller
 * may have it, or half of it. number: queue identifier. */
static int step_wait_inherited(struct hf_driver *drv, struct hf_job *job,
			       struct hf_error *err)
{
	(void)err;
	return drv->inherited_admin == 0 ? 0 : hf_job_wait_register(job);
}

static int delete_queue(struct hf_driver *drv, struct hf_job *job,
			uint8_t opcode, struct hf_error *err)
{
	const struct nvme_sqe sqe = {
		.opcode = opcode,
		.cdw10 = htole32(job->number),
	};
	int rc = hf_admin_step(drv, job, &sqe, NULL, 0, false, err);

	/* Invalid Queue Identifier: it was never made. */
	return rc == HF_STEP_WAIT ? rc : 0;
}

static int step_delete_sq(struct hf_driver *drv, struct hf_job *job,
			  struct hf_error *err)
{
	return delete_queue(drv, job, nvme_admin_delete_sq, err);
}

static int step_delete_cq(struct hf_driver *drv, struct hf_job *job,
			  struct hf_error *err)
{
	return delete_queue(drv, job, nvme_admin_delete_cq, err);
}

void hf_restore_free_queue(struct hf_driver *drv, uint32_t qid)
{
	const struct hf_ledger_view view =
		hf_ledger_queue_view(&drv->ledger, qid);

	hf_dma_block_forget(&drv->dev->dma, HF_DMA_OWNER_IO_QUEUE, qid);
	__atomic_store_n(&view.queue->state, HF_QUEUE_FREE, __ATOMIC_RELEASE);
}

static int step_free(struct hf_driver *drv, struct hf_job *job,
		     struct hf_error *err)
{
	(void)err;
	hf_restore_free_queue(drv, job->number);
	return 0;
}

static void clean_up_finished(struct hf_driver *drv, struct hf_job *job)
{
	(void)drv;
	free(job);
}

static const struct hf_job_step clean_up_steps[] = {
	{"wait for the predecessor's admin commands", step_wait_inherited},
	{"delete a submission queue", step_delete_sq},
	{"delete a completion queue", step_delete_cq},
	{"free a queue", step_free},
};

static const struct hf_job_kind clean_up_kind = {
	.name = "cleaning up after a predecessor",
	.steps = clean_up_steps,
	.step_count = HF_ARRAY_LEN(clean_up_steps),
	.finished = clean_up_finished,
};

void hf_restore_clean_up(struct hf_driver *drv)
{
	for (uint32_t i = 1; i < drv->ledger.header->queues_max; i++) {
		const struct hf_ledger_view view =
			hf_ledger_queue_view(&drv->ledger, i);
		struct hf_job *job;

		if (view.queue->state == HF_QUEUE_FREE ||
		    view.queue->state == HF_QUEUE_LIVE) {
			continue;
		}
		job = malloc(sizeof(*job));
		if (job != NULL) {
			hf_job_init(job, &clean_up_kind);
			job->number = i;
			hf_driver_queue_job_locked(drv, job);
		}
	}
}
