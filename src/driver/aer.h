/* SPDX-License-Identifier: BSD-3-Clause */
/* Asynchronous events: requests kept outstanding, log pages read, namespaces
 * rescanned, the user told. */
#pragma once

#include "driver/driver.h"

/* Async Event Configuration: a step of bringing up. */
int hf_aer_step_configure(struct hf_driver *drv, struct hf_job *job,
			  struct hf_error *err);

/* Goes on with the requests and events of a predecessor. Control lock held. */
void hf_aer_inherit(struct hf_driver *drv);

/* Makes as many requests outstanding as are wanted. Control lock held. */
void hf_aer_start(struct hf_driver *drv);
