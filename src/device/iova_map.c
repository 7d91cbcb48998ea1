/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/iova_map.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/checked.h"

#define TOP_COUNT (UINT64_C(1) << HF_IOVA_TOP_BITS)
#define TOP_BYTES (TOP_COUNT * sizeof(struct hf_iova_leaf *))
#define TOP_SHIFT (HF_IOVA_LEAF_SHIFT - HF_IOVA_PAGE_SHIFT)

/* What of a range lies in one chunk. */
struct piece {
	uint64_t *chunk;
	uint32_t first; /* page of the chunk */
	uint32_t count;
};

int hf_iova_map_init(struct hf_iova_map *map)
{
	void *top = mmap(NULL, TOP_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	*map = (struct hf_iova_map){.top = top != MAP_FAILED ? top : NULL};
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
		free(leaf);
	}
	while (map->pages != NULL) {
		struct hf_iova_pages *pages = map->pages;

		map->pages = pages->next;
		free(pages);
	}
	munmap((void *)map->top, TOP_BYTES);
	map->top = NULL;
}

static int make_leaves(struct hf_iova_map *map, uint64_t first, uint64_t last)
{
	for (uint64_t top = first >> TOP_SHIFT; top <= last >> TOP_SHIFT;
	     top++) {
		if (map->top[top] != NULL) {
			continue;
		}

		struct hf_iova_leaf *leaf = calloc(1, sizeof(*leaf));
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

/* The leaves are there. */
static struct piece piece_at(const struct hf_iova_map *map, uint64_t page,
			     uint64_t end)
{
	uint64_t chunk = page / HF_IOVA_CHUNK_PAGES;
	uint32_t first = (uint32_t)(page % HF_IOVA_CHUNK_PAGES);

	return (struct piece){
		.chunk = &map->top[page >> TOP_SHIFT]
				  ->chunks[chunk % HF_IOVA_LEAF_CHUNKS],
		.first = first,
		.count = (uint32_t)HF_MIN(
			end - page, (uint64_t)HF_IOVA_CHUNK_PAGES - first),
	};
}

static struct hf_iova_pages *pages_of(const struct piece *piece)
{
	return (struct hf_iova_pages *)(uintptr_t)*piece->chunk;
}

static bool is_one(const struct piece *piece)
{
	return (*piece->chunk & 1) != 0;
}

/* Room for it, and nothing there. */
static int make_room(struct hf_iova_map *map, const struct piece *piece)
{
	if (is_one(piece)) {
		return -EEXIST;
	}
	if (*piece->chunk == 0 && piece->count == HF_IOVA_CHUNK_PAGES) {
		return 0; /* the chunk's own entry will do */
	}
	if (*piece->chunk == 0) {
		struct hf_iova_pages *pages = calloc(1, sizeof(*pages));

		if (pages == NULL) {
			return -ENOMEM;
		}
		pages->next = map->pages;
		map->pages = pages;
		/* Pairs with the acquire in hf_iova_find(). */
		__atomic_store_n(piece->chunk, (uintptr_t)pages,
				 __ATOMIC_RELEASE);
		return 0;
	}
	for (uint32_t i = 0; i < piece->count; i++) {
		if (pages_of(piece)->entries[piece->first + i] != 0) {
			return -EEXIST;
		}
	}
	return 0;
}

static void fill(const struct piece *piece, uint64_t iova)
{
	if (*piece->chunk == 0) {
		__atomic_store_n(piece->chunk, iova + 1, __ATOMIC_RELAXED);
		return;
	}
	for (uint64_t i = 0; i < piece->count; i++) {
		__atomic_store_n(&pages_of(piece)->entries[piece->first + i],
				 iova + (i << HF_IOVA_PAGE_SHIFT) + 1,
				 __ATOMIC_RELAXED);
	}
}

int hf_iova_map_expect(struct hf_iova_map *map, const void *vaddr,
		       uint64_t len_bytes)
{
	uint64_t first = (uintptr_t)vaddr >> HF_IOVA_PAGE_SHIFT;
	uint64_t pages = len_bytes >> HF_IOVA_PAGE_SHIFT;

	if (pages == 0 ||
	    !hf_range_within(first, pages, TOP_COUNT << TOP_SHIFT)) {
		return -EINVAL;
	}
	return make_leaves(map, first, first + pages - 1);
}

int hf_iova_map_add(struct hf_iova_map *map, const void *vaddr,
		    uint64_t len_bytes, uint64_t iova)
{
	uint64_t first = (uintptr_t)vaddr >> HF_IOVA_PAGE_SHIFT;
	uint64_t end = first + (len_bytes >> HF_IOVA_PAGE_SHIFT);
	struct piece piece;

	/* Bit 0 of an entry says that it is one. */
	assert((iova & 1) == 0);
	int expected = hf_iova_map_expect(map, vaddr, len_bytes);
	if (expected != 0) {
		return expected;
	}

	for (uint64_t page = first; page < end; page += piece.count) {
		piece = piece_at(map, page, end);
		int rc = make_room(map, &piece);
		if (rc != 0) {
			return rc;
		}
	}
	for (uint64_t page = first; page < end; page += piece.count) {
		piece = piece_at(map, page, end);
		fill(&piece, iova + ((page - first) << HF_IOVA_PAGE_SHIFT));
	}
	return 0;
}

void hf_iova_map_remove(struct hf_iova_map *map, const void *vaddr,
			uint64_t len_bytes)
{
	uint64_t first = (uintptr_t)vaddr >> HF_IOVA_PAGE_SHIFT;
	uint64_t end = first + (len_bytes >> HF_IOVA_PAGE_SHIFT);
	struct piece piece;

	for (uint64_t page = first; page < end; page += piece.count) {
		assert(map->top[page >> TOP_SHIFT] != NULL);
		piece = piece_at(map, page, end);
		assert(*piece.chunk != 0);
		if (is_one(&piece)) {
			assert(piece.count == HF_IOVA_CHUNK_PAGES);
			__atomic_store_n(piece.chunk, 0, __ATOMIC_RELAXED);
			continue;
		}
		for (uint32_t i = 0; i < piece.count; i++) {
			__atomic_store_n(
				&pages_of(&piece)->entries[piece.first + i], 0,
				__ATOMIC_RELAXED);
		}
	}
}
