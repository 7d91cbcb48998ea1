/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/admin.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include <nvme/types.h>

#include "base/clock.h"
#include "base/error.h"
#include "queue/retry.h"

/* All tries of one command, where there is no deadline. */
#define RETRY_LIMIT_MS 60000u
/* A job whose command a reset took away begins it anew. */
#define RESETS_MAX 8u

int hf_admin_error(struct hf_driver *drv, uint16_t qid,
		   const struct nvme_sqe *sqe, int result, struct hf_error *err)
{
	char text[160];

	if (result == 0) {
		return 0;
	}
	(void)hf_error_set(err, result,
			   "%s: command %02xh on queue %u failed: %s",
			   drv->dev->id, sqe->opcode, qid,
			   hf_result_text(result, text, sizeof(text)));
	if (err != NULL) {
		err->qid = qid;
		err->opcode = sqe->opcode;
		err->nsid = le32toh(sqe->nsid);
	}
	return result;
}

bool hf_admin_is_closed(const struct hf_driver *drv)
{
	return drv->is_quiet && !drv->bringing_up;
}

static int closed(const struct hf_driver *drv, const struct nvme_sqe *sqe,
		  struct hf_error *err)
{
	return hf_error_set(err, -EPERM,
			    "%s: admin command %02xh is not sent: the "
			    "controller is of the class that takes none once "
			    "it is up (driver option device_class)",
			    drv->dev->id, sqe->opcode);
}

int hf_admin_issue(struct hf_driver *drv, const struct nvme_sqe *sqe,
		   const struct hf_data *data, bool to_device, uint8_t kind,
		   uint32_t timeout_ms, hf_request_done *done, void *ctx)
{
	const struct hf_request request = {
		.sqe = *sqe,
		.data = *data,
		.kind = kind,
		.op = HF_OP_PASSTHROUGH,
		.flags = to_device ? HF_SLOT_TO_DEVICE : 0,
		.record = HF_LEDGER_NONE,
		.timeout_ticks = (timeout_ms + HF_TICK_MS - 1) / HF_TICK_MS,
		.done = done,
		.ctx = ctx,
	};

	if (hf_admin_is_closed(drv)) {
		return -EPERM;
	}
	hf_qpair_lock(drv->admin);
	int rc = drv->admin->state == HF_QPAIR_LIVE
			 ? hf_qpair_put(drv->admin, &request)
			 : -EAGAIN;
	hf_qpair_commit(drv->admin);
	hf_qpair_unlock(drv->admin);
	return rc < 0 ? rc : 0;
}

static void step_done(void *ctx, const struct hf_completion *how)
{
	struct hf_job *job = ctx;

	job->completion = *how;
	job->command = HF_JOB_COMMAND_DONE;
}

/* The driver's own commands may be sent twice: they ask, or set what is the
 * same then. True when the job is to wait for another try. */
static bool try_again(struct hf_driver *drv, struct hf_job *job)
{
	uint32_t limit_ms = drv->options.admin_timeout_ms != 0
				    ? drv->options.admin_timeout_ms
				    : RETRY_LIMIT_MS;
	int result = job->completion.result;

	if (result <= 0 || job->tries >= drv->retry.max) {
		return false;
	}
	enum hf_retry_kind kind =
		hf_retry_kind_of((uint16_t)result, drv->retry.acre);
	if (kind == HF_RETRY_NONE) {
		return false;
	}
	uint64_t delay_ms = hf_retry_delay_ms(&drv->retry, kind,
					      (uint16_t)result, job->tries);
	if (delay_ms > limit_ms) {
		return false;
	}
	job->tries++;
	job->not_before_ns = hf_deadline_ms(delay_ms);
	hf_qpair_lock(drv->admin);
	drv->admin->trouble.retried[kind]++;
	hf_qpair_unlock(drv->admin);
	return true;
}

int hf_admin_step(struct hf_driver *drv, struct hf_job *job,
		  const struct nvme_sqe *sqe, void *data, uint32_t len_bytes,
		  bool to_device, struct hf_error *err)
{
	int rc;

	if (job->command == HF_JOB_COMMAND_DONE && try_again(drv, job)) {
		job->command = HF_JOB_COMMAND_NONE;
	}
	switch (job->command) {
	case HF_JOB_COMMAND_NONE:
		if (!hf_deadline_passed(job->not_before_ns)) {
			job->wake_ns = job->not_before_ns;
			return HF_STEP_WAIT;
		}
		job->iov.iov_base = data;
		job->iov.iov_len = len_bytes;
		const struct hf_data describe = {
			.iov = &job->iov,
			.iov_count = 1,
			.len_bytes = len_bytes,
		};
		rc = hf_admin_issue(drv, sqe, &describe, to_device,
				    HF_SLOT_ADMIN, 0, step_done, job);
		if (rc == -EAGAIN) {
			return hf_job_wait_register(job);
		}
		if (rc != 0) {
			return rc == -EPERM ? closed(drv, sqe, err) : rc;
		}
		job->command = HF_JOB_COMMAND_ISSUED;
		return HF_STEP_WAIT;
	case HF_JOB_COMMAND_ISSUED:
		return HF_STEP_WAIT;
	case HF_JOB_COMMAND_DONE:
		break;
	}
	job->command = HF_JOB_COMMAND_NONE;
	job->tries = 0;
	return hf_admin_error(drv, 0, sqe, job->completion.result, err);
}

int hf_admin_step_through_resets(struct hf_driver *drv, struct hf_job *job,
				 const struct nvme_sqe *sqe, void *data,
				 uint32_t len_bytes, struct hf_error *err)
{
	int rc = hf_admin_step(drv, job, sqe, data, len_bytes, false, err);

	if (rc != -ECONNRESET || job->resets >= RESETS_MAX) {
		return rc;
	}
	/* Jobs in line go on when the controller is up again. */
	job->resets++;
	return hf_job_wait_register(job);
}

/* A command whose caller sleeps until it is done. */
struct waiting_command {
	struct hf_command *command;
	struct iovec iov;
	int result;
	bool done; /* atomic */
};

static void waiting_done(void *ctx, const struct hf_completion *how)
{
	struct waiting_command *waiting = ctx;

	waiting->command->result = how->dw0;
	waiting->command->result_hi = how->dw1;
	waiting->result = how->result;
	__atomic_store_n(&waiting->done, true, __ATOMIC_RELEASE);
}

static bool is_done(const void *arg)
{
	const struct waiting_command *waiting = arg;

	return __atomic_load_n(&waiting->done, __ATOMIC_ACQUIRE);
}

static void command_sqe(struct nvme_sqe *sqe, const struct hf_command *command)
{
	*sqe = (struct nvme_sqe){
		.opcode = command->opcode,
		.nsid = htole32(command->nsid),
		.cdw2 = htole32(command->cdw2),
		.cdw3 = htole32(command->cdw3),
		.cdw10 = htole32(command->cdw10),
		.cdw11 = htole32(command->cdw11),
		.cdw12 = htole32(command->cdw12),
		.cdw13 = htole32(command->cdw13),
		.cdw14 = htole32(command->cdw14),
		.cdw15 = htole32(command->cdw15),
	};
}

/* Asked by somebody who waits a while, for control work to go on. */
static bool never(const void *arg)
{
	(void)arg;
	return false;
}

/* Neither starting nor being reset: it works, or never will. */
static bool has_settled(const void *arg)
{
	enum hf_driver_state state = hf_driver_state(arg);

	return state != HF_DRIVER_STARTING && state != HF_DRIVER_RECOVERING;
}

/* What a command may take in all, before it is sent as well as after. */
static uint32_t patience_ms(const struct hf_driver *drv,
			    const struct hf_command *command)
{
	if (drv->options.io_timeout_ms == 0) {
		return 0; /* deadlines are off */
	}
	return command->timeout_ms != 0 ? command->timeout_ms
					: drv->options.admin_timeout_ms;
}

static int not_sent(struct hf_driver *drv, const struct hf_command *command,
		    struct hf_error *err)
{
	return hf_error_set(err, -ETIMEDOUT,
			    "%s: admin command %02xh was not sent: the "
			    "controller was not ready to take it within %u ms, "
			    "as while it is reset",
			    drv->dev->id, command->opcode,
			    patience_ms(drv, command));
}

static int wait_until(struct hf_driver *drv, const struct hf_command *command,
		      uint64_t deadline_ns, struct hf_error *err)
{
	if (hf_control_wait(drv, has_settled, drv, deadline_ns) != 0) {
		return not_sent(drv, command, err);
	}
	switch (hf_driver_state(drv)) {
	case HF_DRIVER_FAILED:
		return hf_error_set(err, -ENODEV, "%s: %s", drv->dev->id,
				    drv->failure.message);
	case HF_DRIVER_CLOSING:
		return hf_error_set(err, -ECANCELED, "%s: the driver is closed",
				    drv->dev->id);
	case HF_DRIVER_STARTING:
	case HF_DRIVER_READY:
	case HF_DRIVER_RECOVERING:
		break;
	}
	return 0;
}

static uint64_t deadline_of(const struct hf_driver *drv,
			    const struct hf_command *command)
{
	uint32_t timeout_ms = patience_ms(drv, command);

	return timeout_ms != 0 ? hf_deadline_ms(timeout_ms) : UINT64_MAX;
}

int hf_admin_up_wait(struct hf_driver *drv, const struct hf_command *command,
		     struct hf_error *err)
{
	return wait_until(drv, command, deadline_of(drv, command), err);
}

/* Sends it once the controller takes it, and sleeps until it has ended. */
static int command_once(struct hf_driver *drv, struct hf_command *command,
			struct hf_error *err)
{
	uint64_t deadline_ns = deadline_of(drv, command);
	struct waiting_command waiting = {
		.command = command,
		.iov = {command->data, command->data_len_bytes},
	};
	const struct hf_data data = {
		.iov = &waiting.iov,
		.iov_count = 1,
		.len_bytes = command->data_len_bytes,
	};
	struct nvme_sqe sqe;
	int rc;

	command_sqe(&sqe, command);
	for (;;) {
		rc = wait_until(drv, command, deadline_ns, err);
		if (rc != 0) {
			return rc;
		}
		rc = hf_admin_issue(drv, &sqe, &data, command->to_device != 0,
				    HF_SLOT_ADMIN, command->timeout_ms,
				    waiting_done, &waiting);
		if (rc != -EAGAIN) {
			break;
		}
		if (hf_deadline_passed(deadline_ns)) {
			return not_sent(drv, command, err);
		}
		(void)!hf_control_wait(drv, never, NULL, hf_deadline_ms(10));
	}
	if (rc == -EPERM) {
		return closed(drv, &sqe, err);
	}
	if (rc == 0) {
		rc = hf_control_wait(drv, is_done, &waiting, UINT64_MAX);
	}
	if (rc == 0) {
		rc = waiting.result;
	}
	return hf_admin_error(drv, 0, &sqe, rc, err);
}

/* Asks, and changes nothing: may be sent twice. A log page whose reading can
 * be made to do something (Log Specific Field) is not among them. */
static bool is_question(const struct hf_command *command)
{
	switch (command->opcode) {
	case nvme_admin_identify:
	case nvme_admin_get_features:
		return true;
	case nvme_admin_get_log_page:
		return (command->cdw10 >> 8 & 0x7f) == 0;
	default:
		return false;
	}
}

int hf_admin_command_wait(struct hf_driver *drv, struct hf_command *command,
			  struct hf_error *err)
{
	int rc = -ECONNRESET;

	for (uint32_t i = 0; rc == -ECONNRESET && i < RESETS_MAX; i++) {
		rc = command_once(drv, command, err);
		if (!is_question(command)) {
			break;
		}
	}
	return rc;
}
