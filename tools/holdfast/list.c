/* SPDX-License-Identifier: BSD-3-Clause */
/* The NVMe controllers of this machine, and what the given addresses hold. */
#include <holdfast/pci.h>
#include <stddef.h>
#include <stdio.h>

#include <nvme/types.h>

#include "conn.h"
#include "namespaces.h"
#include "output.h"
#include "verbs.h"

struct list_options {
	const char *root;
};

static const struct args_option list_options[] = {
	{.name = "root",
	 .kind = ARGS_TEXT,
	 .value = "DIR",
	 .help = "take the sys, proc, dev and run of this directory",
	 .offset = offsetof(struct list_options, root)},
	{0},
};

static int add_function(void *user, const struct hf_pci_function *function)
{
	struct json_object *row = out_object();
	char group[32] = "none";
	char node[32] = "none";

	if (function->iommu_group >= 0) {
		snprintf(group, sizeof(group), "%lld",
			 (long long)function->iommu_group);
	}
	if (function->numa_node >= 0) {
		snprintf(node, sizeof(node), "%d", function->numa_node);
	}
	out_text(row, "address", function->address);
	out_hex(row, "vendor", function->vendor_id);
	out_hex(row, "device", function->device_id);
	out_text(row, "driver",
		 function->driver[0] ? function->driver : "none");
	out_text(row, "iommu_group", group);
	out_text(row, "group_others", function->group_others);
	out_text(row, "numa_node", node);
	out_text(row, "disks", function->disks);
	out_text(row, "used_by", function->used_by);
	out_push(user, row);
	return 0;
}

static int list_address(struct args *args, struct json_object *array,
			const char *word)
{
	struct conn conn;
	int code = conn_begin(&conn, args, word, false);

	if (code != CLI_OK) {
		return code;
	}

	const struct nvme_id_ctrl *id = hf_driver_identify(conn.drv);
	struct json_object *entry = out_object();
	struct json_object *rows = out_array();

	out_text(entry, "address", word);
	out_chars(entry, "serial", id->sn, sizeof(id->sn));
	out_chars(entry, "model", id->mn, sizeof(id->mn));
	out_chars(entry, "firmware", id->fr, sizeof(id->fr));
	code = namespaces_list(&conn, rows);
	out_add(entry, "namespaces", rows);
	out_push(array, entry);
	return conn_end(&conn, code);
}

/* Every address that was given; the first failure is the verb's. */
static int list_addresses(struct args *args, struct json_object *tree)
{
	struct json_object *array = out_array();
	int code = CLI_OK;

	for (int i = 0; i < args->operand_count; i++) {
		int result = list_address(args, array, args->operands[i]);

		code = code == CLI_OK ? result : code;
	}
	out_add(tree, "controllers", array);
	return code;
}

static int list_run(struct args *args)
{
	struct list_options opt = {0};
	struct hf_pci_options options;
	struct hf_error err;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	struct json_object *tree = out_object();
	struct json_object *pci = out_array();

	hf_pci_options_init(&options);
	options.root = opt.root;
	int rc = hf_pci_list(&options, add_function, pci, &err);

	out_add(tree, "pci_functions", pci);
	/* A machine without PCI has an empty list, a wrong tree is a mistake.
	 */
	if (rc != 0 && args_given(args, "root")) {
		json_object_put(tree);
		return cli_fail(args, "%s", err.message);
	}

	int code = CLI_OK;
	if (args->operand_count > 0) {
		code = list_addresses(args, tree);
	}
	out_print(args, tree);
	return code;
}

const struct verb verb_list = {
	.name = "list",
	.summary = "show this machine's NVMe functions and the given addresses",
	.operands = "[ADDRESS...]",
	.shared = VERB_OUTPUT | VERB_DRIVER,
	.options = list_options,
	.description =
		"PCI functions are shown with their driver and IOMMU group and "
		"are not touched. Addresses that are given are opened, and "
		"shown with their namespaces.",
	.example = "holdfast list\n"
		   "holdfast list emulated:size=1G,namespaces=2 --output json",
	.run = list_run,
};
