/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "stand_in.h"

#include "base/checked.h"
#include "emu/fault.h"
#include "emu/io.h"

struct hf_emu *stand_in_create(void)
{
	struct hf_emu *emu = calloc(1, sizeof(*emu));

	assert_non_null(emu);
	emu->options.size = sizeof(emu->options);
	emu->options.serial = "STANDIN";
	emu->options.nn = 8;
	emu->options.vwc = true;
	emu->options.oncs = 0xffff;
	emu->vwc = true;
	assert_int_equal(hf_namespaces_create(&emu->namespaces, 8), 0);
	assert_int_equal(hf_faults_create(&emu->faults), 0);
	return emu;
}

void stand_in_destroy(struct hf_emu *emu)
{
	hf_namespaces_destroy(emu->namespaces);
	hf_faults_destroy(emu->faults);
	free(emu);
}

uint32_t stand_in_namespace(struct hf_emu *emu, uint32_t lba_bytes)
{
	struct hf_emu_namespace_options options;
	uint32_t nsid = 0;

	hf_emu_namespace_options_init(&options);
	options.size_bytes = UINT64_C(1) << 20;
	options.lba_bytes = lba_bytes;
	assert_int_equal(hf_emu_namespace_add(emu, &options, &nsid, NULL), 0);
	return nsid;
}

uint16_t stand_in_io(struct hf_emu *emu, uint8_t opcode, uint32_t nsid,
		     const uint32_t cdw[6])
{
	static struct iovec pieces[65536];
	struct hf_emu_cmd cmd = {.emu = emu, .sqid = 1, .iov = pieces};

	cmd.sqe.opcode = opcode;
	cmd.sqe.nsid = nsid;
	cmd.sqe.cdw10 = cdw[0];
	cmd.sqe.cdw11 = cdw[1];
	cmd.sqe.cdw12 = cdw[2];
	cmd.sqe.cdw13 = cdw[3];
	cmd.sqe.cdw14 = cdw[4];
	cmd.sqe.cdw15 = cdw[5];
	return hf_emu_io_execute(&cmd);
}

uint16_t stand_in_range(struct hf_emu *emu, uint8_t opcode, uint32_t nsid,
			uint64_t slba, uint32_t blocks, uint32_t flags)
{
	const uint32_t cdw[6] = {(uint32_t)slba, (uint32_t)(slba >> 32),
				 (blocks - 1) | flags};

	return stand_in_io(emu, opcode, nsid, cdw);
}

uint16_t hf_emu_cmd_map(struct hf_emu_cmd *cmd, uint64_t len_bytes,
			enum hf_emu_dir dir)
{
	struct hf_emu *emu = cmd->emu;
	size_t piece = emu->piece_bytes != 0 ? emu->piece_bytes : len_bytes;

	if (len_bytes > sizeof(emu->data)) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	cmd->iov_count = 0;
	cmd->data_bytes = len_bytes;
	cmd->to_host = dir == HF_EMU_TO_HOST;
	for (uint64_t at = 0; at < len_bytes; at += piece) {
		cmd->iov[cmd->iov_count].iov_base = emu->data + at;
		cmd->iov[cmd->iov_count].iov_len =
			HF_MIN(piece, len_bytes - at);
		cmd->iov_count++;
	}
	return 0;
}

void hf_emu_cmd_to_host(struct hf_emu_cmd *cmd, uint64_t offset,
			const void *buf, uint64_t len_bytes)
{
	assert_true(hf_range_within(offset, len_bytes, cmd->data_bytes));
	memcpy(cmd->emu->data + offset, buf, len_bytes);
}

void hf_emu_cmd_from_host(struct hf_emu_cmd *cmd, uint64_t offset, void *buf,
			  uint64_t len_bytes)
{
	assert_true(hf_range_within(offset, len_bytes, cmd->data_bytes));
	memcpy(buf, cmd->emu->data + offset, len_bytes);
}

void hf_emu_cmd_zero_host(struct hf_emu_cmd *cmd, uint64_t offset,
			  uint64_t len_bytes)
{
	assert_true(hf_range_within(offset, len_bytes, cmd->data_bytes));
	memset(cmd->emu->data + offset, 0, len_bytes);
}

const struct hf_emu_options *hf_emu_options_of(const struct hf_emu *emu)
{
	return &emu->options;
}

struct hf_namespaces *hf_emu_namespaces_of(struct hf_emu *emu)
{
	return emu->namespaces;
}

struct hf_faults *hf_emu_faults_of(struct hf_emu *emu)
{
	return emu->faults;
}

void hf_emu_synchronize(struct hf_emu *emu)
{
	emu->synchronized++;
}

void hf_emu_ns_changed(struct hf_emu *emu, uint32_t nsid)
{
	emu->changed++;
	emu->changed_nsid = nsid;
}

bool hf_emu_vwc_enabled(const struct hf_emu *emu)
{
	return emu->vwc;
}

void hf_emu_host_id(struct hf_emu *emu, uint8_t id[16])
{
	memcpy(id, emu->host_id, 16);
}

uint32_t hf_emu_release_held(struct hf_emu *emu, uint32_t rule)
{
	emu->released = rule;
	return 1;
}

void hf_emu_fatal(struct hf_emu *emu, const char *why)
{
	assert_non_null(why);
	emu->fatal = true;
}

void hf_emu_gone(struct hf_emu *emu)
{
	emu->gone = true;
}

void hf_emu_event(struct hf_emu *emu, uint8_t type, uint8_t info,
		  uint8_t log_id)
{
	assert_true(type <= 7);
	(void)info;
	(void)log_id;
	emu->events++;
}
