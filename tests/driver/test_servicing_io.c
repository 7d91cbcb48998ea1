/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: I/O that is under way while a driver is saved or killed ends once, with
 *       its result and its data, for the successor that attaches to it; memory
 *       in use stays so.
 * Method: drivers follow one another on one emulated controller that counts
 *         commands; I/O is held in it where it has to be under way. Each test
 *         runs with a saved and with a killed predecessor.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "base/clock.h"
#include "driver/bring_up.h"
#include "heir_load.h"
#include "keepalive.h"

static void i_o_under_way_ends_once_with_the_successor(struct rig *rig,
						       bool planned)
{
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 10 * 512, &rig->err);
	for (uint32_t i = 0; i < 10; i++) {
		rig_fill(data + i * 512, 512, i);
		assert_int_equal(hf_write(rig->ns, i, 1, data + i * 512), 0);
	}
	memset(data, 0, 10 * 512);
	uint32_t rule = rig_rule(rig, "io-read:hold");
	for (uint32_t i = 0; i < 10; i++) {
		load_put(rig, load, i, HF_OP_READ, i, 1, data + i * 512);
	}
	heirs_until_hit(rig, rule, 10);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(load_attach(rig, load, NULL), 10);
	assert_int_equal(load_attach(rig, load, NULL), 0);
	load_reopen(rig, load, 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(rig_finish(rig, load->queue, &load->work[i]),
				 0);
		assert_true(rig_is_filled(load->work[i].io.buf, 512, i));
	}
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_read], 10);
	load_drop(load);
}

/* What a driver that throws results away would have to ask again. */
static void results_of_the_time_between_reach_the_caller(struct rig *rig,
							 bool planned)
{
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 4 * 512, &rig->err);
	struct hf_inflight old;
	uint64_t cursor = 0;
	data[2 * 512] = 1; /* not what is there */
	uint32_t rule = rig_rule(rig, "io-compare:hold");
	for (uint32_t i = 0; i < 4; i++) {
		load_put(rig, load, i, HF_OP_COMPARE, i, 1, data + i * 512);
	}
	heirs_until_hit(rig, rule, 4);
	hf_queue_close(load->queue);
	assert_int_equal(heirs_let_go(rig, planned), 0);
	uint64_t posted = rig_stats(rig).completions;
	(void)hf_emu_fault_remove(rig->emu, rule);
	heirs_until_posted(rig, posted + 4);
	assert_int_equal(heirs_restore(rig), 0);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
	while (hf_inflight_next(rig->drv, &cursor, &old) == 1) {
		bool other = old.cookie == COOKIE + 2;

		assert_true(old.completed);
		assert_int_equal(old.result & 0x7ff,
				 other ? NVME_SCT_MEDIA << 8 |
						 NVME_SC_COMPARE_FAILED
				       : 0);
	}
	assert_int_equal(load_attach(rig, load, NULL), 4);
	load_reopen(rig, load, 0);
	for (uint32_t i = 0; i < 4; i++) {
		int result = rig_finish(rig, load->queue, &load->work[i]);

		assert_int_equal(result & 0x7ff,
				 i == 2 ? NVME_SCT_MEDIA << 8 |
						  NVME_SC_COMPARE_FAILED
					: 0);
	}
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_compare], 4);
	load_drop(load);
}

static void whoever_attaches_to_nothing_loses_nothing(struct rig *rig,
						      bool planned)
{
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 6 * 512, &rig->err);
	uint32_t rule = rig_rule(rig, "io-write:hold");
	for (uint32_t i = 0; i < 6; i++) {
		load_put(rig, load, i, HF_OP_WRITE, i, 1, data + i * 512);
	}
	heirs_until_hit(rig, rule, 6);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	(void)hf_emu_fault_remove(rig->emu, rule);
	/* It works, and what ends meanwhile waits. */
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(hf_read(rig->ns, 100, 1, data), 0);
	}
	heirs_replace(rig, planned);
	assert_int_equal(load_attach(rig, load, NULL), 6);
	load_reopen(rig, load, 0);
	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(rig_finish(rig, load->queue, &load->work[i]),
				 0);
	}
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_write], 6);
	load_drop(load);
}

static void a_full_queue_is_handed_over(struct rig *rig, bool planned)
{
	rig->options.queue_entries = 8;
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 20 * 512, &rig->err);
	uint32_t rule = rig_rule(rig, "io-write:hold");
	for (uint32_t i = 0; i < 20; i++) {
		load_put(rig, load, i, HF_OP_WRITE, i, 1, data + i * 512);
	}
	heirs_until_hit(rig, rule, 6);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	for (uint32_t i = 6; i < 20; i++) {
		/* Not begun: told so by who saved, and by nobody who died. */
		assert_int_equal(load->work[i].calls, planned ? 1 : 0);
		assert_true(!planned || load->work[i].result == -ECANCELED);
	}
	assert_int_equal(load_attach(rig, load, NULL), 6);
	load_reopen(rig, load, 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(rig_finish(rig, load->queue, &load->work[i]),
				 0);
	}
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_write], 6);
	load_drop(load);
}

/* Pages of a bounced read are the controller's until it has ended. */
static void pages_of_commands_under_way_stay_theirs(struct rig *rig,
						    bool planned)
{
	uint8_t *old = calloc(WORK_MAX, 4096);
	uint8_t *new_data = calloc(1, 4096);

	rig->options.bounce = true;
	rig->options.pool_pages = 32;
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	for (uint32_t i = 0; i < 4; i++) {
		rig_fill(old, 4096, i);
		assert_int_equal(hf_write(rig->ns, 8 * i, 8, old), 0);
	}
	uint32_t rule = rig_rule(rig, "io-read,lba=0-31:hold");
	for (uint32_t i = 0; i < 4; i++) {
		load_put(rig, load, i, HF_OP_READ, 8 * i, 8, old + i * 4096);
	}
	heirs_until_hit(rig, rule, 4);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	/* More than the pool has pages, so that each free one is used. */
	for (uint32_t i = 0; i < 40; i++) {
		rig_fill(new_data, 4096, 100 + i);
		assert_int_equal(hf_write(rig->ns, 1000 + 8 * i, 8, new_data),
				 0);
	}
	memset(old, 0, WORK_MAX * 4096);
	assert_int_equal(load_attach(rig, load, old), 4);
	load_reopen(rig, load, 0);
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
	load_drop(load);
	free(old);
	free(new_data);
}

static void a_large_i_o_comes_back_whole(struct rig *rig, bool planned)
{
	rig->emu_options.mdts = 1;
	rig->options.queue_entries = 6;
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 128 * 512, &rig->err);
	rig_fill(data, 128 * 512, 3);
	uint32_t rule = rig_rule(rig, "io-write:hold");
	load_put(rig, load, 0, HF_OP_WRITE, 0, 128, data);
	heirs_until_hit(rig, rule, 4);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(load_attach(rig, load, NULL), 1);
	assert_int_equal(load->work[0].io.blocks, 128);
	load_reopen(rig, load, 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_write], 8);
	data = load->work[0].io.buf;
	memset(data, 0, 128 * 512);
	assert_int_equal(hf_read(rig->ns, 0, 128, data), 0);
	assert_true(rig_is_filled(data, 128 * 512, 3));
	load_drop(load);
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
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	struct load *others[2];
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	others[0] = load_of(rig, 1);
	load_put(rig, others[0], 0, HF_OP_READ, 0, 1, data);
	assert_int_equal(rig_finish(rig, others[0]->queue, &others[0]->work[0]),
			 0);
	hf_queue_close(others[0]->queue);
	uint32_t rule = rig_rule(rig, "io-write,lba=5:hold");
	load_put(rig, load, 0, HF_OP_WRITE, 5, 1, data);
	heirs_until_hit(rig, rule, 1);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(hf_driver_drain_wait(rig->drv, 5, &rig->err),
			 -ETIMEDOUT);
	assert_non_null(strstr(rig->err.message, "still under way"));
	/* On the old queue, on one that was idle, on one that is made now. */
	load_reopen(rig, load, 0);
	load_reopen(rig, others[0], 1);
	others[1] = load_of(rig, 2);
	uint32_t note = rig_rule(rig, "io-read:note");
	load_put(rig, load, 1, HF_OP_READ, 1, 1, data);
	load_put(rig, others[0], 1, HF_OP_READ, 1, 1, data);
	load_put(rig, others[1], 1, HF_OP_READ, 1, 1, data);
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
		load_drop(others[i]);
	}
	assert_int_equal(rig_hits(rig, note), 3);
	load_drop(load);
}

static void a_driver_that_drains_is_followed_by_another(struct rig *rig,
							bool planned)
{
	rig->emu_options.mdts = 1;
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 64 * 512, &rig->err);
	uint8_t private_[512];
	uint32_t rule = rig_rule(rig, "io:hold");
	load_put(rig, load, 0, HF_OP_WRITE, 0, 64, data); /* in four parts */
	load_put(rig, load, 1, HF_OP_READ, 200, 1, private_);
	heirs_until_hit(rig, rule, 5);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(hf_driver_drain_wait(rig->drv, 5, &rig->err),
			 -ETIMEDOUT);
	load_reopen(rig, load, 0);
	load_put(rig, load, 2, HF_OP_READ, 300, 1,
		 data); /* behind the barrier */
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
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	uint32_t rule = rig_rule(rig, "io-write:hold");
	load_put(rig, load, 0, HF_OP_WRITE, 0, 1, data);
	load_put(rig, load, 1, HF_OP_WRITE, 1, 1, data);
	heirs_until_hit(rig, rule, 2);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(load_attach(rig, load, NULL), 2);
	load_reopen(rig, load, 0);
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

/* A controller that was reset knows none of its queues, and a successor has
 * some that it has not touched yet. */
static void a_reset_reaches_queues_that_nobody_has_used_yet(struct rig *rig,
							    bool planned)
{
	uint8_t block[512];

	rig->options.cpu_count = 3;
	rig->options.io_queues = 3;
	heirs_open(rig);
	for (uint32_t cpu = 0; cpu < 3; cpu++) {
		struct load *load = load_of(rig, cpu);

		load_put(rig, load, 0, HF_OP_READ, 0, 1, block);
		assert_int_equal(rig_finish(rig, load->queue, &load->work[0]),
				 0);
		load_drop(load);
	}
	heirs_replace(rig, planned);
	assert_null(rig->drv->io[2]);
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "the test asks for it");
	pthread_mutex_unlock(&rig->drv->control);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
	uint32_t resets = rig->drv->resets;
	for (uint32_t cpu = 0; cpu < 3; cpu++) {
		struct load *load = load_of(rig, cpu);

		load_put(rig, load, 0, HF_OP_READ, 0, 1, block);
		assert_int_equal(rig_finish(rig, load->queue, &load->work[0]),
				 0);
		load_drop(load);
	}
	assert_int_equal(rig->drv->resets, resets);
	assert_int_equal(rig_stats(rig).errors, 0);
}

struct tally {
	uint32_t all;
	uint32_t ended;
	int result; /* of the last that has */
};

static struct tally tally_of(struct rig *rig)
{
	struct tally tally = {0};
	struct hf_inflight old;
	uint64_t cursor = 0;

	while (hf_inflight_next(rig->drv, &cursor, &old) == 1) {
		tally.all++;
		if (old.completed) {
			tally.ended++;
			tally.result = old.result;
		} else {
			assert_int_equal(old.result, 0);
		}
	}
	return tally;
}

/* A large I/O has ended once its last part has, with what the first part that
 * failed ended with. */
static void a_large_i_o_has_ended_with_its_last_part(struct rig *rig,
						     bool planned)
{
	rig->emu_options.mdts = 1;
	rig->options.retries = 0;
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 64 * 512, &rig->err);
	uint32_t bad = rig_rule(rig, "io-write,lba=16:status=media/80h");
	uint32_t last = rig_rule(rig, "io-write,lba=48:hold");
	load_put(rig, load, 0, HF_OP_WRITE, 0, 64, data); /* in four parts */
	heirs_until_hit(rig, last, 1);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	struct tally tally = tally_of(rig);
	assert_int_equal(tally.all, 1);
	assert_int_equal(tally.ended, 0);
	(void)hf_emu_fault_remove(rig->emu, last);
	(void)hf_emu_fault_remove(rig->emu, bad);
	uint64_t deadline = hf_deadline_ms(20000);
	while (tally_of(rig).ended == 0) {
		assert_false(hf_deadline_passed(deadline));
		rig_turn(rig, 1);
		(void)hf_qpair_reap(rig->drv->io[0], 8);
	}
	assert_int_equal(tally_of(rig).result & 0x7ff, 0x280);
	assert_int_equal(load_attach(rig, load, NULL), 1);
	load_reopen(rig, load, 0);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]) & 0x7ff,
			 0x280);
	load_drop(load);
}

/* A successor that would have more pages for its data finds queues that have
 * not: what goes through them is cut to their measure. */
static void a_queue_with_few_pages_is_not_asked_for_more(struct rig *rig,
							 bool planned)
{
	uint8_t *private_ = malloc(2 << 20);

	rig->options.pool_pages = 32;
	rig->options.bounce = true;
	rig->emu_options.mdts = 0;
	heirs_open(rig);
	assert_int_equal(heirs_let_go(rig, planned), 0);
	rig->options.pool_pages = 512;
	assert_int_equal(heirs_restore(rig), 0);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
	assert_int_equal(rig->drv->limits.max_transfer_bytes, 16 * 4096);
	struct load *load = load_of(rig, 0);
	load_put(rig, load, 0, HF_OP_READ, 0, 2048, private_);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	load_drop(load);
	free(private_);
}

static void ignore_end(void *ctx, const struct hf_completion *how)
{
	(void)ctx;
	(void)how;
}

/* In the ring, and the doorbell not rung yet: saving rings it, and who was
 * killed leaves it to the successor. */
static void an_entry_that_was_not_rung_is_not_forgotten(struct rig *rig,
							bool planned)
{
	const struct hf_request flush = {
		.sqe = {.opcode = nvme_cmd_flush, .nsid = htole32(1)},
		.kind = HF_SLOT_IO,
		.op = HF_OP_FLUSH,
		.record = HF_LEDGER_NONE,
		.cookie = COOKIE,
		.done = ignore_end,
	};

	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	struct hf_qpair *qp = rig->drv->io[0];
	hf_qpair_lock(qp);
	assert_true(hf_qpair_put(qp, &flush) >= 0);
	assert_true(hf_sq_dirty(&qp->sq));
	hf_qpair_unlock(qp);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(load_attach(rig, load, NULL), 1);
	load_reopen(rig, load, 0);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_flush], 1);
	assert_int_equal(rig_stats(rig).errors, 0);
	load_drop(load);
}

BOTH(an_entry_that_was_not_rung_is_not_forgotten)
BOTH(a_queue_with_few_pages_is_not_asked_for_more)
BOTH(a_large_i_o_has_ended_with_its_last_part)
BOTH(a_reset_reaches_queues_that_nobody_has_used_yet)
BOTH(i_o_under_way_ends_once_with_the_successor)
BOTH(results_of_the_time_between_reach_the_caller)
BOTH(whoever_attaches_to_nothing_loses_nothing)
BOTH(a_full_queue_is_handed_over)
BOTH(pages_of_commands_under_way_stay_theirs)
BOTH(a_large_i_o_comes_back_whole)
BOTH(a_drain_is_a_barrier_over_all_queues)
BOTH(a_driver_that_drains_is_followed_by_another)
BOTH(a_reset_after_a_restore_ends_what_was_inherited)

/* One step each: an I/O more, the controller goes on, one completion is
 * taken. */
static const char steps[] = "SSeSereSeerreSeererer";

static void take_steps(struct rig *rig, struct load *load, uint8_t *data,
		       size_t count, uint32_t *submitted)
{
	for (size_t i = 0; i < count; i++) {
		if (steps[i] == 'S') {
			load_put(rig, load, *submitted,
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
	heirs_open(rig);
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
	assert_int_equal(load_attach(rig, load, NULL), left);
	rig->pump = true;
	load_reopen(rig, load, 0);
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
	load_drop(load);
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
	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	stop_after_each(true);
}

static void killed_after_any_step_nothing_is_lost(void **state)
{
	(void)state;
	stop_after_each(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIST(an_entry_that_was_not_rung_is_not_forgotten),
		LIST(a_queue_with_few_pages_is_not_asked_for_more),
		LIST(a_large_i_o_has_ended_with_its_last_part),
		LIST(a_reset_reaches_queues_that_nobody_has_used_yet),
		LIST(i_o_under_way_ends_once_with_the_successor),
		LIST(results_of_the_time_between_reach_the_caller),
		LIST(whoever_attaches_to_nothing_loses_nothing),
		LIST(a_full_queue_is_handed_over),
		LIST(pages_of_commands_under_way_stay_theirs),
		LIST(a_large_i_o_comes_back_whole),
		LIST(a_drain_is_a_barrier_over_all_queues),
		LIST(a_driver_that_drains_is_followed_by_another),
		LIST(a_reset_after_a_restore_ends_what_was_inherited),
		cmocka_unit_test(saved_after_any_step_nothing_is_lost),
		cmocka_unit_test(killed_after_any_step_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
