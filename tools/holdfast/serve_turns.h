/* SPDX-License-Identifier: BSD-3-Clause */
/* How soon the calling thread gets a processor. Best effort: a kernel or a
 * limit that is against it changes nothing else. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

/* Once, at the beginning: a thread that wakes up gets its turn soon. */
void serve_short_turns(void);

/* While nobody drives the device, the thread that is to change that waits for
 * no other one. Where this process may (root, CAP_SYS_NICE, RLIMIT_RTPRIO), it
 * runs before all that are no realtime threads themselves; threads that it
 * makes do not. */
void serve_hurry(bool on);

/* The same for a thread that is about to end, and is waited for. */
void serve_hurry_end(pthread_t thread);
