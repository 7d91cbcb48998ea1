/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: with shadow doorbells the controller is told by register only when it
 * asks to be, no command is forgotten, and a reset or a controller that
 * refuses them leaves a driver that works. A successor has them too, and is
 * refused without their memory.
 * Method: a controller that runs only when told to, so that each look it takes
 * at the doorbells is counted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <nvme/types.h>

#include "driver/bring_up.h"
#include "heir.h"
#include "keepalive.h"
#include "state/registry.h"

#define IOS 4u

struct run {
	struct rig *rig;
	struct hf_queue *queue;
	struct rig_io work[IOS];
	uint8_t *data;
};

static void begin(struct run *run, struct rig *rig, uint32_t when)
{
	*run = (struct run){.rig = rig};
	rig->emu_options.serve = HF_EMU_MANUAL;
	rig->options.shadow_doorbells = when;
	rig_open(rig);
	run->data = hf_dma_alloc(rig->drv, IOS * 4096, &rig->err);
	assert_non_null(run->data);
	assert_int_equal(
		hf_queue_open(&run->queue, rig->drv, 0, HF_POLL, &rig->err), 0);
}

/* One doorbell each. */
static void submit_each(struct run *run, enum hf_op op)
{
	for (uint32_t i = 0; i < IOS; i++) {
		struct hf_io *io = &run->work[i].io;

		rig_prep(&run->work[i], run->rig->ns, op, i * 8, 8,
			 run->data + (size_t)i * 4096);
		assert_int_equal(hf_submit(run->queue, &io, 1), 1);
	}
}

static void finish_each(struct run *run)
{
	for (uint32_t i = 0; i < IOS; i++) {
		assert_int_equal(
			rig_finish(run->rig, run->queue, &run->work[i]), 0);
	}
}

static void data_is_right(struct run *run)
{
	for (uint32_t i = 0; i < IOS; i++) {
		rig_fill(run->data + (size_t)i * 4096, 4096, i);
	}
	submit_each(run, HF_OP_WRITE);
	finish_each(run);
	memset(run->data, 0, IOS * 4096);
	submit_each(run, HF_OP_READ);
	finish_each(run);
	for (uint32_t i = 0; i < IOS; i++) {
		assert_true(
			rig_is_filled(run->data + (size_t)i * 4096, 4096, i));
	}
}

static bool has_shadows(struct rig *rig)
{
	char *text = hf_driver_inspect(rig->drv);
	struct json_object *tree = json_tokener_parse(text);
	struct json_object *member;

	assert_true(
		json_object_object_get_ex(tree, "shadow_doorbells", &member));
	bool has = json_object_get_boolean(member);
	json_object_put(tree);
	free(text);
	return has;
}

/* Doorbell registers that were written for IOS commands, while the controller
 * did not look. */
static uint64_t bells_for_ios(struct run *run)
{
	uint64_t before = rig_stats(run->rig).doorbell_writes;

	run->rig->pump = false;
	submit_each(run, HF_OP_READ);
	run->rig->pump = true;
	uint64_t after = rig_stats(run->rig).doorbell_writes;

	finish_each(run);
	return after - before;
}

static void one_bell_wakes_a_controller_that_sleeps(void **state)
{
	struct rig *rig = *state;
	struct run run;

	begin(&run, rig, HF_SHADOW_DOORBELLS_ON);
	assert_true(has_shadows(rig));
	data_is_right(&run);
	assert_int_equal(bells_for_ios(&run), 1);
	data_is_right(&run);
}

static void registers_it_is_where_they_cost_nothing(void **state)
{
	struct rig *rig = *state;
	struct run run;

	begin(&run, rig, HF_SHADOW_DOORBELLS_AUTO);
	assert_false(has_shadows(rig));
	assert_int_equal(bells_for_ios(&run), IOS);
}

static void a_controller_that_does_not_offer_them_has_none(void **state)
{
	struct rig *rig = *state;
	struct run run;

	rig->emu_options.oacs = 0;
	begin(&run, rig, HF_SHADOW_DOORBELLS_ON);
	assert_false(has_shadows(rig));
	data_is_right(&run);
}

static void a_controller_that_refuses_them_works_without(void **state)
{
	struct rig *rig = *state;
	struct run run;

	rig->emu_options.serve = HF_EMU_MANUAL;
	rig_make(rig);
	uint32_t rule = rig_rule(rig, "admin-dbbuf:status=generic/6h+dnr");
	begin(&run, rig, HF_SHADOW_DOORBELLS_ON);
	assert_int_equal(rig_hits(rig, rule), 1);
	assert_true(rig_logged(rig, "doorbells stay registers"));
	assert_false(has_shadows(rig));
	assert_int_equal(bells_for_ios(&run), IOS);
	data_is_right(&run);
}

static bool is_ready(void *arg)
{
	return hf_driver_state(arg) == HF_DRIVER_READY;
}

static void after_a_reset_they_are_there_again(void **state)
{
	struct rig *rig = *state;
	struct run run;

	begin(&run, rig, HF_SHADOW_DOORBELLS_ON);
	data_is_right(&run);
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "the test wants it");
	pthread_mutex_unlock(&rig->drv->control);
	hf_driver_kick(rig->drv);
	rig_until(rig, is_ready, rig->drv);
	assert_true(has_shadows(rig));
	data_is_right(&run);
	assert_int_equal(bells_for_ios(&run), 1);
}

/* What the controller stores as its event index can cost bells, or time until
 * a deadline, and nothing else. */
static void an_event_index_may_be_anything(void **state)
{
	struct rig *rig = *state;
	struct run run;

	begin(&run, rig, HF_SHADOW_DOORBELLS_ON);
	uint32_t *events = (uint32_t *)(void *)(rig->drv->shadow.vaddr + 4096);

	for (uint32_t value = 0; value < 70000; value += 997) {
		rig->pump = false;
		events[2] = value;
		events[3] = ~value;
		submit_each(&run, HF_OP_READ);
		rig->pump = true;
		finish_each(&run);
	}
	data_is_right(&run);
}

/* The driver is gone, and what it left is adopted. */
static void leave_behind(struct run *run, struct rig *rig, bool planned)
{
	begin(run, rig, HF_SHADOW_DOORBELLS_ON);
	heirs_begin(rig);
	data_is_right(run);
	hf_queue_close(run->queue);
	assert_int_equal(heirs_let_go(rig, planned), 0);
	assert_int_equal(heirs_adopt(rig), 0);
}

/* And everything works by them. */
static void take_over(struct run *run, struct rig *rig)
{
	const struct hf_emu_stats before = rig_stats(rig);

	if (heirs_restore(rig) != 0 ||
	    hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err) != 0) {
		fail_msg("%s", rig->err.message);
	}
	run->data = hf_dma_alloc(rig->drv, IOS * 4096, &rig->err);
	assert_non_null(run->data);
	assert_int_equal(
		hf_queue_open(&run->queue, rig->drv, 0, HF_POLL, &rig->err), 0);
	assert_true(has_shadows(rig));
	data_is_right(run);
	assert_int_equal(bells_for_ios(run), 1);
	data_is_right(run);

	const struct hf_emu_stats after = rig_stats(rig);
	assert_int_equal(after.enables, 1);
	assert_int_equal(after.admin_commands[nvme_admin_dbbuf],
			 before.admin_commands[nvme_admin_dbbuf]);
	hf_queue_close(run->queue);
	heirs_end(rig);
}

static void a_successor_of_one_that_saved_has_them(void **state)
{
	struct run run;

	RETURN_WITHOUT_KEEPALIVE();
	leave_behind(&run, *state, true);
	take_over(&run, *state);
}

static void a_successor_of_one_that_was_killed_has_them(void **state)
{
	struct run run;

	leave_behind(&run, *state, false);
	take_over(&run, *state);
}

static struct hf_registry_block *block_of_shadows(struct rig *rig)
{
	struct hf_dma_registry *registry = rig->heirs->dev->dma.registry;

	for (uint32_t i = 0; i < HF_REGISTRY_BLOCKS_MAX; i++) {
		if (registry->blocks[i].owner == HF_DMA_OWNER_SHADOW) {
			return &registry->blocks[i];
		}
	}
	fail_msg("the shadow doorbells have no memory");
	return NULL;
}

/* With a sentence, and the controller is left as it was. */
static void assert_refused(struct rig *rig, int code)
{
	const struct hf_emu_stats before = rig_stats(rig);

	rig->err.message[0] = '\0';
	assert_int_equal(heirs_restore(rig), code);
	if (strstr(rig->err.message, "the memory of its shadow doorbells") ==
	    NULL) {
		fail_msg("refused with '%s'", rig->err.message);
	}
	const struct hf_emu_stats after = rig_stats(rig);
	assert_int_equal(before.doorbell_writes, after.doorbell_writes);
	assert_int_equal(before.reg_writes, after.reg_writes);
	assert_memory_equal(before.admin_commands, after.admin_commands,
			    sizeof(before.admin_commands));
}

/* The controller goes on to read and write there: with the block given to
 * somebody else, it would be in what is not its own. */
static void without_their_memory_a_successor_is_refused(void **state)
{
	struct rig *rig = *state;
	struct run run;

	leave_behind(&run, rig, false);
	struct hf_registry_block *block = block_of_shadows(rig);
	struct hf_ledger_header *header = rig->heirs->dev->inherited.header;

	block->owner_id = 1;
	assert_refused(rig, -ENOENT);
	block->owner_id = 0;
	block->len_bytes -= 4096;
	assert_refused(rig, -EINVAL);
	block->len_bytes += 4096;
	header->shadow_iova += 4096;
	assert_refused(rig, -EINVAL);
	header->shadow_iova -= 4096;
	take_over(&run, rig);
}

static void a_word_that_is_none_is_refused(void **state)
{
	struct rig *rig = *state;

	rig->options.shadow_doorbells = HF_SHADOW_DOORBELLS_ON + 1;
	rig_make(rig);
	assert_int_equal(rig_start(rig), -EINVAL);
	assert_non_null(strstr(rig->err.message, "shadow_doorbells"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(one_bell_wakes_a_controller_that_sleeps),
		rig_test(registers_it_is_where_they_cost_nothing),
		rig_test(a_controller_that_does_not_offer_them_has_none),
		rig_test(a_controller_that_refuses_them_works_without),
		rig_test(after_a_reset_they_are_there_again),
		rig_test(an_event_index_may_be_anything),
		rig_test(a_successor_of_one_that_saved_has_them),
		rig_test(a_successor_of_one_that_was_killed_has_them),
		rig_test(without_their_memory_a_successor_is_refused),
		rig_test(a_word_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
