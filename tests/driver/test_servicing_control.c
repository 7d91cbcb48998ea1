/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: control work that a driver leaves behind half done is no obstacle for
 *       its successor: queues in the making, events that came or whose log was
 *       being read, namespaces that changed meanwhile.
 * Method: as for the rest of servicing; admin commands are held in the
 *         controller.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "heir_load.h"

static void a_queue_in_the_making(struct rig *rig, bool planned,
				  const char *rule_text)
{
	rig->options.cpu_count = 2;
	rig->options.io_queues = 2;
	heirs_open(rig);
	struct load *load = load_of(rig, 1);
	uint8_t *data = malloc(512);
	uint32_t rule = rig_rule(rig, rule_text);
	load_put(rig, load, 0, HF_OP_READ, 0, 1, data);
	heirs_until_hit(rig, rule, 1);
	/* Looking at it does not end it. */
	char *tree = hf_driver_inspect(rig->drv);
	assert_non_null(tree);
	free(tree);
	hf_queue_close(load->queue);
	/* Bounded: it returns although the controller does not answer. */
	assert_int_equal(heirs_let_go(rig, planned), 0);
	assert_int_equal(load->work[0].calls, planned ? 1 : 0);
	assert_int_equal(heirs_restore(rig), 0);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
	/* Others are not held up. */
	struct load *other = load_of(rig, 0);
	load_put(rig, other, 0, HF_OP_READ, 0, 1, data);
	assert_int_equal(rig_finish(rig, other->queue, &other->work[0]), 0);
	load_drop(other);
	(void)hf_emu_fault_remove(rig->emu, rule);
	load_reopen(rig, load, 1);
	load_put(rig, load, 1, HF_OP_READ, 0, 1, data);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[1]), 0);
	assert_int_equal(rig->drv->io[1]->cpu, 1);
	load_drop(load);
	free(data);
}

static void a_completion_queue_in_the_making_is_no_obstacle(struct rig *rig,
							    bool planned)
{
	a_queue_in_the_making(rig, planned, "admin-create-iocq:hold");
}

static void a_submission_queue_in_the_making_is_no_obstacle(struct rig *rig,
							    bool planned)
{
	a_queue_in_the_making(rig, planned, "admin-create-iosq:hold");
}

static void an_event_of_the_time_between_is_handled(struct rig *rig,
						    bool planned)
{
	struct hf_namespace_info info;

	heirs_open(rig);
	assert_int_equal(heirs_let_go(rig, planned), 0);
	assert_int_equal(
		hf_emu_namespace_resize(rig->emu, 1, 4096 * 512, &rig->err), 0);
	assert_int_equal(heirs_restore(rig), 0);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
	(void)rig_event(rig, HF_EVENT_NAMESPACE_CHANGED);
	hf_namespace_get_info(rig->ns, &info);
	assert_int_equal(info.blocks, 4096);
}

static void an_event_whose_log_was_being_read_is_not_lost(struct rig *rig,
							  bool planned)
{
	struct hf_namespace_info info;

	heirs_open(rig);
	uint32_t rule = rig_rule(rig, "admin-get-log-page:hold");
	assert_int_equal(
		hf_emu_namespace_resize(rig->emu, 1, 4096 * 512, &rig->err), 0);
	heirs_until_hit(rig, rule, 1);
	assert_int_equal(heirs_let_go(rig, planned), 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(heirs_restore(rig), 0);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
	(void)rig_event(rig, HF_EVENT_NAMESPACE_CHANGED);
	hf_namespace_get_info(rig->ns, &info);
	assert_int_equal(info.blocks, 4096);
}

static void another_namespace_in_its_place_is_not_taken_for_it(struct rig *rig,
							       bool planned)
{
	uint8_t block[512];

	heirs_open(rig);
	assert_int_equal(heirs_let_go(rig, planned), 0);
	assert_int_equal(
		hf_emu_namespace_swap(rig->emu, 1, &rig->ns_options, &rig->err),
		0);
	assert_int_equal(heirs_restore(rig), 0);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
	struct hf_event event = rig_event(rig, HF_EVENT_NAMESPACE_REMOVED);
	assert_non_null(strstr(event.text, "replaced"));
	assert_int_equal(hf_write(rig->ns, 0, 1, block), -ENODEV);
}

static void no_event_request_is_posted_twice(struct rig *rig, bool planned)
{
	heirs_open(rig);
	uint64_t posted = rig_stats(rig).admin_commands[nvme_admin_async_event];
	assert_int_equal(posted, 4);
	for (uint32_t i = 0; i < 3; i++) {
		heirs_replace(rig, planned);
		rig_turn(rig, 10);
		assert_int_equal(
			rig_stats(rig).admin_commands[nvme_admin_async_event],
			posted);
		/* One for each event that came. */
		assert_int_equal(hf_emu_namespace_resize(rig->emu, 1,
							 (4096 + i) * 512,
							 &rig->err),
				 0);
		(void)rig_event(rig, HF_EVENT_NAMESPACE_CHANGED);
		rig_turn(rig, 10);
		posted++;
	}
	assert_int_equal(rig_stats(rig).errors, 0);
}

BOTH(a_completion_queue_in_the_making_is_no_obstacle)
BOTH(a_submission_queue_in_the_making_is_no_obstacle)
BOTH(an_event_of_the_time_between_is_handled)
BOTH(an_event_whose_log_was_being_read_is_not_lost)
BOTH(another_namespace_in_its_place_is_not_taken_for_it)
BOTH(no_event_request_is_posted_twice)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIST(a_completion_queue_in_the_making_is_no_obstacle),
		LIST(a_submission_queue_in_the_making_is_no_obstacle),
		LIST(an_event_of_the_time_between_is_handled),
		LIST(an_event_whose_log_was_being_read_is_not_lost),
		LIST(another_namespace_in_its_place_is_not_taken_for_it),
		LIST(no_event_request_is_posted_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
