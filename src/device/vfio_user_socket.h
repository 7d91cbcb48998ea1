/* SPDX-License-Identifier: BSD-3-Clause */
/* One whole message at a time over a UNIX stream socket, with its descriptors
 * and a deadline. Knows the header; no command, no identifiers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/error.h"
#include "spec/vfio_user.h"

enum {
	HF_VFU_MESSAGES_MAX = 16,
};

/* What goes out: a header, and up to two pieces of payload behind it. */
struct hf_vfu_out {
	struct vfu_header header;
	const void *request;
	uint32_t request_bytes;
	const void *data;
	uint32_t data_bytes;
	const int *fds;
	uint32_t fd_count;
};

/* What came in. The descriptors belong to the receiver. */
struct hf_vfu_in {
	struct vfu_header header;
	uint32_t seen_bytes; /* of the header, when no message was complete */
	uint8_t *payload;    /* room for payload_room; given by the caller */
	uint32_t payload_room;
	uint32_t payload_bytes;
	uint32_t fd_count;
	int fds[VFU_MAX_FDS];
};

/**
 * hf_vfu_socket_connect() - reach a server
 * @name: of the device, for the error
 * @path: a socket, or the directory that holds one named "cntrl"
 * @deadline_ns: when to give up
 * @fd: receives the socket
 * @err: says what stands at @path instead
 *
 * Return: 0 or a negative errno.
 */
HF_MUST_CHECK int hf_vfu_socket_connect(const char *name, const char *path,
					uint64_t deadline_ns, int *fd,
					struct hf_error *err);

/**
 * hf_vfu_socket_send() - one message, whole
 * @fd: the socket
 * @deadline_ns: when to give up
 * @out: the message; its header's size is taken as it is
 *
 * Return: 0, -ETIMEDOUT, -ECONNRESET when the peer has gone, or what
 * sendmsg(2) said. Unless it is 0 the stream may hold part of a message.
 */
HF_MUST_CHECK int hf_vfu_socket_send(int fd, uint64_t deadline_ns,
				     const struct hf_vfu_out *out);

/* The same for up to HF_VFU_MESSAGES_MAX messages at once, none of which has
 * descriptors: their receiver is woken once. */
HF_MUST_CHECK int hf_vfu_socket_send_many(int fd, uint64_t deadline_ns,
					  const struct hf_vfu_out *outs,
					  uint32_t count);

/* The next bytes of the stream, which stay there. Return: how many there are,
 * up to the end of the first that descriptors came with. */
uint32_t hf_vfu_socket_peek(int fd, void *bytes, uint32_t len_bytes);
/* Takes bytes that were seen, and what came with them, which is @in's then: 0,
 * or what recvmsg(2) said. */
HF_MUST_CHECK int hf_vfu_socket_skip(int fd, void *bytes, uint32_t len_bytes,
				     struct hf_vfu_in *in);

/* Sleeps until @bytes stand in the socket, or for so long: the peer does not
 * have to make way at each of several messages. Return: whether they do. */
bool hf_vfu_socket_gather(int fd, uint32_t bytes, uint64_t timeout_ns);

/**
 * hf_vfu_socket_receive() - one message, whole
 * @fd: the socket
 * @deadline_ns: when to give up
 * @in: its payload and payload_room are set; receives the rest
 *
 * Nothing is taken from the socket before the whole message stands there, so
 * that a process which dies while it waits leaves the stream between two
 * messages for its successor.
 *
 * Return: 0; -ETIMEDOUT; -ECONNRESET when the peer has gone; -EPROTO when the
 * header's size is impossible; with each of them seen_bytes tells how much of
 * a header stood there.
 */
HF_MUST_CHECK int hf_vfu_socket_receive(int fd, uint64_t deadline_ns,
					struct hf_vfu_in *in);

/* Closes the descriptors of @in that nobody has taken (those that are not
 * negative). */
void hf_vfu_in_close_fds(struct hf_vfu_in *in);
