/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "driver/bring_up.h"
#include "driver/ctrl.h"
#include "driver/policy.h"
#include "driver/restore.h"
#include "namespace/inflight.h"
#include "state/saved.h"

static int check_allowed(struct hf_driver *drv, struct hf_error *err)
{
	int rc = hf_policy_check_keepalive(drv, err);

	if (rc != 0) {
		return rc;
	}
	enum hf_driver_state state = hf_driver_state(drv);
	/* The successor reads its registers. */
	bool gone = state == HF_DRIVER_RECOVERING && drv->vanished;
	if (gone ||
	    (state != HF_DRIVER_READY && state != HF_DRIVER_RECOVERING)) {
		return hf_error_set(err, -EBUSY,
				    "%s: the driver is %s, and only one that "
				    "works or resets its controller can be "
				    "saved",
				    drv->dev->id,
				    gone ? "looking for its controller"
					 : "starting, closing or failed");
	}
	return 0;
}

static void cancel_not_begun(struct hf_driver *drv)
{
	for (uint32_t i = 0; i < drv->issuers.count; i++) {
		hf_issuer_cancel_parked(&drv->issuers.each[i], -ECANCELED);
	}
	for (uint32_t i = 0; i < drv->io_max; i++) {
		if (drv->io[i] != NULL) {
			hf_qpair_cancel_idle(drv->io[i], -ECANCELED);
		}
	}
}

void hf_save_prepare(struct hf_driver *drv)
{
	pthread_mutex_lock(&drv->control);
	if (hf_driver_state(drv) == HF_DRIVER_READY && !drv->saved) {
		hf_ctrl_read_ahead(&drv->ctrl);
	}
	pthread_mutex_unlock(&drv->control);
}

int hf_save(struct hf_driver *drv, uint8_t **bytes, size_t *len_bytes,
	    struct hf_error *err)
{
	pthread_mutex_lock(&drv->control);
	int rc = check_allowed(drv, err);
	if (rc == 0) {
		/* No doorbell is owed after this: each batch ends with one. A
		 * reset stops where it is; the ledger says that there was one,
		 * and the successor begins it anew. */
		hf_driver_fence(drv, HF_QPAIR_FENCED);
		hf_steps_mark(&drv->save_steps, "fence the queues");
		rc = hf_saved_encode(&drv->ledger, bytes, len_bytes, err);
		if (rc != 0) {
			hf_driver_go_on(drv);
		}
	}
	if (rc == 0) {
		drv->saved = true;
		hf_steps_mark(&drv->save_steps, "make the message");
		hf_log_info(&drv->log, "%s: saved in %zu bytes", drv->dev->id,
			    *len_bytes);
	}
	pthread_mutex_unlock(&drv->control);
	if (rc == 0) {
		/* No queue comes or goes while it is saved. */
		cancel_not_begun(drv);
	}
	return rc;
}

void hf_save_undo(struct hf_driver *drv)
{
	pthread_mutex_lock(&drv->control);
	if (drv->saved) {
		drv->saved = false;
		hf_driver_go_on(drv);
		hf_driver_kick(drv);
	}
	pthread_mutex_unlock(&drv->control);
}

int hf_save_carry(struct hf_driver *drv, struct hf_fdset *set,
		  struct hf_error *err)
{
	int rc = hf_policy_check_keepalive(drv, err);

	if (rc != 0) {
		return rc;
	}
	pthread_mutex_lock(&drv->control);
	rc = hf_fdset_put_text(set, err, "kind", "%s", drv->dev->ops->kind);
	if (rc == 0) {
		rc = hf_fdset_add(set, drv->ledger.fd, err, "ledger");
	}
	if (rc == 0) {
		rc = drv->dev->ops->carry(drv->dev, set, err);
	}
	pthread_mutex_unlock(&drv->control);
	return rc;
}

static void drained_one(void *ctx, const struct hf_completion *how)
{
	struct hf_driver *drv = ctx;

	(void)how;
	if (__atomic_sub_fetch(&drv->drain_left, 1, __ATOMIC_ACQ_REL) == 0) {
		hf_driver_kick(drv);
	}
}

void hf_drain_start(struct hf_driver *drv)
{
	pthread_mutex_lock(&drv->control);
	if (!drv->draining) {
		drv->draining = true;
		/* One more until all queues are counted. */
		__atomic_store_n(&drv->drain_left, 1, __ATOMIC_RELAXED);
		for (uint32_t i = 0; i < drv->io_max; i++) {
			if (drv->io[i] == NULL) {
				continue;
			}
			/* One that a reset has fenced drains after it. */
			if (drv->io[i]->state == HF_QPAIR_LIVE) {
				hf_qpair_set_state(drv->io[i],
						   HF_QPAIR_DRAINING);
			}
			__atomic_add_fetch(
				&drv->drain_left,
				hf_inflight_drop(drv->io[i], drained_one, drv),
				__ATOMIC_RELAXED);
		}
		__atomic_sub_fetch(&drv->drain_left, 1, __ATOMIC_ACQ_REL);
	}
	hf_drain_check(drv);
	pthread_mutex_unlock(&drv->control);
}

void hf_drain_check(struct hf_driver *drv)
{
	if (!drv->draining || drv->saved ||
	    __atomic_load_n(&drv->drain_left, __ATOMIC_ACQUIRE) != 0) {
		return;
	}
	drv->draining = false;
	for (uint32_t i = 0; i < drv->io_max; i++) {
		if (drv->io[i] != NULL &&
		    drv->io[i]->state == HF_QPAIR_DRAINING) {
			hf_qpair_set_state(drv->io[i], HF_QPAIR_LIVE);
		}
	}
}
