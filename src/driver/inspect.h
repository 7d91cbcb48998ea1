/* SPDX-License-Identifier: BSD-3-Clause */
/* The live state as a tree of JSON. Looks, and disturbs nothing. */
#pragma once

#include "driver/driver.h"

/* As hf_driver_inspect(). */
char *hf_inspect(struct hf_driver *drv);
