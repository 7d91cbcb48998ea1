/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/keep.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/mutex.h"
#include "driver/driver.h"
#include "driver/policy.h"

void hf_keep_init(struct hf_keep *keep)
{
	pthread_mutexattr_t attr;

	/* Asking for memory from within is found out, not waited for. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&keep->turn, &attr);
	pthread_mutexattr_destroy(&attr);
	hf_mutex_init(&keep->line_lock);
	keep->line = -1;
	hf_list_init(&keep->asking);
	hf_list_init(&keep->waiting);
}

void hf_keep_fini(struct hf_keep *keep)
{
	pthread_mutex_destroy(&keep->line_lock);
	pthread_mutex_destroy(&keep->turn);
}

static int take_turn(struct hf_driver *drv, struct hf_error *err)
{
	if (pthread_mutex_lock(&drv->keep.turn) == 0) {
		return 0;
	}
	return hf_error_set(err, -EDEADLK,
			    "%s: what keeps the descriptors asks for new "
			    "memory, which would have to be kept itself",
			    drv->dev->id);
}

static uint32_t pauses(const struct hf_keep *keep)
{
	return __atomic_load_n(&keep->pauses, __ATOMIC_ACQUIRE);
}

static bool is_paused(const struct hf_keep *keep)
{
	return pauses(keep) % 2 == 1;
}

/* As take_turn(), for a call. */
static int take_turn_to_call(struct hf_driver *drv, struct hf_error *err)
{
	int rc = take_turn(drv, err);

	if (rc == 0 && is_paused(&drv->keep)) {
		pthread_mutex_unlock(&drv->keep.turn);
		return hf_error_set(err, -ECANCELED,
				    "%s: the driver is saved or closed: "
				    "nothing more is kept",
				    drv->dev->id);
	}
	return rc;
}

/* It ends what waits at this end, and to the other end it is a client that has
 * given up: an older set does not replace a successor's there. */
static void hang_up(struct hf_keep *keep)
{
	pthread_mutex_lock(&keep->line_lock);
	if (keep->line >= 0) {
		(void)shutdown(keep->line, SHUT_RDWR);
	}
	pthread_mutex_unlock(&keep->line_lock);
}

int hf_keep_pause(struct hf_driver *drv, struct hf_error *err)
{
	struct hf_keep *keep = &drv->keep;

	/* First: whoever takes a turn after this one's sees it. */
	__atomic_fetch_or(&keep->pauses, 1, __ATOMIC_ACQ_REL);
	hang_up(keep);
	if (pthread_mutex_lock(&keep->turn) != 0) {
		hf_keep_unpause(drv);
		return hf_error_set(err, -EDEADLK,
				    "%s: what keeps the descriptors saves the "
				    "driver, which would wait for it",
				    drv->dev->id);
	}
	pthread_mutex_unlock(&keep->turn);
	return 0;
}

void hf_keep_unpause(struct hf_driver *drv)
{
	if (is_paused(&drv->keep)) {
		__atomic_add_fetch(&drv->keep.pauses, 1, __ATOMIC_ACQ_REL);
		/* For jobs that wait. */
		hf_driver_kick(drv);
	}
}

bool hf_keep_line_begin(struct hf_keep *keep, int socket)
{
	pthread_mutex_lock(&keep->line_lock);
	bool goes_on = !is_paused(keep);
	keep->line = socket;
	pthread_mutex_unlock(&keep->line_lock);
	return goes_on;
}

bool hf_keep_line_end(struct hf_keep *keep)
{
	pthread_mutex_lock(&keep->line_lock);
	keep->line = -1;
	pthread_mutex_unlock(&keep->line_lock);
	return !is_paused(keep);
}

int hf_keep_set(struct hf_driver *drv,
		int (*run)(struct hf_driver *drv, struct hf_error *err),
		int (*call)(struct hf_driver *drv, struct hf_carry *carry,
			    void *user, struct hf_error *err),
		void *user, struct hf_error *err)
{
	struct hf_dma *dma = &drv->dev->dma;
	int rc = take_turn(drv, err);

	if (rc != 0) {
		return rc;
	}
	drv->keep.run = run;
	drv->keep.call = call;
	drv->keep.user = user;
	hf_dma_keep(dma, run != NULL);
	/* Nobody is left that it could wait for. */
	if (run == NULL && hf_dma_offer(dma)) {
		hf_dma_settle(dma, true);
	}
	pthread_mutex_unlock(&drv->keep.turn);
	return 0;
}

static int call(struct hf_driver *drv, struct hf_error *err)
{
	struct hf_error why = {.message = ""};

	if (drv->keep.run == NULL) {
		return hf_error_set(err, -EINVAL,
				    "%s: nothing was given that keeps the "
				    "descriptors: hf_driver_keep_with() is "
				    "first",
				    drv->dev->id);
	}
	int rc = drv->keep.run(drv, &why);
	if (rc == 0) {
		return 0;
	}
	/* The program's own: it may answer, and leave out, anything. */
	why.message[sizeof(why.message) - 1] = '\0';
	return hf_error_set(err, rc < 0 ? rc : -EIO,
			    "%s: what a successor needs is not kept: %s",
			    drv->dev->id,
			    why.message[0] != '\0' ? why.message
			    : rc < 0               ? strerrordesc_np(-rc)
						   : "no reason was given");
}

/* No successor is to come: memory is used as it is where nothing keeps. */
static bool needs_none(const struct hf_driver *drv)
{
	return hf_policy_forbids_keepalive(drv) != NULL;
}

int hf_keep_all(struct hf_driver *drv, struct hf_error *err)
{
	int rc = take_turn_to_call(drv, err);

	if (rc != 0) {
		return rc;
	}
	(void)hf_dma_offer(&drv->dev->dma);
	rc = call(drv, err);
	hf_dma_settle(&drv->dev->dma, rc == 0 || needs_none(drv));
	pthread_mutex_unlock(&drv->keep.turn);
	return rc;
}

int hf_keep_new(struct hf_driver *drv, struct hf_error *err)
{
	int rc = take_turn_to_call(drv, err);

	if (rc != 0) {
		return rc;
	}
	if (hf_dma_offer(&drv->dev->dma)) {
		rc = call(drv, err);
		if (needs_none(drv)) {
			rc = 0;
		}
		hf_dma_settle(&drv->dev->dma, rc == 0);
	}
	pthread_mutex_unlock(&drv->keep.turn);
	return rc;
}

/* --------------------------------------------------------------- for jobs */

int hf_keep_step(struct hf_driver *drv, struct hf_job *job,
		 struct hf_error *err)
{
	if (job->keep != HF_JOB_KEEP_DONE) {
		job->keep = HF_JOB_KEEP_WANTED;
		return HF_STEP_WAIT;
	}
	job->keep = HF_JOB_KEEP_NONE;
	return job->keep_result != 0 ? hf_error_set(err, job->keep_result, "%s",
						    drv->keep.error.message)
				     : 0;
}

bool hf_keep_step_aside(struct hf_driver *drv, struct hf_job *job)
{
	if (job->keep != HF_JOB_KEEP_WANTED) {
		return false;
	}
	hf_list_remove(&job->link);
	hf_list_push_back(&drv->keep.asking, &job->link);
	return true;
}

static void move_all(struct hf_list *to, struct hf_list *from)
{
	struct hf_list *link;

	while ((link = hf_list_pop_front(from)) != NULL) {
		hf_list_push_back(to, link);
	}
}

void hf_keep_give_back(struct hf_driver *drv)
{
	move_all(&drv->jobs, &drv->keep.waiting);
	move_all(&drv->jobs, &drv->keep.asking);
}

const struct hf_job *hf_keep_first(const struct hf_driver *drv)
{
	const struct hf_keep *keep = &drv->keep;
	const struct hf_list *list =
		hf_list_empty(&keep->waiting) ? &keep->asking : &keep->waiting;

	return hf_list_empty(list)
		       ? NULL
		       : hf_container_of(list->next, struct hf_job, link);
}

bool hf_keep_begin(struct hf_driver *drv)
{
	struct hf_keep *keep = &drv->keep;

	uint32_t now = pauses(keep);

	if (drv->saved || now % 2 == 1 || keep->serves ||
	    hf_list_empty(&keep->asking)) {
		return false;
	}
	keep->pauses_then = now;
	keep->serves = true;
	move_all(&keep->waiting, &keep->asking);
	return true;
}

/* One that was hung up on, or came too late, is asked for again by a driver
 * that goes on after all. Control lock held. */
static void answer_jobs(struct hf_driver *drv, int rc)
{
	struct hf_keep *keep = &drv->keep;
	struct hf_list *link;

	if (pauses(keep) != keep->pauses_then) {
		move_all(&keep->asking, &keep->waiting);
	}
	while ((link = hf_list_pop_front(&keep->waiting)) != NULL) {
		struct hf_job *job = hf_container_of(link, struct hf_job, link);

		job->keep = HF_JOB_KEEP_DONE;
		job->keep_result = rc;
		hf_list_push_back(&drv->jobs, link);
	}
}

void hf_keep_serve(struct hf_driver *drv)
{
	struct hf_error why = {.message = ""};
	int rc = hf_keep_new(drv, &why);

	pthread_mutex_lock(&drv->control);
	drv->keep.serves = false;
	if (rc != 0) {
		drv->keep.error = why;
	}
	answer_jobs(drv, rc);
	hf_driver_kick(drv);
	pthread_mutex_unlock(&drv->control);
}

void hf_keep_start(struct hf_driver *drv)
{
	if (drv->keep.elsewhere == NULL || !drv->keep.elsewhere(drv)) {
		hf_keep_serve(drv);
	}
}
