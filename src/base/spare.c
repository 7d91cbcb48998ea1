/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/spare.h"

#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* Freed by its thread, once that knows what to do. */
struct hf_spare {
	pthread_t thread;
	pid_t pid; /* whose thread it is: a fork does not copy it */
	sem_t told;
	void *(*run)(void *arg); /* NULL: nothing, and it ends */
	void *arg;
	sigset_t blocked; /* where it is told */
};

static void destroy(struct hf_spare *spare)
{
	sem_destroy(&spare->told);
	free(spare);
}

static void *wait_and_run(void *user)
{
	struct hf_spare *spare = user;

	while (sem_wait(&spare->told) != 0) {
		/* A debugger interrupts it, say. */
	}
	void *(*run)(void *arg) = spare->run;
	void *arg = spare->arg;
	pthread_sigmask(SIG_SETMASK, &spare->blocked, NULL);
	destroy(spare);
	return run != NULL ? run(arg) : NULL;
}

/* Until it is told, no signal is for it. */
static int make_thread(struct hf_spare *spare)
{
	sigset_t before;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&spare->thread, NULL, wait_and_run, spare);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

struct hf_spare *hf_spare_new(void)
{
	struct hf_spare *spare = calloc(1, sizeof(*spare));

	if (spare == NULL) {
		return NULL;
	}
	spare->pid = getpid();
	sem_init(&spare->told, 0, 0);
	if (make_thread(spare) != 0) {
		destroy(spare);
		return NULL;
	}
	return spare;
}

static pthread_t tell(struct hf_spare *spare, void *(*run)(void *arg),
		      void *arg)
{
	pthread_t thread = spare->thread;

	spare->run = run;
	spare->arg = arg;
	pthread_sigmask(SIG_SETMASK, NULL, &spare->blocked);
	/* No lock: whoever is woken would want it, and wait once more. */
	sem_post(&spare->told);
	return thread;
}

static bool is_here(const struct hf_spare *spare)
{
	return spare != NULL && spare->pid == getpid();
}

int hf_spare_start(struct hf_spare *spare, pthread_t *thread,
		   void *(*run)(void *arg), void *arg)
{
	if (!is_here(spare)) {
		free(spare);
		return pthread_create(thread, NULL, run, arg);
	}
	*thread = tell(spare, run, arg);
	return 0;
}

void hf_spare_free(struct hf_spare *spare)
{
	if (is_here(spare)) {
		pthread_join(tell(spare, NULL, NULL), NULL);
	} else {
		free(spare);
	}
}
