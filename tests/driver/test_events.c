/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: asynchronous events are asked for, understood, re-armed and handed
 * on, and a controller that has too many of them keeps nobody from working.
 * Method: events of the emulated controller, its counters, and rules that see
 * which log pages are read.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/bring_up.h"
#include "rig.h"

static struct hf_event async_event(struct rig *rig, uint8_t type, uint8_t info,
				   uint8_t log)
{
	hf_emu_event(rig->emu, type, info, log);
	return rig_event(rig, HF_EVENT_ASYNC);
}

static void each_kind_is_decoded_and_its_log_is_read(void **state)
{
	static const struct {
		uint8_t type;
		uint8_t info;
		uint8_t log;
		const char *words;
	} kinds[] = {
		{0, 3, 1, "persistent internal error"},
		{0, 200, 1, "an error"},
		{1, 1, 2, "temperature threshold"},
		{7, 9, 0xc0, "vendor-specific"},
	};
	struct rig *rig = *state;

	rig_open(rig);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char rule[64];

		snprintf(rule, sizeof(rule), "admin-get-log-page,lid=%u:note",
			 kinds[i].log);
		uint32_t reads = rig_rule(rig, rule);
		struct hf_event event = async_event(
			rig, kinds[i].type, kinds[i].info, kinds[i].log);

		assert_int_equal(event.async_type, kinds[i].type);
		assert_int_equal(event.async_info, kinds[i].info);
		assert_int_equal(event.log_page, kinds[i].log);
		assert_non_null(strstr(event.text, kinds[i].words));
		assert_int_equal(rig_hits(rig, reads), 1);
	}
}

static void an_event_comes_again_after_its_log_was_read(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	for (uint32_t i = 0; i < 20; i++) {
		struct hf_event event = async_event(rig, 0, 4, 1);

		assert_int_equal(event.lost, 0);
	}
}

static void firmware_activation_is_a_notice(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	uint32_t reads = rig_rule(rig, "admin-get-log-page,lid=3:note");
	/* OAES may not have it, so that the controller must be pushed. */
	rig_rule(rig, "aer,count=1:result=0x00030102,status=generic/0h");
	hf_emu_event(rig->emu, 0, 4, 1);
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "AERs are sent anew");
	pthread_mutex_unlock(&rig->drv->control);
	hf_driver_kick(rig->drv);
	struct hf_event event = rig_event(rig, HF_EVENT_ASYNC);

	if (event.async_type != 2) {
		event = rig_event(rig, HF_EVENT_ASYNC);
	}
	assert_int_equal(event.async_type, 2);
	assert_int_equal(event.async_info, 1);
	assert_non_null(strstr(event.text, "firmware"));
	assert_int_equal(rig_hits(rig, reads), 1);
}

static uint32_t outstanding(struct rig *rig)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < HF_AER_MAX; i++) {
		count += rig->drv->aers[i].outstanding;
	}
	return count;
}

static void no_more_requests_than_the_controller_takes(void **state)
{
	static const uint8_t limits[] = {0, 1, 3, 15, 255};
	static const uint32_t wanted[] = {1, 2, 4, 4, 4};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(limits); i++) {
		rig->emu_options.aerl_z = limits[i];
		rig_open(rig);
		for (uint32_t n = 0; n < 5; n++) {
			(void)async_event(rig, 0, 4, 1);
			rig_turn(rig, 2);
			assert_int_equal(outstanding(rig), wanted[i]);
		}
		pthread_mutex_lock(&rig->drv->control);
		hf_bring_up_again(rig->drv, "the test asks for it");
		pthread_mutex_unlock(&rig->drv->control);
		hf_driver_kick(rig->drv);
		(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
		(void)async_event(rig, 0, 4, 1);
		rig_turn(rig, 2);
		assert_int_equal(outstanding(rig), wanted[i]);
		/* One too many ends with a status. */
		assert_int_equal(rig_stats(rig).errors, 0);
		rig_close(rig);
		hf_emu_destroy(rig->emu);
		rig->emu = NULL;
	}
}

static void only_notices_that_are_handled_are_asked_for(void **state)
{
	struct rig *rig = *state;

	rig_make(rig);
	uint32_t telemetry = rig_rule(
		rig, "admin-set-features,fid=0x0b,cdw11=0x400/0x400:note");
	uint32_t attributes = rig_rule(
		rig, "admin-set-features,fid=0x0b,cdw11=0x100/0x100:note");
	rig_open(rig);

	assert_int_equal(rig_hits(rig, telemetry), 0);
	assert_int_equal(rig_hits(rig, attributes), 1);
}

static void a_flood_keeps_nobody_from_working(void **state)
{
	struct rig *rig = *state;
	struct hf_event event;
	uint8_t block[512];
	uint32_t told = 0;

	rig->options.cpu_count = 4;
	rig->options.io_queues = 4;
	rig_open(rig);
	/* Each log page that is read raises the next events. */
	rig_rule(rig, "admin-get-log-page:event=error/4/1");
	rig_rule(rig, "admin-get-log-page:event=smart/1/2");
	rig_rule(rig, "admin-get-log-page:event=vendor/1/0xc0");
	/* And so does all that is tried meanwhile. */
	rig_rule(rig, "admin-get-features:event=error/4/1");
	rig_rule(rig, "io-read:event=smart/1/2");
	rig_rule(rig, "admin-identify:event=vendor/1/0xc0");
	for (uint32_t i = 0; i < 50; i++) {
		struct hf_command command = {.opcode = 0x0a, .cdw10 = 7};

		assert_int_equal(
			hf_admin_command(rig->drv, &command, &rig->err), 0);
		assert_int_equal(hf_namespace_rescan(rig->ns, &rig->err), 0);
		assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
	}
	while (hf_event_next(rig->drv, &event) == 1) {
		told++;
	}
	assert_in_range(told, 20, HF_EVENT_RING);
	assert_true(rig_stats(rig).events >= told);
}

static void events_that_nobody_takes_are_counted(void **state)
{
	struct rig *rig = *state;
	struct hf_event event = {.kind = HF_EVENT_ASYNC};

	rig_open(rig);
	struct pollfd pfd = {.fd = hf_event_fd(rig->drv), .events = POLLIN};
	while (hf_event_next(rig->drv, &event) == 1) {
	}
	assert_int_equal(poll(&pfd, 1, 0), 0);
	for (uint32_t i = 0; i < HF_EVENT_RING + 10; i++) {
		const struct hf_event each = {.nsid = i};

		hf_event_ring_put(&rig->drv->events, &each);
	}
	assert_int_equal(poll(&pfd, 1, 0), 1);
	for (uint32_t i = 0; i < HF_EVENT_RING; i++) {
		assert_int_equal(hf_event_next(rig->drv, &event), 1);
		assert_int_equal(event.nsid, i);
		assert_int_equal(event.lost, 0);
	}
	assert_int_equal(hf_event_next(rig->drv, &event), 0);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	hf_event_ring_put(&rig->drv->events,
			  &(const struct hf_event){.nsid = 99});
	assert_int_equal(hf_event_next(rig->drv, &event), 1);
	assert_int_equal(event.lost, 10);
}

static void a_log_page_that_cannot_be_read_does_not_end_it(void **state)
{
	struct rig *rig = *state;
	uint64_t blocks = (16 << 20) / 512;

	rig_open(rig);
	uint32_t rule = rig_rule(rig, "admin-get-log-page:status=generic/6h");
	/* Not re-armed in the controller, but told all the same. */
	(void)async_event(rig, 0, 4, 1);
	assert_int_equal(
		hf_emu_namespace_resize(rig->emu, 1, 32 << 20, &rig->err), 0);
	assert_int_equal(hf_namespace_change_wait(rig->ns, blocks, 10000), 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_true(rig_logged(rig, "could not be read"));
}

static void a_failed_request_is_not_repeated(void **state)
{
	struct rig *rig = *state;

	rig_make(rig);
	uint32_t rule = rig_rule(rig, "aer:status=specific/105h");
	rig_open(rig);
	rig_turn(rig, 20);

	assert_int_equal(rig_hits(rig, rule), 4);
	assert_int_equal(outstanding(rig), 0);
	assert_true(rig_logged(rig, "Asynchronous Event Request failed"));
}

static void failing_in_the_middle_of_an_event_ends(void **state)
{
	struct rig *rig = *state;
	const struct hf_error why = {.code = -EIO, .message = "enough"};

	rig_open(rig);
	uint32_t rule = rig_rule(rig, "admin-get-log-page:hold");
	hf_emu_event(rig->emu, 0, 4, 1);
	while (rig_hits(rig, rule) == 0) {
		rig_turn(rig, 1);
	}
	pthread_mutex_lock(&rig->drv->control);
	hf_driver_fail(rig->drv, &why);
	pthread_mutex_unlock(&rig->drv->control);

	(void)rig_event(rig, HF_EVENT_CONTROLLER_LOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(each_kind_is_decoded_and_its_log_is_read),
		rig_test(an_event_comes_again_after_its_log_was_read),
		rig_test(firmware_activation_is_a_notice),
		rig_test(no_more_requests_than_the_controller_takes),
		rig_test(only_notices_that_are_handled_are_asked_for),
		rig_test(a_flood_keeps_nobody_from_working),
		rig_test(events_that_nobody_takes_are_counted),
		rig_test(a_log_page_that_cannot_be_read_does_not_end_it),
		rig_test(a_failed_request_is_not_repeated),
		rig_test(failing_in_the_middle_of_an_event_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
