/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/logs.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/clock.h"
#include "emu/ctrl.h"
#include "emu/stats.h"

#define NSID_ALL       0xffffffffu
#define RAE            0x8000u
#define LOG_SUPPORTED  0x1u
#define PAGE_BYTES_MAX 4096u
#define NS_TOO_MANY    1025u
#define DATA_UNIT      512000u /* a thousand blocks of 512 bytes */

void hf_emu_logs_init(struct hf_emu *emu)
{
	pthread_mutex_init(&emu->logs.lock, NULL);
	emu->logs.since_ns = hf_emu_now_ns(emu);
	emu->logs.power_cycles = 1;
}

void hf_emu_logs_fini(struct hf_emu *emu)
{
	pthread_mutex_destroy(&emu->logs.lock);
}

void hf_emu_logs_reset(struct hf_emu *emu)
{
	pthread_mutex_lock(&emu->logs.lock);
	emu->logs.changed_count = 0;
	pthread_mutex_unlock(&emu->logs.lock);
}

void hf_emu_ns_changed(struct hf_emu *emu, uint32_t nsid)
{
	struct hf_emu_logs *logs = &emu->logs;

	if (!hf_emu_runs(emu)) {
		return; /* whoever enables it looks for himself */
	}

	pthread_mutex_lock(&logs->lock);
	uint32_t at = 0;
	while (at < logs->changed_count && at < HF_ARRAY_LEN(logs->changed) &&
	       logs->changed[at] < nsid) {
		at++;
	}
	bool known = at < logs->changed_count &&
		     at < HF_ARRAY_LEN(logs->changed) &&
		     logs->changed[at] == nsid;
	if (!known && logs->changed_count < HF_ARRAY_LEN(logs->changed)) {
		memmove(&logs->changed[at + 1], &logs->changed[at],
			(logs->changed_count - at) * sizeof(logs->changed[0]));
		logs->changed[at] = nsid;
		logs->changed_count++;
	} else if (!known) {
		logs->changed_count = NS_TOO_MANY;
	}
	pthread_mutex_unlock(&logs->lock);
	hf_emu_event(emu, NVME_AER_NOTICE, NVME_AER_NOTICE_NS_CHANGED,
		     NVME_LOG_LID_CHANGED_NS);
}

void hf_emu_logs_error(struct hf_emu *emu, const struct hf_emu_cmd *cmd,
		       uint16_t status)
{
	struct hf_emu_logs *logs = &emu->logs;
	uint64_t lba = cmd->sqe.cdw10 | (uint64_t)cmd->sqe.cdw11 << 32;

	pthread_mutex_lock(&logs->lock);
	logs->error_count++;
	struct nvme_error_log_page *entry =
		&logs->errors[logs->error_count % HF_EMU_ERROR_ENTRIES];
	*entry = (struct nvme_error_log_page){
		.error_count = htole64(logs->error_count),
		.sqid = htole16(cmd->sqid),
		.cmdid = htole16(cmd->sqe.cid),
		.status_field = htole16((uint16_t)(status << 1)),
		.parm_error_location = htole16(0xffff),
		.lba = htole64(cmd->sqid != 0 ? lba : 0),
		.nsid = htole32(cmd->sqe.nsid),
	};
	pthread_mutex_unlock(&logs->lock);
}

/* The part of a page that the command asks for, once it is made. */
struct log_window {
	uint64_t offset;
	uint64_t len_bytes;
};

static uint16_t send_page(struct hf_emu_cmd *cmd, const struct log_window *w,
			  const void *page, uint64_t page_bytes)
{
	if (w->offset > page_bytes) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}

	uint16_t status = hf_emu_cmd_map(cmd, w->len_bytes, HF_EMU_TO_HOST);
	if (status != 0) {
		return status;
	}
	uint64_t part = HF_MIN(page_bytes - w->offset, w->len_bytes);
	hf_emu_cmd_to_host(cmd, 0, (const uint8_t *)page + w->offset, part);
	hf_emu_cmd_zero_host(cmd, part, w->len_bytes - part);
	return 0;
}

static uint16_t supported_log(struct hf_emu_cmd *cmd,
			      const struct log_window *w)
{
	uint8_t page[1024] = {0};

	for (uint32_t i = 0; i <= NVME_LOG_LID_CMD_EFFECTS; i++) {
		hf_put_le32(page + 4 * i, LOG_SUPPORTED);
	}
	return send_page(cmd, w, page, sizeof(page));
}

static uint16_t error_log(struct hf_emu_cmd *cmd, const struct log_window *w)
{
	struct hf_emu_logs *logs = &cmd->emu->logs;
	struct nvme_error_log_page page[HF_EMU_ERROR_ENTRIES];

	memset(page, 0, sizeof(page));
	pthread_mutex_lock(&logs->lock);
	uint64_t count = HF_MIN(logs->error_count, HF_EMU_ERROR_ENTRIES);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = (logs->error_count - i) % HF_EMU_ERROR_ENTRIES;

		page[i] = logs->errors[at];
	}
	pthread_mutex_unlock(&logs->lock);
	return send_page(cmd, w, page, sizeof(page));
}

static uint16_t smart_log(struct hf_emu_cmd *cmd, const struct log_window *w)
{
	struct hf_emu *emu = cmd->emu;
	struct hf_emu_logs *logs = &emu->logs;
	struct hf_emu_io_counts counts;
	struct nvme_smart_log page;

	memset(&page, 0, sizeof(page));
	hf_emu_io_counts(emu, &counts);
	page.critical_warning = hf_emu_temperature_warning(emu);
	hf_put_le16(page.temperature,
		    (uint16_t)hf_emu_load(&emu->features.kelvin));
	page.avail_spare = 100;
	page.spare_thresh = 10;
	hf_put_le64(page.data_units_read,
		    (counts.read_bytes + DATA_UNIT - 1) / DATA_UNIT);
	hf_put_le64(page.data_units_written,
		    (counts.written_bytes + DATA_UNIT - 1) / DATA_UNIT);
	hf_put_le64(page.host_reads, counts.reads);
	hf_put_le64(page.host_writes, counts.writes);
	hf_put_le64(page.power_on_hours,
		    (hf_emu_now_ns(emu) - logs->since_ns) / HF_NS_PER_S / 3600);
	pthread_mutex_lock(&logs->lock);
	hf_put_le64(page.power_cycles, logs->power_cycles);
	hf_put_le64(page.unsafe_shutdowns, logs->unsafe_shutdowns);
	hf_put_le64(page.num_err_log_entries, logs->error_count);
	pthread_mutex_unlock(&logs->lock);
	page.temp_sensor[0] =
		htole16((uint16_t)hf_emu_load(&emu->features.kelvin));
	return send_page(cmd, w, &page, sizeof(page));
}

static uint16_t firmware_log(struct hf_emu_cmd *cmd, const struct log_window *w)
{
	struct nvme_firmware_slot page;

	memset(&page, 0, sizeof(page));
	page.afi = 1;
	memset(page.frs[0], ' ', sizeof(page.frs[0]));
	memcpy(page.frs[0], cmd->emu->firmware,
	       strnlen(cmd->emu->firmware, sizeof(page.frs[0])));
	return send_page(cmd, w, &page, sizeof(page));
}

static uint16_t changed_log(struct hf_emu_cmd *cmd, const struct log_window *w,
			    bool retain)
{
	struct hf_emu_logs *logs = &cmd->emu->logs;
	uint8_t page[PAGE_BYTES_MAX] = {0};

	pthread_mutex_lock(&logs->lock);
	if (logs->changed_count > HF_ARRAY_LEN(logs->changed)) {
		hf_put_le32(page, NSID_ALL);
	} else {
		for (uint32_t i = 0; i < logs->changed_count; i++) {
			hf_put_le32(page + 4 * i, logs->changed[i]);
		}
	}
	if (!retain) {
		logs->changed_count = 0;
	}
	pthread_mutex_unlock(&logs->lock);
	return send_page(cmd, w, page, sizeof(page));
}

static void set_effects(uint8_t *table, const uint8_t *opcodes, size_t count,
			uint32_t effects)
{
	for (size_t i = 0; i < count; i++) {
		hf_put_le32(table + 4 * opcodes[i], effects);
	}
}

static uint16_t effects_log(struct hf_emu_cmd *cmd, const struct log_window *w)
{
	static const uint8_t admin[] = {
		nvme_admin_delete_sq,    nvme_admin_create_sq,
		nvme_admin_get_log_page, nvme_admin_delete_cq,
		nvme_admin_create_cq,    nvme_admin_identify,
		nvme_admin_abort_cmd,    nvme_admin_set_features,
		nvme_admin_get_features, nvme_admin_async_event,
	};
	static const uint8_t reading[] = {nvme_cmd_read, nvme_cmd_flush};
	static const uint8_t writing[] = {nvme_cmd_write};
	/* Each with the bit of ONCS that says that it is there. */
	static const struct {
		uint16_t oncs;
		uint8_t opcode;
		bool writes;
	} optional[] = {
		{NVME_CTRL_ONCS_COMPARE, nvme_cmd_compare, false},
		{NVME_CTRL_ONCS_DSM, nvme_cmd_dsm, true},
		{NVME_CTRL_ONCS_WRITE_ZEROES, nvme_cmd_write_zeroes, true},
		{NVME_CTRL_ONCS_VERIFY, nvme_cmd_verify, false},
		{NVME_CTRL_ONCS_RESERVATIONS, nvme_cmd_resv_register, false},
		{NVME_CTRL_ONCS_RESERVATIONS, nvme_cmd_resv_report, false},
		{NVME_CTRL_ONCS_RESERVATIONS, nvme_cmd_resv_acquire, false},
		{NVME_CTRL_ONCS_RESERVATIONS, nvme_cmd_resv_release, false},
	};
	const struct hf_emu_options *o = &cmd->emu->options;
	uint8_t page[PAGE_BYTES_MAX] = {0};
	uint8_t *io = page + 1024;
	uint32_t writes = NVME_CMD_EFFECTS_CSUPP | NVME_CMD_EFFECTS_LBCC;

	set_effects(page, admin, sizeof(admin), NVME_CMD_EFFECTS_CSUPP);
	if ((o->oacs & NVME_CTRL_OACS_DBBUF_CFG) != 0) {
		hf_put_le32(page + 4 * nvme_admin_dbbuf,
			    NVME_CMD_EFFECTS_CSUPP);
	}
	set_effects(io, reading, sizeof(reading), NVME_CMD_EFFECTS_CSUPP);
	set_effects(io, writing, sizeof(writing), writes);
	for (size_t i = 0; i < HF_ARRAY_LEN(optional); i++) {
		if ((o->oncs & optional[i].oncs) != 0) {
			hf_put_le32(io + 4 * optional[i].opcode,
				    optional[i].writes
					    ? writes
					    : NVME_CMD_EFFECTS_CSUPP);
		}
	}
	return send_page(cmd, w, page, sizeof(page));
}

uint16_t hf_emu_get_log_page(struct hf_emu_cmd *cmd)
{
	uint8_t log_id = (uint8_t)cmd->sqe.cdw10;
	bool retain = (cmd->sqe.cdw10 & RAE) != 0;
	uint64_t dwords_z = (cmd->sqe.cdw10 >> 16) |
			    (uint64_t)(cmd->sqe.cdw11 & 0xffff) << 16;
	struct log_window w = {
		.offset = cmd->sqe.cdw12 | (uint64_t)cmd->sqe.cdw13 << 32,
		.len_bytes = (dwords_z + 1) * 4,
	};
	uint16_t status;

	/* Offsets are in bytes, of whole dwords. */
	if (!hf_is_aligned(w.offset, 4) || (cmd->sqe.cdw14 & 0x800000) != 0) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	switch (log_id) {
	case NVME_LOG_LID_SUPPORTED_LOG_PAGES:
		status = supported_log(cmd, &w);
		break;
	case NVME_LOG_LID_ERROR:
		status = error_log(cmd, &w);
		break;
	case NVME_LOG_LID_SMART:
		if (cmd->sqe.nsid != 0 && cmd->sqe.nsid != NSID_ALL) {
			return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
		}
		status = smart_log(cmd, &w);
		break;
	case NVME_LOG_LID_FW_SLOT:
		status = firmware_log(cmd, &w);
		break;
	case NVME_LOG_LID_CHANGED_NS:
		status = changed_log(cmd, &w, retain);
		break;
	case NVME_LOG_LID_CMD_EFFECTS:
		status = effects_log(cmd, &w);
		break;
	default:
		return HF_STATUS_DNR(HF_STATUS_CMD(NVME_SC_INVALID_LOG_PAGE));
	}
	if (status == 0 && !retain) {
		hf_emu_aer_log_read(cmd->emu, log_id);
	}
	return status;
}
