/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: the table of DMA mappings is what was mapped and not yet unmapped,
 * whatever the order, and however many there are.
 * Method: random calls on a controller and on an array with an entry for each
 * page; then every page is looked up in both.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "emu/ctrl.h"
#include "emu/dma.h"

#define PAGE  UINT64_C(4096)
#define PAGES 4096u

/* Which mapping a page belongs to, by the mapping's first page plus 1. */
static uint32_t owner[PAGES];
static uint8_t *const base = (uint8_t *)(uintptr_t)(UINT64_C(1) << 32);

static int model_map(uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		if (owner[i] != 0) {
			return -EEXIST;
		}
	}
	for (uint32_t i = first; i < first + count; i++) {
		owner[i] = first + 1;
	}
	return 0;
}

static int model_unmap(uint32_t first, uint32_t count)
{
	uint32_t end = first + count;
	bool any = false;

	if (first > 0 && owner[first] != 0 &&
	    owner[first] == owner[first - 1]) {
		return -EINVAL;
	}
	if (end < PAGES && owner[end] != 0 && owner[end] == owner[end - 1]) {
		return -EINVAL;
	}
	for (uint32_t i = first; i < end; i++) {
		any = any || owner[i] != 0;
		owner[i] = 0;
	}
	return any ? 0 : -ENOENT;
}

static void compare(struct hf_emu *emu)
{
	uint32_t regions = 0;

	for (uint32_t i = 0; i < PAGES; i++) {
		uint64_t avail = 0;
		void *at = hf_emu_dma_at(&emu->dma, i * PAGE + 8,
					 HF_EMU_DMA_READ, &avail);
		uint32_t end = i;

		if (owner[i] == 0) {
			assert_null(at);
			continue;
		}
		while (end < PAGES && owner[end] == owner[i]) {
			end++;
		}
		assert_ptr_equal(at, base + i * PAGE + 8);
		assert_int_equal(avail, (end - i) * PAGE - 8);
		regions += owner[i] == i + 1;
	}
	assert_int_equal(hf_emu_dma_table(&emu->dma)->regions, regions);
}

static struct hf_emu *create(void)
{
	struct hf_emu_options options;
	struct hf_emu *emu;

	hf_emu_options_init(&options);
	options.serve = HF_EMU_MANUAL;
	assert_int_equal(hf_emu_create(&emu, &options, NULL), 0);
	memset(owner, 0, sizeof(owner));
	return emu;
}

static int map(struct hf_emu *emu, uint32_t first, uint32_t count)
{
	return hf_emu_dma_map(emu, first * PAGE, base + first * PAGE,
			      count * PAGE, HF_EMU_DMA_READ, NULL);
}

static void random_calls_agree_with_the_model(void **state)
{
	struct hf_emu *emu = create();
	(void)state;

	srandom(7);
	for (uint32_t step = 0; step < 60000; step++) {
		/* Few are unmapped at first, many later on. */
		uint32_t count = 1 + (uint32_t)random() % 3;
		uint32_t first = (uint32_t)random() % (PAGES - 64);
		bool unmap = (uint32_t)random() % 60000 < step / 2;

		if (unmap && step % 8 == 0) {
			count = 1 + (uint32_t)random() % 64;
		}
		if (unmap) {
			assert_int_equal(hf_emu_dma_unmap(emu, first * PAGE,
							  count * PAGE, NULL),
					 model_unmap(first, count));
		} else {
			assert_int_equal(map(emu, first, count),
					 model_map(first, count));
		}
		if (step % 2000 == 0) {
			compare(emu);
		}
	}
	compare(emu);
	hf_emu_dma_unmap_all(emu);
	memset(owner, 0, sizeof(owner));
	compare(emu);
	hf_emu_destroy(emu);
}

static void any_order_gives_the_same_table(void **state)
{
	struct hf_emu *emu = create();
	(void)state;

	for (uint32_t order = 0; order < 3; order++) {
		for (uint32_t i = 0; i < PAGES; i++) {
			uint32_t page = order == 0   ? i
					: order == 1 ? PAGES - 1 - i
						     : i * 1237 % PAGES;

			assert_int_equal(map(emu, page, 1), 0);
			assert_int_equal(model_map(page, 1), 0);
		}
		compare(emu);
		for (uint32_t page = 0; page < PAGES; page += 2) {
			assert_int_equal(
				hf_emu_dma_unmap(emu, page * PAGE, PAGE, NULL),
				0);
			assert_int_equal(model_unmap(page, 1), 0);
		}
		compare(emu);
		hf_emu_dma_unmap_all(emu);
		memset(owner, 0, sizeof(owner));
	}
	hf_emu_destroy(emu);
}

static void the_last_page_of_all_can_be_mapped(void **state)
{
	struct hf_emu *emu = create();
	uint64_t last = UINT64_MAX - PAGE + 1;
	uint64_t avail;
	(void)state;

	assert_int_equal(
		hf_emu_dma_map(emu, last, base, PAGE, HF_EMU_DMA_READ, NULL),
		0);
	assert_int_equal(
		hf_emu_dma_map(emu, last, base, PAGE, HF_EMU_DMA_READ, NULL),
		-EEXIST);
	assert_ptr_equal(
		hf_emu_dma_at(&emu->dma, UINT64_MAX, HF_EMU_DMA_READ, &avail),
		base + PAGE - 1);
	assert_int_equal(avail, 1);
	hf_emu_dma_unmap_all(emu);
	assert_null(hf_emu_dma_at(&emu->dma, last, HF_EMU_DMA_READ, &avail));
	hf_emu_destroy(emu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_calls_agree_with_the_model),
		cmocka_unit_test(any_order_gives_the_same_table),
		cmocka_unit_test(the_last_page_of_all_can_be_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
