/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole files in memory, and files for output. Knows no controller. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "args.h"

struct file_data {
	uint8_t *bytes; /* for free() */
	uint64_t len_bytes;
};

/**
 * file_load() - read a file, a pipe or standard input to its end
 * @args: for messages
 * @name: "-" is standard input
 * @max_bytes: a longer one is refused
 * @data: filled
 *
 * Return: an exit code; a failure has been explained, and @data is empty.
 */
int file_load(const struct args *args, const char *name, uint64_t max_bytes,
	      struct file_data *data);

/* Opens for writing, made or emptied; "-" is standard output. Returns a
 * descriptor, or -1 with the reason told. */
int file_create(const struct args *args, const char *name);

/* All of it, or the errno. Short writes are continued. */
int file_write_all(int fd, const void *bytes, uint64_t len_bytes);

/* As many as there are up to @len_bytes; @got receives how many. 0 or errno. */
int file_read_full(int fd, void *bytes, uint64_t len_bytes, uint64_t *got);

/* Closes it, unless it is a standard one; says so when that fails. */
int file_close(const struct args *args, const char *name, int fd);
