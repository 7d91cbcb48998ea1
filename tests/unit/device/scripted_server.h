/* SPDX-License-Identifier: BSD-3-Clause */
/* A vfio-user server in a thread of the test: it behaves, but for what the test
 * does to its replies. No controller behind it. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "spec/vfio_user.h"

enum {
	SCRIPT_MAPS_MAX = 128,
	SCRIPT_VECTORS = 32,
	SCRIPT_MSIX_AT = 0x40,
	SCRIPT_BAR0_BYTES = 0x4000,
	SCRIPT_OUT_BYTES = 131072,
};

/* A message on its way out, for a test to spoil. */
struct scripted_reply {
	uint8_t bytes[SCRIPT_OUT_BYTES];
	uint32_t len_bytes;
	uint32_t fd_count;
	int fds[8];
	bool silent;          /* is not sent at all */
	bool close_after;     /* what is sent is the last of it */
	uint32_t piece_bytes; /* sent in pieces of this size; 0: in one */
	/* Sent in front of it: requests of the server, stale replies. */
	uint8_t before[SCRIPT_OUT_BYTES];
	uint32_t before_bytes;
};

struct scripted_server {
	/* How it behaves: set before the start. */
	const char *version_json; /* NULL: none */
	uint16_t major;
	uint16_t minor;
	uint32_t region_flags;
	bool sparse;
	uint64_t sparse_offset;
	uint64_t sparse_bytes;
	bool bar0_fd;
	uint64_t bar0_file_bytes;
	uint32_t device_flags;
	uint32_t vectors;
	bool has_request; /* may ask for the device back */
	uint32_t max_maps;
	uint32_t max_maps_errno;
	uint32_t region_argsz; /* claimed; 0: the truth */
	/* Called with each reply; may be NULL. @nth counts from 0. */
	void (*spoil)(struct scripted_server *server,
		      struct scripted_reply *reply, uint32_t nth);
	void *user;
	/* Sent as soon as a client is there; its version is not awaited. */
	const char *greeting;
	bool never_accept;

	/* What it has seen; read after scripted_server_settle(). */
	pthread_mutex_t lock;
	uint32_t messages;
	uint32_t count[32]; /* by command */
	uint32_t no_reply;
	uint8_t config[256];
	uint8_t regs[SCRIPT_BAR0_BYTES];
	struct vfu_dma_map maps[SCRIPT_MAPS_MAX];
	int map_fds[SCRIPT_MAPS_MAX];
	uint32_t map_count;
	int irq_fds[SCRIPT_VECTORS];
	int request_fd;
	uint32_t irqs_most_at_once;
	/* The last reply that the client sent to us. */
	struct vfu_header answer;
	uint8_t answer_payload[256];
	uint32_t answer_bytes;
	uint32_t answers;
	uint32_t clients;

	/* Its own. */
	char directory[64];
	char path[256];
	int listen_fd;
	int stop_fd;
	int conn;
	int bar0;
	pthread_t thread;
	bool running;
	struct scripted_reply reply;
};

/* Fills in a server as well-behaved as one that was met: mapped doorbells, 8
 * descriptors a message, 64 mappings and no word of that. Its memory is zeroed
 * already: it is large, and a sanitizer would look at each byte once more. */
void scripted_server_init(struct scripted_server *server);
void scripted_server_start(struct scripted_server *server);
/* Ends the connection and the thread. */
void scripted_server_stop(struct scripted_server *server);
/* Hangs up on the client that there is. */
void scripted_server_hang_up(struct scripted_server *server);
/* Waits until @count messages have come in all; fails the test otherwise. */
void scripted_server_await(struct scripted_server *server, uint32_t count);
/* What was written to the mapped doorbells. */
uint32_t scripted_server_doorbell(struct scripted_server *server,
				  uint32_t offset);

struct vfu_header *reply_header(struct scripted_reply *reply);
/* Sets the length of the message in both places. */
void reply_resize(struct scripted_reply *reply, uint32_t payload_bytes);
