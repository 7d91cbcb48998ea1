/* SPDX-License-Identifier: BSD-3-Clause */
/* A listening UNIX socket with a name in the file system. Knows no protocol. */
#pragma once

#include "holdfast/error.h"

/**
 * hf_listen() - make a socket that its user alone can connect to
 * @path: its name, or a directory in which it will be "cntrl"
 * @bound: receives the name that was made, for hf_listen_close()
 * @err: what went wrong; may be NULL
 *
 * Return: a descriptor that does not block, or -errno.
 */
int hf_listen(const char *path, char **bound, struct hf_error *err);

/* Both may be empty: -1, NULL. */
void hf_listen_close(int fd, char *bound);
