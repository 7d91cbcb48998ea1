/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the device sees each page of this process. Knows nothing of who mapped
 * it, or why. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/error.h"

enum {
	HF_IOVA_PAGE_SHIFT = 12,
	HF_IOVA_CHUNK_SHIFT = 21, /* 2 MiB of address space */
	HF_IOVA_LEAF_SHIFT = 30,  /* 1 GiB */
	HF_IOVA_TOP_BITS = 17,    /* 47 bits: what user space has */
	HF_IOVA_CHUNK_PAGES = 1 << (HF_IOVA_CHUNK_SHIFT - HF_IOVA_PAGE_SHIFT),
	HF_IOVA_LEAF_CHUNKS = 1 << (HF_IOVA_LEAF_SHIFT - HF_IOVA_CHUNK_SHIFT),
};

/* No page of a process that can do DMA has this as its IOVA. */
#define HF_IOVA_NONE UINT64_MAX

/* Of a chunk of which the device does not see all, or not all in one piece.
 * Entries hold the page's IOVA plus 1, so that fresh memory says "none". */
struct hf_iova_pages {
	uint64_t entries[HF_IOVA_CHUNK_PAGES];
	struct hf_iova_pages *next; /* of all there are */
};

/* A chunk that is one piece to the device has its IOVA plus 1, an odd number;
 * any other the address of its pages, or 0. What a successor has to fill in
 * while a load waits is thus little, whatever there is of memory. */
struct hf_iova_leaf {
	uint64_t chunks[HF_IOVA_LEAF_CHUNKS];
	struct hf_iova_leaf *next; /* of all there are */
};

struct hf_iova_map {
	struct hf_iova_leaf **top; /* mmap'ed: untouched parts cost nothing */
	struct hf_iova_leaf *leaves;
	struct hf_iova_pages *pages;
};

HF_MUST_CHECK int hf_iova_map_init(struct hf_iova_map *map);
void hf_iova_map_fini(struct hf_iova_map *map);
/* Memory there may be added by and by: what that will need of the map is made
 * now. -ENOMEM, or -EINVAL where no process has such addresses. */
HF_MUST_CHECK int hf_iova_map_expect(struct hf_iova_map *map, const void *vaddr,
				     uint64_t len_bytes);
/* Whole pages. -EEXIST, with nothing changed, when one is there already. */
HF_MUST_CHECK int hf_iova_map_add(struct hf_iova_map *map, const void *vaddr,
				  uint64_t len_bytes, uint64_t iova);
/* As it was added. */
void hf_iova_map_remove(struct hf_iova_map *map, const void *vaddr,
			uint64_t len_bytes);

/**
 * hf_iova_find() - where the device sees one byte
 * @map: the map
 * @vaddr: any address
 * @iova: receives the IOVA of that byte, if it has one
 *
 * Two loads, or three at the ends of a region. Memory that is being
 * unregistered meanwhile is the caller's mistake, as freeing it would be.
 *
 * Context: data path; any thread.
 * Return: false when the device does not see it.
 */
static inline bool hf_iova_find(const struct hf_iova_map *map,
				const void *vaddr, uint64_t *iova)
{
	uint64_t address = (uintptr_t)vaddr;
	uint64_t top = address >> HF_IOVA_LEAF_SHIFT;

	if ((top >> HF_IOVA_TOP_BITS) != 0) {
		return false;
	}

	/* Pairs with the releases in hf_iova_map_add(): the memory of leaf and
	 * pages is there before its address is seen. */
	const struct hf_iova_leaf *leaf =
		__atomic_load_n(&map->top[top], __ATOMIC_ACQUIRE);
	if (leaf == NULL) {
		return false;
	}
	uint64_t chunk =
		__atomic_load_n(&leaf->chunks[address >> HF_IOVA_CHUNK_SHIFT &
					      (HF_IOVA_LEAF_CHUNKS - 1)],
				__ATOMIC_ACQUIRE);
	if ((chunk & 1) != 0) {
		*iova = (chunk - 1) +
			(address & ((1u << HF_IOVA_CHUNK_SHIFT) - 1));
		return true;
	}
	if (chunk == 0) {
		return false;
	}

	const struct hf_iova_pages *pages = (const void *)(uintptr_t)chunk;
	uint64_t entry =
		__atomic_load_n(&pages->entries[address >> HF_IOVA_PAGE_SHIFT &
						(HF_IOVA_CHUNK_PAGES - 1)],
				__ATOMIC_RELAXED);
	*iova = (entry - 1) + (address & ((1u << HF_IOVA_PAGE_SHIFT) - 1));
	return entry != 0;
}

/* The same, with HF_IOVA_NONE for what the device does not see. */
static inline uint64_t hf_iova_lookup(const struct hf_iova_map *map,
				      const void *vaddr)
{
	uint64_t iova;

	return hf_iova_find(map, vaddr, &iova) ? iova : HF_IOVA_NONE;
}
