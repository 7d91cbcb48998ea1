/* SPDX-License-Identifier: BSD-3-Clause */
#include "turns.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A thread that wakes up to hand over gets the processor at once, and not when
 * the one that has it is through with its turn: of those that share one, it is
 * the one with the shortest turns. Kernels before 6.12 take no notice. */
#define TURN_NS 100000u

/* Of sched_setattr(2): threads that it makes take turns as all others do. */
#define RESET_ON_FORK 1u

#define REALTIME_PRIORITY 1

struct attributes {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns;
	uint64_t deadline_ns;
	uint64_t period_ns;
};

static bool get_attributes(struct attributes *attributes)
{
	return syscall(SYS_sched_getattr, 0, attributes, sizeof(*attributes),
		       0) == 0;
}

/* As turns_hurry() makes it, in this program or in the one before an exec; not
 * as somebody else may have started it. */
static bool is_hurried(const struct attributes *attributes)
{
	return attributes->policy == SCHED_FIFO &&
	       attributes->priority == REALTIME_PRIORITY &&
	       (attributes->flags & RESET_ON_FORK) != 0;
}

static void set_attributes(struct attributes *attributes, bool threads_too)
{
	attributes->size = sizeof(*attributes);
	attributes->flags = threads_too ? 0 : RESET_ON_FORK;
	(void)!syscall(SYS_sched_setattr, 0, attributes, 0);
}

void turns_short(bool threads_too)
{
	struct attributes attributes = {0};

	if (get_attributes(&attributes) && attributes.policy == SCHED_OTHER) {
		attributes.runtime_ns = TURN_NS;
		set_attributes(&attributes, threads_too);
	}
}

void turns_hurry(bool on)
{
	struct attributes attributes = {0};

	if (!get_attributes(&attributes)) {
		return;
	}
	if (on && attributes.policy == SCHED_OTHER) {
		attributes.policy = SCHED_FIFO;
		attributes.priority = REALTIME_PRIORITY;
		attributes.nice = 0;
	} else if (!on && is_hurried(&attributes)) {
		attributes.policy = SCHED_OTHER;
		attributes.priority = 0;
		/* Of a realtime thread, the call above does not tell. */
		attributes.nice = getpriority(PRIO_PROCESS, 0);
		attributes.runtime_ns = TURN_NS;
	} else {
		return;
	}
	set_attributes(&attributes, false);
}

void turns_mutex_init(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	(void)pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	if (pthread_mutex_init(mutex, &attr) != 0) {
		pthread_mutex_init(mutex, NULL);
	}
	pthread_mutexattr_destroy(&attr);
}
