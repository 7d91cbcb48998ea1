/* SPDX-License-Identifier: BSD-3-Clause */
/* Control work in steps that never block. Knows no step. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "driver/ctrl.h"
#include "holdfast/error.h"
#include "queue/pending.h"

struct hf_driver;
struct hf_job;

/*
 * Called again and again until it answers something else than HF_STEP_WAIT:
 * 0 leads to the next step, HF_STEP_RESTART to the first, anything else fails
 * the job. Under the control lock.
 */
struct hf_job_step {
	const char *name; /* for errors and inspect: "identify controller" */
	int (*run)(struct hf_driver *drv, struct hf_job *job,
		   struct hf_error *err);
};

struct hf_job_kind {
	const char *name;
	const struct hf_job_step *steps;
	uint32_t step_count;
	/* Once, at the end; the job may be freed in here. May be NULL. */
	void (*finished)(struct hf_driver *drv, struct hf_job *job);
};

enum hf_job_command_state {
	HF_JOB_COMMAND_NONE,
	HF_JOB_COMMAND_ISSUED,
	HF_JOB_COMMAND_DONE,
};

/* Of hf_keep_step(). */
enum hf_job_keep {
	HF_JOB_KEEP_NONE,
	HF_JOB_KEEP_WANTED, /* it waits for nothing else */
	HF_JOB_KEEP_DONE,   /* keep_result says how */
};

struct hf_job {
	struct hf_list link;
	const struct hf_job_kind *kind;
	uint32_t step;
	bool entered;         /* the current step has run once */
	uint64_t deadline_ns; /* of the current step */
	uint64_t wake_ns;     /* run again then, if nothing else happens */
	uint64_t pause_ns;    /* between two looks at a register */
	enum hf_job_command_state command;
	uint32_t tries;         /* so often the step's command was sent again */
	uint64_t not_before_ns; /* the next try */
	uint32_t resets; /* of the controller, that took a command away */
	struct hf_completion completion;
	struct iovec iov;
	enum hf_job_keep keep;
	int keep_result;
	bool finished; /* atomic: who waits looks at it */
	int result;
	struct hf_error error;
	void *arg;       /* the kind's own */
	uint32_t number; /* the kind's own: a CPU, a namespace */
	uint32_t cursor; /* the kind's own: how far a loop came */
	int saved;       /* the kind's own: a failure to be cleaned up after */
};

void hf_job_init(struct hf_job *job, const struct hf_job_kind *kind);

/**
 * hf_job_run() - do what can be done now
 * @drv: the driver, control lock held
 * @job: not finished
 *
 * Return: true once it is finished: @job->result says how.
 */
bool hf_job_run(struct hf_driver *drv, struct hf_job *job);

/* For a step that polls a register: look again soon, then less often. */
int hf_job_wait_register(struct hf_job *job);

/* Sets the step's deadline when it runs first; true when it has passed. */
bool hf_job_overdue(struct hf_job *job, uint64_t timeout_ms);
