/* SPDX-License-Identifier: BSD-3-Clause */
/* The NVMe controllers of this machine, and what the given addresses hold. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nvme/types.h>

#include "conn.h"
#include "namespaces.h"
#include "output.h"
#include "verbs.h"

struct list_options {
	const char *sysfs;
};

static const struct args_option list_options[] = {
	{.name = "sysfs",
	 .kind = ARGS_TEXT,
	 .value = "DIR",
	 .help = "look for PCI functions in this tree instead of /sys",
	 .offset = offsetof(struct list_options, sysfs)},
	{0},
};

/* The first line of a file in a PCI function's directory; "" without one. */
static void read_line(const char *devices, const char *bdf, const char *name,
		      char *buf, size_t len_bytes)
{
	char path[PATH_MAX];

	buf[0] = '\0';
	snprintf(path, sizeof(path), "%s/%s/%s", devices, bdf, name);
	FILE *file = fopen(path, "re");
	if (!file) {
		return;
	}
	if (fgets(buf, (int)len_bytes, file)) {
		buf[strcspn(buf, "\n")] = '\0';
	}
	fclose(file);
}

/* The last part of what a link in that directory points at. */
static void read_link(const char *devices, const char *bdf, const char *name,
		      char *buf, size_t len_bytes)
{
	char path[PATH_MAX];
	char target[PATH_MAX];

	buf[0] = '\0';
	snprintf(path, sizeof(path), "%s/%s/%s", devices, bdf, name);
	ssize_t len = readlink(path, target, sizeof(target) - 1);
	if (len < 0) {
		return;
	}
	target[len] = '\0';

	const char *last = strrchr(target, '/');
	snprintf(buf, len_bytes, "%s", last ? last + 1 : target);
}

static void add_function(struct json_object *array, const char *devices,
			 const char *bdf)
{
	char class[32];
	char buf[256];

	/* 01h mass storage, 08h non-volatile memory, 02h NVM Express. */
	read_line(devices, bdf, "class", class, sizeof(class));
	if (strcmp(class, "0x010802") != 0) {
		return;
	}

	struct json_object *row = out_object();
	out_text(row, "address", bdf);
	read_line(devices, bdf, "vendor", buf, sizeof(buf));
	out_hex(row, "vendor", strtoul(buf, NULL, 16));
	read_line(devices, bdf, "device", buf, sizeof(buf));
	out_hex(row, "device", strtoul(buf, NULL, 16));
	read_link(devices, bdf, "driver", buf, sizeof(buf));
	out_text(row, "driver", buf[0] ? buf : "none");
	read_link(devices, bdf, "iommu_group", buf, sizeof(buf));
	out_text(row, "iommu_group", buf[0] ? buf : "none");
	read_line(devices, bdf, "numa_node", buf, sizeof(buf));
	out_text(row, "numa_node", buf[0] && buf[0] != '-' ? buf : "none");
	out_push(array, row);
}

static int list_pci(struct json_object *array, const char *sysfs)
{
	char devices[PATH_MAX];
	struct dirent **entries;

	snprintf(devices, sizeof(devices), "%s/bus/pci/devices", sysfs);
	int count = scandir(devices, &entries, NULL, alphasort);
	if (count < 0) {
		return errno;
	}
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.') {
			add_function(array, devices, entries[i]->d_name);
		}
		free(entries[i]);
	}
	free(entries);
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
	struct list_options opt = {.sysfs = "/sys"};

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	struct json_object *tree = out_object();
	struct json_object *pci = out_array();
	int error = list_pci(pci, opt.sysfs);

	out_add(tree, "pci_functions", pci);
	/* A machine without PCI has an empty list, a wrong tree is a mistake.
	 */
	if (error && args_given(args, "sysfs")) {
		json_object_put(tree);
		return cli_fail(args, "cannot list %s/bus/pci/devices: %s",
				opt.sysfs, strerror(error));
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
