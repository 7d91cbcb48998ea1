/* SPDX-License-Identifier: BSD-3-Clause */
/* What a server says of a region, judged: bytes in, facts out. No socket. */
#pragma once

#include <stdint.h>

#include "spec/vfio_user.h"

enum {
	/* Room for a region info with a few areas; 64 bytes is what some
	 * servers need to give any of it. */
	HF_VFU_REGION_INFO_FIRST = 256,
	HF_VFU_REGION_INFO_MAX = 4096,
	HF_VFU_REGION_AREAS_MAX = 16,
};

struct hf_vfu_region {
	uint32_t flags;
	uint64_t size_bytes;
	uint64_t file_offset;
	/* What can be mapped; the whole region where the server names none. */
	uint32_t area_count;
	struct vfu_sparse_area areas[HF_VFU_REGION_AREAS_MAX];
};

/**
 * hf_vfu_region_parse() - read a region info with its capabilities
 * @reply: the payload
 * @len_bytes: its length: at least a struct vfu_region_info
 * @region: receives the facts
 *
 * Areas beyond the sixteenth are left out.
 *
 * Return: NULL, or what is wrong with it.
 */
const char *hf_vfu_region_parse(const uint8_t *reply, uint32_t len_bytes,
				struct hf_vfu_region *region);

/* How much can be mapped from @offset on, and where it stands in the file;
 * *@len_bytes is 0 when it is nothing. Whole pages. */
void hf_vfu_region_mappable(const struct hf_vfu_region *region, uint64_t offset,
			    uint64_t *file_offset, uint64_t *len_bytes);
