/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O queues: made when a CPU first issues, made again after a reset, and who
 * serves a CPU that cannot have its own. */
#pragma once

#include "driver/driver.h"

/* Room for so many; -ENOMEM. */
HF_MUST_CHECK int hf_ioqueues_init(struct hf_driver *drv);
void hf_ioqueues_fini(struct hf_driver *drv);

/* A CPU wants a queue pair: for struct hf_issuers. Any thread. */
void hf_ioqueues_want(void *ctx, uint32_t cpu);

/* Starts a job for each CPU that asked. Control lock held. */
void hf_ioqueues_serve_wanted(struct hf_driver *drv);

/* What queue @index + 1 is made of, or was. */
struct hf_qpair_config hf_ioqueues_config(struct hf_driver *drv, uint32_t index,
					  uint32_t cpu, int eventfd,
					  uint32_t entries);

/* The first queue (all of them, where none can be made later), or all there
 * were before a reset: steps of a job. */
int hf_ioqueues_step_first(struct hf_driver *drv, struct hf_job *job,
			   struct hf_error *err);
int hf_ioqueues_step_again(struct hf_driver *drv, struct hf_job *job,
			   struct hf_error *err);
/* What the first of them made serves its CPU from now on. */
void hf_ioqueues_serve_first(struct hf_driver *drv);

/* CPUs that issue through another CPU's queue. */
uint32_t hf_ioqueues_fallback_count(const struct hf_driver *drv);
