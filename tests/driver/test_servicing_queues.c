/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: rings that are full of commands that nobody has fetched, or of
 *       completions that nobody has taken, are handed over as they are, also
 *       twice in a row; interrupts are asked for in their order; each I/O is
 *       described as it was issued, and is attached to once.
 * Method: drivers follow one another on one emulated controller that works
 *         when it is told to, and counts. Each test runs with a saved and with
 *         a killed predecessor.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "heir_load.h"

enum {
	ENTRIES = 8,
	SLOTS = 6, /* a ring's place and a slot are a successor's own */
	ALL = 20,
};

static void full_rings(struct rig *rig, bool planned, bool posted)
{
	rig->emu_options.serve = HF_EMU_MANUAL;
	rig->options.queue_entries = ENTRIES;
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, ALL * 512, &rig->err);
	for (uint32_t i = 0; i < ALL; i++) {
		rig_fill(data + i * 512, 512, i);
	}
	const struct hf_emu_stats before = rig_stats(rig);
	rig->pump = false;
	for (uint32_t i = 0; i < ALL; i++) {
		load_put(rig, load, i, HF_OP_WRITE, i, 1, data + i * 512);
	}
	while (posted && hf_emu_process(rig->emu, 1000) != 0) {
	}
	const struct hf_emu_stats after = rig_stats(rig);
	assert_int_equal(after.completions - before.completions,
			 posted ? SLOTS : 0);
	assert_int_equal(after.io_commands[nvme_cmd_write], posted ? SLOTS : 0);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	heirs_replace(rig, planned);

	assert_int_equal(load_attach(rig, load, NULL), SLOTS);
	rig->pump = true;
	load_reopen(rig, load, 0);
	for (uint32_t i = 0; i < SLOTS; i++) {
		assert_int_equal(rig_finish(rig, load->queue, &load->work[i]),
				 0);
		assert_int_equal(load->work[i].calls, 1);
	}
	assert_int_equal(rig_stats(rig).errors, 0);
	/* And the rings go round. */
	for (uint32_t i = 0; i < ALL; i++) {
		uint32_t seed = i < SLOTS ? i : 100 + i;

		data = load->work[0].io.buf;
		rig_fill(data, 512, seed);
		load_put(rig, load, ALL, HF_OP_COMPARE, i, 1, data);
		int result =
			rig_finish(rig, load->queue, &load->work[ALL]) & 0x7ff;
		assert_int_equal(result, i < SLOTS ? 0 : 0x285);
	}
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_write], SLOTS);
	/* None but those that are to differ; nothing that nobody sent. */
	assert_int_equal(rig_stats(rig).errors, ALL - SLOTS);
	assert_int_equal(rig->drv->io[0]->trouble.refused_count, 0);
	load_drop(load);
}

static void a_full_submission_ring_is_handed_over(struct rig *rig, bool planned)
{
	full_rings(rig, planned, false);
}

static void all_completions_there_can_be_are_handed_over(struct rig *rig,
							 bool planned)
{
	full_rings(rig, planned, true);
}

/* One device was seen not to take them in another order. */
static void interrupts_are_asked_for_in_their_order(struct rig *rig,
						    bool planned)
{
	static const uint32_t cpus[] = {0, 3, 1, 2};
	uint8_t block[512];

	rig->options.cpu_count = 4;
	rig->options.io_queues = 4;
	heirs_open(rig);
	for (uint32_t i = 0; i < 4; i++) {
		struct load *load = load_of(rig, cpus[i]);

		load_put(rig, load, 0, HF_OP_READ, 0, 1, block);
		assert_int_equal(rig_finish(rig, load->queue, &load->work[0]),
				 0);
		load_drop(load);
	}
	/* Of the last queue, which is of another CPU than its number says. */
	struct load *load = load_of(rig, 1);
	uint32_t rule = rig_rule(rig, "io-read:hold");
	load_put(rig, load, 0, HF_OP_READ, 0, 1, block);
	heirs_until_hit(rig, rule, 1);
	hf_queue_close(load->queue);
	rig->irq_order_count = 0;
	heirs_replace(rig, planned);

	assert_int_equal(rig->irq_order_count, 5); /* the admin queue's, too */
	for (uint32_t i = 1; i < 5; i++) {
		assert_int_equal(rig->irq_order[i], i - 1);
	}
	assert_int_equal(load_attach(rig, load, block), 1);
	load_reopen(rig, load, 1);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	load_drop(load);
}

/* All that the caller needs to know which of its I/O it is. */
static void each_is_described_and_attached_to_once(struct rig *rig,
						   bool planned)
{
	static const struct {
		enum hf_op op;
		uint64_t lba;
		uint64_t blocks;
	} each[] = {
		{HF_OP_READ, 3, 2},    {HF_OP_WRITE, 7, 1},
		{HF_OP_FLUSH, 0, 0},   {HF_OP_WRITE_ZEROES, 90, 5},
		{HF_OP_COMPARE, 0, 1}, {HF_OP_VERIFY, 11, 4},
	};
	enum { EACH = sizeof(each) / sizeof(each[0]) };
	struct hf_inflight old;
	struct rig_io second;
	uint64_t cursor = 0;
	uint32_t seen = 0;

	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	uint32_t rule = rig_rule(rig, "io:hold");
	for (uint32_t i = 0; i < EACH; i++) {
		load_put(rig, load, i, each[i].op, each[i].lba, each[i].blocks,
			 data);
	}
	heirs_until_hit(rig, rule, EACH);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	while (hf_inflight_next(rig->drv, &cursor, &old) == 1) {
		uint64_t i = old.cookie - COOKIE;

		assert_in_range(i, 0, EACH - 1);
		assert_int_equal(old.op, each[i].op);
		assert_int_equal(old.nsid, 1);
		assert_int_equal(old.lba, each[i].lba);
		assert_int_equal(old.blocks, each[i].blocks);
		assert_false(old.completed);
		seen |= 1u << i;
	}
	assert_int_equal(seen, (1u << EACH) - 1);

	cursor = 0;
	assert_int_equal(hf_inflight_next(rig->drv, &cursor, &old), 1);
	assert_int_equal(load_attach(rig, load, NULL), EACH);
	rig_prep(&second, rig->ns, old.op, old.lba, old.blocks, old.buf);
	assert_int_equal(hf_io_attach(&second.io, &old, &rig->err), -EALREADY);
	assert_non_null(strstr(rig->err.message, "attached to already"));
	load_reopen(rig, load, 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	for (uint32_t i = 0; i < EACH; i++) {
		(void)rig_finish(rig, load->queue, &load->work[i]);
		assert_int_equal(load->work[i].calls, 1);
	}
	assert_int_equal(hf_io_attach(&second.io, &old, &rig->err), -EALREADY);
	assert_int_equal(second.calls, 0);
	load_drop(load);
}

BOTH(a_full_submission_ring_is_handed_over)
BOTH(all_completions_there_can_be_are_handed_over)
BOTH(interrupts_are_asked_for_in_their_order)
BOTH(each_is_described_and_attached_to_once)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIST(a_full_submission_ring_is_handed_over),
		LIST(all_completions_there_can_be_are_handed_over),
		LIST(interrupts_are_asked_for_in_their_order),
		LIST(each_is_described_and_attached_to_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
