/* SPDX-License-Identifier: BSD-3-Clause */
/* Features: current, default and saved values, and what they mean elsewhere in
 * the controller. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/cmd.h"

#define HF_EMU_FEATURES 256
#define HF_EMU_SENSORS  9 /* temperature thresholds: composite, then eight */

struct hf_emu_features {
	uint32_t current[HF_EMU_FEATURES]; /* atomic */
	uint32_t saved[HF_EMU_FEATURES];
	uint32_t temperature[2][HF_EMU_SENSORS]; /* atomic: over, under */
	bool queues_set;
	uint32_t granted_sqs; /* I/O queues that may be created */
	uint32_t granted_cqs;
	uint32_t *no_coalescing; /* atomic, per vector */
	uint64_t timestamp_ms;
	uint64_t timestamp_at_ns;
	uint8_t timestamp_origin;
	uint64_t host_id[2]; /* atomic */
	uint32_t kelvin;     /* atomic: the temperature now */
};

int hf_emu_features_init(struct hf_emu *emu);
void hf_emu_features_fini(struct hf_emu *emu);
/* Controller reset: current values become the saved ones. */
void hf_emu_features_reset(struct hf_emu *emu);

uint16_t hf_emu_set_features(struct hf_emu_cmd *cmd);
uint16_t hf_emu_get_features(struct hf_emu_cmd *cmd);

uint32_t hf_emu_feature(const struct hf_emu *emu, uint8_t fid);
/* Critical Warning bits for a temperature beyond its thresholds. */
uint8_t hf_emu_temperature_warning(const struct hf_emu *emu);
/* Interrupt coalescing for a vector: entries beyond the first, and the time;
 * false when each batch interrupts at once. */
bool hf_emu_coalescing(const struct hf_emu *emu, uint16_t cqid, uint16_t vector,
		       uint32_t *entries_z, uint64_t *time_ns);
