/* SPDX-License-Identifier: BSD-3-Clause */
/* A process that owns a controller: what its parts know together. How it comes
 * to the device is in serve_take.c, what it answers in serve.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "args.h"
#include "control.h"
#include "serve_owner.h"

/* What a successor says when it has the device. */
#define RESTORED "restored"

#define CLIENTS_MAX 16

struct serve_options {
	const char *name;
	const char *keeper;
	const char *runtime_dir;
	uint64_t depth;
	uint64_t io_bytes;
	uint64_t size_bytes;
	uint64_t queues;
	uint64_t read_percent;
	uint64_t timeout_ms;
	bool no_load;
	bool standby;
	bool successor;
};

/* @shown: what it was shown of the device, or NULL. */
struct serve_client {
	int fd;
	struct hf_carry *shown;
};

struct serve {
	struct args *args;
	struct serve_options opt;
	struct serve_owner owner;
	char path[CONTROL_PATH_BYTES];
	char program[4096];
	int listener;
	int signals;
	/* The oldest first; none is owed an answer. */
	struct serve_client clients[CLIENTS_MAX];
	uint32_t client_count;
	bool done;
	int code;
};

/* The device is this process's, from wherever it was; or serve->done is set,
 * since there is nothing to do. An exit code; a failure has been explained. */
int serve_begin(struct serve *serve);
