/* SPDX-License-Identifier: BSD-3-Clause */
/* Namespaces as the controller has them: identified, opened, rescanned. */
#pragma once

#include "driver/driver.h"

/* Notes a Changed Namespace List for hf_scan_step(); NULL: all that are open
 * may have changed. */
void hf_scan_note_changed(struct hf_driver *drv, const uint8_t *list);

/* Identifies one namespace and acts on what it finds: a part of a job's step.
 * HF_STEP_WAIT, or 0. */
int hf_scan_step(struct hf_driver *drv, struct hf_job *job, uint32_t nsid,
		 struct hf_error *err);

/* A step of bringing up: where the controller is not asked later, all of its
 * namespaces are identified now, and known from then on. */
int hf_scan_step_active(struct hf_driver *drv, struct hf_job *job,
			struct hf_error *err);
/* Namespaces that are known, open or not. Return: how many, of which up to @max
 * are in @nsids. */
uint32_t hf_scan_known(struct hf_driver *drv, uint32_t *nsids, uint32_t max);

/* Starts a rescan of all open namespaces. Control lock held. */
void hf_scan_all(struct hf_driver *drv);

/* Opens; blocks. As hf_namespace_open(). */
int hf_scan_open_wait(struct hf_driver *drv, uint32_t nsid,
		      struct hf_namespace **ns, struct hf_error *err);
/* Rescans one; blocks. As hf_namespace_rescan(). */
int hf_scan_again_wait(struct hf_driver *drv, struct hf_namespace *ns,
		       struct hf_error *err);
/* Closes; the namespace is freed. */
void hf_scan_close(struct hf_driver *drv, struct hf_namespace *ns);
