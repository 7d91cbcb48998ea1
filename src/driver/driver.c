/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/driver.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "driver/bring_up.h"
#include "driver/deadline.h"
#include "driver/ioqueues.h"
#include "driver/lifecycle.h"
#include "driver/restore.h"
#include "driver/retry.h"
#include "driver/shut_down.h"

/* Completions that one hf_driver_process() takes: a device that floods does
 * not keep it from the rest. */
#define ADMIN_BUDGET 256u

void hf_driver_kick(struct hf_driver *drv)
{
	(void)!eventfd_write(drv->kick_fd, 1);
}

void hf_driver_set_state(struct hf_driver *drv, enum hf_driver_state state)
{
	__atomic_store_n(&drv->state, state, __ATOMIC_RELEASE);
}

/*
 * Edge-triggered and never read: several can wait for one interrupt, the admin
 * queue's and the first I/O queue's for example, and each sees every edge.
 */
int hf_driver_watch(struct hf_driver *drv, int eventfd, struct hf_error *err)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	if (epoll_ctl(drv->epoll_fd, EPOLL_CTL_ADD, eventfd, &event) != 0) {
		return hf_error_set(err, -errno,
				    "%s: the admin queue's interrupt cannot be "
				    "waited for: %s",
				    drv->dev->id, strerrordesc_np(errno));
	}
	return 0;
}

void hf_driver_queue_job_locked(struct hf_driver *drv, struct hf_job *job)
{
	hf_list_push_back(&drv->jobs, &job->link);
	hf_driver_kick(drv);
}

void hf_driver_queue_job(struct hf_driver *drv, struct hf_job *job)
{
	pthread_mutex_lock(&drv->control);
	hf_driver_queue_job_locked(drv, job);
	pthread_mutex_unlock(&drv->control);
}

void hf_driver_lied(void *ctx, struct hf_qpair *qp, enum hf_qpair_lie lie,
		    const struct hf_cqe *cqe)
{
	static const char *const words[HF_LIE_COUNT] = {
		"no such command is under way",
		"its command has ended before",
		"its submission queue is another",
		"its head pointer cannot be",
	};
	struct hf_driver *drv = ctx;

	__atomic_fetch_add(&drv->lies, 1, __ATOMIC_RELAXED);
	hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_REFUSED], HF_LOG_ERROR,
		       "%s: queue %u: a completion was refused: %s "
		       "(command %04xh, queue %u, head %u, status %03xh)",
		       drv->dev->id, qp->qid, words[lie], hf_cqe_cid(cqe),
		       hf_cqe_sq_id(cqe), hf_cqe_sq_head(cqe),
		       hf_cqe_status(cqe));
	__atomic_store_n(&drv->suspect, true, __ATOMIC_RELEASE);
	hf_driver_kick(drv);
}

static void finish_job(struct hf_driver *drv, struct hf_job *job)
{
	if (job->kind->finished != NULL) {
		job->kind->finished(drv, job);
	} else {
		__atomic_store_n(&job->finished, true, __ATOMIC_RELEASE);
	}
}

void hf_driver_cancel_jobs(struct hf_driver *drv, int result, const char *why)
{
	struct hf_list *link;

	hf_keep_give_back(drv);
	while ((link = hf_list_pop_front(&drv->jobs)) != NULL) {
		struct hf_job *job = hf_container_of(link, struct hf_job, link);

		job->result = hf_error_set(&job->error, result, "%s: %s",
					   drv->dev->id, why);
		finish_job(drv, job);
	}
}

void hf_driver_fail(struct hf_driver *drv, const struct hf_error *why)
{
	if (hf_driver_state(drv) == HF_DRIVER_FAILED) {
		return;
	}
	drv->failure = *why;
	hf_driver_set_state(drv, HF_DRIVER_FAILED);
	hf_log_error(&drv->log, "%s", why->message);
	hf_driver_fence(drv, HF_QPAIR_DEAD);
	hf_fail_start(drv);
}

/* Nothing is under way any more, and everybody was told. */
static void failed_for_good(struct hf_driver *drv)
{
	struct hf_event event = {.kind = HF_EVENT_CONTROLLER_LOST};

	memcpy(event.text, drv->failure.message, sizeof(event.text) - 1);
	pthread_mutex_lock(&drv->control);
	hf_driver_cancel_jobs(drv, -ENODEV, drv->failure.message);
	__atomic_store_n(&drv->over, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&drv->control);
	hf_event_ring_put(&drv->events, &event);
}

static void run_jobs(struct hf_driver *drv)
{
	while (drv->bringing_up) {
		if (!hf_job_run(drv, &drv->bring_up)) {
			return;
		}
		finish_job(drv, &drv->bring_up);
	}
	if (hf_driver_state(drv) == HF_DRIVER_FAILED) {
		return;
	}
	while (!hf_list_empty(&drv->jobs)) {
		struct hf_job *job =
			hf_container_of(drv->jobs.next, struct hf_job, link);

		if (hf_job_run(drv, job)) {
			hf_list_remove(&job->link);
			finish_job(drv, job);
		} else if (!hf_keep_step_aside(drv, job)) {
			return;
		}
	}
}

static void arm_timer(struct hf_driver *drv)
{
	uint64_t next = hf_deadline_sweeps(drv) ? hf_deadline_ms(HF_SWEEP_MS)
						: UINT64_MAX;
	const struct hf_job *job = NULL;

	if (drv->bringing_up) {
		job = &drv->bring_up;
	} else if (!hf_list_empty(&drv->jobs)) {
		job = hf_container_of(drv->jobs.next, struct hf_job, link);
	}
	if (job != NULL) {
		next = HF_MIN(next, HF_MIN(job->wake_ns, job->deadline_ns));
	}

	next = HF_MIN(next, drv->retry_due_ns);

	/* All zeroes lets it stand. */
	struct itimerspec spec = {.it_value.tv_sec = 0};
	if (next != UINT64_MAX) {
		spec.it_value.tv_sec = (time_t)(next / HF_NS_PER_S);
		spec.it_value.tv_nsec = (long)(next % HF_NS_PER_S);
	}
	(void)!timerfd_settime(drv->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void take_hints(struct hf_driver *drv)
{
	struct epoll_event events[8];
	eventfd_t count;

	/* The edges are taken before anything is looked at: what comes later
	 * makes the descriptor readable again. */
	(void)!epoll_wait(drv->epoll_fd, events, 8, 0);
	(void)!eventfd_read(drv->kick_fd, &count);
	drv->now = hf_deadline_now();
	__atomic_store_n(&drv->tick, drv->now, __ATOMIC_RELAXED);
}

/*
 * The system asks for the device and the user decides: it works until it is
 * closed. Unless it is gone already, which a register tells.
 */
static void look_for_removal(struct hf_driver *drv)
{
	struct hf_event event = {.kind = HF_EVENT_REMOVE_REQUESTED};
	struct hf_error gone;
	uint32_t csts = 0;

	if (drv->removal_told || drv->dev->ops->remove_request_fd == NULL) {
		return;
	}
	struct pollfd pfd = {.fd = drv->dev->ops->remove_request_fd(drv->dev),
			     .events = POLLIN};
	if (poll(&pfd, 1, 0) != 1) {
		return;
	}
	drv->removal_told = true;
	if (hf_reg_read32(drv->dev, NVME_REG_CSTS, &csts) != 0 ||
	    csts == UINT32_MAX) {
		(void)!hf_error_set(&gone, -ENODEV, "%s: the device is gone",
				    drv->dev->id);
		hf_driver_fail(drv, &gone);
		return;
	}
	snprintf(event.text, sizeof(event.text),
		 "the system wants the device back: it is gone once it is "
		 "closed");
	hf_log_info(&drv->log, "%s: %s", drv->dev->id, event.text);
	hf_event_ring_put(&drv->events, &event);
}

static void progress_made(struct hf_driver *drv)
{
	pthread_mutex_lock(&drv->progress_lock);
	if (drv->leader_sleeps) {
		(void)!eventfd_write(drv->progress_fd, 1);
	}
	pthread_cond_broadcast(&drv->progress);
	pthread_mutex_unlock(&drv->progress_lock);
}

static void do_what_is_due(struct hf_driver *drv)
{
	if (__atomic_exchange_n(&drv->suspect, false, __ATOMIC_ACQUIRE) &&
	    hf_driver_state(drv) == HF_DRIVER_READY) {
		hf_bring_up_again(drv, "it completed what was never asked");
	}
	if (hf_driver_state(drv) != HF_DRIVER_FAILED && !drv->saved) {
		look_for_removal(drv);
	}
	if (hf_driver_state(drv) != HF_DRIVER_FAILED && !drv->saved) {
		hf_ioqueues_serve_wanted(drv);
	}
	hf_deadline_sweep(drv);
	if (!drv->saved) {
		run_jobs(drv);
		hf_retry_serve(drv);
	}
	hf_drain_check(drv);
	if (hf_driver_is_over(drv)) {
		hf_driver_cancel_jobs(drv, -ENODEV, drv->failure.message);
	}
}

int hf_driver_process(struct hf_driver *drv)
{
	pthread_mutex_lock(&drv->control);
	take_hints(drv);
	if (drv->admin != NULL) {
		(void)hf_qpair_reap(drv->admin, ADMIN_BUDGET);
		if (hf_qpair_ready(drv->admin)) {
			hf_driver_kick(drv);
		}
	}
	do_what_is_due(drv);
	arm_timer(drv);
	bool failed = hf_driver_state(drv) == HF_DRIVER_FAILED;
	bool must_keep = hf_keep_begin(drv);
	bool must_tell = drv->must_tell;
	int end_waiting = drv->end_waiting;
	drv->must_tell = false;
	drv->end_waiting = 0;
	pthread_mutex_unlock(&drv->control);

	/* Callbacks may call whatever does not block: no lock is held. */
	if (must_tell) {
		hf_driver_tell_ended(drv);
	}
	if (end_waiting != 0) {
		hf_lifecycle_end_waiting(drv, end_waiting);
		failed_for_good(drv);
	}
	if (must_keep) {
		hf_keep_start(drv);
	}
	progress_made(drv);
	return failed ? -ENODEV : 0;
}

static void follow(struct hf_driver *drv, bool (*reached)(const void *arg),
		   const void *arg, uint64_t deadline_ns)
{
	/* Looked at once more under the lock that the leader broadcasts with:
	 * it cannot have come and gone in between. */
	if (reached(arg)) {
		return;
	}
	uint64_t until = HF_MIN(deadline_ns, hf_deadline_ms(1000));
	const struct timespec ts = {
		.tv_sec = (time_t)(until / HF_NS_PER_S),
		.tv_nsec = (long)(until % HF_NS_PER_S),
	};
	pthread_cond_timedwait(&drv->progress, &drv->progress_lock, &ts);
}

/*
 * Sleeps until there is control work, and does it. Any thread may call
 * hf_driver_process(): one that comes first has taken the hints and perhaps
 * done what is waited for, and then nothing else would end this sleep.
 */
static void lead(struct hf_driver *drv, uint64_t deadline_ns)
{
	struct pollfd fds[2] = {
		{.fd = drv->epoll_fd, .events = POLLIN},
		{.fd = drv->progress_fd, .events = POLLIN},
	};
	eventfd_t count;

	(void)!poll(fds, 2, hf_deadline_poll_ms(deadline_ns));
	pthread_mutex_lock(&drv->progress_lock);
	drv->leader_sleeps = false;
	pthread_mutex_unlock(&drv->progress_lock);
	(void)!eventfd_read(drv->progress_fd, &count);
	(void)hf_driver_process(drv);
}

int hf_control_wait(struct hf_driver *drv, bool (*reached)(const void *arg),
		    const void *arg, uint64_t deadline_ns)
{
	while (!reached(arg)) {
		if (hf_deadline_passed(deadline_ns)) {
			return -ETIMEDOUT;
		}
		pthread_mutex_lock(&drv->progress_lock);
		bool leads = !drv->leader;
		drv->leader = true;
		if (leads) {
			/* For the same reason as in follow(). */
			drv->leader_sleeps = !reached(arg);
		} else {
			follow(drv, reached, arg, deadline_ns);
		}
		bool sleeps = leads && drv->leader_sleeps;
		pthread_mutex_unlock(&drv->progress_lock);
		if (!leads) {
			continue;
		}

		if (sleeps) {
			lead(drv, deadline_ns);
		}
		pthread_mutex_lock(&drv->progress_lock);
		drv->leader = false;
		pthread_cond_broadcast(&drv->progress);
		pthread_mutex_unlock(&drv->progress_lock);
	}
	return 0;
}

static bool job_finished(const void *arg)
{
	const struct hf_job *job = arg;

	return __atomic_load_n(&job->finished, __ATOMIC_ACQUIRE);
}

int hf_control_run_job(struct hf_driver *drv, struct hf_job *job,
		       struct hf_error *err)
{
	hf_driver_queue_job(drv, job);
	int rc = hf_control_wait(drv, job_finished, job, UINT64_MAX);

	assert(rc == 0);
	if (job->result != 0 && err != NULL) {
		*err = job->error;
		err->code = job->result;
	}
	return job->result;
}
