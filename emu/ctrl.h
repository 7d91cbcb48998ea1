/* SPDX-License-Identifier: BSD-3-Clause */
/* The controller as a whole: what its parts share. Knows all of them. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "emu/aer.h"
#include "emu/core.h"
#include "emu/dma.h"
#include "emu/feature.h"
#include "emu/irq.h"
#include "emu/logs.h"
#include "emu/queues.h"
#include "emu/regs.h"
#include "emu/worker.h"

#define HF_EMU_DOORBELLS 0x1000u

/*
 * Lock order: regs.lock, then the lock of namespaces or of dma, then workers
 * (the admin worker, then by index), then the leaves: aer, logs, a vector, the
 * pin. A worker in its round takes only leaves, but for the admin worker, which
 * may lock the others.
 */
struct hf_emu {
	struct hf_emu_options options;
	char serial[21];
	char model[41];
	char firmware[9];
	char subnqn[224];
	struct hf_log log;
	uint32_t *cpus;

	struct hf_emu_regs regs;
	struct hf_emu_dma dma;
	struct hf_emu_irq irq;
	struct hf_emu_aer aer;
	struct hf_emu_logs logs;
	struct hf_emu_features features;
	struct hf_namespaces *namespaces;
	struct hf_faults *faults;

	/* atomic: commands are fetched only while this is set */
	uint32_t running;
	/* atomic: CSTS.CFS, and "the device is gone" */
	uint32_t fatal;
	uint32_t gone;
	uint32_t page_bytes; /* CC.MPS at enable; constant while running */

	struct hf_emu_sq *sqs; /* options.max_sqs + 1, 0 is the admin queue */
	struct hf_emu_cq *cqs;

	struct hf_emu_worker *workers;
	uint32_t worker_count;

	/* The shared doorbell page, and the host's shadow doorbells. */
	int doorbell_fd;
	uint8_t *doorbell_page; /* atomic pointer */
	uint64_t doorbell_bytes;
	uint64_t shadow_iova; /* atomic; 0 when not in use */
	uint64_t shadow_event_iova;

	uint64_t manual_ns; /* atomic: the clock of HF_EMU_MANUAL */
};

static inline uint32_t hf_emu_load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void hf_emu_store(uint32_t *p, uint32_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline bool hf_emu_runs(const struct hf_emu *emu)
{
	return hf_emu_load(&emu->running) != 0;
}

/* Stops fetching, waits for what is in execution, and forgets every queue and
 * what controller level reset clears. regs.lock is held. */
void hf_emu_stop_all(struct hf_emu *emu);

/* Locks every worker, in order. */
void hf_emu_lock_all(struct hf_emu *emu);
void hf_emu_unlock_all(struct hf_emu *emu);
