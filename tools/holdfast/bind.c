/* SPDX-License-Identifier: BSD-3-Clause */
/* Giving PCI functions to vfio-pci, and back. */
#include <holdfast/pci.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "output.h"
#include "verbs.h"

struct bind_options {
	const char *root;
	bool dry_run;
};

static const struct args_option bind_options[] = {
	{.name = "dry-run",
	 .letter = 'n',
	 .kind = ARGS_SWITCH,
	 .help = "check, and print each step, but change nothing",
	 .offset = offsetof(struct bind_options, dry_run)},
	{.name = "root",
	 .kind = ARGS_TEXT,
	 .value = "DIR",
	 .help = "take the sys, proc, dev and run of this directory",
	 .offset = offsetof(struct bind_options, root)},
	{0},
};

static void add_step(void *user, const char *command)
{
	out_push(user, json_object_new_string(command));
}

struct wanted {
	const char *address;
	struct json_object *into;
};

/* How the function is afterwards. */
static int add_state(void *user, const struct hf_pci_function *function)
{
	struct wanted *wanted = user;
	size_t skip = strlen(function->address);
	size_t len = strlen(wanted->address);

	/* The domain may have been left out. */
	if (len > skip ||
	    strcasecmp(function->address + skip - len, wanted->address) != 0) {
		return 0;
	}
	out_text(wanted->into, "address", function->address);
	out_text(wanted->into, "driver",
		 function->driver[0] ? function->driver : "none");
	out_text(wanted->into, "group_file", function->group_file);
	out_text(wanted->into, "device_file", function->device_file);
	return 1;
}

static int change_run(struct args *args,
		      int (*change)(const char *address,
				    const struct hf_pci_options *options,
				    struct hf_error *err))
{
	struct bind_options opt = {0};
	struct hf_pci_options options;
	struct hf_error err;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	struct json_object *tree = out_object();
	struct json_object *steps = out_array();
	struct wanted wanted = {.address = args->operands[0], .into = tree};

	hf_pci_options_init(&options);
	options.root = opt.root;
	options.dry_run = opt.dry_run;
	options.step = add_step;
	options.user = steps;
	int rc = change(args->operands[0], &options, &err);
	if (rc != 0) {
		json_object_put(tree);
		json_object_put(steps);
		return cli_fail(args, "%s", err.message);
	}
	rc = hf_pci_list(&options, add_state, &wanted, &err);
	if (rc < 0) {
		json_object_put(tree);
		json_object_put(steps);
		return cli_fail(args, "%s", err.message);
	}
	out_bool(tree, "dry_run", opt.dry_run);
	out_bool(tree, "changed",
		 !opt.dry_run && json_object_array_length(steps) > 0);
	out_add(tree, "steps", steps);
	return out_print(args, tree);
}

static int bind_run(struct args *args)
{
	return change_run(args, hf_pci_bind);
}

static int unbind_run(struct args *args)
{
	return change_run(args, hf_pci_unbind);
}

const struct verb verb_bind = {
	.name = "bind",
	.summary = "take a controller from its driver, for vfio-pci",
	.operands = "PCI-ADDRESS",
	.shared = VERB_OUTPUT,
	.options = bind_options,
	.description =
		"Loads vfio-pci, remembers the driver that has the function "
		"and gives the function to vfio-pci. A function whose disks "
		"are mounted, swapped to, part of LVM, MD or device-mapper, "
		"or open, is refused, and what uses it is named. Needs root.",
	.example = "holdfast bind 0000:01:00.0 --dry-run\n"
		   "holdfast bind 0000:01:00.0",
	.run = bind_run,
};

const struct verb verb_unbind = {
	.name = "unbind",
	.summary = "give a controller back to the driver it was taken from",
	.operands = "PCI-ADDRESS",
	.shared = VERB_OUTPUT,
	.options = bind_options,
	.description =
		"The opposite of bind. A function that a process has open is "
		"refused, and the process is named. Needs root.",
	.example = "holdfast unbind 0000:01:00.0",
	.run = unbind_run,
};
