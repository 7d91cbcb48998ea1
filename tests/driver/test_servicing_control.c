/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: control work that a driver leaves behind half done is no obstacle for
 *       its successor: queues in the making, events that came or whose log was
 *       being read, namespaces that changed meanwhile.
 * Method: as for the rest of servicing; admin commands are held in the
 *         controller.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nvme/types.h>

#include "heir_load.h"

#define INSTRUCTIONS_MAX 5000000u

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

/* Of the two that may come while a queue is made, one was never asked for. */
static void a_queue_is_made_in_spite_of_a_completion_of_nobody(struct rig *rig,
							       bool planned)
{
	uint8_t data[512];

	rig->options.cpu_count = 3;
	rig->options.io_queues = 3;
	heirs_open(rig);
	for (uint32_t cycle = 0; cycle < 2; cycle++) {
		heirs_replace(rig, planned);
		(void)rig_rule(rig, "admin-create-iocq,nth=1:phantom");
		struct load *load = load_of(rig, cycle + 1);
		load_put(rig, load, 0, HF_OP_READ, 0, 1, data);
		assert_int_equal(rig_finish(rig, load->queue, &load->work[0]),
				 0);
		load_drop(load);
		assert_int_equal(hf_emu_namespace_resize(rig->emu, 1,
							 (4096 + cycle) * 512,
							 &rig->err),
				 0);
		(void)rig_event(rig, HF_EVENT_NAMESPACE_CHANGED);
		assert_true(rig->drv->admin->trouble.refused_count > 0);
		hf_emu_fault_clear(rig->emu);
	}
}

BOTH(a_completion_queue_in_the_making_is_no_obstacle)
BOTH(a_queue_is_made_in_spite_of_a_completion_of_nobody)
BOTH(a_submission_queue_in_the_making_is_no_obstacle)
BOTH(an_event_of_the_time_between_is_handled)
BOTH(an_event_whose_log_was_being_read_is_not_lost)
BOTH(another_namespace_in_its_place_is_not_taken_for_it)
BOTH(no_event_request_is_posted_twice)

/* What is under way while somebody looks goes on. */
static void inspect_cancels_nothing(void **state)
{
	struct rig *rig = *state;
	uint8_t block[512];

	rig_open(rig);
	struct load *load = load_of(rig, 1);
	uint32_t rule = rig_rule(rig, "admin-create-iocq:hold");
	load_put(rig, load, 0, HF_OP_READ, 0, 1, block);
	heirs_until_hit(rig, rule, 1);
	for (uint32_t i = 0; i < 20; i++) {
		char *tree = hf_driver_inspect(rig->drv);

		assert_non_null(strstr(tree, "completion queue\""));
		free(tree);
		(void)hf_driver_process(rig->drv);
	}
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	assert_int_equal(rig->drv->io[1]->cpu, 1);
	assert_int_equal(rig_stats(rig).admin_commands[nvme_admin_create_cq],
			 2);
	load_drop(load);
}

/* A sanitizer makes several instructions of one: too many to step through. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define STEPS_THROUGH
#endif

#ifdef STEPS_THROUGH
/* What the ledger says of a namespace, if anything: as before, or as the first
 * other thing that was seen of it. */
struct seen {
	const volatile struct hf_ledger_namespace *entry;
	uint8_t before[4096];
	uint8_t after[4096];
	bool changed;
};

static bool is_whole(struct seen *seen)
{
	const void *now = (const void *)(uintptr_t)seen->entry->identify;

	if (seen->entry->nsid == 0 || memcmp(now, seen->before, 4096) == 0) {
		return true;
	}
	if (!seen->changed) {
		memcpy(seen->after, now, 4096);
		seen->changed = true;
	}
	return memcmp(now, seen->after, 4096) == 0;
}

static void step_to_the_end(struct seen *seen, pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (uint32_t i = 0; i < INSTRUCTIONS_MAX; i++) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			return;
		}
		if (!is_whole(seen)) {
			kill(pid, SIGKILL);
			fail_msg("torn after instruction %u", i);
		}
	}
	kill(pid, SIGKILL);
	fail_msg("it does not end");
}

static void a_namespace_is_never_in_the_ledger_by_half(void **state)
{
	struct rig *rig = *state;
	struct seen *seen = calloc(1, sizeof(*seen));

	rig->emu_options.serve = HF_EMU_MANUAL;
	rig_open(rig);
	seen->entry = &rig->drv->ledger.header->namespaces[0];
	assert_int_equal(seen->entry->nsid, 1);
	memcpy(seen->before, rig->drv->ledger.header->namespaces[0].identify,
	       4096);
	rig_rule(rig, "admin-identify,nth=1:patch=0/0010000000000000");
	rig_rule(rig, "admin-identify,nth=1:patch=3000/5555");
	pid_t pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(hf_namespace_rescan(rig->ns, NULL) == 0 ? 0 : 1);
	}
	step_to_the_end(seen, pid);
	assert_true(seen->changed);
	free(seen);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIST(a_completion_queue_in_the_making_is_no_obstacle),
		LIST(a_submission_queue_in_the_making_is_no_obstacle),
		LIST(a_queue_is_made_in_spite_of_a_completion_of_nobody),
		LIST(an_event_of_the_time_between_is_handled),
		LIST(an_event_whose_log_was_being_read_is_not_lost),
		LIST(another_namespace_in_its_place_is_not_taken_for_it),
		LIST(no_event_request_is_posted_twice),
		rig_test(inspect_cancels_nothing),
#ifdef STEPS_THROUGH
		rig_test(a_namespace_is_never_in_the_ledger_by_half),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
