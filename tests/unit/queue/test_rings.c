/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: rings hand on what was put into them, once, in order, and nothing
 * else; slots and pages are found again, and a completion finds its command or
 * none.
 * Method: rings, slots and pages in plain memory, that the test posts into as
 * a device would.
 */
#include <stdlib.h>
#include <string.h>

#include "queue/cq.h"
#include "queue/pending.h"
#include "queue/pool.h"
#include "queue/sq.h"
#include "unit.h"

#define ENTRIES 4u

static struct nvme_cqe cqes[ENTRIES];
static struct nvme_sqe sqes[ENTRIES];
static volatile uint32_t doorbell_word;

struct poster {
	uint32_t at;
	bool phase;
};

static void post(struct poster *poster, uint16_t cid)
{
	struct nvme_cqe *slot = &cqes[poster->at];

	slot->dw0 = cid * 3u;
	slot->dw2 = UINT32_C(7) << 16 | 2;
	slot->dw3 = cid | (poster->phase ? NVME_CQE_DW3_PHASE : 0) |
		    UINT32_C(0x281) << NVME_CQE_DW3_STATUS_SHIFT;
	if (++poster->at == ENTRIES) {
		poster->at = 0;
		poster->phase = !poster->phase;
	}
}

static void cq_start(struct hf_cq *cq, struct poster *poster)
{
	memset(cqes, 0, sizeof(cqes));
	memset(cq, 0, sizeof(*cq));
	hf_cq_init(cq, cqes, ENTRIES);
	cq->doorbell.word = &doorbell_word;
	doorbell_word = 99;
	*poster = (struct poster){.phase = true};
}

static void reap_hands_out_each_entry_once_over_many_laps(void **state)
{
	struct hf_cqe out[8];
	struct poster poster;
	struct hf_cq cq;
	uint16_t posted = 0;
	uint16_t seen = 0;

	(void)state;
	cq_start(&cq, &poster);
	for (uint32_t batch = 0; batch < 50; batch++) {
		for (uint32_t i = 0; i < batch % ENTRIES; i++) {
			post(&poster, posted++);
		}
		uint32_t count = hf_cq_reap(&cq, out, 8);

		assert_int_equal(count, batch % ENTRIES);
		for (uint32_t i = 0; i < count; i++) {
			assert_int_equal(hf_cqe_cid(&out[i]), seen);
			assert_int_equal(out[i].dw0, seen * 3u);
			assert_int_equal(hf_cqe_status(&out[i]), 0x281);
			assert_int_equal(hf_cqe_sq_id(&out[i]), 7);
			assert_int_equal(hf_cqe_sq_head(&out[i]), 2);
			seen++;
		}
		assert_false(hf_cq_ready(&cq));
		hf_cq_commit(&cq);
		assert_true(doorbell_word < ENTRIES || seen == 0);
	}
	assert_int_equal(seen, posted);
}

static void reap_stops_at_its_bound_and_at_a_stale_phase(void **state)
{
	struct hf_cqe out[2];
	struct poster poster;
	struct hf_cq cq;

	(void)state;
	cq_start(&cq, &poster);
	post(&poster, 7);
	post(&poster, 8);
	post(&poster, 9);
	assert_int_equal(hf_cq_reap(&cq, out, 2), 2);
	assert_int_equal(hf_cqe_cid(&out[1]), 8);
	assert_true(hf_cq_ready(&cq));
	assert_int_equal(hf_cq_reap(&cq, out, 2), 1);
	assert_int_equal(hf_cqe_cid(&out[0]), 9);
	assert_int_equal(hf_cq_reap(&cq, out, 2), 0);
}

static void commit_rings_only_news(void **state)
{
	struct hf_cqe out[2];
	struct poster poster;
	struct hf_cq cq;

	(void)state;
	cq_start(&cq, &poster);
	hf_cq_commit(&cq);
	assert_int_equal(doorbell_word, 99);
	post(&poster, 1);
	(void)hf_cq_reap(&cq, out, 2);
	hf_cq_commit(&cq);
	assert_int_equal(doorbell_word, 1);
	doorbell_word = 99;
	hf_cq_commit(&cq);
	assert_int_equal(doorbell_word, 99);
}

static void pushes_wrap_and_ring_once(void **state)
{
	struct nvme_sqe sqe = {.opcode = 2};
	struct hf_sq sq = {0};

	(void)state;
	hf_sq_init(&sq, sqes, ENTRIES);
	sq.doorbell.word = &doorbell_word;
	for (uint16_t i = 0; i < 11; i++) {
		sqe.cid = i;
		hf_sq_push(&sq, &sqe);
		assert_int_equal(sqes[i % ENTRIES].cid, i);
		assert_true(hf_sq_dirty(&sq));
		hf_sq_commit(&sq);
		assert_false(hf_sq_dirty(&sq));
		assert_int_equal(doorbell_word, (i + 1u) % ENTRIES);
	}
}

static void a_head_is_believed_only_where_it_can_be(void **state)
{
	struct nvme_sqe sqe = {.opcode = 2};
	struct hf_sq sq = {0};

	(void)state;
	hf_sq_init(&sq, sqes, ENTRIES);
	sq.doorbell.word = &doorbell_word;
	assert_true(hf_sq_update_head(&sq, 0));
	assert_false(hf_sq_update_head(&sq, 1)); /* nothing was rung */
	hf_sq_push(&sq, &sqe);
	hf_sq_push(&sq, &sqe);
	assert_false(hf_sq_update_head(&sq, 1));
	hf_sq_commit(&sq);
	assert_false(hf_sq_update_head(&sq, 3));
	assert_false(hf_sq_update_head(&sq, ENTRIES));
	assert_false(hf_sq_update_head(&sq, UINT32_MAX));
	assert_true(hf_sq_update_head(&sq, 1));
	assert_true(hf_sq_update_head(&sq, 2));
	assert_false(hf_sq_update_head(&sq, 1)); /* backwards */
	hf_sq_push(&sq, &sqe);
	hf_sq_push(&sq, &sqe);
	hf_sq_push(&sq, &sqe);
	hf_sq_commit(&sq);
	assert_true(hf_sq_update_head(&sq, 1)); /* around */
	assert_int_equal(sq.head, 1);
}

static struct hf_ledger_slot slots[8];

static struct hf_cqe cqe_of(uint16_t cid)
{
	return (struct hf_cqe){
		.dw0 = 6,
		.dw1 = 7,
		.dw3 = UINT32_C(5) << NVME_CQE_DW3_STATUS_SHIFT | cid,
	};
}

static uint32_t complete(struct hf_pending *pending, const struct hf_cqe *cqe)
{
	uint16_t slot;

	return hf_pending_complete(pending, cqe, &slot) ? slot : HF_LEDGER_NONE;
}

/* As a command is put. */
static uint16_t take(struct hf_pending *pending)
{
	uint16_t slot = hf_pending_take(pending);

	slots[slot].sqe.cid = htole16(hf_pending_cid(pending, slot));
	return slot;
}

static void a_completion_finds_its_command_once(void **state)
{
	struct hf_pending pending;

	(void)state;
	memset(slots, 0, sizeof(slots));
	assert_int_equal(hf_pending_init(&pending, slots, 5), 0);
	uint16_t slot = take(&pending);
	struct hf_cqe cqe = cqe_of(hf_pending_cid(&pending, slot));
	/* Taken, and not yet published. */
	assert_int_equal(complete(&pending, &cqe), HF_LEDGER_NONE);
	hf_pending_publish(&pending, slot);
	struct hf_cqe other = cqe_of(hf_pending_cid(&pending, slot) ^ 8u);
	assert_int_equal(complete(&pending, &other), HF_LEDGER_NONE);
	assert_int_equal(complete(&pending, &cqe), slot);
	assert_int_equal(slots[slot].status, 5);
	assert_int_equal(slots[slot].dw0, 6);
	assert_int_equal(slots[slot].dw1, 7);
	assert_int_equal(slots[slot].state, HF_SLOT_DONE);
	assert_int_equal(complete(&pending, &cqe), HF_LEDGER_NONE);
	hf_pending_give(&pending, slot);
	assert_int_equal(complete(&pending, &cqe), HF_LEDGER_NONE);
	assert_int_equal(take(&pending), slot);
	hf_pending_publish(&pending, slot);
	/* The lap before: stale. */
	assert_int_equal(complete(&pending, &cqe), HF_LEDGER_NONE);
	hf_pending_fini(&pending);
}

static void no_identifier_finds_a_slot_that_is_not_there(void **state)
{
	struct hf_pending pending;

	(void)state;
	memset(slots, 0, sizeof(slots));
	assert_int_equal(hf_pending_init(&pending, slots, 5), 0);
	for (uint32_t cid = 0; cid < 65536; cid++) {
		const struct hf_cqe cqe = cqe_of((uint16_t)cid);

		assert_int_equal(complete(&pending, &cqe), HF_LEDGER_NONE);
	}
	hf_pending_fini(&pending);
}

static void slots_run_out_and_come_back(void **state)
{
	struct hf_pending pending;
	bool taken[5] = {false};

	(void)state;
	memset(slots, 0, sizeof(slots));
	assert_int_equal(hf_pending_init(&pending, slots, 5), 0);
	for (uint32_t i = 0; i < 5; i++) {
		uint16_t slot = hf_pending_take(&pending);

		assert_true(slot < 5 && !taken[slot]);
		taken[slot] = true;
	}
	assert_int_equal(hf_pending_take(&pending), HF_LEDGER_NONE);
	assert_int_equal(pending.in_use, 5);
	hf_pending_give(&pending, 3);
	assert_int_equal(hf_pending_take(&pending), 3);
	hf_pending_fini(&pending);
}

/* FFFFh means "no command" in the Error Information log. */
static void identifier_ffff_is_never_used(void **state)
{
	static const uint32_t counts[] = {1, 2, 3, 255, 256, 4095, 4096};
	struct hf_ledger_slot *many = calloc(4096, sizeof(*many));

	(void)state;
	for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
		struct hf_pending pending;
		uint32_t count = counts[n];
		uint16_t last;

		assert_int_equal(hf_pending_init(&pending, many, count), 0);
		do {
			last = hf_pending_take(&pending);
		} while (last != count - 1); /* the slot of all ones */
		uint16_t before = hf_pending_cid(&pending, last);
		for (uint32_t i = 0; i < 140000; i++) {
			uint16_t cid = hf_pending_cid(&pending, last);

			assert_int_not_equal(cid, 0xffff);
			assert_true(i == 0 || cid != before);
			before = cid;
			hf_pending_give(&pending, last);
			assert_int_equal(hf_pending_take(&pending), last);
		}
		hf_pending_fini(&pending);
	}
	free(many);
}

static void pages_come_in_chains_and_all_come_back(void **state)
{
	static uint8_t memory[16 * 4096] __attribute__((aligned(4096)));
	uint16_t links[16];
	uint16_t chains[16];
	struct hf_pool pool;
	bool seen[16] = {false};

	(void)state;
	hf_pool_init(&pool, memory, 0x10000, links, 16);
	assert_int_equal(hf_pool_take(&pool, 17), HF_LEDGER_NONE);
	assert_int_equal(pool.free_count, 16);
	for (uint32_t i = 0; i < 5; i++) {
		chains[i] = hf_pool_take(&pool, 3);
		uint16_t page = chains[i];
		for (uint32_t k = 0; k < 3; k++) {
			assert_true(page < 16 && !seen[page]);
			seen[page] = true;
			assert_ptr_equal(hf_pool_vaddr(&pool, page),
					 memory + page * 4096u);
			assert_int_equal(hf_pool_iova(&pool, page),
					 0x10000 + page * 4096u);
			page = links[page];
		}
		assert_int_equal(page, HF_LEDGER_NONE);
	}
	assert_int_equal(hf_pool_take(&pool, 2), HF_LEDGER_NONE);
	hf_pool_give(&pool, chains[3], 3);
	hf_pool_give(&pool, chains[0], 3);
	assert_int_not_equal(hf_pool_take(&pool, 7), HF_LEDGER_NONE);
	assert_int_equal(pool.free_count, 0);
	assert_int_equal(hf_pool_take(&pool, 1), HF_LEDGER_NONE);
}

static void a_pool_without_pages_gives_none(void **state)
{
	struct hf_pool pool;
	uint16_t links[1];

	(void)state;
	hf_pool_init(&pool, NULL, 0, links, 0);
	assert_int_equal(hf_pool_take(&pool, 1), HF_LEDGER_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reap_hands_out_each_entry_once_over_many_laps),
		cmocka_unit_test(reap_stops_at_its_bound_and_at_a_stale_phase),
		cmocka_unit_test(commit_rings_only_news),
		cmocka_unit_test(pushes_wrap_and_ring_once),
		cmocka_unit_test(a_head_is_believed_only_where_it_can_be),
		cmocka_unit_test(a_completion_finds_its_command_once),
		cmocka_unit_test(no_identifier_finds_a_slot_that_is_not_there),
		cmocka_unit_test(slots_run_out_and_come_back),
		cmocka_unit_test(identifier_ffff_is_never_used),
		cmocka_unit_test(pages_come_in_chains_and_all_come_back),
		cmocka_unit_test(a_pool_without_pages_gives_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
