/* SPDX-License-Identifier: BSD-3-Clause */
/* A device in this process's hands: how it comes, and how it goes. Knows no
 * signals and no control socket. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/keeper.h>

#include "conn.h"
#include "serve_keep.h"
#include "serve_load.h"

/**
 * struct serve_owner - what is served
 * @conn: driver and namespace
 * @options: of a restore
 * @name: of the set that a keeper holds
 * @way: how this process came to it
 * @shared: what travels
 * @shared_fd: its memfd
 * @table_fd: of the load's table, -1 without a load
 * @load: the load, if there is one
 * @watch: the keeper, if there is one
 * @busy: who drives the device still
 * @offered: what a successor is being offered, NULL else
 * @state_fd: the saved state in it, where that has a file of its own
 * @room: for the saved state of a hand-over
 */
struct serve_owner {
	struct conn conn;
	const struct args *args;
	struct hf_driver_options options;
	const char *name;
	enum serve_way way;
	struct serve_shared *shared;
	int shared_fd;
	int table_fd;
	struct serve_load load;
	struct serve_watch watch;
	char busy[sizeof(((struct hf_error *)0)->message)];
	struct hf_carry *offered;
	int state_fd;
	int shown_to; /* who asked and was shown what there is; or -1 */
	struct hf_state_room *room;
};

struct serve_plan {
	const char *address;
	const char *keeper;
	uint64_t depth;
	uint64_t io_bytes;
	uint64_t size_bytes;
	uint64_t queues;
	uint64_t read_percent;
	uint64_t timeout_ms;
	bool no_load;
};

/* What a restore will need, ahead of it: looking at the machine takes time. */
void serve_owner_prepare(struct serve_owner *owner);

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

/* Messages of a successor that has the device go where the last owner's went:
 * whoever started it may wait for the end of its own output. Before that, they
 * are for whoever started it. The first takes the descriptor out of the set,
 * which forgets it: -1, or for close() or the second. */
int serve_owner_take_log(struct hf_carry *carry);
void serve_owner_log_there(int fd);

/* The name in the set of where messages go. */
#define SERVE_STDERR_NAME "serve-stderr"

/* The driver's own stamps, among those of a hand-over. */
void serve_owner_note_steps(struct serve_owner *owner, enum hf_servicing what);

/* What a successor will be offered, for it to make ready; the owner goes on.
 * For hf_carry_free(); the descriptors stay the owner's. */
int serve_owner_show(struct serve_owner *owner, struct hf_carry **carry);

/* Makes all of an offer that can be made while the load still goes on.
 * @shown_to was shown what there is, and is told when it is about to have it;
 * or -1. */
int serve_owner_prepare_offer(struct serve_owner *owner, int shown_to);

/**
 * serve_owner_offer() - save, and let a successor have the device
 * @owner: runs on, if that failed; serve_owner_prepare_offer() was successful
 * @way: how the successor is to count it
 * @carry: receives what a successor needs; the descriptors stay the owner's
 *
 * The device is not touched afterwards. What this process has to put away, and
 * that takes time, waits for serve_owner_depart().
 */
int serve_owner_offer(struct serve_owner *owner, enum serve_way way,
		      const struct hf_carry **carry);

/* What was made for one that does not get it. */
void serve_owner_drop_offer(struct serve_owner *owner);

/* The successor has it: everything of the device's is put away. */
void serve_owner_depart(struct serve_owner *owner);

/* The successor does not come: goes on, as one of its own. */
int serve_owner_return(struct serve_owner *owner);

/* Ends the load: drained, and everything read once more. */
int serve_owner_end_load(struct serve_owner *owner);

/* Shuts the controller down, and has the keeper let go. */
int serve_owner_close(struct serve_owner *owner);

/* Counters, gaps, faults. */
struct json_object *serve_owner_status(struct serve_owner *owner);
