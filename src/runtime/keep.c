/* SPDX-License-Identifier: BSD-3-Clause */
/* The thread that a new queue's memory is kept on, so that control work goes on
 * meanwhile. There is one call at a time, and a thread for each. */
#include <string.h>

#include "base/log.h"
#include "driver/keep.h"
#include "runtime/runtime.h"

static void *keep_main(void *arg)
{
	pthread_setname_np(pthread_self(), "hf-keep");
	hf_keep_serve(arg);
	return NULL;
}

/* It has said how it went, or else nobody starts another. */
static void join_last(struct hf_runtime *runtime)
{
	if (runtime->keep_runs) {
		pthread_join(runtime->keep, NULL);
		runtime->keep_runs = false;
	}
}

static bool start(struct hf_driver *drv)
{
	struct hf_runtime *runtime = drv->runtime;

	pthread_mutex_lock(&runtime->keep_lock);
	join_last(runtime);
	int rc = pthread_create(&runtime->keep, NULL, keep_main, drv);
	runtime->keep_runs = rc == 0;
	pthread_mutex_unlock(&runtime->keep_lock);
	if (rc != 0) {
		hf_log_warning(&drv->log,
			       "%s: no thread to have memory kept on: %s; "
			       "control work waits for that",
			       drv->dev->id, strerrordesc_np(rc));
	}
	return rc == 0;
}

void hf_runtime_keep_init(struct hf_runtime *runtime)
{
	pthread_mutex_init(&runtime->keep_lock, NULL);
	runtime->drv->keep.elsewhere = runtime->threads ? start : NULL;
}

void hf_runtime_keep_fini(struct hf_runtime *runtime)
{
	runtime->drv->keep.elsewhere = NULL;
	join_last(runtime);
	pthread_mutex_destroy(&runtime->keep_lock);
}
