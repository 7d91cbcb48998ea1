/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve_owner.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process_end.h"
#include "progress.h"
#include "serve_keep.h"
#include "serve_secure.h"

/* A successor that failed is waited for so long. */
#define FAILED_MS 10000

/* What is under way at the end is waited for so long. */
#define DRAIN_MS 60000

static void forget(struct serve_owner *owner, bool keep)
{
	serve_load_fini(&owner->load, keep);
	load_table_close(owner->load.table);
	owner->load.table = NULL;
	serve_shared_close(owner->shared);
	owner->shared = NULL;
	if (owner->table_fd >= 0) {
		close(owner->table_fd);
	}
	if (owner->shared_fd >= 0) {
		close(owner->shared_fd);
	}
	owner->table_fd = -1;
	owner->shared_fd = -1;
}

static void set_up_load(struct serve_owner *owner)
{
	owner->load.drv = owner->conn.drv;
	owner->load.ns = owner->conn.ns;
	owner->load.shared = owner->shared;
	owner->load.way = owner->way;
}

/* ----------------------------------------------------------------- opening */

static int plan_geometry(struct serve_owner *owner,
			 const struct serve_plan *plan,
			 struct load_geometry *geometry)
{
	const struct hf_namespace_info *info = &owner->conn.info;
	struct hf_driver_info driver;
	uint64_t blocks = info->blocks;

	hf_driver_get_info(owner->conn.drv, &driver);
	owner->shared->workers = driver.cpu_count;
	owner->shared->depth = (uint32_t)plan->depth;
	owner->shared->read_percent = (uint32_t)plan->read_percent;
	owner->shared->timeout_ms = (uint32_t)plan->timeout_ms;
	if (plan->io_bytes % info->block_bytes) {
		return cli_usage(owner->args,
				 "--bs %" PRIu64 " is no multiple of the block "
				 "size of %" PRIu32 " bytes",
				 plan->io_bytes, info->block_bytes);
	}
	if (plan->size_bytes / info->block_bytes < blocks) {
		blocks = plan->size_bytes / info->block_bytes;
	}
	*geometry = (struct load_geometry){
		.nsid = owner->conn.nsid,
		.block_bytes = info->block_bytes,
		.unit_blocks = (uint32_t)(plan->io_bytes / info->block_bytes),
		.slots = owner->shared->workers * owner->shared->depth,
	};
	geometry->units = blocks / geometry->unit_blocks;
	if (getrandom(&geometry->load, sizeof(geometry->load), 0) !=
		    (ssize_t)sizeof(geometry->load) ||
	    geometry->units < geometry->slots) {
		return cli_fail(owner->args,
				"the load needs %" PRIu32 " units of %" PRIu64
				" bytes at least, and has %" PRIu64,
				geometry->slots, plan->io_bytes,
				geometry->units);
	}
	return CLI_OK;
}

static int make_load(struct serve_owner *owner, const struct serve_plan *plan)
{
	struct load_geometry geometry;
	struct hf_error err = {.message = ""};
	int code = plan_geometry(owner, plan, &geometry);

	if (code != CLI_OK) {
		return code;
	}
	int result = load_table_create(&owner->load.table, &geometry,
				       &owner->table_fd);
	if (result) {
		owner->load.table = NULL;
		owner->table_fd = -1;
		return cli_fail(owner->args, "the load's table: %s",
				strerror(-result));
	}
	(void)!serve_shared_seal(owner->table_fd);
	set_up_load(owner);
	if (serve_load_prepare(&owner->load, &err) != 0 ||
	    serve_load_start(&owner->load, &err) != 0) {
		return cli_fail(owner->args, "%s", err.message);
	}
	return CLI_OK;
}

void serve_owner_prepare(struct serve_owner *owner)
{
	hf_driver_options_init(&owner->options);
	conn_set_log(owner->args, &owner->options.log);
	owner->options.device.log = owner->options.log;
}

int serve_owner_open(struct serve_owner *owner, const struct serve_plan *plan)
{
	const struct conn_wish wish = {.io_queues = (uint32_t)plan->queues};
	int code = conn_parse(&owner->conn, owner->args, plan->address);

	if (code == CLI_OK) {
		code = conn_open(&owner->conn, &wish);
	}
	if (code == CLI_OK) {
		code = conn_open_namespace(&owner->conn);
	}
	if (code != CLI_OK) {
		return conn_end(&owner->conn, code);
	}
	owner->way = SERVE_FRESH;
	int result = serve_shared_create(&owner->shared, &owner->shared_fd);
	if (result) {
		owner->shared_fd = -1;
		code = cli_fail(owner->args, "%s", strerror(-result));
		return conn_end(&owner->conn, code);
	}
	snprintf(owner->shared->address, sizeof(owner->shared->address), "%s",
		 plan->address);
	snprintf(owner->shared->keeper, sizeof(owner->shared->keeper), "%s",
		 plan->keeper ? plan->keeper : "");
	owner->shared->nsid = owner->conn.nsid;
	if (!plan->no_load) {
		code = make_load(owner, plan);
	}
	if (code != CLI_OK) {
		serve_load_stop(&owner->load);
		forget(owner, false);
		return conn_end(&owner->conn, code);
	}
	return CLI_OK;
}

/* ------------------------------------------------------------- taking over */

/* What was mapped ahead, all of it, or NULL. */
static void *take_memory(struct hf_carry *carry, const char *name)
{
	struct stat st;

	return fstat(hf_carry_find(carry, name), &st) == 0
		       ? hf_carry_take_memory(carry, name, (uint64_t)st.st_size)
		       : NULL;
}

static int adopt_tables(struct serve_owner *owner, struct hf_carry *carry)
{
	void *shared = take_memory(carry, SHARED_NAME);
	void *table = take_memory(carry, LOAD_NAME);

	owner->shared_fd = hf_carry_take(carry, SHARED_NAME);
	owner->table_fd = hf_carry_take(carry, LOAD_NAME);
	int result = owner->shared_fd < 0
			     ? -ENOENT
			     : serve_shared_attach(&owner->shared,
						   owner->shared_fd, shared);
	if (result) {
		owner->shared = NULL;
		return cli_fail(owner->args,
				"the last owner's notes cannot be used: %s",
				strerror(-result));
	}
	if (owner->shared->workers == 0) {
		return CLI_OK;
	}
	result = owner->table_fd < 0
			 ? -ENOENT
			 : load_table_attach_at(&owner->load.table,
						owner->table_fd, table);
	if (result) {
		owner->load.table = NULL;
		return cli_fail(owner->args,
				"the last owner's load cannot be used: %s",
				strerror(-result));
	}
	return CLI_OK;
}

static int restore_driver(struct serve_owner *owner, struct hf_carry *carry)
{
	struct hf_device *device;
	struct hf_error err = {.message = ""};
	uint8_t *bytes = NULL;
	size_t len = 0;

	int result =
		hf_device_adopt(&device, carry, &owner->options.device, &err);
	if (result == -EBUSY) {
		snprintf(owner->busy, sizeof(owner->busy), "%s", err.message);
		return CLI_USAGE;
	}
	if (result) {
		return cli_fail(owner->args, "%s", err.message);
	}
	/* After a crash there is none, and the ledger tells all. */
	result = hf_carry_state(carry, &bytes, &len, &err);
	if (result == 0 || result == -ENOENT) {
		result = hf_driver_restore(&owner->conn.drv, device, bytes, len,
					   &owner->options, &err);
	}
	free(bytes);
	if (result) {
		owner->conn.drv = NULL;
		return cli_fail(owner->args, "%s", err.message);
	}
	return CLI_OK;
}

static int go_on_with_load(struct serve_owner *owner)
{
	struct hf_error err = {.message = ""};

	set_up_load(owner);
	int result = serve_secure_begin(owner, &err);
	if (result == 0) {
		result = serve_load_inherit(&owner->load, &err);
	}
	serve_shared_note(owner->shared, "attach to what is under way");
	if (result == 0) {
		result = serve_load_start(&owner->load, &err);
	}
	return result ? cli_fail(owner->args, "%s", err.message) : CLI_OK;
}

int serve_owner_take_log(struct hf_carry *carry)
{
	return hf_carry_take(carry, SERVE_STDERR_NAME);
}

void serve_owner_log_there(int fd)
{
	if (fd >= 0) {
		dup2(fd, STDERR_FILENO);
		close(fd);
	}
}

int serve_owner_take(struct serve_owner *owner, struct hf_carry *carry)
{
	uint64_t began = progress_now_ns();

	owner->conn = (struct conn){.args = owner->args};
	int code = restore_driver(owner, carry);
	if (code == CLI_OK) {
		code = adopt_tables(owner, carry);
	}
	if (code != CLI_OK) {
		hf_carry_free(carry);
		return code;
	}
	owner->way = (enum serve_way)owner->shared->way;
	owner->shared->way = SERVE_KILLED;
	if (owner->way == SERVE_KILLED) {
		serve_shared_begin(owner->shared, "the last completion",
				   owner->shared->last_ns);
		if (owner->load.table) {
			load_free_orphans(owner->load.table);
		}
	}
	serve_shared_step(owner->shared, "have the set", began);
	serve_owner_note_steps(owner, HF_SERVICING_RESTORE);
	snprintf(owner->conn.address, sizeof(owner->conn.address), "%s",
		 owner->shared->address);
	owner->conn.nsid = owner->shared->nsid;
	serve_shared_note(owner->shared, "take over notes and tables");
	code = conn_open_namespace(&owner->conn);
	serve_shared_note(owner->shared, "open the namespace");
	if (code == CLI_OK && owner->load.table) {
		/* The keeper holds the same for us as for the last one. */
		serve_load_issue(&owner->load, owner->shared->kept);
		code = go_on_with_load(owner);
	}
	owner->shared->restore_ns = progress_now_ns() - began;
	if (atomic_load(&owner->load.first_ns) != 0) {
		serve_shared_step(owner->shared, "the first completion",
				  atomic_load(&owner->load.first_ns));
	}
	serve_shared_note(owner->shared, "go on with the load");
	hf_carry_free(carry);
	return code;
}

/* ----------------------------------------------------------------- leaving */

void serve_owner_depart(struct serve_owner *owner)
{
	serve_watch_end(&owner->watch);
	serve_load_stop(&owner->load);
	serve_owner_drop_offer(owner);
	hf_state_room_close(owner->room);
	owner->room = NULL;
	hf_driver_leave(owner->conn.drv);
	owner->conn.drv = NULL;
	owner->conn.ns = NULL;
	forget(owner, true);
}

int serve_owner_return(struct serve_owner *owner)
{
	struct hf_carry *copy = NULL;
	struct hf_error err = {.message = ""};

	/* The successor may have gone on for a while before it died: what it
	 * left is restored, whatever this process remembers. */
	int result = hf_carry_copy(&copy, owner->offered, &err);
	serve_owner_depart(owner);
	if (result) {
		return cli_fail(owner->args, "%s", err.message);
	}
	/* One that has just failed may not have ended yet. */
	(void)process_wait_for_end(hf_carry_owner(copy), FAILED_MS);
	int code = serve_owner_take(owner, copy);
	if (code == CLI_USAGE) {
		code = cli_fail(owner->args, "%s", owner->busy);
	}
	return code == CLI_OK ? serve_secure(owner) : code;
}

int serve_owner_end_load(struct serve_owner *owner)
{
	struct hf_error err = {.message = ""};

	if (!owner->load.table) {
		return CLI_OK;
	}
	if (!serve_load_drain(&owner->load, DRAIN_MS)) {
		serve_shared_fault(owner->shared,
				   "commands did not end within a minute");
		serve_load_stop(&owner->load);
		return CLI_FAILED;
	}
	serve_load_stop(&owner->load);
	if (serve_load_verify_all(&owner->load, &err) != 0) {
		serve_shared_fault(owner->shared, err.message);
		return CLI_FAILED;
	}
	return CLI_OK;
}

int serve_owner_close(struct serve_owner *owner)
{
	char keeper[sizeof(owner->shared->keeper)];

	snprintf(keeper, sizeof(keeper), "%s", owner->shared->keeper);
	serve_load_stop(&owner->load);
	/* What would be kept from here on is of no use to anybody. */
	(void)!hf_driver_keep_with(owner->conn.drv, NULL, NULL, NULL);
	serve_watch_end(&owner->watch);
	forget(owner, false);
	int code = conn_end(&owner->conn, CLI_OK);
	if (keeper[0] != '\0' &&
	    serve_keep_drop(keeper, owner->name, NULL) != 0) {
		cli_note(owner->args, "the keeper at %s was not reached",
			 keeper);
	}
	return code;
}

/* ------------------------------------------------------------------ status */

static void show_load(struct serve_owner *owner, struct json_object *tree)
{
	const struct serve_shared *shared = owner->shared;
	struct load_counters c;

	load_get_counters(owner->load.table, &c);
	out_number(tree, "issued", c.issued - c.not_begun);
	out_number(tree, "completed", c.completed);
	out_number(tree, "under_way",
		   c.issued - c.completed - c.failed - c.not_begun - c.unsure);
	out_number(tree, "failed", c.failed);
	out_number(tree, "lost", shared->lost);
	out_number(tree, "duplicated", c.duplicated + shared->unknown);
	out_number(tree, "told_again", shared->told_again);
	out_number(tree, "not_begun", c.not_begun);
	out_number(tree, "blocks_verified", c.verified_blocks);
	out_number(tree, "blocks_wrong", c.wrong_blocks);
	out_number(tree, "depth", shared->depth);
	out_number(tree, "workers", shared->workers);
}

struct json_object *serve_owner_status(struct serve_owner *owner)
{
	static const char *const ways[SERVE_WAYS] = {"opened", "upgraded",
						     "executed", "killed"};
	struct json_object *tree = out_object();

	out_text(tree, "name", owner->name);
	out_number(tree, "pid", (uint64_t)getpid());
	out_text(tree, "address", owner->shared->address);
	out_text(tree, "keeper", owner->shared->keeper);
	out_text(tree, "keeper_state",
		 owner->shared->keeper[0] == '\0'
			 ? "none"
			 : serve_watch_state(&owner->watch));
	out_text(tree, "came_by", ways[owner->way]);
	if (owner->load.table) {
		struct json_object *load = out_object();

		show_load(owner, load);
		out_add(tree, "load", load);
	}
	out_ns(tree, "save_ns", owner->shared->save_ns);
	out_ns(tree, "restore_ns", owner->shared->restore_ns);
	serve_shared_show_ends(owner->shared, tree);
	serve_shared_show_gaps(owner->shared, tree);
	serve_shared_show_steps(owner->shared, tree);
	out_text(tree, "fault", owner->shared->fault);
	return tree;
}
