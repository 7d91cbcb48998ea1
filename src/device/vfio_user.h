/* SPDX-License-Identifier: BSD-3-Clause */
/* A controller in another process, reached over a vfio-user socket. Knows no
 * NVMe but the class code. */
#pragma once

#include "device/device.h"

/**
 * hf_vfio_user_open() - reach the controller of a vfio-user server
 * @out: receives the device
 * @path: the server's socket, or the directory that holds one named "cntrl"
 * @options: how to open it
 * @err: one sentence about what stands in the way
 *
 * Context: control path; blocks for at most the options' timeout per message.
 * Return: 0; -ENOENT, -ENOTSOCK, -EACCES, -ECONNREFUSED when there is no such
 * server; -ETIMEDOUT, -ECONNRESET, -EPROTO when it does not behave as one;
 * -ENODEV when it offers no NVMe controller; or another negative errno.
 */
HF_MUST_CHECK int hf_vfio_user_open(struct hf_device **out, const char *path,
				    const struct hf_device_options *options,
				    struct hf_error *err);

/* The same on a socket that is connected already. It is closed in any case. */
HF_MUST_CHECK int hf_vfio_user_open_fd(struct hf_device **out, int fd,
				       const char *path,
				       const struct hf_device_options *options,
				       struct hf_error *err);

/**
 * hf_vfio_user_adopt() - go on with a connection that a predecessor left
 * @out: receives the device
 * @set: what carry() put together; what is used of it is taken out of it
 * @options: how to open it
 * @ahead: registers that will be read together once it is adopted; they are
 *         asked for early, so that the server is not waited for then
 * @ahead_count: how many
 * @err: one sentence about what is missing or wrong
 *
 * The predecessor must be dead: two processes would take each other's replies.
 * A reply that it did not live to see is dropped, and what it may not have
 * finished is asked for again. Requests to the controller itself (its
 * registers) are the caller's to repeat.
 *
 * Context: control path; blocks for at most the options' timeout per message.
 * Return: 0 or a negative errno; @set still holds its descriptors then.
 */
HF_MUST_CHECK int hf_vfio_user_adopt(struct hf_device **out,
				     struct hf_fdset *set,
				     const struct hf_device_options *options,
				     const struct hf_reg_read *ahead,
				     uint32_t ahead_count,
				     struct hf_error *err);
