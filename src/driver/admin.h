/* SPDX-License-Identifier: BSD-3-Clause */
/* Admin commands: of jobs, and of callers that wait. */
#pragma once

#include "driver/driver.h"

/**
 * hf_admin_step() - one admin command within a job's step
 * @drv: the driver, control lock held
 * @job: the job
 * @sqe: the command; looked at when the step runs first
 * @data: buffer, lives as long as the job; NULL for none
 * @len_bytes: its length
 * @to_device: its direction
 * @err: what it failed with
 *
 * Return: HF_STEP_WAIT until it is done; then 0, -errno or the status word.
 * job->completion has the rest.
 */
int hf_admin_step(struct hf_driver *drv, struct hf_job *job,
		  const struct nvme_sqe *sqe, void *data, uint32_t len_bytes,
		  bool to_device, struct hf_error *err);

/* The same for a command that reads: when a reset takes it away, it is sent
 * again after the reset, a few times. */
int hf_admin_step_through_resets(struct hf_driver *drv, struct hf_job *job,
				 const struct nvme_sqe *sqe, void *data,
				 uint32_t len_bytes, struct hf_error *err);

/* Fills @err with what a command ended with; returns @result. */
int hf_admin_error(struct hf_driver *drv, uint16_t qid,
		   const struct nvme_sqe *sqe, int result,
		   struct hf_error *err);

/* Are no more admin commands sent, since the controller is up and takes none?
 * Then each is refused with -EPERM. Control lock held. */
bool hf_admin_is_closed(const struct hf_driver *drv);

/* Issues an admin command for somebody that waits for @done. Takes the
 * queue's lock. -EAGAIN when there is no room. */
int hf_admin_issue(struct hf_driver *drv, const struct nvme_sqe *sqe,
		   const struct hf_data *data, bool to_device, uint8_t kind,
		   uint32_t timeout_ms, hf_request_done *done, void *ctx);

/* Waits until the driver takes admin commands, as long as the command's
 * deadline allows. Return: 0, -ETIMEDOUT, or why it never will. */
int hf_admin_up_wait(struct hf_driver *drv, const struct hf_command *command,
		     struct hf_error *err);

/**
 * hf_admin_command_wait() - any admin command, and wait for its end
 * @drv: the driver
 * @command: the command; receives the result
 * @err: what went wrong
 *
 * Sent when no reset is under way; what only asks is asked again after a reset
 * that took it away.
 *
 * Return: 0, -errno or the status word.
 */
int hf_admin_command_wait(struct hf_driver *drv, struct hf_command *command,
			  struct hf_error *err);
