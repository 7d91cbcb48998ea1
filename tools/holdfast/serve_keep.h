/* SPDX-License-Identifier: BSD-3-Clause */
/* Who holds the descriptors of a serving process: a keeper at a socket, or, by
 * the word "systemd:", the store of the service manager that started it. */
#pragma once

#include <stdbool.h>

#include <holdfast/keeper.h>

/* Only the processes of the service reach its store. */
bool serve_keep_is_store(const char *keeper);

/* As hf_keeper_put(), hf_keeper_get() and hf_keeper_drop(). */
int serve_keep_put(const char *keeper, const char *name,
		   const struct hf_carry *carry, struct hf_error *err);
int serve_keep_get(const char *keeper, const char *name,
		   struct hf_carry **carry, struct hf_error *err);
/* @carry: a set such as was put; for a keeper it may be NULL. */
int serve_keep_drop(const char *keeper, const char *name,
		    const struct hf_carry *carry, struct hf_error *err);
