/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/lifecycle.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mutex.h"
#include "driver/bring_up.h"
#include "driver/deadline.h"
#include "driver/ioqueues.h"
#include "driver/policy.h"
#include "driver/retry.h"
#include "driver/shut_down.h"

#define CPU_COUNT_MAX     65535u
#define LEDGER_RECORDS    64u
#define QUEUE_ENTRIES_MAX 65536u
#define RETRIES_MAX       100u

void hf_driver_options_init(struct hf_driver_options *options)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	uint32_t count = cpus > 0 ? (uint32_t)cpus : 1;

	*options = (struct hf_driver_options){
		.size = sizeof(*options),
		.cpu_count = count,
		.io_queues = count,
		.queue_entries = 256,
		.pool_pages = 512,
		.runtime = true,
		.keepalive = true,
		.io_timeout_ms = 30000,
		.long_timeout_ms = 120000,
		.admin_timeout_ms = 60000,
		.retries = 5,
	};
	hf_device_options_init(&options->device);
}

static int bad_option(struct hf_error *err, const char *name, uint64_t value,
		      uint64_t min, uint64_t max)
{
	return hf_error_set(err, -EINVAL,
			    "driver option %s is %llu: %llu to %llu are "
			    "possible",
			    name, (unsigned long long)value,
			    (unsigned long long)min, (unsigned long long)max);
}

static int check_options(const struct hf_driver_options *options,
			 struct hf_error *err)
{
	if (options->size != sizeof(*options)) {
		return hf_error_set(err, -EINVAL,
				    "driver options of %zu bytes: initialise "
				    "them with hf_driver_options_init()",
				    options->size);
	}
	if (options->cpu_count < 1 || options->cpu_count > CPU_COUNT_MAX) {
		return bad_option(err, "cpu_count", options->cpu_count, 1,
				  CPU_COUNT_MAX);
	}
	if (options->io_queues < 1 || options->io_queues > CPU_COUNT_MAX) {
		return bad_option(err, "io_queues", options->io_queues, 1,
				  CPU_COUNT_MAX);
	}
	if (options->queue_entries < 2 ||
	    options->queue_entries > QUEUE_ENTRIES_MAX) {
		return bad_option(err, "queue_entries", options->queue_entries,
				  2, QUEUE_ENTRIES_MAX);
	}
	if (options->retries > RETRIES_MAX) {
		return bad_option(err, "retries", options->retries, 0,
				  RETRIES_MAX);
	}
	if (options->pool_pages < HF_POOL_PAGES_MIN ||
	    options->pool_pages > HF_LEDGER_PAGES_MAX) {
		return bad_option(err, "pool_pages", options->pool_pages,
				  HF_POOL_PAGES_MIN, HF_LEDGER_PAGES_MAX);
	}
	if (options->device_class > HF_DEVICE_CLASS_FORBIDDEN) {
		return bad_option(err, "device_class", options->device_class,
				  HF_DEVICE_CLASS_AUTO,
				  HF_DEVICE_CLASS_FORBIDDEN);
	}
	if (options->shadow_doorbells > HF_SHADOW_DOORBELLS_ON) {
		return bad_option(
			err, "shadow_doorbells", options->shadow_doorbells,
			HF_SHADOW_DOORBELLS_AUTO, HF_SHADOW_DOORBELLS_ON);
	}
	return 0;
}

static int make_ledger(struct hf_driver *drv, struct hf_error *err)
{
	uint32_t entries =
		HF_MIN(drv->options.queue_entries, drv->ctrl.queue_entries_max);
	const struct hf_ledger_geometry geometry = {
		.queues_max = drv->options.io_queues + 1,
		.slots_max = HF_MIN(HF_MAX(entries - 1, 255u),
				    (uint32_t)HF_LEDGER_SLOTS_MAX),
		.records_max = LEDGER_RECORDS,
		.pages_max = HF_MAX(drv->options.pool_pages, 256u),
	};

	int rc = hf_ledger_create(&drv->ledger, &geometry, err);
	if (rc != 0) {
		return rc;
	}
	struct hf_ledger_header *header = drv->ledger.header;
	memcpy(header->device_id, drv->dev->id, sizeof(header->device_id));
	header->cpu_count = drv->options.cpu_count;
	header->queue_entries = entries;
	header->bounce = drv->options.bounce;
	header->device_class = drv->device_class;
	header->capabilities = drv->ctrl.cap;
	header->version_register = drv->ctrl.vs;
	return 0;
}

static int add_to_epoll(struct hf_driver *drv, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events};

	return epoll_ctl(drv->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Readable once the system wants the device back, or has taken it. */
static int watch_removal(struct hf_driver *drv)
{
	int fd = drv->dev->ops->remove_request_fd == NULL
			 ? -1
			 : drv->dev->ops->remove_request_fd(drv->dev);

	return fd < 0 ? 0 : add_to_epoll(drv, fd, EPOLLIN | EPOLLET);
}

static int make_descriptors(struct hf_driver *drv, struct hf_error *err)
{
	drv->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	drv->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	drv->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	drv->progress_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (drv->epoll_fd < 0 || drv->kick_fd < 0 || drv->timer_fd < 0 ||
	    drv->progress_fd < 0 ||
	    add_to_epoll(drv, drv->kick_fd, EPOLLIN) != 0 ||
	    add_to_epoll(drv, drv->timer_fd, EPOLLIN) != 0 ||
	    watch_removal(drv) != 0) {
		return hf_error_set(err, -errno,
				    "%s: no descriptors for the control side: "
				    "%s",
				    drv->dev->id, strerrordesc_np(errno));
	}
	return 0;
}

static void init_locks(struct hf_driver *drv)
{
	pthread_condattr_t attr;

	hf_mutex_init(&drv->control);
	hf_mutex_init(&drv->progress_lock);
	hf_keep_init(&drv->keep);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&drv->progress, &attr);
	pthread_condattr_destroy(&attr);
}

static void leave_queues(struct hf_driver *drv)
{
	for (uint32_t i = 0; drv->io != NULL && i < drv->io_max; i++) {
		hf_qpair_leave(drv->io[i]);
		drv->io[i] = NULL;
	}
	hf_qpair_leave(drv->admin);
	drv->admin = NULL;
}

/* Safe on a half-built driver; the device is somebody else's. */
static void destroy(struct hf_driver *drv)
{
	hf_ioqueues_fini(drv);
	hf_qpair_destroy(drv->admin);
	while (!hf_list_empty(&drv->namespaces)) {
		struct hf_namespace *ns = hf_container_of(
			drv->namespaces.next, struct hf_namespace, link);

		hf_list_remove(&ns->link);
		hf_ns_destroy(ns);
	}
	hf_ledger_close(&drv->ledger);
	if (drv->events.fd > 0) {
		hf_event_ring_fini(&drv->events);
	}
	const int fds[] = {drv->epoll_fd, drv->kick_fd, drv->timer_fd,
			   drv->progress_fd};
	for (size_t i = 0; i < HF_ARRAY_LEN(fds); i++) {
		if (fds[i] >= 0) {
			close(fds[i]);
		}
	}
	pthread_cond_destroy(&drv->progress);
	pthread_mutex_destroy(&drv->progress_lock);
	hf_keep_fini(&drv->keep);
	pthread_mutex_destroy(&drv->control);
	free(drv->scratch);
	free(drv);
}

static int make_tables(struct hf_driver *drv, struct hf_error *err)
{
	drv->scratch = aligned_alloc(NVME_PAGE_BYTES, 2 * NVME_PAGE_BYTES);
	if (drv->scratch == NULL || hf_ioqueues_init(drv) != 0 ||
	    hf_event_ring_init(&drv->events) != 0) {
		return hf_error_set(err, -ENOMEM,
				    "%s: no memory for the driver",
				    drv->dev->id);
	}
	return make_descriptors(drv, err);
}

int hf_lifecycle_build(struct hf_driver **out, const struct hf_ctrl *ctrl,
		       const struct hf_driver_options *options,
		       struct hf_error *err)
{
	int rc = check_options(options, err);
	if (rc != 0) {
		return rc;
	}
	struct hf_driver *drv = calloc(1, sizeof(*drv));
	if (drv == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "%s: no memory for the driver",
				    ctrl->dev->id);
	}

	drv->dev = ctrl->dev;
	drv->ctrl = *ctrl;
	drv->options = *options;
	drv->log = options->log;
	/* A successor issues before its first hf_driver_process(). */
	drv->now = hf_deadline_now();
	drv->tick = drv->now;
	drv->keepalive = options->keepalive;
	drv->device_class = hf_policy_class(ctrl->dev, options->device_class);
	drv->is_quiet = drv->device_class == HF_DEVICE_CLASS_QUIET;
	drv->epoll_fd = -1;
	drv->kick_fd = -1;
	drv->progress_fd = -1;
	drv->timer_fd = -1;
	hf_retry_init(drv);
	hf_list_init(&drv->jobs);
	hf_list_init(&drv->namespaces);
	init_locks(drv);
	rc = make_tables(drv, err);
	if (rc != 0) {
		destroy(drv);
		return rc;
	}
	*out = drv;
	return 0;
}

int hf_lifecycle_start(struct hf_driver **out, struct hf_device *device,
		       const struct hf_driver_options *options,
		       struct hf_error *err)
{
	struct hf_driver *drv;
	struct hf_ctrl ctrl;

	int rc = check_options(options, err);
	if (rc == 0) {
		rc = hf_ctrl_probe(&ctrl, device, err);
	}
	if (rc == 0) {
		rc = hf_lifecycle_build(&drv, &ctrl, options, err);
	}
	if (rc != 0) {
		return rc;
	}
	rc = make_ledger(drv, err);
	if (rc == 0) {
		rc = hf_ledger_lock(&drv->ledger, err);
	}
	if (rc != 0) {
		destroy(drv);
		return rc;
	}
	hf_bring_up_start(drv);
	hf_driver_kick(drv);
	*out = drv;
	return 0;
}

void hf_lifecycle_abandon(struct hf_driver *drv)
{
	pthread_mutex_lock(&drv->control);
	hf_driver_cancel_jobs(drv, -ECANCELED, "the driver is left");
	pthread_mutex_unlock(&drv->control);
	leave_queues(drv);
	destroy(drv);
}

void hf_lifecycle_leave(struct hf_driver *drv)
{
	struct hf_device *dev = drv->dev;

	hf_lifecycle_abandon(drv);
	hf_device_release(dev, HF_RELEASE_KEEP);
}

static bool is_settled(const void *arg)
{
	const struct hf_driver *drv = arg;
	enum hf_driver_state state = hf_driver_state(drv);

	return state == HF_DRIVER_READY || hf_driver_is_over(drv);
}

int hf_lifecycle_ready_wait(struct hf_driver *drv, struct hf_error *err)
{
	int rc = hf_control_wait(drv, is_settled, drv, UINT64_MAX);

	assert(rc == 0); /* each step of bringing up has a deadline */
	if (hf_driver_state(drv) == HF_DRIVER_READY) {
		return 0;
	}
	pthread_mutex_lock(&drv->control);
	if (err != NULL) {
		*err = drv->failure;
	}
	rc = drv->failure.code;
	pthread_mutex_unlock(&drv->control);
	return rc;
}

/* Control lock held. */
static int stop(struct hf_driver *drv, struct hf_error *err)
{
	struct hf_job job;

	hf_shut_down_job(&job);
	while (!hf_job_run(drv, &job)) {
		/* A register is looked at again and again, bounded by the
		 * controller's own limits. */
		uint64_t now = hf_now_ns();
		const struct timespec pause = {
			.tv_nsec = (long)(job.wake_ns > now
						  ? HF_MIN(job.wake_ns - now,
							   HF_NS_PER_S - 1)
						  : 1000),
		};

		nanosleep(&pause, NULL);
	}
	if (job.result != 0 && err != NULL) {
		*err = job.error;
	}
	return job.result;
}

void hf_lifecycle_end(struct hf_driver *drv, int rc, const struct hf_error *err,
		      int result)
{
	/* Also from a device that seems to be gone: registers that read as
	 * ones are no proof that it does not write any more. That there is
	 * nobody left to take memory away from is one, as when the process
	 * ended that was the controller. */
	int revoked = rc != 0 ? hf_dma_revoke(&drv->dev->dma, NULL) : 0;
	if (revoked != 0 && revoked != -ENODEV) {
		hf_log_error(&drv->log,
			     "%s; it may still write to memory, so that what "
			     "is under way does not end",
			     err->message);
		drv->unstoppable = true;
	}
	if (!drv->unstoppable) {
		hf_driver_end_all(drv, result, false);
	}
	drv->end_waiting = result;
}

void hf_lifecycle_end_waiting(struct hf_driver *drv, int result)
{
	for (uint32_t i = 0; i < drv->issuers.count; i++) {
		hf_issuer_kill(&drv->issuers.each[i], result);
	}
	for (uint32_t i = 0; i < drv->io_max; i++) {
		if (drv->io[i] != NULL) {
			hf_qpair_cancel_waiting(drv->io[i], result);
			hf_qpair_wake(drv->io[i]);
		}
	}
}

/* Safe at any moment of a driver's life; control lock not held. */
static void stop_and_end(struct hf_driver *drv)
{
	struct hf_error err;

	pthread_mutex_lock(&drv->control);
	bool failed = hf_driver_state(drv) == HF_DRIVER_FAILED;
	int result = failed ? -ENODEV : -ECANCELED;
	if (!failed) {
		hf_driver_set_state(drv, HF_DRIVER_CLOSING);
	}
	hf_driver_fence(drv, HF_QPAIR_DEAD);
	int rc = stop(drv, &err);
	hf_lifecycle_end(drv, rc, &err, result);
	pthread_mutex_unlock(&drv->control);

	hf_driver_tell_ended(drv);
	hf_lifecycle_end_waiting(drv, result);
	pthread_mutex_lock(&drv->control);
	hf_driver_cancel_jobs(drv, result, "the driver is closed");
	pthread_mutex_unlock(&drv->control);
}

int hf_lifecycle_stop(struct hf_driver *drv, struct hf_error *err)
{
	if (!hf_driver_is_over(drv)) {
		stop_and_end(drv);
	}
	/* Of a driver that had failed: whoever asked since. */
	pthread_mutex_lock(&drv->control);
	hf_driver_cancel_jobs(drv, -ECANCELED, "the driver is closed");
	pthread_mutex_unlock(&drv->control);
	if (drv->unstoppable) {
		/* Never freed: the device may write there. */
		return hf_error_set(
			err, -EIO,
			"%s: the controller could not be stopped; the "
			"memory that it may still touch is kept",
			drv->dev->id);
	}
	return 0;
}

void hf_lifecycle_free(struct hf_driver *drv)
{
	struct hf_device *dev = drv->dev;

	destroy(drv);
	hf_device_release(dev, HF_RELEASE_RESET);
}
