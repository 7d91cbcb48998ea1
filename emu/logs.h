/* SPDX-License-Identifier: BSD-3-Clause */
/* Log pages, and what is noted down for them. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <nvme/types.h>

#include "emu/cmd.h"

#define HF_EMU_ERROR_ENTRIES 64

struct hf_emu_logs {
	pthread_mutex_t lock;
	uint64_t error_count;
	struct nvme_error_log_page errors[HF_EMU_ERROR_ENTRIES];
	uint32_t changed_count; /* above 1024: too many to list */
	uint32_t changed[1024];
	uint64_t since_ns;
	uint64_t power_cycles;
	uint64_t unsafe_shutdowns;
};

void hf_emu_logs_init(struct hf_emu *emu);
void hf_emu_logs_fini(struct hf_emu *emu);
/* Controller reset: the Changed Namespace List is empty. */
void hf_emu_logs_reset(struct hf_emu *emu);

uint16_t hf_emu_get_log_page(struct hf_emu_cmd *cmd);
/* A command ended with an error. */
void hf_emu_logs_error(struct hf_emu *emu, const struct hf_emu_cmd *cmd,
		       uint16_t status);
