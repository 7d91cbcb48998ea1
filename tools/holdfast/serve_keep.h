/* SPDX-License-Identifier: BSD-3-Clause */
/* Who holds the descriptors of a serving process: a keeper at a socket, or, by
 * the word "systemd:", the store of the service manager that started it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/keeper.h>

/* Only the processes of the service reach its store. */
bool serve_keep_is_store(const char *keeper);

/* Whether the keeper's process lives. The service manager outlives us. */
struct serve_watch {
	int fd;           /* readable once it has ended; -1: nothing to see */
	bool gone;        /* and no other one has the set yet */
	uint64_t next_ns; /* when the next one is looked for */
};

/* Of whoever is the keeper now; best effort. */
void serve_watch_begin(struct serve_watch *watch, const char *keeper);
void serve_watch_end(struct serve_watch *watch);
/* No set is kept: another keeper is looked for in a second. */
void serve_watch_lost(struct serve_watch *watch);
/* For poll(). */
int serve_watch_timeout_ms(const struct serve_watch *watch);
/* Is it time to look for one? */
bool serve_watch_is_due(const struct serve_watch *watch);

/* As hf_keeper_put(), hf_keeper_get() and hf_keeper_drop(). */
int serve_keep_put(const char *keeper, const char *name,
		   const struct hf_carry *carry, struct hf_error *err);
int serve_keep_get(const char *keeper, const char *name,
		   struct hf_carry **carry, struct hf_error *err);
int serve_keep_drop(const char *keeper, const char *name, struct hf_error *err);
