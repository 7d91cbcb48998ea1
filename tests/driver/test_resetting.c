/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a driver that is saved, or killed, at any step of a reset is followed
 *       by one that brings the reset to its end: each I/O ends once, what may
 *       be repeated is, what may not says that it may have happened.
 * Method: a controller that works only when it is told to, a reset taken so
 *         many steps far, for every number of steps; then a successor.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "driver/bring_up.h"
#include "heir.h"
#include "keepalive.h"

#define COOKIE UINT64_C(0xe5e7)

enum {
	ALARM_S = 100,
	IOS = 6, /* every other one may be repeated */
	STEPS_MAX = 400,
};

struct work {
	struct rig_io io[IOS];
	struct hf_queue *queue;
	uint8_t *data;
};

static bool may_be_repeated(uint32_t i)
{
	return i % 2 == 0;
}

static void submit(struct rig *rig, struct work *work)
{
	work->data = hf_dma_alloc(rig->drv, (uint64_t)IOS * 4096, &rig->err);
	assert_non_null(work->data);
	assert_int_equal(
		hf_queue_open(&work->queue, rig->drv, 0, HF_POLL, &rig->err),
		0);
	for (uint32_t i = 0; i < IOS; i++) {
		struct hf_io *io = &work->io[i].io;

		rig_fill(work->data + i * 4096, 4096, i);
		rig_prep(&work->io[i], rig->ns, HF_OP_WRITE, i * 8, 8,
			 work->data + i * 4096);
		io->cookie = COOKIE + i;
		io->flags = may_be_repeated(i) ? HF_IO_REPEATABLE : 0;
		assert_int_equal(hf_submit(work->queue, &io, 1), 1);
	}
	hf_queue_close(work->queue);
}

static void force_reset(struct rig *rig)
{
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "the test asks for it");
	pthread_mutex_unlock(&rig->drv->control);
}

static void take_steps(struct rig *rig, uint32_t steps)
{
	for (uint32_t i = 0; i < steps; i++) {
		(void)hf_emu_process(rig->emu, 1);
		(void)hf_driver_process(rig->drv);
	}
}

static uint32_t left_of(const struct work *work)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < IOS; i++) {
		left += work->io[i].calls == 0;
	}
	return left;
}

/* What nobody was told of is found, all of it. */
static void attach(struct rig *rig, struct work *work)
{
	uint32_t left = left_of(work);
	struct hf_inflight old;
	uint64_t cursor = 0;
	uint32_t found = 0;

	while (hf_inflight_next(rig->drv, &cursor, &old) == 1) {
		uint64_t i = old.cookie - COOKIE;

		assert_in_range(i, 0, IOS - 1);
		assert_int_equal(work->io[i].calls, 0);
		rig_prep(&work->io[i], rig->ns, old.op, old.lba, old.blocks,
			 old.buf);
		if (hf_io_attach(&work->io[i].io, &old, &rig->err) != 0) {
			fail_msg("%s", rig->err.message);
		}
		found++;
	}
	assert_int_equal(found, left);
}

static bool is_up(void *arg)
{
	struct rig *rig = arg;

	return hf_driver_state(rig->drv) == HF_DRIVER_READY;
}

/* The controller's enables show that the reset was begun anew. */
static void finish(struct rig *rig, struct work *work)
{
	uint8_t block[4096];

	rig->pump = true;
	rig_until(rig, is_up, rig);
	assert_int_equal(
		hf_queue_open(&work->queue, rig->drv, 0, HF_POLL, &rig->err),
		0);
	for (uint32_t i = 0; i < IOS; i++) {
		int expected = may_be_repeated(i) ? 0 : -ECONNRESET;

		assert_int_equal(rig_finish(rig, work->queue, &work->io[i]),
				 expected);
	}
	for (uint32_t i = 0; i < IOS; i += 2) {
		assert_int_equal(hf_read(rig->ns, i * 8, 8, block), 0);
		assert_true(rig_is_filled(block, sizeof(block), i));
	}
	hf_queue_close(work->queue);
	assert_int_equal(rig_stats(rig).dma_faults, 0);
	assert_int_equal(rig_stats(rig).errors, 0);
}

/* Work that the controller has, and has not begun. */
static struct rig *begin(void **state, struct work *work)
{
	assert_int_equal(rig_setup(state), 0);
	struct rig *rig = *state;
	rig->emu_options.serve = HF_EMU_MANUAL;
	rig_open(rig);
	heirs_begin(rig);
	rig->pump = false;
	submit(rig, work);
	return rig;
}

/* Returns whether the reset was over by then. */
static bool stopped_after(uint32_t steps, bool planned)
{
	struct work work = {.queue = NULL};
	void *state = NULL;

	struct rig *rig = begin(&state, &work);
	(void)hf_emu_process(rig->emu, 2); /* some are executed */
	force_reset(rig);
	take_steps(rig, steps);
	bool over = is_up(rig);
	heirs_replace(rig, planned);
	if (!over) {
		attach(rig, &work);
		finish(rig, &work);
	}
	heirs_end(rig);
	assert_int_equal(rig_teardown(&state), 0);
	return over;
}

static void stopped_at_each_step(bool planned)
{
	uint32_t steps = 0;

	alarm(ALARM_S);
	while (steps < STEPS_MAX && !stopped_after(steps, planned)) {
		steps++;
	}
	assert_in_range(steps, 6, STEPS_MAX - 1);
}

static void saved_at_each_step_of_a_reset(void **state)
{
	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	stopped_at_each_step(true);
}

static void killed_at_each_step_of_a_reset(void **state)
{
	(void)state;
	stopped_at_each_step(false);
}

/* Its driver did not live to see it fail, or was saved right before. */
static void failed_before_it_is_taken_over(bool planned)
{
	struct work work = {.queue = NULL};
	void *state = NULL;

	alarm(ALARM_S);
	struct rig *rig = begin(&state, &work);
	assert_int_equal(heirs_let_go(rig, planned), 0);
	(void)rig_rule(rig, "now:cfs");
	assert_int_equal(heirs_adopt(rig), 0);
	if (heirs_restore(rig) != 0 ||
	    hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err) != 0) {
		fail_msg("%s", rig->err.message);
	}
	attach(rig, &work);
	finish(rig, &work);
	heirs_end(rig);
	assert_int_equal(rig_teardown(&state), 0);
}

static void a_controller_that_failed_meanwhile_is_reset(void **state)
{
	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	failed_before_it_is_taken_over(true);
	failed_before_it_is_taken_over(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(saved_at_each_step_of_a_reset),
		cmocka_unit_test(killed_at_each_step_of_a_reset),
		cmocka_unit_test(a_controller_that_failed_meanwhile_is_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
