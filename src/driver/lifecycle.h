/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver from its first breath to its last. */
#pragma once

#include "driver/driver.h"

/* As hf_driver_start(). */
int hf_lifecycle_start(struct hf_driver **out, struct hf_device *device,
		       const struct hf_driver_options *options,
		       struct hf_error *err);

/* A driver with all it needs but a ledger and queues; nothing is done to the
 * controller. @ctrl: as it was probed. */
int hf_lifecycle_build(struct hf_driver **out, const struct hf_ctrl *ctrl,
		       const struct hf_driver_options *options,
		       struct hf_error *err);

/* As hf_driver_leave(); the runtime's threads are gone by now. */
void hf_lifecycle_leave(struct hf_driver *drv);

/* Frees a driver, and leaves controller, memory and ledger as they are: the
 * device goes back to the caller. */
void hf_lifecycle_abandon(struct hf_driver *drv);

/* As hf_driver_ready_wait(). */
int hf_lifecycle_ready_wait(struct hf_driver *drv, struct hf_error *err);

/* The first half of hf_driver_close(): stops the controller and ends what is
 * under way; no thread of the runtime's runs. Not 0: it may still write to
 * memory, and nothing may be freed, ever. */
int hf_lifecycle_stop(struct hf_driver *drv, struct hf_error *err);
/* The second half. */
void hf_lifecycle_free(struct hf_driver *drv);

/*
 * The controller was stopped, or could not be (@rc, @err): ends everything
 * with @result. What may still be touched is not ended: its memory would be
 * used again under the device's hands. Nobody is told yet. Control lock held.
 */
void hf_lifecycle_end(struct hf_driver *drv, int rc, const struct hf_error *err,
		      int result);

/* Ends what waits for a place or a queue. Callbacks run in here. No lock. */
void hf_lifecycle_end_waiting(struct hf_driver *drv, int result);
