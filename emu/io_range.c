/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands over ranges of blocks that move no data, or only look at it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "emu/io_commands.h"

#define FUA(cdw12)  ((((cdw12) >> 30) & 1u) != 0)
#define DEAC(cdw12) ((((cdw12) >> 25) & 1u) != 0)

#define DSM_MAX_RANGES 256u
#define DSM_DEALLOCATE (1u << 2)

/* The medium is looked at in pieces of this size. */
#define CHUNK_BYTES 65536u

static int read_chunk(struct hf_emu_ns *ns, uint64_t offset, char *buf,
		      size_t len_bytes)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len_bytes};

	return hf_emu_ns_read(ns, offset, &iov, 1);
}

/* Compares the host's data with the medium's, chunk by chunk. */
static uint16_t compare_data(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns,
			     const struct hf_io_range *range)
{
	char *mine = malloc(2 * (size_t)CHUNK_BYTES);
	uint16_t status = 0;

	if (mine == NULL) {
		return NVME_SC_INTERNAL;
	}

	char *theirs = mine + CHUNK_BYTES;
	for (uint64_t done = 0; status == 0 && done < range->bytes;) {
		size_t len = (size_t)HF_MIN(range->bytes - done, CHUNK_BYTES);
		int ret = read_chunk(ns, range->offset + done, mine, len);

		status = hf_io_media_status(ret, false);
		if (status == 0) {
			hf_emu_cmd_from_host(cmd, done, theirs, len);
			if (memcmp(mine, theirs, len) != 0) {
				status = HF_STATUS_DNR(HF_STATUS_MEDIA(
					NVME_SC_COMPARE_FAILED));
			}
		}
		done += len;
	}
	free(mine);
	return status;
}

uint16_t hf_io_compare(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	struct hf_io_range range;
	uint16_t status = hf_io_range_of(cmd, ns, &range);

	if (status == 0) {
		status = hf_io_reserved(cmd, ns, false);
	}
	if (status == 0) {
		status = hf_emu_cmd_map(cmd, range.bytes, HF_EMU_FROM_HOST);
	}
	return status != 0 ? status : compare_data(cmd, ns, &range);
}

uint16_t hf_io_verify(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	struct hf_io_range range;
	uint16_t status = hf_io_range_of(cmd, ns, &range);

	if (status == 0) {
		status = hf_io_reserved(cmd, ns, false);
	}
	if (status != 0) {
		return status;
	}

	char *buf = malloc(CHUNK_BYTES);
	if (buf == NULL) {
		return NVME_SC_INTERNAL;
	}
	for (uint64_t done = 0; status == 0 && done < range.bytes;) {
		size_t len = (size_t)HF_MIN(range.bytes - done, CHUNK_BYTES);

		status = hf_io_media_status(
			read_chunk(ns, range.offset + done, buf, len), false);
		done += len;
	}
	free(buf);
	return status;
}

uint16_t hf_io_write_zeroes(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	struct hf_io_range range;
	uint16_t status = hf_io_range_of(cmd, ns, &range);

	if (status == 0) {
		status = hf_io_writable(cmd, ns);
	}
	if (status != 0) {
		return status;
	}

	int ret = hf_emu_ns_zero(ns, range.offset, range.bytes,
				 DEAC(cmd->sqe.cdw12));
	if (ret == 0 && FUA(cmd->sqe.cdw12)) {
		ret = hf_emu_media_flush(ns->medium);
	}
	return hf_io_media_status(ret, true);
}

/* All that can be wrong, before anything is done. */
static uint16_t dsm_check(const struct hf_emu_cmd *cmd,
			  const struct hf_emu_ns *ns,
			  const struct nvme_dsm_range *ranges, uint32_t count)
{
	const struct hf_emu_options *o = hf_emu_options_of(cmd->emu);
	uint16_t too_much =
		HF_STATUS_DNR(HF_STATUS_CMD(NVME_SC_CMD_SIZE_LIMIT_EXCEEDED));
	uint64_t total = 0;

	if (o->dmrl != 0 && count > o->dmrl) {
		return too_much;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t blocks = hf_get_le32(&ranges[i].nlb);

		if (!hf_range_within(hf_get_le64(&ranges[i].slba), blocks,
				     hf_emu_ns_blocks(ns))) {
			return HF_STATUS_DNR(NVME_SC_LBA_RANGE);
		}
		if (o->dmrsl != 0 && blocks > o->dmrsl) {
			return too_much;
		}
		total += blocks; /* 256 times 2^32 fits */
	}
	return o->dmsl != 0 && total > o->dmsl ? too_much : 0;
}

static uint16_t dsm_deallocate(struct hf_emu_ns *ns,
			       const struct nvme_dsm_range *ranges,
			       uint32_t count)
{
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < count; i++) {
		uint64_t slba = hf_get_le64(&ranges[i].slba);
		uint64_t blocks = hf_get_le32(&ranges[i].nlb);

		ret = hf_emu_ns_zero(ns, slba << ns->lba_shift,
				     blocks << ns->lba_shift, true);
	}
	return hf_io_media_status(ret, true);
}

uint16_t hf_io_dsm(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	struct nvme_dsm_range ranges[DSM_MAX_RANGES];
	uint32_t count = (cmd->sqe.cdw10 & 0xff) + 1;
	uint64_t bytes = count * sizeof(ranges[0]);
	bool deallocate = (cmd->sqe.cdw11 & DSM_DEALLOCATE) != 0;

	uint16_t status = hf_io_writable(cmd, ns);
	if (status == 0) {
		status = hf_emu_cmd_map(cmd, bytes, HF_EMU_FROM_HOST);
	}
	if (status != 0) {
		return status;
	}

	/* Copied once: what was checked is what is done. */
	hf_emu_cmd_from_host(cmd, 0, ranges, bytes);
	status = dsm_check(cmd, ns, ranges, count);
	if (status != 0 || !deallocate) {
		return status; /* the other attributes are hints */
	}
	return dsm_deallocate(ns, ranges, count);
}
