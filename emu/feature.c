/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/feature.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/clock.h"
#include "emu/ctrl.h"
#include "emu/namespace.h"

#define NSID_ALL        0xffffffffu
#define OVER_DEFAULT    343u
#define ROOM_KELVIN     311u
#define COALESCE_UNIT   UINT64_C(100000)
#define SAVE_FLAG       0x80000000u
#define TIMESTAMP_BYTES 8u

enum {
	CAN_SAVE = 1 << 0,
	PER_NS = 1 << 1,
	CAN_CHANGE = 1 << 2,
};

struct feature_rule {
	uint8_t fid;
	uint8_t can;
	uint32_t mask; /* bits of dword 11 that are kept */
	uint32_t initial;
};

/* Those whose value is one dword and no more. */
static const struct feature_rule rules[] = {
	{NVME_FEAT_FID_ARBITRATION, CAN_SAVE | CAN_CHANGE, 0xffffff07, 0x4},
	{NVME_FEAT_FID_POWER_MGMT, CAN_SAVE | CAN_CHANGE, 0x000000ff, 0},
	{NVME_FEAT_FID_TEMP_THRESH, CAN_CHANGE, 0x003fffff, 0},
	{NVME_FEAT_FID_ERR_RECOVERY, CAN_SAVE | CAN_CHANGE, 0x0001ffff, 0},
	{NVME_FEAT_FID_VOLATILE_WC, CAN_SAVE | CAN_CHANGE, 0x00000001, 1},
	{NVME_FEAT_FID_NUM_QUEUES, CAN_CHANGE, 0xffffffff, 0},
	{NVME_FEAT_FID_IRQ_COALESCE, CAN_CHANGE, 0x0000ffff, 0},
	{NVME_FEAT_FID_IRQ_CONFIG, CAN_CHANGE, 0x0001ffff, 0},
	{NVME_FEAT_FID_WRITE_ATOMIC, CAN_SAVE | CAN_CHANGE, 0x00000001, 0},
	{NVME_FEAT_FID_ASYNC_EVENT, CAN_CHANGE, 0x0000ffff, 0},
	{NVME_FEAT_FID_TIMESTAMP, CAN_CHANGE, 0, 0},
	{NVME_FEAT_FID_HOST_BEHAVIOR, CAN_CHANGE, 0x00000001, 0},
	{NVME_FEAT_FID_HOST_ID, CAN_CHANGE, 0x00000001, 0},
};

static const struct feature_rule *rule_of(const struct hf_emu *emu, uint8_t fid)
{
	if (fid == NVME_FEAT_FID_VOLATILE_WC && !emu->options.vwc) {
		return NULL;
	}
	for (size_t i = 0; i < HF_ARRAY_LEN(rules); i++) {
		if (rules[i].fid == fid) {
			return &rules[i];
		}
	}
	return NULL;
}

uint32_t hf_emu_feature(const struct hf_emu *emu, uint8_t fid)
{
	return hf_emu_load(&emu->features.current[fid]);
}

static void set_current(struct hf_emu *emu, uint8_t fid, uint32_t value)
{
	hf_emu_store(&emu->features.current[fid], value);
}

int hf_emu_features_init(struct hf_emu *emu)
{
	struct hf_emu_features *f = &emu->features;

	f->no_coalescing = calloc(emu->options.vectors, sizeof(uint32_t));
	if (f->no_coalescing == NULL) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < HF_ARRAY_LEN(rules); i++) {
		f->saved[rules[i].fid] = rules[i].initial;
	}
	f->kelvin = ROOM_KELVIN;
	hf_emu_features_reset(emu);
	return 0;
}

void hf_emu_features_fini(struct hf_emu *emu)
{
	free(emu->features.no_coalescing);
	emu->features.no_coalescing = NULL;
}

void hf_emu_features_reset(struct hf_emu *emu)
{
	struct hf_emu_features *f = &emu->features;

	for (uint32_t i = 0; i < HF_EMU_FEATURES; i++) {
		set_current(emu, (uint8_t)i, f->saved[i]);
	}
	for (uint32_t i = 0; i < HF_EMU_SENSORS; i++) {
		/* An under threshold of 0 is never met. */
		hf_emu_store(&f->temperature[0][i],
			     i == 0 ? OVER_DEFAULT : 0xffff);
		hf_emu_store(&f->temperature[1][i], 0);
	}
	for (uint32_t i = 0; i < emu->options.vectors; i++) {
		hf_emu_store(&f->no_coalescing[i], 0);
	}
	f->queues_set = false;
	f->granted_sqs = emu->options.max_sqs;
	f->granted_cqs = emu->options.max_cqs;
	__atomic_store_n(&f->host_id[0], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&f->host_id[1], 0, __ATOMIC_RELAXED);
}

uint8_t hf_emu_temperature_warning(const struct hf_emu *emu)
{
	const struct hf_emu_features *f = &emu->features;
	uint32_t kelvin = hf_emu_load(&f->kelvin);

	if (kelvin >= hf_emu_load(&f->temperature[0][0]) ||
	    kelvin <= hf_emu_load(&f->temperature[1][0])) {
		return 0x02;
	}
	return 0;
}

static void check_temperature(struct hf_emu *emu)
{
	if (hf_emu_temperature_warning(emu) != 0) {
		hf_emu_event(emu, NVME_AER_SMART,
			     NVME_AER_SMART_TEMPERATURE_THRESHOLD,
			     NVME_LOG_LID_SMART);
	}
}

void hf_emu_temperature_set(struct hf_emu *emu, uint16_t kelvin)
{
	hf_emu_store(&emu->features.kelvin, kelvin);
	check_temperature(emu);
}

bool hf_emu_coalescing(const struct hf_emu *emu, uint16_t cqid, uint16_t vector,
		       uint32_t *entries_z, uint64_t *time_ns)
{
	uint32_t value = hf_emu_feature(emu, NVME_FEAT_FID_IRQ_COALESCE);

	/* Never for the admin queue. */
	if (value == 0 || cqid == 0 || vector >= emu->options.vectors ||
	    hf_emu_load(&emu->features.no_coalescing[vector]) != 0) {
		return false;
	}
	*entries_z = value & 0xff;
	*time_ns = ((value >> 8) & 0xff) * COALESCE_UNIT;
	return *entries_z != 0 && *time_ns != 0;
}

bool hf_emu_vwc_enabled(const struct hf_emu *emu)
{
	return emu->options.vwc &&
	       (hf_emu_feature(emu, NVME_FEAT_FID_VOLATILE_WC) & 1) != 0;
}

void hf_emu_host_id(struct hf_emu *emu, uint8_t id[16])
{
	for (uint32_t i = 0; i < 2; i++) {
		hf_put_le64(id + 8 * i,
			    __atomic_load_n(&emu->features.host_id[i],
					    __ATOMIC_RELAXED));
	}
}

static uint64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / HF_NS_PER_MS;
}

static uint64_t timestamp_now_ms(struct hf_emu *emu)
{
	const struct hf_emu_features *f = &emu->features;

	if (f->timestamp_origin == 0) {
		return wall_ms();
	}
	return f->timestamp_ms +
	       (hf_emu_now_ns(emu) - f->timestamp_at_ns) / HF_NS_PER_MS;
}

static uint16_t set_timestamp(struct hf_emu_cmd *cmd)
{
	struct hf_emu_features *f = &cmd->emu->features;
	uint8_t data[TIMESTAMP_BYTES];
	uint16_t status = hf_emu_cmd_map(cmd, sizeof(data), HF_EMU_FROM_HOST);

	if (status != 0) {
		return status;
	}
	hf_emu_cmd_from_host(cmd, 0, data, sizeof(data));
	f->timestamp_ms = hf_get_le64(data) & UINT64_C(0xffffffffffff);
	f->timestamp_at_ns = hf_emu_now_ns(cmd->emu);
	f->timestamp_origin = 1; /* set by the host */
	return 0;
}

static uint16_t get_timestamp(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint8_t data[TIMESTAMP_BYTES];
	uint16_t status = hf_emu_cmd_map(cmd, sizeof(data), HF_EMU_TO_HOST);

	if (status != 0) {
		return status;
	}
	hf_put_le64(data, timestamp_now_ms(emu) & UINT64_C(0xffffffffffff));
	data[6] = (uint8_t)(emu->features.timestamp_origin << 1);
	hf_emu_cmd_to_host(cmd, 0, data, sizeof(data));
	return 0;
}

static uint16_t set_host_id(struct hf_emu_cmd *cmd)
{
	struct hf_emu_features *f = &cmd->emu->features;
	uint32_t len = (cmd->sqe.cdw11 & 1) != 0 ? 16 : 8;
	uint8_t id[16] = {0};
	uint16_t status = hf_emu_cmd_map(cmd, len, HF_EMU_FROM_HOST);

	if (status != 0) {
		return status;
	}
	hf_emu_cmd_from_host(cmd, 0, id, len);
	uint64_t low = hf_get_le64(id);
	uint64_t high = hf_get_le64(id + 8);
	if (f->host_id[0] != 0 || f->host_id[1] != 0) {
		if (low != f->host_id[0] || high != f->host_id[1]) {
			/* Once set, it stays until the reset. */
			return HF_STATUS_DNR(NVME_SC_CMD_SEQ_ERROR);
		}
	}
	__atomic_store_n(&f->host_id[0], low, __ATOMIC_RELAXED);
	__atomic_store_n(&f->host_id[1], high, __ATOMIC_RELAXED);
	set_current(cmd->emu, NVME_FEAT_FID_HOST_ID, cmd->sqe.cdw11 & 1);
	return 0;
}

static uint16_t get_host_id(struct hf_emu_cmd *cmd)
{
	uint32_t len = (cmd->sqe.cdw11 & 1) != 0 ? 16 : 8;
	uint8_t id[16];
	uint16_t status = hf_emu_cmd_map(cmd, len, HF_EMU_TO_HOST);

	if (status == 0) {
		hf_emu_host_id(cmd->emu, id);
		hf_emu_cmd_to_host(cmd, 0, id, len);
	}
	return status;
}

/* Of its 512 bytes only ACRE is here. */
static uint16_t set_behavior(struct hf_emu_cmd *cmd)
{
	struct nvme_feat_host_behavior data;
	uint16_t status = hf_emu_cmd_map(cmd, sizeof(data), HF_EMU_FROM_HOST);

	if (status != 0) {
		return status;
	}
	hf_emu_cmd_from_host(cmd, 0, &data, sizeof(data));
	if (data.acre > NVME_ENABLE_ACRE) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	set_current(cmd->emu, NVME_FEAT_FID_HOST_BEHAVIOR, data.acre);
	return 0;
}

static uint16_t get_behavior(struct hf_emu_cmd *cmd)
{
	struct nvme_feat_host_behavior data = {
		.acre = (uint8_t)hf_emu_feature(cmd->emu,
						NVME_FEAT_FID_HOST_BEHAVIOR),
	};
	uint16_t status = hf_emu_cmd_map(cmd, sizeof(data), HF_EMU_TO_HOST);

	if (status == 0) {
		hf_emu_cmd_to_host(cmd, 0, &data, sizeof(data));
	}
	return status;
}

static bool any_io_queue(const struct hf_emu *emu)
{
	for (uint32_t i = 1; i <= emu->options.max_cqs; i++) {
		if (hf_emu_load(&emu->cqs[i].valid) != 0) {
			return true;
		}
	}
	return false;
}

static uint16_t set_num_queues(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	struct hf_emu_features *f = &emu->features;
	uint32_t sqs_z = cmd->sqe.cdw11 & 0xffff;
	uint32_t cqs_z = cmd->sqe.cdw11 >> 16;

	if (sqs_z == 0xffff || cqs_z == 0xffff) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	/* Once between a reset and the first I/O queue. */
	if (f->queues_set || any_io_queue(emu)) {
		return HF_STATUS_DNR(NVME_SC_CMD_SEQ_ERROR);
	}
	f->queues_set = true;
	f->granted_sqs = HF_MIN(sqs_z + 1, emu->options.max_sqs);
	f->granted_cqs = HF_MIN(cqs_z + 1, emu->options.max_cqs);
	cmd->dw0 = (f->granted_sqs - 1) | (f->granted_cqs - 1) << 16;
	set_current(emu, NVME_FEAT_FID_NUM_QUEUES, cmd->dw0);
	return 0;
}

static uint16_t set_temperature(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint32_t sensor = (cmd->sqe.cdw11 >> 16) & 0xf;
	uint32_t select = (cmd->sqe.cdw11 >> 20) & 0x3;
	uint32_t value = cmd->sqe.cdw11 & 0xffff;

	if (select > 1 || (sensor >= HF_EMU_SENSORS && sensor != 0xf)) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	for (uint32_t i = 0; i < HF_EMU_SENSORS; i++) {
		if (i == sensor || sensor == 0xf) {
			hf_emu_store(&emu->features.temperature[select][i],
				     value);
		}
	}
	check_temperature(emu);
	return 0;
}

static uint16_t set_vector(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint32_t vector = cmd->sqe.cdw11 & 0xffff;

	if (vector >= emu->options.vectors) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	hf_emu_store(&emu->features.no_coalescing[vector],
		     (cmd->sqe.cdw11 >> 16) & 1);
	return 0;
}

static uint16_t set_value(struct hf_emu_cmd *cmd,
			  const struct feature_rule *rule)
{
	uint32_t value = cmd->sqe.cdw11 & rule->mask;

	switch (rule->fid) {
	case NVME_FEAT_FID_TIMESTAMP:
		return set_timestamp(cmd);
	case NVME_FEAT_FID_HOST_ID:
		return set_host_id(cmd);
	case NVME_FEAT_FID_HOST_BEHAVIOR:
		return set_behavior(cmd);
	case NVME_FEAT_FID_NUM_QUEUES:
		return set_num_queues(cmd);
	case NVME_FEAT_FID_TEMP_THRESH:
		return set_temperature(cmd);
	case NVME_FEAT_FID_IRQ_CONFIG:
		return set_vector(cmd);
	case NVME_FEAT_FID_POWER_MGMT:
		if ((value & 0x1f) != 0) {
			/* There is one power state. */
			return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
		}
		break;
	case NVME_FEAT_FID_VOLATILE_WC:
		if (value == 0 && hf_emu_vwc_enabled(cmd->emu)) {
			/* What is in the cache must not be lost any more. */
			if (hf_emu_ns_flush_all(cmd->emu) != 0) {
				return NVME_SC_INTERNAL;
			}
		}
		break;
	default:
		break;
	}
	set_current(cmd->emu, rule->fid, value);
	if (rule->fid == NVME_FEAT_FID_ASYNC_EVENT) {
		check_temperature(cmd->emu);
	}
	return 0;
}

uint16_t hf_emu_set_features(struct hf_emu_cmd *cmd)
{
	uint8_t fid = (uint8_t)cmd->sqe.cdw10;
	const struct feature_rule *rule = rule_of(cmd->emu, fid);

	if (rule == NULL) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	if ((cmd->sqe.cdw10 & SAVE_FLAG) != 0 && (rule->can & CAN_SAVE) == 0) {
		return HF_STATUS_DNR(
			HF_STATUS_CMD(NVME_SC_FEATURE_NOT_SAVEABLE));
	}
	if (cmd->sqe.nsid != 0 && cmd->sqe.nsid != NSID_ALL &&
	    (rule->can & PER_NS) == 0) {
		return HF_STATUS_DNR(HF_STATUS_CMD(NVME_SC_FEATURE_NOT_PER_NS));
	}
	uint16_t status = set_value(cmd, rule);
	if (status == 0 && (cmd->sqe.cdw10 & SAVE_FLAG) != 0) {
		cmd->emu->features.saved[fid] = hf_emu_feature(cmd->emu, fid);
	}
	return status;
}

static uint16_t get_current(struct hf_emu_cmd *cmd, uint8_t fid)
{
	struct hf_emu *emu = cmd->emu;
	uint32_t sensor = (cmd->sqe.cdw11 >> 16) & 0xf;
	uint32_t select = (cmd->sqe.cdw11 >> 20) & 0x3;
	uint32_t vector = cmd->sqe.cdw11 & 0xffff;

	switch (fid) {
	case NVME_FEAT_FID_TIMESTAMP:
		return get_timestamp(cmd);
	case NVME_FEAT_FID_HOST_ID:
		return get_host_id(cmd);
	case NVME_FEAT_FID_HOST_BEHAVIOR:
		return get_behavior(cmd);
	case NVME_FEAT_FID_TEMP_THRESH:
		if (select > 1 || sensor >= HF_EMU_SENSORS) {
			return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
		}
		cmd->dw0 =
			hf_emu_load(&emu->features.temperature[select][sensor]);
		return 0;
	case NVME_FEAT_FID_IRQ_CONFIG:
		if (vector >= emu->options.vectors) {
			return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
		}
		cmd->dw0 = vector |
			   hf_emu_load(&emu->features.no_coalescing[vector])
				   << 16;
		return 0;
	case NVME_FEAT_FID_NUM_QUEUES:
		cmd->dw0 = (emu->features.granted_sqs - 1) |
			   (emu->features.granted_cqs - 1) << 16;
		return 0;
	default:
		cmd->dw0 = hf_emu_feature(emu, fid);
		return 0;
	}
}

uint16_t hf_emu_get_features(struct hf_emu_cmd *cmd)
{
	uint8_t fid = (uint8_t)cmd->sqe.cdw10;
	const struct feature_rule *rule = rule_of(cmd->emu, fid);

	if (rule == NULL) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	switch ((cmd->sqe.cdw10 >> 8) & 0x7) {
	case 0:
		return get_current(cmd, fid);
	case 1:
		cmd->dw0 = rule->initial;
		return 0;
	case 2:
		cmd->dw0 = cmd->emu->features.saved[fid];
		return 0;
	case 3:
		cmd->dw0 = rule->can;
		return 0;
	default:
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
}
