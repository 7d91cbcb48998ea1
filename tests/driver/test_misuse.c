/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what a caller gets wrong is refused before anything has changed, and
 *       what may be called twice is.
 * Method: a good I/O with one thing wrong in each case, on each way that an
 *         I/O can take; the controller counts what reaches it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "rig.h"

enum {
	BLOCKS = (16 << 20) / 512,
};

/* What one case changes in an I/O that is right. */
struct wrong {
	const char *what;
	void (*spoil)(struct hf_io *io);
	int refusal;
};

static uint8_t page[4096];
static const struct iovec nowhere[] = {{page, 256}, {NULL, 256}};
static const struct iovec endless[] = {{page, SIZE_MAX}, {page, 2}};
static const struct iovec too_short[] = {{page, 511}};
static const struct hf_range outside = {.lba = BLOCKS - 1, .blocks = 2};
static const struct hf_range empty = {.lba = 0, .blocks = 0};
static struct hf_command command;

static void no_callback(struct hf_io *io)
{
	io->done = NULL;
}

static void no_namespace(struct hf_io *io)
{
	io->ns = NULL;
}

static void unknown_flag(struct hf_io *io)
{
	io->flags = 1u << 4;
}

static void unknown_flag_among_others(struct hf_io *io)
{
	io->flags = 1u << 31 | HF_IO_FUA;
}

static void unknown_operation(struct hf_io *io)
{
	io->op = (enum hf_op)(HF_OP_PASSTHROUGH + 1);
}

static void operation_below_all(struct hf_io *io)
{
	io->op = (enum hf_op) - 1;
}

static void no_blocks(struct hf_io *io)
{
	io->blocks = 0;
}

static void past_the_end(struct hf_io *io)
{
	io->lba = BLOCKS;
}

static void around_the_end(struct hf_io *io)
{
	io->lba = UINT64_MAX;
	io->blocks = 2;
}

static void too_many_blocks(struct hf_io *io)
{
	io->blocks = UINT64_MAX;
}

static void no_buffer(struct hf_io *io)
{
	io->buf = NULL;
}

static void no_list(struct hf_io *io)
{
	io->iov_count = 1;
}

static void list_of(struct hf_io *io, const struct iovec *iov, uint32_t count)
{
	io->iov = iov;
	io->iov_count = count;
}

static void list_with_a_hole(struct hf_io *io)
{
	list_of(io, nowhere, 2);
}

static void list_that_overflows(struct hf_io *io)
{
	list_of(io, endless, 2);
}

static void list_that_is_short(struct hf_io *io)
{
	list_of(io, too_short, 1);
}

static void comparing_with_nothing(struct hf_io *io)
{
	io->op = HF_OP_COMPARE;
	io->buf = NULL;
}

static void zeroes_past_the_end(struct hf_io *io)
{
	io->op = HF_OP_WRITE_ZEROES;
	io->lba = BLOCKS;
}

static void no_ranges(struct hf_io *io)
{
	io->op = HF_OP_DEALLOCATE;
}

static void ranges_from_nowhere(struct hf_io *io)
{
	io->op = HF_OP_DEALLOCATE;
	io->range_count = 3;
}

static void range_past_the_end(struct hf_io *io)
{
	io->op = HF_OP_DEALLOCATE;
	io->ranges = &outside;
	io->range_count = 1;
}

static void range_of_nothing(struct hf_io *io)
{
	io->op = HF_OP_DEALLOCATE;
	io->ranges = &empty;
	io->range_count = 1;
}

static void no_command(struct hf_io *io)
{
	io->op = HF_OP_PASSTHROUGH;
}

/* A command of 512 bytes that are read, but for what the case says. */
static void pass(struct hf_io *io, uint8_t opcode, void *data, uint32_t len)
{
	io->op = HF_OP_PASSTHROUGH;
	io->command = &command;
	command = (struct hf_command){.opcode = opcode,
				      .nsid = 1,
				      .data = data,
				      .data_len_bytes = len};
}

static void command_without_its_buffer(struct hf_io *io)
{
	pass(io, 0x02, NULL, 512);
}

static void command_without_a_length(struct hf_io *io)
{
	pass(io, 0x02, page, 0);
}

static void command_that_is_too_long(struct hf_io *io)
{
	pass(io, 0x02, page, UINT32_MAX);
}

static void write_that_would_fill(struct hf_io *io)
{
	pass(io, 0x01, page, 512);
}

static void read_that_would_send(struct hf_io *io)
{
	pass(io, 0x02, page, 512);
	command.to_device = 1;
}

static const struct wrong wrongs[] = {
	{"no callback", no_callback, -EINVAL},
	{"no namespace", no_namespace, -EINVAL},
	{"an unknown flag", unknown_flag, -EINVAL},
	{"an unknown flag among others", unknown_flag_among_others, -EINVAL},
	{"an unknown operation", unknown_operation, -EINVAL},
	{"an operation below all", operation_below_all, -EINVAL},
	{"no blocks", no_blocks, -EINVAL},
	{"past the end", past_the_end, -ERANGE},
	{"around the end", around_the_end, -ERANGE},
	{"too many blocks", too_many_blocks, -ERANGE},
	{"no buffer", no_buffer, -EINVAL},
	{"no list", no_list, -EINVAL},
	{"a list with a hole", list_with_a_hole, -EINVAL},
	{"a list that overflows", list_that_overflows, -EINVAL},
	{"a list that is short", list_that_is_short, -EINVAL},
	{"comparing with nothing", comparing_with_nothing, -EINVAL},
	{"zeroes past the end", zeroes_past_the_end, -ERANGE},
	{"no ranges", no_ranges, -EINVAL},
	{"ranges from nowhere", ranges_from_nowhere, -EINVAL},
	{"a range past the end", range_past_the_end, -ERANGE},
	{"a range of nothing", range_of_nothing, -EINVAL},
	{"no command", no_command, -EINVAL},
	{"a command without its buffer", command_without_its_buffer, -EINVAL},
	{"a command without a length", command_without_a_length, -EINVAL},
	{"a command that is too long", command_that_is_too_long, -EMSGSIZE},
	{"a write that would fill", write_that_would_fill, -EINVAL},
	{"a read that would send", read_that_would_send, -EINVAL},
};

static uint64_t commands(struct rig *rig)
{
	struct hf_emu_stats stats = rig_stats(rig);
	uint64_t all = 0;

	for (size_t i = 0; i < HF_ARRAY_LEN(stats.io_commands); i++) {
		all += stats.io_commands[i];
	}
	return all;
}

static struct hf_queue *queue_of(struct rig *rig, uint32_t cpu)
{
	struct hf_queue *queue;

	assert_int_equal(
		hf_queue_open(&queue, rig->drv, cpu, HF_POLL, &rig->err), 0);
	return queue;
}

/* Between two that are right: the first is taken, the third is not looked at,
 * and the one in question is as it was. */
static void refused_in_a_batch(struct rig *rig, struct hf_queue *queue,
			       const struct wrong *wrong, void *buf)
{
	struct rig_io work[3];
	struct hf_io *ios[3];

	for (uint32_t i = 0; i < 3; i++) {
		rig_prep(&work[i], rig->ns, HF_OP_READ, 0, 1, buf);
		ios[i] = &work[i].io;
	}
	wrong->spoil(ios[1]);
	struct hf_io before = *ios[1];
	assert_int_equal(hf_submit(queue, ios, 3), 1);
	int rc = hf_submit(queue, ios + 1, 2);
	if (rc != wrong->refusal) {
		fail_msg("%s: %d", wrong->what, rc);
	}
	assert_memory_equal(&before, ios[1], sizeof(before));
	assert_int_equal(rig_finish(rig, queue, &work[0]), 0);
	assert_int_equal(work[1].calls, 0);
	assert_int_equal(work[2].calls, 0);
}

static void what_is_wrong_in_an_io_is_refused(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	void *near = hf_dma_alloc(rig->drv, 4096, &rig->err);
	struct hf_queue *queue = queue_of(rig, 0);
	uint64_t before = commands(rig);
	for (size_t i = 0; i < HF_ARRAY_LEN(wrongs); i++) {
		/* The short way, and the one through bounce pages. */
		refused_in_a_batch(rig, queue, &wrongs[i], near);
		refused_in_a_batch(rig, queue, &wrongs[i], page);
	}

	assert_int_equal(commands(rig) - before, 2 * HF_ARRAY_LEN(wrongs));
	hf_queue_close(queue);
}

/* Nothing waits for a queue pair either, and none is made for it. */
static void what_is_wrong_is_refused_before_there_is_a_queue(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	struct hf_queue *queue = queue_of(rig, 1);
	for (size_t i = 0; i < HF_ARRAY_LEN(wrongs); i++) {
		struct rig_io work;
		struct hf_io *io = &work.io;

		rig_prep(&work, rig->ns, HF_OP_READ, 0, 1, page);
		wrongs[i].spoil(io);
		int rc = hf_submit(queue, &io, 1);
		if (rc != wrongs[i].refusal) {
			fail_msg("%s: %d", wrongs[i].what, rc);
		}
	}
	rig_turn(rig, 5);

	assert_int_equal(rig->drv->io_count, 1);
	hf_queue_close(queue);
}

/* It would be read and written on the wrong controller. */
static void another_driver_s_namespace_is_refused(void **state)
{
	struct rig *rig = *state;
	void *other_state = NULL;

	rig_open(rig);
	(void)rig_setup(&other_state);
	struct rig *other = other_state;
	rig_open(other);
	uint64_t before = commands(rig) + commands(other);
	for (uint32_t cpu = 0; cpu < 2; cpu++) {
		struct hf_queue *queue = queue_of(rig, cpu);
		struct rig_io work;
		struct hf_io *io = &work.io;

		rig_prep(&work, other->ns, HF_OP_WRITE, 0, 1, page);
		assert_int_equal(hf_submit(queue, &io, 1), -EINVAL);
		io->buf = hf_dma_alloc(rig->drv, 4096, &rig->err);
		assert_int_equal(hf_submit(queue, &io, 1), -EINVAL);
		hf_queue_close(queue);
	}

	assert_int_equal(commands(rig) + commands(other), before);
	(void)rig_teardown(&other_state);
}

/* Twice on its queue, in one batch, on another queue; then it ends once, and
 * may be submitted again as it is. */
static void submit_twice(struct rig *rig, void *buf, uint32_t blocks)
{
	struct hf_queue *queues[] = {queue_of(rig, 0), queue_of(rig, 1)};
	uint32_t rule = rig_rule(rig, "io-read:hold");
	struct rig_io work;
	struct hf_io *list[] = {&work.io, &work.io};

	rig_prep(&work, rig->ns, HF_OP_READ, 0, blocks, buf);
	assert_int_equal(hf_submit(queues[0], list, 2), 1);
	work.io.flags = HF_IO_NOWAIT;
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(hf_submit(queues[i], list, 1), -EBUSY);
	}
	work.io.flags = 0;
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(hf_submit(queues[i], list, 2), -EBUSY);
	}
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(rig_finish(rig, queues[0], &work), 0);
	assert_int_equal(hf_submit(queues[1], list, 1), 1);
	while (work.calls == 1) {
		rig_turn(rig, 1);
		(void)hf_reap(queues[1], 8);
	}
	assert_int_equal(work.calls, 2);
	assert_int_equal(work.result, 0);
	hf_queue_close(queues[0]);
	hf_queue_close(queues[1]);
}

static void what_is_under_way_is_not_submitted_again(void **state)
{
	enum { LARGE = 256 };
	struct rig *rig = *state;
	uint8_t *copied = malloc(LARGE * 512);

	rig->emu_options.mdts = 1;
	rig->options.queue_entries = 8;
	rig_open(rig);
	uint8_t *mine = hf_dma_alloc(rig->drv, LARGE * 512, &rig->err);
	/* The short way, copied, cut into parts some of which wait in line. */
	submit_twice(rig, mine, 1);
	submit_twice(rig, copied, 1);
	submit_twice(rig, mine, LARGE);
	submit_twice(rig, copied, LARGE);
	free(copied);
}

/* In line for a queue pair that is not there yet, or behind others. */
static void what_waits_is_not_submitted_again(void **state)
{
	struct rig *rig = *state;
	struct rig_io work[8];

	rig->options.queue_entries = 4;
	rig_open(rig);
	uint32_t rule = rig_rule(rig, "admin-create-iocq:hold");
	struct hf_queue *queue = queue_of(rig, 1);
	for (uint32_t i = 0; i < HF_ARRAY_LEN(work); i++) {
		struct hf_io *io = &work[i].io;

		rig_prep(&work[i], rig->ns, HF_OP_READ, i, 1, page);
		assert_int_equal(hf_submit(queue, &io, 1), 1);
		assert_int_equal(hf_submit(queue, &io, 1), -EBUSY);
	}
	uint32_t reads = rig_rule(rig, "io-read:hold");
	(void)hf_emu_fault_remove(rig->emu, rule);
	while (rig_hits(rig, reads) == 0) {
		rig_turn(rig, 1);
	}
	for (uint32_t i = 0; i < HF_ARRAY_LEN(work); i++) {
		struct hf_io *io = &work[i].io;

		assert_int_equal(hf_submit(queue, &io, 1), -EBUSY);
	}
	(void)hf_emu_fault_remove(rig->emu, reads);
	for (uint32_t i = 0; i < HF_ARRAY_LEN(work); i++) {
		assert_int_equal(rig_finish(rig, queue, &work[i]), 0);
		assert_int_equal(work[i].calls, 1);
	}
	hf_queue_close(queue);
}

/* One that was refused is the caller's, and may be submitted again. */
static void what_was_refused_may_be_submitted_again(void **state)
{
	struct rig *rig = *state;
	struct rig_io work[8];
	uint32_t taken = 0;

	rig->options.queue_entries = 4;
	rig_open(rig);
	struct hf_queue *queue = queue_of(rig, 0);
	uint32_t rule = rig_rule(rig, "io-read:hold");
	for (uint32_t i = 0; i < HF_ARRAY_LEN(work); i++) {
		struct hf_io *io = &work[i].io;

		rig_prep(&work[i], rig->ns, HF_OP_READ, i, 1, page);
		io->flags = HF_IO_NOWAIT;
		int rc = hf_submit(queue, &io, 1);
		taken += rc == 1;
		assert_true(rc == 1 || rc == -EAGAIN);
	}
	assert_in_range(taken, 1, HF_ARRAY_LEN(work) - 2);
	(void)hf_emu_fault_remove(rig->emu, rule);
	for (uint32_t i = 0; i < HF_ARRAY_LEN(work); i++) {
		struct hf_io *io = &work[i].io;

		if (i >= taken) {
			assert_int_equal(hf_submit(queue, &io, 1), 1);
		}
		assert_int_equal(rig_finish(rig, queue, &work[i]), 0);
	}
	hf_queue_close(queue);
}

static void an_admin_command_that_goes_the_other_way_is_refused(void **state)
{
	struct rig *rig = *state;
	struct hf_command identify = {.opcode = 0x06,
				      .cdw10 = 1,
				      .data = page,
				      .data_len_bytes = sizeof(page),
				      .to_device = 1};

	rig_open(rig);
	assert_int_equal(hf_admin_command(rig->drv, &identify, &rig->err),
			 -EINVAL);
	assert_non_null(strstr(rig->err.message, "direction"));
	identify.to_device = 0;

	assert_int_equal(hf_admin_command(rig->drv, &identify, &rig->err), 0);
}

static void a_queue_may_be_closed_twice(void **state)
{
	struct rig *rig = *state;
	struct rig_io work;
	struct hf_io *io = &work.io;

	rig_open(rig);
	struct hf_queue *queue = queue_of(rig, 0);
	rig_prep(&work, rig->ns, HF_OP_READ, 0, 1, page);
	assert_int_equal(hf_submit(queue, &io, 1), 1);
	hf_queue_close(queue);
	hf_queue_close(queue);
	hf_queue_close(NULL);

	/* What was under way lives on, and the next handle finds it. */
	queue = queue_of(rig, 0);
	assert_int_equal(rig_finish(rig, queue, &work), 0);
	hf_queue_close(queue);
}

/* In whichever order, also when the controller is lost; nothing is nothing. */
static void everything_closes_after_the_controller_is_lost(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(hf_driver_close(NULL, &rig->err), 0);
	hf_namespace_close(NULL);
	hf_device_close(NULL);
	rig_open(rig);
	struct hf_queue *queue = queue_of(rig, 0);
	rig_rule(rig, "now:gone");
	struct rig_io work;
	struct hf_io *io = &work.io;
	rig_prep(&work, rig->ns, HF_OP_READ, 0, 1, page);
	assert_int_equal(hf_submit(queue, &io, 1), 1);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_LOST);
	assert_int_equal(work.calls, 1);
	hf_queue_close(queue);
	hf_queue_close(queue);

	rig_close(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(what_is_wrong_in_an_io_is_refused),
		rig_test(what_is_wrong_is_refused_before_there_is_a_queue),
		rig_test(another_driver_s_namespace_is_refused),
		rig_test(what_is_under_way_is_not_submitted_again),
		rig_test(what_waits_is_not_submitted_again),
		rig_test(what_was_refused_may_be_submitted_again),
		rig_test(an_admin_command_that_goes_the_other_way_is_refused),
		rig_test(a_queue_may_be_closed_twice),
		rig_test(everything_closes_after_the_controller_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
