/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtual_time.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/checked.h"
#include "base/clock.h"

/* Each look at the clock takes so long: a loop that only looks ends too. */
#define LOOK_NS UINT64_C(1000)
/* Waits without anything in between get longer, as on a busy machine. */
#define STRETCH_EVERY 64u
#define STRETCH_MAX   10u

/* The names that the linker gives to what it wraps. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *value,
			   struct itimerspec *old);
int __wrap_sched_getcpu(void);
/* NOLINTEND(bugprone-reserved-identifier) */

static struct {
	uint64_t now;
	uint64_t timer; /* when the driver's only timer falls due */
	uint64_t limit;
	uint32_t waits;
	int cpu;
	void (*waited)(void *ctx);
	void *ctx;
} vt;

void virtual_time_start(void (*waited)(void *ctx), void *ctx)
{
	vt.now = 1000 * HF_NS_PER_S;
	vt.timer = UINT64_MAX;
	vt.limit = UINT64_MAX;
	vt.waits = 0;
	vt.cpu = 0;
	vt.waited = waited;
	vt.ctx = ctx;
}

void virtual_time_limit(uint64_t ns)
{
	vt.limit = vt.now + ns;
	vt.waits = 0;
}

void virtual_time_set_cpu(int cpu)
{
	vt.cpu = cpu;
}

void virtual_time_pass(uint64_t ns)
{
	vt.now += ns;
	if (vt.now > vt.limit) {
		fprintf(stderr, "somebody waits for ever\n");
		abort();
	}
}

static void wait_ns(uint64_t ns)
{
	uint32_t stretch = HF_MIN(vt.waits / STRETCH_EVERY, STRETCH_MAX);

	vt.waits++;
	virtual_time_pass(ns << stretch);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	(void)clock;
	virtual_time_pass(LOOK_NS);
	ts->tv_sec = (time_t)(vt.now / HF_NS_PER_S);
	ts->tv_nsec = (long)(vt.now % HF_NS_PER_S);
	return 0;
}

int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left)
{
	(void)left;
	if (vt.waited != NULL) {
		vt.waited(vt.ctx);
	}
	wait_ns((uint64_t)wanted->tv_sec * HF_NS_PER_S +
		(uint64_t)wanted->tv_nsec);
	return 0;
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *value,
			   struct itimerspec *old)
{
	(void)fd;
	(void)flags;
	(void)old;
	vt.timer = (uint64_t)value->it_value.tv_sec * HF_NS_PER_S +
		   (uint64_t)value->it_value.tv_nsec;
	return 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	uint64_t until = UINT64_MAX;
	int ready;

	if (timeout_ms != 0 && vt.waited != NULL) {
		vt.waited(vt.ctx);
	}
	ready = __real_poll(fds, count, 0);
	if (ready != 0 || timeout_ms == 0) {
		return ready;
	}
	if (timeout_ms > 0) {
		until = vt.now + (uint64_t)timeout_ms * HF_NS_PER_MS;
	}
	bool timer = vt.timer <= until;
	until = HF_MIN(until, vt.timer);
	if (until == UINT64_MAX) {
		fprintf(stderr, "a wait that nothing ends\n");
		abort();
	}
	wait_ns(until > vt.now ? until - vt.now : LOOK_NS);
	if (!timer) {
		return 0;
	}
	vt.timer = UINT64_MAX;
	for (nfds_t i = 0; i < count; i++) {
		fds[i].revents = POLLIN;
	}
	return (int)count;
}

int __wrap_sched_getcpu(void)
{
	return vt.cpu;
}
