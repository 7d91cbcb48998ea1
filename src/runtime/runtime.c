/* SPDX-License-Identifier: BSD-3-Clause */
#include "runtime/runtime.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mutex.h"

static bool process(struct hf_runtime *runtime)
{
	pthread_mutex_lock(&runtime->processes);
	bool stop = runtime->stop;
	if (!stop) {
		(void)hf_driver_process(runtime->drv);
	}
	pthread_mutex_unlock(&runtime->processes);
	return !stop;
}

static void *control_main(void *arg)
{
	struct hf_runtime *runtime = arg;
	struct pollfd pfd = {.fd = runtime->drv->epoll_fd, .events = POLLIN};

	pthread_setname_np(pthread_self(), "hf-control");
	do {
		(void)!poll(&pfd, 1, -1);
	} while (process(runtime));
	return NULL;
}

static int points_init(struct hf_runtime *runtime, uint32_t count)
{
	pthread_condattr_t attr;

	runtime->points = calloc(count, sizeof(*runtime->points));
	if (runtime->points == NULL) {
		return -ENOMEM;
	}
	runtime->point_count = count;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	for (uint32_t i = 0; i < count; i++) {
		pthread_mutex_init(&runtime->points[i].lock, NULL);
		pthread_cond_init(&runtime->points[i].moved, &attr);
		runtime->points[i].epoll_fd = -1;
	}
	pthread_condattr_destroy(&attr);
	return 0;
}

static int queues_init(struct hf_runtime *runtime, uint32_t count)
{
	runtime->queues = calloc(count, sizeof(*runtime->queues));
	if (runtime->queues == NULL) {
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++) {
		pthread_mutex_init(&runtime->queues[i].lock, NULL);
	}
	return 0;
}

static int start_control(struct hf_runtime *runtime, struct hf_error *err)
{
	struct hf_driver *drv = runtime->drv;

	/* It leads from now on, whoever else waits. */
	pthread_mutex_lock(&drv->progress_lock);
	drv->leader = true;
	pthread_mutex_unlock(&drv->progress_lock);
	struct hf_spare *spare = drv->dev->spare;

	drv->dev->spare = NULL;
	int rc =
		hf_spare_start(spare, &runtime->control, control_main, runtime);
	if (rc != 0) {
		drv->leader = false;
		return hf_error_set(err, -rc, "%s: no control thread: %s",
				    drv->dev->id, strerrordesc_np(rc));
	}
	runtime->control_runs = true;
	return 0;
}

int hf_runtime_create_held(struct hf_driver *drv, struct hf_error *err)
{
	struct hf_runtime *runtime = calloc(1, sizeof(*runtime));

	if (runtime == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "%s: no memory for the runtime",
				    drv->dev->id);
	}
	runtime->drv = drv;
	hf_mutex_init(&runtime->processes);
	runtime->threads = drv->options.runtime;
	drv->runtime = runtime;
	hf_runtime_keep_init(runtime);
	if (points_init(runtime, drv->options.io_queues) != 0 ||
	    queues_init(runtime, drv->options.cpu_count) != 0) {
		hf_runtime_destroy(drv);
		return hf_error_set(err, -ENOMEM,
				    "%s: no memory for the runtime",
				    drv->dev->id);
	}
	pthread_mutex_lock(&runtime->processes);
	int rc = runtime->threads ? start_control(runtime, err) : 0;
	if (rc != 0) {
		hf_runtime_let_go(drv, false);
		hf_runtime_destroy(drv);
	}
	return rc;
}

void hf_runtime_let_go(struct hf_driver *drv, bool run)
{
	drv->runtime->stop = !run;
	pthread_mutex_unlock(&drv->runtime->processes);
}

int hf_runtime_create(struct hf_driver *drv, struct hf_error *err)
{
	int rc = hf_runtime_create_held(drv, err);

	if (rc == 0) {
		hf_runtime_let_go(drv, true);
	}
	return rc;
}

/* It may sleep on: waking it takes time, and a successor waits. */
static void stop_control(struct hf_runtime *runtime)
{
	struct hf_driver *drv = runtime->drv;

	if (!runtime->control_runs) {
		return;
	}
	pthread_mutex_lock(&runtime->processes);
	runtime->stop = true;
	pthread_mutex_unlock(&runtime->processes);
	pthread_mutex_lock(&drv->progress_lock);
	drv->leader = false;
	pthread_cond_broadcast(&drv->progress);
	pthread_mutex_unlock(&drv->progress_lock);
	runtime->control_runs = false;
	runtime->control_ends = true;
}

/* Once more and again: another thread that leads meanwhile may take the hint
 * before this one has seen it. */
static void join_control(struct hf_runtime *runtime)
{
	while (runtime->control_ends) {
		struct timespec until;

		hf_driver_kick(runtime->drv);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		runtime->control_ends =
			pthread_timedjoin_np(runtime->control, NULL, &until) ==
			ETIMEDOUT;
	}
}

void hf_runtime_pause(struct hf_driver *drv)
{
	struct hf_runtime *runtime = drv->runtime;

	if (runtime == NULL) {
		return;
	}
	for (uint32_t i = 0; i < drv->options.cpu_count; i++) {
		hf_runtime_queue_pause(&runtime->queues[i]);
	}
	stop_control(runtime);
}

int hf_runtime_unpause(struct hf_driver *drv, struct hf_error *err)
{
	struct hf_runtime *runtime = drv->runtime;
	int rc = 0;

	join_control(runtime);
	runtime->stop = false;
	if (runtime->threads) {
		rc = start_control(runtime, err);
	}
	for (uint32_t i = 0; rc == 0 && i < drv->options.cpu_count; i++) {
		rc = hf_runtime_queue_unpause(&runtime->queues[i]);
		if (rc != 0) {
			(void)hf_error_set(err, rc, "%s: no thread to reap",
					   drv->dev->id);
		}
	}
	return rc;
}

void hf_runtime_destroy(struct hf_driver *drv)
{
	struct hf_runtime *runtime = drv->runtime;

	if (runtime == NULL) {
		return;
	}
	for (uint32_t i = 0;
	     runtime->queues != NULL && i < drv->options.cpu_count; i++) {
		hf_runtime_queue_close(&runtime->queues[i]);
		pthread_mutex_destroy(&runtime->queues[i].lock);
	}
	stop_control(runtime);
	join_control(runtime);
	hf_runtime_keep_fini(runtime);
	pthread_mutex_destroy(&runtime->processes);
	for (uint32_t i = 0; i < runtime->point_count; i++) {
		if (runtime->points[i].epoll_fd >= 0) {
			close(runtime->points[i].epoll_fd);
		}
		pthread_cond_destroy(&runtime->points[i].moved);
		pthread_mutex_destroy(&runtime->points[i].lock);
	}
	free(runtime->points);
	free(runtime->queues);
	free(runtime);
	drv->runtime = NULL;
}
