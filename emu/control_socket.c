/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/control_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "emu/control.h"
#include "emu/listen.h"

#define CLIENTS       8u
#define MAX_LINE      65536u
#define SOURCE_LISTEN CLIENTS

struct client {
	int fd; /* -1: none */
	char *line;
	size_t used;
};

struct hf_emu_control {
	struct hf_emu *emu;
	struct hf_emu_server *server;
	char *path;
	int listen_fd;
	int epoll_fd;
	bool quit;
	struct client clients[CLIENTS];
};

static int watch(struct hf_emu_control *control, int fd, uint32_t source)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = source}};

	return epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0
		       ? 0
		       : -errno;
}

static void client_close(struct client *client)
{
	if (client->fd >= 0) {
		close(client->fd);
		client->fd = -1;
	}
	free(client->line);
	client->line = NULL;
	client->used = 0;
}

/* An answer that does not fit into the socket at once is one that nobody
 * reads; the client is given up. */
static bool answer(struct client *client, const char *text)
{
	struct iovec iov[2] = {
		{.iov_base = (void *)text, .iov_len = strlen(text)},
		{.iov_base = (void *)"\n", .iov_len = 1}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	size_t whole = iov[0].iov_len + 1;

	return sendmsg(client->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) ==
	       (ssize_t)whole;
}

/* The lines that are complete. False: the client is given up. */
static bool execute_lines(struct hf_emu_control *control, struct client *client)
{
	char *end;

	while ((end = memchr(client->line, '\n', client->used)) != NULL) {
		size_t taken = (size_t)(end - client->line) + 1;

		*end = '\0';
		char *text = hf_control_execute(control->emu, control->server,
						client->line, &control->quit);
		bool sent = text != NULL && answer(client, text);
		free(text);
		if (!sent) {
			return false;
		}
		client->used -= taken;
		memmove(client->line, client->line + taken, client->used);
	}
	return client->used < MAX_LINE;
}

static void serve(struct hf_emu_control *control, struct client *client)
{
	if (client->fd < 0) {
		return;
	}

	ssize_t got = recv(client->fd, client->line + client->used,
			   MAX_LINE - client->used, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (got <= 0) {
		client_close(client);
		return;
	}
	client->used += (size_t)got;
	if (!execute_lines(control, client)) {
		client_close(client);
	}
}

static void accept_client(struct hf_emu_control *control)
{
	static const char busy[] =
		"{\"ok\":false,\"error\":\"control: too many clients\"}";
	struct client *client = NULL;
	int fd = accept4(control->listen_fd, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		return;
	}
	for (uint32_t i = 0; i < CLIENTS && client == NULL; i++) {
		if (control->clients[i].fd < 0) {
			client = &control->clients[i];
		}
	}
	if (client == NULL) {
		struct client refused = {.fd = fd};

		answer(&refused, busy);
		client_close(&refused);
		return;
	}
	client->fd = fd;
	client->line = malloc(MAX_LINE);
	if (client->line == NULL ||
	    watch(control, fd, (uint32_t)(client - control->clients)) != 0) {
		client_close(client);
	}
}

bool hf_emu_control_process(struct hf_emu_control *control)
{
	struct epoll_event events[CLIENTS + 1];
	int count = epoll_wait(control->epoll_fd, events,
			       (int)HF_ARRAY_LEN(events), 0);

	for (int i = 0; i < count; i++) {
		uint32_t source = events[i].data.u32;

		if (source == SOURCE_LISTEN) {
			accept_client(control);
		} else {
			serve(control, &control->clients[source]);
		}
	}
	return control->quit;
}

void hf_emu_control_serve(struct hf_emu_control *control,
			  struct hf_emu_server *server)
{
	control->server = server;
}

int hf_emu_control_fd(const struct hf_emu_control *control)
{
	return control->epoll_fd;
}

int hf_emu_control_open(struct hf_emu_control **control_out, struct hf_emu *emu,
			struct hf_emu_server *server, const char *path,
			struct hf_error *err)
{
	struct hf_emu_control *control = calloc(1, sizeof(*control));

	if (control == NULL) {
		return hf_error_set(err, -ENOMEM, "control: no memory");
	}
	control->emu = emu;
	control->server = server;
	control->listen_fd = -1;
	for (uint32_t i = 0; i < CLIENTS; i++) {
		control->clients[i].fd = -1;
	}

	int result = 0;
	control->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (control->epoll_fd < 0) {
		result = hf_error_set(err, -errno, "control: %s",
				      strerror(errno));
	}
	if (result == 0) {
		control->listen_fd = hf_listen(path, &control->path, err);
		result = HF_MIN(control->listen_fd, 0);
	}
	if (result == 0) {
		result = watch(control, control->listen_fd, SOURCE_LISTEN);
		if (result != 0) {
			hf_error_set(err, result, "control: %s",
				     strerror(-result));
		}
	}
	if (result != 0) {
		hf_emu_control_close(control);
		return result;
	}
	*control_out = control;
	return 0;
}

void hf_emu_control_close(struct hf_emu_control *control)
{
	if (control == NULL) {
		return;
	}
	for (uint32_t i = 0; i < CLIENTS; i++) {
		client_close(&control->clients[i]);
	}
	hf_listen_close(control->listen_fd, control->path);
	if (control->epoll_fd >= 0) {
		close(control->epoll_fd);
	}
	free(control);
}
