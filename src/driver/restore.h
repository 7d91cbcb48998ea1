/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver that goes on where another process stopped, and one that stops so
 * that another can. */
#pragma once

#include "driver/driver.h"
#include "holdfast/servicing.h"

/* As hf_driver_prepare_save(). */
void hf_save_prepare(struct hf_driver *drv);
/* As hf_driver_save(), resume and drain; the runtime's threads stand still. */
int hf_save(struct hf_driver *drv, uint8_t **bytes, size_t *len_bytes,
	    struct hf_error *err);
void hf_save_undo(struct hf_driver *drv);

/* Adds to @set what a successor needs of device and driver. */
int hf_save_carry(struct hf_driver *drv, struct hf_fdset *set,
		  struct hf_error *err);

/* The first half of hf_driver_restore(): a driver that knows its state, and
 * has not looked at the controller. What that was asked may come meanwhile. */
int hf_restore_begin(struct hf_driver **out, struct hf_device *device,
		     const uint8_t *bytes, size_t len_bytes,
		     const struct hf_driver_options *options,
		     struct hf_error *err);
/* The second half, up to a driver that works. Where it fails, nothing has been
 * changed but in this process, and hf_restore_undo() is due. */
int hf_restore_finish(struct hf_driver *drv, struct hf_error *err);
/* As if its process had died: the device goes back to the caller with all that
 * it came with, and can be restored from again. */
void hf_restore_undo(struct hf_driver *drv);

/* A queue of the predecessor's that nothing is under way on is restored when
 * its CPU first issues. True if there was one. Control lock held. */
bool hf_restore_prototype(struct hf_driver *drv, uint32_t cpu);

/* The controller was stopped and forgets its queues: those that nobody has used
 * yet come back with the rest. One that cannot be restored is made anew when it
 * is wanted. Control lock held. */
void hf_restore_before_reset(struct hf_driver *drv);

/* Frees the memory of a predecessor's queue that the controller has no more.
 * @qid: its identifier. Control lock held. */
void hf_restore_free_queue(struct hf_driver *drv, uint32_t qid);

/* Deletes what the predecessor had made by half. Control lock held. */
void hf_restore_clean_up(struct hf_driver *drv);

/* Drops the results of what nobody has attached to; nothing new is issued on
 * any queue until it has ended. */
void hf_drain_start(struct hf_driver *drv);
/* Ends the barrier if there is nothing left. Control lock held. */
void hf_drain_check(struct hf_driver *drv);
