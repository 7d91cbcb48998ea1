/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: no stream of bytes and descriptors that a vfio-user client can send
 * harms the server.
 * Method: one controller and its device for all inputs; each input is a client
 * that connects, sends, and goes. A first byte tells which descriptors come
 * along with which message; the rest is cut into messages as the server does,
 * or, where it is too short for its header, sent as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "emu/vfio_user_conn.h"
#include "emu/vfio_user_device.h"

#define MEMORY_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

static struct hf_emu *emu;
static struct hf_emu_serve_options options;
static struct hf_vfus_device device;
static struct hf_vfus_conn conn;
static int memory_fd;
static int event_fd;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void prepare(void)
{
	struct hf_emu_options emu_options;

	hf_emu_options_init(&emu_options);
	emu_options.serve = HF_EMU_MANUAL;
	emu_options.vectors = 4;
	hf_emu_serve_options_init(&options);
	options.max_dma_regions = 64;
	memory_fd = memfd_create("fuzz", MFD_CLOEXEC);
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (memory_fd < 0 || event_fd < 0 ||
	    ftruncate(memory_fd, MEMORY_BYTES) != 0 ||
	    hf_emu_create(&emu, &emu_options, NULL) != 0 ||
	    hf_vfus_device_init(&device, emu, &options, event_fd, NULL) != 0 ||
	    hf_vfus_conn_init(&conn) != 0) {
		die("prepare");
	}
}

/* Descriptors by two bits of @kind: none, memory, event, both. */
static void send_piece(int fd, const uint8_t *data, size_t len_bytes,
		       unsigned int kind)
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len_bytes};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int fds[2] = {kind == 2 ? event_fd : memory_fd, event_fd};
	size_t count = kind == 3 ? 2 : kind == 0 ? 0 : 1;

	if (count > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
	}
	(void)!sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Everything that has arrived; false when the connection is at its end. */
static bool serve(int peer)
{
	static uint8_t sink[1 << 16];
	int result;

	while ((result = hf_vfus_conn_receive(&conn)) == 1) {
		struct hf_vfus_request request = {.fds = conn.fds,
						  .fd_count = conn.fd_count};
		struct hf_vfus_reply reply = {
			.payload = hf_vfus_conn_reply_payload(&conn)};

		memcpy(&request.header, conn.in, sizeof(request.header));
		request.payload = conn.in + sizeof(request.header);
		request.len_bytes =
			conn.in_bytes - (uint32_t)sizeof(request.header);
		int error = hf_vfus_device_handle(&device, &request, &reply);
		result = hf_vfus_conn_reply(&conn, error, reply.len_bytes,
					    reply.fd);
		hf_vfus_conn_done(&conn);
		hf_emu_process(emu, 64);
		while (recv(peer, sink, sizeof(sink), MSG_DONTWAIT) > 0) {
		}
		if (reply.end || result != 0) {
			return false;
		}
	}
	return result == -EAGAIN;
}

static void run_client(const uint8_t *data, size_t len_bytes, int peer)
{
	unsigned int kinds = data[0];
	size_t at = 1;

	while (at < len_bytes) {
		struct vfu_header header;
		size_t piece = len_bytes - at;

		if (piece >= sizeof(header)) {
			memcpy(&header, data + at, sizeof(header));
			if (header.size >= sizeof(header)) {
				piece = HF_MIN(piece, (size_t)header.size);
			}
		}
		send_piece(peer, data + at, piece, kinds & 3);
		kinds = kinds >> 2 | (kinds & 3) << 6;
		at += piece;
		if (!serve(peer)) {
			break;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	static const uint8_t hello[20] = {1, 0, VFU_VERSION, 0, 20, 0, 0,
					  0, 0, 0,           0, 0,  0, 0,
					  0, 0, 0,           0, 1,  0};
	int pair[2];

	if (emu == NULL) {
		prepare();
	}
	if (len_bytes < 1 || len_bytes > 65536) {
		return 0;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		die("socketpair");
	}
	hf_vfus_conn_open(&conn, pair[0]);
	hf_vfus_device_connect(&device);
	/* Most inputs begin after the greeting. */
	if ((data[0] & 0x80) == 0) {
		send_piece(pair[1], hello, sizeof(hello), 0);
	}
	if (serve(pair[1])) {
		run_client(data, len_bytes, pair[1]);
	}
	hf_vfus_conn_close(&conn);
	close(pair[1]);
	hf_vfus_device_disconnect(&device);
	return 0;
}
