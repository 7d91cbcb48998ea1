/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/listen.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

static int make_address(struct sockaddr_un *address, const char *path,
			struct hf_error *err)
{
	struct stat st;
	bool directory = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
	int len = snprintf(address->sun_path, sizeof(address->sun_path), "%s%s",
			   path, directory ? "/cntrl" : "");

	address->sun_family = AF_UNIX;
	if (len <= 0 || (size_t)len >= sizeof(address->sun_path)) {
		return hf_error_set(err, -ENAMETOOLONG,
				    "socket '%s': its name may have 1 to %zu "
				    "characters",
				    path, sizeof(address->sun_path) - 1);
	}
	return 0;
}

/* A socket of a process that has ended is in the way; anything else stays. */
static int remove_stale(const struct sockaddr_un *address, struct hf_error *err)
{
	const char *path = address->sun_path;
	struct stat st;

	if (lstat(path, &st) != 0) {
		return 0;
	}
	if (!S_ISSOCK(st.st_mode)) {
		return hf_error_set(err, -EEXIST,
				    "socket '%s': something that is not a "
				    "socket has this name",
				    path);
	}

	HF_AUTO_CLOSE int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return hf_error_set(err, -errno, "socket '%s': %s", path,
				    strerror(errno));
	}
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) ==
		    0 ||
	    errno != ECONNREFUSED) {
		return hf_error_set(err, -EADDRINUSE,
				    "socket '%s': another process is serving "
				    "it",
				    path);
	}
	if (unlink(path) != 0) {
		return hf_error_set(err, -errno,
				    "socket '%s': cannot remove what a process "
				    "that has ended left: %s",
				    path, strerror(errno));
	}
	return 0;
}

/* A name beside the one that is wanted, where there is room for it. */
static void make_temporary(struct sockaddr_un *address)
{
	char *slash = strrchr(address->sun_path, '/');
	size_t directory =
		slash == NULL ? 0 : (size_t)(slash - address->sun_path) + 1;
	char name[32];
	int len = snprintf(name, sizeof(name), ".%d.new", (int)getpid());

	if (len > 0 && directory + (size_t)len < sizeof(address->sun_path)) {
		memcpy(address->sun_path + directory, name, (size_t)len + 1);
		unlink(address->sun_path);
	}
}

/* Binds, and gives the name last: whoever sees it can connect. */
static int bind_and_listen(int fd, const struct sockaddr_un *address)
{
	struct sockaddr_un temporary = *address;

	make_temporary(&temporary);
	if (bind(fd, (const struct sockaddr *)&temporary, sizeof(temporary)) !=
	    0) {
		return -errno;
	}
	if (chmod(temporary.sun_path, 0600) != 0 || listen(fd, 16) != 0 ||
	    rename(temporary.sun_path, address->sun_path) != 0) {
		int result = -errno;

		unlink(temporary.sun_path);
		return result;
	}
	return 0;
}

int hf_listen(const char *path, char **bound, struct hf_error *err)
{
	struct sockaddr_un address = {0};
	int result = make_address(&address, path, err);

	if (result == 0) {
		result = remove_stale(&address, err);
	}
	if (result != 0) {
		return result;
	}

	HF_AUTO_CLOSE int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	result = fd < 0 ? -errno : bind_and_listen(fd, &address);
	if (result != 0) {
		return hf_error_set(err, result, "socket '%s': %s",
				    address.sun_path, strerror(-result));
	}
	*bound = strdup(address.sun_path);
	if (*bound == NULL) {
		unlink(address.sun_path);
		return hf_error_set(err, -ENOMEM, "socket '%s': no memory",
				    address.sun_path);
	}
	return hf_take_fd(&fd);
}

void hf_listen_close(int fd, char *bound)
{
	if (fd >= 0) {
		close(fd);
	}
	if (bound != NULL) {
		unlink(bound);
	}
	free(bound);
}
