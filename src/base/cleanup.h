/* SPDX-License-Identifier: BSD-3-Clause */
/* Locals that release what they hold when their scope ends. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

static inline void hf_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void hf_cleanup_close(const int *fd)
{
	if (*fd >= 0) {
		close(*fd);
	}
}

#define HF_AUTO_FREE  __attribute__((cleanup(hf_cleanup_free)))
#define HF_AUTO_CLOSE __attribute__((cleanup(hf_cleanup_close)))

/* Hands the value on and disarms the cleanup. */
static inline int hf_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}
