/* SPDX-License-Identifier: BSD-3-Clause */
/* One vfio-user connection: a stream taken apart into whole messages, replies
 * put back. Never waits for the peer. Knows no message but its header. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "spec/vfio_user.h"

struct hf_vfus_conn {
	int fd; /* -1: none */
	/* The message that is arriving. */
	uint8_t *in;
	uint32_t in_bytes;
	int fds[VFU_MAX_FDS];
	uint32_t fd_count;
	/* The reply that is leaving. */
	uint8_t *out;
	uint32_t out_bytes;
	uint32_t out_sent;
	int out_fd; /* not owned */
};

int hf_vfus_conn_init(struct hf_vfus_conn *conn);
void hf_vfus_conn_fini(struct hf_vfus_conn *conn);
/* Takes the descriptor. */
void hf_vfus_conn_open(struct hf_vfus_conn *conn, int fd);
void hf_vfus_conn_close(struct hf_vfus_conn *conn);

/**
 * hf_vfus_conn_receive() - read on
 * @conn: open
 *
 * Return: 1 when a whole message is in @conn->in, its descriptors in fds;
 * -EAGAIN when the rest has not come yet; -EPIPE when the peer is gone;
 * -EPROTO when what it sends is not a message.
 */
int hf_vfus_conn_receive(struct hf_vfus_conn *conn);
/* The message has been dealt with: descriptors that are left are closed. */
void hf_vfus_conn_done(struct hf_vfus_conn *conn);

/* Room for the payload of a reply. */
uint8_t *hf_vfus_conn_reply_payload(struct hf_vfus_conn *conn);
/**
 * hf_vfus_conn_reply() - answer the message
 * @conn: open, with a whole message, and no reply leaving
 * @error: 0, or -errno: then there is no payload
 * @payload_bytes: of what is in hf_vfus_conn_reply_payload()
 * @fd: to send along, or -1
 *
 * Return: 0 when it has left, -EAGAIN when hf_vfus_conn_send() has to be called
 * once there is room, -EPIPE.
 */
int hf_vfus_conn_reply(struct hf_vfus_conn *conn, int error,
		       uint32_t payload_bytes, int fd);
int hf_vfus_conn_send(struct hf_vfus_conn *conn);
/* A reply is leaving: no message is to be read before it has left. */
bool hf_vfus_conn_busy(const struct hf_vfus_conn *conn);
