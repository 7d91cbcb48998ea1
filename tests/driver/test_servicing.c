/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whenever a driver is saved or killed, its successor goes on: the
 *       controller is not reset and not asked anything, each I/O ends once,
 *       events are not lost, memory in use stays so.
 * Method: drivers follow one another on one emulated controller that counts
 *         commands; I/O is held in it where it has to be under way. Each test
 *         runs with a saved and with a killed predecessor.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "driver/bring_up.h"
#include "heir.h"

#define COOKIE   UINT64_C(0x5e00000000)
#define WORK_MAX 40u

/* The I/O of a test, and its ends in whichever driver. */
struct load {
	struct rig_io work[WORK_MAX];
	struct hf_queue *queue;
	uint32_t attached;
};

static struct load *load_of(struct rig *rig, uint32_t cpu)
{
	struct load *load = calloc(1, sizeof(*load));

	assert_non_null(load);
	assert_int_equal(
		hf_queue_open(&load->queue, rig->drv, cpu, HF_POLL, &rig->err),
		0);
	return load;
}

static void put(struct rig *rig, struct load *load, uint32_t i, enum hf_op op,
		uint64_t lba, uint64_t blocks, void *buf)
{
	struct hf_io *io = &load->work[i].io;

	rig_prep(&load->work[i], rig->ns, op, lba, blocks, buf);
	io->cookie = COOKIE + i;
	assert_int_equal(hf_submit(load->queue, &io, 1), 1);
}

/* Attaches to all that is left; @buf takes what is bounced. */
static uint32_t attach(struct rig *rig, struct load *load, void *buf)
{
	struct hf_inflight old;
	uint64_t cursor = 0;
	uint32_t found = 0;

	while (hf_inflight_next(rig->drv, &cursor, &old) == 1) {
		uint64_t i = old.cookie - COOKIE;

		assert_in_range(i, 0, WORK_MAX - 1);
		rig_prep(&load->work[i], rig->ns, old.op, old.lba, old.blocks,
			 old.bounced && buf != NULL ? (uint8_t *)buf + i * 4096
						    : old.buf);
		if (hf_io_attach(&load->work[i].io, &old, &rig->err) != 0) {
			fail_msg("%s", rig->err.message);
		}
		found++;
	}
	return found;
}

static void reopen(struct rig *rig, struct load *load, uint32_t cpu)
{
	assert_int_equal(
		hf_queue_open(&load->queue, rig->drv, cpu, HF_POLL, &rig->err),
		0);
}

static void drop(struct load *load)
{
	hf_queue_close(load->queue);
	free(load);
}

struct goal {
	struct rig *rig;
	uint32_t rule;
	uint64_t hits;
};

static bool was_hit(void *arg)
{
	const struct goal *goal = arg;

	return hf_emu_fault_hits(goal->rig->emu, goal->rule) >= goal->hits;
}

/* Until the rule has seen so much. */
static void until_hit(struct rig *rig, uint32_t rule, uint64_t hits)
{
	struct goal goal = {.rig = rig, .rule = rule, .hits = hits};

	rig_until(rig, was_hit, &goal);
}

static void begin(struct rig *rig)
{
	rig_open(rig);
	heirs_begin(rig);
}

/* A controller that was not asked anything, nor reset. */
static void assert_left_alone(const struct hf_emu_stats *before,
			      const struct hf_emu_stats *after)
{
	assert_memory_equal(before->admin_commands, after->admin_commands,
			    sizeof(before->admin_commands));
	assert_int_equal(before->enables, after->enables);
	assert_int_equal(before->resets, after->resets);
	assert_int_equal(before->reg_writes, after->reg_writes);
}

static void the_device_lives_through_restarts(struct rig *rig, bool planned)
{
	uint8_t block[512];
	uint8_t back[512];

	begin(rig);
	rig_fill(block, 512, 1);
	assert_int_equal(hf_write(rig->ns, 7, 1, block), 0);
	for (uint32_t i = 0; i < 4; i++) {
		struct hf_emu_stats before = rig_stats(rig);

		heirs_replace(rig, planned);
		rig_turn(rig, 20);
		struct hf_emu_stats after = rig_stats(rig);
		assert_left_alone(&before, &after);
		assert_int_equal(hf_read(rig->ns, 7, 1, back), 0);
		assert_memory_equal(block, back, 512);
	}
	assert_int_equal(rig_stats(rig).enables, 1);
}

/* No Identify is believed, since none is sent. */
static void what_identify_would_say_is_not_asked(struct rig *rig, bool planned)
{
	struct hf_namespace_info before;
	struct hf_namespace_info after;

	begin(rig);
	hf_namespace_get_info(rig->ns, &before);
	uint32_t identify =
		rig_rule(rig, "admin-identify:patch=0/0001000000000000");
	uint32_t create = rig_rule(rig, "admin-create-iocq:note");
	uint32_t event = rig_rule(rig, "aer:note");
	heirs_replace(rig, planned);
	rig_turn(rig, 20);
	hf_namespace_get_info(rig->ns, &after);
	assert_int_equal(before.blocks, after.blocks);
	assert_int_equal(rig_hits(rig, identify), 0);
	assert_int_equal(rig_hits(rig, create), 0);
	assert_int_equal(rig_hits(rig, event), 0);
}

static void i_o_under_way_ends_once_with_the_successor(struct rig *rig,
						       bool planned)
{
	begin(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 10 * 512, &rig->err);
	for (uint32_t i = 0; i < 10; i++) {
		rig_fill(data + i * 512, 512, i);
		assert_int_equal(hf_write(rig->ns, i, 1, data + i * 512), 0);
	}
	memset(data, 0, 10 * 512);
	uint32_t rule = rig_rule(rig, "io-read:hold");
	for (uint32_t i = 0; i < 10; i++) {
		put(rig, load, i, HF_OP_READ, i, 1, data + i * 512);
	}
	until_hit(rig, rule, 10);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(attach(rig, load, NULL), 10);
	assert_int_equal(attach(rig, load, NULL), 0);
	reopen(rig, load, 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(rig_finish(rig, load->queue, &load->work[i]),
				 0);
		assert_true(rig_is_filled(load->work[i].io.buf, 512, i));
	}
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_read], 10);
	drop(load);
}

/* What a driver that throws results away would have to ask again. */
static void results_of_the_time_between_reach_the_caller(struct rig *rig,
							 bool planned)
{
	begin(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 4 * 512, &rig->err);
	data[2 * 512] = 1; /* not what is there */
	uint32_t rule = rig_rule(rig, "io-compare:hold");
	for (uint32_t i = 0; i < 4; i++) {
		put(rig, load, i, HF_OP_COMPARE, i, 1, data + i * 512);
	}
	until_hit(rig, rule, 4);
	hf_queue_close(load->queue);
	assert_int_equal(heirs_let_go(rig, planned), 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(heirs_restore(rig), 0);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
	assert_int_equal(attach(rig, load, NULL), 4);
	reopen(rig, load, 0);
	for (uint32_t i = 0; i < 4; i++) {
		int result = rig_finish(rig, load->queue, &load->work[i]);

		assert_int_equal(result & 0x7ff,
				 i == 2 ? NVME_SCT_MEDIA << 8 |
						  NVME_SC_COMPARE_FAILED
					: 0);
	}
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_compare], 4);
	drop(load);
}

static void whoever_attaches_to_nothing_loses_nothing(struct rig *rig,
						      bool planned)
{
	begin(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 6 * 512, &rig->err);
	uint32_t rule = rig_rule(rig, "io-write:hold");
	for (uint32_t i = 0; i < 6; i++) {
		put(rig, load, i, HF_OP_WRITE, i, 1, data + i * 512);
	}
	until_hit(rig, rule, 6);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	(void)hf_emu_fault_remove(rig->emu, rule);
	/* It works, and what ends meanwhile waits. */
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(hf_read(rig->ns, 100, 1, data), 0);
	}
	heirs_replace(rig, planned);
	assert_int_equal(attach(rig, load, NULL), 6);
	reopen(rig, load, 0);
	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(rig_finish(rig, load->queue, &load->work[i]),
				 0);
	}
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_write], 6);
	drop(load);
}

static void a_full_queue_is_handed_over(struct rig *rig, bool planned)
{
	rig->options.queue_entries = 8;
	begin(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 20 * 512, &rig->err);
	uint32_t rule = rig_rule(rig, "io-write:hold");
	for (uint32_t i = 0; i < 20; i++) {
		put(rig, load, i, HF_OP_WRITE, i, 1, data + i * 512);
	}
	until_hit(rig, rule, 6);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	for (uint32_t i = 6; i < 20; i++) {
		/* Not begun: told so by who saved, and by nobody who died. */
		assert_int_equal(load->work[i].calls, planned ? 1 : 0);
		assert_true(!planned || load->work[i].result == -ECANCELED);
	}
	assert_int_equal(attach(rig, load, NULL), 6);
	reopen(rig, load, 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(rig_finish(rig, load->queue, &load->work[i]),
				 0);
	}
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_write], 6);
	drop(load);
}

/* Pages of a bounced read are the controller's until it has ended. */
static void pages_of_commands_under_way_stay_theirs(struct rig *rig,
						    bool planned)
{
	uint8_t *old = calloc(WORK_MAX, 4096);
	uint8_t *new_data = calloc(1, 4096);

	rig->options.bounce = true;
	rig->options.pool_pages = 32;
	begin(rig);
	struct load *load = load_of(rig, 0);
	for (uint32_t i = 0; i < 4; i++) {
		rig_fill(old, 4096, i);
		assert_int_equal(hf_write(rig->ns, 8 * i, 8, old), 0);
	}
	uint32_t rule = rig_rule(rig, "io-read,lba=0-31:hold");
	for (uint32_t i = 0; i < 4; i++) {
		put(rig, load, i, HF_OP_READ, 8 * i, 8, old + i * 4096);
	}
	until_hit(rig, rule, 4);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	/* More than the pool has pages, so that each free one is used. */
	for (uint32_t i = 0; i < 40; i++) {
		rig_fill(new_data, 4096, 100 + i);
		assert_int_equal(hf_write(rig->ns, 1000 + 8 * i, 8, new_data),
				 0);
	}
	memset(old, 0, WORK_MAX * 4096);
	assert_int_equal(attach(rig, load, old), 4);
	reopen(rig, load, 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(rig_finish(rig, load->queue, &load->work[i]),
				 0);
		assert_true(rig_is_filled(old + i * 4096, 4096, i));
	}
	for (uint32_t i = 0; i < 40; i++) {
		assert_int_equal(hf_read(rig->ns, 1000 + 8 * i, 8, new_data),
				 0);
		assert_true(rig_is_filled(new_data, 4096, 100 + i));
	}
	drop(load);
	free(old);
	free(new_data);
}

static void a_large_i_o_comes_back_whole(struct rig *rig, bool planned)
{
	rig->emu_options.mdts = 1;
	rig->options.queue_entries = 6;
	begin(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 128 * 512, &rig->err);
	rig_fill(data, 128 * 512, 3);
	uint32_t rule = rig_rule(rig, "io-write:hold");
	put(rig, load, 0, HF_OP_WRITE, 0, 128, data);
	until_hit(rig, rule, 4);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(attach(rig, load, NULL), 1);
	assert_int_equal(load->work[0].io.blocks, 128);
	reopen(rig, load, 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_write], 8);
	data = load->work[0].io.buf;
	memset(data, 0, 128 * 512);
	assert_int_equal(hf_read(rig->ns, 0, 128, data), 0);
	assert_true(rig_is_filled(data, 128 * 512, 3));
	drop(load);
}

static void the_callers_memory_is_found_again(struct rig *rig, bool planned)
{
	uint32_t cursor = 0;
	uint64_t len = 0;
	void *memory = NULL;

	begin(rig);
	uint8_t *first = hf_dma_alloc(rig->drv, 4096, &rig->err);
	uint8_t *second = hf_dma_alloc(rig->drv, 3 * 4096, &rig->err);
	memset(first, 0x11, 4096);
	memset(second, 0x22, 3 * 4096);
	heirs_replace(rig, planned);
	assert_int_equal(hf_dma_next(rig->drv, &cursor, &memory, &len), 1);
	assert_int_equal(len, 4096);
	assert_int_equal(*(uint8_t *)memory, 0x11);
	assert_int_equal(hf_dma_next(rig->drv, &cursor, &memory, &len), 1);
	assert_int_equal(len, 3 * 4096);
	assert_int_equal(*(uint8_t *)memory, 0x22);
	assert_int_equal(hf_dma_next(rig->drv, &cursor, &memory, &len), 0);
	/* What nobody asked about stays in use. */
	uint8_t *third = hf_dma_alloc(rig->drv, 4096, &rig->err);
	assert_int_equal(*third, 0);
	assert_int_equal(*(uint8_t *)memory, 0x22);
}

static void only_queues_with_commands_come_at_once(struct rig *rig,
						   bool planned)
{
	rig->options.cpu_count = 4;
	rig->options.io_queues = 4;
	begin(rig);
	struct load *load = NULL;
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	for (uint32_t cpu = 0; cpu < 4; cpu++) {
		struct load *each = load_of(rig, cpu);

		put(rig, each, 0, HF_OP_READ, 0, 1, data);
		assert_int_equal(rig_finish(rig, each->queue, &each->work[0]),
				 0);
		if (cpu == 2) {
			load = each;
		} else {
			drop(each);
		}
	}
	uint32_t rule = rig_rule(rig, "io-write:hold");
	put(rig, load, 1, HF_OP_WRITE, 0, 1, data);
	until_hit(rig, rule, 1);
	hf_queue_close(load->queue);
	struct hf_emu_stats before = rig_stats(rig);
	heirs_replace(rig, planned);
	assert_non_null(rig->drv->io[0]);
	assert_null(rig->drv->io[1]);
	assert_non_null(rig->drv->io[2]);
	assert_null(rig->drv->io[3]);
	assert_int_equal(attach(rig, load, NULL), 1);
	reopen(rig, load, 3);
	put(rig, load, 2, HF_OP_READ, 0, 1, data);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[2]), 0);
	assert_non_null(rig->drv->io[3]);
	struct hf_emu_stats after = rig_stats(rig);
	assert_left_alone(&before, &after);
	(void)hf_emu_fault_remove(rig->emu, rule);
	hf_queue_close(load->queue);
	reopen(rig, load, 2);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[1]), 0);
	drop(load);
}

static void a_queue_made_after_a_restore_has_its_own_number(struct rig *rig,
							    bool planned)
{
	rig->options.cpu_count = 4;
	rig->options.io_queues = 4;
	begin(rig);
	uint8_t *data = malloc(512);
	for (uint32_t cycle = 0; cycle < 3; cycle++) {
		struct load *load;

		heirs_replace(rig, planned);
		load = load_of(rig, cycle + 1);
		put(rig, load, 0, HF_OP_READ, 0, 1, data);
		assert_int_equal(rig_finish(rig, load->queue, &load->work[0]),
				 0);
		assert_int_equal(rig->drv->io[cycle + 1]->qid, cycle + 2);
		assert_int_equal(
			rig_stats(rig).admin_commands[nvme_admin_create_sq],
			cycle + 2);
		drop(load);
	}
	assert_int_equal(rig_stats(rig).errors, 0);
	free(data);
}

static void a_queue_in_the_making(struct rig *rig, bool planned,
				  const char *rule_text)
{
	rig->options.cpu_count = 2;
	rig->options.io_queues = 2;
	begin(rig);
	struct load *load = load_of(rig, 1);
	uint8_t *data = malloc(512);
	uint32_t rule = rig_rule(rig, rule_text);
	put(rig, load, 0, HF_OP_READ, 0, 1, data);
	until_hit(rig, rule, 1);
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
	put(rig, other, 0, HF_OP_READ, 0, 1, data);
	assert_int_equal(rig_finish(rig, other->queue, &other->work[0]), 0);
	drop(other);
	(void)hf_emu_fault_remove(rig->emu, rule);
	reopen(rig, load, 1);
	put(rig, load, 1, HF_OP_READ, 0, 1, data);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[1]), 0);
	assert_int_equal(rig->drv->io[1]->cpu, 1);
	drop(load);
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

	begin(rig);
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

	begin(rig);
	uint32_t rule = rig_rule(rig, "admin-get-log-page:hold");
	assert_int_equal(
		hf_emu_namespace_resize(rig->emu, 1, 4096 * 512, &rig->err), 0);
	until_hit(rig, rule, 1);
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

	begin(rig);
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
	begin(rig);
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

static bool is_idle(void *arg)
{
	struct rig *rig = arg;

	return rig->drv->jobs.next == &rig->drv->jobs;
}

static void a_drain_is_a_barrier_over_all_queues(struct rig *rig, bool planned)
{
	rig->options.cpu_count = 3;
	rig->options.io_queues = 3;
	begin(rig);
	struct load *load = load_of(rig, 0);
	struct load *others[2];
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	others[0] = load_of(rig, 1);
	put(rig, others[0], 0, HF_OP_READ, 0, 1, data);
	assert_int_equal(rig_finish(rig, others[0]->queue, &others[0]->work[0]),
			 0);
	hf_queue_close(others[0]->queue);
	uint32_t rule = rig_rule(rig, "io-write,lba=5:hold");
	put(rig, load, 0, HF_OP_WRITE, 5, 1, data);
	until_hit(rig, rule, 1);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(hf_driver_drain_wait(rig->drv, 5, &rig->err),
			 -ETIMEDOUT);
	assert_non_null(strstr(rig->err.message, "still under way"));
	/* On the old queue, on one that was idle, on one that is made now. */
	reopen(rig, load, 0);
	reopen(rig, others[0], 1);
	others[1] = load_of(rig, 2);
	uint32_t note = rig_rule(rig, "io-read:note");
	put(rig, load, 1, HF_OP_READ, 1, 1, data);
	put(rig, others[0], 1, HF_OP_READ, 1, 1, data);
	put(rig, others[1], 1, HF_OP_READ, 1, 1, data);
	rig_turn(rig, 30);
	rig_until(rig, is_idle, rig);
	assert_int_equal(rig_hits(rig, note), 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(hf_driver_drain_wait(rig->drv, 20000, &rig->err), 0);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[1]), 0);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(
			rig_finish(rig, others[i]->queue, &others[i]->work[1]),
			0);
		drop(others[i]);
	}
	assert_int_equal(rig_hits(rig, note), 3);
	drop(load);
}

static void a_driver_that_drains_is_followed_by_another(struct rig *rig,
							bool planned)
{
	rig->emu_options.mdts = 1;
	begin(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 64 * 512, &rig->err);
	uint8_t private_[512];
	uint32_t rule = rig_rule(rig, "io:hold");
	put(rig, load, 0, HF_OP_WRITE, 0, 64, data); /* in four parts */
	put(rig, load, 1, HF_OP_READ, 200, 1, private_);
	until_hit(rig, rule, 5);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(hf_driver_drain_wait(rig->drv, 5, &rig->err),
			 -ETIMEDOUT);
	reopen(rig, load, 0);
	put(rig, load, 2, HF_OP_READ, 300, 1, data); /* behind the barrier */
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(load->work[2].calls, planned ? 1 : 0);
	assert_int_equal(hf_driver_drain_wait(rig->drv, 5, &rig->err),
			 -ETIMEDOUT);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(hf_driver_drain_wait(rig->drv, 20000, &rig->err), 0);
	assert_int_equal(hf_read(rig->ns, 0, 1, data), 0);
	assert_int_equal(rig->drv->io[0]->pending.in_use, 0);
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_write], 4);
	free(load);
}

static void a_reset_after_a_restore_ends_what_was_inherited(struct rig *rig,
							    bool planned)
{
	begin(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	uint32_t rule = rig_rule(rig, "io-write:hold");
	put(rig, load, 0, HF_OP_WRITE, 0, 1, data);
	put(rig, load, 1, HF_OP_WRITE, 1, 1, data);
	until_hit(rig, rule, 2);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(attach(rig, load, NULL), 2);
	reopen(rig, load, 0);
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "the test asks for it");
	pthread_mutex_unlock(&rig->drv->control);
	(void)hf_emu_fault_remove(rig->emu, rule);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]),
			 -ECONNRESET);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[1]),
			 -ECONNRESET);
	assert_int_equal(hf_read(rig->ns, 0, 1, data), 0);
	/* And the one after that finds a controller that was reset once. */
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(hf_read(rig->ns, 0, 1, load->work[0].io.buf), 0);
	free(load);
}

static void closing_after_a_restore_shuts_down(struct rig *rig, bool planned)
{
	begin(rig);
	heirs_replace(rig, planned);
	uint32_t shutdown =
		rig_rule(rig, "reg-cc,write,value=0x4001/0xc001:note");
	uint32_t disable = rig_rule(rig, "reg-cc,write,value=0/1:note");
	hf_namespace_close(rig->ns);
	rig->ns = NULL;
	assert_int_equal(hf_driver_close(rig->drv, &rig->err), 0);
	rig->drv = NULL;
	assert_int_equal(rig_hits(rig, shutdown), 1);
	assert_int_equal(rig_hits(rig, disable), 1);
}

static void who_does_not_want_the_state_clears_the_device(struct rig *rig,
							  bool planned)
{
	begin(rig);
	uint32_t disable = rig_rule(rig, "reg-cc,write,value=0/1:note");
	assert_int_equal(heirs_let_go(rig, planned), 0);
	assert_int_equal(heirs_adopt(rig), 0);
	assert_int_equal(hf_device_clear(rig->heirs->dev, &rig->err), 0);
	rig->heirs->dev = NULL;
	assert_int_equal(rig_hits(rig, disable), 1);
}

static void run(void **state, void (*test)(struct rig *rig, bool planned),
		bool planned)
{
	struct rig *rig = *state;

	test(rig, planned);
	hf_emu_fault_clear(rig->emu);
	heirs_end(rig);
}

#define BOTH(name)                                                             \
	static void name##_saved(void **state)                                 \
	{                                                                      \
		run(state, name, true);                                        \
	}                                                                      \
	static void name##_killed(void **state)                                \
	{                                                                      \
		run(state, name, false);                                       \
	}
#define LIST(name) rig_test(name##_saved), rig_test(name##_killed)

BOTH(the_device_lives_through_restarts)
BOTH(what_identify_would_say_is_not_asked)
BOTH(i_o_under_way_ends_once_with_the_successor)
BOTH(results_of_the_time_between_reach_the_caller)
BOTH(whoever_attaches_to_nothing_loses_nothing)
BOTH(a_full_queue_is_handed_over)
BOTH(pages_of_commands_under_way_stay_theirs)
BOTH(a_large_i_o_comes_back_whole)
BOTH(the_callers_memory_is_found_again)
BOTH(only_queues_with_commands_come_at_once)
BOTH(a_queue_made_after_a_restore_has_its_own_number)
BOTH(a_completion_queue_in_the_making_is_no_obstacle)
BOTH(a_submission_queue_in_the_making_is_no_obstacle)
BOTH(an_event_of_the_time_between_is_handled)
BOTH(an_event_whose_log_was_being_read_is_not_lost)
BOTH(another_namespace_in_its_place_is_not_taken_for_it)
BOTH(no_event_request_is_posted_twice)
BOTH(a_drain_is_a_barrier_over_all_queues)
BOTH(a_driver_that_drains_is_followed_by_another)
BOTH(a_reset_after_a_restore_ends_what_was_inherited)
BOTH(closing_after_a_restore_shuts_down)
BOTH(who_does_not_want_the_state_clears_the_device)

/* One step each: an I/O more, the controller goes on, one completion is
 * taken. */
static const char steps[] = "SSeSereSeerreSeererer";

static void take_steps(struct rig *rig, struct load *load, uint8_t *data,
		       size_t count, uint32_t *submitted)
{
	for (size_t i = 0; i < count; i++) {
		if (steps[i] == 'S') {
			put(rig, load, *submitted,
			    *submitted % 2 == 0 ? HF_OP_WRITE : HF_OP_READ,
			    *submitted, 1, data + *submitted * 512);
			(*submitted)++;
		} else if (steps[i] == 'e') {
			(void)hf_emu_process(rig->emu, 1);
		} else {
			(void)hf_reap(load->queue, 1);
		}
	}
}

static void stop_after(struct rig *rig, size_t count, bool planned)
{
	bool ended[WORK_MAX];
	uint32_t submitted = 0;
	uint32_t left = 0;

	rig->emu_options.serve = HF_EMU_MANUAL;
	rig->options.queue_entries = 8;
	begin(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 8192, &rig->err);
	rig->pump = false;
	take_steps(rig, load, data, count, &submitted);
	hf_queue_close(load->queue);
	for (uint32_t i = 0; i < submitted; i++) {
		ended[i] = load->work[i].calls != 0;
		left += ended[i] ? 0 : 1;
	}
	heirs_replace(rig, planned);
	assert_int_equal(attach(rig, load, NULL), left);
	rig->pump = true;
	reopen(rig, load, 0);
	for (uint32_t i = 0; i < submitted; i++) {
		if (!ended[i]) {
			assert_int_equal(
				rig_finish(rig, load->queue, &load->work[i]),
				0);
		}
		assert_int_equal(load->work[i].calls, 1);
	}
	const struct hf_emu_stats stats = rig_stats(rig);
	assert_int_equal(stats.io_commands[nvme_cmd_write] +
				 stats.io_commands[nvme_cmd_read],
			 submitted);
	assert_int_equal(stats.errors, 0);
	drop(load);
	heirs_end(rig);
}

static void stop_after_each(bool planned)
{
	for (size_t count = 0; count < sizeof(steps); count++) {
		void *state = NULL;

		assert_int_equal(rig_setup(&state), 0);
		stop_after(state, count, planned);
		assert_int_equal(rig_teardown(&state), 0);
	}
}

static void saved_after_any_step_nothing_is_lost(void **state)
{
	(void)state;
	stop_after_each(true);
}

static void killed_after_any_step_nothing_is_lost(void **state)
{
	(void)state;
	stop_after_each(false);
}

static void keeping_alive_is_switched_off_at_run_time(void **state)
{
	struct rig *rig = *state;

	begin(rig);
	hf_driver_set_keepalive(rig->drv, false);
	assert_int_equal(heirs_let_go(rig, true), -EPERM);
	assert_non_null(strstr(rig->err.message, "not to outlive"));
	/* It runs on, and closing it resets the controller. */
	uint8_t block[512];
	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
	hf_driver_set_keepalive(rig->drv, true);
	heirs_replace(rig, true);
	heirs_end(rig);
}

static void keeping_alive_is_off_from_the_start_if_asked(void **state)
{
	struct rig *rig = *state;

	rig->options.keepalive = false;
	begin(rig);
	assert_int_equal(heirs_let_go(rig, true), -EPERM);
	heirs_end(rig);
}

static void a_saved_driver_goes_on_when_nobody_comes(void **state)
{
	struct rig *rig = *state;
	uint8_t *bytes;
	size_t len;

	begin(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	uint32_t rule = rig_rule(rig, "io-write:hold");
	put(rig, load, 0, HF_OP_WRITE, 0, 1, data);
	until_hit(rig, rule, 1);
	assert_int_equal(hf_driver_save(rig->drv, &bytes, &len, &rig->err), 0);
	assert_int_equal(hf_driver_resume(rig->drv, &rig->err), 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	free(bytes);
	drop(load);
	heirs_end(rig);
}

static void a_driver_that_recovers_is_not_saved(void **state)
{
	struct rig *rig = *state;

	begin(rig);
	rig->drv->state = HF_DRIVER_RECOVERING;
	assert_int_equal(heirs_let_go(rig, true), -EBUSY);
	rig->drv->state = HF_DRIVER_READY;
	heirs_end(rig);
}

static void many_controllers_are_replaced_side_by_side(void **state)
{
	void *each[4];
	uint8_t block[512];

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(rig_setup(&each[i]), 0);
		begin(each[i]);
	}
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 4; i++) {
			assert_int_equal(
				heirs_let_go(each[i], (i + round) % 2 == 0), 0);
		}
		for (uint32_t i = 0; i < 4; i++) {
			struct rig *rig = each[i];

			assert_int_equal(heirs_restore(rig), 0);
			assert_int_equal(hf_namespace_open(&rig->ns, rig->drv,
							   1, &rig->err),
					 0);
			assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
		}
	}
	for (uint32_t i = 0; i < 4; i++) {
		heirs_end(each[i]);
		assert_int_equal(rig_teardown(&each[i]), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIST(the_device_lives_through_restarts),
		LIST(what_identify_would_say_is_not_asked),
		LIST(i_o_under_way_ends_once_with_the_successor),
		LIST(results_of_the_time_between_reach_the_caller),
		LIST(whoever_attaches_to_nothing_loses_nothing),
		LIST(a_full_queue_is_handed_over),
		LIST(pages_of_commands_under_way_stay_theirs),
		LIST(a_large_i_o_comes_back_whole),
		LIST(the_callers_memory_is_found_again),
		LIST(only_queues_with_commands_come_at_once),
		LIST(a_queue_made_after_a_restore_has_its_own_number),
		LIST(a_completion_queue_in_the_making_is_no_obstacle),
		LIST(a_submission_queue_in_the_making_is_no_obstacle),
		LIST(an_event_of_the_time_between_is_handled),
		LIST(an_event_whose_log_was_being_read_is_not_lost),
		LIST(another_namespace_in_its_place_is_not_taken_for_it),
		LIST(no_event_request_is_posted_twice),
		LIST(a_drain_is_a_barrier_over_all_queues),
		LIST(a_driver_that_drains_is_followed_by_another),
		LIST(a_reset_after_a_restore_ends_what_was_inherited),
		LIST(closing_after_a_restore_shuts_down),
		LIST(who_does_not_want_the_state_clears_the_device),
		cmocka_unit_test(saved_after_any_step_nothing_is_lost),
		cmocka_unit_test(killed_after_any_step_nothing_is_lost),
		rig_test(keeping_alive_is_switched_off_at_run_time),
		rig_test(keeping_alive_is_off_from_the_start_if_asked),
		rig_test(a_saved_driver_goes_on_when_nobody_comes),
		rig_test(a_driver_that_recovers_is_not_saved),
		cmocka_unit_test(many_controllers_are_replaced_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
