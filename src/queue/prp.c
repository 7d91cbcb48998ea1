/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue/prp.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "state/ledger.h"

#define OFFSET_MASK (NVME_PAGE_BYTES - 1)

/* Walks a stretch of buffers in pieces that stay within one page each. */
struct walk {
	const struct iovec *iov;
	uint32_t iov_left;
	uint64_t at; /* in the first of them */
	uint32_t left_bytes;
};

static void walk_start(struct walk *walk, const struct hf_data *data)
{
	walk->iov = data->iov;
	walk->iov_left = data->iov_count;
	walk->at = data->offset;
	walk->left_bytes = data->len_bytes;
	while (walk->iov_left > 0 && walk->at >= walk->iov->iov_len) {
		walk->at -= walk->iov->iov_len;
		walk->iov++;
		walk->iov_left--;
	}
}

static uint8_t *walk_next(struct walk *walk, uint32_t *len_bytes)
{
	/* The caller has checked that the buffers hold that much. */
	assert(walk->iov_left > 0 && walk->left_bytes > 0);
	uint8_t *vaddr = (uint8_t *)walk->iov->iov_base + walk->at;
	uint64_t len = NVME_PAGE_BYTES - ((uintptr_t)vaddr & OFFSET_MASK);

	len = HF_MIN(len, walk->iov->iov_len - walk->at);
	len = HF_MIN(len, walk->left_bytes);
	walk->left_bytes -= (uint32_t)len;
	walk->at += len;
	while (walk->iov_left > 0 && walk->at >= walk->iov->iov_len) {
		walk->at -= walk->iov->iov_len;
		walk->iov++;
		walk->iov_left--;
	}
	*len_bytes = (uint32_t)len;
	return vaddr;
}

/* List pages for so many entries behind PRP1: the last entry of a page that is
 * not the last one leads to the next. */
static uint32_t list_pages_for(uint32_t entries)
{
	const uint32_t chained = NVME_PRP_ENTRIES_PER_PAGE - 1;

	if (entries <= 1) {
		return 0;
	}
	return entries <= NVME_PRP_ENTRIES_PER_PAGE
		       ? 1
		       : (entries - 1 + chained - 1) / chained;
}

/* Fills the list pages, one entry after the other. */
struct list_writer {
	const struct hf_pool *pool;
	uint16_t page;
	uint32_t index;
	uint32_t left; /* entries still to come */
};

static void list_add(struct list_writer *writer, uint64_t iova)
{
	uint64_t *list =
		(uint64_t *)(void *)hf_pool_vaddr(writer->pool, writer->page);

	if (writer->index == NVME_PRP_ENTRIES_PER_PAGE - 1 &&
	    writer->left > 1) {
		uint16_t next = writer->pool->next[writer->page];

		list[writer->index] = htole64(hf_pool_iova(writer->pool, next));
		writer->page = next;
		writer->index = 0;
		list = (uint64_t *)(void *)hf_pool_vaddr(writer->pool, next);
	}
	list[writer->index] = htole64(iova);
	writer->index++;
	writer->left--;
}

/* Entries behind PRP1, or -EFAULT. */
static int count_entries(const struct hf_data *data,
			 const struct hf_iova_map *map, uint32_t *entries)
{
	struct walk walk;
	bool first = true;

	*entries = 0;
	walk_start(&walk, data);
	while (walk.left_bytes > 0) {
		uint32_t len;
		uintptr_t vaddr = (uintptr_t)walk_next(&walk, &len);
		uint32_t offset = (uint32_t)(vaddr & OFFSET_MASK);

		/* Only the first entry may have an offset, of whole dwords,
		 * and only the last may end inside its page. */
		if ((first && (offset & 3) != 0) || (!first && offset != 0) ||
		    (walk.left_bytes > 0 && offset + len != NVME_PAGE_BYTES) ||
		    hf_iova_lookup(map, (void *)vaddr) == HF_IOVA_NONE) {
			return -EFAULT;
		}
		*entries += first ? 0 : 1;
		first = false;
	}
	return 0;
}

static int direct_list(struct hf_prps *prps, const struct hf_data *data,
		       const struct hf_iova_map *map, struct hf_pool *pool)
{
	uint32_t entries;
	uint32_t len;
	struct walk walk;

	int rc = count_entries(data, map, &entries);
	if (rc != 0) {
		return rc;
	}
	uint32_t lists = list_pages_for(entries);
	if (lists > 0) {
		prps->first_page = hf_pool_take(pool, lists);
		if (prps->first_page == HF_LEDGER_NONE) {
			return -EAGAIN;
		}
		prps->page_count = (uint16_t)lists;
		prps->list_pages = (uint16_t)lists;
		prps->prp2 = hf_pool_iova(pool, prps->first_page);
	}

	struct list_writer writer = {
		.pool = pool, .page = prps->first_page, .left = entries};
	walk_start(&walk, data);
	prps->prp1 = hf_iova_lookup(map, walk_next(&walk, &len));
	while (walk.left_bytes > 0) {
		uint64_t iova = hf_iova_lookup(map, walk_next(&walk, &len));

		if (lists > 0) {
			list_add(&writer, iova);
		} else {
			prps->prp2 = iova;
		}
	}
	return 0;
}

int hf_prp_direct(struct hf_prps *prps, const struct hf_data *data,
		  const struct hf_iova_map *map, struct hf_pool *pool)
{
	*prps = (struct hf_prps){.first_page = HF_LEDGER_NONE};

	if (data->iov_count != 1) {
		return direct_list(prps, data, map, pool);
	}
	uint8_t *vaddr = (uint8_t *)data->iov->iov_base + data->offset;
	uint32_t offset = (uint32_t)((uintptr_t)vaddr & OFFSET_MASK);
	if (offset + data->len_bytes > 2 * NVME_PAGE_BYTES) {
		return direct_list(prps, data, map, pool);
	}

	/* One buffer, two pages at most: what most I/O looks like. */
	prps->prp1 = hf_iova_lookup(map, vaddr);
	if ((offset & 3) != 0 || prps->prp1 == HF_IOVA_NONE) {
		return -EFAULT;
	}
	if (offset + data->len_bytes > NVME_PAGE_BYTES) {
		prps->prp2 =
			hf_iova_lookup(map, vaddr + NVME_PAGE_BYTES - offset);
		if (prps->prp2 == HF_IOVA_NONE) {
			return -EFAULT;
		}
	}
	return 0;
}

static uint32_t data_pages_for(uint32_t len_bytes)
{
	return (uint32_t)(((uint64_t)len_bytes + OFFSET_MASK) >>
			  NVME_PAGE_SHIFT);
}

uint32_t hf_prp_bounce_pages(uint32_t len_bytes)
{
	uint32_t pages = data_pages_for(len_bytes);

	return pages + list_pages_for(pages - 1);
}

int hf_prp_bounce(struct hf_prps *prps, uint32_t len_bytes,
		  struct hf_pool *pool)
{
	uint32_t pages = data_pages_for(len_bytes);
	uint32_t lists = list_pages_for(pages - 1);

	*prps = (struct hf_prps){.first_page =
					 hf_pool_take(pool, pages + lists)};
	if (prps->first_page == HF_LEDGER_NONE) {
		return -EAGAIN;
	}
	prps->page_count = (uint16_t)(pages + lists);
	prps->list_pages = (uint16_t)lists;

	uint16_t page = prps->first_page;
	for (uint32_t i = 0; i < lists; i++) {
		page = pool->next[page];
	}
	struct list_writer writer = {
		.pool = pool, .page = prps->first_page, .left = pages - 1};
	prps->prp1 = hf_pool_iova(pool, page);
	if (lists > 0) {
		prps->prp2 = hf_pool_iova(pool, prps->first_page);
	}
	for (uint32_t i = 1; i < pages; i++) {
		page = pool->next[page];
		if (lists > 0) {
			list_add(&writer, hf_pool_iova(pool, page));
		} else {
			prps->prp2 = hf_pool_iova(pool, page);
		}
	}
	return 0;
}

static void bounce_copy(const struct hf_prps *prps, const struct hf_data *data,
			const struct hf_pool *pool, bool out)
{
	uint16_t page = prps->first_page;
	uint32_t in_page = 0;
	struct walk walk;

	for (uint32_t i = 0; i < prps->list_pages; i++) {
		page = pool->next[page];
	}
	walk_start(&walk, data);
	while (walk.left_bytes > 0) {
		uint32_t len;
		uint8_t *vaddr = walk_next(&walk, &len);

		while (len > 0) {
			uint32_t piece = HF_MIN(len, NVME_PAGE_BYTES - in_page);
			uint8_t *at = hf_pool_vaddr(pool, page) + in_page;

			memcpy(out ? vaddr : at, out ? at : vaddr, piece);
			vaddr += piece;
			len -= piece;
			in_page += piece;
			if (in_page == NVME_PAGE_BYTES) {
				page = pool->next[page];
				in_page = 0;
			}
		}
	}
}

void hf_prp_copy_in(const struct hf_prps *prps, const struct hf_data *data,
		    const struct hf_pool *pool)
{
	bounce_copy(prps, data, pool, false);
}

void hf_prp_copy_out(const struct hf_prps *prps, const struct hf_data *data,
		     const struct hf_pool *pool)
{
	bounce_copy(prps, data, pool, true);
}
