/* SPDX-License-Identifier: BSD-3-Clause */
/* What stands between this user and a controller, and what to do about it. */
#include <holdfast/pci.h>
#include <stddef.h>
#include <stdio.h>

#include "output.h"
#include "verbs.h"

struct doctor_options {
	const char *root;
};

static const struct args_option doctor_options[] = {
	{.name = "root",
	 .kind = ARGS_TEXT,
	 .value = "DIR",
	 .help = "take the sys, proc, dev and run of this directory",
	 .offset = offsetof(struct doctor_options, root)},
	{0},
};

static const char *verdict_name(enum hf_pci_verdict verdict)
{
	switch (verdict) {
	case HF_PCI_GOOD:
		return "good";
	case HF_PCI_NOTE:
		return "note";
	case HF_PCI_PROBLEM:
		return "problem";
	}
	return "?";
}

static void add_finding(void *user, const struct hf_pci_finding *finding)
{
	struct json_object *row = out_object();

	out_text(row, "verdict", verdict_name(finding->verdict));
	out_text(row, "topic", finding->topic);
	out_text(row, "about", finding->about);
	out_text(row, "text", finding->text);
	out_text(row, "remedy", finding->remedy);
	out_push(user, row);
}

/* Sentences do not fit a table's columns. */
static void print_finding(void *user, const struct hf_pci_finding *finding)
{
	(void)user;
	printf("%-8s %-12s %s%s%s\n", verdict_name(finding->verdict),
	       finding->topic, finding->about, finding->about[0] ? ": " : "",
	       finding->text);
	if (finding->remedy[0]) {
		printf("%-8s %-12s -> %s\n", "", "", finding->remedy);
	}
}

static int doctor_run(struct args *args)
{
	struct doctor_options opt = {0};
	struct hf_pci_options options;
	struct hf_error err;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	const char *address =
		args->operand_count > 0 ? args->operands[0] : NULL;
	bool json = args->shared.output == OUT_JSON;
	struct json_object *findings = out_array();

	hf_pci_options_init(&options);
	options.root = opt.root;
	int problems = hf_pci_diagnose(address, &options,
				       json ? add_finding : print_finding,
				       findings, &err);
	if (problems < 0) {
		json_object_put(findings);
		return cli_fail(args, "%s", err.message);
	}
	if (!json) {
		json_object_put(findings);
		return problems == 0 ? CLI_OK : CLI_FAILED;
	}

	struct json_object *tree = out_object();
	out_number(tree, "problems", (uint64_t)problems);
	out_add(tree, "findings", findings);
	out_print(args, tree);
	return problems == 0 ? CLI_OK : CLI_FAILED;
}

const struct verb verb_doctor = {
	.name = "doctor",
	.summary = "find what keeps controllers from being used",
	.operands = "[PCI-ADDRESS]",
	.shared = VERB_OUTPUT,
	.options = doctor_options,
	.description =
		"Looks at the IOMMU, the kernel's modules, the limit of locked "
		"memory, huge pages, and each NVMe function: its driver, its "
		"IOMMU group, the permissions of its files, who uses it. Each "
		"finding that is not good comes with its remedy. Ends with 1 "
		"when there is a problem.",
	.example = "holdfast doctor\n"
		   "holdfast doctor 0000:01:00.0 --output json",
	.run = doctor_run,
};
