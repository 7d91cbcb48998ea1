/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a saved state tells which CPUs have queues, each once and in order, and
 *       which of them have commands under way.
 * Method: messages that are made field by field.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "holdfast/servicing.h"
#include "saved.pb-c.h"

enum { MAX = 8 };

static struct hf_saved_cpu cpus[MAX];
static struct hf_error err;

/* A message with one queue for each CPU, @pending: those with a command. */
static int ask(const uint32_t *each, const bool *pending, size_t count,
	       uint32_t max)
{
	Holdfast__Saved__PendingCommand command;
	Holdfast__Saved__PendingCommand *one[] = {&command};
	Holdfast__Saved__PendingCommands commands[MAX];
	Holdfast__Saved__QueueHandler handlers[MAX];
	Holdfast__Saved__QueuePair pairs[MAX];
	Holdfast__Saved__IoQueue queues[MAX];
	Holdfast__Saved__IoQueue *list[MAX];
	Holdfast__Saved__Worker worker;
	Holdfast__Saved__Driver driver;

	holdfast__saved__pending_command__init(&command);
	holdfast__saved__driver__init(&driver);
	holdfast__saved__worker__init(&worker);
	for (size_t i = 0; i < count; i++) {
		holdfast__saved__pending_commands__init(&commands[i]);
		holdfast__saved__queue_handler__init(&handlers[i]);
		holdfast__saved__queue_pair__init(&pairs[i]);
		holdfast__saved__io_queue__init(&queues[i]);
		commands[i].n_commands = pending[i] ? 1 : 0;
		commands[i].commands = one;
		handlers[i].pending_cmds = &commands[i];
		pairs[i].handler_data = &handlers[i];
		queues[i].queue_data = &pairs[i];
		queues[i].has_cpu = true;
		queues[i].cpu = each[i];
		list[i] = &queues[i];
	}
	worker.n_io = count;
	worker.io = list;
	driver.worker_data = &worker;
	size_t len = holdfast__saved__driver__get_packed_size(&driver);
	uint8_t *bytes = malloc(len);
	assert_non_null(bytes);
	holdfast__saved__driver__pack(&driver, bytes);
	memset(cpus, 0xff, sizeof(cpus));
	int rc = hf_saved_cpus(bytes, len, cpus, max, &err);
	free(bytes);
	return rc;
}

static void without_a_state_there_are_none(void **state)
{
	static const uint8_t nothing[1];

	(void)state;
	assert_int_equal(hf_saved_cpus(NULL, 0, cpus, MAX, &err), 0);
	assert_int_equal(hf_saved_cpus(nothing, 0, cpus, MAX, &err), 0);
}

static void each_cpu_is_told_once_and_in_order(void **state)
{
	static const uint32_t each[] = {5, 1, 3, 1};
	static const bool pending[] = {true, false, false, false};

	(void)state;
	assert_int_equal(ask(each, pending, 4, MAX), 3);
	assert_int_equal(cpus[0].cpu, 1);
	assert_int_equal(cpus[1].cpu, 3);
	assert_int_equal(cpus[2].cpu, 5);
	assert_false(cpus[0].pending);
	assert_false(cpus[1].pending);
	assert_true(cpus[2].pending);
}

static void any_queue_of_a_cpu_counts(void **state)
{
	static const uint32_t each[] = {2, 2, 2};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		bool pending[3] = {false, false, false};

		pending[i] = true;
		assert_int_equal(ask(each, pending, 3, MAX), 1);
		assert_int_equal(cpus[0].cpu, 2);
		assert_true(cpus[0].pending);
	}
}

/* The messages have no namespaces; this one has no queues either. */
static void a_state_with_nothing_in_it_has_none(void **state)
{
	(void)state;
	assert_int_equal(ask(NULL, NULL, 0, MAX), 0);
}

static void no_more_are_stored_than_there_is_room_for(void **state)
{
	static const uint32_t each[] = {5, 1, 3};
	static const bool pending[] = {true, true, true};

	(void)state;
	assert_int_equal(ask(each, pending, 3, 2), 3);
	assert_int_equal(cpus[0].cpu, 1);
	assert_int_equal(cpus[1].cpu, 3);
	assert_int_equal(cpus[2].cpu, UINT32_MAX);
}

static void what_does_not_parse_is_refused(void **state)
{
	static const uint8_t torn[] = {0x22, 0x7f, 0x01};

	(void)state;
	assert_int_equal(hf_saved_cpus(torn, sizeof(torn), cpus, MAX, &err),
			 -EINVAL);
	assert_non_null(strstr(err.message, "does not parse"));
	assert_int_equal(hf_saved_cpus(torn, SIZE_MAX, cpus, MAX, &err),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_state_there_are_none),
		cmocka_unit_test(each_cpu_is_told_once_and_in_order),
		cmocka_unit_test(any_queue_of_a_cpu_counts),
		cmocka_unit_test(a_state_with_nothing_in_it_has_none),
		cmocka_unit_test(no_more_are_stored_than_there_is_room_for),
		cmocka_unit_test(what_does_not_parse_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
