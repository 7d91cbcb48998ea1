/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/spare.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mutex.h"

/* Freed by its thread, once that knows what to do. */
struct hf_spare {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t told;
	bool is_told;
	void *(*run)(void *arg); /* NULL: nothing, and it ends */
	void *arg;
};

static void *wait_and_run(void *user)
{
	struct hf_spare *spare = user;

	pthread_mutex_lock(&spare->lock);
	while (!spare->is_told) {
		pthread_cond_wait(&spare->told, &spare->lock);
	}
	void *(*run)(void *arg) = spare->run;
	void *arg = spare->arg;
	pthread_mutex_unlock(&spare->lock);

	pthread_cond_destroy(&spare->told);
	pthread_mutex_destroy(&spare->lock);
	free(spare);
	return run != NULL ? run(arg) : NULL;
}

struct hf_spare *hf_spare_new(void)
{
	struct hf_spare *spare = calloc(1, sizeof(*spare));

	if (spare == NULL) {
		return NULL;
	}
	hf_mutex_init(&spare->lock);
	pthread_cond_init(&spare->told, NULL);
	if (pthread_create(&spare->thread, NULL, wait_and_run, spare) != 0) {
		pthread_cond_destroy(&spare->told);
		pthread_mutex_destroy(&spare->lock);
		free(spare);
		return NULL;
	}
	return spare;
}

static pthread_t tell(struct hf_spare *spare, void *(*run)(void *arg),
		      void *arg)
{
	pthread_t thread = spare->thread;

	pthread_mutex_lock(&spare->lock);
	spare->run = run;
	spare->arg = arg;
	spare->is_told = true;
	pthread_cond_signal(&spare->told);
	pthread_mutex_unlock(&spare->lock);
	return thread;
}

int hf_spare_start(struct hf_spare *spare, pthread_t *thread,
		   void *(*run)(void *arg), void *arg)
{
	if (spare == NULL) {
		return pthread_create(thread, NULL, run, arg);
	}
	*thread = tell(spare, run, arg);
	return 0;
}

void hf_spare_free(struct hf_spare *spare)
{
	if (spare != NULL) {
		pthread_join(tell(spare, NULL, NULL), NULL);
	}
}
