/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a command whose status says that another try may succeed is sent
 * again, after the controller's own delay, so often and no more; its caller
 * sees one end, whatever happens meanwhile.
 * Method: statuses from the emulated controller's faults.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "driver/bring_up.h"
#include "rig.h"

#define INTERRUPTED 0x021
#define NOT_READY   0x082

struct one {
	struct rig *rig;
	struct hf_queue *queue;
	struct rig_io work;
	uint8_t *data;
};

static void one_open(struct one *one, struct rig *rig)
{
	*one = (struct one){.rig = rig};
	rig_open(rig);
	one->data = hf_dma_alloc(rig->drv, 64 << 10, &rig->err);
	assert_non_null(one->data);
	assert_int_equal(
		hf_queue_open(&one->queue, rig->drv, 0, HF_POLL, &rig->err), 0);
}

static void one_submit(struct one *one, enum hf_op op, uint64_t blocks)
{
	struct hf_io *io = &one->work.io;

	rig_prep(&one->work, one->rig->ns, op, 0, blocks, one->data);
	assert_int_equal(hf_submit(one->queue, &io, 1), 1);
}

static uint64_t retried(const struct rig *rig, enum hf_retry_kind kind)
{
	return rig->drv->io[0]->trouble.retried[kind];
}

static void waits(struct one *one)
{
	uint64_t deadline = hf_deadline_ms(5000);

	while (!hf_qpair_retries_wait(one->rig->drv->io[0])) {
		assert_false(hf_deadline_passed(deadline));
		(void)hf_reap(one->queue, 16);
	}
}

/* Under the identifier of the last try, a late second completion of that one
 * would be taken for the next one's. */
static void each_try_has_an_identifier_of_its_own(void **state)
{
	struct rig *rig = *state;
	struct one one;

	one_open(&one, rig);
	rig_rule(rig, "io-read,count=3:status=generic/21h");
	one_submit(&one, HF_OP_READ, 8);
	assert_int_equal(rig_finish(rig, one.queue, &one.work), 0);
	const struct hf_qpair *qp = rig->drv->io[0];
	const struct hf_trouble_error *errors = qp->trouble.errors;
	uint16_t slot = le16toh(errors[0].sqe.cid) & qp->pending.number_mask;

	assert_int_equal(qp->trouble.error_count, 3);
	assert_int_not_equal(errors[0].sqe.cid, errors[1].sqe.cid);
	assert_int_not_equal(errors[1].sqe.cid, errors[2].sqe.cid);
	assert_int_not_equal(errors[2].sqe.cid,
			     qp->pending.slots[slot].sqe.cid);
	hf_queue_close(one.queue);
}

static void one_that_was_interrupted_is_sent_again(void **state)
{
	struct rig *rig = *state;
	struct one one;

	one_open(&one, rig);
	rig_rule(rig, "io-read,nth=1:status=generic/21h");
	one_submit(&one, HF_OP_READ, 8);

	assert_int_equal(rig_finish(rig, one.queue, &one.work), 0);
	assert_int_equal(retried(rig, HF_RETRY_INTERRUPTED), 1);
	assert_int_equal(rig->drv->lies, 0);
	hf_queue_close(one.queue);
}

/* Each status with the kind that it is counted under. */
static void statuses_are_told_apart(void **state)
{
	static const struct {
		const char *rule;
		enum hf_retry_kind kind; /* HF_RETRY_NONE: handed out */
	} cases[] = {
		{"io-write,nth=1:status=generic/82h", HF_RETRY_NOT_READY},
		{"io-write,nth=1:status=path/3h", HF_RETRY_NOT_READY},
		{"io-write,nth=1:status=generic/7h", HF_RETRY_ABORTED},
		{"io-write,nth=1:status=generic/22h", HF_RETRY_TRANSPORT},
		{"io-write,nth=1:status=generic/4h", HF_RETRY_TRANSPORT},
		{"io-write,nth=1:status=path/60h", HF_RETRY_TRANSPORT},
		{"io-write,nth=1:status=generic/6h", HF_RETRY_INTERNAL},
		{"io-write,nth=1:status=generic/6h+dnr", HF_RETRY_NONE},
		{"io-write,nth=1:status=generic/2h", HF_RETRY_NONE},
		{"io-write,nth=1:status=media/280h", HF_RETRY_NONE},
		{"io-write,nth=1:status=specific/82h", HF_RETRY_NONE},
		{"io-write,nth=1:status=path/2h", HF_RETRY_NONE},
		{"io-write,nth=1:status=generic/83h", HF_RETRY_NONE},
		{"io-write,nth=1:status=vendor/6h", HF_RETRY_NONE},
		/* Without Advanced Command Retry the field means nothing. */
		{"io-write,nth=1:status=media/280h+crd=1", HF_RETRY_NONE},
	};
	struct rig *rig = *state;
	struct one one;

	one_open(&one, rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before[HF_RETRY_KINDS];

		memcpy(before, rig->drv->io[0]->trouble.retried,
		       sizeof(before));
		hf_emu_fault_clear(rig->emu);
		rig_rule(rig, cases[i].rule);
		one_submit(&one, HF_OP_WRITE, 8);
		int result = rig_finish(rig, one.queue, &one.work);

		assert_int_equal(result == 0, cases[i].kind != HF_RETRY_NONE);
		for (uint32_t k = 0; k < HF_RETRY_KINDS; k++) {
			assert_int_equal(retried(rig, (enum hf_retry_kind)k) -
						 before[k],
					 k == cases[i].kind);
		}
	}
	hf_queue_close(one.queue);
}

static void tries_are_bounded(void **state)
{
	struct rig *rig = *state;
	struct one one;

	rig->options.retries = 3;
	one_open(&one, rig);
	uint32_t rule = rig_rule(rig, "io-read:status=generic/21h");
	one_submit(&one, HF_OP_READ, 8);

	assert_int_equal(rig_finish(rig, one.queue, &one.work), INTERRUPTED);
	assert_int_equal(rig_hits(rig, rule), 1 + 3);
	assert_int_equal(rig->drv->io[0]->trouble.gave_up, 1);
	/* The slot begins anew with its next command. */
	hf_emu_fault_clear(rig->emu);
	rule = rig_rule(rig, "io-read,count=3:status=generic/21h");
	one_submit(&one, HF_OP_READ, 8);
	assert_int_equal(rig_finish(rig, one.queue, &one.work), 0);
	assert_int_equal(rig_hits(rig, rule), 3);
	hf_queue_close(one.queue);
}

static void no_retries_hand_each_error_to_the_caller(void **state)
{
	struct rig *rig = *state;
	struct one one;

	rig->options.retries = 0;
	one_open(&one, rig);
	uint32_t rule = rig_rule(rig, "io-read:status=generic/21h");
	one_submit(&one, HF_OP_READ, 8);

	assert_int_equal(rig_finish(rig, one.queue, &one.work), INTERRUPTED);
	assert_int_equal(rig_hits(rig, rule), 1);
	hf_queue_close(one.queue);
}

static void the_controller_s_delay_is_kept(void **state)
{
	struct rig *rig = *state;
	struct one one;

	rig->emu_options.crdt_100ms[0] = 1;
	rig->emu_options.crdt_100ms[1] = 3;
	rig_make(rig);
	uint32_t enabled = rig_rule(rig, "admin-set-features,fid=0x16:note");
	one_open(&one, rig);
	assert_int_equal(rig_hits(rig, enabled), 1);
	rig_rule(rig, "io-read,nth=1:status=media/281h+crd=2");
	uint64_t before = hf_now_ns();
	one_submit(&one, HF_OP_READ, 8);

	assert_int_equal(rig_finish(rig, one.queue, &one.work), 0);
	assert_in_range((hf_now_ns() - before) / HF_NS_PER_MS, 295, 3000);
	assert_int_equal(retried(rig, HF_RETRY_ASKED), 1);
	hf_queue_close(one.queue);
}

static void a_controller_that_refuses_acre_is_used_without(void **state)
{
	struct rig *rig = *state;
	struct one one;

	rig->emu_options.crdt_100ms[0] = 600;
	rig_make(rig);
	rig_rule(rig, "admin-set-features,fid=0x16:status=generic/2h+dnr");
	one_open(&one, rig);
	rig_rule(rig, "io-read,nth=1:status=generic/21h+crd=1");
	uint64_t before = hf_now_ns();
	one_submit(&one, HF_OP_READ, 8);

	assert_int_equal(rig_finish(rig, one.queue, &one.work), 0);
	assert_in_range((hf_now_ns() - before) / HF_NS_PER_MS, 0, 5000);
	assert_int_equal(retried(rig, HF_RETRY_INTERRUPTED), 1);
	hf_queue_close(one.queue);
}

static void a_delay_beyond_the_deadline_ends_the_command_now(void **state)
{
	struct rig *rig = *state;
	struct one one;

	rig->emu_options.crdt_100ms[0] = 0xffff; /* nearly two hours */
	one_open(&one, rig);
	rig_rule(rig, "io-read,nth=1:status=generic/21h+crd=1");
	one_submit(&one, HF_OP_READ, 8);

	assert_int_equal(rig_finish(rig, one.queue, &one.work) & 0x7ff,
			 INTERRUPTED);
	assert_int_equal(rig->drv->io[0]->trouble.gave_up, 1);
	hf_queue_close(one.queue);
}

static void parts_of_a_large_io_are_sent_again_each(void **state)
{
	struct rig *rig = *state;
	struct one one;

	rig->emu_options.mdts = 1; /* parts of 8 KiB */
	one_open(&one, rig);
	rig_fill(one.data, 64 << 10, 7);
	rig_rule(rig, "io-write,every=3:status=generic/21h");
	one_submit(&one, HF_OP_WRITE, 128);
	assert_int_equal(rig_finish(rig, one.queue, &one.work), 0);
	memset(one.data, 0, 64 << 10);
	rig_rule(rig, "io-read,every=2:status=generic/6h");
	one_submit(&one, HF_OP_READ, 128);
	assert_int_equal(rig_finish(rig, one.queue, &one.work), 0);

	assert_true(rig_is_filled(one.data, 64 << 10, 7));
	assert_true(retried(rig, HF_RETRY_INTERRUPTED) >= 2);
	assert_true(retried(rig, HF_RETRY_INTERNAL) >= 4);
	hf_queue_close(one.queue);
}

/* Memory that is not registered: the data waits in the driver's pages. */
static void copied_data_is_sent_again_as_it_was(void **state)
{
	struct rig *rig = *state;
	uint8_t *data = malloc(32 << 10);
	struct one one;

	one_open(&one, rig);
	rig_fill(data, 32 << 10, 9);
	rig_rule(rig, "io-write,nth=1:status=generic/82h");
	rig_prep(&one.work, rig->ns, HF_OP_WRITE, 0, 64, data);
	struct hf_io *io = &one.work.io;
	assert_int_equal(hf_submit(one.queue, &io, 1), 1);
	memset(data, 0, 32 << 10); /* was copied */
	assert_int_equal(rig_finish(rig, one.queue, &one.work), 0);
	rig_rule(rig, "io-read,nth=1:status=generic/82h");
	rig_prep(&one.work, rig->ns, HF_OP_READ, 0, 64, data);
	assert_int_equal(hf_submit(one.queue, &io, 1), 1);
	assert_int_equal(rig_finish(rig, one.queue, &one.work), 0);

	assert_true(rig_is_filled(data, 32 << 10, 9));
	hf_queue_close(one.queue);
	free(data);
}

static void a_blocking_call_waits_for_its_retries(void **state)
{
	struct rig *rig = *state;
	uint8_t block[512];

	rig_open(rig);
	rig_rule(rig, "io-read,count=3:status=generic/82h");

	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
}

static void what_is_passed_through_is_the_caller_s_to_repeat(void **state)
{
	struct rig *rig = *state;
	struct hf_command command = {.opcode = 0x0a, .cdw10 = 7};

	rig_open(rig);
	uint32_t rule = rig_rule(rig, "admin-get-features:status=generic/21h");
	assert_int_equal(hf_admin_command(rig->drv, &command, &rig->err),
			 INTERRUPTED);
	assert_int_equal(rig_hits(rig, rule), 1);
	rule = rig_rule(rig, "io-flush:status=generic/21h");
	command = (struct hf_command){.opcode = 0x00, .nsid = 1};
	assert_int_equal(hf_io_command(rig->drv, &command), INTERRUPTED);

	assert_int_equal(rig_hits(rig, rule), 1);
}

static void the_driver_s_own_commands_are_sent_again(void **state)
{
	struct rig *rig = *state;

	rig_make(rig);
	uint32_t rule =
		rig_rule(rig, "admin-identify,count=2:status=generic/24h");
	rig_rule(rig, "admin-create-iosq,nth=1:status=generic/6h");
	rig_open(rig);

	assert_int_equal(rig_hits(rig, rule), 2);
	assert_int_equal(rig->drv->admin->trouble.retried[HF_RETRY_NOT_READY],
			 2);
	assert_int_equal(rig->drv->admin->trouble.retried[HF_RETRY_INTERNAL],
			 1);
}

static void a_completion_of_the_last_try_is_not_the_next_one_s(void **state)
{
	struct rig *rig = *state;
	struct one one;

	one_open(&one, rig);
	rig_fill(one.data, 4096, 3);
	rig_rule(rig, "io-read,nth=1:status=generic/82h,repeat=3");
	one_submit(&one, HF_OP_READ, 8);

	/* The controller lied and is reset; the command was not in its hands,
	 * and goes on afterwards. */
	assert_int_equal(rig_finish(rig, one.queue, &one.work), 0);
	assert_int_equal(rig->drv->lies, 1);
	assert_int_equal(rig->drv->io[0]->trouble.lies[HF_LIE_STALE_COMMAND],
			 3);
	assert_int_equal(rig->drv->resets, 1);
	hf_queue_close(one.queue);
}

static void reset_now(struct rig *rig)
{
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "the test asks for it");
	pthread_mutex_unlock(&rig->drv->control);
	hf_driver_kick(rig->drv);
}

static void what_waits_goes_on_after_a_reset(void **state)
{
	struct rig *rig = *state;
	struct one one;

	one_open(&one, rig);
	rig_fill(one.data, 4096, 4);
	rig_rule(rig, "io-write,nth=1:status=generic/82h");
	one_submit(&one, HF_OP_WRITE, 8);
	waits(&one);
	reset_now(rig);

	/* Not "may have happened": it had not. */
	assert_int_equal(rig_finish(rig, one.queue, &one.work), 0);
	assert_int_equal(rig->drv->resets, 1);
	hf_queue_close(one.queue);
}

static void what_waits_ends_once_when_the_controller_is_lost(void **state)
{
	struct rig *rig = *state;
	struct one one;

	one_open(&one, rig);
	rig_rule(rig, "io-read,nth=1:status=generic/82h");
	one_submit(&one, HF_OP_READ, 8);
	waits(&one);
	rig_rule(rig, "now:gone");
	reset_now(rig);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_LOST);
	rig_turn(rig, 200);

	assert_int_equal(one.work.calls, 1);
	assert_int_equal(one.work.result, -ENODEV);
	hf_queue_close(one.queue);
}

static void what_waits_ends_once_when_the_driver_is_closed(void **state)
{
	struct rig *rig = *state;
	struct one one;

	one_open(&one, rig);
	rig_rule(rig, "io-read,nth=1:status=generic/82h");
	one_submit(&one, HF_OP_READ, 8);
	waits(&one);
	hf_queue_close(one.queue);
	rig_close(rig);

	assert_int_equal(one.work.calls, 1);
	assert_int_equal(one.work.result, -ECANCELED);
}

static void one_that_took_too_long_is_not_begun_anew(void **state)
{
	struct rig *rig = *state;
	struct one one;

	rig->options.io_timeout_ms = 300;
	one_open(&one, rig);
	uint32_t rule = rig_rule(rig, "io-read:hold");
	one_submit(&one, HF_OP_READ, 8);

	/* It was aborted, by us, and did end with that status. */
	assert_int_equal(rig_finish(rig, one.queue, &one.work) & 0x7ff, 0x007);
	assert_int_equal(rig_hits(rig, rule), 1);
	assert_int_equal(rig->drv->aborts, 1);
	assert_int_equal(rig->drv->resets, 0);
	hf_queue_close(one.queue);
}

/* Many at once, each a few times: none is lost, none ends twice. */
static void a_storm_of_retries_ends_each_once(void **state)
{
	enum { COUNT = 200 };
	struct rig *rig = *state;
	struct rig_io *work = calloc(COUNT, sizeof(*work));
	struct one one;

	rig->options.retries = 50;
	one_open(&one, rig);
	rig_rule(rig, "io,prob=0.4,seed=5:status=generic/21h");
	rig_rule(rig, "io,prob=0.05,seed=6:status=generic/82h");
	for (uint32_t i = 0; i < COUNT; i++) {
		struct hf_io *io = &work[i].io;

		rig_prep(&work[i], rig->ns, i % 2 ? HF_OP_READ : HF_OP_WRITE,
			 i * 8, 8, one.data);
		assert_int_equal(hf_submit(one.queue, &io, 1), 1);
	}
	for (uint32_t i = 0; i < COUNT; i++) {
		if (work[i].calls == 0) {
			(void)rig_finish(rig, one.queue, &work[i]);
		}
		assert_int_equal(work[i].calls, 1);
		assert_int_equal(work[i].result, 0);
	}
	assert_true(retried(rig, HF_RETRY_INTERRUPTED) > 50);
	assert_int_equal(rig->drv->lies, 0);
	hf_queue_close(one.queue);
	free(work);
}

static bool all_ended(void *arg)
{
	const struct rig_io *work = arg;
	uint32_t ended = 0;

	for (uint32_t i = 0; i < 200; i++) {
		ended += __atomic_load_n(&work[i].calls, __ATOMIC_ACQUIRE) != 0;
	}
	return ended == 200;
}

/* The same with threads, and resets at any moment: what waits is not
 * forgotten by a queue that was fenced meanwhile. */
static void a_storm_of_retries_and_resets_ends_each_once(void **state)
{
	enum { COUNT = 200 };
	struct rig *rig = *state;
	struct rig_io *work = calloc(COUNT, sizeof(*work));
	struct hf_queue *queue;

	rig->options.retries = 50;
	rig->options.runtime = true;
	rig_open(rig);
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	assert_int_equal(
		hf_queue_open(&queue, rig->drv, 0, HF_THREAD, &rig->err), 0);
	rig_rule(rig, "io,prob=0.4,seed=5:status=generic/21h");
	rig_rule(rig, "io,prob=0.05,seed=6:status=generic/82h");
	for (uint32_t i = 0; i < COUNT; i++) {
		struct hf_io *io = &work[i].io;

		rig_prep(&work[i], rig->ns, i % 2 ? HF_OP_READ : HF_OP_WRITE,
			 i * 8, 8, data);
		assert_int_equal(hf_submit(queue, &io, 1), 1);
		if (i % 20 == 19) {
			reset_now(rig);
			(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
		}
	}
	rig_until(rig, all_ended, work);

	for (uint32_t i = 0; i < COUNT; i++) {
		assert_int_equal(work[i].calls, 1);
		assert_true(work[i].result == 0 ||
			    work[i].result == -ECONNRESET);
	}
	hf_queue_close(queue);
	rig_close(rig);
	free(work);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(one_that_was_interrupted_is_sent_again),
		rig_test(each_try_has_an_identifier_of_its_own),
		rig_test(statuses_are_told_apart),
		rig_test(tries_are_bounded),
		rig_test(no_retries_hand_each_error_to_the_caller),
		rig_test(the_controller_s_delay_is_kept),
		rig_test(a_controller_that_refuses_acre_is_used_without),
		rig_test(a_delay_beyond_the_deadline_ends_the_command_now),
		rig_test(parts_of_a_large_io_are_sent_again_each),
		rig_test(copied_data_is_sent_again_as_it_was),
		rig_test(a_blocking_call_waits_for_its_retries),
		rig_test(what_is_passed_through_is_the_caller_s_to_repeat),
		rig_test(the_driver_s_own_commands_are_sent_again),
		rig_test(a_completion_of_the_last_try_is_not_the_next_one_s),
		rig_test(what_waits_goes_on_after_a_reset),
		rig_test(what_waits_ends_once_when_the_controller_is_lost),
		rig_test(what_waits_ends_once_when_the_driver_is_closed),
		rig_test(one_that_took_too_long_is_not_begun_anew),
		rig_test(a_storm_of_retries_ends_each_once),
		rig_test(a_storm_of_retries_and_resets_ends_each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
