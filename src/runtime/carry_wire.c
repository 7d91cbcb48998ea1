/* SPDX-License-Identifier: BSD-3-Clause */
#include "runtime/carry_wire.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"

#define SET_MAGIC  UINT64_C(0x3154455346484446) /* "FDHFSET1" */
#define PART_MAGIC UINT64_C(0x3154525046484446) /* "FDHFPRT1" */

enum {
	WIRE_VERSION = 1,
	SEND_TIMEOUT_MS = 5000,
};

/* The first message. The names of those that are sent follow,
 * HF_FDSET_NAME_BYTES each, and then the text without its end. Where some are
 * the same, the others, if they are few, come beside it. */
struct set_header {
	uint64_t magic;
	uint32_t version;
	uint32_t count; /* descriptors of the set */
	uint32_t text_bytes;
	uint32_t same; /* the first ones, of the set that was sent before */
};

/* Each further message, with descriptors beside it. */
struct part_header {
	uint64_t magic;
	uint32_t first;
	uint32_t count;
};

/* ---------------------------------------------------------------- messages */

static void take_fds(struct msghdr *msg, struct hf_wire_message *message)
{
	for (struct cmsghdr *at = CMSG_FIRSTHDR(msg); at != NULL;
	     at = CMSG_NXTHDR(msg, at)) {
		if (at->cmsg_level != SOL_SOCKET ||
		    at->cmsg_type != SCM_RIGHTS) {
			continue;
		}
		uint32_t count =
			(uint32_t)((at->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (uint32_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(at) + i * sizeof(int),
			       sizeof(fd));
			if (message->fd_count < HF_WIRE_FDS) {
				message->fds[message->fd_count++] = fd;
			} else {
				close(fd);
			}
		}
	}
}

void hf_wire_close_fds(struct hf_wire_message *message)
{
	for (uint32_t i = 0; i < message->fd_count; i++) {
		close(message->fds[i]);
	}
	message->fd_count = 0;
}

int hf_wire_read(int socket, struct hf_wire_message *message)
{
	char control[CMSG_SPACE(sizeof(int) * HF_WIRE_FDS)]
		__attribute__((aligned(8)));
	struct iovec iov = {.iov_base = message->bytes,
			    .iov_len = sizeof(message->bytes)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	ssize_t len;

	message->len_bytes = 0;
	message->fd_count = 0;
	do {
		len = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (len < 0 && errno == EINTR);
	if (len < 0) {
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	}
	take_fds(&msg, message);
	if (len == 0) {
		hf_wire_close_fds(message);
		return -ECONNRESET;
	}
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		hf_wire_close_fds(message);
		return -EPROTO;
	}
	message->len_bytes = (uint32_t)len;
	return 0;
}

static int wait_for(int socket, short events, uint64_t deadline_ns)
{
	struct pollfd fd = {.fd = socket, .events = events};

	for (;;) {
		int rc = poll(&fd, 1, hf_deadline_poll_ms(deadline_ns));

		if (rc > 0) {
			return 0;
		}
		if (rc < 0 && errno != EINTR) {
			return -errno;
		}
		if (hf_deadline_passed(deadline_ns)) {
			return -ETIMEDOUT;
		}
	}
}

int hf_wire_read_wait(int socket, struct hf_wire_message *message,
		      uint64_t deadline_ns)
{
	for (;;) {
		int rc = hf_wire_read(socket, message);

		if (rc != -EAGAIN) {
			return rc;
		}
		rc = wait_for(socket, POLLIN, deadline_ns);
		if (rc != 0) {
			return rc;
		}
	}
}

/* Of those that this thread may use. */
static bool has_other_processor(void)
{
	cpu_set_t mine;

	return sched_getaffinity(0, sizeof(mine), &mine) != 0 ||
	       CPU_COUNT(&mine) > 1;
}

int hf_wire_read_soon(int socket, struct hf_wire_message *message,
		      uint64_t spin_ns, uint64_t deadline_ns)
{
	/* Where there is no other processor, nobody would send it. */
	uint64_t until_ns = has_other_processor() ? hf_now_ns() + spin_ns : 0;

	while (!hf_deadline_passed(until_ns)) {
		int rc = hf_wire_read(socket, message);

		if (rc != -EAGAIN) {
			return rc;
		}
		sched_yield();
	}
	return hf_wire_read_wait(socket, message, deadline_ns);
}

int hf_wire_write_wait(int socket, const void *bytes, size_t len_bytes,
		       const int *fds, uint32_t fd_count, uint64_t deadline_ns)
{
	char control[CMSG_SPACE(sizeof(int) * HF_WIRE_FDS)]
		__attribute__((aligned(8))) = {0};
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len_bytes};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	assert(fd_count <= HF_WIRE_FDS);
	if (fd_count > 0) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
	}
	for (;;) {
		ssize_t sent =
			sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent >= 0) {
			return (size_t)sent == len_bytes ? 0 : -EIO;
		}
		if (errno == EINTR) {
			continue;
		}
		if (errno != EAGAIN && errno != EWOULDBLOCK) {
			return -errno;
		}
		int rc = wait_for(socket, POLLOUT, deadline_ns);
		if (rc != 0) {
			return rc;
		}
	}
}

/* --------------------------------------------------------------- receiving */

static size_t names_bytes(const struct set_header *header)
{
	return (size_t)(header->count - header->same) * HF_FDSET_NAME_BYTES;
}

static uint32_t fds_beside(const struct set_header *header)
{
	uint32_t rest = header->count - header->same;

	return header->same > 0 && rest <= HF_WIRE_FDS ? rest : 0;
}

static int malformed(struct hf_error *err, const char *what)
{
	return hf_error_set(err, -EPROTO,
			    "what came over the socket is no set of "
			    "descriptors: %s",
			    what);
}

static int take_names(struct hf_carry *carry, const uint8_t *names,
		      uint32_t same, uint32_t count, struct hf_error *err)
{
	for (uint32_t i = same; i < count; i++) {
		char *name = carry->set.entries[i].name;

		memcpy(name, names + (size_t)(i - same) * HF_FDSET_NAME_BYTES,
		       HF_FDSET_NAME_BYTES);
		carry->set.entries[i].fd = -1;
		if (!hf_carry_name_is_valid(name, HF_FDSET_NAME_BYTES)) {
			return malformed(err, "a name is not such a one");
		}
		for (uint32_t j = 0; j < i; j++) {
			if (strcmp(carry->set.entries[j].name, name) == 0) {
				return malformed(err, "a name comes twice");
			}
		}
	}
	return 0;
}

bool hf_wire_begins_set(const struct hf_wire_message *message)
{
	struct set_header header;

	if (message->len_bytes < sizeof(header)) {
		return false;
	}
	memcpy(&header, message->bytes, sizeof(header));
	return header.magic == SET_MAGIC;
}

/* What is left in @from is what was not the same. */
static void move_same(struct hf_fdset *to, struct hf_fdset *from, uint32_t same)
{
	memcpy(to->entries, from->entries, same * sizeof(to->entries[0]));
	to->count = same;
	from->count -= same;
	memmove(from->entries, from->entries + same,
		from->count * sizeof(from->entries[0]));
}

static void take_set_fds(struct hf_fdset *set, struct hf_wire_message *message)
{
	for (uint32_t i = 0; i < message->fd_count; i++) {
		set->entries[set->count++].fd = message->fds[i];
	}
	message->fd_count = 0;
}

static int begin(struct hf_wire_in *in, struct hf_wire_message *message,
		 struct hf_error *err)
{
	struct set_header header;

	if (message->len_bytes < sizeof(header)) {
		return malformed(err, "the first message is too short");
	}
	memcpy(&header, message->bytes, sizeof(header));
	if (header.magic != SET_MAGIC) {
		return malformed(err, "it does not begin as one");
	}
	if (header.version != WIRE_VERSION) {
		return hf_error_set(err, -EPROTONOSUPPORT,
				    "a set of descriptors of version %u came; "
				    "this program knows version %d",
				    header.version, WIRE_VERSION);
	}
	uint32_t same_max = in->early != NULL ? in->early->set.count : 0;
	if (header.count > HF_FDSET_MAX || header.same > header.count ||
	    header.same > same_max ||
	    header.text_bytes >= HF_FDSET_TEXT_BYTES ||
	    message->len_bytes !=
		    sizeof(header) + names_bytes(&header) + header.text_bytes ||
	    message->fd_count != fds_beside(&header)) {
		return malformed(err, "its sizes contradict each other");
	}
	const uint8_t *names = message->bytes + sizeof(header);
	const char *text = (const char *)names + names_bytes(&header);
	if (!hf_carry_text_is_valid(text, header.text_bytes)) {
		return malformed(err, "its text is not made of lines");
	}
	in->carry = hf_carry_new(true);
	if (in->carry == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "no memory for a set of descriptors");
	}
	memcpy(in->carry->set.text, text, header.text_bytes);
	in->expected = header.count;
	in->begun = true;
	in->same = header.same;
	if (in->same > 0) {
		move_same(&in->carry->set, &in->early->set, in->same);
	}
	int rc = take_names(in->carry, names, in->same, header.count, err);
	if (rc == 0) {
		take_set_fds(&in->carry->set, message);
	}
	return rc;
}

static int go_on(struct hf_wire_in *in, struct hf_wire_message *message,
		 struct hf_error *err)
{
	struct hf_fdset *set = &in->carry->set;
	struct part_header header;

	if (message->len_bytes != sizeof(header)) {
		return malformed(err, "a part has another length");
	}
	memcpy(&header, message->bytes, sizeof(header));
	if (header.magic != PART_MAGIC || header.first != set->count ||
	    header.count == 0 || header.count != message->fd_count ||
	    header.count > in->expected - set->count) {
		return malformed(err, "a part does not follow the one before");
	}
	take_set_fds(set, message);
	return 0;
}

int hf_wire_in_step(struct hf_wire_in *in, struct hf_wire_message *message,
		    struct hf_error *err)
{
	int rc = in->begun ? go_on(in, message, err) : begin(in, message, err);

	if (rc != 0) {
		hf_wire_close_fds(message);
		hf_wire_in_drop(in);
		return rc;
	}
	return in->carry->set.count == in->expected;
}

struct hf_carry *hf_wire_in_take(struct hf_wire_in *in)
{
	struct hf_carry *carry = in->carry;

	*in = (struct hf_wire_in){0};
	return carry;
}

void hf_wire_in_drop(struct hf_wire_in *in)
{
	hf_carry_free(hf_wire_in_take(in));
}

int hf_wire_receive(struct hf_carry **carry, struct hf_carry *early, int socket,
		    struct hf_wire_message *message, uint64_t deadline_ns,
		    struct hf_error *err)
{
	struct hf_wire_in in = {.early = early};
	int rc =
		message->len_bytes > 0 ? hf_wire_in_step(&in, message, err) : 0;

	while (rc == 0) {
		rc = hf_wire_read_wait(socket, message, deadline_ns);
		if (rc != 0) {
			hf_error_set(err, rc,
				     "a set of descriptors did not come over "
				     "the socket: %s",
				     strerror(-rc));
			break;
		}
		rc = hf_wire_in_step(&in, message, err);
	}
	if (rc < 0) {
		hf_wire_in_drop(&in);
		return rc;
	}
	if (early != NULL) {
		hf_carry_move_prepared(in.carry, in.same, early);
	}
	*carry = hf_wire_in_take(&in);
	return 0;
}

int hf_carry_receive(struct hf_carry **carry, int socket, uint32_t timeout_ms,
		     struct hf_error *err)
{
	HF_AUTO_FREE struct hf_wire_message *message = malloc(sizeof(*message));

	if (message == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "no memory for a set of descriptors");
	}
	message->len_bytes = 0;
	return hf_wire_receive(carry, NULL, socket, message,
			       hf_deadline_ms(timeout_ms), err);
}

/* ----------------------------------------------------------------- sending */

static void collect_fds(const struct hf_fdset *set, uint32_t first,
			uint32_t count, int fds[HF_WIRE_FDS])
{
	for (uint32_t i = 0; i < count; i++) {
		fds[i] = set->entries[first + i].fd;
	}
}

/* @beside: how many descriptors went with it. */
static int send_header(const struct hf_carry *carry, uint32_t same, int socket,
		       uint64_t deadline_ns, uint32_t *beside)
{
	const struct hf_fdset *set = &carry->set;
	const struct set_header header = {
		.magic = SET_MAGIC,
		.version = WIRE_VERSION,
		.count = set->count,
		.text_bytes =
			(uint32_t)strnlen(set->text, sizeof(set->text) - 1),
		.same = same,
	};
	size_t len = sizeof(header) + names_bytes(&header) + header.text_bytes;
	uint8_t *bytes = calloc(1, len);
	int fds[HF_WIRE_FDS];

	if (bytes == NULL) {
		return -ENOMEM;
	}
	uint8_t *at = bytes + sizeof(header);
	memcpy(bytes, &header, sizeof(header));
	for (uint32_t i = same; i < set->count; i++) {
		memcpy(at, set->entries[i].name,
		       strnlen(set->entries[i].name, HF_FDSET_NAME_BYTES - 1));
		at += HF_FDSET_NAME_BYTES;
	}
	memcpy(at, set->text, header.text_bytes);
	*beside = fds_beside(&header);
	collect_fds(set, same, *beside, fds);
	int rc = hf_wire_write_wait(socket, bytes, len, fds, *beside,
				    deadline_ns);
	free(bytes);
	return rc;
}

int hf_wire_out(const struct hf_carry *carry, uint32_t same, int socket,
		uint64_t deadline_ns, struct hf_error *err)
{
	const struct hf_fdset *set = &carry->set;
	uint32_t beside = 0;
	int rc = send_header(carry, same, socket, deadline_ns, &beside);

	for (uint32_t i = same + beside; rc == 0 && i < set->count;) {
		struct part_header header = {
			.magic = PART_MAGIC,
			.first = i,
			.count = HF_MIN(set->count - i, HF_WIRE_FDS),
		};
		int fds[HF_WIRE_FDS];

		collect_fds(set, i, header.count, fds);
		rc = hf_wire_write_wait(socket, &header, sizeof(header), fds,
					header.count, deadline_ns);
		i += header.count;
	}
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "a set of %u descriptors cannot be sent: "
				    "%s",
				    set->count, strerror(-rc));
	}
	return 0;
}

int hf_carry_send(const struct hf_carry *carry, int socket,
		  struct hf_error *err)
{
	return hf_wire_out(carry, 0, socket, hf_deadline_ms(SEND_TIMEOUT_MS),
			   err);
}
