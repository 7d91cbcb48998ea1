/* SPDX-License-Identifier: BSD-3-Clause */
/* Who executes: rounds over the queues of a worker, what was put off to later,
 * sleeping and waking. Knows no opcode. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "emu/cmd.h"
#include "emu/fault.h"
#include "emu/queues.h"

/* What hf_emu_admin_execute() returns when the command stays outstanding. */
#define HF_EMU_STAYS 0xffffu

#define HF_EMU_SINK_BYTES 65536u

enum hf_emu_later_what {
	HF_EMU_LATER_EXECUTE, /* execute, then complete */
	HF_EMU_LATER_POST,    /* complete with the status */
	HF_EMU_LATER_DATA,    /* execute, complete nothing */
	HF_EMU_LATER_TORN,    /* write the rest of an entry */
	HF_EMU_LATER_IRQ,     /* raise a vector */
	HF_EMU_LATER_SWAPPED, /* post what waited for a successor */
};

/* Something that was put off, on a list of its worker. */
struct hf_emu_later {
	struct hf_list link;
	enum hf_emu_later_what what;
	uint64_t due_ns;
	bool held; /* until its rule lets go; due_ns is UINT64_MAX */
	uint16_t status;
	uint16_t cqid;
	uint16_t vector;
	uint32_t slot;
	struct nvme_cqe cqe;
	struct hf_emu_cmd cmd;
	struct hf_fault_verdict verdict;
};

/* An entry that waits for room in its queue, or for the one before it. */
struct hf_emu_entry {
	struct hf_list link;
	struct nvme_cqe cqe; /* in host byte order, without phase */
};

struct hf_emu_worker {
	struct hf_emu *emu;
	uint32_t index; /* 0 is the admin worker */

	/* Held over each round, and by whoever else touches its queues. */
	pthread_mutex_t lock;
	uint32_t guests; /* atomic: threads that want the lock */

	/* atomic: queue identifiers, and how many */
	uint32_t sq_count;
	uint16_t *sqs;
	uint32_t cq_count;
	uint16_t *cqs;

	struct hf_list later; /* by due_ns */
	uint32_t later_count;
	uint64_t next_due_ns; /* atomic: of later and of coalescing */

	struct iovec *iov;
	uint32_t iov_max;
	uint8_t *sink; /* where data goes that nobody wants */
	uint8_t *scratch;

	/* Counters, under the lock. */
	uint64_t commands[256];
	uint64_t completions;
	uint64_t errors;
	uint64_t dropped;
	uint64_t read_commands;
	uint64_t write_commands;
	uint64_t read_bytes;
	uint64_t written_bytes;

	/* Sleeping. */
	bool started;
	pthread_t thread;
	uint32_t stop;     /* atomic */
	uint32_t sleeping; /* atomic */
	uint32_t wakes;    /* atomic: the futex */
};

int hf_emu_workers_init(struct hf_emu *emu);
int hf_emu_workers_start(struct hf_emu *emu);
void hf_emu_workers_fini(struct hf_emu *emu);

/* Takes a worker's lock from outside of its thread, ahead of its next round.
 * Order: admin worker first, then by index. */
void hf_emu_worker_lock(struct hf_emu_worker *worker);
void hf_emu_worker_unlock(struct hf_emu_worker *worker);
void hf_emu_worker_wake(struct hf_emu_worker *worker);
void hf_emu_wake_all(struct hf_emu *emu);

/* One look at everything; the lock is taken here. Returns what was done. */
uint32_t hf_emu_worker_round(struct hf_emu_worker *worker, uint32_t budget);

/* Anything to do? Reads atomics only. */
bool hf_emu_worker_has_news(struct hf_emu_worker *worker);
/* Asks the host to ring from now on, where it has shadow doorbells. False when
 * it was faster, and there is work. */
bool hf_emu_worker_arm(struct hf_emu_worker *worker);

/* All below: within a round, or with the worker's lock held. */

/* Executes and completes a command that was fetched. */
void hf_emu_run(struct hf_emu_worker *worker, struct hf_emu_cmd *cmd);
/* What was put off and is due; returns how many. */
uint32_t hf_emu_run_later(struct hf_emu_worker *worker, uint32_t budget);
/* Posts what found no room before. */
void hf_emu_cq_post_backlog(struct hf_emu_worker *worker, struct hf_emu_cq *cq);
/* Interrupts for what was posted in this round, now or when due; returns when
 * the next one is due. */
uint64_t hf_emu_cq_signal(struct hf_emu_worker *worker, struct hf_emu_cq *cq);
/* Ends a command: what its fault rule says about it, then the entry. */
void hf_emu_complete(struct hf_emu_worker *worker, struct hf_emu_cmd *cmd,
		     uint16_t status);
/* Queues are listed by the worker that serves them. */
void hf_emu_worker_add_sq(struct hf_emu_worker *worker, uint16_t qid);
void hf_emu_worker_remove_sq(struct hf_emu_worker *worker, uint16_t qid);
void hf_emu_worker_add_cq(struct hf_emu_worker *worker, uint16_t qid);
void hf_emu_worker_remove_cq(struct hf_emu_worker *worker, uint16_t qid);
/* Ends every put-off command of a queue with @status. */
void hf_emu_worker_end_sq(struct hf_emu_worker *worker, uint16_t sqid,
			  uint16_t status);
/* Forgets everything that was put off. */
void hf_emu_worker_forget(struct hf_emu_worker *worker);
/* Put-off commands that are still to complete; those of one opcode. */
uint32_t hf_emu_worker_later_commands(const struct hf_emu_worker *worker);
uint32_t hf_emu_worker_later_opcode(const struct hf_emu_worker *worker,
				    uint8_t opcode);
/* Aborts a put-off command. False when there is none. */
bool hf_emu_worker_abort(struct hf_emu_worker *worker, uint16_t sqid,
			 uint16_t cid);
