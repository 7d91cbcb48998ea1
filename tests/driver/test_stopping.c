/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: the driver is closed, or its device pulled out, at any step of opening,
 * of making a queue, of a reset and of a save: in bounded time, each I/O ends
 * once, nothing is left behind.
 * Method: a controller that works only when it is told to, and control work
 * done so many steps far, for every number of steps; and a device that is gone
 * from the Nth register access on, for every N.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "driver/bring_up.h"
#include "keepalive.h"
#include "rig.h"

enum {
	ALARM_S = 100,
	IOS = 5,
	STEPS_MAX = 400,
	ACCESSES_MAX = 200,
};

/* One driver that is stopped once. */
struct life {
	struct rig *rig;
	struct hf_queue *queue;
	struct rig_io work[IOS];
	uint8_t *data;
	uint32_t submitted;
};

static struct life life_begin(bool manual)
{
	struct life life = {0};
	void *rig = NULL;

	(void)rig_setup(&rig);
	life.rig = rig;
	if (manual) {
		life.rig->emu_options.serve = HF_EMU_MANUAL;
	}
	return life;
}

static int fake_carry(struct hf_device *dev, struct hf_fdset *set,
		      struct hf_error *err)
{
	(void)dev;
	(void)set;
	(void)err;
	return 0;
}

static void submit_on(struct life *life, uint32_t cpu)
{
	struct rig *rig = life->rig;

	life->data = hf_dma_alloc(rig->drv, IOS * 4096, &rig->err);
	assert_non_null(life->data);
	assert_int_equal(
		hf_queue_open(&life->queue, rig->drv, cpu, HF_POLL, &rig->err),
		0);
	for (uint32_t i = 0; i < IOS; i++) {
		struct hf_io *io = &life->work[i].io;

		rig_prep(&life->work[i], rig->ns, HF_OP_WRITE, i * 8, 8,
			 life->data + i * 4096);
		assert_int_equal(hf_submit(life->queue, &io, 1), 1);
		life->submitted++;
	}
}

/* Closes it, and looks at what it left. */
static void life_end(struct life *life)
{
	struct rig *rig = life->rig;
	void *state = rig;

	if (life->queue != NULL) {
		hf_queue_close(life->queue);
	}
	if (rig->drv != NULL) {
		rig->ns = NULL;
		assert_int_equal(hf_driver_close(rig->drv, &rig->err), 0);
		rig->drv = NULL;
		assert_true(rig->is_released);
	}
	for (uint32_t i = 0; i < life->submitted; i++) {
		assert_int_equal(life->work[i].calls, 1);
	}
	assert_int_equal(rig_stats(rig).dma_faults, 0);
	(void)rig_teardown(&state);
}

/* One step of control work, and of the controller. */
static void step(struct rig *rig)
{
	(void)hf_emu_process(rig->emu, 1);
	(void)hf_driver_process(rig->drv);
}

static void start(struct rig *rig)
{
	rig_make(rig);
	/* Doorbells wake nothing: each step is taken by hand. */
	rig->pump = false;
	assert_int_equal(
		hf_driver_start(&rig->drv, rig->dev, &rig->options, &rig->err),
		0);
	rig->dev = NULL;
}

static void force_reset(struct rig *rig)
{
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "the test asks for it");
	pthread_mutex_unlock(&rig->drv->control);
}

static void closed_at_each_step_of_opening(void **state)
{
	bool ready = false;
	uint32_t steps = 0;

	(void)state;
	alarm(ALARM_S);
	for (; !ready && steps < STEPS_MAX; steps++) {
		struct life life = life_begin(true);

		start(life.rig);
		for (uint32_t i = 0; i < steps; i++) {
			step(life.rig);
		}
		ready = hf_driver_state(life.rig->drv) == HF_DRIVER_READY;
		life_end(&life);
	}
	assert_true(ready);
	assert_true(steps > 5);
}

static void closed_at_each_step_of_making_a_queue(void **state)
{
	bool made = false;
	uint32_t steps = 0;

	(void)state;
	alarm(ALARM_S);
	for (; !made && steps < STEPS_MAX; steps++) {
		struct life life = life_begin(true);

		rig_open(life.rig);
		life.rig->pump = false;
		submit_on(&life, 1);
		for (uint32_t i = 0; i < steps; i++) {
			step(life.rig);
		}
		made = life.work[0].calls != 0 ||
		       hf_issuer_qpair(&life.rig->drv->issuers.each[1]) != NULL;
		life_end(&life);
	}
	assert_true(made);
	assert_true(steps > 2);
}

static void closed_at_each_step_of_a_reset(void **state)
{
	bool over = false;
	uint32_t steps = 0;

	(void)state;
	alarm(ALARM_S);
	for (; !over && steps < STEPS_MAX; steps++) {
		struct life life = life_begin(true);
		struct rig *rig = life.rig;

		rig_open(rig);
		rig->pump = false;
		submit_on(&life, 0);
		(void)hf_emu_process(rig->emu, 2); /* some are executed */
		force_reset(rig);
		for (uint32_t i = 0; i < steps; i++) {
			step(rig);
		}
		over = hf_driver_state(rig->drv) == HF_DRIVER_READY;
		life_end(&life);
	}
	assert_true(over);
	assert_true(steps > 5);
}

/* At each step of a reset; then closing ends what was saved, or what went on
 * after it. */
static void closed_around_a_save(void **state)
{
	bool over = false;

	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	alarm(ALARM_S);
	for (uint32_t steps = 0; !over && steps < STEPS_MAX; steps++) {
		struct life life = life_begin(true);
		struct rig *rig = life.rig;
		uint8_t *bytes = NULL;
		size_t len;

		rig_open(rig);
		rig->ops.carry = fake_carry;
		rig->pump = false;
		submit_on(&life, 0);
		force_reset(rig);
		for (uint32_t i = 0; i < steps / 2; i++) {
			step(rig);
		}
		over = hf_driver_state(rig->drv) == HF_DRIVER_READY;
		assert_int_equal(
			hf_driver_save(rig->drv, &bytes, &len, &rig->err), 0);
		free(bytes);
		if (steps % 2 == 1) {
			assert_int_equal(hf_driver_resume(rig->drv, &rig->err),
					 0);
		}
		life_end(&life);
	}
	assert_true(over);
}

static bool is_up(void *arg)
{
	struct rig *rig = arg;

	return hf_driver_state(rig->drv) == HF_DRIVER_READY;
}

/* Nobody came for what was saved: the reset is begun anew. */
static void saved_at_each_step_of_a_reset_it_goes_on(void **state)
{
	bool over = false;

	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	alarm(ALARM_S);
	for (uint32_t steps = 0; !over && steps < STEPS_MAX; steps++) {
		struct life life = life_begin(true);
		struct rig *rig = life.rig;
		uint8_t *bytes = NULL;
		size_t len;

		rig_open(rig);
		rig->ops.carry = fake_carry;
		rig->pump = false;
		submit_on(&life, 0);
		force_reset(rig);
		for (uint32_t i = 0; i < steps; i++) {
			step(rig);
		}
		over = hf_driver_state(rig->drv) == HF_DRIVER_READY;
		assert_int_equal(
			hf_driver_save(rig->drv, &bytes, &len, &rig->err), 0);
		free(bytes);
		assert_int_equal(hf_driver_resume(rig->drv, &rig->err), 0);
		rig->pump = true;
		rig_turn(rig, 1); /* what was rung before that is served */
		rig_until(rig, is_up, rig);
		assert_int_equal(hf_read(rig->ns, 0, 8, life.data), 0);
		assert_int_equal(rig->drv->resets, 1);
		for (uint32_t i = 0; i < IOS; i++) {
			assert_int_equal(life.work[i].calls, 1);
			assert_int_equal(life.work[i].result, -ECONNRESET);
		}
		life_end(&life);
	}
	assert_true(over);
}

static void *close_it(void *arg)
{
	struct rig *rig = arg;

	rig->err.code = hf_driver_close(rig->drv, &rig->err);
	return NULL;
}

/* With threads of its own, from a thread that did not open it. */
static void closed_by_another_thread_while_threads_open_it(void **state)
{
	(void)state;
	alarm(ALARM_S);
	for (uint32_t i = 0; i < 40; i++) {
		struct life life = life_begin(false);
		struct rig *rig = life.rig;
		pthread_t thread;

		rig->options.runtime = true;
		rig->emu_options.enable_delay_us = i % 4 * 500;
		start(rig);
		if (i % 3 == 0) {
			assert_int_equal(
				hf_driver_ready_wait(rig->drv, &rig->err), 0);
			assert_int_equal(hf_namespace_open(&rig->ns, rig->drv,
							   1, &rig->err),
					 0);
			submit_on(&life, 1);
			hf_queue_close(life.queue);
			life.queue = NULL;
			if (i % 2 == 0) {
				force_reset(rig);
			}
		}
		assert_int_equal(pthread_create(&thread, NULL, close_it, rig),
				 0);
		pthread_join(thread, NULL);
		assert_int_equal(rig->err.code, 0);
		rig->drv = NULL;
		rig->ns = NULL;
		life_end(&life);
	}
}

/* ---- surprise removal */

/* Adds "gone from the Nth access of this kind on". */
static uint32_t gone_at(struct rig *rig, uint32_t nth)
{
	char text[64];

	snprintf(text, sizeof(text), "reg,nth=%u:gone", nth);
	return rig_rule(rig, text);
}

static void pulled_out_at_each_access_of_opening(void **state)
{
	bool hit = true;
	uint32_t nth = 1;

	(void)state;
	alarm(ALARM_S);
	for (; hit && nth < ACCESSES_MAX; nth++) {
		struct life life = life_begin(false);
		struct rig *rig = life.rig;

		rig_make(rig);
		uint32_t rule = gone_at(rig, nth);
		int rc = rig_start(rig);
		hit = rig_hits(rig, rule) != 0;
		/* By the last access it may be up already. */
		assert_true(rc == -ENODEV || rc == 0 || rc == -ETIMEDOUT);
		assert_true(hit || rc == 0);
		(void)hf_emu_fault_remove(rig->emu, rule);
		life_end(&life);
	}
	assert_false(hit);
	assert_true(nth > 8);
}

static bool is_settled(void *arg)
{
	struct hf_driver *drv = arg;

	return hf_driver_state(drv) == HF_DRIVER_READY ||
	       hf_driver_is_over(drv);
}

static void pulled_out_at_each_access_of_a_reset(void **state)
{
	bool hit = true;
	uint32_t nth = 1;

	(void)state;
	alarm(ALARM_S);
	for (; hit && nth < ACCESSES_MAX; nth++) {
		struct life life = life_begin(false);
		struct rig *rig = life.rig;

		rig_open(rig);
		rig_rule(rig, "io-write:drop");
		submit_on(&life, 0);
		uint32_t rule = gone_at(rig, nth);
		force_reset(rig);
		hf_driver_kick(rig->drv);
		rig_until(rig, is_settled, rig->drv);
		hit = rig_hits(rig, rule) != 0;
		for (uint32_t i = 0; i < IOS; i++) {
			assert_int_equal(life.work[i].calls, 1);
			assert_true(life.work[i].result == -ECONNRESET ||
				    life.work[i].result == -ENODEV);
		}
		(void)hf_emu_fault_remove(rig->emu, rule);
		life_end(&life);
	}
	assert_false(hit);
	assert_true(nth > 8);
}

static void pulled_out_at_each_access_of_closing(void **state)
{
	bool hit = true;
	uint32_t nth = 1;

	(void)state;
	alarm(ALARM_S);
	for (; hit && nth < ACCESSES_MAX; nth++) {
		struct life life = life_begin(false);
		struct rig *rig = life.rig;

		rig_open(rig);
		rig_rule(rig, "io-write:drop");
		submit_on(&life, 0);
		hf_queue_close(life.queue);
		life.queue = NULL;
		uint32_t rule = gone_at(rig, nth);
		assert_int_equal(hf_driver_close(rig->drv, &rig->err), 0);
		rig->drv = NULL;
		rig->ns = NULL;
		hit = rig_hits(rig, rule) != 0;
		life_end(&life);
	}
	assert_false(hit);
	assert_true(nth > 4);
}

/* While it works, only the sweep looks at a register. */
static void pulled_out_while_commands_are_under_way(void **state)
{
	struct life life = life_begin(false);
	struct rig *rig = life.rig;

	(void)state;
	alarm(ALARM_S);
	rig_open(rig);
	rig_rule(rig, "io-write:drop");
	submit_on(&life, 0);
	rig_rule(rig, "now:gone");
	(void)rig_event(rig, HF_EVENT_CONTROLLER_LOST);
	for (uint32_t i = 0; i < IOS; i++) {
		assert_int_equal(life.work[i].calls, 1);
		assert_int_equal(life.work[i].result, -ENODEV);
	}
	assert_true(rig_logged(rig, "all ones"));
	life_end(&life);
}

/* All ones may be an error of the link: who cannot take memory away from it
 * does not give that memory back to its callers. */
static void all_ones_are_no_proof_that_it_has_stopped(void **state)
{
	struct life life = life_begin(false);
	struct rig *rig = life.rig;

	(void)state;
	alarm(ALARM_S);
	rig_open(rig);
	rig_rule(rig, "io-write:drop");
	submit_on(&life, 0);
	hf_queue_close(life.queue);
	life.queue = NULL;
	rig->fail_dma_unmap = true;
	rig->fail_reset = true;
	rig_rule(rig, "now:gone");
	assert_int_equal(hf_driver_close(rig->drv, &rig->err), -EIO);
	assert_non_null(strstr(rig->err.message, "is kept"));
	for (uint32_t i = 0; i < IOS; i++) {
		assert_int_equal(life.work[i].calls, 0);
	}

	/* The test's own clean-up: by now it can be stopped. */
	rig->fail_dma_unmap = false;
	rig->fail_reset = false;
	hf_emu_fault_clear(rig->emu);
	hf_emu_reset(rig->emu);
	rig->drv->unstoppable = false;
	life_end(&life);
}

/* Doorbells go nowhere, by register and in memory, before and after it. */
static void pulled_out_while_doorbells_are_rung(void **state)
{
	(void)state;
	alarm(ALARM_S);
	for (uint32_t i = 0; i < 2 * IOS; i++) {
		struct life life = life_begin(false);
		struct rig *rig = life.rig;
		uint32_t before = i / 2;

		rig->options.shadow_doorbells =
			i % 2 == 0 ? HF_SHADOW_DOORBELLS_ON
				   : HF_SHADOW_DOORBELLS_OFF;
		rig_open(rig);
		life.data = hf_dma_alloc(rig->drv, 4096, &rig->err);
		assert_int_equal(hf_queue_open(&life.queue, rig->drv, 0,
					       HF_POLL, &rig->err),
				 0);
		for (uint32_t k = 0; k < IOS; k++) {
			struct hf_io *io = &life.work[k].io;

			if (k == before) {
				rig_rule(rig, "now:gone");
			}
			rig_prep(&life.work[k], rig->ns, HF_OP_WRITE, k, 8,
				 life.data);
			assert_int_equal(hf_submit(life.queue, &io, 1), 1);
			life.submitted++;
		}
		(void)rig_event(rig, HF_EVENT_CONTROLLER_LOST);
		for (uint32_t k = before; k < IOS; k++) {
			assert_int_equal(life.work[k].calls, 1);
			assert_int_equal(life.work[k].result, -ENODEV);
		}
		life_end(&life);
	}
}

/* ---- orderly removal */

static int removal_fd = -1;

static int fake_removal(struct hf_device *dev)
{
	(void)dev;
	return removal_fd;
}

static struct life life_asked_to_end(void)
{
	struct life life = life_begin(false);
	struct rig *rig = life.rig;

	removal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(removal_fd >= 0);
	rig_make(rig);
	rig->ops.remove_request_fd = fake_removal;
	rig_open(rig);
	assert_int_equal(eventfd_write(removal_fd, 1), 0);
	(void)rig_event(rig, HF_EVENT_REMOVE_REQUESTED);
	return life;
}

/* It works until its user closes it, which is the answer. */
static void asked_for_it_is_closed_in_order(void **state)
{
	uint8_t block[512] = {0};

	(void)state;
	alarm(ALARM_S);
	struct life life = life_asked_to_end();
	assert_int_equal(hf_write(life.rig->ns, 0, 1, block), 0);
	uint32_t shutdown =
		rig_rule(life.rig, "reg-cc,write,value=0x4000/0xc000:note");
	rig_rule(life.rig, "io-write:drop");
	submit_on(&life, 0);
	hf_queue_close(life.queue);
	life.queue = NULL;
	assert_int_equal(hf_driver_close(life.rig->drv, &life.rig->err), 0);
	life.rig->drv = NULL;
	life.rig->ns = NULL;

	assert_int_equal(rig_hits(life.rig, shutdown), 1);
	assert_true(life.rig->is_released);
	life_end(&life);
	close(removal_fd);
}

/* With nothing under way, nothing else would have it looked at. */
static void asked_for_and_then_taken_it_is_noticed(void **state)
{
	(void)state;
	alarm(ALARM_S);
	struct life life = life_asked_to_end();
	rig_rule(life.rig, "now:gone");
	(void)rig_event(life.rig, HF_EVENT_CONTROLLER_LOST);

	life_end(&life);
	close(removal_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closed_at_each_step_of_opening),
		cmocka_unit_test(closed_at_each_step_of_making_a_queue),
		cmocka_unit_test(closed_at_each_step_of_a_reset),
		cmocka_unit_test(closed_around_a_save),
		cmocka_unit_test(saved_at_each_step_of_a_reset_it_goes_on),
		cmocka_unit_test(
			closed_by_another_thread_while_threads_open_it),
		cmocka_unit_test(pulled_out_at_each_access_of_opening),
		cmocka_unit_test(pulled_out_at_each_access_of_a_reset),
		cmocka_unit_test(pulled_out_at_each_access_of_closing),
		cmocka_unit_test(pulled_out_while_commands_are_under_way),
		cmocka_unit_test(all_ones_are_no_proof_that_it_has_stopped),
		cmocka_unit_test(pulled_out_while_doorbells_are_rung),
		cmocka_unit_test(asked_for_it_is_closed_in_order),
		cmocka_unit_test(asked_for_and_then_taken_it_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
