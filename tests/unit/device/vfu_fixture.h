/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of the vfio-user client share: a server, a device on it, and a
 * count of descriptors. No test. */
#pragma once

#include "device/device.h"
#include "scripted_server.h"

struct vfu_fixture {
	struct scripted_server server;
	struct hf_device_options options;
	struct hf_device *dev;
	struct hf_error err;
	uint32_t fds_before;
};

/* cmocka's: a server that is not started yet. */
int vfu_setup(void **state);
/* Ends what runs; fails the test if a descriptor is left over. */
int vfu_teardown(void **state);

/* Starts the server and opens the device by the socket's path. */
int vfu_open(struct vfu_fixture *f);
/* The same; it must succeed. */
void vfu_opened(struct vfu_fixture *f);
void vfu_close(struct vfu_fixture *f);
uint32_t vfu_count(struct vfu_fixture *f, enum vfu_command command);
uint32_t vfu_messages(struct vfu_fixture *f);
/* The server's own copy of an eventfd; -1: it has none. */
int vfu_irq_fd(struct vfu_fixture *f, uint32_t vector);
uint32_t vfu_map_count(struct vfu_fixture *f);
/* Does the error's sentence hold @part? Fails the test if not. */
void vfu_says(const struct vfu_fixture *f, const char *part);
/* A member of what the device says of itself. */
int64_t vfu_inspect_number(struct vfu_fixture *f, const char *key);
