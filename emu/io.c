/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/io.h"

#include <errno.h>
#include <stdlib.h>

#include "base/checked.h"
#include "emu/io_commands.h"
#include "emu/pieces.h"

#define FUA(cdw12)   ((((cdw12) >> 30) & 1u) != 0)
#define DTYPE(cdw12) (((cdw12) >> 20) & 0xfu)

/* The cache copies by sectors: pieces shorter than this are gathered first. */
#define MIN_PIECE_BYTES 64u

uint16_t hf_io_media_status(int ret, bool write)
{
	switch (ret) {
	case 0:
		return 0;
	case -ERANGE: /* the namespace became smaller under the command */
		return HF_STATUS_DNR(NVME_SC_LBA_RANGE);
	case -ENOSPC:
	case -EDQUOT:
		return NVME_SC_CAP_EXCEEDED;
	case -ENOMEM:
		return NVME_SC_INTERNAL;
	default:
		return write ? HF_STATUS_MEDIA(NVME_SC_WRITE_FAULT)
			     : HF_STATUS_MEDIA(NVME_SC_READ_ERROR);
	}
}

uint16_t hf_io_range_of(const struct hf_emu_cmd *cmd,
			const struct hf_emu_ns *ns, struct hf_io_range *range)
{
	range->slba = (uint64_t)cmd->sqe.cdw11 << 32 | cmd->sqe.cdw10;
	range->blocks = (cmd->sqe.cdw12 & 0xffff) + 1;
	if (!hf_range_within(range->slba, range->blocks,
			     hf_emu_ns_blocks(ns))) {
		return HF_STATUS_DNR(NVME_SC_LBA_RANGE);
	}
	range->offset = range->slba << ns->lba_shift;
	range->bytes = (uint64_t)range->blocks << ns->lba_shift;
	return 0;
}

uint16_t hf_io_reserved(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns,
			bool write)
{
	uint8_t host_id[HF_HOST_ID_BYTES];

	if (ns->reserve == NULL || !hf_reservations_held(ns->reserve)) {
		return 0;
	}
	hf_emu_host_id(cmd->emu, host_id);
	return hf_reservations_conflict(ns->reserve, host_id, write)
		       ? HF_STATUS_DNR(NVME_SC_RESERVATION_CONFLICT)
		       : 0;
}

uint16_t hf_io_writable(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	uint16_t status = hf_io_reserved(cmd, ns, true);

	if (status == 0 && ns->read_only) {
		status = HF_STATUS_DNR(NVME_SC_NS_WRITE_PROTECTED);
	}
	return status;
}

static bool has_tiny_pieces(const struct hf_emu_cmd *cmd)
{
	for (uint32_t i = 0; i < cmd->iov_count; i++) {
		if (cmd->iov[i].iov_len < MIN_PIECE_BYTES) {
			return true;
		}
	}
	return false;
}

/* An SGL may cut the data anywhere; then it goes through one buffer. */
static int read_gathered(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns,
			 const struct hf_io_range *range)
{
	char *buf = malloc(range->bytes);
	struct iovec iov = {.iov_base = buf, .iov_len = range->bytes};

	if (buf == NULL) {
		return -ENOMEM;
	}

	int ret = hf_emu_ns_read(ns, range->offset, &iov, 1);
	if (ret == 0) {
		hf_emu_cmd_to_host(cmd, 0, buf, range->bytes);
	}
	free(buf);
	return ret;
}

static int write_gathered(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns,
			  const struct hf_io_range *range, bool through)
{
	char *buf = malloc(range->bytes);
	struct iovec iov = {.iov_base = buf, .iov_len = range->bytes};

	if (buf == NULL) {
		return -ENOMEM;
	}

	hf_emu_cmd_from_host(cmd, 0, buf, range->bytes);
	int ret = hf_emu_ns_write(ns, range->offset, &iov, 1, through);
	free(buf);
	return ret;
}

/* A read with FUA sees the medium: what the cache has goes there first. */
static int before_fua_read(struct hf_emu_ns *ns)
{
	if (ns->cache == NULL || hf_emu_cache_dirty(ns->cache) == 0) {
		return 0;
	}
	return hf_emu_cache_flush(ns->cache);
}

uint16_t hf_io_read(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	struct hf_io_range range;
	uint16_t status = hf_io_range_of(cmd, ns, &range);

	if (status == 0) {
		status = hf_io_reserved(cmd, ns, false);
	}
	if (status == 0) {
		status = hf_emu_cmd_map(cmd, range.bytes, HF_EMU_TO_HOST);
	}
	if (status != 0) {
		return status;
	}

	int ret = FUA(cmd->sqe.cdw12) ? before_fua_read(ns) : 0;
	if (ret == 0) {
		ret = has_tiny_pieces(cmd)
			      ? read_gathered(cmd, ns, &range)
			      : hf_emu_ns_read(ns, range.offset, cmd->iov,
					       cmd->iov_count);
	}
	return hf_io_media_status(ret, false);
}

uint16_t hf_io_write(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	bool fua = FUA(cmd->sqe.cdw12);
	bool through = fua || !hf_emu_vwc_enabled(cmd->emu);
	struct hf_io_range range;

	if (DTYPE(cmd->sqe.cdw12) != 0) {
		return HF_INVALID_FIELD; /* there are no directives */
	}

	uint16_t status = hf_io_range_of(cmd, ns, &range);
	if (status == 0) {
		status = hf_io_writable(cmd, ns);
	}
	if (status == 0) {
		status = hf_emu_cmd_map(cmd, range.bytes, HF_EMU_FROM_HOST);
	}
	if (status != 0) {
		return status;
	}

	int ret = has_tiny_pieces(cmd)
			  ? write_gathered(cmd, ns, &range, through)
			  : hf_emu_ns_write(ns, range.offset, cmd->iov,
					    cmd->iov_count, through);
	if (ret == 0 && fua) {
		ret = hf_emu_media_flush(ns->medium);
	}
	return hf_io_media_status(ret, true);
}

uint16_t hf_io_flush(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	uint16_t status = hf_io_reserved(cmd, ns, true);

	if (status != 0) {
		return status;
	}
	return hf_io_media_status(hf_emu_ns_flush(ns), true);
}

/* Every namespace, and the first thing that went wrong. */
static uint16_t flush_all(struct hf_emu_cmd *cmd)
{
	uint16_t first = 0;

	for (uint32_t nsid = hf_emu_ns_next(cmd->emu, 0); nsid != 0;
	     nsid = hf_emu_ns_next(cmd->emu, nsid)) {
		struct hf_emu_ns *ns = hf_emu_ns_find(cmd->emu, nsid);
		uint16_t status = ns != NULL ? hf_io_flush(cmd, ns) : 0;

		first = first != 0 ? first : status;
	}
	return first;
}

static uint16_t execute_on(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	switch (cmd->sqe.opcode) {
	case nvme_cmd_read:
		return hf_io_read(cmd, ns);
	case nvme_cmd_write:
		return hf_io_write(cmd, ns);
	case nvme_cmd_flush:
		return hf_io_flush(cmd, ns);
	case nvme_cmd_compare:
		return hf_io_compare(cmd, ns);
	case nvme_cmd_verify:
		return hf_io_verify(cmd, ns);
	case nvme_cmd_write_zeroes:
		return hf_io_write_zeroes(cmd, ns);
	case nvme_cmd_dsm:
		return hf_io_dsm(cmd, ns);
	case nvme_cmd_resv_register:
		return hf_io_resv_register(cmd, ns);
	case nvme_cmd_resv_acquire:
		return hf_io_resv_acquire(cmd, ns);
	case nvme_cmd_resv_release:
		return hf_io_resv_release(cmd, ns);
	case nvme_cmd_resv_report:
		return hf_io_resv_report(cmd, ns);
	}
	return HF_STATUS_DNR(NVME_SC_INVALID_OPCODE);
}

/* Bits of ONCS, as Identify Controller shows them. */
static bool is_supported(const struct hf_emu_options *options, uint8_t opcode)
{
	switch (opcode) {
	case nvme_cmd_read:
	case nvme_cmd_write:
	case nvme_cmd_flush:
		return true;
	case nvme_cmd_compare:
		return (options->oncs & NVME_CTRL_ONCS_COMPARE) != 0;
	case nvme_cmd_dsm:
		return (options->oncs & NVME_CTRL_ONCS_DSM) != 0;
	case nvme_cmd_write_zeroes:
		return (options->oncs & NVME_CTRL_ONCS_WRITE_ZEROES) != 0;
	case nvme_cmd_verify:
		return (options->oncs & NVME_CTRL_ONCS_VERIFY) != 0;
	case nvme_cmd_resv_register:
	case nvme_cmd_resv_acquire:
	case nvme_cmd_resv_release:
	case nvme_cmd_resv_report:
		return (options->oncs & NVME_CTRL_ONCS_RESERVATIONS) != 0;
	}
	return false;
}

uint16_t hf_emu_io_execute(struct hf_emu_cmd *cmd)
{
	const struct hf_emu_options *options = hf_emu_options_of(cmd->emu);
	uint32_t nsid = cmd->sqe.nsid;

	if (!is_supported(options, cmd->sqe.opcode)) {
		return HF_STATUS_DNR(NVME_SC_INVALID_OPCODE);
	}
	if (nsid == NVME_NSID_ALL && cmd->sqe.opcode == nvme_cmd_flush) {
		return flush_all(cmd);
	}
	if (nsid == 0 || nsid > options->nn) {
		return HF_STATUS_DNR(NVME_SC_INVALID_NS);
	}

	struct hf_emu_ns *ns = hf_emu_ns_find(cmd->emu, nsid);
	if (ns == NULL) {
		return HF_INVALID_FIELD; /* valid, and nothing attached */
	}
	return execute_on(cmd, ns);
}
