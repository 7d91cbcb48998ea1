/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/keep.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
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
}

void hf_keep_fini(struct hf_keep *keep)
{
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
	int rc = take_turn(drv, err);

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
	int rc = take_turn(drv, err);

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

/* ------------------------------------------------------------ for one job */

bool hf_keep_is_asked(const struct hf_driver *drv, const struct hf_job *job)
{
	return drv->keep.job == job;
}

int hf_keep_step(struct hf_driver *drv, const struct hf_job *job,
		 struct hf_error *err)
{
	struct hf_keep *keep = &drv->keep;

	if (keep->job != job) {
		keep->job = job;
		keep->state = HF_KEEP_ASKED;
		return HF_STEP_WAIT;
	}
	if (keep->state != HF_KEEP_DONE) {
		return HF_STEP_WAIT;
	}
	keep->job = NULL;
	keep->state = HF_KEEP_IDLE;
	return keep->result != 0 ? hf_error_set(err, keep->result, "%s",
						keep->error.message)
				 : 0;
}

void hf_keep_forget(struct hf_driver *drv, const struct hf_job *job)
{
	if (drv->keep.job == job) {
		drv->keep.job = NULL;
		drv->keep.state = HF_KEEP_IDLE;
	}
}

bool hf_keep_begin(struct hf_driver *drv)
{
	if (drv->saved || drv->keep.state != HF_KEEP_ASKED) {
		return false;
	}
	drv->keep.state = HF_KEEP_RUNS;
	return true;
}

void hf_keep_serve(struct hf_driver *drv)
{
	struct hf_keep *keep = &drv->keep;
	struct hf_error why = {.message = ""};
	int rc = hf_keep_new(drv, &why);

	pthread_mutex_lock(&drv->control);
	if (keep->state == HF_KEEP_RUNS) {
		keep->state = HF_KEEP_DONE;
		keep->result = rc;
		keep->error = why;
		hf_driver_kick(drv);
	}
	pthread_mutex_unlock(&drv->control);
}
