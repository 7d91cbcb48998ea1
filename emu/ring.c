/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <stdlib.h>

#include "base/checked.h"
#include "emu/ctrl.h"
#include "emu/queues.h"

static void set_page(struct hf_emu *emu, struct hf_emu_ring *ring,
		     uint32_t index, uint64_t iova)
{
	uint32_t per_page = emu->page_bytes / NVME_PAGE_BYTES;

	for (uint32_t i = 0; i < per_page; i++) {
		uint32_t at = index * per_page + i;

		if (at < ring->pages) {
			ring->iovas[at] = iova + i * NVME_PAGE_BYTES;
		}
	}
}

/*
 * Walks the list of pages that a ring without PC = 1 comes with. The last
 * entry of a full list page leads to the next; since each page of the list is
 * read from its start, every turn but one in a page makes progress.
 */
static uint16_t list_pages(struct hf_emu *emu, struct hf_emu_ring *ring,
			   uint64_t list)
{
	uint32_t per_page = emu->page_bytes / NVME_PAGE_BYTES;
	uint32_t wanted = (ring->pages + per_page - 1) / per_page;
	uint32_t got = 0;

	while (got < wanted) {
		uint64_t avail;
		const uint64_t *entry =
			hf_emu_dma_at(&emu->dma, list, HF_EMU_DMA_READ, &avail);

		if (entry == NULL) {
			return NVME_SC_DATA_XFER_ERROR;
		}
		uint64_t page =
			le64toh(__atomic_load_n(entry, __ATOMIC_RELAXED));
		if (!hf_is_aligned(page, emu->page_bytes)) {
			return HF_STATUS_DNR(NVME_SC_PRP_INVALID_OFFSET);
		}
		if (hf_is_aligned(list + 8, emu->page_bytes) &&
		    got + 1 < wanted) {
			list = page;
			continue;
		}
		set_page(emu, ring, got, page);
		got++;
		list += 8;
	}
	return 0;
}

bool hf_emu_ring_resolve(struct hf_emu *emu, struct hf_emu_ring *ring)
{
	uint64_t generation = hf_emu_dma_table(&emu->dma)->generation;

	if (ring->generation == generation) {
		return true;
	}

	bool contiguous = true;
	for (uint32_t i = 0; i < ring->pages; i++) {
		uint64_t avail;

		/* A mapping is whole 4 KiB pages, so the page is all there. */
		ring->vaddrs[i] = hf_emu_dma_at(&emu->dma, ring->iovas[i],
						ring->prot, &avail);
		if (ring->vaddrs[i] == NULL) {
			return false;
		}
		if (ring->vaddrs[i] != ring->vaddrs[0] + i * NVME_PAGE_BYTES) {
			contiguous = false;
		}
	}
	ring->base = contiguous ? ring->vaddrs[0] : NULL;
	ring->generation = generation;
	return true;
}

void hf_emu_ring_fini(struct hf_emu_ring *ring)
{
	free(ring->iovas);
	free(ring->vaddrs);
	*ring = (struct hf_emu_ring){0};
}

static uint16_t ring_fill(struct hf_emu *emu, struct hf_emu_ring *ring,
			  const struct hf_emu_ring_place *place)
{
	if (place->contiguous) {
		for (uint32_t i = 0; i < ring->pages; i++) {
			ring->iovas[i] =
				place->prp1 + (uint64_t)i * NVME_PAGE_BYTES;
		}
	} else {
		uint16_t status = list_pages(emu, ring, place->prp1);

		if (status != 0) {
			return status;
		}
	}
	if (!hf_emu_ring_resolve(emu, ring)) {
		return NVME_SC_DATA_XFER_ERROR;
	}
	return 0;
}

uint16_t hf_emu_ring_init(struct hf_emu *emu, struct hf_emu_ring *ring,
			  const struct hf_emu_ring_place *place)
{
	uint64_t bytes = (uint64_t)place->entries * place->entry_bytes;
	uint64_t last;

	if (!hf_is_aligned(place->prp1, emu->page_bytes)) {
		return HF_STATUS_DNR(NVME_SC_PRP_INVALID_OFFSET);
	}
	if (!hf_add_u64(place->prp1, bytes, &last)) {
		return NVME_SC_DATA_XFER_ERROR;
	}

	*ring = (struct hf_emu_ring){
		.entries = place->entries,
		.entry_bytes = place->entry_bytes,
		.pages = (uint32_t)((bytes + NVME_PAGE_BYTES - 1) /
				    NVME_PAGE_BYTES),
		.prot = place->prot,
	};
	ring->iovas = calloc(ring->pages, sizeof(ring->iovas[0]));
	ring->vaddrs = calloc(ring->pages, sizeof(ring->vaddrs[0]));
	uint16_t status = NVME_SC_INTERNAL;
	if (ring->iovas != NULL && ring->vaddrs != NULL) {
		status = ring_fill(emu, ring, place);
	}
	if (status != 0) {
		hf_emu_ring_fini(ring);
	}
	return status;
}
