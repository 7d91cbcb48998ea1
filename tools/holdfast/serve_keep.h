/* SPDX-License-Identifier: BSD-3-Clause */
/* Who holds the descriptors of a serving process: a keeper at a socket, or, by
 * the word "systemd:", the store of the service manager that started it. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <holdfast/keeper.h>

/* Only the processes of the service reach its store. */
bool serve_keep_is_store(const char *keeper);

/*
 * Whether the keeper's process lives, and answers. The service manager outlives
 * us. One that is stopped goes on holding what it holds, and takes no more: who
 * finds that out by waiting is the last to wait, until it has been heard again.
 */
struct serve_watch {
	int fd;             /* readable once it has ended; -1: nothing to see */
	bool gone;          /* and no other one has the set yet */
	uint64_t next_ns;   /* when it, or the next one, is asked again */
	atomic_bool silent; /* a set was not taken in time; by any thread */
	int alarm;          /* readable when that has become so */
	int asked;          /* readable once a question has come to an end;
			     * -1: none is under way */
	uint64_t asked_ns;  /* when it was asked last */
};

/* Once. */
void serve_watch_init(struct serve_watch *watch);
/* Of whoever is the keeper now; best effort. */
void serve_watch_begin(struct serve_watch *watch, const char *keeper);
void serve_watch_end(struct serve_watch *watch);
/* No set is kept: another keeper is looked for in a second. */
void serve_watch_lost(struct serve_watch *watch);
/* It did not answer. Any thread. */
void serve_watch_set_silent(struct serve_watch *watch);
/* Has that been told since the last time? */
bool serve_watch_take_alarm(struct serve_watch *watch);
/* It is given another chance. */
void serve_watch_clear_silent(struct serve_watch *watch);
/* "holding", "gone" or "silent". */
const char *serve_watch_state(const struct serve_watch *watch);
/* For poll(). */
int serve_watch_timeout_ms(const struct serve_watch *watch);
/* Is it time to look for one, or to ask it again? */
bool serve_watch_is_due(const struct serve_watch *watch);

/* Was it not asked within the last second? */
bool serve_watch_may_ask(const struct serve_watch *watch);
/* Asks whether it answers, on a thread that does the waiting. */
void serve_watch_ask(struct serve_watch *watch, const char *keeper);
/* What came of it: 0, -ETIMEDOUT, another negative errno. */
int serve_watch_take_answer(struct serve_watch *watch);

/* As hf_keeper_put(), hf_keeper_get() and hf_keeper_drop(). */
int serve_keep_put(const char *keeper, const char *name,
		   const struct hf_carry *carry, struct hf_error *err);
int serve_keep_get(const char *keeper, const char *name,
		   struct hf_carry **carry, struct hf_error *err);
int serve_keep_drop(const char *keeper, const char *name, struct hf_error *err);
