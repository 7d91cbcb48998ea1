/* SPDX-License-Identifier: BSD-3-Clause */
/* A thread that is there before it is needed: making one takes the kernel a
 * while. Knows not what it is for. */
#pragma once

#include <pthread.h>

struct hf_spare;

/* One that waits; NULL: there is none to be had. */
struct hf_spare *hf_spare_new(void);
/* Lets it do what pthread_create() would have a new one do, with the caller's
 * signals blocked; @spare is gone, and @thread the caller's to join. With NULL,
 * or one that was made before a fork, one is made. Return: 0 or an errno. */
int hf_spare_start(struct hf_spare *spare, pthread_t *thread,
		   void *(*run)(void *arg), void *arg);
/* It was not needed. NULL is allowed. */
void hf_spare_free(struct hf_spare *spare);
