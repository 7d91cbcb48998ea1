/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES  16384u
#define ANSWER_BYTES (16u << 20)

/* A process that is being replaced is asked again. */
#define TRIES 100

/* Whoever does not read its answer, or take its client in, is given up. */
#define SEND_S 5

/* An answer may have to wait for a drain and a last verification. */
#define PATIENCE_MS 180000

int control_path(const struct args *args, const char *dir, const char *name,
		 char path[CONTROL_PATH_BYTES])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char base[CONTROL_PATH_BYTES];

	if (!dir && geteuid() != 0 && runtime) {
		snprintf(base, sizeof(base), "%s/holdfast", runtime);
		dir = base;
	}
	dir = dir ? dir : "/run/holdfast";
	if (!*name || strpbrk(name, "/# ") || name[0] == '.') {
		return cli_usage(args,
				 "'%s' is no name; letters, digits and '-' are "
				 "accepted",
				 name);
	}
	int len = snprintf(path, CONTROL_PATH_BYTES, "%s/%s.sock", dir, name);
	if (len >= CONTROL_PATH_BYTES - 8) {
		return cli_usage(args, "%s/%s.sock is too long for a socket",
				 dir, name);
	}
	return CLI_OK;
}

int control_make_dir(const struct args *args, const char *path)
{
	char dir[CONTROL_PATH_BYTES];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir) {
		return CLI_OK;
	}
	*slash = '\0';
	if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
		return cli_fail(args, "%s cannot be made: %s", dir,
				strerror(errno));
	}
	return CLI_OK;
}

void control_limit(int fd)
{
	const struct timeval limit = {.tv_sec = SEND_S};

	if (fd >= 0) {
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit,
				 sizeof(limit));
	}
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	control_limit(fd);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd >= 0 &&
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

bool control_is_live(const char *path)
{
	int fd = connect_to(path);

	if (fd >= 0) {
		close(fd);
	}
	/* One that takes nobody in is there all the same. */
	return fd >= 0 || errno == EAGAIN;
}

int control_owner(const char *path)
{
	int fd = connect_to(path);
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	if (fd < 0) {
		return 0;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
		peer.pid = 0;
	}
	close(fd);
	return peer.pid;
}

int control_listen(const struct args *args, const char *path, bool replace)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char fresh[CONTROL_PATH_BYTES + 16];
	mode_t before;

	if (!replace && control_is_live(path)) {
		cli_fail(args,
			 "%s: a process serves there already; 'holdfast "
			 "upgrade' replaces it",
			 path);
		return -1;
	}
	/* Made beside it, and moved over it: there is always one. */
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", fresh);
	unlink(fresh);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);
	before = umask(0177);
	bool made =
		fd >= 0 &&
		bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
		listen(fd, 16) == 0 && rename(fresh, path) == 0;
	umask(before);
	if (!made) {
		cli_fail(args, "%s cannot be made: %s", path, strerror(errno));
		if (fd >= 0) {
			close(fd);
		}
		return -1;
	}
	return fd;
}

void control_answer(int client, bool good, const char *text)
{
	char mark = good ? '+' : '-';
	size_t len = strlen(text);
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	time_t last = now.tv_sec + SEND_S;
	control_limit(client);
	if (send(client, &mark, 1, MSG_NOSIGNAL) != 1) {
		return;
	}
	for (size_t at = 0; at < len; at += PIECE_BYTES) {
		size_t part = len - at < PIECE_BYTES ? len - at : PIECE_BYTES;

		/* Nor one that reads a piece now and then. */
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > last ||
		    send(client, text + at, part, MSG_NOSIGNAL) < 0) {
			return;
		}
	}
}

/* One message; its length, 0 at the end, -1 for a failure. */
static ssize_t hear(int fd, char *buf, size_t room)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	if (poll(&wait, 1, PATIENCE_MS) <= 0) {
		errno = ETIMEDOUT;
		return -1;
	}
	return recv(fd, buf, room, 0);
}

static int hear_all(int fd, char **answer)
{
	char *text = malloc(PIECE_BYTES + 1);
	size_t used = 0;
	ssize_t len;

	while (text && (len = hear(fd, text + used, PIECE_BYTES)) > 0) {
		used += (size_t)len;
		char *larger = used < ANSWER_BYTES
				       ? realloc(text, used + PIECE_BYTES + 1)
				       : NULL;
		if (!larger) {
			free(text);
			return -1;
		}
		text = larger;
	}
	if (!text) {
		return -1;
	}
	text[used] = '\0';
	*answer = text;
	return 0;
}

/* 1 when there was an answer, 0 when nobody was there to give one. */
static int ask_once(const char *path, const char *question, char *mark,
		    char **answer)
{
	int fd = connect_to(path);

	if (fd < 0) {
		return 0;
	}
	errno = ECONNRESET;
	bool heard = send(fd, question, strlen(question), MSG_NOSIGNAL) > 0 &&
		     hear(fd, mark, 1) == 1 && hear_all(fd, answer) == 0;
	int error = errno;
	close(fd);
	errno = error;
	return heard;
}

int control_ask(const struct args *args, const char *path, const char *question,
		char **answer)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	char mark = '-';
	int heard = 0;

	for (int i = 0; i < TRIES && !heard; i++) {
		heard = ask_once(path, question, &mark, answer);
		if (!heard && (errno == ENOENT || errno == EACCES ||
			       errno == ETIMEDOUT)) {
			break;
		}
		if (!heard) {
			nanosleep(&pause, NULL);
		}
	}
	if (!heard) {
		return cli_fail(args, "%s: nobody answers: %s", path,
				strerror(errno));
	}
	if (mark != '+') {
		cli_fail(args, "%s", *answer);
		free(*answer);
		*answer = NULL;
		return CLI_FAILED;
	}
	return CLI_OK;
}
