/* SPDX-License-Identifier: BSD-3-Clause */
/* A controller as a successor finds it: a table of registers, and rings that it
 * works through only when told. It judges its host's doorbells. Knows no
 * ledger. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"

enum {
	MODEL_QUEUES = 2, /* the admin queue and one for I/O */
	MODEL_HELD = 64,  /* fetched and not completed, of one queue */
	MODEL_KEYS = 512,
	MODEL_BASE_LBA = 4096,
};

struct model_command {
	uint16_t cid;
	uint8_t opcode;
	uint32_t key; /* MODEL_KEYS: none that is counted */
};

struct model_queue {
	const struct nvme_sqe *sq;
	struct nvme_cqe *cq;
	uint32_t entries;
	uint32_t sq_head;
	uint32_t sq_tail; /* as rung */
	uint32_t cq_tail;
	uint32_t cq_head; /* as rung */
	bool phase;
	struct model_command held[MODEL_HELD];
	uint32_t held_count;
};

/* Plain data: a copy is the controller at another time. */
struct model {
	struct model_queue queues[MODEL_QUEUES];
	uint8_t fetched[MODEL_KEYS]; /* how often each 16 blocks were asked for
				      */
	uint8_t completed[MODEL_KEYS];
	uint32_t other_commands; /* admin commands, by the one that took over */
	const char *wrong;       /* what its host must not do, the first */
};

/* @fd, registers and memory of a device that is up, whose queues are idle. */
struct model_host {
	struct hf_device dev;
	struct model *model;
	const struct hf_device_ops *registers_ops;
	struct hf_device *registers; /* read, never written */
	int eventfd;
};

/* The controller behind @dev, whose rings stand at what the ledger says. */
void model_init(struct model *model, struct hf_device *dev,
		const struct hf_ledger *ledger);

/* A doorbell is written. */
void model_ring(struct model *model, uint32_t qid, bool is_cq, uint32_t value);

/* Takes the next entry out of the submission ring; false when there is none
 * that it was told of. */
bool model_fetch(struct model *model, uint32_t qid);
/* Completes one of the commands that it holds. */
void model_complete(struct model *model, uint32_t qid, uint32_t held);
/* Does all that there is to do, the newest first. Asynchronous Event Requests
 * stay. */
void model_run(struct model *model);

/* A device in this process that reaches @model, and has @old's memory and
 * ledger as a successor would. */
struct hf_device *model_device_create(struct model *model,
				      struct hf_device *old,
				      const struct hf_ledger *ledger);
