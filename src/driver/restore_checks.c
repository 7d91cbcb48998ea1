/* SPDX-License-Identifier: BSD-3-Clause */
/* What has to be so before a driver goes on where another one stopped. Nothing
 * is changed here but in this process. */
#include "driver/restore_checks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"
#include "state/saved.h"

#define CC_ENABLE    1u
#define CSTS_RDY     1u
#define CSTS_CFS     2u
#define DBL_ASQ_MASK 0xfffull

static int check_ready(const struct hf_driver *drv,
		       const struct hf_ctrl_live *live, struct hf_error *err)
{
	if ((live->cc & CC_ENABLE) == 0 || (live->csts & CSTS_RDY) == 0) {
		return hf_error_set(err, -ENODEV,
				    "%s: the controller is not ready (CC %#x, "
				    "CSTS %#x): it was reset since its driver "
				    "was there; clear it for a fresh start",
				    drv->dev->id, live->cc, live->csts);
	}
	return 0;
}

int hf_restore_check_registers(struct hf_driver *drv,
			       const struct hf_ctrl_live *live,
			       struct hf_error *err)
{
	const struct hf_ledger_header *header = drv->ledger.header;

	int rc = hf_restore_is_resetting(drv) ? 0 : check_ready(drv, live, err);
	if (rc != 0) {
		return rc;
	}
	/* Enabled, and failed since: its driver would have reset it, too. */
	drv->found_failed = (live->csts & CSTS_CFS) != 0;
	if (header->capabilities != drv->ctrl.cap ||
	    header->version_register != drv->ctrl.vs) {
		return hf_error_set(err, -ENODEV,
				    "%s: another controller: CAP is %#llx and "
				    "was %#llx",
				    drv->dev->id,
				    (unsigned long long)drv->ctrl.cap,
				    (unsigned long long)header->capabilities);
	}
	return 0;
}

int hf_restore_check_admin(const struct hf_driver *drv,
			   const struct hf_ctrl_live *live,
			   struct hf_error *err)
{
	const struct hf_qpair *admin = drv->admin;
	uint64_t acq =
		admin->block.iova + (uint64_t)((const uint8_t *)admin->cq.ring -
					       admin->block.vaddr);
	uint32_t size = admin->sq.entries - 1;

	if ((live->asq & ~DBL_ASQ_MASK) != admin->block.iova ||
	    (live->acq & ~DBL_ASQ_MASK) != acq ||
	    live->aqa != (size << 16 | size)) {
		return hf_error_set(err, -ENODEV,
				    "%s: the controller's admin queue is not "
				    "the one in the ledger (ASQ %#llx, ACQ "
				    "%#llx, AQA %#x): somebody else has driven "
				    "it since",
				    drv->dev->id, (unsigned long long)live->asq,
				    (unsigned long long)live->acq, live->aqa);
	}
	return 0;
}

/* There is one way to restore: a crash has no message, so it is made. */
static int check_ledger(struct hf_driver *drv, struct hf_error *err)
{
	uint8_t *bytes = NULL;
	size_t len_bytes;

	int rc = hf_saved_encode(&drv->ledger, &bytes, &len_bytes, err);
	if (rc == 0) {
		rc = hf_saved_verify(bytes, len_bytes, &drv->ledger, err);
	}
	free(bytes);
	return rc;
}

/* What is older than the ledger is as good as none. */
static int check_message(struct hf_driver *drv, const uint8_t *bytes,
			 size_t len_bytes, struct hf_error *err)
{
	struct hf_error old;

	if (bytes == NULL) {
		return check_ledger(drv, err);
	}
	int rc = hf_saved_verify(bytes, len_bytes, &drv->ledger, &old);
	if (rc == -ESTALE) {
		hf_log_info(&drv->log, "%s: %s", drv->dev->id, old.message);
		return check_ledger(drv, err);
	}
	return rc == 0 ? 0 : hf_error_set(err, rc, "%s", old.message);
}

bool hf_restore_header_is_sane(const struct hf_ledger_header *header)
{
	return header->ready == 1 && header->cpu_count >= 1 &&
	       header->cpu_count <= 65535 && header->io_queues_max >= 1 &&
	       header->io_queues_max < header->queues_max &&
	       header->queue_entries >= 2 && header->queue_entries <= 65536 &&
	       memchr(header->device_id, '\0', sizeof(header->device_id)) !=
		       NULL;
}

/* What one command may move was bound by the pages of each queue: no more is
 * put into one of them than it can take, and the next one is like them. */
static int keep_pool(struct hf_driver *drv, struct hf_error *err)
{
	uint32_t pages = UINT32_MAX;

	for (uint32_t i = 1; i < drv->ledger.header->queues_max; i++) {
		const struct hf_ledger_view view =
			hf_ledger_queue_view(&drv->ledger, i);

		if (view.queue->state == HF_QUEUE_LIVE) {
			pages = HF_MIN(pages, view.queue->page_count);
		}
	}
	if (pages < HF_POOL_PAGES_MIN ||
	    (pages != UINT32_MAX && pages > drv->ledger.header->pages_max)) {
		return hf_error_set(err, -EINVAL,
				    "%s: a queue has %u pages for data, which "
				    "no driver could have left; clear the "
				    "device for a fresh start",
				    drv->dev->id, pages);
	}
	if (pages != UINT32_MAX) {
		drv->options.pool_pages = pages;
	}
	return 0;
}

int hf_restore_check_state(struct hf_driver *drv, const uint8_t *bytes,
			   size_t len_bytes, struct hf_error *err)
{
	int rc = check_message(drv, bytes, len_bytes, err);

	if (rc == 0) {
		rc = keep_pool(drv, err);
	}
	hf_steps_mark(&drv->dev->steps, "verify the saved state");
	return rc;
}
