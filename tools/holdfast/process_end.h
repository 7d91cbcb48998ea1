/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of another process. */
#pragma once

#include <stdbool.h>

/* The kernel tells: nobody looks again and again. @timeout_ms: -1 for ever.
 * False: after so long it still runs. */
bool process_wait_for_end(int pid, int timeout_ms);
