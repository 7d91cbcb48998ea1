/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve_secure.h"

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
	const struct serve_owner *owner = user;
	int result = serve_secure_add(owner, carry, err);

	(void)drv;
	return result ? result
		      : serve_keep_put(owner->shared->keeper, owner->name,
				       carry, err);
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
	result = hf_driver_keep_now(owner->conn.drv, err);
	if (result) {
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
	if (result && !(owner->shared->kept && owner->watch.gone)) {
		return cli_fail(owner->args, "%s", err.message);
	}
	if (result) {
		cli_note(owner->args,
			 "%s; another keeper is looked for every second",
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

void serve_secure_keeper_again(struct serve_owner *owner)
{
	struct hf_error err;

	if (put_all(owner, &err) == 0) {
		cli_note(owner->args, "the keeper at %s has taken '%s'",
			 owner->shared->keeper, owner->name);
	}
}
