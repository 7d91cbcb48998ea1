/* SPDX-License-Identifier: BSD-3-Clause */
/* Files that another process has, too. Knows nothing of what is in them. */
#pragma once

#include <fcntl.h>
#include <stdbool.h>

/*
 * A mapping of a file that somebody makes shorter is a SIGBUS to come. Asked
 * before the file's size is, this says that what is found then stays so. All
 * memfds that holdfast makes are sealed when they are made.
 */
static inline bool hf_keeps_its_size(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}
