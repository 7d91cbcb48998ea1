/* SPDX-License-Identifier: BSD-3-Clause */
/* Tests that save, in a holdfast that was built without. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "driver/holdfast_config.h"

/* The first thing that a test that saves does. Not cmocka's skip(): what that
 * prints is taken for a failure. */
#define RETURN_WITHOUT_KEEPALIVE()                                             \
	do {                                                                   \
		if (!HF_KEEPALIVE) {                                           \
			print_message("# left out: this holdfast was built "   \
				      "without keepalive\n");                  \
			return;                                                \
		}                                                              \
	} while (0)
