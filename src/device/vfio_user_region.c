/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/vfio_user_region.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"

/* More than any region has; a longer list goes in circles. */
#define CAPS_MAX 32

static const char *take_areas(const uint8_t *reply, uint32_t len_bytes,
			      uint32_t at, struct hf_vfu_region *region)
{
	struct vfu_cap_sparse_mmap sparse;

	if (!hf_range_within(at, sizeof(sparse), len_bytes)) {
		return "the list of areas is cut off";
	}
	memcpy(&sparse, reply + at, sizeof(sparse));
	at += (uint32_t)sizeof(sparse);
	if (sparse.nr_areas > (len_bytes - at) / sizeof(region->areas[0])) {
		return "it has fewer areas than it says";
	}

	region->area_count = HF_MIN(sparse.nr_areas, HF_VFU_REGION_AREAS_MAX);
	for (uint32_t i = 0; i < region->area_count; i++) {
		struct vfu_sparse_area *area = &region->areas[i];

		memcpy(area, reply + at + i * sizeof(*area), sizeof(*area));
		if (!hf_range_within(area->offset, area->size,
				     region->size_bytes)) {
			return "an area lies outside the region";
		}
	}
	return NULL;
}

static const char *take_caps(const uint8_t *reply, uint32_t len_bytes,
			     uint32_t at, struct hf_vfu_region *region)
{
	struct vfu_cap_header cap;

	for (uint32_t turn = 0; at != 0; turn++) {
		if (turn == CAPS_MAX) {
			return "its list of capabilities has no end";
		}
		if (at < sizeof(struct vfu_region_info) ||
		    !hf_range_within(at, sizeof(cap), len_bytes)) {
			return "a capability lies outside the message";
		}
		memcpy(&cap, reply + at, sizeof(cap));
		if (cap.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
			const char *wrong =
				take_areas(reply, len_bytes, at, region);
			if (wrong != NULL) {
				return wrong;
			}
		}
		at = cap.next;
	}
	return NULL;
}

const char *hf_vfu_region_parse(const uint8_t *reply, uint32_t len_bytes,
				struct hf_vfu_region *region)
{
	struct vfu_region_info info;

	assert(len_bytes >= sizeof(info));
	memcpy(&info, reply, sizeof(info));
	if (info.index != VFIO_PCI_BAR0_REGION_INDEX) {
		return "it describes another region";
	}
	*region = (struct hf_vfu_region){
		.flags = info.flags,
		.size_bytes = info.size,
		.file_offset = info.offset,
	};
	if ((info.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) {
		return NULL;
	}

	/* Without a list of areas, all of it. */
	region->area_count = 1;
	region->areas[0] = (struct vfu_sparse_area){0, info.size};
	if ((info.flags & VFIO_REGION_INFO_FLAG_CAPS) == 0) {
		return NULL;
	}
	return take_caps(reply, len_bytes, info.cap_offset, region);
}

void hf_vfu_region_mappable(const struct hf_vfu_region *region, uint64_t offset,
			    uint64_t *file_offset, uint64_t *len_bytes)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	*len_bytes = 0;
	for (uint32_t i = 0; i < region->area_count; i++) {
		const struct vfu_sparse_area *area = &region->areas[i];
		uint64_t end = area->offset + area->size;

		if (offset < area->offset || offset >= end) {
			continue;
		}
		uint64_t whole = (end - offset) & ~(page - 1);
		if (whole == 0 ||
		    !hf_add_u64(region->file_offset, offset, file_offset) ||
		    *file_offset > INT64_MAX ||
		    !hf_is_aligned(*file_offset, page)) {
			continue;
		}
		*len_bytes = whole;
		return;
	}
}
