/* SPDX-License-Identifier: BSD-3-Clause */
/* The registers below the doorbells, and the life of the controller that they
 * show. Knows the queues only to start the admin queue and to stop them all. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct hf_emu;

enum hf_emu_life {
	HF_EMU_DISABLED,
	HF_EMU_ENABLING, /* CC.EN = 1, CSTS.RDY = 0 until due_ns */
	HF_EMU_READY,
	HF_EMU_DISABLING, /* CC.EN = 0, CSTS.RDY = 1 until due_ns */
};

struct hf_emu_regs {
	pthread_mutex_t lock;
	uint64_t cap;
	uint32_t cc;
	uint32_t aqa;
	uint64_t asq;
	uint64_t acq;
	bool nssro;
	enum hf_emu_life life;
	bool enable_next; /* CC.EN came back before RDY = 0 */
	uint64_t due_ns;
	uint32_t shst;
	uint64_t shutdown_due_ns;
	uint64_t wake_ns; /* atomic: when settling is due */
	uint64_t reads;
	uint64_t writes;
	uint64_t enables;
	uint64_t resets;
};

void hf_emu_regs_init(struct hf_emu *emu);
void hf_emu_regs_fini(struct hf_emu *emu);

/* CC as it is. Any thread; takes no lock. */
uint32_t hf_emu_cc(const struct hf_emu *emu);

/* Lets transitions happen whose time has come. */
void hf_emu_regs_settle(struct hf_emu *emu);

/* Function-level reset: configuration is gone too. */
void hf_emu_regs_function_reset(struct hf_emu *emu);
