/* SPDX-License-Identifier: BSD-3-Clause */
/* ^C and SIGTERM as a question that long verbs ask, so that they end in
 * order. */
#pragma once

#include <stdbool.h>

/* From now on the signals end nothing; the third ends the process. */
void interrupted_catch(void);

bool interrupted(void);
