/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "runtime/runtime.h"

#define THREAD_BUDGET 256u

/* A queue pair was made for the CPU, or found for it. */
static void watch(void *ctx, struct hf_qpair *qp)
{
	struct hf_queue *queue = ctx;
	/* An edge for each interrupt; one that came before counts as well. */
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	if (queue->watched == qp) {
		return;
	}
	if (epoll_ctl(queue->epoll_fd, EPOLL_CTL_ADD, qp->eventfd, &event) ==
		    0 ||
	    errno == EEXIST) {
		queue->watched = qp;
		return;
	}
	/* Asked for again with each reap; until then it is always readable, so
	 * that its user polls and misses nothing. */
	if (!__atomic_exchange_n(&queue->is_blind, true, __ATOMIC_RELAXED)) {
		hf_log_warning(&queue->drv->log,
			       "%s: queue %u: its interrupt cannot be waited "
			       "for: %s; the queue is polled",
			       queue->drv->dev->id, qp->qid,
			       strerrordesc_np(errno));
	}
	(void)!eventfd_write(queue->again_fd, 1);
}

static void close_fds(struct hf_queue *queue)
{
	if (queue->epoll_fd >= 0) {
		close(queue->epoll_fd);
	}
	if (queue->again_fd >= 0) {
		close(queue->again_fd);
	}
}

static int open_fds(struct hf_queue *queue, struct hf_error *err)
{
	struct epoll_event event = {.events = EPOLLIN};

	queue->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	queue->again_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->epoll_fd < 0 || queue->again_fd < 0 ||
	    epoll_ctl(queue->epoll_fd, EPOLL_CTL_ADD, queue->again_fd,
		      &event) != 0) {
		int rc = -errno;

		close_fds(queue);
		return hf_error_set(err, rc,
				    "%s: no descriptors for a queue: "
				    "%s",
				    queue->drv->dev->id, strerrordesc_np(-rc));
	}
	return 0;
}

int hf_runtime_queue_open(struct hf_driver *drv, uint32_t cpu,
			  enum hf_queue_mode mode, struct hf_queue **out,
			  struct hf_error *err)
{
	if (cpu >= drv->options.cpu_count) {
		return hf_error_set(
			err, -ERANGE, "%s: CPU %u is not served; 0 to %u are",
			drv->dev->id, cpu, drv->options.cpu_count - 1);
	}
	struct hf_queue *queue = &drv->runtime->queues[cpu];
	pthread_mutex_lock(&queue->lock);
	bool busy = queue->open;
	queue->open = true;
	pthread_mutex_unlock(&queue->lock);
	if (busy) {
		return hf_error_set(err, -EBUSY,
				    "%s: the queue of CPU %u is open already",
				    drv->dev->id, cpu);
	}

	queue->drv = drv;
	queue->issuer = &drv->issuers.each[cpu];
	queue->mode = HF_POLL;
	queue->watched = NULL;
	queue->is_blind = false;
	int rc = open_fds(queue, err);
	if (rc != 0) {
		queue->open = false;
		return rc;
	}
	hf_issuer_tell(queue->issuer, watch, queue);
	rc = hf_runtime_queue_mode(queue, mode);
	if (rc != 0) {
		hf_runtime_queue_close(queue);
		return hf_error_set(err, rc,
				    "%s: a queue cannot call back by itself "
				    "without the driver's runtime",
				    drv->dev->id);
	}
	*out = queue;
	return 0;
}

static void *reap_main(void *arg)
{
	struct hf_queue *queue = arg;
	struct epoll_event events[2];

	pthread_setname_np(pthread_self(), "hf-reap");
	while (!__atomic_load_n(&queue->stop, __ATOMIC_ACQUIRE)) {
		(void)!epoll_wait(queue->epoll_fd, events, 2, -1);
		(void)hf_runtime_queue_reap(queue, THREAD_BUDGET);
	}
	return NULL;
}

static void stop_thread(struct hf_queue *queue)
{
	__atomic_store_n(&queue->stop, true, __ATOMIC_RELEASE);
	(void)!eventfd_write(queue->again_fd, 1);
	pthread_join(queue->thread, NULL);
	queue->has_thread = false;
}

/* Callers that sleep look anew at who is to reap for them. */
static void wake_followers(struct hf_queue *queue)
{
	const struct hf_qpair *qp = hf_issuer_qpair(queue->issuer);

	if (qp != NULL) {
		struct hf_waitpoint *point =
			&queue->drv->runtime->points[qp->qid - 1];

		pthread_mutex_lock(&point->lock);
		pthread_cond_broadcast(&point->moved);
		pthread_mutex_unlock(&point->lock);
	}
}

int hf_runtime_queue_mode(struct hf_queue *queue, enum hf_queue_mode mode)
{
	int rc = 0;

	if (mode == HF_THREAD && !queue->drv->runtime->threads) {
		return -ENOTSUP;
	}
	pthread_mutex_lock(&queue->lock);
	if (mode == HF_THREAD && !queue->has_thread) {
		queue->stop = false;
		rc = -pthread_create(&queue->thread, NULL, reap_main, queue);
		queue->has_thread = rc == 0;
	} else if (mode != HF_THREAD && queue->has_thread) {
		stop_thread(queue);
	}
	if (rc == 0) {
		__atomic_store_n(&queue->mode, mode, __ATOMIC_RELEASE);
		__atomic_store_n(&queue->issuer->polled, mode == HF_POLL,
				 __ATOMIC_RELAXED);
		/* What completed under the old mode is looked at again. */
		(void)!eventfd_write(queue->again_fd, 1);
		wake_followers(queue);
	}
	pthread_mutex_unlock(&queue->lock);
	return rc;
}

void hf_runtime_queue_pause(struct hf_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	if (queue->open && queue->has_thread) {
		stop_thread(queue);
	}
	pthread_mutex_unlock(&queue->lock);
}

int hf_runtime_queue_unpause(struct hf_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	bool threaded = queue->open && queue->mode == HF_THREAD;
	pthread_mutex_unlock(&queue->lock);
	return threaded ? hf_runtime_queue_mode(queue, HF_THREAD) : 0;
}

void hf_runtime_queue_close(struct hf_queue *queue)
{
	if (!queue->open) {
		return;
	}
	if (queue->has_thread) {
		stop_thread(queue);
	}
	/* Nobody reaps by itself any more: blocking callers have to. */
	__atomic_store_n(&queue->mode, HF_POLL, __ATOMIC_RELEASE);
	__atomic_store_n(&queue->issuer->polled, false, __ATOMIC_RELAXED);
	wake_followers(queue);
	hf_issuer_tell(queue->issuer, NULL, NULL);
	close_fds(queue);
	pthread_mutex_lock(&queue->lock);
	queue->open = false;
	pthread_mutex_unlock(&queue->lock);
}

int hf_runtime_queue_reap(struct hf_queue *queue, uint32_t budget)
{
	struct hf_qpair *qp = hf_issuer_qpair(queue->issuer);
	struct epoll_event events[2];
	eventfd_t count;
	bool polls = __atomic_load_n(&queue->mode, __ATOMIC_RELAXED) == HF_POLL;

	if (!polls) {
		/* The edges are taken before the ring is looked at. */
		(void)!epoll_wait(queue->epoll_fd, events, 2, 0);
		(void)!eventfd_read(queue->again_fd, &count);
	}
	if (qp == NULL) {
		return 0;
	}
	if (__atomic_load_n(&queue->is_blind, __ATOMIC_RELAXED)) {
		watch(queue, qp);
	}

	uint32_t taken = hf_qpair_reap(qp, budget);
	if (!polls && taken == budget && hf_qpair_ready(qp)) {
		(void)!eventfd_write(queue->again_fd, 1);
	}
	return (int)taken;
}
