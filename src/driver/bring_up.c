/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/bring_up.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "driver/admin.h"
#include "driver/aer.h"
#include "driver/deadline.h"
#include "driver/ioqueues.h"
#include "driver/restore.h"
#include "driver/retry.h"
#include "driver/scan.h"
#include "driver/shadow.h"

#define ADMIN_ENTRIES    256u /* 4 pages of entries, 1 of completions */
#define ADMIN_POOL_PAGES 256u
/* Number of Queues cannot say more than this. */
#define QUEUES_MAX 65535u
/* Tries to bring a controller up again, and how often it may need to be, before
 * it is given up. Less than a minute apart is "again". */
#define RECOVERIES_MAX 6u
#define FLAPS_MAX      512u
#define RECOVERED_NS   (60 * HF_NS_PER_S)
#define VERSION_2_0    0x00020000u

/*
 * Apart from that of the jobs in line: one of them may have an answer in its
 * page that it has not looked at yet, and would take Identify Controller for
 * what it asked.
 */
static uint8_t *page_of(const struct hf_driver *drv)
{
	return drv->scratch + NVME_PAGE_BYTES;
}

static bool is_first(const struct hf_driver *drv)
{
	return drv->ledger.header->ready == 0;
}

static void each_qpair(struct hf_driver *drv,
		       void (*act)(struct hf_qpair *qp, int value), int value)
{
	if (drv->admin != NULL) {
		act(drv->admin, value);
	}
	for (uint32_t i = 0; i < drv->io_max; i++) {
		if (drv->io[i] != NULL) {
			act(drv->io[i], value);
		}
	}
}

static void set_state(struct hf_qpair *qp, int state)
{
	hf_qpair_set_state(qp, (enum hf_qpair_state)state);
}

static void reset_rings(struct hf_qpair *qp, int unused)
{
	(void)unused;
	hf_qpair_reset(qp);
}

void hf_driver_fence(struct hf_driver *drv, enum hf_qpair_state state)
{
	each_qpair(drv, set_state, (int)state);
}

void hf_driver_unfence(struct hf_driver *drv)
{
	enum hf_qpair_state state =
		drv->draining ? HF_QPAIR_DRAINING : HF_QPAIR_LIVE;

	hf_qpair_set_state(drv->admin, HF_QPAIR_LIVE);
	for (uint32_t i = 0; i < drv->io_max; i++) {
		if (drv->io[i] != NULL) {
			hf_qpair_set_state(drv->io[i], state);
		}
	}
}

void hf_driver_end_all(struct hf_driver *drv, int result, bool keep_repeatable)
{
	if (drv->admin != NULL) {
		/* The driver's own, which expect the control lock. */
		(void)hf_qpair_mark_ended(drv->admin, result, false);
		hf_qpair_tell_ended(drv->admin);
	}
	for (uint32_t i = 0; i < drv->io_max; i++) {
		if (drv->io[i] != NULL) {
			(void)hf_qpair_mark_ended(drv->io[i], result,
						  keep_repeatable);
			drv->must_tell = true;
		}
	}
}

static struct hf_qpair *next_to_tell(struct hf_driver *drv)
{
	struct hf_qpair *found = NULL;

	pthread_mutex_lock(&drv->control);
	for (uint32_t i = 0; found == NULL && i < drv->io_max; i++) {
		if (drv->io[i] != NULL && hf_qpair_has_ended(drv->io[i])) {
			found = drv->io[i];
		}
	}
	pthread_mutex_unlock(&drv->control);
	return found;
}

void hf_driver_tell_ended(struct hf_driver *drv)
{
	struct hf_qpair *qp;

	/* A queue with commands that nobody was told of stays where it is,
	 * also without the lock. */
	while ((qp = next_to_tell(drv)) != NULL) {
		hf_qpair_tell_ended(qp);
	}
	hf_driver_kick(drv);
}

static int timed_out(struct hf_driver *drv, const char *what,
		     uint32_t timeout_ms, struct hf_error *err)
{
	return hf_error_set(err, -ETIMEDOUT,
			    "%s: the controller did not %s within %u ms, its "
			    "own limit",
			    drv->dev->id, what, timeout_ms);
}

/*
 * A controller that cannot be disabled may still write to memory. A reset of
 * the function stops it for certain, and where there is none, taking all
 * memory away from it does.
 */
static int stop_by_force(struct hf_driver *drv, struct hf_error *err)
{
	if (drv->dev->ops->reset != NULL &&
	    drv->dev->ops->reset(drv->dev, err) == 0) {
		hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_RESET],
			       HF_LOG_WARNING,
			       "%s: did not stop by CC.EN; the "
			       "function was reset",
			       drv->dev->id);
		return 0;
	}
	int rc = hf_dma_revoke(&drv->dev->dma, err);
	if (rc != 0) {
		return rc;
	}
	return hf_error_set(err, -EIO,
			    "%s: the controller does not stop (CSTS.RDY stays "
			    "1) and cannot be reset; all memory was taken away "
			    "from it",
			    drv->dev->id);
}

int hf_bring_up_step_disable(struct hf_driver *drv, struct hf_job *job,
			     struct hf_error *err)
{
	bool enabled;
	int rc;

	if (!job->entered) {
		rc = hf_ctrl_is_enabled(&drv->ctrl, &enabled, err);
		if (rc != 0 || !enabled) {
			return rc;
		}
		rc = hf_ctrl_disable(&drv->ctrl, err);
		if (rc != 0) {
			return rc;
		}
	}
	bool overdue = hf_job_overdue(job, drv->ctrl.ready_timeout_ms);
	rc = hf_ctrl_disabled(&drv->ctrl, err);
	if (rc != HF_STEP_WAIT) {
		return rc;
	}
	return overdue ? stop_by_force(drv, err) : hf_job_wait_register(job);
}

static bool is_delivering(struct hf_driver *drv)
{
	bool delivering = false;

	for (uint32_t i = 0; i < drv->io_max; i++) {
		delivering = delivering || (drv->io[i] != NULL &&
					    hf_qpair_is_delivering(drv->io[i]));
	}
	return delivering;
}

/* What was in flight when the controller was reset may have happened. */
static int step_end_in_flight(struct hf_driver *drv, struct hf_job *job,
			      struct hf_error *err)
{
	(void)err;
	hf_driver_end_all(drv, -ECONNRESET, true);
	if (is_delivering(drv)) {
		return hf_job_wait_register(job);
	}
	hf_restore_before_reset(drv);
	each_qpair(drv, reset_rings, 0);
	for (uint32_t i = 0; i < HF_AER_MAX; i++) {
		drv->aers[i].outstanding = false;
	}
	return 0;
}

static int create_admin(struct hf_driver *drv, struct hf_error *err)
{
	int eventfd;

	int rc = drv->dev->ops->irq_map(drv->dev, 0, 0, &eventfd, err);
	if (rc != 0) {
		return rc;
	}
	rc = hf_driver_watch(drv, eventfd, err);
	if (rc != 0) {
		return rc;
	}
	const struct hf_qpair_config config = {
		.dev = drv->dev,
		.ledger = &drv->ledger,
		.index = 0,
		.cpu = 0,
		.vector = 0,
		.eventfd = eventfd,
		.entries = HF_MIN(ADMIN_ENTRIES,
				  drv->ledger.header->slots_max + 1),
		.pool_pages =
			HF_MIN(ADMIN_POOL_PAGES, drv->ledger.header->pages_max),
		.doorbell_stride_bytes = drv->ctrl.stride_bytes,
		.tick = &drv->tick,
		.retry = &drv->retry,
		.hooks = {.lied = hf_driver_lied,
			  .retry = hf_retry_wanted,
			  .awaken = hf_deadline_awaken,
			  .ctx = drv},
	};
	return hf_qpair_create(&drv->admin, &config, err);
}

static int step_enable(struct hf_driver *drv, struct hf_job *job,
		       struct hf_error *err)
{
	int rc;

	if (!job->entered) {
		if (drv->admin == NULL) {
			rc = create_admin(drv, err);
			if (rc != 0) {
				return rc;
			}
		}
		uint64_t base = drv->admin->block.iova;
		uint64_t cq = (uint64_t)((const uint8_t *)drv->admin->cq.ring -
					 drv->admin->block.vaddr);
		rc = hf_ctrl_enable(&drv->ctrl, base, base + cq,
				    drv->admin->sq.entries, err);
		if (rc != 0) {
			return rc;
		}
	}
	bool overdue = hf_job_overdue(job, drv->ctrl.ready_timeout_ms);
	rc = hf_ctrl_enabled(&drv->ctrl, err);
	if (rc == 0) {
		hf_qpair_set_state(drv->admin, HF_QPAIR_LIVE);
	}
	if (rc != HF_STEP_WAIT) {
		return rc;
	}
	return overdue ? timed_out(drv, "become ready",
				   drv->ctrl.ready_timeout_ms, err)
		       : hf_job_wait_register(job);
}

static void identify_sqe(struct nvme_sqe *sqe, uint8_t cns)
{
	*sqe = (struct nvme_sqe){
		.opcode = nvme_admin_identify,
		.cdw10 = htole32(cns),
	};
}

static bool same_controller(const struct nvme_id_ctrl *a,
			    const struct nvme_id_ctrl *b)
{
	return memcmp(a->sn, b->sn, sizeof(a->sn)) == 0 &&
	       memcmp(a->mn, b->mn, sizeof(a->mn)) == 0;
}

static int step_identify(struct hf_driver *drv, struct hf_job *job,
			 struct hf_error *err)
{
	struct nvme_sqe sqe;
	uint8_t *kept = drv->ledger.header->identify;

	identify_sqe(&sqe, NVME_IDENTIFY_CNS_CTRL);
	int rc = hf_admin_step(drv, job, &sqe, page_of(drv),
			       NVME_IDENTIFY_DATA_SIZE, false, err);
	if (rc != 0) {
		return rc;
	}
	if (!is_first(drv) &&
	    !same_controller((const void *)kept, (const void *)page_of(drv))) {
		return hf_error_set(err, -ENODEV,
				    "%s: another controller answers after the "
				    "reset: serial number or model differ",
				    drv->dev->id);
	}
	memcpy(kept, page_of(drv), NVME_IDENTIFY_DATA_SIZE);
	return 0;
}

/* Every I/O reads them without a lock: they are set once. */
static int set_limits(struct hf_driver *drv, const struct hf_io_limits *limits,
		      struct hf_error *err)
{
	const struct hf_io_limits *old = &drv->limits;

	if (is_first(drv)) {
		drv->limits = *limits;
		return 0;
	}
	if (limits->max_transfer_bytes < old->max_transfer_bytes ||
	    (limits->oncs & old->oncs) != old->oncs) {
		return hf_error_set(err, -EIO,
				    "%s: after the reset the controller can do "
				    "less than before: %u bytes in a command, "
				    "ONCS %#x",
				    drv->dev->id, limits->max_transfer_bytes,
				    limits->oncs);
	}
	return 0;
}

/* Limits of the NVM command set; older controllers do not have this page. */
static int step_identify_nvm(struct hf_driver *drv, struct hf_job *job,
			     struct hf_error *err)
{
	const struct nvme_id_ctrl *id =
		(const void *)drv->ledger.header->identify;
	struct hf_io_limits limits;
	struct nvme_sqe sqe;
	int rc = -ENOTSUP;

	if (drv->ctrl.vs >= VERSION_2_0) {
		identify_sqe(&sqe, NVME_IDENTIFY_CNS_CSI_CTRL);
		rc = hf_admin_step(drv, job, &sqe, page_of(drv),
				   NVME_IDENTIFY_DATA_SIZE, false, err);
		if (rc == HF_STEP_WAIT) {
			return rc;
		}
	}
	drv->ledger.header->has_identify_nvm = rc == 0;
	memcpy(drv->ledger.header->identify_nvm, page_of(drv),
	       sizeof(drv->ledger.header->identify_nvm));
	hf_io_limits_parse(&limits, id, rc == 0 ? page_of(drv) : NULL,
			   drv->options.pool_pages);
	limits.bounce = drv->options.bounce;
	return set_limits(drv, &limits, err);
}

static int grant_queues(struct hf_driver *drv, uint32_t asked, uint32_t dw0,
			struct hf_error *err)
{
	uint32_t sqs = (dw0 & 0xffff) + 1;
	uint32_t cqs = (dw0 >> 16) + 1;
	uint32_t granted = HF_MIN(sqs, cqs);

	if (granted < asked) {
		hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_FEATURE],
			       HF_LOG_WARNING,
			       "%s: the controller grants %u submission and "
			       "%u completion queues of the %u asked for",
			       drv->dev->id, sqs, cqs, asked);
	}
	if (is_first(drv)) {
		drv->io_max = HF_MIN(granted, asked);
		drv->ledger.header->io_queues_max = drv->io_max;
		return 0;
	}
	if (granted < drv->io_max) {
		return hf_error_set(err, -EIO,
				    "%s: after the reset the controller grants "
				    "%u queues, before it granted %u",
				    drv->dev->id, granted, drv->io_max);
	}
	return 0;
}

static int step_queue_count(struct hf_driver *drv, struct hf_job *job,
			    struct hf_error *err)
{
	uint32_t vectors = drv->dev->ops->irq_count(drv->dev);
	uint32_t asked = HF_MIN(drv->options.io_queues, QUEUES_MAX);

	if (vectors == 0) {
		return hf_error_set(err, -EPROTO,
				    "%s: the device has no interrupt vector",
				    drv->dev->id);
	}
	if (vectors < asked) {
		hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_FEATURE],
			       HF_LOG_INFO,
			       "%s: %u interrupts bound the number of "
			       "queues, %u were wanted",
			       drv->dev->id, vectors, asked);
		asked = vectors;
	}
	const struct nvme_sqe sqe = {
		.opcode = nvme_admin_set_features,
		.cdw10 = htole32(NVME_FEAT_FID_NUM_QUEUES),
		.cdw11 = htole32((asked - 1) << 16 | (asked - 1)),
	};
	int rc = hf_admin_step(drv, job, &sqe, NULL, 0, false, err);
	if (rc != 0) {
		return rc;
	}
	return grant_queues(drv, asked, job->completion.dw0, err);
}

static int step_first_queue(struct hf_driver *drv, struct hf_job *job,
			    struct hf_error *err)
{
	return is_first(drv) ? hf_ioqueues_step_first(drv, job, err)
			     : hf_ioqueues_step_again(drv, job, err);
}

static int step_ready(struct hf_driver *drv, struct hf_job *job,
		      struct hf_error *err)
{
	bool first = is_first(drv);

	(void)job;
	(void)err;
	__atomic_store_n(&drv->admin->view.queue->state, HF_QUEUE_LIVE,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&drv->ledger.header->ready, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&drv->ledger.header->resetting, 0, __ATOMIC_RELEASE);
	if (first) {
		hf_ioqueues_serve_first(drv);
	}
	hf_driver_unfence(drv);
	hf_aer_start(drv);
	if (!first) {
		hf_scan_all(drv);
	}
	return 0;
}

/* Registers that read as ones: an error of the link passes, a device that was
 * pulled out does not come back. */
static int wait_for_registers(struct hf_driver *drv, struct hf_job *job,
			      struct hf_error *err)
{
	bool overdue = hf_job_overdue(job, HF_VANISHED_MS);
	uint32_t csts;

	int rc = hf_ctrl_status(&drv->ctrl, &csts, err);
	if (rc != 0 && !overdue) {
		return hf_job_wait_register(job);
	}
	drv->vanished = false;
	return rc;
}

/* number: how many tries there were in a row. */
static int step_back_off(struct hf_driver *drv, struct hf_job *job,
			 struct hf_error *err)
{
	uint64_t pause_ms =
		job->number == 0 ? 0 : UINT64_C(50) << HF_MIN(job->number, 8u);

	if (drv->vanished) {
		return wait_for_registers(drv, job, err);
	}
	if (pause_ms == 0 || hf_job_overdue(job, pause_ms)) {
		return 0;
	}
	job->wake_ns = job->deadline_ns;
	return HF_STEP_WAIT;
}

/* The first step that a controller which was stopped for certain comes to. */
#define STEP_STOPPED 3u
/* step_back_off(), which also waits for registers to come back. */
#define STEP_BACK_OFF 0u

static const struct hf_job_step bring_up_steps[] = {
	{"wait before trying again", step_back_off},
	{"disable the controller", hf_bring_up_step_disable},
	{"end what was in flight", step_end_in_flight},
	{"enable the controller", step_enable},
	{"identify the controller", step_identify},
	{"identify the NVM command set", step_identify_nvm},
	{"set the number of queues", step_queue_count},
	{"configure asynchronous events", hf_aer_step_configure},
	{"configure shadow doorbells", hf_shadow_step_configure},
	{"configure command retries", hf_retry_step_enable},
	{"create I/O queues", step_first_queue},
	{"identify the namespaces", hf_scan_step_active},
	{"go live", step_ready},
};

static const struct hf_job_kind bring_up_kind;

static struct hf_reset_note *last_reset(struct hf_driver *drv)
{
	/* A successor may have found one under way. */
	return drv->resets == 0
		       ? NULL
		       : &drv->reset_notes[(drv->resets - 1) % HF_RESET_NOTES];
}

static void note_reset(struct hf_driver *drv, const char *why)
{
	struct hf_reset_note *note =
		&drv->reset_notes[drv->resets % HF_RESET_NOTES];

	*note = (struct hf_reset_note){.began_ns = hf_now_ns()};
	strncpy(note->why, why, sizeof(note->why) - 1);
}

static void note_reset_over(struct hf_driver *drv, int result)
{
	struct hf_reset_note *note = last_reset(drv);

	if (note != NULL && !note->over) {
		note->over = true;
		note->ended_ns = hf_now_ns();
		note->result = result;
	}
}

static void begin_again(struct hf_driver *drv)
{
	hf_driver_fence(drv, HF_QPAIR_FENCED);
	/* Until all is there again, neither registers nor rings are what the
	 * ledger says: a successor has to begin the reset anew. */
	__atomic_store_n(&drv->ledger.header->resetting, 1, __ATOMIC_RELEASE);
	hf_job_init(&drv->bring_up, &bring_up_kind);
	drv->bring_up.number = drv->recoveries;
	if (last_reset(drv) != NULL) {
		last_reset(drv)->tries++;
	}
	drv->recoveries++;
	drv->bringing_up = true;
}

void hf_driver_go_on(struct hf_driver *drv)
{
	if (hf_driver_state(drv) == HF_DRIVER_RECOVERING) {
		/* That try has not failed: no longer pause, none less. */
		drv->recoveries--;
		begin_again(drv);
	} else {
		hf_driver_unfence(drv);
	}
}

static bool is_worth_another_try(const struct hf_driver *drv,
				 const struct hf_job *job)
{
	if (drv->state != HF_DRIVER_RECOVERING ||
	    drv->recoveries >= RECOVERIES_MAX) {
		return false;
	}
	return job->result == -ENODEV ? job->step != STEP_BACK_OFF
				      : job->step >= STEP_STOPPED;
}

static void bring_up_finished(struct hf_driver *drv, struct hf_job *job)
{
	drv->bringing_up = false;
	if (job->result == 0) {
		bool again = drv->state == HF_DRIVER_RECOVERING;

		hf_driver_set_state(drv, HF_DRIVER_READY);
		drv->recovered_ns = hf_now_ns();
		drv->recoveries = 0;
		note_reset_over(drv, 0);
		if (again) {
			const struct hf_event event = {
				.kind = HF_EVENT_CONTROLLER_RESET,
				.text = "the controller was reset and is back",
			};

			hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_BACK],
				       HF_LOG_WARNING, "%s: %s", drv->dev->id,
				       event.text);
			hf_event_ring_put(&drv->events, &event);
		}
		return;
	}
	if (is_worth_another_try(drv, job)) {
		/* Registers that read as ones are given a moment to pass. */
		drv->vanished = job->result == -ENODEV;
		hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_RESET],
			       HF_LOG_ERROR, "%s; trying again",
			       job->error.message);
		begin_again(drv);
		return;
	}
	note_reset_over(drv, job->result);
	hf_driver_fail(drv, &job->error);
}

static const struct hf_job_kind bring_up_kind = {
	.name = "bringing the controller up",
	.steps = bring_up_steps,
	.step_count = HF_ARRAY_LEN(bring_up_steps),
	.finished = bring_up_finished,
};

void hf_bring_up_start(struct hf_driver *drv)
{
	hf_job_init(&drv->bring_up, &bring_up_kind);
	drv->bringing_up = true;
}

void hf_bring_up_again(struct hf_driver *drv, const char *why)
{
	struct hf_error err;

	if (drv->bringing_up) {
		return;
	}
	if (hf_now_ns() - drv->recovered_ns > RECOVERED_NS) {
		drv->flaps = 0; /* that trouble was another */
	}
	if (drv->flaps >= FLAPS_MAX) {
		(void)hf_error_set(&err, -EIO,
				   "%s: given up after %u resets in a row: %s",
				   drv->dev->id, drv->flaps, why);
		hf_driver_fail(drv, &err);
		return;
	}
	drv->flaps++;
	note_reset(drv, why);
	hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_RESET], HF_LOG_ERROR,
		       "%s: resetting the controller: %s", drv->dev->id, why);
	drv->resets++;
	hf_driver_set_state(drv, HF_DRIVER_RECOVERING);
	begin_again(drv);
}

void hf_bring_up_give_up(struct hf_driver *drv, const char *why)
{
	struct hf_job *job = &drv->bring_up;

	job->result =
		hf_error_set(&job->error, -ETIMEDOUT, "%s, step '%s': %s: %s",
			     job->kind->name, job->kind->steps[job->step].name,
			     drv->dev->id, why);
	bring_up_finished(drv, job);
}
