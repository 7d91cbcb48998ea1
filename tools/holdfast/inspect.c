/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's live state as a tree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <holdfast/io.h>

#include "conn.h"
#include "control.h"
#include "output.h"
#include "verbs.h"

struct inspect_options {
	const char *runtime_dir;
};

static const struct args_option inspect_options[] = {
	{.name = "runtime-dir",
	 .kind = ARGS_TEXT,
	 .value = "DIRECTORY",
	 .help = "with a name: where its socket is; /run/holdfast, or "
		 "holdfast under $XDG_RUNTIME_DIR",
	 .offset = offsetof(struct inspect_options, runtime_dir)},
	{0},
};

/* One read makes the queue of this CPU, so that the tree shows one. */
static void touch(struct conn *conn)
{
	uint32_t count = 0;
	uint32_t nsid;

	if (hf_namespace_list(conn->drv, &nsid, 1, &count, NULL) != 0 ||
	    count == 0) {
		return;
	}
	if (hf_namespace_open(&conn->ns, conn->drv, nsid, NULL) != 0) {
		conn->ns = NULL;
		return;
	}
	hf_namespace_get_info(conn->ns, &conn->info);

	void *block = malloc(conn->info.block_bytes);
	if (block && conn->info.blocks > 0) {
		/* A medium error is no reason not to show the state. */
		int result = hf_read(conn->ns, 0, 1, block);

		if (result) {
			conn_fail(conn, "reading LBA 0", result);
		}
	}
	free(block);
}

/* A word that is no address names a process that serves. */
static int inspect_process(struct args *args, const struct inspect_options *opt)
{
	char path[CONTROL_PATH_BYTES];
	char *answer = NULL;
	int code =
		control_path(args, opt->runtime_dir, args->operands[0], path);

	if (code == CLI_OK) {
		code = control_ask(args, path, "inspect", &answer);
	}
	if (code != CLI_OK) {
		return code;
	}
	struct json_object *tree = json_tokener_parse(answer);
	free(answer);
	return tree ? out_print(args, tree)
		    : cli_fail(args, "the tree is not JSON");
}

static int inspect_run(struct args *args)
{
	struct inspect_options opt = {0};
	struct conn conn;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}
	if (!conn_is_address(args->operands[0]) &&
	    !strpbrk(args->operands[0], ":/")) {
		return inspect_process(args, &opt);
	}

	int code = conn_begin(&conn, args, args->operands[0], false);
	if (code != CLI_OK) {
		return code;
	}
	touch(&conn);

	char *text = hf_driver_inspect(conn.drv);
	if (!text) {
		return conn_end(&conn, cli_fail(args, "out of memory"));
	}

	struct json_object *tree = json_tokener_parse(text);
	free(text);
	if (!tree) {
		return conn_end(&conn, cli_fail(args, "the tree is not JSON"));
	}
	out_print(args, tree);
	return conn_end(&conn, CLI_OK);
}

const struct verb verb_inspect = {
	.name = "inspect",
	.summary = "show the driver's live state",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER,
	.options = inspect_options,
	.description =
		"Brings the controller up, reads one block, and shows "
		"what the driver then holds: registers, queues and the "
		"CPUs they serve, namespaces, memory. The name of a process "
		"that serves, in place of an address, shows what that "
		"one holds, and disturbs nothing.",
	.example = "holdfast inspect emulated:size=1G --output json",
	.run = inspect_run,
};
