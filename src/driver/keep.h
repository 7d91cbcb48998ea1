/* SPDX-License-Identifier: BSD-3-Clause */
/* When what a successor needs is given to whoever keeps it. Knows not who that
 * is, nor what a set is. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "holdfast/error.h"
#include "holdfast/servicing.h"

struct hf_job;

struct hf_keep {
	/* Whoever has it, calls: it is held during the call, unlike all that is
	 * a lock, and taken when none of those is held. */
	pthread_mutex_t turn;
	int (*run)(struct hf_driver *drv, struct hf_error *err);
	int (*call)(struct hf_driver *drv, struct hf_carry *carry, void *user,
		    struct hf_error *err); /* the program's, for @run */
	void *user;
	uint32_t pauses;      /* atomic; odd: nothing is called */
	uint32_t pauses_then; /* when the call for jobs began */

	/* What the call that is under way waits on, or -1; a lock of its own.
	 */
	pthread_mutex_t line_lock;
	int line;

	/* For jobs, which cannot wait, and are not in line meanwhile; under the
	 * control lock. */
	struct hf_list asking;  /* of struct hf_job: for the next call */
	struct hf_list waiting; /* for the one that is under way */
	bool serves;            /* it is */
	struct hf_error error;  /* of the last one that failed */
	/* Has another thread do hf_keep_serve(); false: there is none. NULL:
	 * whoever does control work does that as well. */
	bool (*elsewhere)(struct hf_driver *drv);
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
 * from within, -EINVAL when nobody keeps, -ECANCELED, what it answered. */
HF_MUST_CHECK int hf_keep_all(struct hf_driver *drv, struct hf_error *err);
/* The same if something new waits for it; else 0 at once. */
HF_MUST_CHECK int hf_keep_new(struct hf_driver *drv, struct hf_error *err);

/* Once it has returned, nothing is being called, nor will be, before the other
 * of the two; a call that is under way is hung up on, and waited for. Whoever
 * asks meanwhile is told -ECANCELED; jobs go on waiting. No lock is held.
 * -EDEADLK from within. */
HF_MUST_CHECK int hf_keep_pause(struct hf_driver *drv, struct hf_error *err);
void hf_keep_unpause(struct hf_driver *drv);

/* Of a call that is under way: hf_keep_pause() shuts @socket down until the
 * other of the two, which comes before it is closed. Each is false once it is
 * shut down. */
HF_MUST_CHECK bool hf_keep_line_begin(struct hf_keep *keep, int socket);
HF_MUST_CHECK bool hf_keep_line_end(struct hf_keep *keep);

/* Of a job's step: has hf_keep_new() done, and says how that went, once;
 * HF_STEP_WAIT until then. Control lock held, as for the next four. */
HF_MUST_CHECK int hf_keep_step(struct hf_driver *drv, struct hf_job *job,
			       struct hf_error *err);
/* Takes a job that waits for nothing else out of the line: those behind it do
 * not wait for that. False for any other. */
bool hf_keep_step_aside(struct hf_driver *drv, struct hf_job *job);
/* All such jobs are in line again, whatever becomes of what they wait for. */
void hf_keep_give_back(struct hf_driver *drv);
/* One of them, or NULL. */
const struct hf_job *hf_keep_first(const struct hf_driver *drv);

/* Does a job want something kept? hf_keep_start() is next then. */
bool hf_keep_begin(struct hf_driver *drv);
/* No lock is held. Blocks where there is no thread of the runtime's for it. */
void hf_keep_start(struct hf_driver *drv);
/* What that thread does. */
void hf_keep_serve(struct hf_driver *drv);
