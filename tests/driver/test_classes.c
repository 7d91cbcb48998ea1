/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: controllers differ in what they take while drivers follow one another.
 *       One that takes no admin command once it is up gets none, whatever
 *       happens; one of which nothing is known, or that is known not to outlive
 *       its driver, is not left enabled; and the user has the last word.
 * Method: an emulated controller under the PCI identifiers of another, whose
 *         admin commands are counted.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "driver/bring_up.h"
#include "heir_load.h"
#include "keepalive.h"

#define CPUS 4u

/* Up, under other identifiers. */
static void open_as(struct rig *rig, uint16_t vendor, uint16_t device)
{
	rig->options.cpu_count = CPUS;
	rig->options.io_queues = CPUS;
	rig_make(rig);
	rig->dev->pci_vendor = vendor;
	rig->dev->pci_device = device;
	heirs_open(rig);
}

static void read_on_each_cpu(struct rig *rig)
{
	uint8_t block[512];

	for (uint32_t cpu = 0; cpu < CPUS; cpu++) {
		struct load *load = load_of(rig, cpu);

		load_put(rig, load, 0, HF_OP_READ, 0, 1, block);
		assert_int_equal(rig_finish(rig, load->queue, &load->work[0]),
				 0);
		load_drop(load);
	}
}

static void assert_refused(struct rig *rig, int rc)
{
	assert_int_equal(rc, -EPERM);
	assert_non_null(strstr(rig->err.message, "takes none once it is up"));
}

static void ask_for_what_takes_an_admin_command(struct rig *rig)
{
	uint8_t page[4096];
	struct hf_command identify = {
		.opcode = nvme_admin_identify,
		.cdw10 = NVME_IDENTIFY_CNS_CTRL,
		.data = page,
		.data_len_bytes = sizeof(page),
	};
	uint32_t nsid = 0;
	uint32_t count = 0;
	struct hf_namespace *none;

	assert_refused(rig, hf_admin_command(rig->drv, &identify, &rig->err));
	assert_refused(rig, hf_namespace_rescan(rig->ns, &rig->err));
	/* What is known is told; what is not, is not asked. */
	assert_int_equal(
		hf_namespace_list(rig->drv, &nsid, 1, &count, &rig->err), 0);
	assert_int_equal(count, 1);
	assert_int_equal(nsid, 1);
	assert_int_equal(hf_namespace_open(&none, rig->drv, 7, &rig->err),
			 -ENODEV);
	hf_namespace_close(rig->ns);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
	/* It changes, and nobody is told. */
	assert_int_equal(
		hf_emu_namespace_resize(rig->emu, 1, 4096 * 512, &rig->err), 0);
	rig_turn(rig, 20);
}

static void a_quiet_one_is_left_in_peace(struct rig *rig, bool planned)
{
	open_as(rig, 0x1414, 0xb111);
	struct hf_emu_stats up = rig_stats(rig);

	assert_int_equal(up.admin_commands[nvme_admin_create_sq], CPUS);
	assert_int_equal(up.admin_commands[nvme_admin_async_event], 0);
	read_on_each_cpu(rig);
	ask_for_what_takes_an_admin_command(rig);
	for (uint32_t i = 0; i < 2; i++) {
		heirs_replace(rig, planned);
		read_on_each_cpu(rig);
		ask_for_what_takes_an_admin_command(rig);
	}
	rig_close(rig);
	struct hf_emu_stats down = rig_stats(rig);
	assert_memory_equal(up.admin_commands, down.admin_commands,
			    sizeof(up.admin_commands));
	assert_int_equal(down.errors, 0);
}

/* More CPUs than before: they share, as no queue can be made. */
static void a_successor_on_more_cpus_makes_no_queue(struct rig *rig,
						    bool planned)
{
	open_as(rig, 0x1414, 0xb111);
	assert_int_equal(heirs_let_go(rig, planned), 0);
	struct hf_emu_stats before = rig_stats(rig);

	rig->options.cpu_count = CPUS + 1;
	assert_int_equal(heirs_restore(rig), 0);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
	struct load *load = load_of(rig, CPUS);
	uint8_t block[512];

	load_put(rig, load, 0, HF_OP_READ, 0, 1, block);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	load_drop(load);
	struct hf_emu_stats after = rig_stats(rig);
	heirs_assert_left_alone(&before, &after);
}

/* Without an Abort; and it comes back with all it had. */
static void a_quiet_one_that_hangs_is_reset(struct rig *rig, bool planned)
{
	rig->options.io_timeout_ms = 600;
	open_as(rig, 0x1414, 0xb111);
	heirs_replace(rig, planned);
	struct load *load = load_of(rig, 3);
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	uint32_t rule = rig_rule(rig, "io-read,nth=1:drop");

	load_put(rig, load, 0, HF_OP_READ, 0, 1, data);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]),
			 -ECONNRESET);
	(void)hf_emu_fault_remove(rig->emu, rule);
	load_drop(load);
	struct hf_emu_stats up = rig_stats(rig);
	assert_int_equal(up.admin_commands[nvme_admin_abort_cmd], 0);
	assert_int_equal(up.admin_commands[nvme_admin_async_event], 0);
	read_on_each_cpu(rig);
	heirs_replace(rig, planned);
	read_on_each_cpu(rig);
	struct hf_emu_stats after = rig_stats(rig);
	heirs_assert_left_alone(&up, &after);
}

BOTH(a_quiet_one_is_left_in_peace)
BOTH(a_successor_on_more_cpus_makes_no_queue)
BOTH(a_quiet_one_that_hangs_is_reset)

static struct json_object *keepalive_of(struct rig *rig,
					struct json_object **tree)
{
	char *text = hf_driver_inspect(rig->drv);
	struct json_object *keepalive = NULL;

	assert_non_null(text);
	*tree = json_tokener_parse(text);
	free(text);
	assert_true(json_object_object_get_ex(*tree, "keepalive", &keepalive));
	return keepalive;
}

static const char *text_of(struct json_object *tree, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(tree, key, &value)
		       ? json_object_get_string(value)
		       : NULL;
}

/* Saved or not, with what sentence; and inspect says the same. */
static void assert_saves(struct rig *rig, int code, const char *why,
			 const char *device_class)
{
	struct json_object *tree;
	struct json_object *keepalive = keepalive_of(rig, &tree);
	uint8_t *bytes = NULL;
	size_t len;

	assert_string_equal(text_of(keepalive, "device_class"), device_class);
	assert_string_equal(text_of(keepalive, "allowed"),
			    code == 0 ? "true" : "false");
	int rc = hf_driver_save(rig->drv, &bytes, &len, &rig->err);
	assert_int_equal(rc, code);
	if (code != 0) {
		assert_non_null(strstr(rig->err.message, why));
		assert_non_null(strstr(text_of(keepalive, "why_not"), why));
	} else {
		assert_int_equal(hf_driver_resume(rig->drv, &rig->err), 0);
	}
	free(bytes);
	json_object_put(tree);
}

static void one_whose_identifiers_cannot_be_read_is_not_left_on(void **state)
{
	struct rig *rig = *state;

	RETURN_WITHOUT_KEEPALIVE();
	open_as(rig, 0, 0);
	assert_saves(rig, -EPERM, "cannot be read", "unknown");
	heirs_end(rig);
}

static void one_that_reads_as_ones_is_not_left_on(void **state)
{
	struct rig *rig = *state;

	RETURN_WITHOUT_KEEPALIVE();
	open_as(rig, 0xffff, 0xffff);
	assert_saves(rig, -EPERM, "cannot be read", "unknown");
	heirs_end(rig);
}

static void the_user_vouches_for_one_that_is_not_known(void **state)
{
	struct rig *rig = *state;

	RETURN_WITHOUT_KEEPALIVE();
	rig->options.device_class = HF_DEVICE_CLASS_ORDINARY;
	open_as(rig, 0, 0);
	assert_saves(rig, 0, "", "ordinary");
	/* Its successor need not be told again, nor the one after that. */
	rig->options.device_class = HF_DEVICE_CLASS_AUTO;
	for (uint32_t i = 0; i < 2; i++) {
		heirs_replace(rig, true);
		assert_saves(rig, 0, "", "ordinary");
	}
	heirs_end(rig);
}

static void the_user_forbids(void **state)
{
	struct rig *rig = *state;

	RETURN_WITHOUT_KEEPALIVE();
	rig->options.device_class = HF_DEVICE_CLASS_FORBIDDEN;
	open_as(rig, 0x1b36, 0x0010);
	assert_saves(rig, -EPERM, "of its class do not take it", "forbidden");
	heirs_end(rig);
}

static void the_switch_is_shown(void **state)
{
	struct rig *rig = *state;

	RETURN_WITHOUT_KEEPALIVE();
	open_as(rig, 0x1b36, 0x0010);
	assert_saves(rig, 0, "", "ordinary");
	hf_driver_set_keepalive(rig->drv, false);
	assert_saves(rig, -EPERM, "switched off", "ordinary");
	heirs_end(rig);
}

/* What a predecessor made of it stays: queues and events cannot be had, or got
 * rid of, without admin commands. */
static void a_successor_is_as_quiet_as_its_predecessor(void **state)
{
	struct rig *rig = *state;

	RETURN_WITHOUT_KEEPALIVE();
	rig->options.device_class = HF_DEVICE_CLASS_QUIET;
	open_as(rig, 0x1b36, 0x0010);
	struct hf_emu_stats up = rig_stats(rig);
	rig->options.device_class = HF_DEVICE_CLASS_AUTO;
	heirs_replace(rig, true);
	assert_saves(rig, 0, "", "quiet");
	ask_for_what_takes_an_admin_command(rig);
	struct hf_emu_stats after = rig_stats(rig);
	heirs_assert_left_alone(&up, &after);
	heirs_end(rig);
}

static void a_class_that_there_is_not_is_refused(void **state)
{
	struct rig *rig = *state;

	rig->options.device_class = HF_DEVICE_CLASS_FORBIDDEN + 1;
	assert_int_equal(rig_start(rig), -EINVAL);
	assert_non_null(strstr(rig->err.message, "device_class"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIST(a_quiet_one_is_left_in_peace),
		LIST(a_successor_on_more_cpus_makes_no_queue),
		LIST(a_quiet_one_that_hangs_is_reset),
		rig_test(one_whose_identifiers_cannot_be_read_is_not_left_on),
		rig_test(one_that_reads_as_ones_is_not_left_on),
		rig_test(the_user_vouches_for_one_that_is_not_known),
		rig_test(the_user_forbids),
		rig_test(the_switch_is_shown),
		rig_test(a_successor_is_as_quiet_as_its_predecessor),
		rig_test(a_class_that_there_is_not_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
