/* SPDX-License-Identifier: BSD-3-Clause */
/* Time that passes only when somebody waits: a program that is linked with
 * VIRTUAL_TIME_LINK_ARGS (see meson.build) never sleeps. Knows no driver. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Begins anew, at the same instant each time. @waited is called before each
 * wait; it may make what is waited for happen. */
void virtual_time_start(void (*waited)(void *ctx), void *ctx);

/* Lets time pass. */
void virtual_time_pass(uint64_t ns);

/* Whoever waits longer than this in all, from now on, hangs: abort(). */
void virtual_time_limit(uint64_t ns);

/* The CPU that sched_getcpu() tells. */
void virtual_time_set_cpu(int cpu);
