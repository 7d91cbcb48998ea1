/* SPDX-License-Identifier: BSD-3-Clause */
/* A controller on a vfio-user socket and a driver that reaches it there; a
 * control socket beside it. Here, both ends are one process. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <holdfast/holdfast.h>

#include "example.h"

#define RELEASE 0x15 /* opcode of Reservation Release */

/* A thread serves the socket; a driver comes, reads, and goes. */
static void serve_with_thread(struct hf_emu *emu, const char *path)
{
	struct hf_emu_serve_stats stats = {.size = sizeof(stats)};
	struct hf_emu_serve_options options;
	struct hf_emu_server *server;
	unsigned char block[4096];
	struct hf_namespace *ns;
	struct hf_driver *drv;
	struct hf_error err;
	char address[160];

	hf_emu_serve_options_init(&options);
	options.doorbells = HF_EMU_DOORBELLS_MESSAGES;
	check(hf_emu_serve_open(&server, emu, path, &options, &err),
	      "hf_emu_serve_open", &err);
	check(hf_emu_serve_start(server, &err), "hf_emu_serve_start", &err);

	snprintf(address, sizeof(address), "vfio-user:%s", path);
	check(hf_driver_open(&drv, address, NULL, &err), "hf_driver_open",
	      &err);
	check(hf_namespace_open(&ns, drv, 1, &err), "hf_namespace_open", &err);
	check(hf_read(ns, 0, 1, block), "hf_read", NULL);
	hf_namespace_close(ns);
	if (hf_emu_serve_request_removal(server) == 0) {
		printf("the driver was asked to let go\n");
	}
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);

	hf_emu_serve_stats(server, &stats);
	printf("%llu client served\n", (unsigned long long)stats.connections);
	if (hf_emu_serve_disconnect(server) != 0) {
		printf("and gone\n");
	}
	hf_emu_serve_close(server);
}

/* One line to a control socket, and what it answers. */
static void ask(struct hf_emu_control *control, const char *path)
{
	static const char line[] = "{\"command\": \"status\"}\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct pollfd wait = {.fd = hf_emu_control_fd(control),
			      .events = POLLIN};
	char answer[256];

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    write(fd, line, strlen(line)) != (ssize_t)strlen(line)) {
		perror(path);
		exit(1);
	}
	/* The connection, then the line. */
	while (poll(&wait, 1, 100) > 0) {
		hf_emu_control_process(control);
	}
	ssize_t got = read(fd, answer, sizeof(answer) - 1);

	answer[got > 0 ? got : 0] = '\0';
	printf("%.40s...\n", answer);
	close(fd);
}

/* Both sockets in the caller's own loop. */
static void serve_in_loop(struct hf_emu *emu, const char *path,
			  const char *control_path)
{
	struct hf_emu_control *control;
	struct hf_emu_server *server;
	struct hf_error err;

	check(hf_emu_control_open(&control, emu, NULL, control_path, &err),
	      "hf_emu_control_open", &err);
	check(hf_emu_serve_open(&server, emu, path, NULL, &err),
	      "hf_emu_serve_open", &err);
	hf_emu_control_serve(control, server);

	struct pollfd wait = {.fd = hf_emu_serve_fd(server), .events = POLLIN};

	if (poll(&wait, 1, 0) > 0) {
		hf_emu_serve_process(server);
	}
	ask(control, control_path);
	hf_emu_control_close(control);
	hf_emu_serve_close(server);
}

int main(void)
{
	static const uint8_t other_host[16] = {1};
	char directory[] = "/tmp/holdfast-example.XXXXXX";
	char path[64];
	char control_path[64];
	struct hf_emu_namespace_options options;
	struct hf_error err;
	struct hf_emu *emu;
	char text[160];

	if (mkdtemp(directory) == NULL) {
		perror("mkdtemp");
		return 1;
	}
	snprintf(path, sizeof(path), "%s/nvme", directory);
	snprintf(control_path, sizeof(control_path), "%s/control", directory);

	check(hf_emu_create(&emu, NULL, &err), "hf_emu_create", &err);
	hf_emu_namespace_options_init(&options);
	options.reservations = true;
	check(hf_emu_namespace_add(emu, &options, NULL, &err),
	      "hf_emu_namespace_add", &err);
	/* Some other host tries to release what it has never registered. */
	printf("another host: %s\n",
	       hf_status_text(hf_emu_reservation_as(emu, 1, other_host, RELEASE,
						    0, 1, 0),
			      text, sizeof(text)));

	serve_with_thread(emu, path);
	serve_in_loop(emu, path, control_path);
	hf_emu_destroy(emu);
	unlink(path);
	unlink(control_path);
	rmdir(directory);
	return 0;
}
