/* SPDX-License-Identifier: BSD-3-Clause */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interrupted.h"

int file_read_full(int fd, void *bytes, uint64_t len_bytes, uint64_t *got)
{
	uint8_t *at = bytes;

	*got = 0;
	while (*got < len_bytes) {
		ssize_t part = read(fd, at + *got, len_bytes - *got);

		if (part == 0) {
			break;
		}
		if (part < 0) {
			if (errno == EINTR && !interrupted()) {
				continue;
			}
			return errno;
		}
		*got += (uint64_t)part;
	}
	return 0;
}

int file_write_all(int fd, const void *bytes, uint64_t len_bytes)
{
	const uint8_t *at = bytes;

	while (len_bytes > 0) {
		ssize_t part = write(fd, at, len_bytes);

		if (part < 0) {
			if (errno == EINTR && !interrupted()) {
				continue;
			}
			return errno;
		}
		at += part;
		len_bytes -= (uint64_t)part;
	}
	return 0;
}

/* Grows as the input comes: a pipe does not tell its length. */
static int load_from(const struct args *args, const char *name, int fd,
		     uint64_t max_bytes, struct file_data *data)
{
	uint64_t room = 0;

	for (;;) {
		uint64_t got;

		if (data->len_bytes == room) {
			room = room ? room * 2 : 65536;
			uint8_t *grown = realloc(data->bytes, room);
			if (!grown) {
				return cli_fail(args, "out of memory");
			}
			data->bytes = grown;
		}

		int error = file_read_full(fd, data->bytes + data->len_bytes,
					   room - data->len_bytes, &got);
		if (error) {
			return cli_fail(args, "cannot read %s: %s", name,
					strerror(error));
		}
		if (got == 0) {
			return CLI_OK;
		}
		data->len_bytes += got;
		if (data->len_bytes > max_bytes) {
			return cli_fail(args,
					"%s holds more than %" PRIu64 " bytes",
					name, max_bytes);
		}
	}
}

int file_load(const struct args *args, const char *name, uint64_t max_bytes,
	      struct file_data *data)
{
	int fd = STDIN_FILENO;

	*data = (struct file_data){0};
	if (strcmp(name, "-") != 0) {
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			return cli_fail(args, "cannot open %s: %s", name,
					strerror(errno));
		}
	}

	int code = load_from(args, name, fd, max_bytes, data);
	if (fd != STDIN_FILENO) {
		close(fd);
	}
	if (code != CLI_OK) {
		free(data->bytes);
		*data = (struct file_data){0};
	}
	return code;
}

int file_create(const struct args *args, const char *name)
{
	if (strcmp(name, "-") == 0) {
		return STDOUT_FILENO;
	}

	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0) {
		cli_fail(args, "cannot create %s: %s", name, strerror(errno));
	}
	return fd;
}

int file_close(const struct args *args, const char *name, int fd)
{
	if (fd <= STDERR_FILENO) {
		return CLI_OK;
	}
	if (close(fd) != 0) {
		return cli_fail(args, "cannot write %s: %s", name,
				strerror(errno));
	}
	return CLI_OK;
}
