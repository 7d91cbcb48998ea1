/* SPDX-License-Identifier: BSD-3-Clause */
/* Bringing a controller up, from whatever state it is found in, at the start
 * and again after a reset; and stopping it for certain. */
#pragma once

#include "driver/driver.h"

/* The job that opens the controller. */
void hf_bring_up_start(struct hf_driver *drv);

/* The job that resets it: what is in flight ends, queues are made again. */
void hf_bring_up_again(struct hf_driver *drv, const char *why);

/* Whatever is being done to bring it up does not get on: tries again, or fails
 * for good. */
void hf_bring_up_give_up(struct hf_driver *drv, const char *why);

/* A step: CC.EN = 0 and RDY = 0, by force where it takes that. */
int hf_bring_up_step_disable(struct hf_driver *drv, struct hf_job *job,
			     struct hf_error *err);

/* Fences every queue: nothing more is issued or reaped. */
void hf_driver_fence(struct hf_driver *drv, enum hf_qpair_state state);
/* After a fence that was not needed: the queues go on, or the reset that was
 * under way begins anew. */
void hf_driver_go_on(struct hf_driver *drv);
/* They go on; while inherited I/O is drained, with nothing new. */
void hf_driver_unfence(struct hf_driver *drv);

/* Ends everything that is under way on every queue, or all but what may be
 * issued again; the controller cannot touch memory any more. Whoever holds
 * the control lock lets go of it before hf_driver_tell_ended(). */
void hf_driver_end_all(struct hf_driver *drv, int result, bool keep_repeatable);

/* The users' callbacks of what was ended. Without a lock. */
void hf_driver_tell_ended(struct hf_driver *drv);
