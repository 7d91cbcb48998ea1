/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that do not end: looked for by a coarse sweep, so that the path of
 * a command has no timer. First a lost interrupt, then Abort, then a reset. */
#pragma once

#include "driver/driver.h"

/*
 * The clock that deadlines are counted in, HF_TICK_MS each; never
 * HF_TICK_ASLEEP.
 */
uint32_t hf_deadline_now(void);

/* Looks once in HF_SWEEP_MS, however often it is called. Lets the clock stand
 * still once nothing is under way and nothing has been for a while. Control
 * lock held. */
void hf_deadline_sweep(struct hf_driver *drv);

/* Is it to look again in HF_SWEEP_MS? Control lock held. */
bool hf_deadline_sweeps(const struct hf_driver *drv);

/* For struct hf_qpair_hooks: @ctx is the driver. */
uint32_t hf_deadline_awaken(void *ctx);
