/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests on a connection, and their replies. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "device/vfio_user_conn.h"
#include "device/vfio_user_serve.h"

/* Replies to several requests are waited for so long in one go. */
#define GATHER_NS HF_NS_PER_MS

/* Replies that are taken together, at most: several registers'. */
#define TOGETHER_BYTES 1024u

/* Errors above this are no errno of Linux. */
#define ERRNO_MAX 4095u

/* Counters are looked at without the lock, which may be held for long. */
static void count_up(uint64_t *counter, uint64_t by)
{
	__atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
}

/* What stood where a header was due, for a person to recognise. */
static void describe_garbage(const struct hf_vfu_in *in, char *text,
			     size_t room)
{
	const uint8_t *bytes = (const uint8_t *)&in->header;
	size_t used = 0;

	for (uint32_t i = 0; i < in->seen_bytes && used + 4 < room; i++) {
		text[used++] = isprint(bytes[i]) ? (char)bytes[i] : '.';
	}
	text[used] = '\0';
}

/* Why no message came. */
static int receive_failed(struct hf_vfu_conn *conn, int rc,
			  enum vfu_command command, struct hf_error *err)
{
	const char *name = hf_vfu_command_name(command);
	const char *hint = command != VFU_VERSION
				   ? ""
				   : "; it may be serving another client, or "
				     "may be no vfio-user server";
	uint32_t seen = conn->in.seen_bytes;
	char text[64];

	switch (rc) {
	case -ETIMEDOUT:
		if (seen > 0) {
			return hf_vfu_conn_lose(
				conn, rc, err,
				"the server stopped in the middle of its "
				"answer to %s and did not go on for %u ms",
				name, conn->timeout_ms);
		}
		return hf_vfu_conn_lose(
			conn, rc, err,
			"the server did not answer %s within %u ms%s", name,
			conn->timeout_ms, hint);
	case -ECONNRESET:
		if (seen > 0) {
			return hf_vfu_conn_lose(
				conn, rc, err,
				"the server closed the connection in the "
				"middle of its answer to %s",
				name);
		}
		return hf_vfu_conn_lose(
			conn, rc, err,
			"the server closed the connection instead of "
			"answering %s%s",
			name, hint);
	case -EPROTO:
		describe_garbage(&conn->in, text, sizeof(text));
		return hf_vfu_conn_lose(
			conn, rc, err,
			"the answer to %s is no vfio-user message: it "
			"claims %u bytes, and begins with '%s'",
			name, conn->in.header.size, text);
	}
	return hf_vfu_conn_lose(conn, rc, err,
				"cannot receive the answer to %s: %s", name,
				strerror(-rc));
}

static int send_failed(struct hf_vfu_conn *conn, int rc,
		       enum vfu_command command, struct hf_error *err)
{
	const char *name = hf_vfu_command_name(command);

	if (rc == -ETIMEDOUT) {
		return hf_vfu_conn_lose(
			conn, rc, err,
			"the server did not take %s within %u ms", name,
			conn->timeout_ms);
	}
	if (rc == -ECONNRESET) {
		return hf_vfu_conn_lose(
			conn, rc, err,
			"the server has closed the connection; %s was not "
			"sent",
			name);
	}
	return hf_vfu_conn_lose(conn, rc, err, "cannot send %s: %s", name,
				strerror(-rc));
}

static struct hf_vfu_out outgoing(struct hf_vfu_conn *conn,
				  const struct hf_vfu_call *call,
				  uint32_t flags)
{
	uint32_t id = conn->journal->next_id;

	/* Before it is sent: no successor may use it again. */
	__atomic_store_n(&conn->journal->next_id, (id + 1) & 0xffffu,
			 __ATOMIC_RELEASE);
	return (struct hf_vfu_out){
		.header = {.id = (uint16_t)id,
			   .command = (uint16_t)call->command,
			   .size = (uint32_t)sizeof(struct vfu_header) +
				   call->request_bytes + call->data_bytes,
			   .flags = VFU_FLAG_TYPE_COMMAND | flags},
		.request = call->request,
		.request_bytes = call->request_bytes,
		.data = call->data,
		.data_bytes = call->data_bytes,
		.fds = call->fds,
		.fd_count = call->fd_count,
	};
}

static uint64_t pending_word(const struct vfu_header *header)
{
	return HF_VFU_PENDING | (uint64_t)header->command << 16 | header->id;
}

/* Descriptors that nobody asked for are closed, counted, and told of once. */
static void drop_fds(struct hf_vfu_conn *conn)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < conn->in.fd_count; i++) {
		count += conn->in.fds[i] >= 0 ? 1 : 0;
	}
	if (count > 0 && conn->unexpected_fds == 0) {
		hf_log_warning(conn->log,
			       "%s: closed %u descriptors that the server "
			       "attached to a %s message unasked",
			       conn->name, count,
			       hf_vfu_command_name(conn->in.header.command));
	}
	count_up(&conn->unexpected_fds, count);
	hf_vfu_in_close_fds(&conn->in);
}

/* Takes the payload and the descriptor out of conn->in. */
static int take_reply(struct hf_vfu_conn *conn, struct hf_vfu_call *call,
		      struct hf_error *err)
{
	const struct hf_vfu_in *in = &conn->in;
	const char *name = hf_vfu_command_name(call->command);

	if ((in->header.flags & VFU_FLAG_ERROR) != 0) {
		uint32_t error = in->header.error;
		int code = error > 0 && error <= ERRNO_MAX ? -(int)error : -EIO;

		return hf_error_set(
			err, code, "%s: the server refused %s: %s%s",
			conn->name, name,
			error > 0 ? strerror(-code) : "it did not say why",
			code == -EBUSY && call->command == VFU_VERSION
				? "; it serves another client"
				: "");
	}
	if (in->payload_bytes < call->reply_min_bytes ||
	    in->payload_bytes > call->reply_max_bytes) {
		return hf_vfu_conn_lose(
			conn, -EPROTO, err,
			"the server answered %s with %u bytes, where %u to "
			"%u are due",
			name, in->payload_bytes, call->reply_min_bytes,
			call->reply_max_bytes);
	}

	call->reply_bytes = in->payload_bytes;
	if (in->payload_bytes > 0) {
		memcpy(call->reply, in->payload, in->payload_bytes);
	}
	if (call->take_fd && in->fd_count > 0) {
		call->reply_fd = in->fds[0];
		conn->in.fds[0] = -1;
	}
	return 0;
}

/* Identifiers wrap: what counts is the way from the first to @sent. */
static bool is_stale(const struct hf_vfu_conn *conn, uint16_t sent,
		     uint16_t got)
{
	uint16_t window = (uint16_t)(sent - conn->stale_first);
	uint16_t place = (uint16_t)(got - conn->stale_first);

	return conn->stale_expected && place < window;
}

/* 0: it is the reply to @sent; 1: go on waiting; or a negative errno. */
static int judge(struct hf_vfu_conn *conn, const struct vfu_header *sent,
		 uint64_t deadline_ns, struct hf_error *err)
{
	const struct vfu_header *got = &conn->in.header;
	uint32_t type = got->flags & VFU_FLAG_TYPE_MASK;

	if (type == VFU_FLAG_TYPE_COMMAND) {
		drop_fds(conn);
		int rc = hf_vfu_serve(conn, deadline_ns);
		return rc == 0 ? 1 : send_failed(conn, rc, got->command, err);
	}
	if (type != VFU_FLAG_TYPE_REPLY) {
		return hf_vfu_conn_lose(
			conn, -EPROTO, err,
			"the server sent a message of unknown type %u "
			"where the answer to %s was due",
			type, hf_vfu_command_name(sent->command));
	}
	if (got->id == sent->id && got->command == sent->command) {
		return 0;
	}
	if (is_stale(conn, sent->id, got->id)) {
		count_up(&conn->stale_replies, 1);
		return 1;
	}
	return hf_vfu_conn_lose(
		conn, -EPROTO, err,
		"the server answered message %u (%s) where the answer to "
		"message %u (%s) was due",
		got->id, hf_vfu_command_name(got->command), sent->id,
		hf_vfu_command_name(sent->command));
}

static int await_reply(struct hf_vfu_conn *conn, const struct vfu_header *sent,
		       uint64_t deadline_ns, struct hf_vfu_call *call,
		       struct hf_error *err)
{
	for (;;) {
		conn->in.payload = conn->payload;
		conn->in.payload_room = HF_VFU_PAYLOAD_BYTES;
		int rc =
			hf_vfu_socket_receive(conn->fd, deadline_ns, &conn->in);

		if (rc != 0) {
			return receive_failed(conn, rc, call->command, err);
		}
		rc = judge(conn, sent, deadline_ns, err);
		if (rc == 0) {
			/* Replies come in order: an older one never will. */
			conn->stale_expected = false;
			rc = take_reply(conn, call, err);
			drop_fds(conn);
			return rc;
		}
		drop_fds(conn);
		if (rc < 0) {
			return rc;
		}
		if (hf_deadline_passed(deadline_ns)) {
			/* Its own requests must not keep us here for good. */
			conn->in.seen_bytes = 0;
			return receive_failed(conn, -ETIMEDOUT, call->command,
					      err);
		}
	}
}

/* All at once: the server is woken once. */
static int send_all(struct hf_vfu_conn *conn, struct hf_vfu_call *calls,
		    uint32_t count, uint64_t deadline_ns,
		    struct vfu_header *sent, struct hf_error *err)
{
	struct hf_vfu_out outs[HF_VFU_CALLS_MAX];

	assert(count > 0 && count <= HF_VFU_CALLS_MAX);
	if (hf_vfu_conn_lost(conn)) {
		return hf_vfu_conn_lose(conn, -ENODEV, err, "%s", "");
	}
	for (uint32_t i = 0; i < count; i++) {
		calls[i].reply_bytes = 0;
		calls[i].reply_fd = -1;
		outs[i] = outgoing(conn, &calls[i], 0);
		sent[i] = outs[i].header;
	}
	if (!conn->stale_expected) {
		conn->journal->oldest_id = sent[0].id;
	}
	/* Before they are sent: the replies may come to a successor, which
	 * drops those from the oldest to the last. */
	__atomic_store_n(&conn->journal->pending,
			 pending_word(&sent[count - 1]), __ATOMIC_RELEASE);
	count_up(&conn->journal->round_trips, 1);
	conn->fresh_round_trips++;
	int rc = count == 1 ? hf_vfu_socket_send(conn->fd, deadline_ns, outs)
			    : hf_vfu_socket_send_many(conn->fd, deadline_ns,
						      outs, count);
	return rc != 0 ? send_failed(conn, rc, calls[0].command, err) : 0;
}

/* @rc: of sending them. */
static int take_all(struct hf_vfu_conn *conn, struct hf_vfu_call *calls,
		    uint32_t count, uint64_t deadline_ns,
		    const struct vfu_header *sent, int rc, struct hf_error *err)
{
	for (uint32_t i = 0; i < count && !hf_vfu_conn_lost(conn); i++) {
		struct hf_error *first = rc == 0 ? err : NULL;
		int one = await_reply(conn, &sent[i], deadline_ns, &calls[i],
				      first);

		/* An error reply is a reply: the others still come. */
		rc = rc == 0 ? one : rc;
	}
	__atomic_store_n(&conn->journal->pending, 0, __ATOMIC_RELEASE);
	return rc;
}

/* The payload, if it is the reply that is due, of its only possible length. */
static bool fits(const struct vfu_header *sent, const struct hf_vfu_call *call,
		 const struct vfu_header *got)
{
	return call->reply_min_bytes == call->reply_max_bytes &&
	       got->flags == VFU_FLAG_TYPE_REPLY && got->id == sent->id &&
	       got->command == sent->command &&
	       got->size == sizeof(*got) + call->reply_min_bytes;
}

/* All of them in one turn, if they stand in the socket just as they are due:
 * messages are many calls of the kernel otherwise. False: nothing was taken. */
static bool take_together(struct hf_vfu_conn *conn)
{
	struct hf_vfu_ahead *ahead = &conn->ahead;
	uint8_t bytes[TOGETHER_BYTES];
	uint32_t at = 0;

	if (ahead->reply_bytes > sizeof(bytes) || conn->stale_expected ||
	    hf_vfu_socket_peek(conn->fd, bytes, ahead->reply_bytes) !=
		    ahead->reply_bytes) {
		return false;
	}
	for (uint32_t i = 0; i < ahead->count; i++) {
		struct hf_vfu_call *call = &ahead->calls[i];
		struct vfu_header header;

		memcpy(&header, bytes + at, sizeof(header));
		if (!fits(&ahead->sent[i], call, &header)) {
			return false;
		}
		call->reply_bytes = call->reply_min_bytes;
		memcpy(call->reply, bytes + at + sizeof(header),
		       call->reply_bytes);
		at += header.size;
	}
	if (hf_vfu_socket_skip(conn->fd, bytes, at, &conn->in) != 0) {
		return false;
	}
	drop_fds(conn);
	__atomic_store_n(&conn->journal->pending, 0, __ATOMIC_RELEASE);
	return true;
}

/* Replies come in order, so that those come first. Lock held. */
static void take_ahead(struct hf_vfu_conn *conn)
{
	struct hf_vfu_ahead *ahead = &conn->ahead;

	if (ahead->count > 0) {
		/* Before the first is taken: no successor may wait for it. */
		__atomic_store_n(&conn->journal->left_ns, 0, __ATOMIC_RELEASE);
		(void)hf_vfu_socket_gather(conn->fd, ahead->reply_bytes,
					   GATHER_NS);
		ahead->rc = 0;
		if (!take_together(conn)) {
			/* Only from now on are they waited for. */
			ahead->rc = take_all(conn, ahead->calls, ahead->count,
					     hf_deadline_ms(conn->timeout_ms),
					     ahead->sent, 0, NULL);
		}
		if (ahead->rc == 0 && hf_vfu_conn_lost(conn)) {
			ahead->rc = -ENODEV;
		}
		ahead->count = 0;
	}
}

static uint32_t reply_bytes(const struct hf_vfu_call *calls, uint32_t count)
{
	uint32_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		bytes += (uint32_t)sizeof(struct vfu_header) +
			 calls[i].reply_min_bytes;
	}
	return bytes;
}

int hf_vfu_call_ahead(struct hf_vfu_conn *conn, struct hf_vfu_call *calls,
		      uint32_t count, uint64_t left_ns, struct hf_error *err)
{
	struct hf_vfu_ahead *ahead = &conn->ahead;

	pthread_mutex_lock(&conn->lock);
	take_ahead(conn);
	ahead->calls = calls;
	int rc = send_all(conn, calls, count, hf_deadline_ms(conn->timeout_ms),
			  ahead->sent, err);
	if (rc == 0) {
		/* Under the lock: another request would take them first. */
		conn->journal->left_id = ahead->sent[0].id;
		__atomic_store_n(&conn->journal->left_ns, left_ns,
				 __ATOMIC_RELEASE);
	}
	ahead->count = rc == 0 ? count : 0;
	ahead->reply_bytes = reply_bytes(calls, count);
	ahead->rc = rc;
	pthread_mutex_unlock(&conn->lock);
	return rc;
}

bool hf_vfu_call_ahead_await(struct hf_vfu_conn *conn, uint64_t timeout_ns)
{
	pthread_mutex_lock(&conn->lock);
	uint32_t count = conn->ahead.count;
	uint32_t bytes = conn->ahead.reply_bytes;
	pthread_mutex_unlock(&conn->lock);
	return count == 0 || hf_vfu_socket_gather(conn->fd, bytes, timeout_ns);
}

bool hf_vfu_call_ahead_inherit(struct hf_vfu_conn *conn,
			       struct hf_vfu_call *calls, uint32_t count)
{
	struct hf_vfu_ahead *ahead = &conn->ahead;
	uint16_t first = conn->stale_first;

	assert(count > 0 && count <= HF_VFU_CALLS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		ahead->sent[i] = (struct vfu_header){
			.id = (uint16_t)(first + i),
			.command = (uint16_t)calls[i].command,
		};
	}
	if (!conn->stale_expected || conn->journal->left_id != first ||
	    conn->journal->pending != pending_word(&ahead->sent[count - 1])) {
		return false;
	}
	ahead->calls = calls;
	ahead->count = count;
	ahead->reply_bytes = reply_bytes(calls, count);
	conn->stale_expected = false;
	return true;
}

int hf_vfu_call_ahead_take(struct hf_vfu_conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	take_ahead(conn);
	int rc = conn->ahead.rc;
	pthread_mutex_unlock(&conn->lock);
	return rc;
}

int hf_vfu_call_many(struct hf_vfu_conn *conn, struct hf_vfu_call *calls,
		     uint32_t count, struct hf_error *err)
{
	struct vfu_header sent[HF_VFU_CALLS_MAX];

	pthread_mutex_lock(&conn->lock);
	take_ahead(conn);
	uint64_t deadline_ns = hf_deadline_ms(conn->timeout_ms);
	int rc = send_all(conn, calls, count, deadline_ns, sent, err);
	rc = take_all(conn, calls, count, deadline_ns, sent, rc, err);
	pthread_mutex_unlock(&conn->lock);
	return rc;
}

int hf_vfu_call(struct hf_vfu_conn *conn, struct hf_vfu_call *call,
		struct hf_error *err)
{
	return hf_vfu_call_many(conn, call, 1, err);
}

int hf_vfu_post(struct hf_vfu_conn *conn, const struct hf_vfu_call *call)
{
	int rc = -ENODEV;

	pthread_mutex_lock(&conn->lock);
	if (!hf_vfu_conn_lost(conn)) {
		struct hf_vfu_out out = outgoing(conn, call, VFU_FLAG_NO_REPLY);

		count_up(&conn->journal->posted, 1);
		rc = hf_vfu_socket_send(conn->fd,
					hf_deadline_ms(conn->timeout_ms), &out);
		if (rc != 0) {
			rc = send_failed(conn, rc, call->command, NULL);
		}
	}
	pthread_mutex_unlock(&conn->lock);
	return rc;
}
