/* SPDX-License-Identifier: BSD-3-Clause */
/* What is known of particular controllers, and what the user has switched. */
#pragma once

#include "driver/driver.h"

/* Why the controller must not outlive its driver, in words, or NULL. */
const char *hf_policy_forbids_keepalive(const struct hf_driver *drv);
