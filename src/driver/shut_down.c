/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/shut_down.h"

#include <endian.h>
#include <errno.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/log.h"
#include "driver/bring_up.h"
#include "driver/lifecycle.h"

/* What a shutdown may take where the controller does not say. */
#define SHUTDOWN_MIN_MS 5000u

static uint32_t shutdown_timeout_ms(const struct hf_driver *drv)
{
	const struct nvme_id_ctrl *id =
		(const void *)drv->ledger.header->identify;

	return HF_MAX(le32toh(id->rtd3e) / 1000, SHUTDOWN_MIN_MS);
}

static int step_shut_down(struct hf_driver *drv, struct hf_job *job,
			  struct hf_error *err)
{
	bool enabled;
	int rc;

	if (!job->entered) {
		hf_driver_fence(drv, HF_QPAIR_DEAD);
		rc = hf_ctrl_is_enabled(&drv->ctrl, &enabled, err);
		if (rc == 0 && enabled) {
			rc = hf_ctrl_shut_down(&drv->ctrl, err);
		}
		if (rc != 0 || !enabled) {
			return 0; /* disabling it is what counts */
		}
	}
	bool overdue = hf_job_overdue(job, shutdown_timeout_ms(drv));
	rc = hf_ctrl_is_shut_down(&drv->ctrl, err);
	if (rc == HF_STEP_WAIT && !overdue) {
		return hf_job_wait_register(job);
	}
	if (rc != 0) {
		hf_log_warning(&drv->log, "%s: no orderly shutdown: %s",
			       drv->dev->id,
			       rc == HF_STEP_WAIT ? "it took longer than RTD3E"
						  : job->error.message);
	}
	return 0;
}

static const struct hf_job_step shut_down_steps[] = {
	{"shut the controller down", step_shut_down},
	{"disable the controller", hf_bring_up_step_disable},
};

static const struct hf_job_kind shut_down_kind = {
	.name = "shutting the controller down",
	.steps = shut_down_steps,
	.step_count = HF_ARRAY_LEN(shut_down_steps),
};

void hf_shut_down_job(struct hf_job *job)
{
	hf_job_init(job, &shut_down_kind);
}

static void fail_finished(struct hf_driver *drv, struct hf_job *job)
{
	drv->bringing_up = false;
	hf_lifecycle_end(drv, job->result, &job->error, -ENODEV);
}

static const struct hf_job_kind fail_kind = {
	.name = "stopping a controller that failed",
	.steps = shut_down_steps,
	.step_count = HF_ARRAY_LEN(shut_down_steps),
	.finished = fail_finished,
};

void hf_fail_start(struct hf_driver *drv)
{
	hf_job_init(&drv->bring_up, &fail_kind);
	drv->bringing_up = true;
	hf_driver_kick(drv);
}
