/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/sgl.h"

#include "base/bytes.h"
#include "base/checked.h"
#include "emu/ctrl.h"

#define SGL_DESC_BYTES   16u
#define SGL_SEGMENTS_MAX 1024u
#define SGL_DESCS_MAX    65536u

enum {
	SGL_DATA_BLOCK = 0x0,
	SGL_BIT_BUCKET = 0x1,
	SGL_SEGMENT = 0x2,
	SGL_LAST_SEGMENT = 0x3,
};

struct sgl_desc {
	uint64_t iova;
	uint32_t len_bytes;
	uint8_t type;
	uint8_t subtype;
};

struct sgl_walk {
	struct hf_emu_cmd *cmd;
	uint64_t left; /* bytes that the command still wants */
	uint32_t descs;
};

static struct sgl_desc decode(uint64_t low, uint64_t high)
{
	return (struct sgl_desc){
		.iova = low,
		.len_bytes = (uint32_t)high,
		.type = (uint8_t)(high >> 60),
		.subtype = (uint8_t)((high >> 56) & 0xf),
	};
}

static uint16_t load_desc(struct hf_emu_cmd *cmd, uint64_t iova,
			  struct sgl_desc *desc)
{
	uint64_t words[2];

	/* By halves: a descriptor may span two mappings. */
	for (uint32_t i = 0; i < 2; i++) {
		uint64_t avail;
		const uint8_t *p = hf_emu_dma_at(&cmd->emu->dma, iova + 8 * i,
						 HF_EMU_DMA_READ, &avail);

		if (p == NULL || avail < 8) {
			return HF_STATUS_DNR(NVME_SC_DATA_XFER_ERROR);
		}
		words[i] = hf_get_le64(p);
	}
	*desc = decode(words[0], words[1]);
	return 0;
}

static bool is_segment(const struct sgl_desc *desc)
{
	return desc->type == SGL_SEGMENT || desc->type == SGL_LAST_SEGMENT;
}

/* Bytes for nobody: read from the namespace, stored nowhere. */
static uint16_t bit_bucket(struct sgl_walk *walk, uint64_t len_bytes)
{
	struct hf_emu_cmd *cmd = walk->cmd;

	if (!cmd->to_host) {
		return 0; /* of no effect on data from the host */
	}
	walk->left -= len_bytes;
	while (len_bytes != 0) {
		uint64_t part = HF_MIN(len_bytes, HF_EMU_SINK_BYTES);

		if (!hf_emu_cmd_add_iov(cmd, cmd->worker->sink, part)) {
			return NVME_SC_INTERNAL;
		}
		len_bytes -= part;
	}
	return 0;
}

static uint16_t data_desc(struct sgl_walk *walk, const struct sgl_desc *desc)
{
	uint64_t len = desc->len_bytes;

	if (desc->subtype != 0 || is_segment(desc) ||
	    desc->type > SGL_BIT_BUCKET) {
		return HF_STATUS_DNR(NVME_SC_SGL_INVALID_TYPE);
	}
	if (len > walk->left &&
	    (desc->type == SGL_DATA_BLOCK || walk->cmd->to_host)) {
		return HF_STATUS_DNR(NVME_SC_SGL_INVALID_DATA);
	}
	if (desc->type == SGL_BIT_BUCKET) {
		return bit_bucket(walk, len);
	}
	if (len == 0) {
		return 0;
	}
	walk->left -= len;
	return hf_emu_cmd_add_range(walk->cmd, desc->iova, len);
}

/* One segment; @next receives the segment that its last descriptor names. */
static uint16_t walk_segment(struct sgl_walk *walk,
			     const struct sgl_desc *segment,
			     struct sgl_desc *next, bool *more)
{
	uint32_t count = segment->len_bytes / SGL_DESC_BYTES;

	*more = false;
	if (count == 0 || segment->len_bytes % SGL_DESC_BYTES != 0) {
		return HF_STATUS_DNR(NVME_SC_SGL_INVALID_LAST);
	}
	if (count > SGL_DESCS_MAX - walk->descs) {
		return HF_STATUS_DNR(NVME_SC_SGL_INVALID_COUNT);
	}
	walk->descs += count;
	for (uint32_t i = 0; i < count; i++) {
		struct sgl_desc desc;
		uint16_t status = load_desc(
			walk->cmd, segment->iova + (uint64_t)i * SGL_DESC_BYTES,
			&desc);

		if (status != 0) {
			return status;
		}
		if (i == count - 1 && segment->type == SGL_SEGMENT) {
			if (!is_segment(&desc) || desc.subtype != 0) {
				return HF_STATUS_DNR(NVME_SC_SGL_INVALID_LAST);
			}
			*next = desc;
			*more = true;
			return 0;
		}
		if (is_segment(&desc)) {
			return HF_STATUS_DNR(NVME_SC_SGL_INVALID_LAST);
		}
		status = data_desc(walk, &desc);
		if (status != 0) {
			return status;
		}
	}
	return 0;
}

uint16_t hf_emu_sgl_map(struct hf_emu_cmd *cmd, uint64_t len_bytes)
{
	struct sgl_walk walk = {.cmd = cmd, .left = len_bytes};
	struct sgl_desc desc = decode(cmd->sqe.prp1, cmd->sqe.prp2);
	uint16_t status = 0;

	if (!is_segment(&desc)) {
		status = data_desc(&walk, &desc);
	} else {
		bool more = desc.subtype == 0;

		if (!more) {
			return HF_STATUS_DNR(NVME_SC_SGL_INVALID_TYPE);
		}
		for (uint32_t i = 0;
		     i < SGL_SEGMENTS_MAX && more && status == 0; i++) {
			struct sgl_desc next = {0};

			status = walk_segment(&walk, &desc, &next, &more);
			desc = next;
		}
		if (status == 0 && more) {
			status = HF_STATUS_DNR(NVME_SC_SGL_INVALID_COUNT);
		}
	}
	if (status == 0 && walk.left != 0) {
		return HF_STATUS_DNR(NVME_SC_SGL_INVALID_DATA);
	}
	return status;
}
