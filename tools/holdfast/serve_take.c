/* SPDX-License-Identifier: BSD-3-Clause */
/* How a serving process comes to its device: from a live owner, a keeper, the
 * program before this one, or from nobody. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process_end.h"
#include "serve.h"
#include "serve_keep.h"
#include "serve_secure.h"
#include "serve_warm.h"
#include "turns.h"

/* A process that was killed is waited for so long. */
#define DYING_MS 2000

/* Owners that are replaced one after the other, each before it answers. */
#define OWNERS_MAX 8

/* Of the driver and of the load: as many stacks are made ready. */
#define LIKELY_THREADS 4

static int become_owner(struct serve *serve)
{
	serve->listener = control_listen(serve->args, serve->path, true);
	if (serve->listener < 0) {
		return CLI_FAILED;
	}
	int code = serve_secure(&serve->owner);
	if (code == CLI_OK) {
		printf("serving %s\n", serve->opt.name);
		fflush(stdout);
	}
	return code;
}

/* What it owns is mapped while it goes on; an owner of an older version shows
 * nothing. Return: the connection that it was shown over, or -1. */
static int look_ahead(struct serve *serve, struct hf_carry **early)
{
	int socket = hf_keeper_connect(serve->path, NULL);

	if (socket < 0) {
		return -1;
	}
	if (hf_keeper_preview_on(socket, serve->opt.name, early, NULL) != 0) {
		close(socket);
		return -1;
	}
	hf_carry_prepare(*early);
	return socket;
}

/* One that handed over, or died, before it answered has a successor: the name
 * is another's by now. */
static int ask_owner(struct serve *serve, int socket, struct hf_carry *early,
		     struct hf_carry **carry, struct hf_error *err)
{
	int result = -EPIPE;

	if (socket >= 0) {
		result = hf_keeper_get_rest_on(socket, serve->opt.name, early,
					       carry, err);
		if (result) {
			close(socket);
		}
	}
	for (uint32_t i = 0;
	     i < OWNERS_MAX && (result == -EPIPE || result == -ECONNRESET);
	     i++) {
		socket = hf_keeper_connect(serve->path, err);
		if (socket < 0) {
			return socket;
		}
		result = hf_keeper_get_on(socket, serve->opt.name, carry, err);
		if (result) {
			close(socket);
		}
	}
	return result ? result : socket;
}

static int take_from_owner(struct serve *serve)
{
	struct hf_error err = {.message = ""};
	struct hf_carry *early = NULL;
	struct hf_carry *carry;

	int socket = look_ahead(serve, &early);
	turns_hurry(true);
	socket = ask_owner(serve, socket, early, &carry, &err);
	if (socket < 0) {
		turns_hurry(false);
		return cli_fail(serve->args, "%s", err.message);
	}
	int log = serve_owner_take_log(carry);
	int code = serve_owner_take(&serve->owner, carry);
	turns_hurry(false);
	serve_owner_log_there(log);
	if (code == CLI_USAGE) {
		code = cli_fail(serve->args, "%s", serve->owner.busy);
	}
	if (code == CLI_OK) {
		serve->listener =
			control_listen(serve->args, serve->path, true);
		code = serve->listener < 0 ? CLI_FAILED : CLI_OK;
	}
	if (code == CLI_OK &&
	    send(socket, RESTORED, strlen(RESTORED), MSG_NOSIGNAL) < 0) {
		code = cli_fail(serve->args, "the last owner is gone: %s",
				strerror(errno));
	}
	close(socket);
	if (code == CLI_OK) {
		code = serve_secure(&serve->owner);
	}
	if (code == CLI_OK) {
		printf("serving %s\n", serve->opt.name);
		fflush(stdout);
	}
	return code;
}

/* What the keeper has, once the process that drives the device has ended.
 * @early: what it had before, mapped ahead, or NULL; @found: whether it had
 * something. */
static int take_from_keeper(struct serve *serve, int timeout_ms,
			    struct hf_carry *early, bool *found)
{
	struct hf_error err = {.message = ""};
	struct hf_carry *carry;

	for (;;) {
		int result = serve_keep_get(serve->opt.keeper, serve->opt.name,
					    &carry, &err);

		*found = result == 0;
		if (result) {
			hf_carry_free(early);
			return result == -ENOENT ? CLI_OK
						 : cli_fail(serve->args, "%s",
							    err.message);
		}
		int owner = hf_carry_owner(carry);
		if (owner == 0) {
			if (early) {
				hf_carry_use_prepared(carry, early);
				early = NULL;
			}
			int code = serve_owner_take(&serve->owner, carry);
			if (code != CLI_USAGE) {
				return code;
			}
			continue; /* another one was faster */
		}
		/* The owner may be given something else to keep meanwhile:
		 * then it is asked for again, and what is the same is used. */
		hf_carry_free(early);
		early = carry;
		hf_carry_prepare(early);
		if (!process_wait_for_end(owner, timeout_ms)) {
			hf_carry_free(early);
			return cli_fail(serve->args,
					"'%s' is driven by process %d, which "
					"does not end",
					serve->opt.name, owner);
		}
	}
}

static int take_from_exec(struct serve *serve, bool *found)
{
	struct hf_error err = {.message = ""};
	struct hf_carry *carry;
	int result = hf_carry_from_exec(&carry, &err);

	*found = result == 0;
	if (result == -ENOENT) {
		return CLI_OK;
	}
	if (result == 0) {
		result = serve_owner_take(&serve->owner, carry);
	} else {
		result = cli_fail(serve->args, "%s", err.message);
	}
	/* This process is the owner: nobody else can be alive. */
	return result == CLI_USAGE
		       ? cli_fail(serve->args, "%s", serve->owner.busy)
		       : result;
}

static int stand_by(struct serve *serve)
{
	struct hf_carry *early = NULL;
	bool found = false;

	if (serve_keep_get(serve->opt.keeper, serve->opt.name, &early, NULL) ==
	    0) {
		hf_carry_prepare(early);
	}
	printf("waiting for the end of %s\n", serve->opt.name);
	fflush(stdout);
	/* While somebody answers to the name, a device without an owner is one
	 * that is just being handed over. */
	int owner = control_owner(serve->path);
	while (owner > 0 && process_wait_for_end(owner, -1)) {
		owner = control_owner(serve->path);
	}
	turns_hurry(true);
	int code = take_from_keeper(serve, -1, early, &found);
	turns_hurry(false);
	if (code == CLI_OK && !found) {
		cli_note(serve->args, "'%s' ended in order", serve->opt.name);
		serve->done = true;
	}
	return code;
}

/* One that was killed takes a moment to be gone. */
static bool is_served(const struct serve *serve)
{
	int owner = control_owner(serve->path);

	return owner > 0 && !process_wait_for_end(owner, DYING_MS);
}

/* A controller that nobody drives: from the beginning, or from the keeper. */
static int begin_alone(struct serve *serve)
{
	const struct serve_options *opt = &serve->opt;
	const struct serve_plan plan = {
		.address = serve->args->operands[0],
		.keeper = opt->keeper,
		.depth = opt->depth,
		.io_bytes = opt->io_bytes,
		.size_bytes = opt->size_bytes,
		.queues = opt->queues,
		.read_percent = opt->read_percent,
		.timeout_ms = opt->timeout_ms,
		.no_load = opt->no_load,
	};
	bool found = false;
	int code = CLI_OK;

	if (is_served(serve)) {
		return cli_fail(serve->args,
				"a process serves '%s' already; 'holdfast "
				"upgrade %s' replaces it",
				opt->name, opt->name);
	}
	if (opt->keeper) {
		code = take_from_keeper(serve, DYING_MS, NULL, &found);
	}
	if (code != CLI_OK || found) {
		return code;
	}
	if (serve->args->operand_count == 0) {
		return cli_fail(serve->args,
				"no keeper holds '%s': name the controller's "
				"address for a fresh start",
				opt->name);
	}
	return serve_owner_open(&serve->owner, &plan);
}

int serve_begin(struct serve *serve)
{
	bool found = false;

	turns_short(false);
	int code = take_from_exec(serve, &found);
	turns_hurry(false);

	if (code == CLI_OK && !found) {
		serve_warm(LIKELY_THREADS);
		if (serve->opt.successor) {
			return take_from_owner(serve);
		}
		code = serve->opt.standby ? stand_by(serve)
					  : begin_alone(serve);
	}
	if (code != CLI_OK || serve->done) {
		return code;
	}
	return become_owner(serve);
}
