/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/clear.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "driver/ctrl.h"

static int disabled_wait(const struct hf_ctrl *ctrl, struct hf_error *err)
{
	const struct timespec pause = {.tv_nsec = HF_NS_PER_MS};
	uint64_t deadline = hf_deadline_ms(ctrl->ready_timeout_ms);

	for (;;) {
		/* One look more after the last moment, however long the
		 * pause before it was. */
		bool overdue = hf_deadline_passed(deadline);
		int rc = hf_ctrl_disabled(ctrl, err);

		if (rc != HF_STEP_WAIT) {
			return rc;
		}
		if (overdue) {
			return hf_error_set(err, -ETIMEDOUT,
					    "%s: the controller did not stop "
					    "within %u ms, its own limit",
					    ctrl->dev->id,
					    ctrl->ready_timeout_ms);
		}
		nanosleep(&pause, NULL);
	}
}

static int disable(struct hf_device *dev, struct hf_error *err)
{
	struct hf_ctrl ctrl;

	int rc = hf_ctrl_probe(&ctrl, dev, err);
	if (rc == 0) {
		rc = hf_ctrl_disable(&ctrl, err);
	}
	return rc == 0 ? disabled_wait(&ctrl, err) : rc;
}

int hf_clear_stop(struct hf_device *dev, struct hf_error *err)
{
	struct hf_error why = {.message = ""};
	struct hf_error kept = {.message = ""};

	int rc = disable(dev, &why);
	if (rc == 0) {
		return 0;
	}
	if (dev->ops->reset != NULL && dev->ops->reset(dev, NULL) == 0) {
		hf_log_warning(&dev->options.log, "%s; the function was reset",
			       why.message);
		return 0;
	}
	/* Also of a device that seems to be gone: registers that read as ones
	 * are no proof that it does not write any more. */
	if (hf_dma_revoke(&dev->dma, &kept) == 0) {
		return hf_error_set(err, rc == -ENODEV ? rc : -EIO,
				    "%s; all memory was taken away from it",
				    why.message);
	}
	if (rc == -ENODEV) {
		return hf_error_set(err, rc, "%s", why.message);
	}
	return hf_error_set(err, -EBUSY,
			    "%s: %s; it cannot be reset, and memory cannot be "
			    "taken away from it (%s): what it may still write "
			    "to is kept; clear it again once it can be reset",
			    dev->id, why.message, kept.message);
}
