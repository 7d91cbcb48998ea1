/* SPDX-License-Identifier: BSD-3-Clause */
/* Locks for the control side, where a realtime thread may wait for one that is
 * none. Knows nothing of what they guard. */
#pragma once

#include <pthread.h>

/* Whoever has it runs, meanwhile, as the most urgent of those that wait. */
void hf_mutex_init(pthread_mutex_t *mutex);
