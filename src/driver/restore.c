/* SPDX-License-Identifier: BSD-3-Clause */
/* Going on where another process stopped. First everything is looked at, and
 * nothing outside of this process is changed; then everything goes live. */
#include "driver/restore.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "driver/admin.h"
#include "driver/aer.h"
#include "driver/bring_up.h"
#include "driver/ioqueues.h"
#include "driver/lifecycle.h"
#include "driver/policy.h"
#include "driver/restore_checks.h"
#include "driver/retry.h"
#include "driver/shadow.h"

static int restore_admin(struct hf_driver *drv, struct hf_error *err)
{
	struct hf_qpair_inherited inherited;
	int eventfd;

	int rc = drv->dev->ops->irq_map(drv->dev, 0, 0, &eventfd, err);
	if (rc == 0) {
		rc = hf_driver_watch(drv, eventfd, err);
	}
	if (rc != 0) {
		return rc;
	}
	struct hf_qpair_config config =
		hf_ioqueues_config(drv, 0, 0, eventfd, 0);
	config.index = 0;
	config.vector = 0;
	rc = hf_qpair_restore(&drv->admin, &config, &inherited, err);
	drv->admin_doubtful =
		rc == 0 && inherited.doubtful && inherited.never_sent == 0;
	return rc;
}

static int restore_queue(struct hf_driver *drv, uint32_t index, bool *doubtful,
			 struct hf_error *err)
{
	const struct hf_ledger_view view =
		hf_ledger_queue_view(&drv->ledger, index + 1);
	struct hf_qpair_inherited inherited;
	int eventfd;

	int rc = drv->dev->ops->irq_map(drv->dev, index, view.queue->cpu,
					&eventfd, err);
	if (rc != 0) {
		return rc;
	}
	const struct hf_qpair_config config =
		hf_ioqueues_config(drv, index, view.queue->cpu, eventfd, 0);
	rc = hf_qpair_restore(&drv->io[index], &config, &inherited, err);
	if (rc == 0) {
		drv->io_count++;
		*doubtful = inherited.doubtful && inherited.never_sent == 0;
	}
	return rc;
}

static bool has_commands(const struct hf_ledger_view *view,
			 const struct hf_ledger_header *header)
{
	uint32_t count = HF_MIN(view->queue->slot_count, header->slots_max);

	for (uint32_t i = 0; i < count; i++) {
		if (view->slots[i].state != HF_SLOT_FREE) {
			return true;
		}
	}
	return view->queue->sq_recorded != view->queue->sq_rung ||
	       view->queue->cq_head != view->queue->cq_rung;
}

/* In the order of the interrupts, all of which are mapped now: one device was
 * seen not to take them out of order. */
static int restore_io(struct hf_driver *drv, struct hf_error *err)
{
	for (uint32_t i = 0; i < drv->io_max; i++) {
		const struct hf_ledger_view view =
			hf_ledger_queue_view(&drv->ledger, i + 1);
		int eventfd;
		int rc = 0;

		if (view.queue->state != HF_QUEUE_LIVE) {
			continue;
		}
		if (view.queue->cpu >= drv->options.cpu_count ||
		    view.queue->vector != i) {
			return hf_error_set(err, -EINVAL,
					    "%s: queue %u is of CPU %u with "
					    "interrupt %u, which cannot be; "
					    "clear the device",
					    drv->dev->id, i + 1,
					    view.queue->cpu,
					    view.queue->vector);
		}
		if (i == 0 || hf_restore_is_resetting(drv) ||
		    has_commands(&view, drv->ledger.header)) {
			rc = restore_queue(drv, i, &drv->io_doubtful[i], err);
		} else {
			rc = drv->dev->ops->irq_map(
				drv->dev, i, view.queue->cpu, &eventfd, err);
		}
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

static int restore_namespaces(struct hf_driver *drv, struct hf_error *err)
{
	for (uint32_t i = 0; i < HF_LEDGER_NAMESPACES_MAX; i++) {
		const struct hf_ledger_namespace *entry =
			&drv->ledger.header->namespaces[i];
		struct hf_ns_geometry geometry;
		struct hf_ns_identity identity;
		struct hf_namespace *ns;

		if (entry->nsid == 0) {
			continue;
		}
		int rc = hf_ns_parse(&geometry, &identity,
				     (const void *)entry->identify, entry->nsid,
				     err);
		if (rc != 0) {
			return rc;
		}
		memcpy(identity.uuid, entry->uuid, sizeof(identity.uuid));
		rc = hf_ns_create(&ns, entry->nsid, &geometry, &identity,
				  &drv->limits, &drv->issuers, drv);
		if (rc != 0) {
			return hf_error_set(err, rc,
					    "%s: no memory for namespace %u",
					    drv->dev->id, entry->nsid);
		}
		hf_list_push_back(&drv->namespaces, &ns->link);
	}
	return 0;
}

static int look_at_queues(struct hf_driver *drv,
			  const struct hf_ctrl_live *live, struct hf_error *err)
{
	const struct hf_ledger_header *header = drv->ledger.header;
	struct hf_steps *steps = &drv->dev->steps;

	drv->io_max = header->io_queues_max;
	hf_io_limits_parse(&drv->limits, (const void *)header->identify,
			   header->has_identify_nvm != 0 ? header->identify_nvm
							 : NULL,
			   drv->options.pool_pages);
	drv->limits.bounce = header->bounce != 0;
	hf_retry_inherit(drv);
	int rc = hf_shadow_restore(drv, err);
	if (rc == 0) {
		rc = restore_admin(drv, err);
		hf_steps_mark(steps, "take over the admin queue");
	}
	if (rc == 0 && drv->ledger.header->resetting == 0) {
		rc = hf_restore_check_admin(drv, live, err);
	}
	if (rc == 0) {
		rc = restore_io(drv, err);
		hf_steps_mark(steps, "take over the I/O queues");
	}
	if (rc == 0) {
		rc = restore_namespaces(drv, err);
	}
	return rc;
}

static void inherited_admin_done(void *ctx, const struct hf_completion *how)
{
	struct hf_driver *drv = ctx;

	(void)how;
	drv->inherited_admin--;
}

static void ignore(void *ctx, const struct hf_completion *how)
{
	(void)ctx;
	(void)how;
}

/* A part of an I/O that its caller was told of, or did not want to be. */
static bool is_told(const struct hf_qpair *qp,
		    const struct hf_ledger_slot *slot)
{
	return slot->kind == HF_SLOT_IO && slot->record != HF_LEDGER_NONE &&
	       qp->view.records[slot->record].in_use == HF_RECORD_TOLD;
}

/* Commands of the driver's own have nobody to be given to. */
static void claim_own(struct hf_driver *drv, struct hf_qpair *qp)
{
	const struct hf_data none = {0};

	hf_qpair_lock(qp);
	for (uint32_t i = 0; i < qp->pending.count; i++) {
		struct hf_ledger_slot *slot = &qp->pending.slots[i];

		if (slot->state == HF_SLOT_FREE) {
			continue;
		}
		if (slot->kind == HF_SLOT_ADMIN) {
			drv->inherited_admin++;
			hf_qpair_claim(qp, (uint16_t)i, inherited_admin_done,
				       drv, &none);
		} else if (slot->kind == HF_SLOT_FILLER || is_told(qp, slot)) {
			hf_qpair_claim(qp, (uint16_t)i, ignore, NULL, &none);
		}
	}
	hf_qpair_unlock(qp);
}

/*
 * The predecessor recorded a tail and may have died before it rang. Ringing
 * the same value twice is a host's error, so that a command of our own goes
 * behind, and its bell says both.
 */
static void make_certain(struct hf_driver *drv, struct hf_qpair *qp)
{
	struct hf_request request = {
		.kind = HF_SLOT_FILLER,
		.record = HF_LEDGER_NONE,
		.done = ignore,
	};

	if (qp == drv->admin) {
		request.sqe.opcode = nvme_admin_get_features;
		request.sqe.cdw10 = htole32(NVME_FEAT_FID_NUM_QUEUES);
	} else {
		uint32_t nsid = drv->ledger.header->namespaces[0].nsid;

		request.sqe.opcode = nvme_cmd_flush;
		request.sqe.nsid = htole32(nsid != 0 ? nsid : 1);
	}
	bool issued;

	hf_qpair_lock(qp);
	hf_qpair_make_certain(qp, &request, &issued);
	hf_qpair_unlock(qp);
	if (issued) {
		drv->ledger.header->fillers++;
	}
}

static void queue_goes_live(struct hf_driver *drv, uint32_t index)
{
	struct hf_qpair *qp = drv->io[index];

	claim_own(drv, qp);
	if (hf_restore_is_resetting(drv)) {
		/* Its ring may be half emptied: the reset makes it anew. */
		hf_issuer_set(&drv->issuers.each[qp->cpu], qp);
		return;
	}
	hf_qpair_resume_service(qp);
	if (drv->io_doubtful[index]) {
		make_certain(drv, qp);
		drv->io_doubtful[index] = false;
	}
	if (drv->draining) {
		hf_qpair_set_state(qp, HF_QPAIR_DRAINING);
	}
	hf_issuer_set(&drv->issuers.each[qp->cpu], qp);
	/* What completed while nobody was there raised no edge here. */
	hf_qpair_wake(qp);
}

static void go_live(struct hf_driver *drv)
{
	pthread_mutex_lock(&drv->control);
	claim_own(drv, drv->admin);
	hf_aer_inherit(drv);
	if (!hf_restore_is_resetting(drv)) {
		hf_qpair_resume_service(drv->admin);
	}
	if (!hf_restore_is_resetting(drv) && drv->admin_doubtful) {
		make_certain(drv, drv->admin);
	}
	for (uint32_t i = 0; i < drv->io_max; i++) {
		if (drv->io[i] != NULL) {
			queue_goes_live(drv, i);
		}
	}
	drv->ledger.header->restores++;
	hf_policy_record(drv);
	hf_restore_clean_up(drv);
	if (hf_restore_is_resetting(drv)) {
		hf_bring_up_again(drv, drv->found_failed
					       ? "it had failed (CSTS.CFS) "
						 "when it was taken over"
					       : "the process that was "
						 "resetting it is gone");
	} else {
		hf_aer_start(drv);
		hf_driver_set_state(drv, HF_DRIVER_READY);
	}
	hf_driver_kick(drv);
	hf_log_info(&drv->log,
		    "%s: restored, %u I/O queues at once, the rest "
		    "when they are wanted",
		    drv->dev->id, drv->io_count);
	pthread_mutex_unlock(&drv->control);
}

bool hf_restore_prototype(struct hf_driver *drv, uint32_t cpu)
{
	struct hf_error err;

	for (uint32_t i = 0; i < drv->io_max; i++) {
		const struct hf_ledger_view view =
			hf_ledger_queue_view(&drv->ledger, i + 1);

		if (drv->io[i] != NULL || view.queue->state != HF_QUEUE_LIVE ||
		    view.queue->cpu != cpu) {
			continue;
		}
		if (restore_queue(drv, i, &drv->io_doubtful[i], &err) != 0) {
			hf_log_error(&drv->log, "%s", err.message);
			return false;
		}
		queue_goes_live(drv, i);
		return true;
	}
	return false;
}

void hf_restore_before_reset(struct hf_driver *drv)
{
	struct hf_error err;

	for (uint32_t i = 0; i < drv->io_max; i++) {
		const struct hf_ledger_view view =
			hf_ledger_queue_view(&drv->ledger, i + 1);

		if (drv->io[i] != NULL || view.queue->state != HF_QUEUE_LIVE) {
			continue;
		}
		if (restore_queue(drv, i, &drv->io_doubtful[i], &err) != 0) {
			hf_log_error(&drv->log, "%s", err.message);
			hf_restore_free_queue(drv, i + 1);
			continue;
		}
		drv->io_doubtful[i] = false;
		hf_issuer_set(&drv->issuers.each[drv->io[i]->cpu], drv->io[i]);
	}
}

static int prepare_options(struct hf_driver_options *mine,
			   const struct hf_driver_options *options,
			   const struct hf_device *device, struct hf_error *err)
{
	const struct hf_ledger_header *header = device->inherited.header;

	if (header == NULL) {
		return hf_error_set(err, -ENOENT,
				    "%s: no ledger was left with the device: "
				    "there is nothing to restore from",
				    device->id);
	}
	if (!hf_restore_header_is_sane(header)) {
		return hf_error_set(err, -EINVAL,
				    "%s: the ledger is of a driver that had "
				    "not come up, or contradicts itself; clear "
				    "the device for a fresh start",
				    device->id);
	}
	if (strcmp(header->device_id, device->id) != 0) {
		return hf_error_set(err, -EINVAL, "%s: the ledger is of %s",
				    device->id, header->device_id);
	}
	*mine = *options;
	mine->cpu_count = HF_MAX(options->cpu_count, header->cpu_count);
	mine->io_queues = header->queues_max - 1;
	mine->queue_entries = header->queue_entries;
	mine->pool_pages = HF_MIN(header->pages_max, mine->pool_pages);
	mine->bounce = header->bounce != 0;
	return 0;
}

void hf_restore_undo(struct hf_driver *drv)
{
	drv->dev->inherited = drv->ledger;
	drv->ledger.header = NULL;
	hf_lifecycle_abandon(drv);
}

/* All ones may be an error of the link, which passes: a device is gone that
 * stays away, here as in a reset. */
static int look_at_registers(struct hf_ctrl *ctrl, struct hf_device *device,
			     const struct hf_ledger_header *header,
			     struct hf_ctrl_live *live, struct hf_error *err)
{
	uint64_t deadline = hf_deadline_ms(HF_VANISHED_MS);
	const struct timespec pause = {.tv_nsec = HF_NS_PER_MS};
	int rc;

	while ((rc = hf_ctrl_probe_live(ctrl, device, header->capabilities,
					live, err)) == -ENODEV &&
	       !hf_deadline_passed(deadline)) {
		nanosleep(&pause, NULL);
	}
	return rc;
}

/* A controller of these capabilities is what its registers will have to show
 * by and by; one that they rule out cannot be it. */
static int assume_controller(struct hf_ctrl *ctrl, struct hf_device *device,
			     struct hf_error *err)
{
	const struct hf_ledger_header *header = device->inherited.header;

	int rc = hf_ctrl_assume(ctrl, device, header->capabilities,
				header->version_register, err);
	if (rc != 0) {
		return hf_error_set(err, -ENODEV,
				    "%s: another controller: CAP was %#llx, "
				    "which none has that this driver drives",
				    device->id,
				    (unsigned long long)header->capabilities);
	}
	return 0;
}

int hf_restore_begin(struct hf_driver **out, struct hf_device *device,
		     const uint8_t *bytes, size_t len_bytes,
		     const struct hf_driver_options *options,
		     struct hf_error *err)
{
	struct hf_driver_options mine;
	struct hf_driver *drv;
	struct hf_ctrl ctrl;

	int rc = prepare_options(&mine, options, device, err);
	if (rc == 0) {
		rc = assume_controller(&ctrl, device, err);
	}
	if (rc == 0) {
		rc = hf_lifecycle_build(&drv, &ctrl, &mine, err);
	}
	if (rc != 0) {
		return rc;
	}
	hf_steps_mark(&device->steps, "build the driver");
	drv->ledger = device->inherited;
	hf_policy_inherit(drv);
	device->inherited.header = NULL;
	rc = hf_restore_check_state(drv, bytes, len_bytes, err);
	if (rc != 0) {
		hf_restore_undo(drv);
		return rc;
	}
	*out = drv;
	return 0;
}

int hf_restore_finish(struct hf_driver *drv, struct hf_error *err)
{
	struct hf_steps *steps = &drv->dev->steps;
	struct hf_ctrl_live live;

	int rc = look_at_registers(&drv->ctrl, drv->dev, drv->ledger.header,
				   &live, err);
	hf_steps_mark(steps, "read the registers");
	if (rc == 0) {
		rc = hf_restore_check_registers(drv, &live, err);
	}
	if (rc == 0) {
		rc = look_at_queues(drv, &live, err);
	}
	if (rc != 0) {
		return rc;
	}
	go_live(drv);
	hf_steps_mark(steps, "go live");
	return 0;
}
