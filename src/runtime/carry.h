/* SPDX-License-Identifier: BSD-3-Clause */
/* A set of descriptors as the public interface has it. */
#pragma once

#include <stdbool.h>

#include "device/fdset.h"

struct hf_carry {
	struct hf_fdset set;
	bool owns; /* received: its descriptors are closed with it */
};
