/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/shadow.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include <nvme/types.h>

#include "base/error.h"
#include "base/log.h"
#include "driver/admin.h"

/* A page that this side writes and one that the controller does: as NVMe Base
 * 2.0 has it, section 5.8. */
#define SHADOW_BYTES (2 * NVME_PAGE_BYTES)

static bool is_wanted(const struct hf_driver *drv)
{
	const struct nvme_id_ctrl *id =
		(const void *)drv->ledger.header->identify;

	if (drv->ledger.header->shadow_iova != 0) {
		return true; /* the queues there are count on it */
	}
	if (drv->ledger.header->ready != 0 ||
	    (le16toh(id->oacs) & NVME_CTRL_OACS_DBBUF_CFG) == 0) {
		return false;
	}
	switch ((enum hf_shadow_doorbells)drv->options.shadow_doorbells) {
	case HF_SHADOW_DOORBELLS_AUTO:
		return drv->dev->doorbells_trap;
	case HF_SHADOW_DOORBELLS_ON:
		return true;
	case HF_SHADOW_DOORBELLS_OFF:
		return false;
	}
	return false; /* checked with the options */
}

/* Without memory the doorbells are registers, as without the feature. */
static bool prepare(struct hf_driver *drv, struct hf_error *err)
{
	if (drv->shadow.vaddr == NULL &&
	    hf_dma_block_alloc(&drv->dev->dma, SHADOW_BYTES,
			       HF_DMA_OWNER_SHADOW, 0, &drv->shadow,
			       err) != 0) {
		hf_log_warning(&drv->log, "%s; doorbells stay registers",
			       drv->dev->id);
		return false;
	}
	/* The controller was reset: neither side remembers a position. */
	memset(drv->shadow.vaddr, 0, SHADOW_BYTES);
	return true;
}

int hf_shadow_step_configure(struct hf_driver *drv, struct hf_job *job,
			     struct hf_error *err)
{
	if (!job->entered && (!is_wanted(drv) || !prepare(drv, err))) {
		return 0;
	}
	if (drv->shadow.vaddr == NULL) {
		return 0;
	}

	const struct nvme_sqe sqe = {
		.opcode = nvme_admin_dbbuf,
		.prp1 = htole64(drv->shadow.iova),
		.prp2 = htole64(drv->shadow.iova + NVME_PAGE_BYTES),
	};
	int rc = hf_admin_step(drv, job, &sqe, NULL, 0, false, err);
	if (rc == HF_STEP_WAIT) {
		return rc;
	}
	if (rc != 0 && drv->ledger.header->shadow_iova == 0) {
		hf_log_warning(&drv->log, "%s; doorbells stay registers",
			       job->error.message);
		hf_dma_block_free(&drv->dev->dma, &drv->shadow);
		return 0;
	}
	if (rc == 0) {
		drv->ledger.header->shadow_iova = drv->shadow.iova;
	}
	return rc;
}

int hf_shadow_restore(struct hf_driver *drv, struct hf_error *err)
{
	uint64_t iova = drv->ledger.header->shadow_iova;

	if (iova == 0) {
		return 0;
	}
	int rc = hf_dma_block_claim(&drv->dev->dma, HF_DMA_OWNER_SHADOW, 0,
				    &drv->shadow);
	if (rc != 0 || drv->shadow.iova != iova ||
	    drv->shadow.len_bytes != SHADOW_BYTES) {
		drv->shadow = (struct hf_dma_block){0};
		return hf_error_set(err, rc != 0 ? rc : -EINVAL,
				    "%s: cannot be taken over: the memory of "
				    "its shadow doorbells at IOVA %#llx is "
				    "missing or of another size; clear the "
				    "device for a fresh start",
				    drv->dev->id, (unsigned long long)iova);
	}
	return 0;
}
