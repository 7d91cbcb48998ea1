/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/retry.h"

#include <endian.h>
#include <string.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "driver/admin.h"

void hf_retry_init(struct hf_driver *drv)
{
	drv->retry = (struct hf_retry_policy){
		.max = drv->options.retries,
		.data_limit_ms = drv->options.io_timeout_ms,
		.long_limit_ms = drv->options.long_timeout_ms,
	};
	drv->retry_due_ns = UINT64_MAX;
}

/* True when it gives any delay. */
static bool learn_delays(struct hf_driver *drv)
{
	const struct nvme_id_ctrl *id =
		(const void *)drv->ledger.header->identify;
	const uint16_t delays[] = {le16toh(id->crdt1), le16toh(id->crdt2),
				   le16toh(id->crdt3)};
	bool any = false;

	for (size_t i = 0; i < HF_ARRAY_LEN(delays); i++) {
		/* Whoever reaps reads them at any time. */
		__atomic_store_n(&drv->retry.crdt_100ms[i], delays[i],
				 __ATOMIC_RELAXED);
		any = any || delays[i] != 0;
	}
	return any;
}

int hf_retry_step_enable(struct hf_driver *drv, struct hf_job *job,
			 struct hf_error *err)
{
	struct nvme_feat_host_behavior behavior = {.acre = NVME_ENABLE_ACRE};
	const struct nvme_sqe sqe = {
		.opcode = nvme_admin_set_features,
		.cdw10 = htole32(NVME_FEAT_FID_HOST_BEHAVIOR),
	};
	uint8_t *page = drv->scratch + NVME_PAGE_BYTES;

	if (!learn_delays(drv)) {
		__atomic_store_n(&drv->retry.acre, false, __ATOMIC_RELAXED);
		return 0;
	}
	if (!job->entered) {
		memcpy(page, &behavior, sizeof(behavior));
	}
	int rc = hf_admin_step(drv, job, &sqe, page, sizeof(behavior), true,
			       err);
	if (rc == HF_STEP_WAIT) {
		return rc;
	}
	if (rc != 0) {
		hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_FEATURE],
			       HF_LOG_INFO,
			       "%s: the controller does not give retry delays "
			       "with errors: %s",
			       drv->dev->id, job->error.message);
	}
	__atomic_store_n(&drv->retry.acre, rc == 0, __ATOMIC_RELAXED);
	return 0;
}

void hf_retry_inherit(struct hf_driver *drv)
{
	/* The predecessor asked for it; a controller that refused sends no
	 * delays. */
	__atomic_store_n(&drv->retry.acre, learn_delays(drv), __ATOMIC_RELAXED);
	__atomic_store_n(&drv->retries_wait, true, __ATOMIC_RELAXED);
}

void hf_retry_wanted(void *ctx, struct hf_qpair *qp)
{
	struct hf_driver *drv = ctx;

	(void)qp;
	__atomic_store_n(&drv->retries_wait, true, __ATOMIC_RELEASE);
	hf_driver_kick(drv);
}

void hf_retry_serve(struct hf_driver *drv)
{
	uint32_t soonest_ms = UINT32_MAX;
	bool wait = false;

	if (!__atomic_exchange_n(&drv->retries_wait, false, __ATOMIC_ACQUIRE)) {
		drv->retry_due_ns = UINT64_MAX;
		return;
	}
	for (uint32_t i = 0; i < drv->io_max; i++) {
		struct hf_qpair *qp = drv->io[i];

		if (qp != NULL) {
			soonest_ms = HF_MIN(soonest_ms,
					    hf_qpair_retry(qp, hf_now_ms()));
			wait = wait || hf_qpair_retries_wait(qp);
		}
	}
	/* A queue that is fenced goes on with them when it goes live, which
	 * this is called after. */
	if (wait) {
		__atomic_store_n(&drv->retries_wait, true, __ATOMIC_RELAXED);
	}
	drv->retry_due_ns = soonest_ms == UINT32_MAX
				    ? UINT64_MAX
				    : hf_deadline_ms(soonest_ms);
}
