/* SPDX-License-Identifier: BSD-3-Clause */
/* A device in this process's hands: how it comes, and how it goes. Knows no
 * signals and no control socket. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/keeper.h>

#include "conn.h"
#include "serve_load.h"

/**
 * struct serve_owner - what is served
 * @conn: driver and namespace
 * @name: of the set that a keeper holds
 * @way: how this process came to it
 * @shared: what travels
 * @shared_fd: its memfd
 * @table_fd: of the load's table, -1 without a load
 * @load: the load, if there is one
 * @busy: who drives the device still
 */
struct serve_owner {
	struct conn conn;
	const struct args *args;
	const char *name;
	enum serve_way way;
	struct serve_shared *shared;
	int shared_fd;
	int table_fd;
	struct serve_load load;
	char busy[sizeof(((struct hf_error *)0)->message)];
};

struct serve_plan {
	const char *address;
	const char *keeper;
	uint64_t depth;
	uint64_t io_bytes;
	uint64_t size_bytes;
	uint64_t queues;
	uint64_t read_percent;
	bool no_load;
};

/* Opens the controller anew. An exit code; a failure has been explained. */
int serve_owner_open(struct serve_owner *owner, const struct serve_plan *plan);

/**
 * serve_owner_take() - go on with what a predecessor left
 * @owner: filled
 * @carry: gone afterwards
 *
 * Return: an exit code; a failure has been explained, and the controller is as
 * it was. CLI_USAGE when the owner is alive after all: said in @busy alone.
 */
int serve_owner_take(struct serve_owner *owner, struct hf_carry *carry);

/* Messages of a successor go where the last owner's went: whoever started the
 * successor may wait for the end of its own output. Or not: the set forgets
 * where that was. */
void serve_owner_log_there(const struct hf_carry *carry);
void serve_owner_log_here(struct hf_carry *carry);

/* To the keeper, if there is one; then the load may issue. */
int serve_owner_secure(struct serve_owner *owner);

/**
 * serve_owner_leave() - save, and let go
 * @owner: empty afterwards, unless it failed: then it runs on
 * @way: how the successor is to count it
 * @carry: receives what a successor needs, with descriptors of its own
 */
int serve_owner_leave(struct serve_owner *owner, enum serve_way way,
		      struct hf_carry **carry);

/* Ends the load: drained, and everything read once more. */
int serve_owner_end_load(struct serve_owner *owner);

/* Shuts the controller down, and has the keeper let go. */
int serve_owner_close(struct serve_owner *owner);

/* Counters, gaps, faults. */
struct json_object *serve_owner_status(struct serve_owner *owner);
