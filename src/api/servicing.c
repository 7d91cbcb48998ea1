/* SPDX-License-Identifier: BSD-3-Clause */
#include "holdfast/servicing.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "device/vfio.h"
#include "device/vfio_user.h"
#include "driver/clear.h"
#include "driver/ctrl.h"
#include "driver/keep.h"
#include "driver/lifecycle.h"
#include "driver/policy.h"
#include "driver/restore.h"
#include "namespace/inflight.h"
#include "runtime/carry.h"
#include "runtime/runtime.h"

void hf_driver_prepare_save(struct hf_driver *drv)
{
	hf_save_prepare(drv);
}

int hf_driver_save(struct hf_driver *drv, uint8_t **bytes, size_t *len_bytes,
		   struct hf_error *err)
{
	hf_steps_begin(&drv->save_steps);
	/* First: what it may wait for holds up no I/O. */
	int rc = hf_keep_pause(drv, err);
	if (rc != 0) {
		return rc;
	}
	hf_runtime_pause(drv);
	hf_steps_mark(&drv->save_steps, "stop the threads");
	rc = hf_save(drv, bytes, len_bytes, err);
	if (rc != 0) {
		/* It ran on, and goes on running. */
		struct hf_error unpaused;

		(void)!hf_runtime_unpause(drv, &unpaused);
		hf_keep_unpause(drv);
	}
	return rc;
}

int hf_driver_resume(struct hf_driver *drv, struct hf_error *err)
{
	hf_save_undo(drv);
	int rc = hf_runtime_unpause(drv, err);

	hf_keep_unpause(drv);
	return rc;
}

void hf_driver_disown(struct hf_driver *drv)
{
	/* Nothing of ours comes after a successor's: this process's threads
	 * are gone, and its queues are fenced. */
	assert(drv->saved);
	hf_ledger_unlock(&drv->ledger);
}

uint32_t hf_driver_steps(const struct hf_driver *drv, enum hf_servicing what,
			 struct hf_servicing_step *steps, uint32_t max)
{
	const struct hf_steps *taken =
		what == HF_SERVICING_SAVE ? &drv->save_steps : &drv->dev->steps;
	uint64_t began_ns = taken->began_ns;

	for (uint32_t i = 0; i < taken->count && i < max; i++) {
		const struct hf_step *step = &taken->steps[i];

		steps[i] = (struct hf_servicing_step){
			.began_ns = began_ns,
			.took_ns = step->ended_ns - began_ns,
		};
		snprintf(steps[i].name, sizeof(steps[i].name), "%s",
			 step->name);
		began_ns = step->ended_ns;
	}
	return taken->count;
}

void hf_driver_leave(struct hf_driver *drv)
{
	hf_runtime_destroy(drv);
	hf_lifecycle_leave(drv);
}

void hf_driver_set_keepalive(struct hf_driver *drv, bool allowed)
{
	__atomic_store_n(&drv->keepalive, allowed, __ATOMIC_RELAXED);
}

int hf_driver_carry(struct hf_driver *drv, struct hf_carry **out,
		    struct hf_error *err)
{
	struct hf_carry *carry = calloc(1, sizeof(*carry));

	if (carry == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "no memory for a set of descriptors");
	}
	hf_fdset_init(&carry->set);
	/* Before the set is made: what comes or goes meanwhile counts. */
	carry->fds_changes = hf_device_fds_changes(drv->dev);
	int rc = hf_save_carry(drv, &carry->set, err);
	if (rc != 0) {
		free(carry);
		return rc;
	}
	carry->of_device = carry->set.count;
	*out = carry;
	return 0;
}

bool hf_driver_carry_holds(const struct hf_driver *drv,
			   const struct hf_carry *carry)
{
	return carry->of_device > 0 &&
	       carry->fds_changes == hf_device_fds_changes(drv->dev);
}

/* The set is the program's to add to, and lives as long as the call. */
static int call_keep(struct hf_driver *drv, struct hf_error *err)
{
	struct hf_carry *carry;
	int rc = hf_driver_carry(drv, &carry, err);

	if (rc != 0) {
		return rc;
	}
	carry->keep = &drv->keep;
	rc = drv->keep.call(drv, carry, drv->keep.user, err);
	hf_carry_free(carry);
	return rc;
}

int hf_driver_keep_with(struct hf_driver *drv,
			int (*keep)(struct hf_driver *drv,
				    struct hf_carry *carry, void *user,
				    struct hf_error *err),
			void *user, struct hf_error *err)
{
	int rc = keep != NULL ? hf_policy_check_keepalive(drv, err) : 0;

	if (rc != 0) {
		return rc;
	}
	return hf_keep_set(drv, keep != NULL ? call_keep : NULL, keep, user,
			   err);
}

int hf_driver_keep_now(struct hf_driver *drv, struct hf_error *err)
{
	return hf_keep_all(drv, err);
}

int hf_carry_owner(const struct hf_carry *carry)
{
	int fd = hf_fdset_find(&carry->set, "ledger");

	return fd < 0 ? 0 : hf_ledger_owner(fd);
}

static int adopt_ledger(struct hf_ledger *ledger, struct hf_carry *carry,
			struct hf_error *err)
{
	int fd = hf_fdset_take(&carry->set, "ledger");

	if (fd < 0) {
		return hf_error_set(err, -ENOENT,
				    "the ledger was not handed over");
	}
	void *ahead =
		hf_fdset_take_map(&carry->set, fd, hf_ledger_file_bytes(fd));
	int rc = hf_ledger_adopt_at(ledger, fd, ahead, err);
	if (rc != 0) {
		close(fd);
		return rc;
	}
	/* Before anything else: its owner may be alive. */
	rc = hf_ledger_lock(ledger, err);
	if (rc != 0) {
		hf_ledger_close(ledger);
	}
	return rc;
}

int hf_device_adopt(struct hf_device **device, struct hf_carry *carry,
		    const struct hf_device_options *options,
		    struct hf_error *err)
{
	struct hf_device_options defaults;
	struct hf_ledger ledger = {0};
	struct hf_steps steps;
	char kind[32] = "";

	hf_device_options_init(&defaults);
	if (options == NULL) {
		options = &defaults;
	}
	hf_steps_begin(&steps);
	int rc = adopt_ledger(&ledger, carry, err);
	if (rc != 0) {
		return rc;
	}
	hf_steps_mark(&steps, "take ownership");
	(void)!hf_fdset_get_text(&carry->set, "kind", kind, sizeof(kind));
	if (strcmp(kind, "vfio") == 0) {
		rc = hf_vfio_adopt(device, &carry->set, options, err);
	} else if (strcmp(kind, "vfio-user") == 0) {
		struct hf_reg_read reads[HF_CTRL_LIVE_READS];
		uint32_t count =
			hf_ctrl_live_reads(reads, ledger.header->capabilities);

		rc = hf_vfio_user_adopt(device, &carry->set, options, reads,
					count, err);
	} else {
		rc = hf_error_set(err, -EINVAL,
				  "a device of kind '%s' cannot be taken over",
				  kind);
	}
	if (rc != 0) {
		hf_ledger_close(&ledger);
		return rc;
	}
	hf_steps_append(&steps, &(*device)->steps);
	(*device)->steps = steps;
	(*device)->inherited = ledger;
	(*device)->spare = carry->spare;
	carry->spare = NULL;
	return 0;
}

int hf_driver_restore(struct hf_driver **drv, struct hf_device *device,
		      const uint8_t *bytes, size_t len_bytes,
		      const struct hf_driver_options *options,
		      struct hf_error *err)
{
	struct hf_driver_options defaults;

	if (options == NULL) {
		hf_driver_options_init(&defaults);
		options = &defaults;
	}
	int rc = hf_restore_begin(drv, device, bytes, len_bytes, options, err);
	if (rc != 0) {
		return rc;
	}
	/* While the controller's registers are on their way. */
	rc = hf_runtime_create_held(*drv, err);
	hf_steps_mark(&device->steps, "start the threads");
	if (rc == 0) {
		rc = hf_restore_finish(*drv, err);
		hf_runtime_let_go(*drv, rc == 0);
	}
	/* Of a driver without threads. */
	hf_spare_free(device->spare);
	device->spare = NULL;
	if (rc != 0) {
		hf_runtime_destroy(*drv);
		hf_restore_undo(*drv);
	}
	return rc;
}

int hf_device_clear(struct hf_device *device, struct hf_error *err)
{
	int rc = hf_clear_stop(device, err);

	/* Memory that it may still write to stays, and so does the lock: no
	 * other process takes over what is not known to have stopped. */
	if (rc != -EBUSY) {
		hf_device_release(device, HF_RELEASE_RESET);
	}
	return rc;
}

int hf_inflight_next(struct hf_driver *drv, uint64_t *cursor,
		     struct hf_inflight *inflight)
{
	int found = 0;

	pthread_mutex_lock(&drv->control);
	while (found == 0 && *cursor >> 32 < drv->io_max) {
		uint32_t queue = (uint32_t)(*cursor >> 32);
		uint32_t at = (uint32_t)*cursor;

		if (drv->io[queue] != NULL) {
			found = hf_inflight_find(drv->io[queue], &at, inflight);
		}
		*cursor = found != 0 ? (uint64_t)queue << 32 | at
				     : (uint64_t)(queue + 1) << 32;
	}
	pthread_mutex_unlock(&drv->control);
	return found;
}

int hf_io_attach(struct hf_io *io, const struct hf_inflight *inflight,
		 struct hf_error *err)
{
	uint32_t qid = inflight->private_[0];
	struct hf_driver *drv;
	struct hf_qpair *qp = NULL;

	if (io->ns == NULL) {
		return hf_error_set(err, -EINVAL,
				    "an I/O is attached to with its namespace");
	}
	drv = io->ns->owner;
	pthread_mutex_lock(&drv->control);
	if (qid >= 1 && qid <= drv->io_max) {
		qp = drv->io[qid - 1];
	}
	pthread_mutex_unlock(&drv->control);
	if (qp == NULL) {
		return hf_error_set(err, -EINVAL,
				    "queue %u has no I/O of a predecessor",
				    qid);
	}
	return hf_inflight_attach(qp, io, inflight, err);
}

static bool never(const void *arg)
{
	(void)arg;
	return false;
}

static void reap_all(struct hf_driver *drv)
{
	for (uint32_t i = 0; i < drv->io_max; i++) {
		if (drv->io[i] != NULL) {
			(void)hf_qpair_reap(drv->io[i], 64);
		}
	}
}

int hf_driver_drain_wait(struct hf_driver *drv, uint32_t timeout_ms,
			 struct hf_error *err)
{
	uint64_t deadline = hf_deadline_ms(timeout_ms);
	uint32_t left;

	hf_drain_start(drv);
	for (;;) {
		reap_all(drv);
		left = __atomic_load_n(&drv->drain_left, __ATOMIC_ACQUIRE);
		if (left == 0) {
			pthread_mutex_lock(&drv->control);
			hf_drain_check(drv);
			pthread_mutex_unlock(&drv->control);
			return 0;
		}
		if (hf_deadline_passed(deadline)) {
			return hf_error_set(err, -ETIMEDOUT,
					    "%s: %u commands of the "
					    "predecessor's are still under way",
					    drv->dev->id, left);
		}
		(void)!hf_control_wait(drv, never, NULL, hf_deadline_ms(1));
	}
}

int hf_dma_next(struct hf_driver *drv, uint32_t *cursor, void **memory,
		uint64_t *len_bytes)
{
	struct hf_dma_block block;

	if (hf_dma_block_next(&drv->dev->dma, cursor, &block) != 0) {
		return 0;
	}
	*memory = block.vaddr;
	*len_bytes = block.len_bytes;
	return 1;
}
