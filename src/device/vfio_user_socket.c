/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/vfio_user_socket.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"

/* How often the socket is looked at while a message is only partly there:
 * poll(2) cannot wait for "more than now". */
#define PARTIAL_STEP_NS UINT64_C(100000)

/* A socket holds only so much: a message that came in very many pieces, and
 * has not grown for so long, is taken as it comes. */
#define PARTIAL_PATIENCE_NS (20 * HF_NS_PER_MS)

/* So often it is looked whether all have come that come in a row. */
#define GATHER_STEP_NS UINT64_C(30000)

static int cannot_reach(const char *name, int error, struct hf_error *err)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return hf_error_set(err, -error,
				    "%s: there is no such socket; start the "
				    "server, or check the path",
				    name);
	case EACCES:
	case EPERM:
		return hf_error_set(err, -error,
				    "%s: permission to use the socket is "
				    "denied; run as a user who may write to it",
				    name);
	case ECONNREFUSED:
		return hf_error_set(err, -error,
				    "%s: nobody listens on the socket; its "
				    "server has ended without removing it",
				    name);
	case EPROTOTYPE:
		return hf_error_set(err, -error,
				    "%s: the socket is not a stream socket, "
				    "so it is not one of a vfio-user server",
				    name);
	}
	return hf_error_set(err, -error, "%s: cannot connect: %s", name,
			    strerror(error));
}

/* Writes the path of the socket itself to @buf of PATH_MAX bytes. */
static int find_socket(const char *name, const char *path, char *buf,
		       struct hf_error *err)
{
	struct stat st;

	int len = snprintf(buf, PATH_MAX, "%s", path);
	if (len < 0 || len >= PATH_MAX) {
		return cannot_reach(name, ENAMETOOLONG, err);
	}
	if (stat(buf, &st) != 0) {
		return cannot_reach(name, errno, err);
	}
	if (S_ISDIR(st.st_mode)) {
		len = snprintf(buf, PATH_MAX, "%s/cntrl", path);
		if (len < 0 || len >= PATH_MAX) {
			return cannot_reach(name, ENAMETOOLONG, err);
		}
		if (stat(buf, &st) != 0) {
			if (errno != ENOENT) {
				return cannot_reach(name, errno, err);
			}
			return hf_error_set(err, -ENOENT,
					    "%s: the directory holds no socket "
					    "named 'cntrl'; give the directory "
					    "of a running vfio-user server, or "
					    "a socket",
					    name);
		}
	}
	if (!S_ISSOCK(st.st_mode)) {
		return hf_error_set(err, -ENOTSOCK,
				    "%s: not a socket; give the socket of a "
				    "running vfio-user server",
				    name);
	}
	return 0;
}

/* A full backlog makes connect(2) say EAGAIN, and nothing tells when to try
 * again: a second client waits here, up to its deadline. */
static int connect_until(int fd, const struct sockaddr_un *where,
			 uint64_t deadline_ns)
{
	for (;;) {
		if (connect(fd, (const struct sockaddr *)where,
			    sizeof(*where)) == 0) {
			return 0;
		}
		if (errno != EAGAIN && errno != EINTR) {
			return -errno;
		}
		if (hf_deadline_passed(deadline_ns)) {
			return -ETIMEDOUT;
		}
		poll(NULL, 0, 1);
	}
}

int hf_vfu_socket_connect(const char *name, const char *path,
			  uint64_t deadline_ns, int *fd, struct hf_error *err)
{
	HF_AUTO_CLOSE int sock = -1;
	HF_AUTO_CLOSE int node = -1;
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	char found[PATH_MAX];

	int rc = find_socket(name, path, found, err);
	if (rc != 0) {
		return rc;
	}
	if (strlen(found) < sizeof(where.sun_path)) {
		strcpy(where.sun_path, found);
	} else {
		/* An address holds 107 bytes only; a descriptor's name does. */
		node = open(found, O_PATH | O_CLOEXEC);
		if (node < 0) {
			return cannot_reach(name, errno, err);
		}
		snprintf(where.sun_path, sizeof(where.sun_path),
			 "/proc/self/fd/%d", node);
	}

	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0) {
		return hf_error_set(err, -errno, "%s: cannot make a socket: %s",
				    name, strerror(errno));
	}
	rc = connect_until(sock, &where, deadline_ns);
	if (rc == -ETIMEDOUT) {
		return hf_error_set(err, rc,
				    "%s: the server does not take the "
				    "connection; it may be serving another "
				    "client",
				    name);
	}
	if (rc != 0) {
		return cannot_reach(name, -rc, err);
	}
	*fd = hf_take_fd(&sock);
	return 0;
}

/* 0, -ETIMEDOUT, or -errno of poll(2). A hang-up counts as ready: the call
 * that follows tells it from data. */
static int wait_for(int fd, short events, uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd entry = {.fd = fd, .events = events};
		int rc = poll(&entry, 1, hf_deadline_poll_ms(deadline_ns));

		if (rc > 0) {
			return 0;
		}
		if (rc == 0) {
			return -ETIMEDOUT;
		}
		if (errno != EINTR) {
			return -errno;
		}
	}
}

/* Attaches @out's descriptors to @msg by way of @control. */
static void attach_fds(struct msghdr *msg, void *control,
		       const struct hf_vfu_out *out)
{
	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(out->fd_count * sizeof(int));

	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(out->fd_count * sizeof(int));
	memcpy(CMSG_DATA(cmsg), out->fds, out->fd_count * sizeof(int));
}

/* Skips @bytes that have gone out. */
static void advance(struct msghdr *msg, size_t bytes)
{
	while (msg->msg_iovlen > 0 && bytes >= msg->msg_iov->iov_len) {
		bytes -= msg->msg_iov->iov_len;
		msg->msg_iov++;
		msg->msg_iovlen--;
	}
	if (msg->msg_iovlen > 0) {
		msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + bytes;
		msg->msg_iov->iov_len -= bytes;
	}
}

static void point_at(struct iovec parts[3], const struct hf_vfu_out *out)
{
	parts[0] = (struct iovec){(void *)&out->header, sizeof(out->header)};
	parts[1] = (struct iovec){(void *)out->request, out->request_bytes};
	parts[2] = (struct iovec){(void *)out->data, out->data_bytes};
}

static int send_parts(int fd, uint64_t deadline_ns, struct msghdr *msg)
{
	while (msg->msg_iovlen > 0) {
		ssize_t sent = sendmsg(fd, msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent >= 0) {
			/* They went with the first byte. */
			msg->msg_control = NULL;
			msg->msg_controllen = 0;
			advance(msg, (size_t)sent);
		} else if (errno == EAGAIN) {
			int rc = wait_for(fd, POLLOUT, deadline_ns);
			if (rc != 0) {
				return rc;
			}
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return -ECONNRESET;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

int hf_vfu_socket_send(int fd, uint64_t deadline_ns,
		       const struct hf_vfu_out *out)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))];
	} control;
	struct iovec parts[3];
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 3};

	assert(out->fd_count <= VFU_MAX_FDS);
	point_at(parts, out);
	if (out->fd_count > 0) {
		memset(&control, 0, sizeof(control));
		attach_fds(&msg, &control, out);
	}
	return send_parts(fd, deadline_ns, &msg);
}

int hf_vfu_socket_send_many(int fd, uint64_t deadline_ns,
			    const struct hf_vfu_out *outs, uint32_t count)
{
	struct iovec parts[HF_VFU_MESSAGES_MAX * 3];
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = (size_t)count * 3};

	assert(count <= HF_VFU_MESSAGES_MAX);
	for (uint32_t i = 0; i < count; i++) {
		assert(outs[i].fd_count == 0);
		point_at(&parts[(size_t)i * 3], &outs[i]);
	}
	return send_parts(fd, deadline_ns, &msg);
}

/* Until more may have come, or the peer has gone: -ECONNRESET then. */
static int wait_for_more(int fd, uint64_t step_ns, uint64_t deadline_ns)
{
	const struct timespec step = {.tv_nsec = (long)step_ns};
	struct pollfd entry = {.fd = fd, .events = POLLRDHUP};

	if (hf_deadline_passed(deadline_ns)) {
		return -ETIMEDOUT;
	}
	int rc = ppoll(&entry, 1, &step, NULL);
	if (rc < 0 && errno != EINTR) {
		return -errno;
	}
	return rc > 0 ? -ECONNRESET : 0;
}

/* How many bytes stand in the socket, whatever pieces they came in. */
static int bytes_waiting(int fd, uint32_t *bytes)
{
	int waiting = 0;

	if (ioctl(fd, SIOCINQ, &waiting) != 0) {
		return -errno;
	}
	*bytes = waiting < 0 ? 0 : (uint32_t)waiting;
	return 0;
}

bool hf_vfu_socket_gather(int fd, uint32_t bytes, uint64_t timeout_ns)
{
	uint64_t deadline_ns = hf_now_ns() + timeout_ns;
	uint32_t waiting = 0;

	while (bytes_waiting(fd, &waiting) == 0 && waiting < bytes &&
	       wait_for_more(fd, GATHER_STEP_NS, deadline_ns) == 0) {
	}
	return waiting >= bytes;
}

uint32_t hf_vfu_socket_peek(int fd, void *bytes, uint32_t len_bytes)
{
	ssize_t seen = recv(fd, bytes, len_bytes, MSG_PEEK | MSG_DONTWAIT);

	return seen > 0 ? (uint32_t)seen : 0;
}

/* Looks at the header without taking it. */
static int peek_header(int fd, uint64_t deadline_ns, struct hf_vfu_in *in)
{
	for (;;) {
		ssize_t seen = recv(fd, &in->header, sizeof(in->header),
				    MSG_PEEK | MSG_DONTWAIT);

		if (seen > 0) {
			in->seen_bytes = (uint32_t)seen;
			return 0;
		}
		if (seen == 0 || errno == ECONNRESET) {
			return -ECONNRESET;
		}
		if (errno == EAGAIN) {
			int rc = wait_for(fd, POLLIN | POLLRDHUP, deadline_ns);
			if (rc != 0) {
				return rc;
			}
		} else if (errno != EINTR) {
			return -errno;
		}
	}
}

/* Returns 0 once a whole message stands in the socket, or as much of it as
 * there is room for. */
static int wait_whole(int fd, uint64_t deadline_ns, struct hf_vfu_in *in)
{
	uint64_t patience_ns = UINT64_MAX;
	uint32_t before = 0;
	bool gone = false;

	for (;;) {
		uint32_t waiting = 0;
		int rc = peek_header(fd, deadline_ns, in);

		if (rc == 0) {
			rc = bytes_waiting(fd, &waiting);
		}
		if (rc != 0) {
			return rc;
		}
		if (in->seen_bytes == sizeof(in->header)) {
			uint32_t size = in->header.size;

			if (size < sizeof(in->header) ||
			    size - sizeof(in->header) > in->payload_room) {
				return -EPROTO;
			}
			if (waiting >= size ||
			    hf_deadline_passed(patience_ns)) {
				return 0;
			}
		}
		if (gone) {
			return -ECONNRESET;
		}
		if (waiting > before) {
			before = waiting;
			patience_ns = hf_now_ns() + PARTIAL_PATIENCE_NS;
		}

		/* What it sent before it went is looked at once more. */
		rc = wait_for_more(fd, PARTIAL_STEP_NS, deadline_ns);
		gone = rc == -ECONNRESET;
		if (rc != 0 && !gone) {
			return rc;
		}
	}
}

static void take_fds(struct msghdr *msg, struct hf_vfu_in *in)
{
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
			if (in->fd_count < VFU_MAX_FDS) {
				in->fds[in->fd_count++] = fd;
			} else {
				close(fd);
			}
		}
	}
}

/* One turn; more than one only where descriptors or the socket's room split
 * the message. */
static int take_some(int fd, struct msghdr *msg, uint64_t deadline_ns,
		     struct hf_vfu_in *in)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))];
	} control;

	msg->msg_control = &control;
	msg->msg_controllen = sizeof(control);
	ssize_t got = recvmsg(fd, msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got > 0) {
		take_fds(msg, in);
		advance(msg, (size_t)got);
		return 0;
	}
	if (got == 0 || errno == ECONNRESET) {
		return -ECONNRESET;
	}
	if (errno == EAGAIN) {
		return wait_for(fd, POLLIN | POLLRDHUP, deadline_ns);
	}
	return errno == EINTR ? 0 : -errno;
}

int hf_vfu_socket_receive(int fd, uint64_t deadline_ns, struct hf_vfu_in *in)
{
	struct iovec parts[2];
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};

	in->seen_bytes = 0;
	in->payload_bytes = 0;
	in->fd_count = 0;
	int rc = wait_whole(fd, deadline_ns, in);
	if (rc != 0) {
		return rc;
	}

	/* The header is the one that was judged: nobody else reads here. */
	in->payload_bytes =
		in->header.size - (uint32_t)sizeof(struct vfu_header);
	parts[0] = (struct iovec){&in->header, sizeof(in->header)};
	parts[1] = (struct iovec){in->payload, in->payload_bytes};
	while (rc == 0 && msg.msg_iovlen > 0) {
		rc = take_some(fd, &msg, deadline_ns, in);
	}
	if (rc != 0) {
		hf_vfu_in_close_fds(in);
	}
	return rc;
}

int hf_vfu_socket_skip(int fd, void *bytes, uint32_t len_bytes,
		       struct hf_vfu_in *in)
{
	struct iovec part = {bytes, len_bytes};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
	int rc = 0;

	in->fd_count = 0;
	while (rc == 0 && msg.msg_iovlen > 0) {
		rc = take_some(fd, &msg, hf_now_ns(), in);
	}
	return rc;
}

void hf_vfu_in_close_fds(struct hf_vfu_in *in)
{
	for (uint32_t i = 0; i < in->fd_count; i++) {
		if (in->fds[i] >= 0) {
			close(in->fds[i]);
		}
	}
	in->fd_count = 0;
}
