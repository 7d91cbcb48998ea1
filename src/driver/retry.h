/* SPDX-License-Identifier: BSD-3-Clause */
/* What the controller says of retries, and the time at which the queues send
 * again what waits for it. Knows no status. */
#pragma once

#include "driver/driver.h"

/* From the driver's options. */
void hf_retry_init(struct hf_driver *drv);

/* A step of bringing up: reads the controller's delays, and has it use them
 * (Host Behavior Support, ACRE). */
int hf_retry_step_enable(struct hf_driver *drv, struct hf_job *job,
			 struct hf_error *err);

/* A controller that a predecessor brought up. */
void hf_retry_inherit(struct hf_driver *drv);

/* Commands wait on a queue: as hf_qpair_hooks.retry. */
void hf_retry_wanted(void *ctx, struct hf_qpair *qp);

/* Has the queues send what is due. Control lock held. */
void hf_retry_serve(struct hf_driver *drv);
