/* SPDX-License-Identifier: BSD-3-Clause */
/* What is known of particular controllers, and what the user has switched. */
#pragma once

#include "driver/driver.h"

/* The class that was asked for, or else what is known of the function: AUTO
 * where its identifiers cannot be read. */
enum hf_device_class hf_policy_class(const struct hf_device *dev,
				     uint32_t asked);
/* A successor: quiet if its predecessor was; and where nothing is known here,
 * what was known, or said, there. */
void hf_policy_inherit(struct hf_driver *drv);
/* What it is from now on, for the next one: once nothing can be refused any
 * more. */
void hf_policy_record(struct hf_driver *drv);
const char *hf_policy_class_name(enum hf_device_class device_class);

/* Why the controller must not outlive its driver, in words, or NULL. */
const char *hf_policy_forbids_keepalive(const struct hf_driver *drv);
/* The same, or why it cannot. */
const char *hf_policy_rules_out_keepalive(const struct hf_driver *drv);
/* The same as an error: -EPERM, or -ENOTSUP where it cannot. */
HF_MUST_CHECK int hf_policy_check_keepalive(const struct hf_driver *drv,
					    struct hf_error *err);
