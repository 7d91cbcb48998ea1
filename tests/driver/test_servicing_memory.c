/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: memory that was private to a process that is gone is told apart from
 *       memory that is still there: reads into it say that they are lost,
 *       writes from it end as they end, unless some of their data was still to
 *       be read. Memory of holdfast's own that nobody
 *       has a claim to is used again.
 * Method: drivers follow one another on one emulated controller, with commands
 *         held in it. Each test runs with a saved and with a killed
 *         predecessor.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "heir_load.h"
#include "state/registry.h"

#define BYTES 4096u

static void what_was_private_does_not_come_back(struct rig *rig, bool planned)
{
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *private_ = aligned_alloc(BYTES, 2 * BYTES);
	struct hf_inflight old;
	uint64_t cursor = 0;
	uint8_t back[512];

	assert_non_null(private_);
	assert_int_equal(hf_dma_register(rig->drv, private_, 2 * BYTES, -1, 0,
					 &rig->err),
			 0);
	rig_fill(private_, 512, 3);
	uint32_t reads = rig_rule(rig, "io-read:hold");
	uint32_t writes = rig_rule(rig, "io-write:hold");
	load_put(rig, load, 0, HF_OP_READ, 0, 1, private_ + BYTES);
	load_put(rig, load, 1, HF_OP_WRITE, 8, 1, private_);
	heirs_until_hit(rig, reads, 1);
	heirs_until_hit(rig, writes, 1);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	while (hf_inflight_next(rig->drv, &cursor, &old) == 1) {
		assert_null(old.buf);
		assert_false(old.bounced);
	}
	assert_int_equal(load_attach(rig, load, NULL), 2);
	load_reopen(rig, load, 0);
	(void)hf_emu_fault_remove(rig->emu, reads);
	(void)hf_emu_fault_remove(rig->emu, writes);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]),
			 -EOWNERDEAD);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[1]), 0);
	load_drop(load);
	assert_int_equal(hf_read(rig->ns, 8, 1, back), 0);
	assert_true(rig_is_filled(back, 512, 3));
	free(private_);
}

/* What is bounced lands in holdfast's pages, and has somewhere to go to. */
static void what_is_bounced_needs_a_buffer(struct rig *rig, bool planned)
{
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t block[512];
	uint8_t back[512];
	struct hf_inflight old;
	uint64_t cursor = 0;
	struct hf_io io = {.ns = NULL};

	rig_fill(block, 512, 5);
	assert_int_equal(hf_write(rig->ns, 4, 1, block), 0);
	uint32_t rule = rig_rule(rig, "io-read:hold");
	load_put(rig, load, 0, HF_OP_READ, 4, 1, block);
	heirs_until_hit(rig, rule, 1);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(hf_inflight_next(rig->drv, &cursor, &old), 1);
	assert_true(old.bounced);
	io.ns = rig->ns;
	io.done = rig_io_done;
	assert_int_equal(hf_io_attach(&io, &old, &rig->err), -EINVAL);
	assert_non_null(strstr(rig->err.message, "needs a buffer"));
	assert_int_equal(load_attach(rig, load, back), 1);
	load_reopen(rig, load, 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	assert_true(rig_is_filled(back, 512, 5));
	load_drop(load);
}

static uint32_t blocks_of_queues(const struct rig *rig)
{
	const struct hf_dma_registry *registry = rig->drv->dev->dma.registry;
	uint32_t count = 0;

	for (uint32_t i = 0; i < HF_REGISTRY_BLOCKS_MAX; i++) {
		count += registry->blocks[i].owner == HF_DMA_OWNER_IO_QUEUE;
	}
	return count;
}

/* Its owner died between having the memory and saying so in the ledger. Later
 * drivers find the right memory of the queue that has its number, and that of
 * no queue does not add up. */
static void memory_of_a_queue_that_never_was_is_free(struct rig *rig,
						     bool planned)
{
	struct hf_dma_block leftover;
	uint8_t block[512];

	heirs_open(rig);
	assert_int_equal(hf_dma_block_alloc(&rig->drv->dev->dma, 4 * BYTES,
					    HF_DMA_OWNER_IO_QUEUE, 2, &leftover,
					    &rig->err),
			 0);
	heirs_replace(rig, planned);
	struct load *load = load_of(rig, 1);
	uint32_t rule = rig_rule(rig, "io-read:hold");
	load_put(rig, load, 0, HF_OP_READ, 0, 1, block);
	heirs_until_hit(rig, rule, 1);
	assert_int_equal(rig->drv->io[1]->qid, 2);
	assert_int_equal(blocks_of_queues(rig), 2);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(load_attach(rig, load, block), 1);
	load_reopen(rig, load, 1);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	load_drop(load);
}

/* Four parts are under way, and the others need data that is nowhere. */
static void a_large_write(struct rig *rig, bool planned, bool registered,
			  bool again)
{
	enum { BLOCKS = 128 };
	uint8_t *private_ = aligned_alloc(BYTES, BLOCKS * 512);

	assert_non_null(private_);
	rig->emu_options.mdts = 1;
	rig->options.queue_entries = 6;
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	if (registered) {
		assert_int_equal(hf_dma_register(rig->drv, private_,
						 BLOCKS * 512, -1, 0,
						 &rig->err),
				 0);
	}
	rig_fill(private_, BLOCKS * 512, 3);
	uint32_t rule = rig_rule(rig, "io-write:hold");
	load_put(rig, load, 0, HF_OP_WRITE, 0, BLOCKS, private_);
	heirs_until_hit(rig, rule, 4);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(load_attach(rig, load, again ? private_ : NULL), 1);
	load_reopen(rig, load, 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]),
			 again ? 0 : -EOWNERDEAD);
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_write],
			 again ? 8 : 4);
	/* The queue works on. */
	load_put(rig, load, 1, HF_OP_WRITE, 0, BLOCKS, private_);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[1]), 0);
	load_drop(load);
	free(private_);
}

static void data_of_a_large_write_died_copied(struct rig *rig, bool planned)
{
	a_large_write(rig, planned, false, false);
}

static void data_of_a_large_write_died_registered(struct rig *rig, bool planned)
{
	a_large_write(rig, planned, true, false);
}

static void data_of_a_large_write_is_given_again(struct rig *rig, bool planned)
{
	a_large_write(rig, planned, false, true);
}

BOTH(data_of_a_large_write_died_copied)
BOTH(data_of_a_large_write_died_registered)
BOTH(data_of_a_large_write_is_given_again)
BOTH(memory_of_a_queue_that_never_was_is_free)
BOTH(what_was_private_does_not_come_back)
BOTH(what_is_bounced_needs_a_buffer)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIST(data_of_a_large_write_died_copied),
		LIST(data_of_a_large_write_died_registered),
		LIST(data_of_a_large_write_is_given_again),
		LIST(memory_of_a_queue_that_never_was_is_free),
		LIST(what_was_private_does_not_come_back),
		LIST(what_is_bounced_needs_a_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
