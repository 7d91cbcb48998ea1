/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a controller that fails, hangs or is lost is recovered from or given
 * up in bounded time, each I/O ends once, and callbacks may ask the driver
 * whatever does not block.
 * Method: faults of the emulated controller under a few commands; an alarm
 * ends the process where something waits for itself.
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

#define ALARM_S 60u
#define IOS     6u

/* I/O whose callback asks the driver how it stands. */
struct asker {
	struct rig *rig;
	struct hf_queue *queue;
	struct rig_io work[IOS];
	uint8_t *data;
};

static void ask_and_note(struct hf_io *io, int result)
{
	struct rig_io *work = io->user;
	struct hf_driver *drv = io->ns->owner;
	struct hf_driver_info info;
	struct hf_namespace_info ns_info;

	hf_driver_get_info(drv, &info);
	hf_namespace_get_info(io->ns, &ns_info);
	char *tree = hf_driver_inspect(drv);
	assert_non_null(tree);
	free(tree);
	rig_io_done(io, result);
	(void)work;
}

static void asker_submit_flagged(struct asker *asker, enum hf_op op,
				 uint32_t flags)
{
	struct hf_io *ios[IOS];

	for (uint32_t i = 0; i < IOS; i++) {
		rig_prep(&asker->work[i], asker->rig->ns, op, i * 8, 8,
			 asker->data + i * 4096);
		asker->work[i].io.done = ask_and_note;
		asker->work[i].io.flags = flags;
		ios[i] = &asker->work[i].io;
	}
	assert_int_equal(hf_submit(asker->queue, ios, IOS), IOS);
}

static void asker_submit(struct asker *asker, enum hf_op op)
{
	asker_submit_flagged(asker, op, 0);
}

static bool asker_ended(void *arg)
{
	struct asker *asker = arg;
	uint32_t ended = 0;

	(void)hf_reap(asker->queue, 64);
	for (uint32_t i = 0; i < IOS; i++) {
		ended += asker->work[i].calls != 0;
	}
	return ended == IOS;
}

static void asker_open(struct asker *asker, struct rig *rig)
{
	alarm(ALARM_S);
	*asker = (struct asker){.rig = rig};
	rig_open(rig);
	asker->data = hf_dma_alloc(rig->drv, IOS * 4096, &rig->err);
	assert_non_null(asker->data);
	assert_int_equal(
		hf_queue_open(&asker->queue, rig->drv, 0, HF_POLL, &rig->err),
		0);
}

static void all_ended_once_with(const struct asker *asker, int result)
{
	for (uint32_t i = 0; i < IOS; i++) {
		assert_int_equal(asker->work[i].calls, 1);
		assert_int_equal(asker->work[i].result, result);
	}
}

static void force_reset(struct rig *rig)
{
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "the test asks for it");
	pthread_mutex_unlock(&rig->drv->control);
	hf_driver_kick(rig->drv);
}

static void callbacks_may_ask_the_driver_while_it_fails(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	asker_open(&asker, rig);
	rig_rule(rig, "io-read:drop");
	asker_submit(&asker, HF_OP_READ);
	rig_rule(rig, "now:gone");
	force_reset(rig);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_LOST);

	all_ended_once_with(&asker, -ENODEV);
	hf_queue_close(asker.queue);
}

static void callbacks_may_ask_the_driver_while_it_is_reset(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	asker_open(&asker, rig);
	rig_rule(rig, "io-read:drop");
	asker_submit(&asker, HF_OP_READ);
	force_reset(rig);
	rig_until(rig, asker_ended, &asker);

	all_ended_once_with(&asker, -ECONNRESET);
	hf_queue_close(asker.queue);
}

static void callbacks_may_ask_the_driver_while_it_is_closed(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	asker_open(&asker, rig);
	rig_rule(rig, "io-read:drop");
	asker_submit(&asker, HF_OP_READ);
	hf_queue_close(asker.queue);
	assert_int_equal(hf_driver_close(rig->drv, &rig->err), 0);
	rig->drv = NULL;
	rig->ns = NULL; /* went with it */

	all_ended_once_with(&asker, -ECANCELED);
}

/* Many I/Os on a small queue: some wait for a slot. */
static void what_waits_for_a_place_may_ask_the_driver_too(void **state)
{
	enum { COUNT = 100 };
	struct rig *rig = *state;
	struct rig_io *work = calloc(COUNT, sizeof(*work));
	struct asker asker;
	uint32_t ended = 0;

	asker_open(&asker, rig);
	rig_rule(rig, "io-read:drop");
	for (uint32_t i = 0; i < COUNT; i++) {
		struct hf_io *io = &work[i].io;

		rig_prep(&work[i], rig->ns, HF_OP_READ, 0, 8, asker.data);
		io->done = ask_and_note;
		assert_int_equal(hf_submit(asker.queue, &io, 1), 1);
	}
	rig_rule(rig, "now:gone");
	force_reset(rig);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_LOST);

	for (uint32_t i = 0; i < COUNT; i++) {
		ended += work[i].calls == 1 && work[i].result == -ENODEV;
	}
	assert_int_equal(ended, COUNT);
	hf_queue_close(asker.queue);
	free(work);
}

/* ---- what a reset takes away, and what waits for its end */

static void slow_reset(struct rig *rig)
{
	rig_rule(rig, "reg-cc,write,value=1/1:delay=200ms");
	force_reset(rig);
}

static void a_namespace_opens_while_the_controller_is_reset(void **state)
{
	struct rig *rig = *state;

	alarm(ALARM_S);
	rig_open(rig);
	hf_namespace_close(rig->ns);
	slow_reset(rig);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);

	assert_int_equal(rig->drv->resets, 1);
}

/* The reset comes while its Identify is under way, again and again. */
static void a_namespace_opens_although_resets_take_its_commands(void **state)
{
	struct rig *rig = *state;

	alarm(ALARM_S);
	rig->options.admin_timeout_ms = 600;
	rig_open(rig);
	hf_namespace_close(rig->ns);
	rig_rule(rig, "admin-identify,cns=0,count=2:drop");
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
	assert_int_equal(rig->drv->resets, 2);
	rig_rule(rig, "admin-identify,cns=0,count=1:drop");
	assert_int_equal(hf_namespace_rescan(rig->ns, &rig->err), 0);

	assert_int_equal(rig->drv->resets, 3);
}

static void opening_is_not_tried_for_ever(void **state)
{
	struct rig *rig = *state;

	alarm(ALARM_S);
	rig->options.admin_timeout_ms = 300;
	rig_open(rig);
	hf_namespace_close(rig->ns);
	rig_rule(rig, "admin-identify,cns=0:drop");

	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 -ECONNRESET);
	rig->ns = NULL;
}

/* Arbitration: it sets something, and is not sent twice. */
static struct hf_command setting(void)
{
	return (struct hf_command){.opcode = 0x09, .cdw10 = 1, .cdw11 = 7};
}

static void an_admin_command_waits_for_the_end_of_a_reset(void **state)
{
	struct hf_command command = setting();
	struct rig *rig = *state;

	alarm(ALARM_S);
	rig_open(rig);
	rig_rule(rig, "reg-cc,write,value=1/1:delay=50ms");
	for (uint32_t i = 0; i < 8; i++) {
		force_reset(rig);
		/* At another step of it each time. */
		for (uint32_t k = 0; k < i; k++) {
			rig_turn(rig, 10);
		}
		assert_int_equal(
			hf_admin_command(rig->drv, &command, &rig->err), 0);
		assert_int_equal(hf_driver_state(rig->drv), HF_DRIVER_READY);
	}

	assert_int_equal(rig->drv->resets, 8);
}

static void an_admin_command_waits_until_the_driver_is_up(void **state)
{
	struct hf_command command = setting();
	struct rig *rig = *state;

	alarm(ALARM_S);
	rig_make(rig);
	assert_int_equal(
		hf_driver_start(&rig->drv, rig->dev, &rig->options, &rig->err),
		0);
	rig->dev = NULL;

	assert_int_equal(hf_admin_command(rig->drv, &command, &rig->err), 0);
}

static void its_waiting_is_bounded_by_its_deadline(void **state)
{
	struct hf_command command = setting();
	struct rig *rig = *state;

	alarm(ALARM_S);
	rig_open(rig);
	uint32_t sent = rig_rule(rig, "admin-set-features,fid=1:note");
	slow_reset(rig);
	command.timeout_ms = 20;
	assert_int_equal(hf_admin_command(rig->drv, &command, &rig->err),
			 -ETIMEDOUT);
	assert_non_null(strstr(rig->err.message, "was not sent"));
	assert_int_equal(rig_hits(rig, sent), 0);
	command.timeout_ms = 0;

	assert_int_equal(hf_admin_command(rig->drv, &command, &rig->err), 0);
}

/* It may have happened: that is for its caller to judge. */
static void what_sets_something_is_sent_once(void **state)
{
	struct hf_command command = setting();
	struct rig *rig = *state;

	alarm(ALARM_S);
	rig->options.admin_timeout_ms = 300;
	rig_open(rig);
	uint32_t sent = rig_rule(rig, "admin-set-features,fid=1:drop");

	assert_int_equal(hf_admin_command(rig->drv, &command, &rig->err),
			 -ECONNRESET);
	assert_int_equal(rig_hits(rig, sent), 1);
}

static void what_only_asks_is_asked_again_after_a_reset(void **state)
{
	static uint8_t page[4096];
	struct hf_command asks[] = {
		{.opcode = 0x0a, .cdw10 = 7},
		{.opcode = 0x06,
		 .cdw10 = 2, /* a list that no reset asks for */
		 .data = page,
		 .data_len_bytes = sizeof(page)},
		{.opcode = 0x02,
		 .nsid = UINT32_MAX,
		 .cdw10 = 127 << 16 | 2,
		 .data = page,
		 .data_len_bytes = 512},
	};
	static const char *const lost[] = {
		"admin-get-features,nth=1:drop",
		"admin-identify,cns=2,nth=1:drop",
		"admin-get-log-page,nth=1:drop",
	};
	struct rig *rig = *state;

	alarm(ALARM_S);
	rig->options.admin_timeout_ms = 300;
	rig_open(rig);
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t rule = rig_rule(rig, lost[i]);

		assert_int_equal(
			hf_admin_command(rig->drv, &asks[i], &rig->err), 0);
		assert_int_equal(rig_hits(rig, rule), 1);
	}

	assert_int_equal(rig->drv->resets, 3);
}

static void whoever_waits_is_told_when_the_controller_is_given_up(void **state)
{
	struct hf_command command = setting();
	struct rig *rig = *state;

	alarm(ALARM_S);
	rig_open(rig);
	rig_rule(rig, "admin-identify,cns=1:status=06h+dnr");
	force_reset(rig);

	assert_int_equal(hf_admin_command(rig->drv, &command, &rig->err),
			 -ENODEV);
	assert_non_null(strstr(rig->err.message, "identify the controller"));
}

/* ---- lost interrupts */

static void a_lost_interrupt_is_found_long_before_the_deadline(void **state)
{
	struct rig *rig = *state;
	struct hf_queue *queue;
	struct rig_io work;
	struct hf_io *io = &work.io;

	alarm(ALARM_S);
	rig_open(rig);
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	assert_int_equal(
		hf_queue_open(&queue, rig->drv, 0, HF_EVENT, &rig->err), 0);
	rig_turn(rig, 20);
	(void)hf_reap(queue, 4); /* takes the edge of its opening */
	rig_rule(rig, "irq:lose");
	rig_prep(&work, rig->ns, HF_OP_READ, 0, 8, data);
	uint64_t before = hf_now_ns();
	assert_int_equal(hf_submit(queue, &io, 1), 1);
	struct pollfd pfd = {.fd = hf_queue_fd(queue), .events = POLLIN};
	while (work.calls == 0) {
		assert_in_range((hf_now_ns() - before) / HF_NS_PER_MS, 0, 5000);
		rig_turn(rig, 1);
		if (poll(&pfd, 1, 0) == 1) {
			(void)hf_reap(queue, 4);
		}
	}

	assert_int_equal(work.result, 0);
	assert_in_range((hf_now_ns() - before) / HF_NS_PER_MS, 0, 2500);
	assert_int_equal(rig->drv->lost_interrupts, 1);
	assert_int_equal(rig->drv->aborts, 0);
	assert_true(rig_logged(rig, "without an interrupt"));
	hf_queue_close(queue);
}

static void a_device_that_is_gone_for_a_moment_is_reset(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	asker_open(&asker, rig);
	rig_rule(rig, "io-read:drop");
	asker_submit(&asker, HF_OP_READ);
	rig_rule(rig, "reg-csts,read,count=5:all-ones");
	rig_until(rig, asker_ended, &asker);
	all_ended_once_with(&asker, -ECONNRESET);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
	hf_emu_fault_clear(rig->emu);
	asker_submit(&asker, HF_OP_READ);
	rig_until(rig, asker_ended, &asker);

	all_ended_once_with(&asker, 0);
	hf_queue_close(asker.queue);
}

/* The same in the midst of a reset that was begun for another reason. */
static void a_device_that_is_gone_while_it_is_reset_is_waited_for(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	asker_open(&asker, rig);
	uint32_t held = rig_rule(rig, "io-write:hold");
	asker_submit_flagged(&asker, HF_OP_WRITE, HF_IO_REPEATABLE);
	uint32_t gone = rig_rule(rig, "reg-csts,read,count=5:all-ones");
	force_reset(rig);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
	assert_int_equal(rig_hits(rig, gone), 5);
	(void)hf_emu_fault_remove(rig->emu, held);
	rig_until(rig, asker_ended, &asker);

	all_ended_once_with(&asker, 0);
	hf_queue_close(asker.queue);
}

/* Each doorbell of such an I/O would tell the controller of a queue that it
 * does not have yet, and the commands that are to be repeated with it. */
static void io_that_comes_at_each_step_of_a_reset(void **state)
{
	enum { STEPS = 40 };
	struct rig *rig = *state;
	struct asker asker;
	struct rig_io late;
	struct hf_io *io = &late.io;

	rig->emu_options.serve = HF_EMU_MANUAL;
	asker_open(&asker, rig);
	for (uint32_t steps = 0; steps < STEPS; steps++) {
		rig->pump = false;
		asker_submit_flagged(&asker, HF_OP_WRITE, HF_IO_REPEATABLE);
		force_reset(rig);
		for (uint32_t k = 0; k < steps; k++) {
			(void)hf_emu_process(rig->emu, 1);
			(void)hf_driver_process(rig->drv);
		}
		/* One that does not stay to ring again later. */
		rig_prep(&late, rig->ns, HF_OP_READ, 0, 8, asker.data);
		io->flags = HF_IO_NOWAIT;
		int rc = hf_submit(asker.queue, &io, 1);
		rig->pump = true;
		rig_until(rig, asker_ended, &asker);
		all_ended_once_with(&asker, 0);
		assert_true(rc == -EAGAIN || rc == 1);
		if (rc == 1) {
			assert_int_equal(rig_finish(rig, asker.queue, &late),
					 0);
		}
		assert_int_equal(rig->drv->resets, steps + 1);
		assert_false(rig_logged(rig, "doorbell"));
		(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
	}
	hf_queue_close(asker.queue);
}

/* ---- given up for good */

static void a_controller_that_keeps_failing_is_given_up(void **state)
{
	struct rig *rig = *state;
	struct hf_command command = {.opcode = 0x0a, .cdw10 = 7};
	struct hf_queue *queue;
	struct rig_io work;
	struct hf_io *io = &work.io;
	uint8_t block[512];

	alarm(ALARM_S);
	rig_open(rig);
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	assert_int_equal(hf_queue_open(&queue, rig->drv, 0, HF_POLL, &rig->err),
			 0);
	uint32_t tries = rig_rule(rig, "admin-identify,cns=1:status=06h+dnr");
	force_reset(rig);
	struct hf_event event = rig_event(rig, HF_EVENT_CONTROLLER_LOST);
	assert_non_null(strstr(event.text, "identify the controller"));
	assert_in_range(rig_hits(rig, tries), 2, 10);

	/* Each call says so, and none waits. */
	rig_prep(&work, rig->ns, HF_OP_READ, 0, 8, data);
	assert_int_equal(hf_submit(queue, &io, 1), -ENODEV);
	assert_int_equal(hf_read(rig->ns, 0, 1, block), -ENODEV);
	assert_int_equal(hf_admin_command(rig->drv, &command, &rig->err),
			 -ENODEV);
	assert_non_null(strstr(rig->err.message, "identify the controller"));
	assert_int_equal(hf_namespace_rescan(rig->ns, &rig->err), -ENODEV);
	hf_namespace_close(rig->ns);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 -ENODEV);
	assert_non_null(strstr(rig->err.message, "identify the controller"));
	rig->ns = NULL;
	assert_int_equal(hf_driver_process(rig->drv), -ENODEV);
	assert_int_not_equal(hf_driver_ready_wait(rig->drv, &rig->err), 0);
	char *tree = hf_driver_inspect(rig->drv);
	assert_non_null(strstr(tree, "\"failed\""));
	free(tree);
	hf_queue_close(queue);
	rig_close(rig);
}

/* ---- the reset race: late execution of what was aborted */

/* An aborted write's memory is the device's until the device says otherwise:
 * whatever it writes or reads late, it finds the old bytes. */
static void an_aborted_command_that_is_executed_late(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	rig->options.io_timeout_ms = 300;
	asker_open(&asker, rig);
	memset(asker.data, 0x11, (size_t)IOS * 4096);
	rig_rule(rig, "io-read:delay=3600s,dma-after-abort=30ms");
	asker_submit(&asker, HF_OP_READ);
	rig_until(rig, asker_ended, &asker);
	for (uint32_t i = 0; i < IOS; i++) {
		assert_int_equal(asker.work[i].calls, 1);
	}
	hf_queue_close(asker.queue);
}

/* The device answers no Abort and executes everything while it is being
 * disabled: nothing ends before RDY is 0, and nothing is written after. */
static void nothing_ends_before_the_controller_has_stopped(void **state)
{
	struct rig *rig = *state;
	struct asker asker;
	uint8_t snapshot[IOS * 4096];

	rig->emu_options.disable_delay_us = 300 * 1000;
	asker_open(&asker, rig);
	for (uint32_t i = 0; i < IOS * 8; i++) {
		assert_int_equal(hf_write(rig->ns, i, 1, asker.data), 0);
	}
	memset(asker.data, 0xee, (size_t)IOS * 4096);
	rig_rule(rig, "io-read:delay=100ms");
	asker_submit(&asker, HF_OP_READ);
	force_reset(rig);
	uint64_t before = hf_now_ns();
	rig_until(rig, asker_ended, &asker);
	assert_in_range((hf_now_ns() - before) / HF_NS_PER_MS, 290, 20000);
	memcpy(snapshot, asker.data, sizeof(snapshot));
	rig_turn(rig, 400);

	assert_memory_equal(snapshot, asker.data, sizeof(snapshot));
	all_ended_once_with(&asker, -ECONNRESET);
	hf_queue_close(asker.queue);
}

/* The same buffers are used again at once by what comes after the reset. */
static void memory_is_used_again_only_after_the_reset(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	asker_open(&asker, rig);
	for (uint32_t round = 0; round < 20; round++) {
		uint32_t rule =
			rig_rule(rig, "io,every=2:late-post=2ms,delay=1ms");

		asker_submit(&asker, round % 2 ? HF_OP_READ : HF_OP_WRITE);
		force_reset(rig);
		rig_until(rig, asker_ended, &asker);
		(void)hf_emu_fault_remove(rig->emu, rule);
		(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
		for (uint32_t i = 0; i < IOS; i++) {
			rig_fill(asker.data + i * 4096, 4096, round * 100 + i);
		}
		asker_submit(&asker, HF_OP_WRITE);
		rig_until(rig, asker_ended, &asker);
		all_ended_once_with(&asker, 0);
		memset(asker.data, 0, (size_t)IOS * 4096);
		asker_submit(&asker, HF_OP_READ);
		rig_until(rig, asker_ended, &asker);
		all_ended_once_with(&asker, 0);
		for (uint32_t i = 0; i < IOS; i++) {
			assert_true(rig_is_filled(asker.data + i * 4096, 4096,
						  round * 100 + i));
		}
	}
	assert_int_equal(rig->drv->lies, 0);
	assert_int_equal(rig_stats(rig).dma_faults, 0);
	hf_queue_close(asker.queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(callbacks_may_ask_the_driver_while_it_fails),
		rig_test(callbacks_may_ask_the_driver_while_it_is_reset),
		rig_test(callbacks_may_ask_the_driver_while_it_is_closed),
		rig_test(what_waits_for_a_place_may_ask_the_driver_too),
		rig_test(a_namespace_opens_while_the_controller_is_reset),
		rig_test(a_namespace_opens_although_resets_take_its_commands),
		rig_test(opening_is_not_tried_for_ever),
		rig_test(an_admin_command_waits_for_the_end_of_a_reset),
		rig_test(an_admin_command_waits_until_the_driver_is_up),
		rig_test(its_waiting_is_bounded_by_its_deadline),
		rig_test(what_sets_something_is_sent_once),
		rig_test(what_only_asks_is_asked_again_after_a_reset),
		rig_test(whoever_waits_is_told_when_the_controller_is_given_up),
		rig_test(a_lost_interrupt_is_found_long_before_the_deadline),
		rig_test(a_device_that_is_gone_for_a_moment_is_reset),
		rig_test(a_device_that_is_gone_while_it_is_reset_is_waited_for),
		rig_test(io_that_comes_at_each_step_of_a_reset),
		rig_test(a_controller_that_keeps_failing_is_given_up),
		rig_test(an_aborted_command_that_is_executed_late),
		rig_test(nothing_ends_before_the_controller_has_stopped),
		rig_test(memory_is_used_again_only_after_the_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
