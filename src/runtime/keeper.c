/* SPDX-License-Identifier: BSD-3-Clause */
/* The keeper: holds sets of descriptors for whoever may ask, and knows nothing
 * of what they are. */
#include "holdfast/keeper.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "runtime/carry_wire.h"
#include "runtime/keeper_wire.h"

enum {
	CLIENTS_MAX = 64,
	BACKLOG = 64,
	EVENTS = 16,
	LISTENER = CLIENTS_MAX, /* what an event is about: a client's number */
	TIMER,
};

struct kept {
	struct hf_carry *carry; /* NULL: free */
	char name[HF_KEEPER_NAME_BYTES];
	int32_t pid;
};

struct client {
	int fd; /* -1: free */
	int32_t pid;
	uint64_t deadline_ns;
	bool putting;
	char name[HF_KEEPER_NAME_BYTES];
	struct hf_wire_in in;
};

struct hf_keeper {
	struct hf_log log;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t socket_dev;
	ino_t socket_ino;
	int listener;
	bool is_deaf; /* nobody can be let in until the clock has ticked */
	int timer;
	int epoll;
	struct kept sets[HF_KEEPER_SETS_MAX];
	struct client clients[CLIENTS_MAX];
	struct hf_wire_message message;
};

/* ----------------------------------------------------------------- the sets */

static struct kept *find(struct hf_keeper *keeper, const char *name)
{
	for (uint32_t i = 0; i < HF_KEEPER_SETS_MAX; i++) {
		struct kept *kept = &keeper->sets[i];

		if (kept->carry != NULL && strcmp(kept->name, name) == 0) {
			return kept;
		}
	}
	return NULL;
}

static struct kept *find_free(struct hf_keeper *keeper)
{
	for (uint32_t i = 0; i < HF_KEEPER_SETS_MAX; i++) {
		if (keeper->sets[i].carry == NULL) {
			return &keeper->sets[i];
		}
	}
	return NULL;
}

/* The new set is there before the old one goes: nothing is ever let go of that
 * both have. */
static int keep(struct hf_keeper *keeper, const char *name, int32_t pid,
		struct hf_carry *carry)
{
	struct kept *kept = find(keeper, name);

	if (kept == NULL) {
		kept = find_free(keeper);
	}
	if (kept == NULL) {
		hf_carry_free(carry);
		return -ENOSPC;
	}
	struct hf_carry *old = kept->carry;
	kept->carry = carry;
	kept->pid = pid;
	snprintf(kept->name, sizeof(kept->name), "%s", name);
	hf_carry_free(old);
	hf_log_info(&keeper->log, "keeping '%s': %u descriptors of process %d",
		    name, carry->set.count, pid);
	return 0;
}

static int let_go(struct hf_keeper *keeper, const char *name)
{
	struct kept *kept = find(keeper, name);

	if (kept == NULL) {
		return -ENOENT;
	}
	hf_carry_free(kept->carry);
	kept->carry = NULL;
	hf_log_info(&keeper->log, "let go of '%s'", name);
	return 0;
}

/* -------------------------------------------------------------- the clients */

static void hang_up(struct client *client)
{
	hf_wire_in_drop(&client->in);
	close(client->fd);
	client->fd = -1;
}

/* A client that does not read is not waited for. */
static int answer(struct client *client, int result, uint32_t count)
{
	const struct hf_keeper_answer what = {
		.magic = HF_KEEPER_MAGIC,
		.version = HF_KEEPER_VERSION,
		.result = result,
		.count = count,
	};

	return hf_wire_write_wait(client->fd, &what, sizeof(what), NULL, 0, 0);
}

/*
 * One that gave up waiting, while this process was stopped perhaps, has been
 * told that nothing was done, and may have asked for something else since: on
 * another connection, which comes in any order.
 */
static bool has_given_up(const struct client *client)
{
	struct pollfd fd = {.fd = client->fd};

	return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLHUP | POLLERR)) != 0;
}

static int answer_list(struct hf_keeper *keeper, struct client *client)
{
	struct hf_keeper_entry entries[HF_KEEPER_SETS_MAX] = {0};
	uint32_t count = 0;

	for (uint32_t i = 0; i < HF_KEEPER_SETS_MAX; i++) {
		const struct kept *kept = &keeper->sets[i];

		if (kept->carry != NULL) {
			struct hf_keeper_entry *entry = &entries[count++];

			memcpy(entry->name, kept->name, sizeof(entry->name));
			entry->descriptors = kept->carry->set.count;
			entry->pid = kept->pid;
		}
	}
	int rc = answer(client, 0, count);
	if (rc == 0 && count > 0) {
		rc = hf_wire_write_wait(client->fd, entries,
					count * sizeof(entries[0]), NULL, 0, 0);
	}
	return rc;
}

static int answer_get(struct hf_keeper *keeper, struct client *client,
		      const char *name)
{
	struct kept *kept = find(keeper, name);

	if (kept == NULL) {
		return answer(client, -ENOENT, 0);
	}
	int rc = answer(client, 0, 0);
	return rc != 0 ? rc : hf_wire_out(kept->carry, 0, client->fd, 0, NULL);
}

static int take_request(struct hf_keeper *keeper, struct client *client)
{
	struct hf_keeper_request request;

	if (keeper->message.len_bytes != sizeof(request) ||
	    keeper->message.fd_count != 0) {
		return -EPROTO;
	}
	memcpy(&request, keeper->message.bytes, sizeof(request));
	if (request.magic != HF_KEEPER_MAGIC) {
		return -EPROTO;
	}
	if (request.version != HF_KEEPER_VERSION) {
		return answer(client, -EPROTONOSUPPORT, 0);
	}
	if (request.op != HF_KEEPER_LIST &&
	    !hf_carry_name_is_valid(request.name, sizeof(request.name))) {
		return answer(client, -EINVAL, 0);
	}
	switch (request.op) {
	case HF_KEEPER_PUT:
		memcpy(client->name, request.name, sizeof(client->name));
		client->putting = true;
		return 0;
	case HF_KEEPER_GET:
	case HF_KEEPER_PREVIEW:
		return answer_get(keeper, client, request.name);
	case HF_KEEPER_DROP:
		if (has_given_up(client)) {
			return -ECONNRESET;
		}
		return answer(client, let_go(keeper, request.name), 0);
	case HF_KEEPER_LIST:
		return answer_list(keeper, client);
	}
	return answer(client, -EOPNOTSUPP, 0);
}

static int take_part(struct hf_keeper *keeper, struct client *client)
{
	int rc = hf_wire_in_step(&client->in, &keeper->message, NULL);

	if (rc <= 0) {
		return rc;
	}
	client->putting = false;
	if (has_given_up(client)) {
		return -ECONNRESET;
	}
	rc = keep(keeper, client->name, client->pid,
		  hf_wire_in_take(&client->in));
	return answer(client, rc, 0);
}

/* All that has come from one client. */
static void serve(struct hf_keeper *keeper, struct client *client)
{
	for (int i = 0; i < EVENTS; i++) {
		int rc = hf_wire_read(client->fd, &keeper->message);

		if (rc == -EAGAIN) {
			return; /* later, or the next time around */
		}
		if (rc == 0) {
			rc = client->putting ? take_part(keeper, client)
					     : take_request(keeper, client);
			hf_wire_close_fds(&keeper->message);
		}
		if (rc != 0) {
			if (rc != -ECONNRESET) {
				hf_log_warning(&keeper->log,
					       "hung up on process %d: %s",
					       client->pid, strerror(-rc));
			}
			hang_up(client);
			return;
		}
		client->deadline_ns = hf_deadline_ms(HF_KEEPER_TIMEOUT_MS);
	}
}

static bool is_trusted(int fd, int32_t *pid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
		return false;
	}
	*pid = peer.pid;
	return peer.uid == 0 || peer.uid == geteuid();
}

static void take_in(struct hf_keeper *keeper, int fd)
{
	uint32_t i = 0;
	int32_t pid = 0;

	while (i < CLIENTS_MAX && keeper->clients[i].fd >= 0) {
		i++;
	}
	if (i == CLIENTS_MAX || !is_trusted(fd, &pid)) {
		hf_log_warning(&keeper->log, "process %d was turned away: %s",
			       pid,
			       i == CLIENTS_MAX ? "too many ask at once"
						: "it is another user's");
		close(fd);
		return;
	}
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
	if (epoll_ctl(keeper->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
		close(fd);
		return;
	}
	keeper->clients[i] = (struct client){
		.fd = fd,
		.pid = pid,
		.deadline_ns = hf_deadline_ms(HF_KEEPER_TIMEOUT_MS),
	};
}

/* Without descriptors the listener stays readable, and whoever waits for the
 * keeper would turn without end. */
static void set_deaf(struct hf_keeper *keeper, bool deaf)
{
	struct epoll_event event = {.events = deaf ? 0 : EPOLLIN,
				    .data.u32 = LISTENER};

	if (epoll_ctl(keeper->epoll, EPOLL_CTL_MOD, keeper->listener, &event) ==
	    0) {
		keeper->is_deaf = deaf;
	}
}

static void accept_all(struct hf_keeper *keeper)
{
	for (int i = 0; i < BACKLOG; i++) {
		int fd = accept4(keeper->listener, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (errno != EAGAIN && errno != EINTR &&
			    errno != ECONNABORTED) {
				hf_log_warning(&keeper->log,
					       "nobody can be let in: %s",
					       strerror(errno));
				set_deaf(keeper, true);
			}
			return;
		}
		take_in(keeper, fd);
	}
}

static void look_at_clock(struct hf_keeper *keeper)
{
	uint64_t times;

	(void)!read(keeper->timer, &times, sizeof(times));
	if (keeper->is_deaf) {
		set_deaf(keeper, false);
	}
	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &keeper->clients[i];

		if (client->fd >= 0 &&
		    hf_deadline_passed(client->deadline_ns)) {
			hang_up(client);
		}
	}
}

void hf_keeper_process(struct hf_keeper *keeper)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(keeper->epoll, events, EVENTS, 0);

	for (int i = 0; i < count; i++) {
		uint32_t what = events[i].data.u32;

		if (what == LISTENER) {
			accept_all(keeper);
		} else if (what == TIMER) {
			look_at_clock(keeper);
		} else if (keeper->clients[what].fd >= 0) {
			serve(keeper, &keeper->clients[what]);
		}
	}
}

int hf_keeper_fd(const struct hf_keeper *keeper)
{
	return keeper->epoll;
}

/* --------------------------------------------------------------- its life */

static int bind_socket(struct hf_keeper *keeper, struct hf_error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s",
		 keeper->path);
	/* Only a socket that nobody listens on is in the way. */
	int other = hf_keeper_connect(keeper->path, NULL);
	if (other >= 0) {
		close(other);
	}
	if (other != -ECONNREFUSED && other != -ENOENT) {
		return hf_error_set(err, -EADDRINUSE,
				    "%s: somebody listens there already",
				    keeper->path);
	}
	if (lstat(keeper->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		(void)unlink(keeper->path);
	}
	mode_t before = umask(0177);
	int rc = bind(keeper->listener, (struct sockaddr *)&address,
		      sizeof(address)) == 0
			 ? 0
			 : -errno;
	umask(before);
	if (rc == 0 && (listen(keeper->listener, BACKLOG) != 0 ||
			lstat(keeper->path, &st) != 0)) {
		rc = -errno;
	}
	if (rc != 0) {
		return hf_error_set(err, rc, "%s: no socket can be made: %s",
				    keeper->path, strerror(-rc));
	}
	keeper->socket_dev = st.st_dev;
	keeper->socket_ino = st.st_ino;
	return 0;
}

static int watch(struct hf_keeper *keeper, int fd, uint32_t what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = what};

	return epoll_ctl(keeper->epoll, EPOLL_CTL_ADD, fd, &event) == 0
		       ? 0
		       : -errno;
}

static int get_descriptors(struct hf_keeper *keeper, struct hf_error *err)
{
	const struct itimerspec second = {
		.it_interval = {.tv_sec = 1},
		.it_value = {.tv_sec = 1},
	};

	keeper->listener = socket(
		AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	keeper->epoll = epoll_create1(EPOLL_CLOEXEC);
	keeper->timer =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int rc = 0;
	if (keeper->listener < 0 || keeper->epoll < 0 || keeper->timer < 0 ||
	    timerfd_settime(keeper->timer, 0, &second, NULL) != 0) {
		rc = -errno;
	}
	if (rc == 0) {
		rc = watch(keeper, keeper->listener, LISTENER);
	}
	if (rc == 0) {
		rc = watch(keeper, keeper->timer, TIMER);
	}
	return rc == 0 ? 0
		       : hf_error_set(err, rc,
				      "no descriptors for a keeper: %s",
				      strerror(-rc));
}

int hf_keeper_open(struct hf_keeper **out, const char *path,
		   const struct hf_log *log, struct hf_error *err)
{
	struct hf_keeper *keeper = calloc(1, sizeof(*keeper));

	if (keeper == NULL) {
		return hf_error_set(err, -ENOMEM, "no memory for a keeper");
	}
	keeper->listener = -1;
	keeper->epoll = -1;
	keeper->timer = -1;
	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		keeper->clients[i].fd = -1;
	}
	if (log != NULL) {
		keeper->log = *log;
	}
	int rc = 0;
	if (strlen(path) >= sizeof(keeper->path)) {
		rc = hf_error_set(err, -ENAMETOOLONG,
				  "'%s' is too long for a socket's path", path);
	}
	if (rc == 0) {
		snprintf(keeper->path, sizeof(keeper->path), "%s", path);
		rc = get_descriptors(keeper, err);
	}
	if (rc == 0) {
		rc = bind_socket(keeper, err);
	}
	if (rc != 0) {
		hf_keeper_close(keeper);
		return rc;
	}
	*out = keeper;
	return 0;
}

static void close_if_open(int fd)
{
	if (fd >= 0) {
		close(fd);
	}
}

void hf_keeper_close(struct hf_keeper *keeper)
{
	struct stat st;

	if (keeper == NULL) {
		return;
	}
	/* Another keeper's socket is left alone. */
	if (keeper->socket_ino != 0 && lstat(keeper->path, &st) == 0 &&
	    st.st_dev == keeper->socket_dev &&
	    st.st_ino == keeper->socket_ino) {
		(void)unlink(keeper->path);
	}
	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		if (keeper->clients[i].fd >= 0) {
			hang_up(&keeper->clients[i]);
		}
	}
	for (uint32_t i = 0; i < HF_KEEPER_SETS_MAX; i++) {
		hf_carry_free(keeper->sets[i].carry);
	}
	close_if_open(keeper->listener);
	close_if_open(keeper->timer);
	close_if_open(keeper->epoll);
	free(keeper);
}
