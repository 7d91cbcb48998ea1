/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what a PRP list describes is exactly the data, byte for byte, and what
 * PRPs cannot describe is refused.
 * Method: a walker that reads PRP entries as the specification has them, and
 * shares nothing with the code that writes them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "queue/prp.h"
#include "state/ledger.h"
#include "unit.h"

#define PAGE       4096u
#define POOL_PAGES 4200u
#define POOL_IOVA  UINT64_C(0x100000000)
#define DATA_PAGES 2100u
#define DATA_IOVA  UINT64_C(0x700000000)

struct fixture {
	uint8_t *pages;
	uint16_t links[POOL_PAGES];
	struct hf_pool pool;
	uint8_t *data;
	struct hf_iova_map map;
};

static void *pages_of(size_t count)
{
	void *memory = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(memory != MAP_FAILED);
	return memory;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->pages = pages_of(POOL_PAGES);
	f->data = pages_of(DATA_PAGES);
	hf_pool_init(&f->pool, f->pages, POOL_IOVA, f->links, POOL_PAGES);
	assert_int_equal(hf_iova_map_init(&f->map), 0);
	assert_int_equal(
		hf_iova_map_add(&f->map, f->data, DATA_PAGES * PAGE, DATA_IOVA),
		0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hf_iova_map_fini(&f->map);
	munmap(f->pages, POOL_PAGES * (size_t)PAGE);
	munmap(f->data, DATA_PAGES * (size_t)PAGE);
	free(f);
	return 0;
}

/* Memory as the device sees it. */
static uint8_t *at_iova(struct fixture *f, uint64_t iova)
{
	if (iova >= DATA_IOVA && iova < DATA_IOVA + DATA_PAGES * PAGE) {
		return f->data + (iova - DATA_IOVA);
	}
	assert_true(iova >= POOL_IOVA && iova < POOL_IOVA + POOL_PAGES * PAGE);
	return f->pages + (iova - POOL_IOVA);
}

/* Reads entries one after the other, as a controller does. */
static void walk(struct fixture *f, const struct hf_prps *prps, uint32_t len,
		 uint8_t *out)
{
	uint32_t first = PAGE - (uint32_t)(prps->prp1 % PAGE);
	uint32_t piece = len < first ? len : first;

	assert_int_equal(prps->prp1 % 4, 0);
	memcpy(out, at_iova(f, prps->prp1), piece);
	out += piece;
	len -= piece;
	if (len == 0) {
		return;
	}
	if (len <= PAGE) {
		assert_int_equal(prps->prp2 % PAGE, 0);
		memcpy(out, at_iova(f, prps->prp2), len);
		return;
	}
	uint64_t list = prps->prp2;
	while (len > 0) {
		uint32_t left = (len + PAGE - 1) / PAGE;
		uint64_t entry = hf_get_le64(at_iova(f, list));

		assert_int_equal(entry % PAGE, 0);
		if (list % PAGE == PAGE - 8 && left > 1) {
			list = entry; /* leads to the next page of the list */
			continue;
		}
		piece = len < PAGE ? len : PAGE;
		memcpy(out, at_iova(f, entry), piece);
		out += piece;
		len -= piece;
		list += 8;
	}
}

static void fill(uint8_t *data, size_t len)
{
	for (size_t i = 0; i + 4 <= len; i += 4) {
		hf_put_le32(data + i, (uint32_t)i * 2654435761u);
	}
}

static void direct_matches(struct fixture *f, uint32_t offset, uint32_t len)
{
	const struct iovec iov = {f->data + offset, len};
	const struct hf_data data = {
		.iov = &iov, .iov_count = 1, .len_bytes = len};
	uint8_t *out = malloc(len);
	struct hf_prps prps;

	assert_int_equal(hf_prp_direct(&prps, &data, &f->map, &f->pool), 0);
	walk(f, &prps, len, out);
	assert_memory_equal(out, f->data + offset, len);
	assert_int_equal(prps.page_count, prps.list_pages);
	if (prps.page_count > 0) {
		hf_pool_give(&f->pool, prps.first_page, prps.page_count);
	}
	assert_int_equal(f->pool.free_count, POOL_PAGES);
	free(out);
}

/* So many entries behind PRP1, with and without an offset in the first. */
static void lists_of_every_length_describe_the_data(void **state)
{
	static const uint32_t entries[] = {0,    1,    2,    3,    510,  511,
					   512,  513,  514,  1022, 1023, 1024,
					   1025, 1026, 1534, 1535, 2047};
	static const uint32_t offsets[] = {0, 4, 512, 4092};
	struct fixture *f = *state;

	fill(f->data, DATA_PAGES * PAGE);
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		for (size_t k = 0; k < 4; k++) {
			uint32_t whole = (entries[i] + 1) * PAGE - offsets[k];

			direct_matches(f, offsets[k], whole);
			if (whole > 100) {
				direct_matches(f, offsets[k], whole - 100);
			}
			direct_matches(f, PAGE + offsets[k],
				       entries[i] * PAGE + 4);
		}
	}
}

static void list_pages_are_as_few_as_can_be(void **state)
{
	static const struct {
		uint32_t entries;
		uint16_t lists;
	} sizes[] = {{0, 0},   {1, 0},    {2, 1},   {512, 1},
		     {513, 2}, {1023, 2}, {1024, 3}};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct iovec iov = {f->data,
					  (sizes[i].entries + 1) * PAGE};
		const struct hf_data data = {
			.iov = &iov,
			.iov_count = 1,
			.len_bytes = (uint32_t)iov.iov_len,
		};
		struct hf_prps prps;

		assert_int_equal(hf_prp_direct(&prps, &data, &f->map, &f->pool),
				 0);
		assert_int_equal(prps.list_pages, sizes[i].lists);
		if (prps.page_count > 0) {
			hf_pool_give(&f->pool, prps.first_page,
				     prps.page_count);
		}
	}
}

static void buffers_that_meet_at_pages_are_described_as_one(void **state)
{
	struct fixture *f = *state;
	struct iovec iov[6] = {
		{f->data + 1 * PAGE + 100, PAGE - 100},
		{NULL, 0},
		{f->data + 9 * PAGE, 2 * PAGE},
		{f->data + 4 * PAGE, PAGE},
		{f->data + 30 * PAGE, 0},
		{f->data + 20 * PAGE, 40},
	};
	struct hf_data data = {.iov = iov, .iov_count = 6};
	uint8_t out[5 * PAGE];
	struct hf_prps prps;

	fill(f->data, DATA_PAGES * PAGE);
	data.len_bytes = 4 * PAGE - 100 + 40;
	assert_int_equal(hf_prp_direct(&prps, &data, &f->map, &f->pool), 0);
	walk(f, &prps, data.len_bytes, out);
	assert_memory_equal(out, f->data + PAGE + 100, PAGE - 100);
	assert_memory_equal(out + PAGE - 100, f->data + 9 * PAGE, 2 * PAGE);
	assert_memory_equal(out + 3 * PAGE - 100, f->data + 4 * PAGE, PAGE);
	assert_memory_equal(out + 4 * PAGE - 100, f->data + 20 * PAGE, 40);
	hf_pool_give(&f->pool, prps.first_page, prps.page_count);

	/* A stretch out of the middle. */
	data.offset = PAGE - 100 + PAGE;
	data.len_bytes = 2 * PAGE;
	assert_int_equal(hf_prp_direct(&prps, &data, &f->map, &f->pool), 0);
	walk(f, &prps, data.len_bytes, out);
	assert_memory_equal(out, f->data + 10 * PAGE, PAGE);
	assert_memory_equal(out + PAGE, f->data + 4 * PAGE, PAGE);
}

static void what_prps_cannot_describe_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t *elsewhere = pages_of(2);
	struct {
		struct iovec iov[2];
		uint32_t count;
	} bad[] = {
		{{{f->data + 1, 100}}, 1},
		{{{f->data + 2, 3 * PAGE}}, 1},
		{{{elsewhere, 100}}, 1},
		{{{f->data + (DATA_PAGES - 1) * PAGE, 2 * PAGE}}, 1},
		{{{f->data + (DATA_PAGES - 2) * PAGE, 3 * PAGE}}, 1},
		/* Ends inside a page; begins inside one. */
		{{{f->data, 100}, {f->data + PAGE, PAGE}}, 2},
		{{{f->data, PAGE}, {f->data + PAGE + 4, 100}}, 2},
		{{{f->data, PAGE}, {elsewhere, PAGE}}, 2},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct hf_data data = {.iov = bad[i].iov,
				       .iov_count = bad[i].count};
		struct hf_prps prps;

		for (uint32_t k = 0; k < bad[i].count; k++) {
			data.len_bytes += (uint32_t)bad[i].iov[k].iov_len;
		}
		assert_int_equal(hf_prp_direct(&prps, &data, &f->map, &f->pool),
				 -EFAULT);
		assert_int_equal(f->pool.free_count, POOL_PAGES);
	}
	munmap(elsewhere, 2 * PAGE);
}

static void a_list_without_a_page_for_it_is_put_off(void **state)
{
	struct fixture *f = *state;
	const struct iovec iov = {f->data, 600 * PAGE};
	const struct hf_data data = {
		.iov = &iov, .iov_count = 1, .len_bytes = 600 * PAGE};
	struct hf_prps prps;

	(void)hf_pool_take(&f->pool, POOL_PAGES - 1);
	assert_int_equal(hf_prp_direct(&prps, &data, &f->map, &f->pool),
			 -EAGAIN);
	assert_int_equal(f->pool.free_count, 1);
	assert_int_equal(hf_prp_bounce(&prps, PAGE + 1, &f->pool), -EAGAIN);
	assert_int_equal(f->pool.free_count, 1);
}

static void bounced_data_is_what_the_device_sees(void **state)
{
	static const uint32_t lens[] = {1,          100,
					PAGE,       PAGE + 1,
					2 * PAGE,   3 * PAGE - 5,
					511 * PAGE, 513 * PAGE,
					514 * PAGE, 1025 * PAGE + 17};
	struct fixture *f = *state;
	uint8_t *plain = malloc(1100 * PAGE);
	uint8_t *out = malloc(1100 * PAGE);

	fill(plain, 1100 * PAGE);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		uint32_t third = lens[i] / 3;
		const struct iovec iov[4] = {
			{plain + 7, 3},
			{plain + 10, third},
			{NULL, 0},
			{plain + 10 + third, lens[i] - third},
		};
		const struct hf_data data = {.iov = iov,
					     .iov_count = 4,
					     .offset = 3,
					     .len_bytes = lens[i]};
		struct hf_prps prps;

		assert_int_equal(hf_prp_bounce(&prps, lens[i], &f->pool), 0);
		assert_int_equal(prps.page_count, hf_prp_bounce_pages(lens[i]));
		hf_prp_copy_in(&prps, &data, &f->pool);
		walk(f, &prps, lens[i], out);
		assert_memory_equal(out, plain + 10, lens[i]);

		memset(plain + 10, 0, lens[i]);
		hf_prp_copy_out(&prps, &data, &f->pool);
		assert_memory_equal(out, plain + 10, lens[i]);
		hf_pool_give(&f->pool, prps.first_page, prps.page_count);
		assert_int_equal(f->pool.free_count, POOL_PAGES);
	}
	free(plain);
	free(out);
}

/* The pool's pages in an order that is not theirs. */
static void scattered_pages_are_chained_right(void **state)
{
	struct fixture *f = *state;
	uint16_t taken[POOL_PAGES];

	for (uint32_t i = 0; i < POOL_PAGES; i++) {
		taken[i] = hf_pool_take(&f->pool, 1);
	}
	for (uint32_t i = 0; i < POOL_PAGES; i++) {
		hf_pool_give(&f->pool, taken[i * 1009u % POOL_PAGES], 1);
	}
	lists_of_every_length_describe_the_data(state);
	bounced_data_is_what_the_device_sees(state);
}

#define prp_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		prp_test(lists_of_every_length_describe_the_data),
		prp_test(list_pages_are_as_few_as_can_be),
		prp_test(buffers_that_meet_at_pages_are_described_as_one),
		prp_test(what_prps_cannot_describe_is_refused),
		prp_test(a_list_without_a_page_for_it_is_put_off),
		prp_test(bounced_data_is_what_the_device_sees),
		prp_test(scattered_pages_are_chained_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
