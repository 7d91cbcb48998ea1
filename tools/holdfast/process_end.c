/* SPDX-License-Identifier: BSD-3-Clause */
#include "process_end.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

bool process_wait_for_end(int pid, int timeout_ms)
{
	int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	int ended = 1;

	if (fd >= 0) {
		do {
			ended = poll(&wait, 1, timeout_ms);
		} while (ended < 0 && errno == EINTR);
		close(fd);
	}
	return ended == 1;
}
