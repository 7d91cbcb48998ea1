/* SPDX-License-Identifier: BSD-3-Clause */
/* Stopping a controller for certain, in steps that do not block. Knows not
 * what becomes of what was in flight. */
#pragma once

#include "driver/driver.h"

/* The job that shuts it down; for hf_control_run_job() or hf_job_run(). */
void hf_shut_down_job(struct hf_job *job);

/* The job that stops a controller which has failed for good. */
void hf_fail_start(struct hf_driver *drv);
