/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve_secure.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include "progress.h"
#include "serve_keep.h"

int serve_secure_add(const struct serve_owner *owner, struct hf_carry *carry,
		     struct hf_error *err)
{
	int result = hf_carry_add(carry, SHARED_NAME, owner->shared_fd, err);

	if (result == 0 && owner->table_fd >= 0) {
		result = hf_carry_add(carry, LOAD_NAME, owner->table_fd, err);
	}
	return result;
}

/* The driver's: it has new memory, which is to be kept before it is used. */
static int keep_set(struct hf_driver *drv, struct hf_carry *carry, void *user,
		    struct hf_error *err)
{
	struct serve_owner *owner = user;
	const char *keeper = owner->shared->keeper;

	(void)drv;
	if (atomic_load(&owner->watch.silent)) {
		/* Whoever asks for memory has others waiting. */
		snprintf(err->message, sizeof(err->message),
			 "the keeper at %s does not answer", keeper);
		return -ETIMEDOUT;
	}
	int result = serve_secure_add(owner, carry, err);
	if (result == 0) {
		result = serve_keep_put(keeper, owner->name, carry, err);
	}
	if (result == -ETIMEDOUT) {
		serve_watch_set_silent(&owner->watch);
	}
	return result;
}

int serve_secure_begin(struct serve_owner *owner, struct hf_error *err)
{
	if (owner->shared->keeper[0] == '\0') {
		return 0;
	}
	return hf_driver_keep_with(owner->conn.drv, keep_set, owner, err);
}

static int put_all(struct serve_owner *owner, struct hf_error *err)
{
	int result = serve_secure_begin(owner, err);

	if (result || owner->shared->keeper[0] == '\0') {
		return result;
	}
	/* First: one that ends after it took the set is noticed. */
	serve_watch_begin(&owner->watch, owner->shared->keeper);
	serve_watch_clear_silent(&owner->watch);
	result = hf_driver_keep_now(owner->conn.drv, err);
	/* The caller tells. */
	(void)serve_watch_take_alarm(&owner->watch);
	if (result && result != -ETIMEDOUT) {
		serve_watch_lost(&owner->watch);
	}
	return result;
}

int serve_secure(struct serve_owner *owner)
{
	struct hf_error err = {.message = ""};
	int result = put_all(owner, &err);

	/* Commands are under way that the last owner's keeper knew of: better
	 * go on, and wait for another one. */
	bool goes_on = owner->shared->kept &&
		       (owner->watch.gone || atomic_load(&owner->watch.silent));
	if (result && !goes_on) {
		return cli_fail(owner->args, "%s", err.message);
	}
	if (result) {
		cli_note(owner->args,
			 owner->watch.gone
				 ? "%s; another keeper is looked for every "
				   "second"
				 : "%s; it is asked again every second",
			 err.message);
	}
	owner->shared->kept = true;
	serve_load_issue(&owner->load, true);
	serve_shared_step(owner->shared, "have the keeper hold it",
			  progress_now_ns());
	return CLI_OK;
}

void serve_secure_keeper_ended(struct serve_owner *owner)
{
	serve_watch_lost(&owner->watch);
	cli_note(owner->args,
		 "the keeper at %s has ended: until another one has taken "
		 "'%s', the controller does not outlive this process; it is "
		 "looked for every second",
		 owner->shared->keeper, owner->name);
}

static void tell_silence(const struct serve_owner *owner)
{
	cli_note(owner->args,
		 "the keeper at %s does not answer: it goes on holding what it "
		 "has of '%s', and takes no more; what needs new memory fails "
		 "meanwhile; it is asked every second, is its process stopped?",
		 owner->shared->keeper, owner->name);
}

void serve_secure_keeper_is_silent(struct serve_owner *owner)
{
	if (serve_watch_take_alarm(&owner->watch)) {
		tell_silence(owner);
	}
}

static void put_again(struct serve_owner *owner)
{
	struct hf_error err;

	if (put_all(owner, &err) == 0) {
		cli_note(owner->args, "the keeper at %s has taken '%s'",
			 owner->shared->keeper, owner->name);
	}
}

void serve_secure_keeper_again(struct serve_owner *owner)
{
	/* Whether there is one that answers is waited for elsewhere. */
	if (serve_keep_is_store(owner->shared->keeper)) {
		put_again(owner);
	} else {
		serve_watch_ask(&owner->watch, owner->shared->keeper);
	}
}

void serve_secure_keeper_answered(struct serve_owner *owner)
{
	struct serve_watch *watch = &owner->watch;
	bool was_silent = atomic_load(&watch->silent);
	int result = serve_watch_take_answer(watch);

	if (result == 0 && (watch->gone || was_silent)) {
		put_again(owner);
	} else if (result == -ETIMEDOUT && !watch->gone && !was_silent) {
		serve_watch_set_silent(watch);
	}
}

void serve_secure_look(struct serve_owner *owner)
{
	const char *keeper = owner->shared->keeper;

	if (keeper[0] != '\0' && !serve_keep_is_store(keeper) &&
	    serve_watch_may_ask(&owner->watch)) {
		serve_watch_ask(&owner->watch, keeper);
	}
}
