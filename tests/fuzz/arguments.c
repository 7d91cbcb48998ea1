/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: no words on the command line crash the program, and it ends with exit
 * code 0, 1 or 2.
 * Method: the input is a command line, a word after each newline; it goes the
 * whole way of the program up to the controller, which is never there: opening
 * one fails, whatever its address; and each file is a few zeroes. Verbs that
 * would do something else (start a process, bind a function, serve) end when
 * their words are understood. Whom a verb connects to has said something
 * already: what follows an empty word.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <holdfast/device.h>

#include "../../tools/holdfast/args.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

/* main() of the program, under another name. */
int holdfast_main(int argc, char **argv);

/* The names that the linker gives to what it wraps. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
bool __real_args_parse(struct args *args, void *values);
bool __wrap_args_parse(struct args *args, void *values);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_hf_device_open(struct hf_device **device, const char *address,
			  const struct hf_device_options *options,
			  struct hf_error *err);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left);
/* NOLINTEND(bugprone-reserved-identifier) */

enum {
	WORDS_MAX = 80,
	PIECE_MAX = 1000,
	FILE_BYTES = 65536,
};

static char *words[WORDS_MAX + 1];
static char *said; /* by whom is connected to: may be NULL */
static FILE *nothing;

static void fail(const char *what)
{
	dprintf(STDERR_FILENO, "%s\n", what);
	abort();
}

bool __wrap_args_parse(struct args *args, void *values)
{
	static const char *const others[] = {"bind",  "emulate", "keep",
					     "serve", "unbind",  "upgrade"};
	bool goes_on = __real_args_parse(args, values);

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (goes_on && strcmp(args->verb->name, others[i]) == 0) {
			args->exit_code = CLI_OK;
			return false;
		}
	}
	return goes_on;
}

int __wrap_hf_device_open(struct hf_device **device, const char *address,
			  const struct hf_device_options *options,
			  struct hf_error *err)
{
	(void)device;
	(void)options;
	snprintf(err->message, sizeof(err->message), "%s is not there",
		 address);
	return -ENODEV;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	int ends[2];

	(void)address;
	(void)len;
	if (said == NULL ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
		errno = ENOENT;
		return -1;
	}
	for (char *at = said; *at != '\0';) {
		size_t piece = strcspn(at, "\n");

		piece = piece > PIECE_MAX ? PIECE_MAX : piece;
		piece += piece == 0;
		(void)!send(ends[1], at, piece, MSG_DONTWAIT | MSG_NOSIGNAL);
		at += piece;
	}
	shutdown(ends[1], SHUT_WR);
	if (dup3(ends[0], fd, O_CLOEXEC) != fd) {
		fail("no descriptor");
	}
	close(ends[0]);
	/* Closed by nobody: what it holds goes with the other end. */
	close(ends[1]);
	return 0;
}

/* A file of zeroes, or none: nothing is read that is not the fuzzer's. */
int __wrap_open64(const char *path, int flags, ...)
{
	(void)flags;
	if (strstr(path, "none") != NULL) {
		errno = ENOENT;
		return -1;
	}
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, FILE_BYTES) != 0) {
		fail("no memfd");
	}
	return fd;
}

int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left)
{
	(void)wanted;
	(void)left;
	return 0;
}

/* What is printed goes nowhere. A sanitizer writes to the descriptor itself. */
static void prepare(void)
{
	nothing = fopen("/dev/null", "r+e");
	if (nothing == NULL || dup2(fileno(nothing), STDIN_FILENO) < 0 ||
	    dup2(fileno(nothing), STDOUT_FILENO) < 0) {
		fail("no /dev/null");
	}
	stderr = nothing;
}

static int split(char *line)
{
	int count = 0;

	said = NULL;
	words[count++] = (char *)"holdfast";
	while (line != NULL && count < WORDS_MAX) {
		char *word = strsep(&line, "\n");

		if (*word == '\0' && line != NULL) {
			said = line;
			break;
		}
		words[count++] = word;
	}
	words[count] = NULL;
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	char *line = strndup((const char *)data, len_bytes);

	if (line == NULL) {
		abort();
	}
	if (nothing == NULL) {
		prepare();
	}
	int count = split(line);
	int code = holdfast_main(count, words);
	if (code < CLI_OK || code > CLI_USAGE) {
		fail("an exit code that none may see");
	}
	free(line);
	return 0;
}
