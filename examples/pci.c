/* SPDX-License-Identifier: BSD-3-Clause */
/* The machine's NVMe functions, and what it takes to use the first one. */
#include <stdio.h>

#include <holdfast/holdfast.h>

static int print_function(void *user, const struct hf_pci_function *function)
{
	int *count = user;

	printf("%s: driver %s, IOMMU group %lld%s%s\n", function->address,
	       function->driver[0] != '\0' ? function->driver : "none",
	       (long long)function->iommu_group,
	       function->used_by[0] != '\0' ? "; in use: " : "",
	       function->used_by);
	(*count)++;
	return 0;
}

static void print_finding(void *user, const struct hf_pci_finding *finding)
{
	(void)user;
	if (finding->verdict != HF_PCI_GOOD) {
		printf("%s%s%s\n  %s\n", finding->about,
		       finding->about[0] != '\0' ? ": " : "", finding->text,
		       finding->remedy);
	}
}

static void print_step(void *user, const char *command)
{
	(void)user;
	printf("would do: %s\n", command);
}

/* What giving a function to vfio-pci, or back, would do. */
static int plan(const char *address, bool back)
{
	struct hf_pci_options options;
	struct hf_error err;

	hf_pci_options_init(&options);
	options.dry_run = true;
	options.step = print_step;
	int rc = back ? hf_pci_unbind(address, &options, &err)
		      : hf_pci_bind(address, &options, &err);
	if (rc != 0) {
		fprintf(stderr, "%s\n", err.message);
	}
	return rc != 0;
}

int main(int argc, char **argv)
{
	struct hf_error err;
	int count = 0;

	if (argc > 1) {
		return plan(argv[1], argc > 2);
	}

	/* A machine without PCI is no mistake here. */
	if (hf_pci_list(NULL, print_function, &count, &err) < 0) {
		printf("no list: %s\n", err.message);
	}
	printf("%d NVMe functions\n", count);

	int problems = hf_pci_diagnose(NULL, NULL, print_finding, NULL, &err);
	if (problems < 0) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	printf("%d problems\n", problems);
	return 0;
}
