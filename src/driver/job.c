/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/job.h"

#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "driver/driver.h"

#define PAUSE_FIRST_NS (UINT64_C(20) * 1000)
#define PAUSE_LAST_NS  (UINT64_C(10) * 1000 * 1000)

void hf_job_init(struct hf_job *job, const struct hf_job_kind *kind)
{
	memset(job, 0, sizeof(*job));
	hf_list_init(&job->link);
	job->kind = kind;
	job->deadline_ns = UINT64_MAX;
	job->wake_ns = UINT64_MAX;
	job->pause_ns = PAUSE_FIRST_NS;
}

static void enter_step(struct hf_job *job, uint32_t step)
{
	job->step = step;
	job->entered = false;
	job->deadline_ns = UINT64_MAX;
	job->wake_ns = UINT64_MAX;
	job->pause_ns = PAUSE_FIRST_NS;
	job->command = HF_JOB_COMMAND_NONE;
	job->tries = 0;
	job->not_before_ns = 0;
}

bool hf_job_run(struct hf_driver *drv, struct hf_job *job)
{
	int rc = 0;

	while (rc == 0 && job->step < job->kind->step_count) {
		const struct hf_job_step *step = &job->kind->steps[job->step];

		job->wake_ns = UINT64_MAX;
		job->error.message[0] = '\0';
		rc = step->run(drv, job, &job->error);
		job->entered = true;
		if (rc == 0) {
			enter_step(job, job->step + 1);
		} else if (rc == HF_STEP_RESTART) {
			enter_step(job, 0);
			rc = 0;
		}
	}
	if (rc == HF_STEP_WAIT) {
		return false;
	}

	if (rc != 0) {
		hf_error_prefix(&job->error, "%s, step '%s'", job->kind->name,
				job->kind->steps[job->step].name);
	}
	job->result = rc;
	return true;
}

int hf_job_wait_register(struct hf_job *job)
{
	job->wake_ns = hf_now_ns() + job->pause_ns;
	job->pause_ns = HF_MIN(job->pause_ns * 2, PAUSE_LAST_NS);
	return HF_STEP_WAIT;
}

bool hf_job_overdue(struct hf_job *job, uint64_t timeout_ms)
{
	if (!job->entered) {
		job->deadline_ns = hf_deadline_ms(timeout_ms);
		return false;
	}
	return hf_deadline_passed(job->deadline_ns);
}
