/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/mutex.h"

void hf_mutex_init(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	/* Where the kernel has no such locks, they are ordinary ones. */
	(void)pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	if (pthread_mutex_init(mutex, &attr) != 0) {
		pthread_mutex_init(mutex, NULL);
	}
	pthread_mutexattr_destroy(&attr);
}
