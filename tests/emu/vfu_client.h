/* SPDX-License-Identifier: BSD-3-Clause */
/* A client by hand: every byte and descriptor of its messages is the test's.
 * All waits are bounded; what does not come fails the test. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/emu_serve.h"
#include "spec/vfio_user.h"

struct vfu_client {
	int fd;
	uint16_t next_id;
	/* The last reply. */
	struct vfu_header header;
	uint8_t payload[1 << 17];
	uint32_t len_bytes;
	int fds[8];
	uint32_t fd_count;
};

/* A controller with one namespace, and its server with a thread. */
struct served {
	struct hf_emu *emu;
	struct hf_emu_server *server;
	char directory[64];
	char path[96];
};

void served_open(struct served *served,
		 const struct hf_emu_serve_options *options);
void served_close(struct served *served);

/* Connects, without a word. */
void client_connect(struct vfu_client *client, const struct served *served);
/* Connects and negotiates. */
void client_open(struct vfu_client *client, const struct served *served);
void client_close(struct vfu_client *client);

void client_send_raw(struct vfu_client *client, const void *bytes,
		     uint32_t len_bytes, const int *fds, uint32_t fd_count);
/* Sends a command; does not wait. */
void client_send(struct vfu_client *client, uint16_t command,
		 const void *payload, uint32_t len_bytes, const int *fds,
		 uint32_t fd_count);
/* Takes the next reply; false at the end of the connection. */
bool client_receive(struct vfu_client *client);
/* Both; returns the error of the reply. The connection must live. */
int client_call(struct vfu_client *client, uint16_t command,
		const void *payload, uint32_t len_bytes, const int *fds,
		uint32_t fd_count);
/* The connection ends, and nothing more comes. */
void client_expect_end(struct vfu_client *client);
/* Nothing has come. */
void client_expect_silence(struct vfu_client *client);

int client_read(struct vfu_client *client, uint32_t region, uint64_t offset,
		uint32_t count, void *out);
int client_write(struct vfu_client *client, uint32_t region, uint64_t offset,
		 uint32_t count, const void *in);
uint32_t client_reg32(struct vfu_client *client, uint64_t offset);
void client_set_reg32(struct vfu_client *client, uint64_t offset,
		      uint32_t value);
void client_set_reg64(struct vfu_client *client, uint64_t offset,
		      uint64_t value);

int client_map(struct vfu_client *client, uint64_t iova, uint64_t len_bytes,
	       uint32_t flags, int fd, uint64_t offset);
int client_unmap(struct vfu_client *client, uint64_t iova, uint64_t len_bytes,
		 uint32_t flags);
int client_set_irqs(struct vfu_client *client, uint32_t flags, uint32_t index,
		    uint32_t start, uint32_t count, const int *fds,
		    uint32_t fd_count);

/* MSI-X Enable, and INTx Disable. */
void client_enable_msix(struct vfu_client *client);

/* Waits for an eventfd; false after a second. */
bool event_comes(int fd);
/* The eventfd is silent. */
bool event_pending(int fd);

/* A memfd of zeroes, mapped at *@vaddr. */
int memory_create(uint64_t len_bytes, uint8_t **vaddr);

/* An admin queue at IOVA 0 and 4096 of @memory, 16 entries each; the
 * controller is enabled. */
void admin_enable(struct vfu_client *client);
void admin_disable(struct vfu_client *client);
/* Puts Identify Controller into the queue, its data at IOVA 8192, and rings. */
void admin_identify(struct vfu_client *client, uint8_t *memory, uint32_t slot);
/* The completion of that slot is there, with success. */
bool admin_completed(const uint8_t *memory, uint32_t slot);
