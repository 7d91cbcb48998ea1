/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that do not end: looked for by a coarse sweep, so that the path of
 * a command has no timer. First a lost interrupt, then Abort, then a reset. */
#pragma once

#include "driver/driver.h"

/* Looks once in HF_SWEEP_MS, however often it is called. Control lock held. */
void hf_deadline_sweep(struct hf_driver *drv);
