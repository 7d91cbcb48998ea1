/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "namespace/io.h"
#include "runtime/runtime.h"

/* How often a caller looks at the ring before it sleeps: most devices answer
 * in less time than a sleep takes. */
#define SPINS        200u
#define REAP_BUDGET  64u
#define SLEEP_MAX_MS 1000u

/* An I/O whose caller sleeps until it is done. @where: NULL until the caller
 * sleeps, then where it is to be woken, and &done_mark in the end. */
struct sync_io {
	struct hf_driver *drv;
	struct hf_waitpoint *where; /* atomic */
};

static struct hf_waitpoint done_mark;

static struct hf_waitpoint *point_of(struct hf_driver *drv,
				     const struct hf_qpair *qp)
{
	return &drv->runtime->points[qp->qid - 1];
}

static void sync_done(struct hf_io *io, int result)
{
	struct sync_io *sync = io->user;
	struct hf_waitpoint *point = NULL;

	(void)result;
	if (__atomic_compare_exchange_n(&sync->where, &point, &done_mark, false,
					__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		return;
	}
	/* Under the lock, and nothing of @sync after it: the caller's frame is
	 * gone as soon as it sees the mark. */
	pthread_mutex_lock(&point->lock);
	__atomic_store_n(&sync->where, &done_mark, __ATOMIC_RELEASE);
	if (point->followers > 0) {
		pthread_cond_broadcast(&point->moved);
	}
	pthread_mutex_unlock(&point->lock);
}

static bool is_done(const struct sync_io *sync)
{
	return __atomic_load_n(&sync->where, __ATOMIC_ACQUIRE) == &done_mark;
}

/* Is there a thread of the runtime that reaps for this queue pair? */
static bool is_threaded(const struct hf_driver *drv, const struct hf_qpair *qp)
{
	const struct hf_queue *queue = &drv->runtime->queues[qp->cpu];

	return __atomic_load_n(&queue->mode, __ATOMIC_ACQUIRE) == HF_THREAD &&
	       hf_issuer_qpair(&drv->issuers.each[qp->cpu]) == qp;
}

/* -1 when there is none to be had: whoever sleeps looks each millisecond. */
static int point_fd(struct hf_driver *drv, struct hf_waitpoint *point,
		    const struct hf_qpair *qp)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	if (point->epoll_fd >= 0) {
		return point->epoll_fd;
	}
	int fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, qp->eventfd, &event) == 0) {
		point->epoll_fd = fd;
		return fd;
	}
	if (!point->is_blind) {
		point->is_blind = true;
		hf_log_warning(&drv->log,
			       "%s: queue %u: its interrupt cannot be waited "
			       "for: %s; whoever waits polls",
			       drv->dev->id, qp->qid, strerrordesc_np(errno));
	}
	if (fd >= 0) {
		close(fd);
	}
	return -1;
}

/* Sleeps until the queue pair, or the control side, has something to do. */
static void sleep_for(struct hf_driver *drv, struct hf_waitpoint *point,
		      struct hf_qpair *qp)
{
	struct epoll_event events[1];
	struct pollfd fds[2] = {
		{.fd = point_fd(drv, point, qp), .events = POLLIN},
		{.fd = drv->runtime->control_runs ? -1 : drv->epoll_fd,
		 .events = POLLIN},
	};

	/* Edges first, then the ring: what comes after makes it readable. */
	if (fds[0].fd >= 0) {
		(void)!epoll_wait(fds[0].fd, events, 1, 0);
	}
	if (hf_qpair_ready(qp)) {
		return;
	}
	(void)!poll(fds, 2, fds[0].fd >= 0 ? (int)SLEEP_MAX_MS : 1);
	if ((fds[1].revents & POLLIN) != 0) {
		(void)hf_driver_process(drv);
	}
}

static void lead(struct sync_io *sync, struct hf_waitpoint *point,
		 struct hf_qpair *qp)
{
	for (uint32_t spin = 0; spin < SPINS && !is_done(sync); spin++) {
		if (hf_qpair_reap(qp, REAP_BUDGET) == 0) {
			hf_cpu_relax();
		}
	}
	while (!is_done(sync)) {
		sleep_for(sync->drv, point, qp);
		(void)hf_qpair_reap(qp, REAP_BUDGET);
	}
}

static void follow(struct sync_io *sync, struct hf_waitpoint *point)
{
	if (is_done(sync)) {
		return;
	}
	uint64_t until = hf_deadline_ms(SLEEP_MAX_MS);
	const struct timespec ts = {
		.tv_sec = (time_t)(until / HF_NS_PER_S),
		.tv_nsec = (long)(until % HF_NS_PER_S),
	};

	point->followers++;
	pthread_cond_timedwait(&point->moved, &point->lock, &ts);
	point->followers--;
}

static void wait_on(struct sync_io *sync, struct hf_qpair *qp)
{
	struct hf_waitpoint *point = point_of(sync->drv, qp);
	struct hf_waitpoint *nowhere = NULL;

	if (!__atomic_compare_exchange_n(&sync->where, &nowhere, point, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		return; /* it is done */
	}
	while (!is_done(sync)) {
		pthread_mutex_lock(&point->lock);
		bool leads = !point->leader && !is_threaded(sync->drv, qp);
		if (leads) {
			point->leader = true;
		} else {
			follow(sync, point);
		}
		pthread_mutex_unlock(&point->lock);
		if (!leads) {
			continue;
		}

		lead(sync, point, qp);
		pthread_mutex_lock(&point->lock);
		point->leader = false;
		pthread_cond_broadcast(&point->moved);
		pthread_mutex_unlock(&point->lock);
	}
	/* The one that said it is done may still hold the lock. */
	pthread_mutex_lock(&point->lock);
	pthread_mutex_unlock(&point->lock);
}

struct made {
	const struct sync_io *sync;
	const struct hf_issuer *issuer;
};

static bool is_made(const void *arg)
{
	const struct made *made = arg;

	return is_done(made->sync) || hf_issuer_qpair(made->issuer) != NULL;
}

static struct hf_issuer *issuer_here(struct hf_driver *drv)
{
	int cpu = sched_getcpu();

	return &drv->issuers
			.each[(uint32_t)HF_MAX(cpu, 0) % drv->issuers.count];
}

int hf_runtime_io_wait(struct hf_driver *drv, struct hf_io *io)
{
	struct hf_issuer *issuer = issuer_here(drv);
	struct sync_io sync = {.drv = drv};
	const struct made made = {.sync = &sync, .issuer = issuer};

	io->flags &= ~HF_IO_NOWAIT;
	io->user = &sync;
	io->done = sync_done;
	int rc = hf_io_submit(issuer, &io, 1);
	if (rc <= 0) {
		return rc;
	}
	if (hf_issuer_qpair(issuer) == NULL) {
		(void)!hf_control_wait(drv, is_made, &made, UINT64_MAX);
	}
	if (!is_done(&sync)) {
		wait_on(&sync, hf_issuer_qpair(issuer));
	}
	return io->result;
}
