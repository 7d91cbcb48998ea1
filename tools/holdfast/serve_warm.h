/* SPDX-License-Identifier: BSD-3-Clause */
/* What a successor gets over with while its predecessor still serves: pages
 * that would be touched for the first time in the middle of the hand-over. */
#pragma once

#include <stdint.h>

/* The program itself, its heap, and @threads stacks. Best effort. */
void serve_warm(uint32_t threads);
