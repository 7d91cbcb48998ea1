/* SPDX-License-Identifier: BSD-3-Clause */
/* When what a successor needs is given to whoever keeps it. Knows not who that
 * is, nor what a set is. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "holdfast/error.h"
#include "holdfast/servicing.h"

struct hf_job;

enum hf_keep_state {
	HF_KEEP_IDLE,
	HF_KEEP_ASKED, /* by a job: the next hf_driver_process() does it */
	HF_KEEP_RUNS,
	HF_KEEP_DONE,
};

struct hf_keep {
	/* Whoever has it, calls: it is held during the call, unlike all that is
	 * a lock, and taken when none of those is held. */
	pthread_mutex_t turn;
	int (*run)(struct hf_driver *drv, struct hf_error *err);
	int (*call)(struct hf_driver *drv, struct hf_carry *carry, void *user,
		    struct hf_error *err); /* the program's, for @run */
	void *user;

	/* For a job, which cannot wait; under the control lock. */
	const struct hf_job *job;
	enum hf_keep_state state;
	int result;
	struct hf_error error;
};

void hf_keep_init(struct hf_keep *keep);
void hf_keep_fini(struct hf_keep *keep);

/* @run: NULL: nobody keeps. The others are @run's. -EDEADLK. */
HF_MUST_CHECK int
hf_keep_set(struct hf_driver *drv,
	    int (*run)(struct hf_driver *drv, struct hf_error *err),
	    int (*call)(struct hf_driver *drv, struct hf_carry *carry,
			void *user, struct hf_error *err),
	    void *user, struct hf_error *err);

/* All that there is. No lock is held; blocks as whoever keeps does. -EDEADLK
 * from within, -EINVAL when nobody keeps, what it answered. */
HF_MUST_CHECK int hf_keep_all(struct hf_driver *drv, struct hf_error *err);
/* The same if something new waits for it; else 0 at once. */
HF_MUST_CHECK int hf_keep_new(struct hf_driver *drv, struct hf_error *err);

/* Of a job's step: has hf_keep_new() done, and says how that went, once;
 * HF_STEP_WAIT until then. Control lock held. */
HF_MUST_CHECK int hf_keep_step(struct hf_driver *drv, const struct hf_job *job,
			       struct hf_error *err);
bool hf_keep_is_asked(const struct hf_driver *drv, const struct hf_job *job);
/* The job ends, perhaps before it has asked how it went. */
void hf_keep_forget(struct hf_driver *drv, const struct hf_job *job);

/* Is there something for hf_keep_serve()? It is the caller's then. Control lock
 * held. */
bool hf_keep_begin(struct hf_driver *drv);
/* No lock is held. */
void hf_keep_serve(struct hf_driver *drv);
