/* SPDX-License-Identifier: BSD-3-Clause */
/* How soon the calling thread gets a processor. Best effort: a kernel or a
 * limit that is against it changes nothing else. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

/* Once, at the beginning: this thread gets its turn soon after it wakes up.
 * @threads_too: and so do those that it makes from now on. */
void turns_short(bool threads_too);

/* While nobody drives the device, the thread that is to change that waits for
 * no other one. Where this process may (root, CAP_SYS_NICE, RLIMIT_RTPRIO), it
 * runs before all that are no realtime threads themselves; threads that it
 * makes do not. An exec changes nothing of that. */
void turns_hurry(bool on);

/* A lock whose holder hurries as well, while one that does waits for it. */
void turns_mutex_init(pthread_mutex_t *mutex);
