/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: no bytes on the control socket of an emulated controller harm it: each
 * line has one answer of JSON, and other clients have theirs.
 * Method: a controller behind a server and a control socket for each input,
 * which is what two clients send. A few bytes steer: 1 ends a piece, 2 goes
 * on with the other client, 3 hangs up. Paths of media name no files here.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <json-c/json.h>

#include "base/checked.h"
#include "holdfast/emu_serve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

/* The names that the linker gives to what it wraps. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
int __wrap_open64(const char *path, int flags, ...);
/* NOLINTEND(bugprone-reserved-identifier) */

enum {
	CLIENTS = 2,
	ANSWER_BYTES = 1 << 20,
	INPUT_MAX = 80000, /* a line that is too long, and some more */
	MEDIUM_BYTES = 65536,
};

static char directory[] = "/tmp/holdfast-fuzz.XXXXXX";
static char control_path[64];
static char server_path[64];
static struct hf_emu *emu;
static struct hf_emu_server *server;
static struct hf_emu_control *control;
static int clients[CLIENTS];
static char answer[ANSWER_BYTES];

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

/* A medium's file: memory, whatever it is called. */
int __wrap_open64(const char *path, int flags, ...)
{
	(void)flags;
	if (strchr(path, '/') != NULL) {
		errno = ENOENT;
		return -1;
	}
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, MEDIUM_BYTES) != 0) {
		fail("no memfd");
	}
	return fd;
}

static void clean_up(void)
{
	rmdir(directory);
}

static void prepare(void)
{
	if (mkdtemp(directory) == NULL) {
		fail("no directory");
	}
	atexit(clean_up);
	snprintf(control_path, sizeof(control_path), "%s/control", directory);
	snprintf(server_path, sizeof(server_path), "%s/server", directory);
}

static void open_all(void)
{
	struct hf_emu_serve_options serve;
	struct hf_emu_options options;
	struct hf_error err;

	hf_emu_options_init(&options);
	options.serve = HF_EMU_MANUAL;
	hf_emu_serve_options_init(&serve);
	if (hf_emu_create(&emu, &options, &err) != 0 ||
	    hf_emu_serve_open(&server, emu, server_path, &serve, &err) != 0 ||
	    hf_emu_control_open(&control, emu, server, control_path, &err) !=
		    0) {
		fail(err.message);
	}
}

static void close_all(void)
{
	hf_emu_control_close(control);
	hf_emu_serve_close(server);
	hf_emu_destroy(emu);
}

static int connect_client(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s",
		 control_path);
	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		fail("nobody can connect any more");
	}
	(void)hf_emu_control_process(control);
	return fd;
}

static void hang_up(int *client)
{
	if (*client >= 0) {
		close(*client);
	}
	*client = -1;
}

/* What has come back: whole lines, each an object that says how it went. */
static uint32_t take_answers(int client)
{
	ssize_t len = recv(client, answer, sizeof(answer) - 1, MSG_DONTWAIT);
	char *next = answer;
	uint32_t lines = 0;
	char *line;

	if (len <= 0) {
		return 0;
	}
	answer[len] = '\0';
	if (answer[len - 1] != '\n' || strlen(answer) != (size_t)len) {
		fail("an answer is no whole line");
	}
	answer[len - 1] = '\0';
	while ((line = strsep(&next, "\n")) != NULL) {
		struct json_object *object = json_tokener_parse(line);
		struct json_object *ok;

		if (!json_object_object_get_ex(object, "ok", &ok)) {
			fail("an answer says nothing");
		}
		json_object_put(object);
		lines++;
	}
	return lines;
}

static void send_piece(int *client, const uint8_t *data, size_t len_bytes)
{
	if (len_bytes == 0) {
		return;
	}
	if (*client < 0) {
		*client = connect_client();
	}
	(void)!send(*client, data, len_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* Once is for a line that is whole now, and once for what is left. */
	(void)hf_emu_control_process(control);
	(void)hf_emu_control_process(control);
	(void)hf_emu_serve_process(server);
	(void)hf_emu_process(emu, 64);
	(void)take_answers(*client);
}

static void run(const uint8_t *data, size_t len_bytes)
{
	int *client = &clients[0];
	size_t first = 0;

	for (size_t at = 0; at < len_bytes; at++) {
		if (data[at] < 1 || data[at] > 3) {
			continue;
		}
		send_piece(client, data + first, at - first);
		first = at + 1;
		if (data[at] == 2) {
			client = client == clients ? clients + 1 : clients;
		} else if (data[at] == 3) {
			hang_up(client);
		}
	}
	send_piece(client, data + first, len_bytes - first);
}

static void expect_honesty(void)
{
	static const char status[] = "{\"command\":\"status\"}\n";
	int client = connect_client();

	if (send(client, status, strlen(status), MSG_NOSIGNAL) < 0) {
		fail("an honest client cannot ask");
	}
	(void)hf_emu_control_process(control);
	if (take_answers(client) != 1) {
		fail("an honest client gets no answer");
	}
	close(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	if (control_path[0] == '\0') {
		prepare();
	}
	if (len_bytes > INPUT_MAX) {
		return 0;
	}
	for (uint32_t i = 0; i < CLIENTS; i++) {
		clients[i] = -1;
	}
	open_all();
	run(data, len_bytes);
	expect_honesty();
	for (uint32_t i = 0; i < CLIENTS; i++) {
		hang_up(&clients[i]);
	}
	close_all();
	return 0;
}
