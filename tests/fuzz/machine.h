/* SPDX-License-Identifier: BSD-3-Clause */
/* A controller that does as a fuzzer's bytes say: behind each register, each
 * answer and each completion stands a choice between the truth and a lie.
 * Where the bytes end it is honest. Outlives the drivers that use it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"
#include "spec/entries.h"
#include "stream.h"

enum {
	MACHINE_QUEUES = 8,
	MACHINE_VECTORS = 4,
	MACHINE_WINDOWS = 64,
	MACHINE_LATE = 32,
	MACHINE_TOUCHED = 16,
	MACHINE_AERS = 8,
	MACHINE_BAR0_BYTES = 0x3000,
};

/* Memory that was lent: seen through a mapping of the machine's own. */
struct machine_window {
	uint64_t iova;
	uint64_t len_bytes;
	uint8_t *vaddr; /* NULL: free */
};

struct machine_queue {
	bool live;
	uint64_t base;
	uint32_t entries;
	uint32_t at;
	uint32_t tail; /* SQ: as rung */
	uint16_t cq;   /* SQ: where it completes */
	uint16_t vector;
	bool phase;
};

/* A completion on its way. */
struct machine_answer {
	uint16_t sqid;
	uint16_t cid;
	uint16_t status; /* as in the entry, without the phase */
	uint32_t dw0;
	uint64_t prp1;
};

struct machine {
	struct stream *lies;
	uint64_t cap;
	uint32_t cc;
	uint32_t csts;
	uint32_t aqa;
	uint64_t asq;
	uint64_t acq;
	uint8_t block_shift;
	uint32_t gone_reads; /* so many reads see ones */
	bool rdy_sticks;
	struct machine_window windows[MACHINE_WINDOWS];
	struct machine_queue sqs[MACHINE_QUEUES];
	struct machine_queue cqs[MACHINE_QUEUES];
	struct machine_answer late[MACHINE_LATE];
	uint32_t late_count;
	uint16_t aers[MACHINE_AERS];
	uint32_t aer_count;
	uint64_t touched[MACHINE_TOUCHED]; /* data pages of late */
	uint32_t touched_count;
	int eventfds[MACHINE_VECTORS]; /* -1: none */
};

void machine_init(struct machine *machine, struct stream *lies,
		  uint8_t block_shift, uint8_t dstrd);
/* Forgets queues and commands, as a reset does; memory stays lent. */
void machine_reset(struct machine *machine);
/* Pulls the plug: memory and interrupts too. */
void machine_fini(struct machine *machine);
bool machine_has_memory(const struct machine *machine);

int machine_read(struct machine *machine, uint32_t offset, uint32_t size_bytes,
		 uint64_t *value);
int machine_write(struct machine *machine, uint32_t offset, uint64_t value);
int machine_map(struct machine *machine, const struct hf_dma_mapping *map);
void machine_unmap(struct machine *machine, uint64_t iova);

/* Somebody waits: commands that were held back may end. */
void machine_turn(struct machine *machine);
/* An asynchronous event, when one was asked for. */
void machine_event(struct machine *machine, uint32_t dw0);
/* An interrupt for nothing. */
void machine_interrupt(struct machine *machine, uint32_t vector);
