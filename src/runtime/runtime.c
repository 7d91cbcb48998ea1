/* SPDX-License-Identifier: BSD-3-Clause */
#include "runtime/runtime.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

static void *control_main(void *arg)
{
	struct hf_runtime *runtime = arg;
	struct hf_driver *drv = runtime->drv;

	pthread_setname_np(pthread_self(), "hf-control");
	while (!__atomic_load_n(&runtime->stop, __ATOMIC_ACQUIRE)) {
		struct pollfd pfd = {.fd = drv->epoll_fd, .events = POLLIN};

		(void)!poll(&pfd, 1, -1);
		(void)hf_driver_process(drv);
	}
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
	int rc = pthread_create(&runtime->control, NULL, control_main, runtime);
	if (rc != 0) {
		drv->leader = false;
		return hf_error_set(err, -rc, "%s: no control thread: %s",
				    drv->dev->id, strerrordesc_np(rc));
	}
	runtime->control_runs = true;
	return 0;
}

int hf_runtime_create(struct hf_driver *drv, struct hf_error *err)
{
	struct hf_runtime *runtime = calloc(1, sizeof(*runtime));

	if (runtime == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "%s: no memory for the runtime",
				    drv->dev->id);
	}
	runtime->drv = drv;
	runtime->threads = drv->options.runtime;
	drv->runtime = runtime;
	if (points_init(runtime, drv->options.io_queues) != 0 ||
	    queues_init(runtime, drv->options.cpu_count) != 0) {
		hf_runtime_destroy(drv);
		return hf_error_set(err, -ENOMEM,
				    "%s: no memory for the runtime",
				    drv->dev->id);
	}
	if (!runtime->threads) {
		return 0;
	}

	int rc = start_control(runtime, err);
	if (rc != 0) {
		hf_runtime_destroy(drv);
	}
	return rc;
}

static void stop_control(struct hf_runtime *runtime)
{
	struct hf_driver *drv = runtime->drv;

	__atomic_store_n(&runtime->stop, true, __ATOMIC_RELEASE);
	hf_driver_kick(drv);
	pthread_join(runtime->control, NULL);
	pthread_mutex_lock(&drv->progress_lock);
	drv->leader = false;
	pthread_cond_broadcast(&drv->progress);
	pthread_mutex_unlock(&drv->progress_lock);
	runtime->control_runs = false;
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
	if (runtime->control_runs) {
		stop_control(runtime);
	}
}

int hf_runtime_unpause(struct hf_driver *drv, struct hf_error *err)
{
	struct hf_runtime *runtime = drv->runtime;
	int rc = 0;

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
	if (runtime->control_runs) {
		stop_control(runtime);
	}
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
