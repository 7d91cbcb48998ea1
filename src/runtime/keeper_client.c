/* SPDX-License-Identifier: BSD-3-Clause */
#include "holdfast/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "runtime/carry_wire.h"
#include "runtime/keeper_wire.h"

/* So often an owner may say that it gives the device. */
#define YES_MAX 2u

/* An owner that has said so is through within this, mostly. */
#define SOON_NS HF_NS_PER_MS

/* Without it, connect() waits for as long as the other side's backlog is full:
 * for ever, where its process is stopped. 0 is no limit. */
static int limit_wait(int fd, uint32_t timeout_ms)
{
	const struct timeval limit = {.tv_sec = timeout_ms / 1000};

	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ==
			       0
		       ? 0
		       : -errno;
}

static int connect_within(int fd, const struct sockaddr_un *address)
{
	int rc = limit_wait(fd, HF_KEEPER_TIMEOUT_MS);

	if (rc == 0 && connect(fd, (const struct sockaddr *)address,
			       sizeof(*address)) != 0) {
		rc = errno == EAGAIN ? -ETIMEDOUT : -errno;
	}
	return rc == 0 ? limit_wait(fd, 0) : rc;
}

int hf_keeper_connect(const char *path, struct hf_error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path)) {
		return hf_error_set(err, -ENAMETOOLONG,
				    "'%s' is too long for a socket's path",
				    path);
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	HF_AUTO_CLOSE int fd =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? -errno : connect_within(fd, &address);
	if (rc != 0) {
		return hf_error_set(err, rc, "%s: nobody can be reached: %s",
				    path, strerror(-rc));
	}
	return hf_take_fd(&fd);
}

static int ask(int socket, enum hf_keeper_op op, const char *name,
	       uint64_t deadline_ns, struct hf_error *err)
{
	struct hf_keeper_request request = {
		.magic = HF_KEEPER_MAGIC,
		.version = HF_KEEPER_VERSION,
		.op = op,
	};

	if (op != HF_KEEPER_LIST &&
	    !hf_carry_name_is_valid(name, HF_KEEPER_NAME_BYTES)) {
		return hf_error_set(err, -EINVAL,
				    "a set cannot be called '%.60s': letters, "
				    "digits, '-' and '.' are accepted, %d at "
				    "most",
				    name, HF_KEEPER_NAME_BYTES - 1);
	}
	snprintf(request.name, sizeof(request.name), "%s", name);
	int rc = hf_wire_write_wait(socket, &request, sizeof(request), NULL, 0,
				    deadline_ns);
	if (rc != 0) {
		return hf_error_set(err, rc, "the keeper cannot be asked: %s",
				    strerror(-rc));
	}
	return 0;
}

static int judge_answer(const struct hf_wire_message *message, const char *name,
			uint32_t *count, struct hf_error *err)
{
	struct hf_keeper_answer answer;

	if (message->len_bytes != sizeof(answer) || message->fd_count != 0) {
		return hf_error_set(err, -EPROTO,
				    "what answered is no keeper: a message of "
				    "%u bytes came",
				    message->len_bytes);
	}
	memcpy(&answer, message->bytes, sizeof(answer));
	if (answer.magic != HF_KEEPER_MAGIC ||
	    answer.version != HF_KEEPER_VERSION || answer.result > 0 ||
	    answer.result < -4095) {
		return hf_error_set(err, -EPROTO,
				    "what answered is no keeper of version %d",
				    HF_KEEPER_VERSION);
	}
	if (answer.result == -ENOENT) {
		return hf_error_set(err, -ENOENT,
				    "the keeper holds nothing of the name '%s'",
				    name);
	}
	if (answer.result != 0) {
		return hf_error_set(err, answer.result,
				    "the other side refused '%s': %s", name,
				    strerror(-answer.result));
	}
	*count = answer.count;
	return 0;
}

static int no_answer(const char *name, int rc, struct hf_error *err)
{
	return rc == 0 ? 0
		       : hf_error_set(err, rc, "no answer came about '%s': %s",
				      name, strerror(-rc));
}

/* @message: where it is put. */
static int hear_message(int socket, const char *name, uint64_t deadline_ns,
			struct hf_wire_message *message, struct hf_error *err)
{
	return no_answer(name, hf_wire_read_wait(socket, message, deadline_ns),
			 err);
}

/* After a yes. */
static int hear_soon(int socket, const char *name, uint64_t deadline_ns,
		     struct hf_wire_message *message, struct hf_error *err)
{
	return no_answer(
		name, hf_wire_read_soon(socket, message, SOON_NS, deadline_ns),
		err);
}

static int hear(int socket, const char *name, uint64_t deadline_ns,
		uint32_t *count, struct hf_error *err)
{
	HF_AUTO_FREE struct hf_wire_message *message = malloc(sizeof(*message));

	if (message == NULL) {
		return hf_error_set(err, -ENOMEM, "no memory for an answer");
	}
	int rc = hear_message(socket, name, deadline_ns, message, err);
	if (rc == 0) {
		rc = judge_answer(message, name, count, err);
		hf_wire_close_fds(message);
	}
	return rc;
}

static int put_on(int socket, const char *name, const struct hf_carry *carry,
		  uint64_t deadline_ns, struct hf_error *err)
{
	uint32_t count;
	int rc = ask(socket, HF_KEEPER_PUT, name, deadline_ns, err);

	if (rc == 0) {
		rc = hf_wire_out(carry, 0, socket, deadline_ns, err);
	}
	return rc == 0 ? hear(socket, name, deadline_ns, &count, err) : rc;
}

/* The driver hangs up when it is saved or closed: that waits for this. */
static int put_for_driver(int socket, const char *name,
			  const struct hf_carry *carry, uint64_t deadline_ns,
			  struct hf_error *err)
{
	bool goes_on = hf_keep_line_begin(carry->keep, socket);
	int rc = goes_on ? put_on(socket, name, carry, deadline_ns, err)
			 : -ECANCELED;

	goes_on = hf_keep_line_end(carry->keep);
	return rc == 0 || rc == -ETIMEDOUT || goes_on
		       ? rc
		       : hf_error_set(err, -ECANCELED,
				      "the driver is saved or closed");
}

int hf_keeper_put(const char *path, const char *name,
		  const struct hf_carry *carry, struct hf_error *err)
{
	uint64_t deadline = hf_deadline_ms(HF_KEEPER_TIMEOUT_MS);
	HF_AUTO_CLOSE int socket = hf_keeper_connect(path, err);

	if (socket < 0) {
		return socket;
	}
	int rc = carry->keep != NULL
			 ? put_for_driver(socket, name, carry, deadline, err)
			 : put_on(socket, name, carry, deadline, err);
	if (rc != 0) {
		hf_error_prefix(err, "%s", path);
	}
	return rc;
}

/* Yes, and then the set. An owner says yes once more where it is about to give
 * it, or by giving it. */
static int hear_set(int socket, const char *name, struct hf_carry *early,
		    struct hf_carry **carry, uint64_t deadline_ns,
		    struct hf_error *err)
{
	HF_AUTO_FREE struct hf_wire_message *message = malloc(sizeof(*message));
	uint32_t count;

	if (message == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "no memory for a set of descriptors");
	}
	int rc = hear_message(socket, name, deadline_ns, message, err);
	for (uint32_t i = 0;
	     rc == 0 && i < YES_MAX && !hf_wire_begins_set(message); i++) {
		rc = judge_answer(message, name, &count, err);
		hf_wire_close_fds(message);
		if (rc == 0) {
			rc = hear_soon(socket, name, deadline_ns, message, err);
		}
	}
	return rc != 0 ? rc
		       : hf_wire_receive(carry, early, socket, message,
					 deadline_ns, err);
}

static int get_on(int socket, enum hf_keeper_op op, const char *name,
		  struct hf_carry *early, struct hf_carry **carry,
		  struct hf_error *err)
{
	uint64_t deadline = hf_deadline_ms(HF_KEEPER_TIMEOUT_MS);
	int rc = ask(socket, op, name, deadline, err);

	return rc != 0 ? rc
		       : hear_set(socket, name, early, carry, deadline, err);
}

int hf_keeper_get_on(int socket, const char *name, struct hf_carry **carry,
		     struct hf_error *err)
{
	return get_on(socket, HF_KEEPER_GET, name, NULL, carry, err);
}

int hf_keeper_get_rest_on(int socket, const char *name, struct hf_carry *early,
			  struct hf_carry **carry, struct hf_error *err)
{
	int rc = get_on(socket, HF_KEEPER_GET_REST, name, early, carry, err);

	/* Now: closed later, the ledger's descriptor would take the lock with
	 * it that says who drives the device. */
	hf_carry_free(early);
	return rc;
}

int hf_keeper_preview_on(int socket, const char *name, struct hf_carry **carry,
			 struct hf_error *err)
{
	return get_on(socket, HF_KEEPER_PREVIEW, name, NULL, carry, err);
}

int hf_keeper_get(const char *path, const char *name, struct hf_carry **carry,
		  struct hf_error *err)
{
	HF_AUTO_CLOSE int socket = hf_keeper_connect(path, err);

	if (socket < 0) {
		return socket;
	}
	int rc = hf_keeper_get_on(socket, name, carry, err);
	if (rc != 0) {
		hf_error_prefix(err, "%s", path);
	}
	return rc;
}

int hf_keeper_drop(const char *path, const char *name, struct hf_error *err)
{
	uint64_t deadline = hf_deadline_ms(HF_KEEPER_TIMEOUT_MS);
	HF_AUTO_CLOSE int socket = hf_keeper_connect(path, err);
	uint32_t count;

	if (socket < 0) {
		return socket;
	}
	int rc = ask(socket, HF_KEEPER_DROP, name, deadline, err);
	if (rc == 0) {
		rc = hear(socket, name, deadline, &count, err);
	}
	if (rc != 0) {
		hf_error_prefix(err, "%s", path);
	}
	return rc;
}

static int take_list(const struct hf_wire_message *message, uint32_t expected,
		     struct hf_keeper_entry *entries, uint32_t max,
		     uint32_t *count, struct hf_error *err)
{
	if (message->fd_count != 0 || expected > HF_KEEPER_SETS_MAX ||
	    message->len_bytes != expected * sizeof(*entries)) {
		return hf_error_set(err, -EPROTO,
				    "a list of %u entries came in %u bytes",
				    expected, message->len_bytes);
	}
	for (uint32_t i = 0; i < HF_MIN(expected, max); i++) {
		memcpy(&entries[i], message->bytes + i * sizeof(*entries),
		       sizeof(*entries));
		if (!hf_carry_name_is_valid(entries[i].name,
					    HF_KEEPER_NAME_BYTES)) {
			return hf_error_set(err, -EPROTO,
					    "a list came with a name that is "
					    "none");
		}
	}
	*count = expected;
	return 0;
}

int hf_keeper_list(const char *path, struct hf_keeper_entry *entries,
		   uint32_t max, uint32_t *count, struct hf_error *err)
{
	uint64_t deadline = hf_deadline_ms(HF_KEEPER_TIMEOUT_MS);
	HF_AUTO_CLOSE int socket = hf_keeper_connect(path, err);
	HF_AUTO_FREE struct hf_wire_message *message = malloc(sizeof(*message));
	uint32_t expected = 0;

	*count = 0;
	if (socket < 0) {
		return socket;
	}
	if (message == NULL) {
		return hf_error_set(err, -ENOMEM, "no memory for an answer");
	}
	int rc = ask(socket, HF_KEEPER_LIST, "", deadline, err);
	if (rc == 0) {
		rc = hear(socket, "", deadline, &expected, err);
	}
	if (rc == 0 && expected > 0) {
		rc = hf_wire_read_wait(socket, message, deadline);
		if (rc != 0) {
			return hf_error_set(err, rc, "%s: no list came: %s",
					    path, strerror(-rc));
		}
		rc = take_list(message, expected, entries, max, count, err);
		hf_wire_close_fds(message);
	}
	return rc;
}
