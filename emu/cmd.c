/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/cmd.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "emu/ctrl.h"
#include "emu/sgl.h"

static unsigned int prot_of(bool to_host)
{
	return to_host ? HF_EMU_DMA_WRITE : HF_EMU_DMA_READ;
}

bool hf_emu_cmd_add_iov(struct hf_emu_cmd *cmd, void *base, uint64_t len_bytes)
{
	struct hf_emu_worker *worker = cmd->worker;
	struct iovec *last = NULL;

	if (cmd->iov_count != 0) {
		last = &cmd->iov[cmd->iov_count - 1];
		if ((uint8_t *)last->iov_base + last->iov_len ==
		    (uint8_t *)base) {
			last->iov_len += len_bytes;
			return true;
		}
	}
	assert(worker->iov_max > 0);
	if (cmd->iov_count == worker->iov_max) {
		struct iovec *more = realloc(
			worker->iov, worker->iov_max * 2 * sizeof(*more));
		if (more == NULL) {
			return false;
		}
		worker->iov = more;
		worker->iov_max *= 2;
		cmd->iov = more;
	}
	cmd->iov[cmd->iov_count].iov_base = base;
	cmd->iov[cmd->iov_count].iov_len = len_bytes;
	cmd->iov_count++;
	return true;
}

uint16_t hf_emu_cmd_add_range(struct hf_emu_cmd *cmd, uint64_t iova,
			      uint64_t len_bytes)
{
	struct hf_emu_dma *dma = &cmd->emu->dma;
	unsigned int prot = prot_of(cmd->to_host);

	if (iova + len_bytes < iova) {
		return HF_STATUS_DNR(NVME_SC_DATA_XFER_ERROR);
	}
	hf_emu_dma_touched(dma, iova, len_bytes, prot);
	while (len_bytes != 0) {
		uint64_t avail;
		void *base = hf_emu_dma_at(dma, iova, prot, &avail);

		if (base == NULL) {
			return HF_STATUS_DNR(NVME_SC_DATA_XFER_ERROR);
		}
		avail = HF_MIN(avail, len_bytes);
		if (!hf_emu_cmd_add_iov(cmd, base, avail)) {
			return NVME_SC_INTERNAL;
		}
		iova += avail;
		len_bytes -= avail;
	}
	return 0;
}

/* One entry of a PRP list, loaded once: the host may rewrite it meanwhile. */
static bool load_entry(struct hf_emu_cmd *cmd, uint64_t iova, uint64_t *entry)
{
	uint64_t avail;
	const uint64_t *p =
		hf_emu_dma_at(&cmd->emu->dma, iova, HF_EMU_DMA_READ, &avail);

	if (p == NULL) {
		return false;
	}
	*entry = le64toh(__atomic_load_n(p, __ATOMIC_RELAXED));
	return true;
}

/*
 * The rest of a transfer by a list. The last entry of a list page leads to the
 * next when more than one page of data is left; each turn but one per list page
 * moves a page, so the loop ends, unless a list starts at its page's last
 * entry, which can be so once.
 */
static uint16_t map_list(struct hf_emu_cmd *cmd, uint64_t list, uint64_t left)
{
	uint32_t page = cmd->emu->page_bytes;

	if (!hf_is_aligned(list, 8)) {
		return HF_STATUS_DNR(NVME_SC_PRP_INVALID_OFFSET);
	}
	while (left != 0) {
		uint64_t entry;

		if (!load_entry(cmd, list, &entry)) {
			return HF_STATUS_DNR(NVME_SC_DATA_XFER_ERROR);
		}
		if (!hf_is_aligned(entry, page)) {
			return HF_STATUS_DNR(NVME_SC_PRP_INVALID_OFFSET);
		}
		if (hf_is_aligned(list + 8, page) && left > page) {
			list = entry;
			continue;
		}

		uint64_t part = HF_MIN(left, page);
		uint16_t status = hf_emu_cmd_add_range(cmd, entry, part);
		if (status != 0) {
			return status;
		}
		left -= part;
		list += 8;
	}
	return 0;
}

static uint16_t map_prps(struct hf_emu_cmd *cmd, uint64_t len_bytes)
{
	uint32_t page = cmd->emu->page_bytes;
	uint64_t prp1 = cmd->sqe.prp1;
	uint64_t prp2 = cmd->sqe.prp2;

	if (!hf_is_aligned(prp1, 4)) {
		return HF_STATUS_DNR(NVME_SC_PRP_INVALID_OFFSET);
	}

	uint64_t first = HF_MIN(len_bytes, page - (prp1 & (page - 1)));
	uint16_t status = hf_emu_cmd_add_range(cmd, prp1, first);
	uint64_t left = len_bytes - first;
	if (status != 0 || left == 0) {
		return status;
	}
	if (left <= page) {
		if (!hf_is_aligned(prp2, page)) {
			return HF_STATUS_DNR(NVME_SC_PRP_INVALID_OFFSET);
		}
		return hf_emu_cmd_add_range(cmd, prp2, left);
	}
	return map_list(cmd, prp2, left);
}

/* Only the first bytes are the host's; the rest goes to, or comes from, where
 * nobody looks. */
static bool shorten(struct hf_emu_cmd *cmd, uint64_t keep_bytes)
{
	uint64_t lost = cmd->data_bytes;
	uint64_t kept = 0;

	if (keep_bytes >= cmd->data_bytes) {
		return true;
	}
	for (uint32_t i = 0; i < cmd->iov_count; i++) {
		if (kept + cmd->iov[i].iov_len >= keep_bytes) {
			cmd->iov[i].iov_len = keep_bytes - kept;
			cmd->iov_count = cmd->iov[i].iov_len != 0 ? i + 1 : i;
			break;
		}
		kept += cmd->iov[i].iov_len;
	}
	lost -= keep_bytes;
	while (lost != 0) {
		uint64_t part = HF_MIN(lost, HF_EMU_SINK_BYTES);

		if (!hf_emu_cmd_add_iov(cmd, cmd->worker->sink, part)) {
			return false;
		}
		lost -= part;
	}
	return true;
}

/*
 * What the medium gets has one byte inverted: the vector is split around it,
 * and the byte comes from memory of this side's own.
 */
static bool corrupt(struct hf_emu_cmd *cmd, uint64_t offset)
{
	uint8_t *scratch = cmd->worker->scratch;
	uint32_t i = 0;

	while (i < cmd->iov_count && offset >= cmd->iov[i].iov_len) {
		offset -= cmd->iov[i].iov_len;
		i++;
	}
	if (i == cmd->iov_count) {
		return true;
	}

	uint32_t after = cmd->iov_count - i - 1;
	for (uint32_t j = 0; j < 2; j++) {
		/* Grows the vector by two, to be filled in below. */
		if (!hf_emu_cmd_add_iov(cmd, scratch + 2 * j + 2, 1)) {
			return false;
		}
	}
	struct iovec whole = cmd->iov[i];
	memmove(&cmd->iov[i + 3], &cmd->iov[i + 1], after * sizeof(whole));
	uint8_t *base = whole.iov_base;
	scratch[0] = (uint8_t)~base[offset];
	cmd->iov[i] = (struct iovec){base, offset};
	cmd->iov[i + 1] = (struct iovec){scratch, 1};
	cmd->iov[i + 2] =
		(struct iovec){base + offset + 1, whole.iov_len - offset - 1};
	return true;
}

static uint16_t map_faults(struct hf_emu_cmd *cmd)
{
	const struct hf_fault_verdict *v = cmd->fault;

	if ((v->actions & HF_FAULT_SHORT_DMA) != 0 &&
	    !shorten(cmd, v->short_bytes)) {
		return NVME_SC_INTERNAL;
	}
	if ((v->actions & HF_FAULT_CORRUPT) != 0 && !cmd->to_host &&
	    !corrupt(cmd, v->corrupt_offset)) {
		return NVME_SC_INTERNAL;
	}
	return 0;
}

uint16_t hf_emu_cmd_map(struct hf_emu_cmd *cmd, uint64_t len_bytes,
			enum hf_emu_dir dir)
{
	const struct hf_emu_options *options = &cmd->emu->options;
	uint64_t unit = UINT64_C(4096) << options->mpsmin;
	uint16_t status;

	cmd->iov = cmd->worker->iov;
	cmd->iov_count = 0;
	cmd->data_bytes = 0;
	cmd->to_host = dir == HF_EMU_TO_HOST;
	if (len_bytes == 0) {
		return 0;
	}
	if (options->mdts != 0 && len_bytes > unit << options->mdts) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}

	if (cmd->sqe.flags >> NVME_SQE_FLAGS_PSDT_SHIFT == 0) {
		status = map_prps(cmd, len_bytes);
	} else {
		status = hf_emu_sgl_map(cmd, len_bytes);
	}
	if (status == 0) {
		cmd->data_bytes = len_bytes;
		if (cmd->fault != NULL) {
			status = map_faults(cmd);
		}
	}
	return status;
}

enum copy_what { COPY_TO_HOST, COPY_FROM_HOST, COPY_ZERO };

static void copy(struct hf_emu_cmd *cmd, uint64_t offset, uint8_t *buf,
		 uint64_t len_bytes, enum copy_what what)
{
	for (uint32_t i = 0; i < cmd->iov_count && len_bytes != 0; i++) {
		uint8_t *base = cmd->iov[i].iov_base;
		uint64_t room = cmd->iov[i].iov_len;

		if (offset >= room) {
			offset -= room;
			continue;
		}
		uint64_t part = HF_MIN(room - offset, len_bytes);
		switch (what) {
		case COPY_TO_HOST:
			memcpy(base + offset, buf, part);
			break;
		case COPY_FROM_HOST:
			memcpy(buf, base + offset, part);
			break;
		case COPY_ZERO:
			memset(base + offset, 0, part);
			break;
		}
		offset = 0;
		if (buf != NULL) {
			buf += part;
		}
		len_bytes -= part;
	}
}

void hf_emu_cmd_to_host(struct hf_emu_cmd *cmd, uint64_t offset,
			const void *buf, uint64_t len_bytes)
{
	copy(cmd, offset, (uint8_t *)(uintptr_t)buf, len_bytes, COPY_TO_HOST);
}

void hf_emu_cmd_from_host(struct hf_emu_cmd *cmd, uint64_t offset, void *buf,
			  uint64_t len_bytes)
{
	copy(cmd, offset, buf, len_bytes, COPY_FROM_HOST);
}

void hf_emu_cmd_zero_host(struct hf_emu_cmd *cmd, uint64_t offset,
			  uint64_t len_bytes)
{
	copy(cmd, offset, NULL, len_bytes, COPY_ZERO);
}
