/* SPDX-License-Identifier: BSD-3-Clause */
#include "heir_load.h"

#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "keepalive.h"

#define PATIENCE_MS 20000u

struct load *load_of(struct rig *rig, uint32_t cpu)
{
	struct load *load = calloc(1, sizeof(*load));

	assert_non_null(load);
	assert_int_equal(
		hf_queue_open(&load->queue, rig->drv, cpu, HF_POLL, &rig->err),
		0);
	return load;
}

void load_put(struct rig *rig, struct load *load, uint32_t i, enum hf_op op,
	      uint64_t lba, uint64_t blocks, void *buf)
{
	struct hf_io *io = &load->work[i].io;

	rig_prep(&load->work[i], rig->ns, op, lba, blocks, buf);
	io->cookie = COOKIE + i;
	assert_int_equal(hf_submit(load->queue, &io, 1), 1);
}

uint32_t load_attach(struct rig *rig, struct load *load, void *buf)
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

void load_reopen(struct rig *rig, struct load *load, uint32_t cpu)
{
	assert_int_equal(
		hf_queue_open(&load->queue, rig->drv, cpu, HF_POLL, &rig->err),
		0);
}

void load_drop(struct load *load)
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

void heirs_until_hit(struct rig *rig, uint32_t rule, uint64_t hits)
{
	struct goal goal = {.rig = rig, .rule = rule, .hits = hits};

	rig_until(rig, was_hit, &goal);
}

void heirs_until_posted(struct rig *rig, uint64_t completions)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

	while (rig_stats(rig).completions < completions) {
		if (hf_deadline_passed(deadline)) {
			fail_msg("the controller did not post them");
		}
		(void)!poll(NULL, 0, 1);
	}
}

void heirs_open(struct rig *rig)
{
	rig_open(rig);
	heirs_begin(rig);
}

void heirs_assert_left_alone(const struct hf_emu_stats *before,
			     const struct hf_emu_stats *after)
{
	assert_memory_equal(before->admin_commands, after->admin_commands,
			    sizeof(before->admin_commands));
	assert_int_equal(before->enables, after->enables);
	assert_int_equal(before->resets, after->resets);
	assert_int_equal(before->reg_writes, after->reg_writes);
}

void heirs_run(void **state, void (*test)(struct rig *rig, bool planned),
	       bool planned)
{
	struct rig *rig = *state;

	if (planned) {
		RETURN_WITHOUT_KEEPALIVE();
	}
	test(rig, planned);
	hf_emu_fault_clear(rig->emu);
	heirs_end(rig);
}
