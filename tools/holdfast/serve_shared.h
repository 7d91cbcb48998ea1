/* SPDX-License-Identifier: BSD-3-Clause */
/* What a serving process and its successors know together, in a memfd that
 * travels with the device: how it was started, and what the load has seen. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "output.h"

/* How a process came to serve. */
enum serve_way {
	SERVE_FRESH,
	SERVE_UPGRADED, /* handed over by a live process */
	SERVE_EXECUTED, /* by exec, on SIGHUP */
	SERVE_KILLED,   /* taken over from a dead one */
	SERVE_WAYS,
};

#define SERVE_GAPS_MAX 4096

/* Times without a completion, each from the last one before to the first one
 * after; the newest are kept. */
struct serve_gaps {
	uint64_t count;
	uint64_t ns[SERVE_GAPS_MAX];
};

#define SERVE_STEPS_MAX 48

/* The way from one process to the next, stamped by both. */
struct serve_step {
	char name[40];
	int32_t pid;
	uint32_t reserved;
	uint64_t ended_ns; /* CLOCK_MONOTONIC */
};

#define SERVE_ENDS_MAX 32

/* Commands of the load that ended with something else than success. */
struct serve_end {
	int32_t result; /* as a callback is told; 0: not used */
	uint32_t reserved;
	uint64_t count;
};

struct serve_shared {
	uint64_t magic;
	uint32_t version;
	uint32_t workers; /* 0: no load */
	uint32_t depth;   /* of each */
	uint32_t read_percent;
	uint32_t way; /* enum serve_way of the next owner */
	uint32_t nsid;
	uint32_t kept;       /* a keeper holds the set, or there is none to */
	uint32_t timeout_ms; /* deadline of each command; 0: the default */
	char address[512];
	char keeper[108];
	uint64_t last_ns;    /* the load's newest completion */
	uint64_t told_again; /* ends that a dead process may have seen */
	uint64_t lost;       /* handed over, and nowhere to be found */
	uint64_t unknown;    /* in the ledger, and never issued by the load */
	uint64_t save_ns;    /* the last time each took */
	uint64_t restore_ns;
	struct serve_gaps gaps[SERVE_WAYS];
	uint32_t step_count;
	struct serve_step steps[SERVE_STEPS_MAX]; /* of the last one */
	struct serve_end ends[SERVE_ENDS_MAX]; /* in the order of appearance */
	uint64_t other_ends;                   /* that found no place there */
	char fault[400]; /* the first thing that was wrong, "" for nothing */
};

/* A new one; @fd is its memfd. Return: 0 or a negative errno. */
int serve_shared_create(struct serve_shared **shared, int *fd);

/* Nobody can change the size of a memfd any more: a successor can map it ahead
 * without fear. Return: 0 or a negative errno. */
int serve_shared_seal(int fd);

/* A predecessor's; every number and text in it is checked. The descriptor
 * stays the caller's. @memory: where it is mapped already, or NULL. Return: 0,
 * -EBADMSG, another negative errno. */
int serve_shared_attach(struct serve_shared **shared, int fd, void *memory);

void serve_shared_close(struct serve_shared *shared);

void serve_shared_gap(struct serve_shared *shared, enum serve_way way,
		      uint64_t ns);

/* Something is over that lies between two processes. One thread at a time. */
void serve_shared_step(struct serve_shared *shared, const char *name,
		       uint64_t ended_ns);
/* The same, now. */
void serve_shared_note(struct serve_shared *shared, const char *name);
/* The same, and it is the first of them. */
void serve_shared_begin(struct serve_shared *shared, const char *name,
			uint64_t ended_ns);
/* "handover": the steps, each with its time and when it was over. */
void serve_shared_show_steps(const struct serve_shared *shared,
			     struct json_object *tree);

/* A command ended with @result, which is not 0. Any thread. */
void serve_shared_end(struct serve_shared *shared, int result);
/* "ends": for each result its count and what it is in words. */
void serve_shared_show_ends(const struct serve_shared *shared,
			    struct json_object *tree);

/* The first fault stays. Any thread. */
void serve_shared_fault(struct serve_shared *shared, const char *text);

/* "gaps": for each way, count, p50, p99 and max. */
void serve_shared_show_gaps(const struct serve_shared *shared,
			    struct json_object *tree);
