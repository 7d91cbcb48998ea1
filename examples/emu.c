/* SPDX-License-Identifier: BSD-3-Clause */
/* An emulated controller with a hand on it: faults, changes, a power cut. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <holdfast/holdfast.h>

#include "example.h"

static unsigned char block[4096];

static struct hf_emu *make_controller(void)
{
	struct hf_emu_namespace_options namespace_options;
	struct hf_emu_options options;
	struct hf_error err;
	struct hf_emu *emu;
	uint32_t nsid;

	hf_emu_options_init(&options);
	options.serial = "EXAMPLE";
	options.max_sqs = 4;
	options.max_cqs = 4;
	check(hf_emu_create(&emu, &options, &err), "hf_emu_create", &err);

	hf_emu_namespace_options_init(&namespace_options);
	namespace_options.lba_bytes = 4096;
	check(hf_emu_namespace_add(emu, &namespace_options, &nsid, &err),
	      "hf_emu_namespace_add", &err);
	return emu;
}

/* The third read ends with an unrecovered read error. */
static void inject(struct hf_emu *emu, struct hf_namespace *ns)
{
	struct hf_error err;
	char text[160];
	uint32_t id;

	check(hf_emu_fault_add(emu, "io-read,nth=3:status=media/281h", &id,
			       &err),
	      "hf_emu_fault_add", &err);
	for (int i = 1; i <= 3; i++) {
		printf("read %d: %s\n", i,
		       hf_result_text(hf_read(ns, 0, 1, block), text,
				      sizeof(text)));
	}
	printf("the rule acted %" PRIu64 " times\n",
	       hf_emu_fault_hits(emu, id));

	char *rules = hf_emu_fault_list(emu);

	printf("%s\n", rules != NULL ? rules : "out of memory");
	free(rules);
	/* Nothing is held by a rule here. */
	hf_emu_fault_release(emu, 0);
	hf_emu_fault_remove(emu, id);
	hf_emu_fault_clear(emu);
}

static void change(struct hf_emu *emu)
{
	struct hf_emu_namespace_options options;
	struct hf_emu_namespace_info infos[4];
	struct hf_error err;
	uint32_t nsid;

	check(hf_emu_namespace_resize(emu, 1, 32 << 20, &err),
	      "hf_emu_namespace_resize", &err);
	hf_emu_namespace_options_init(&options);
	check(hf_emu_namespace_add(emu, &options, &nsid, &err),
	      "hf_emu_namespace_add", &err);
	check(hf_emu_namespace_swap(emu, nsid, &options, &err),
	      "hf_emu_namespace_swap", &err);
	check(hf_emu_namespace_remove(emu, nsid, &err),
	      "hf_emu_namespace_remove", &err);
	printf("%u namespace left\n", hf_emu_namespace_list(emu, infos, 4));

	/* A warm day, and an event of no particular meaning. */
	hf_emu_temperature_set(emu, 330);
	hf_emu_event(emu, 1, 1, 2);
}

static void look(struct hf_emu *emu)
{
	struct hf_emu_queue_info queue = {.size = sizeof(queue)};
	struct hf_emu_stats stats = {.size = sizeof(stats)};

	hf_emu_stats(emu, &stats);
	hf_emu_sq_info(emu, 1, &queue);
	printf("%" PRIu64 " completions, %" PRIu64 " commands on queue 1\n",
	       stats.completions, queue.commands);
	hf_emu_cq_info(emu, 1, &queue);

	char *tree = hf_emu_inspect(emu);

	printf("%s\n", tree != NULL ? tree : "out of memory");
	free(tree);
}

int main(void)
{
	struct hf_emu *emu = make_controller();
	struct hf_device *device;
	struct hf_namespace *ns;
	struct hf_driver *drv;
	struct hf_error err;

	check(hf_device_open_emulated(&device, emu, NULL, &err),
	      "hf_device_open_emulated", &err);
	check(hf_driver_start(&drv, device, NULL, &err), "hf_driver_start",
	      &err);
	check(hf_driver_ready_wait(drv, &err), "hf_driver_ready_wait", &err);
	check(hf_namespace_open(&ns, drv, 1, &err), "hf_namespace_open", &err);

	inject(emu, ns);
	change(emu);
	look(emu);

	hf_namespace_close(ns);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
	check(hf_emu_flush(emu), "hf_emu_flush", NULL);
	hf_emu_power_fail(emu);
	hf_emu_destroy(emu);
	return 0;
}
