/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: DMA memory is found by address, bounded by every limit, and given back
 * whole, whatever fails on the way.
 * Method: a device of nothing but two functions that map and unmap.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "device/device.h"
#include "device/dma_internal.h"
#include "state/registry.h"
#include "unit.h"

#define PAGE UINT64_C(4096)

struct fake {
	struct hf_device dev;
	uint32_t mapped;
	uint32_t map_calls;
	uint32_t fail_map_at;
	bool fail_unmap;
	struct hf_dma_mapping last;
};

static int fake_map(struct hf_device *dev, const struct hf_dma_mapping *map,
		    struct hf_error *err)
{
	struct fake *fake = (struct fake *)(void *)dev;

	fake->map_calls++;
	if (fake->map_calls == fake->fail_map_at) {
		return hf_error_set(err, -ENOMEM, "no more");
	}
	fake->mapped++;
	fake->last = *map;
	return 0;
}

static int fake_unmap(struct hf_device *dev, const struct hf_dma_mapping *map,
		      struct hf_error *err)
{
	struct fake *fake = (struct fake *)(void *)dev;

	(void)map;
	if (fake->fail_unmap) {
		return hf_error_set(err, -EIO, "not now");
	}
	fake->mapped--;
	return 0;
}

static const struct hf_device_ops fake_ops = {
	.kind = "fake",
	.dma_map = fake_map,
	.dma_unmap = fake_unmap,
};

static struct fake *fake_make(void)
{
	struct fake *fake = calloc(1, sizeof(*fake));

	fake->dev.ops = &fake_ops;
	strcpy(fake->dev.id, "fake");
	hf_device_options_init(&fake->dev.options);
	fake->dev.options.huge_pages = HF_HUGE_PAGES_OFF;
	fake->dev.bar0_bytes = 16384;
	fake->dev.dma.limits.private_memory = true;
	return fake;
}

static void start(struct fake *fake)
{
	assert_int_equal(hf_device_init(&fake->dev, NULL), 0);
}

static int setup(void **state)
{
	*state = fake_make();
	return 0;
}

static int teardown(void **state)
{
	struct fake *fake = *state;

	hf_device_fini(&fake->dev, HF_RELEASE_RESET);
	assert_int_equal(fake->mapped, 0);
	free(fake);
	return 0;
}

static int alloc(struct fake *fake, uint64_t len, struct hf_dma_block *block)
{
	struct hf_error err;

	return hf_dma_block_alloc(&fake->dev.dma, len, HF_DMA_OWNER_CALLER, 0,
				  block, &err);
}

static uint64_t lookup(struct fake *fake, const void *vaddr)
{
	return hf_iova_lookup(&fake->dev.dma.map, vaddr);
}

static void blocks_are_zeroed_apart_and_found_again(void **state)
{
	struct fake *fake = *state;
	struct hf_dma_block blocks[64];
	struct hf_dma_block found;

	start(fake);
	for (uint32_t i = 0; i < 64; i++) {
		uint64_t len = (i % 7 + 1) * PAGE - 5;

		assert_int_equal(alloc(fake, len, &blocks[i]), 0);
		assert_int_equal(blocks[i].len_bytes, (i % 7 + 1) * PAGE);
		for (uint64_t b = 0; b < blocks[i].len_bytes; b++) {
			assert_int_equal(blocks[i].vaddr[b], 0);
		}
		memset(blocks[i].vaddr, (int)i + 1, blocks[i].len_bytes);
		assert_int_equal(lookup(fake, blocks[i].vaddr), blocks[i].iova);
		assert_int_equal(lookup(fake, blocks[i].vaddr + 4095),
				 blocks[i].iova + 4095);
	}
	for (uint32_t i = 0; i < 64; i++) {
		assert_int_equal(blocks[i].vaddr[0], i + 1);
		assert_int_equal(hf_dma_block_find(&fake->dev.dma,
						   blocks[i].vaddr, &found),
				 0);
		assert_int_equal(found.index, blocks[i].index);
		hf_dma_block_free(&fake->dev.dma, &blocks[i]);
		hf_dma_block_free(&fake->dev.dma, &blocks[i]); /* empty */
	}
	assert_int_equal(fake->dev.dma.allocated_bytes, 0);
	/* Used again, and zeroed again. */
	assert_int_equal(alloc(fake, PAGE, &found), 0);
	assert_int_equal(found.vaddr[0], 0);
	assert_int_equal(fake->mapped, 1);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
	struct fake *fake = *state;
	struct hf_dma_block block;

	start(fake);
	assert_int_equal(alloc(fake, 0, &block), -EINVAL);
	assert_int_equal(alloc(fake, UINT64_MAX, &block), -EINVAL);
	assert_int_equal(alloc(fake, (UINT64_C(1) << 40) + 1, &block), -EINVAL);
}

static void the_limit_of_bytes_is_kept(void **state)
{
	struct fake *fake = *state;
	struct hf_dma_block a;
	struct hf_dma_block b;

	fake->dev.options.dma_limit_bytes = 10 * PAGE;
	start(fake);
	assert_int_equal(alloc(fake, 11 * PAGE, &a), -ENOMEM);
	assert_int_equal(alloc(fake, 6 * PAGE, &a), 0);
	assert_int_equal(alloc(fake, 5 * PAGE, &b), -ENOMEM);
	assert_int_equal(alloc(fake, 4 * PAGE, &b), 0);
	hf_dma_block_free(&fake->dev.dma, &a);
	assert_int_equal(alloc(fake, 6 * PAGE, &a), 0);
}

static void the_limit_of_mappings_is_kept_and_named(void **state)
{
	struct fake *fake = *state;
	uint8_t *memory = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct hf_error err;

	fake->dev.dma.limits.max_mappings = 3;
	start(fake);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(hf_dma_register_range(&fake->dev.dma,
						       memory + i * PAGE, PAGE,
						       -1, 0, &err),
				 0);
	}
	assert_int_equal(hf_dma_register_range(&fake->dev.dma,
					       memory + 3 * PAGE, PAGE, -1, 0,
					       &err),
			 -ENOSPC);
	assert_non_null(strstr(err.message, "all 3 DMA mappings"));
	assert_int_equal(hf_dma_unregister_range(&fake->dev.dma, memory, &err),
			 0);
	assert_int_equal(lookup(fake, memory), HF_IOVA_NONE);
	assert_int_equal(hf_dma_register_range(&fake->dev.dma,
					       memory + 3 * PAGE, PAGE, -1, 0,
					       &err),
			 0);
}

static void iovas_stay_within_the_ranges(void **state)
{
	struct fake *fake = *state;
	struct hf_dma_block block;
	uint64_t first = 0x10000;
	uint64_t last = 0x10000 + (UINT64_C(6) << 20) - 1;

	fake->dev.dma.limits.range_count = 1;
	fake->dev.dma.limits.ranges[0].first = first;
	fake->dev.dma.limits.ranges[0].last = last;
	start(fake);
	uint32_t count = 0;
	while (alloc(fake, UINT64_C(1) << 20, &block) == 0) {
		assert_true(block.iova >= first);
		assert_true(block.iova + block.len_bytes - 1 <= last);
		assert_true(++count < 100);
	}
	assert_true(count >= 2);
}

static void registering_is_checked(void **state)
{
	struct fake *fake = *state;
	uint8_t *memory = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct hf_dma *dma = &fake->dev.dma;
	struct hf_error err;

	start(fake);
	assert_int_equal(
		hf_dma_register_range(dma, memory + 1, PAGE, -1, 0, &err),
		-EINVAL);
	assert_int_equal(
		hf_dma_register_range(dma, memory, PAGE - 1, -1, 0, &err),
		-EINVAL);
	assert_int_equal(hf_dma_register_range(dma, memory, 0, -1, 0, &err),
			 -EINVAL);
	assert_int_equal(
		hf_dma_register_range(dma, memory, PAGE, 9999, 0, &err),
		-EBADF);
	assert_int_equal(
		hf_dma_register_range(dma, memory, 4 * PAGE, -1, 0, &err), 0);
	assert_int_equal(hf_dma_register_range(dma, memory + 3 * PAGE, 2 * PAGE,
					       -1, 0, &err),
			 -EEXIST);
	assert_int_equal(lookup(fake, memory + 4 * PAGE), HF_IOVA_NONE);
	assert_int_equal(hf_dma_unregister_range(dma, memory + PAGE, &err),
			 -ENOENT);
	fake->fail_unmap = true;
	assert_int_equal(hf_dma_unregister_range(dma, memory, &err), -EIO);
	assert_true(lookup(fake, memory) != HF_IOVA_NONE); /* as it was */
	fake->fail_unmap = false;
	assert_int_equal(hf_dma_unregister_range(dma, memory, &err), 0);
	assert_int_equal(fake->mapped, 0);
	dma->limits.private_memory = false;
	assert_int_equal(hf_dma_register_range(dma, memory, PAGE, -1, 0, &err),
			 -ENOTSUP);
	munmap(memory, 8 * PAGE);
}

static void a_failing_map_leaves_nothing_behind(void **state)
{
	struct fake *fake = *state;
	struct hf_dma_block block;
	uint8_t *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("test", MFD_CLOEXEC);

	start(fake);
	assert_int_equal(ftruncate(fd, (off_t)PAGE), 0);
	for (uint32_t i = 0; i < 20; i++) {
		fake->fail_map_at = fake->map_calls + 1;
		assert_int_equal(alloc(fake, PAGE, &block), -ENOMEM);
		fake->fail_map_at = fake->map_calls + 1;
		assert_int_equal(hf_dma_register_range(&fake->dev.dma, memory,
						       PAGE, fd, 0, NULL),
				 -ENOMEM);
		assert_int_equal(lookup(fake, memory), HF_IOVA_NONE);
	}
	assert_int_equal(fake->dev.dma.allocated_bytes, 0);
	assert_int_equal(alloc(fake, PAGE, &block), 0);
	close(fd);
	munmap(memory, PAGE);
}

static uint32_t region_state(const struct fake *fake, uint32_t index)
{
	return fake->dev.dma.registry->regions[index].state;
}

static void new_memory_waits_until_it_is_kept(void **state)
{
	struct fake *fake = *state;
	struct hf_dma *dma = &fake->dev.dma;
	struct hf_dma_block block;
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)PAGE), 0);
	uint8_t *memory =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	start(fake);
	hf_dma_keep(dma, true);
	assert_false(hf_dma_offer(dma));
	assert_int_equal(alloc(fake, PAGE, &block), HF_DMA_UNKEPT);
	/* The same room is waited for, not more and more of it. */
	assert_int_equal(alloc(fake, PAGE, &block), HF_DMA_UNKEPT);
	assert_int_equal(hf_dma_register_range(dma, memory, PAGE, fd, 0, NULL),
			 HF_DMA_UNKEPT);
	assert_int_equal(hf_dma_register_range(dma, memory, PAGE, fd, 0, NULL),
			 -EEXIST);
	assert_int_equal(fake->mapped, 2);
	/* A successor unmaps it; nothing lies in it, and nobody finds it. */
	assert_int_equal(region_state(fake, 0), HF_REGION_MAPPING);
	assert_int_equal(region_state(fake, 1), HF_REGION_MAPPING);
	assert_int_equal(lookup(fake, memory), HF_IOVA_NONE);
	assert_false(hf_dma_is_registered(dma, memory));

	assert_true(hf_dma_offer(dma));
	hf_dma_settle(dma, true);
	assert_int_equal(region_state(fake, 0), HF_REGION_MAPPED);
	assert_int_equal(region_state(fake, 1), HF_REGION_MAPPED);
	assert_true(lookup(fake, memory) != HF_IOVA_NONE);
	assert_true(hf_dma_is_registered(dma, memory));
	assert_int_equal(alloc(fake, PAGE, &block), 0);
	assert_int_equal(lookup(fake, block.vaddr), block.iova);
	assert_false(hf_dma_offer(dma));
	assert_int_equal(hf_dma_unregister_range(dma, memory, NULL), 0);
	munmap(memory, PAGE);
	close(fd);
}

static void memory_that_is_not_kept_is_let_go_of(void **state)
{
	struct fake *fake = *state;
	struct hf_dma *dma = &fake->dev.dma;
	struct hf_dma_block block;

	start(fake);
	hf_dma_keep(dma, true);
	assert_int_equal(alloc(fake, PAGE, &block), HF_DMA_UNKEPT);
	assert_true(hf_dma_offer(dma));
	hf_dma_settle(dma, false);
	assert_int_equal(fake->mapped, 0);
	assert_int_equal(region_state(fake, 0), HF_REGION_FREE);

	/* Made after the set was: it is the next one's. */
	assert_int_equal(alloc(fake, PAGE, &block), HF_DMA_UNKEPT);
	hf_dma_settle(dma, true);
	assert_int_equal(region_state(fake, 0), HF_REGION_MAPPING);

	/* The device does not let go of it: not used, and not taken for room
	 * that will be there. */
	assert_true(hf_dma_offer(dma));
	fake->fail_unmap = true;
	hf_dma_settle(dma, false);
	fake->fail_unmap = false;
	assert_int_equal(region_state(fake, 0), HF_REGION_MAPPING);
	assert_int_equal(alloc(fake, PAGE, &block), HF_DMA_UNKEPT);
	assert_true(hf_dma_offer(dma));
	hf_dma_settle(dma, true);
	assert_int_equal(region_state(fake, 0), HF_REGION_MAPPING);
	assert_int_equal(alloc(fake, PAGE, &block), 0);
	assert_int_equal(fake->mapped, 2);
}

static void revoked_memory_stays_here_and_is_not_used_again(void **state)
{
	struct fake *fake = *state;
	struct hf_dma_block block;
	struct hf_dma_block later;

	start(fake);
	assert_int_equal(alloc(fake, PAGE, &block), 0);
	assert_int_equal(hf_dma_revoke(&fake->dev.dma, NULL), 0);
	assert_int_equal(fake->mapped, 0);
	block.vaddr[0] = 1; /* still mapped here */
	assert_int_equal(alloc(fake, PAGE, &later), 0);
	assert_true(later.iova != block.iova);
	assert_int_equal(fake->mapped, 1);
}

static void many_pages_are_looked_up_in_the_map(void **state)
{
	struct hf_iova_map map;
	const uint8_t *high = (const uint8_t *)((UINT64_C(1) << 47) - PAGE);
	const uint8_t *border = (const uint8_t *)(UINT64_C(5) << 30);

	(void)state;
	assert_int_equal(hf_iova_map_init(&map), 0);
	assert_int_equal(hf_iova_lookup(&map, high), HF_IOVA_NONE);
	assert_int_equal(hf_iova_map_add(&map, high, PAGE, 0), 0);
	assert_int_equal(hf_iova_lookup(&map, high + 7), 7);
	assert_int_equal(hf_iova_lookup(&map, high + PAGE), HF_IOVA_NONE);
	assert_int_equal(hf_iova_map_add(&map, high, 2 * PAGE, 0), -EINVAL);
	assert_int_equal(hf_iova_map_add(&map, high, 0, 0), -EINVAL);
	/* Over the border of two leaves. */
	assert_int_equal(
		hf_iova_map_add(&map, border - 2 * PAGE, 4 * PAGE, 0x5000), 0);
	assert_int_equal(hf_iova_lookup(&map, border + PAGE), 0x8000);
	assert_int_equal(
		hf_iova_map_add(&map, border - 4 * PAGE, 3 * PAGE, 0x9000),
		-EEXIST);
	assert_int_equal(hf_iova_lookup(&map, border - 4 * PAGE),
			 HF_IOVA_NONE); /* nothing of it */
	hf_iova_map_remove(&map, border - 2 * PAGE, 4 * PAGE);
	assert_int_equal(hf_iova_lookup(&map, border), HF_IOVA_NONE);
	hf_iova_map_fini(&map);
	hf_iova_map_fini(&map);
}

/* Against one page at a time. */
static void pages_are_marked_and_looked_at_in_ranges(void **state)
{
	enum { PAGES = 200 };
	uint64_t used[(PAGES + 63) / 64] = {0};
	struct hf_dma_region region = {.used = used, .pages = PAGES};

	(void)state;
	for (uint64_t first = 0; first < PAGES; first++) {
		for (uint64_t count = 1; first + count <= PAGES; count++) {
			hf_dma_pages_mark(&region, first, count, true);
			for (uint64_t i = 0; i < PAGES; i++) {
				bool free = i < first || i >= first + count;

				assert_int_equal(
					hf_dma_pages_are_free(&region, i, 1),
					free);
			}
			assert_true(first == 0 ||
				    hf_dma_pages_are_free(&region, 0, first));
			assert_false(
				hf_dma_pages_are_free(&region, 0, first + 1));
			assert_false(hf_dma_pages_are_free(
				&region, first + count - 1,
				PAGES - first - count + 1));
			hf_dma_pages_mark(&region, first, count, false);
			assert_true(hf_dma_pages_are_free(&region, 0, PAGES));
		}
	}
}

/* A chunk that is there as a whole has one entry; its neighbours, of which the
 * device sees a part, have one for each page. */
static void whole_chunks_are_looked_up_as_pages_are(void **state)
{
	const uint64_t chunk = UINT64_C(1) << HF_IOVA_CHUNK_SHIFT;
	const uint8_t *at = (const uint8_t *)(UINT64_C(7) << 30);
	const uint8_t *first = at - PAGE;
	const uint64_t len_bytes = 2 * chunk + 2 * PAGE;
	struct hf_iova_map map;

	(void)state;
	assert_int_equal(hf_iova_map_init(&map), 0);
	assert_int_equal(hf_iova_map_add(&map, first, len_bytes, 0x3000), 0);
	for (uint64_t i = 0; i < len_bytes; i += PAGE) {
		assert_int_equal(hf_iova_lookup(&map, first + i + 5),
				 0x3000 + i + 5);
	}
	assert_int_equal(hf_iova_lookup(&map, first - 1), HF_IOVA_NONE);
	assert_int_equal(hf_iova_lookup(&map, first + len_bytes), HF_IOVA_NONE);
	/* Whatever meets it, by a page or by all. */
	assert_int_equal(hf_iova_map_add(&map, at + chunk, PAGE, 0), -EEXIST);
	assert_int_equal(hf_iova_map_add(&map, at, chunk, 0), -EEXIST);
	assert_int_equal(
		hf_iova_map_add(&map, at - 2 * chunk, 2 * chunk, 0x900000),
		-EEXIST);
	assert_int_equal(hf_iova_lookup(&map, at - 2 * chunk), HF_IOVA_NONE);

	hf_iova_map_remove(&map, first, len_bytes);
	for (uint64_t i = 0; i < len_bytes; i += PAGE) {
		assert_int_equal(hf_iova_lookup(&map, first + i), HF_IOVA_NONE);
	}
	/* A whole chunk where there were pages, pages where there was one. */
	assert_int_equal(hf_iova_map_add(&map, at - chunk, chunk, 0x80000000),
			 0);
	assert_int_equal(hf_iova_lookup(&map, at - 1), 0x80000000 + chunk - 1);
	assert_int_equal(hf_iova_map_add(&map, at + PAGE, PAGE, 0x4000), 0);
	assert_int_equal(hf_iova_lookup(&map, at), HF_IOVA_NONE);
	assert_int_equal(hf_iova_lookup(&map, at + PAGE), 0x4000);
	hf_iova_map_fini(&map);
}

static void descriptors_are_found_by_name(void **state)
{
	struct hf_fdset *set = calloc(1, sizeof(*set));
	struct hf_error err;
	char text[8];
	uint64_t number;

	(void)state;
	hf_fdset_init(set);
	for (int i = 0; i < HF_FDSET_MAX; i++) {
		assert_int_equal(hf_fdset_add(set, 1000 + i, &err, "dma-%d", i),
				 0);
	}
	assert_int_equal(hf_fdset_add(set, 1, &err, "one-more"), -ENOSPC);
	assert_int_equal(hf_fdset_find(set, "dma-%d", 77), 1077);
	assert_int_equal(hf_fdset_find(set, "dma"), -1);
	assert_int_equal(hf_fdset_take(set, "dma-%d", 77), 1077);
	assert_int_equal(hf_fdset_find(set, "dma-%d", 77), -1);
	assert_int_equal(hf_fdset_find(set, "dma-%d", 511), 1511);

	assert_int_equal(hf_fdset_put_text(set, &err, "a", "%s", "hello"), 0);
	assert_int_equal(hf_fdset_put_text(set, &err, "ab", "%d", 42), 0);
	assert_int_equal(hf_fdset_get_text(set, "a", text, sizeof(text)), 0);
	assert_string_equal(text, "hello");
	assert_int_equal(hf_fdset_get_text(set, "a", text, 5), -ENOBUFS);
	assert_int_equal(hf_fdset_get_text(set, "b", text, 8), -ENOENT);
	assert_int_equal(hf_fdset_get_u64(set, "ab", &number), 0);
	assert_int_equal(number, 42);
	assert_int_equal(hf_fdset_get_u64(set, "a", &number), -EINVAL);
	int rc = 0;
	for (uint32_t i = 0; i < 3000 && rc == 0; i++) {
		rc = hf_fdset_put_text(set, &err, "key", "%u", i);
	}
	assert_true(rc < 0);
	free(set);
}

#define dma_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		dma_test(blocks_are_zeroed_apart_and_found_again),
		dma_test(sizes_that_cannot_be_are_refused),
		dma_test(the_limit_of_bytes_is_kept),
		dma_test(the_limit_of_mappings_is_kept_and_named),
		dma_test(iovas_stay_within_the_ranges),
		dma_test(registering_is_checked),
		dma_test(a_failing_map_leaves_nothing_behind),
		dma_test(new_memory_waits_until_it_is_kept),
		dma_test(memory_that_is_not_kept_is_let_go_of),
		dma_test(revoked_memory_stays_here_and_is_not_used_again),
		cmocka_unit_test(many_pages_are_looked_up_in_the_map),
		cmocka_unit_test(pages_are_marked_and_looked_at_in_ranges),
		cmocka_unit_test(whole_chunks_are_looked_up_as_pages_are),
		cmocka_unit_test(descriptors_are_found_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
