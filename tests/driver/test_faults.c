/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: each way in which commands, registers and queues can go wrong, by its
 * name: the driver comes back, or says in bounded time what is wrong.
 * Method: one fault of the emulated controller in each case, short deadlines.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "driver/bring_up.h"
#include "rig.h"

enum {
	ALARM_S = 100,
	DEADLINE_MS = 300,
	BOUND_MS = 10000,
};

struct scene {
	struct rig *rig;
	struct hf_queue *queue;
	struct rig_io work;
	uint8_t *data;
};

static void short_deadlines(struct rig *rig)
{
	rig->options.io_timeout_ms = DEADLINE_MS;
	rig->options.long_timeout_ms = DEADLINE_MS;
	rig->options.admin_timeout_ms = DEADLINE_MS;
}

static void scene_open(struct scene *scene, struct rig *rig, uint32_t cpu)
{
	alarm(ALARM_S);
	short_deadlines(rig);
	*scene = (struct scene){.rig = rig};
	rig_open(rig);
	scene->data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	assert_non_null(scene->data);
	assert_int_equal(
		hf_queue_open(&scene->queue, rig->drv, cpu, HF_POLL, &rig->err),
		0);
}

/* One write or read with flags; what it ended with. */
static int scene_do(struct scene *scene, enum hf_op op, uint32_t flags)
{
	struct hf_io *io = &scene->work.io;

	rig_prep(&scene->work, scene->rig->ns, op, 0, 8, scene->data);
	io->flags = flags;
	assert_int_equal(hf_submit(scene->queue, &io, 1), 1);
	return rig_finish(scene->rig, scene->queue, &scene->work);
}

/* It is an ordinary driver again: what is written is read. */
static void works(struct scene *scene)
{
	hf_emu_fault_clear(scene->rig->emu);
	rig_fill(scene->data, 4096, 77);
	assert_int_equal(scene_do(scene, HF_OP_WRITE, HF_IO_REPEATABLE), 0);
	memset(scene->data, 0, 4096);
	assert_int_equal(scene_do(scene, HF_OP_READ, HF_IO_REPEATABLE), 0);
	assert_true(rig_is_filled(scene->data, 4096, 77));
	hf_queue_close(scene->queue);
}

/* Every command that opening a controller takes. */
static const char *const opening[] = {
	"admin-identify,cns=1",     "admin-identify,cns=6",
	"admin-set-features,fid=7", "admin-set-features,fid=11",
	"admin-create-iocq",        "admin-create-iosq",
};

/* Opens with a fault in one command; returns what opening said. */
static int opens_with(const char *command, const char *fault)
{
	char rule[128];
	void *state = NULL;

	alarm(ALARM_S);
	(void)rig_setup(&state);
	struct rig *rig = state;
	short_deadlines(rig);
	rig_make(rig);
	snprintf(rule, sizeof(rule), "%s%s", command, fault);
	rig_rule(rig, rule);
	uint64_t before = hf_now_ns();
	int rc = rig_start(rig);
	assert_in_range((hf_now_ns() - before) / HF_NS_PER_MS, 0, BOUND_MS);
	if (rc != 0) {
		assert_non_null(strstr(rig->err.message, "step '"));
	}
	(void)rig_teardown(&state);
	return rc;
}

static void a_command_of_opening_that_is_dropped(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(opening) / sizeof(opening[0]); i++) {
		assert_int_equal(opens_with(opening[i], ":drop"), -ETIMEDOUT);
	}
}

static void a_command_of_opening_whose_completion_never_comes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(opening) / sizeof(opening[0]); i++) {
		assert_int_equal(opens_with(opening[i], ":no-post"),
				 -ETIMEDOUT);
	}
}

static void a_command_of_opening_that_is_delayed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(opening) / sizeof(opening[0]); i++) {
		assert_int_equal(opens_with(opening[i], ":delay=100ms"), 0);
	}
}

/* What is optional is done without; the rest is the end of it. */
static void a_command_of_opening_that_fails(void **state)
{
	static const int expected[] = {0x4006, 0, 0x4006, 0, 0x4006, 0x4006};

	(void)state;
	for (size_t i = 0; i < sizeof(opening) / sizeof(opening[0]); i++) {
		assert_int_equal(
			opens_with(opening[i], ":status=generic/6h+dnr"),
			expected[i]);
	}
}

static void a_command_of_opening_that_fails_once_is_sent_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(opening) / sizeof(opening[0]); i++) {
		assert_int_equal(
			opens_with(opening[i], ",nth=1:status=generic/6h"), 0);
	}
}

static void a_command_of_opening_that_is_changed_on_its_way(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(opening) / sizeof(opening[0]); i++) {
		/* Invalid Opcode, or the same as a failure. */
		int rc = opens_with(opening[i], ":sqe=opcode/0xff");

		assert_true(rc >= 0);
	}
}

static void a_completion_of_opening_that_lies(void **state)
{
	static const char *const lies[] = {":wrong-cid", ":wrong-sqid",
					   ":stale-phase", ":phantom"};

	(void)state;
	for (size_t i = 0; i < sizeof(opening) / sizeof(opening[0]); i++) {
		for (size_t k = 0; k < sizeof(lies) / sizeof(lies[0]); k++) {
			int rc = opens_with(opening[i], lies[k]);

			assert_true(rc == 0 || rc == -ETIMEDOUT);
		}
	}
}

/* ---- while it runs */

static void an_io_that_hangs_is_aborted(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	scene_open(&scene, rig, 0);
	rig_rule(rig, "io-read,nth=1:hold");
	assert_int_equal(scene_do(&scene, HF_OP_READ, 0) & 0x7ff, 0x007);

	assert_int_equal(rig->drv->resets, 0);
	works(&scene);
}

static void an_abort_that_fails_leads_to_a_reset(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	scene_open(&scene, rig, 0);
	rig_rule(rig, "io-read,nth=1:drop");
	rig_rule(rig, "admin-abort:status=generic/6h+dnr");
	assert_int_equal(scene_do(&scene, HF_OP_READ, 0), -ECONNRESET);

	assert_int_equal(rig->drv->resets, 1);
	assert_int_equal(rig->drv->aborts_failed, 1);
	works(&scene);
}

static void an_abort_that_is_dropped_leads_to_a_reset(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	scene_open(&scene, rig, 0);
	rig_rule(rig, "io-read,nth=1:drop");
	rig_rule(rig, "admin-abort:drop");
	assert_int_equal(scene_do(&scene, HF_OP_READ, 0), -ECONNRESET);

	assert_int_equal(rig->drv->resets, 1);
	works(&scene);
}

static void what_may_be_repeated_is_issued_again_after_a_reset(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	scene_open(&scene, rig, 0);
	rig_rule(rig, "io-read,nth=1:drop");
	rig_rule(rig, "admin-abort:drop");
	assert_int_equal(scene_do(&scene, HF_OP_READ, HF_IO_REPEATABLE), 0);

	assert_int_equal(rig->drv->resets, 1);
	works(&scene);
}

static void a_fatal_status_leads_to_a_reset(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	scene_open(&scene, rig, 0);
	rig_rule(rig, "io-read,nth=1:cfs");
	assert_int_equal(scene_do(&scene, HF_OP_READ, 0), -ECONNRESET);

	assert_true(rig_logged(rig, "CSTS.CFS"));
	works(&scene);
}

static void an_admin_command_that_hangs_leads_to_a_reset(void **state)
{
	struct rig *rig = *state;
	/* Arbitration; nothing that only asks is left at that. */
	struct hf_command command = {.opcode = 0x09, .cdw10 = 1};
	struct scene scene;

	scene_open(&scene, rig, 0);
	rig_rule(rig, "admin-set-features,fid=1,nth=1:drop");
	assert_int_equal(hf_admin_command(rig->drv, &command, &rig->err),
			 -ECONNRESET);

	assert_int_equal(rig->drv->resets, 1);
	works(&scene);
}

static void a_queue_whose_creation_never_ends(void **state)
{
	static const char *const rules[] = {
		"admin-create-iocq,qid=2,count=1:drop",
		"admin-create-iosq,qid=2,count=1:no-post",
	};

	for (size_t i = 0; i < 2; i++) {
		struct rig *rig = *state;
		struct scene scene;

		rig_make(rig);
		rig_rule(rig, rules[i]);
		scene_open(&scene, rig, 1);
		/* It is made anew after the reset, and was waited for. */
		assert_int_equal(scene_do(&scene, HF_OP_WRITE, 0), 0);

		assert_int_equal(rig->drv->resets, 1);
		assert_int_equal(rig->drv->io[1]->qid, 2);
		works(&scene);
		rig_close(rig);
	}
}

static void a_reset_in_which_a_queue_cannot_be_made_is_tried_again(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	scene_open(&scene, rig, 0);
	rig_rule(rig, "io-read,nth=1:cfs");
	rig_rule(rig, "admin-create-iosq,nth=1:status=generic/6h+dnr");
	assert_int_equal(scene_do(&scene, HF_OP_READ, HF_IO_REPEATABLE), 0);

	assert_int_equal(rig->drv->resets, 1);
	assert_int_equal(rig->drv->reset_notes[0].tries, 2);
	works(&scene);
}

static void a_reset_in_which_a_command_is_lost_is_tried_again(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	scene_open(&scene, rig, 0);
	rig_rule(rig, "io-read,nth=1:cfs");
	rig_rule(rig, "admin-identify,cns=1,nth=1:drop");
	assert_int_equal(scene_do(&scene, HF_OP_READ, HF_IO_REPEATABLE), 0);

	assert_int_equal(rig->drv->reset_notes[0].tries, 2);
	works(&scene);
}

static void
a_controller_that_fails_while_it_is_reset_is_tried_again(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	scene_open(&scene, rig, 0);
	rig_rule(rig, "io-read,nth=1:cfs");
	rig_rule(rig, "admin-identify,cns=1,nth=1:cfs");
	assert_int_equal(scene_do(&scene, HF_OP_READ, HF_IO_REPEATABLE), 0);

	assert_true(rig->drv->reset_notes[0].tries >= 2);
	works(&scene);
}

static void a_spurious_notice_costs_one_look(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	scene_open(&scene, rig, 0);
	uint32_t looks = rig_rule(rig, "admin-get-log-page,lid=4:note");
	rig_rule(rig, "now:event=notice/0/4");
	while (rig_hits(rig, looks) == 0) {
		rig_turn(rig, 5);
	}
	rig_turn(rig, 50);

	assert_in_range(rig_hits(rig, looks), 1, 3);
	works(&scene);
}

static void an_event_whose_completion_is_dropped(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	rig_make(rig);
	rig_rule(rig, "aer,nth=1:no-post");
	scene_open(&scene, rig, 0);
	rig_rule(rig, "now:event=smart/1/2");
	rig_turn(rig, 50);

	works(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_of_opening_that_is_dropped),
		cmocka_unit_test(
			a_command_of_opening_whose_completion_never_comes),
		cmocka_unit_test(a_command_of_opening_that_is_delayed),
		cmocka_unit_test(a_command_of_opening_that_fails),
		cmocka_unit_test(
			a_command_of_opening_that_fails_once_is_sent_again),
		cmocka_unit_test(
			a_command_of_opening_that_is_changed_on_its_way),
		cmocka_unit_test(a_completion_of_opening_that_lies),
		rig_test(an_io_that_hangs_is_aborted),
		rig_test(an_abort_that_fails_leads_to_a_reset),
		rig_test(an_abort_that_is_dropped_leads_to_a_reset),
		rig_test(what_may_be_repeated_is_issued_again_after_a_reset),
		rig_test(a_fatal_status_leads_to_a_reset),
		rig_test(an_admin_command_that_hangs_leads_to_a_reset),
		rig_test(a_queue_whose_creation_never_ends),
		rig_test(
			a_reset_in_which_a_queue_cannot_be_made_is_tried_again),
		rig_test(a_reset_in_which_a_command_is_lost_is_tried_again),
		rig_test(
			a_controller_that_fails_while_it_is_reset_is_tried_again),
		rig_test(a_spurious_notice_costs_one_look),
		rig_test(an_event_whose_completion_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
