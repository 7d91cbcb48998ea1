/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's live state as a tree. */
#include <stdio.h>
#include <stdlib.h>

#include <holdfast/io.h>

#include "conn.h"
#include "output.h"
#include "verbs.h"

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

static int inspect_run(struct args *args)
{
	struct conn conn;

	if (!args_parse(args, NULL)) {
		return args->exit_code;
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
	.description = "Brings the controller up, reads one block, and shows "
		       "what the driver then holds: registers, queues and the "
		       "CPUs they serve, namespaces, memory.",
	.example = "holdfast inspect emulated:size=1G --output json",
	.run = inspect_run,
};
