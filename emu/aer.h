/* SPDX-License-Identifier: BSD-3-Clause */
/* Asynchronous events: requests that wait, events that wait, masks. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "emu/cmd.h"
#include "emu/fault.h"

#define HF_EMU_AER_REQUESTS 256
#define HF_EMU_AER_EVENTS   64

struct hf_emu_aer_event {
	uint8_t type;
	uint8_t info;
	uint8_t log_id;
};

/* A request that waits, with what a fault rule wants of its completion. */
struct hf_emu_aer_request {
	uint16_t cid;
	bool faulty;
	struct hf_fault_verdict fault;
};

struct hf_emu_aer {
	pthread_mutex_t lock;
	uint32_t request_count;
	struct hf_emu_aer_request requests[HF_EMU_AER_REQUESTS];
	uint32_t event_count;
	struct hf_emu_aer_event events[HF_EMU_AER_EVENTS];
	bool masked[8];       /* type reported, log page not read yet */
	uint8_t reported[8];  /* that log page */
	uint32_t deliverable; /* atomic: worth a look */
	uint64_t completed;
};

void hf_emu_aer_init(struct hf_emu_aer *aer);
void hf_emu_aer_fini(struct hf_emu_aer *aer);

/* An Asynchronous Event Request: HF_EMU_STAYS, or a status. */
uint16_t hf_emu_aer_request(struct hf_emu_cmd *cmd);
/* Takes a request back. False when there is none with that identifier. */
bool hf_emu_aer_abort(struct hf_emu *emu, uint16_t cid);
/* A log page was read without Retain Asynchronous Event. */
void hf_emu_aer_log_read(struct hf_emu *emu, uint8_t log_id);
/* Completes what can be completed; the admin worker, in its round. */
uint32_t hf_emu_aer_deliver(struct hf_emu *emu);
/* Controller reset: requests and events are gone. */
void hf_emu_aer_reset(struct hf_emu *emu);
/* Cheap: anything for hf_emu_aer_deliver()? */
bool hf_emu_aer_pending(const struct hf_emu *emu);
