/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that somebody else opened: a group's descriptor was handed over.
 * With no arguments, what a descriptor of something else is told. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <holdfast/holdfast.h>

#include "example.h"

int main(int argc, char **argv)
{
	const char *path = argc > 2 ? argv[1] : "/dev/null";
	struct hf_device *device;
	struct hf_vfio_fds fds;
	struct hf_error err;

	/* A privileged process would open it, and pass it on a socket. */
	hf_vfio_fds_init(&fds);
	fds.group = open(path, O_RDWR | O_CLOEXEC);
	fds.address = argc > 2 ? argv[2] : "0000:01:00.0";
	if (fds.group < 0) {
		perror(path);
		return 1;
	}

	int result = hf_device_open_vfio_fds(&device, &fds, NULL, &err);

	if (result == 0) {
		printf("reached %s\n", hf_device_id(device));
		hf_device_close(device);
	} else {
		printf("refused: %s\n", err.message);
	}
	close(fds.group);
	return (result == 0) == (argc > 2) ? 0 : 1;
}
