/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/vfio_user_conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "emu/vfio_user_device.h"

int hf_vfus_conn_init(struct hf_vfus_conn *conn)
{
	memset(conn, 0, sizeof(*conn));
	conn->fd = -1;
	conn->out_fd = -1;
	conn->in = malloc(HF_VFUS_MAX_MESSAGE);
	conn->out = malloc(sizeof(struct vfu_header) + HF_VFUS_MAX_MESSAGE);
	if (conn->in == NULL || conn->out == NULL) {
		hf_vfus_conn_fini(conn);
		return -ENOMEM;
	}
	return 0;
}

void hf_vfus_conn_fini(struct hf_vfus_conn *conn)
{
	hf_vfus_conn_close(conn);
	free(conn->in);
	free(conn->out);
	conn->in = NULL;
	conn->out = NULL;
}

void hf_vfus_conn_open(struct hf_vfus_conn *conn, int fd)
{
	assert(conn->fd < 0);

	conn->fd = fd;
	conn->in_bytes = 0;
	conn->fd_count = 0;
	conn->out_bytes = 0;
	conn->out_sent = 0;
}

void hf_vfus_conn_close(struct hf_vfus_conn *conn)
{
	hf_vfus_conn_done(conn);
	conn->out_bytes = 0;
	conn->out_sent = 0;
	if (conn->fd >= 0) {
		close(conn->fd);
		conn->fd = -1;
	}
}

void hf_vfus_conn_done(struct hf_vfus_conn *conn)
{
	for (uint32_t i = 0; i < conn->fd_count; i++) {
		if (conn->fds[i] >= 0) {
			close(conn->fds[i]);
		}
	}
	conn->fd_count = 0;
	conn->in_bytes = 0;
}

/* Takes the descriptors that came along; false when there were too many. */
static bool take_fds(struct hf_vfus_conn *conn, struct msghdr *msg)
{
	bool fit = (msg->msg_flags & MSG_CTRUNC) == 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS) {
			continue;
		}

		size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int),
			       sizeof(fd));
			if (conn->fd_count < VFU_MAX_FDS) {
				conn->fds[conn->fd_count++] = fd;
			} else {
				close(fd);
				fit = false;
			}
		}
	}
	return fit;
}

/*
 * Reads up to @until bytes of the message. Never reads beyond its end, so that
 * a descriptor that arrives belongs to it and not to the next one.
 */
static int fill(struct hf_vfus_conn *conn, uint32_t until)
{
	while (conn->in_bytes < until) {
		char control[CMSG_SPACE(sizeof(int) * VFU_MAX_FDS)];
		struct iovec iov = {.iov_base = conn->in + conn->in_bytes,
				    .iov_len = until - conn->in_bytes};
		struct msghdr msg = {.msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control)};
		ssize_t got = recvmsg(conn->fd, &msg,
				      MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			return -EAGAIN;
		}
		if (got <= 0) {
			return -EPIPE;
		}
		conn->in_bytes += (uint32_t)got;
		if (!take_fds(conn, &msg)) {
			return -EPROTO;
		}
	}
	return 0;
}

int hf_vfus_conn_receive(struct hf_vfus_conn *conn)
{
	struct vfu_header header;
	int result;

	if (conn->in_bytes < sizeof(header)) {
		result = fill(conn, sizeof(header));
		if (result != 0) {
			return result;
		}
	}
	memcpy(&header, conn->in, sizeof(header));
	/* No command is sent to a client, so it has nothing to reply to. */
	if (header.size < sizeof(header) || header.size > HF_VFUS_MAX_MESSAGE ||
	    (header.flags & VFU_FLAG_TYPE_MASK) != VFU_FLAG_TYPE_COMMAND) {
		return -EPROTO;
	}
	result = fill(conn, header.size);
	return result != 0 ? result : 1;
}

uint8_t *hf_vfus_conn_reply_payload(struct hf_vfus_conn *conn)
{
	return conn->out + sizeof(struct vfu_header);
}

bool hf_vfus_conn_busy(const struct hf_vfus_conn *conn)
{
	return conn->out_sent < conn->out_bytes;
}

int hf_vfus_conn_reply(struct hf_vfus_conn *conn, int error,
		       uint32_t payload_bytes, int fd)
{
	struct vfu_header header;

	assert(!hf_vfus_conn_busy(conn));
	assert(payload_bytes <= HF_VFUS_MAX_MESSAGE);

	memcpy(&header, conn->in, sizeof(header));
	header.size = (uint32_t)sizeof(header) + payload_bytes;
	header.flags = VFU_FLAG_TYPE_REPLY | (error != 0 ? VFU_FLAG_ERROR : 0);
	header.error = (uint32_t)-error;
	memcpy(conn->out, &header, sizeof(header));
	conn->out_bytes = header.size;
	conn->out_sent = 0;
	conn->out_fd = fd;
	return hf_vfus_conn_send(conn);
}

int hf_vfus_conn_send(struct hf_vfus_conn *conn)
{
	while (hf_vfus_conn_busy(conn)) {
		char control[CMSG_SPACE(sizeof(int))] = {0};
		struct iovec iov = {.iov_base = conn->out + conn->out_sent,
				    .iov_len =
					    conn->out_bytes - conn->out_sent};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

		if (conn->out_fd >= 0) {
			msg.msg_control = control;
			msg.msg_controllen = sizeof(control);
			struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
			cmsg->cmsg_level = SOL_SOCKET;
			cmsg->cmsg_type = SCM_RIGHTS;
			cmsg->cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(cmsg), &conn->out_fd, sizeof(int));
		}

		ssize_t sent =
			sendmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR) {
			continue;
		}
		if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			return -EAGAIN;
		}
		if (sent < 0) {
			return -EPIPE;
		}
		conn->out_sent += (uint32_t)sent;
		conn->out_fd = -1;
	}
	return 0;
}
