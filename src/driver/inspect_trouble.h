/* SPDX-License-Identifier: BSD-3-Clause */
/* The part of inspect for a bad day: what takes long, what failed and why,
 * what was refused, how often the controller was reset. Only looks. */
#pragma once

#include "driver/driver.h"

struct json_object;

/* Into the tree of one queue; its lock is held. */
void hf_inspect_queue_trouble(struct hf_qpair *qp, struct json_object *tree);

/* Into the driver's tree; control lock held, no queue's. */
void hf_inspect_trouble(struct hf_driver *drv, struct json_object *tree);
