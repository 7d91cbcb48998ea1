/* SPDX-License-Identifier: BSD-3-Clause */
/* Shadow doorbells (Doorbell Buffer Config): memory that the controller looks
 * at, so that most doorbells need no register write. */
#pragma once

#include "driver/driver.h"

/* Gives the controller two pages for them, where they are wanted and it offers
 * them: a step of bringing up, before any I/O queue is made. */
int hf_shadow_step_configure(struct hf_driver *drv, struct hf_job *job,
			     struct hf_error *err);

/* Finds the pages that a predecessor gave to the controller, if it did:
 * whatever the options say, the controller goes on looking at them. */
HF_MUST_CHECK int hf_shadow_restore(struct hf_driver *drv,
				    struct hf_error *err);
