/* SPDX-License-Identifier: BSD-3-Clause */
/* The program that the fuzzer "device" plays: its handles, its I/O, and what a
 * successor makes of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/holdfast.h"
#include "machine.h"
#include "stream.h"

enum {
	PROGRAM_WORKS_MAX = 96,
	PROGRAM_NAMESPACES = 3,
	PROGRAM_CPUS = 2,
	PROGRAM_BUFFER_BYTES = 64 * 1024,
};

/* One I/O of the program's. */
struct work {
	struct hf_io io;
	struct hf_command command;
	struct hf_range range;
	struct iovec iov[2];
	uint8_t *buf;
	uint32_t calls;
	bool lent;  /* submitted, or attached to */
	bool dead;  /* its process is gone: must not be called any more */
	bool again; /* submits another from its callback */
};

struct program {
	struct stream actions;
	struct stream lies;
	struct machine machine;
	struct hf_driver *drv;
	struct hf_namespace *ns[PROGRAM_NAMESPACES];
	struct hf_queue *queues[PROGRAM_CPUS];
	struct work works[PROGRAM_WORKS_MAX];
	uint32_t work_count;
	struct hf_driver_options options;
	struct hf_error err;
	void *memory;  /* of hf_dma_alloc() */
	bool inherits; /* a predecessor's I/O may hold every slot there is */
};

extern struct program f;

/* Ends the fuzzer: @what was found. */
void program_fail(const char *what);
/* Memory for one more I/O; NULL when there were too many. */
struct work *program_work(void);
/* What each of them ends with. */
void program_done(struct hf_io *io, int result);
uint32_t program_block_bytes(struct hf_namespace *ns);
/* NULL where that one is not open. */
struct hf_namespace *program_namespace(uint8_t choice);

/* Each takes its choices from f.actions. */
void program_submit(void);
void program_reap(void);
void program_blocking(void);
void program_command(void);
void program_open_namespace(void);
void program_open_queue(void);
void program_memory(void);

/* The driver and all that came of it are another's, or gone. */
void program_forget(void);
/* Checks that each I/O has ended, and all memory came back. */
void program_close(void);

/* A successor in the same process: what is left, with changes, is its. */
void program_attach(void);
void program_crash(void);
void program_save(void);
