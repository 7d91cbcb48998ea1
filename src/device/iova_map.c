/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/iova_map.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "base/checked.h"

#define TOP_COUNT  (UINT64_C(1) << HF_IOVA_TOP_BITS)
#define LEAF_COUNT (UINT64_C(1) << HF_IOVA_LEAF_BITS)
#define TOP_BYTES  (TOP_COUNT * sizeof(struct hf_iova_leaf *))

static void *map_zeroed(uint64_t len_bytes)
{
	void *memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int hf_iova_map_init(struct hf_iova_map *map)
{
	map->leaves = NULL;
	map->top = map_zeroed(TOP_BYTES);
	return map->top != NULL ? 0 : -ENOMEM;
}

void hf_iova_map_fini(struct hf_iova_map *map)
{
	if (map->top == NULL) {
		return;
	}

	/* Not by way of the table: looking at all of it costs more pages than
	 * were ever in use. */
	while (map->leaves != NULL) {
		struct hf_iova_leaf *leaf = map->leaves;

		map->leaves = leaf->next;
		munmap(leaf, sizeof(*leaf));
	}
	munmap((void *)map->top, TOP_BYTES);
	map->top = NULL;
}

static uint64_t *entry_of(const struct hf_iova_map *map, uint64_t page)
{
	struct hf_iova_leaf *leaf = map->top[page >> HF_IOVA_LEAF_BITS];

	return leaf != NULL ? &leaf->entries[page & (LEAF_COUNT - 1)] : NULL;
}

static int make_leaves(struct hf_iova_map *map, uint64_t first, uint64_t last)
{
	for (uint64_t top = first >> HF_IOVA_LEAF_BITS;
	     top <= last >> HF_IOVA_LEAF_BITS; top++) {
		if (map->top[top] != NULL) {
			continue;
		}

		struct hf_iova_leaf *leaf = map_zeroed(sizeof(*leaf));
		if (leaf == NULL) {
			return -ENOMEM;
		}
		leaf->next = map->leaves;
		map->leaves = leaf;
		/* Pairs with the acquire in hf_iova_find(). */
		__atomic_store_n(&map->top[top], leaf, __ATOMIC_RELEASE);
	}
	return 0;
}

/* Entries of many pages lie in many pages: asked for in one call, they cost a
 * fraction of what a fault for each does, in the middle of a hand-over too. */
static void populate(const struct hf_iova_map *map, uint64_t first,
		     uint64_t last)
{
	const uintptr_t mask = (UINT64_C(1) << HF_IOVA_PAGE_SHIFT) - 1;

	while (first <= last) {
		uint64_t end = HF_MIN(last, first | (LEAF_COUNT - 1));
		uintptr_t from = (uintptr_t)entry_of(map, first) & ~mask;
		uintptr_t to = ((uintptr_t)entry_of(map, end) | mask) + 1;

		if (to - from > mask + 1) {
			(void)!madvise((void *)from, to - from,
				       MADV_POPULATE_WRITE);
		}
		first = end + 1;
	}
}

int hf_iova_map_add(struct hf_iova_map *map, const void *vaddr,
		    uint64_t len_bytes, uint64_t iova)
{
	uint64_t first = (uintptr_t)vaddr >> HF_IOVA_PAGE_SHIFT;
	uint64_t pages = len_bytes >> HF_IOVA_PAGE_SHIFT;

	if (pages == 0 ||
	    !hf_range_within(first, pages, TOP_COUNT << HF_IOVA_LEAF_BITS)) {
		return -EINVAL;
	}
	if (make_leaves(map, first, first + pages - 1) != 0) {
		return -ENOMEM;
	}

	populate(map, first, first + pages - 1);
	for (uint64_t page = first; page < first + pages; page++) {
		if (*entry_of(map, page) != 0) {
			return -EEXIST;
		}
	}
	for (uint64_t i = 0; i < pages; i++) {
		__atomic_store_n(entry_of(map, first + i),
				 iova + (i << HF_IOVA_PAGE_SHIFT) + 1,
				 __ATOMIC_RELAXED);
	}
	return 0;
}

void hf_iova_map_remove(struct hf_iova_map *map, const void *vaddr,
			uint64_t len_bytes)
{
	uint64_t first = (uintptr_t)vaddr >> HF_IOVA_PAGE_SHIFT;
	uint64_t pages = len_bytes >> HF_IOVA_PAGE_SHIFT;

	for (uint64_t page = first; page < first + pages; page++) {
		uint64_t *entry = entry_of(map, page);

		assert(entry != NULL);
		__atomic_store_n(entry, 0, __ATOMIC_RELAXED);
	}
}
