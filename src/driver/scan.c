/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/scan.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"
#include "driver/admin.h"

#define VERSION_1_3 0x00010300u

enum {
	PHASE_IDENTIFY = 0,
	PHASE_DESCRIPTORS = 1,
};

static struct hf_namespace *find(const struct hf_driver *drv, uint32_t nsid)
{
	hf_list_for_each(link, &drv->namespaces)
	{
		struct hf_namespace *ns =
			hf_container_of(link, struct hf_namespace, link);

		if (ns->nsid == nsid && !ns->removed) {
			return ns;
		}
	}
	return NULL;
}

void hf_scan_note_changed(struct hf_driver *drv, const uint8_t *list)
{
	const uint32_t max = HF_ARRAY_LEN(drv->changed);

	drv->changed_count = 0;
	/* FFFFFFFFh in front: more changed than the list holds. */
	if (list == NULL || hf_get_le32(list) == UINT32_MAX) {
		hf_list_for_each(link, &drv->namespaces)
		{
			struct hf_namespace *ns = hf_container_of(
				link, struct hf_namespace, link);

			if (drv->changed_count < max) {
				drv->changed[drv->changed_count++] = ns->nsid;
			}
		}
		return;
	}
	for (uint32_t i = 0; i < max; i++) {
		uint32_t nsid = hf_get_le32(list + (size_t)4 * i);

		if (nsid == 0) {
			return;
		}
		drv->changed[drv->changed_count++] = nsid;
	}
}

static void tell(struct hf_driver *drv, enum hf_event_kind kind, uint32_t nsid,
		 const char *what)
{
	struct hf_event event = {.kind = kind, .nsid = nsid};

	snprintf(event.text, sizeof(event.text), "namespace %u %s", nsid, what);
	hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_NAMESPACE], HF_LOG_INFO,
		       "%s: %s", drv->dev->id, event.text);
	hf_event_ring_put(&drv->events, &event);
}

static int phase_identify(struct hf_driver *drv, struct hf_job *job,
			  uint32_t nsid, struct hf_error *err)
{
	struct hf_scan *scan = &drv->scan;
	const struct nvme_sqe sqe = {
		.opcode = nvme_admin_identify,
		.nsid = htole32(nsid),
		.cdw10 = htole32(NVME_IDENTIFY_CNS_NS),
	};

	int rc = hf_admin_step_through_resets(drv, job, &sqe, drv->scratch,
					      NVME_IDENTIFY_DATA_SIZE, err);
	if (rc == HF_STEP_WAIT) {
		return rc;
	}
	scan->rc = rc;
	memcpy(scan->identify, drv->scratch, sizeof(scan->identify));
	memset(&scan->identity, 0, sizeof(scan->identity));
	if (rc == 0) {
		scan->rc = hf_ns_parse(&scan->geometry, &scan->identity,
				       (const void *)drv->scratch, nsid, err);
	}
	if (scan->rc != 0 && err != NULL) {
		scan->error = *err;
	}
	return 0;
}

static bool is_status(int rc, uint32_t status)
{
	return rc > 0 && ((uint32_t)rc & 0x7ff) == status;
}

/*
 * The UUID, where there is one; older controllers do not have the list. Any
 * other failure is not taken for "no UUID": a namespace would seem to have
 * been replaced by another.
 */
static int phase_descriptors(struct hf_driver *drv, struct hf_job *job,
			     uint32_t nsid, struct hf_error *err)
{
	const struct nvme_sqe sqe = {
		.opcode = nvme_admin_identify,
		.nsid = htole32(nsid),
		.cdw10 = htole32(NVME_IDENTIFY_CNS_NS_DESC_LIST),
	};

	if (drv->scan.rc != 0 || drv->ctrl.vs < VERSION_1_3) {
		return 0;
	}
	int rc = hf_admin_step_through_resets(drv, job, &sqe, drv->scratch,
					      NVME_IDENTIFY_DATA_SIZE, err);
	if (rc == HF_STEP_WAIT) {
		return rc;
	}
	if (rc == 0) {
		hf_ns_parse_uuid(&drv->scan.identity, drv->scratch);
	} else if (!is_status(rc, NVME_SC_INVALID_FIELD) &&
		   !is_status(rc, NVME_SC_INVALID_OPCODE)) {
		drv->scan.rc = rc;
		drv->scan.error = *err;
	}
	return 0;
}

/* HF_STEP_WAIT, or 0 with drv->scan filled. */
static int identify(struct hf_driver *drv, struct hf_job *job, uint32_t nsid,
		    struct hf_error *err)
{
	if (drv->scan.phase == PHASE_IDENTIFY) {
		if (phase_identify(drv, job, nsid, err) == HF_STEP_WAIT) {
			return HF_STEP_WAIT;
		}
		drv->scan.phase = PHASE_DESCRIPTORS;
	}
	if (phase_descriptors(drv, job, nsid, err) == HF_STEP_WAIT) {
		return HF_STEP_WAIT;
	}
	drv->scan.phase = PHASE_IDENTIFY;
	return 0;
}

static void ledger_put(struct hf_driver *drv, const struct hf_namespace *ns,
		       bool open)
{
	struct hf_ledger_header *header = drv->ledger.header;
	struct hf_ledger_namespace *free_entry = NULL;
	struct hf_ledger_namespace *entry = NULL;

	for (uint32_t i = 0; i < HF_LEDGER_NAMESPACES_MAX; i++) {
		if (header->namespaces[i].nsid == ns->nsid) {
			entry = &header->namespaces[i];
		} else if (header->namespaces[i].nsid == 0 &&
			   free_entry == NULL) {
			free_entry = &header->namespaces[i];
		}
	}
	if (entry == NULL) {
		entry = free_entry;
	}
	if (entry == NULL) {
		return; /* a successor will have to open it again */
	}
	/* A process that dies while it stores leaves no entry, and never one of
	 * two halves: its successor opens the namespace by identifying it. */
	__atomic_store_n(&entry->nsid, 0, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	memcpy(entry->identify, drv->scan.identify, sizeof(entry->identify));
	memcpy(entry->nguid, ns->identity.nguid, sizeof(entry->nguid));
	memcpy(entry->eui64, ns->identity.eui64, sizeof(entry->eui64));
	memcpy(entry->uuid, ns->identity.uuid, sizeof(entry->uuid));
	entry->open = open;
	__atomic_store_n(&entry->nsid, ns->nsid, __ATOMIC_RELEASE);
}

/* A namespace as it was just identified; not open. */
static int know(struct hf_driver *drv, uint32_t nsid, struct hf_namespace **ns,
		struct hf_error *err)
{
	int rc =
		hf_ns_create(ns, nsid, &drv->scan.geometry, &drv->scan.identity,
			     &drv->limits, &drv->issuers, drv);
	if (rc != 0) {
		return hf_error_set(err, rc, "%s: no memory for namespace %u",
				    drv->dev->id, nsid);
	}
	hf_list_push_back(&drv->namespaces, &(*ns)->link);
	ledger_put(drv, *ns, false);
	return 0;
}

static void apply(struct hf_driver *drv, uint32_t nsid)
{
	struct hf_namespace *ns = find(drv, nsid);
	const struct hf_scan *scan = &drv->scan;
	struct hf_error err;

	if (ns == NULL && drv->is_quiet) {
		if (scan->rc == 0 && know(drv, nsid, &ns, &err) != 0) {
			hf_log_error(&drv->log, "%s", err.message);
		}
		return;
	}
	if (ns == NULL) {
		if (scan->rc == 0) {
			tell(drv, HF_EVENT_NAMESPACE_ADDED, nsid, "is there");
		}
		return;
	}
	/* Invalid Namespace or Format is how some say that it is inactive. */
	if (scan->rc == -ENODEV || is_status(scan->rc, NVME_SC_INVALID_NS)) {
		hf_ns_remove(ns);
		tell(drv, HF_EVENT_NAMESPACE_REMOVED, nsid, "is gone");
		return;
	}
	if (scan->rc == -ENOTSUP || scan->rc == -EPROTO) {
		hf_ns_remove(ns);
		tell(drv, HF_EVENT_NAMESPACE_REMOVED, nsid,
		     "cannot be used any more: its format changed");
		return;
	}
	if (scan->rc != 0) {
		hf_log_limited(&drv->log, &drv->quiet[HF_QUIET_NAMESPACE],
			       HF_LOG_WARNING,
			       "%s: namespace %u: not rescanned: %s",
			       drv->dev->id, nsid, scan->error.message);
		return;
	}

	enum hf_ns_change change =
		hf_ns_update(ns, &scan->geometry, &scan->identity);
	if (change != HF_NS_SWAPPED) {
		ledger_put(drv, ns, ns->open);
	}
	switch (change) {
	case HF_NS_SAME:
		break;
	case HF_NS_CHANGED:
		tell(drv, HF_EVENT_NAMESPACE_CHANGED, nsid, "changed");
		break;
	case HF_NS_SWAPPED:
		tell(drv, HF_EVENT_NAMESPACE_REMOVED, nsid,
		     "was replaced by another");
		break;
	}
}

int hf_scan_step(struct hf_driver *drv, struct hf_job *job, uint32_t nsid,
		 struct hf_error *err)
{
	/* A list may hold anything; these are no namespaces. */
	if (nsid == 0 || nsid >= UINT32_MAX - 1) {
		return 0;
	}
	if (identify(drv, job, nsid, err) == HF_STEP_WAIT) {
		return HF_STEP_WAIT;
	}
	apply(drv, nsid);
	return 0;
}

int hf_scan_step_active(struct hf_driver *drv, struct hf_job *job,
			struct hf_error *err)
{
	const struct nvme_sqe sqe = {
		.opcode = nvme_admin_identify,
		.cdw10 = htole32(NVME_IDENTIFY_CNS_NS_ACTIVE_LIST),
	};
	int rc;

	if (!drv->is_quiet) {
		return 0;
	}
	if (!job->entered) {
		job->cursor = 0;
		drv->scan.phase = PHASE_IDENTIFY;
	}
	/* The list comes first; it ends with a zero. */
	if (job->cursor == 0) {
		rc = hf_admin_step(drv, job, &sqe, drv->scratch,
				   NVME_IDENTIFY_DATA_SIZE, false, err);
		if (rc != 0) {
			return rc;
		}
		hf_scan_note_changed(drv, drv->scratch);
		job->cursor = 1;
	}
	while (job->cursor <= drv->changed_count) {
		if (hf_scan_step(drv, job, drv->changed[job->cursor - 1],
				 err) == HF_STEP_WAIT) {
			return HF_STEP_WAIT;
		}
		job->cursor++;
	}
	return 0;
}

static int step_rescan_all(struct hf_driver *drv, struct hf_job *job,
			   struct hf_error *err)
{
	if (!job->entered) {
		hf_scan_note_changed(drv, NULL);
	}
	while (job->cursor < drv->changed_count) {
		if (hf_scan_step(drv, job, drv->changed[job->cursor], err) ==
		    HF_STEP_WAIT) {
			return HF_STEP_WAIT;
		}
		job->cursor++;
	}
	return 0;
}

static void rescan_finished(struct hf_driver *drv, struct hf_job *job)
{
	(void)drv;
	free(job);
}

static const struct hf_job_step rescan_steps[] = {
	{"identify namespaces", step_rescan_all},
};

static const struct hf_job_kind rescan_kind = {
	.name = "rescanning",
	.steps = rescan_steps,
	.step_count = HF_ARRAY_LEN(rescan_steps),
	.finished = rescan_finished,
};

void hf_scan_all(struct hf_driver *drv)
{
	struct hf_job *job;

	if (drv->is_quiet) {
		return; /* that was done while it came up */
	}
	job = malloc(sizeof(*job));

	if (job == NULL) {
		hf_log_error(&drv->log, "%s: no memory for a rescan",
			     drv->dev->id);
		return;
	}
	hf_job_init(job, &rescan_kind);
	hf_driver_queue_job_locked(drv, job);
}

static int step_open(struct hf_driver *drv, struct hf_job *job,
		     struct hf_error *err)
{
	uint32_t nsid = job->number;
	struct hf_namespace *ns;

	ns = find(drv, nsid);
	if (!job->entered && ns != NULL && !ns->open) {
		ns->open = true;
		*(struct hf_namespace **)job->arg = ns;
		return 0;
	}
	if (!job->entered && ns != NULL) {
		return hf_error_set(err, -EBUSY,
				    "%s: namespace %u is open already; two "
				    "owners would overwrite each other's data",
				    drv->dev->id, nsid);
	}
	if (ns == NULL && drv->is_quiet) {
		return hf_error_set(err, -ENODEV,
				    "%s: namespace %u was not there when the "
				    "controller came up, which is not asked "
				    "since",
				    drv->dev->id, nsid);
	}
	if (identify(drv, job, nsid, err) == HF_STEP_WAIT) {
		return HF_STEP_WAIT;
	}
	if (drv->scan.rc != 0) {
		*err = drv->scan.error;
		/* Some answer for an inactive namespace with a status. */
		return is_status(drv->scan.rc, NVME_SC_INVALID_NS)
			       ? -ENODEV
			       : drv->scan.rc;
	}
	int rc = know(drv, nsid, &ns, err);
	if (rc != 0) {
		return rc;
	}
	ns->open = true;
	*(struct hf_namespace **)job->arg = ns;
	return 0;
}

static const struct hf_job_step open_steps[] = {
	{"identify the namespace", step_open},
};

static const struct hf_job_kind open_kind = {
	.name = "opening a namespace",
	.steps = open_steps,
	.step_count = HF_ARRAY_LEN(open_steps),
};

/* A predecessor's: known, and free to be opened. */
static bool open_known(struct hf_driver *drv, uint32_t nsid,
		       struct hf_namespace **out)
{
	pthread_mutex_lock(&drv->control);
	struct hf_namespace *ns = find(drv, nsid);
	enum hf_driver_state state = hf_driver_state(drv);
	/* While a reset is under way, too: its I/O is to be attached to before
	 * that ends it, and the reset looks at all namespaces anew. */
	bool known =
		ns != NULL && !ns->open &&
		(state == HF_DRIVER_READY || state == HF_DRIVER_RECOVERING);

	if (known) {
		ns->open = true;
		*out = ns;
	}
	pthread_mutex_unlock(&drv->control);
	return known;
}

int hf_scan_open_wait(struct hf_driver *drv, uint32_t nsid,
		      struct hf_namespace **ns, struct hf_error *err)
{
	struct hf_job job;

	if (nsid == 0 || nsid >= UINT32_MAX - 1) {
		return hf_error_set(err, -EINVAL,
				    "%s: %u is no namespace identifier; 1 to "
				    "4294967293 are",
				    drv->dev->id, nsid);
	}
	/* Not behind control work that waits for the controller: the gap that
	 * a restart leaves ends with this. */
	if (open_known(drv, nsid, ns)) {
		return 0;
	}
	hf_job_init(&job, &open_kind);
	job.number = nsid;
	job.arg = ns;
	return hf_control_run_job(drv, &job, err);
}

static int step_again(struct hf_driver *drv, struct hf_job *job,
		      struct hf_error *err)
{
	struct hf_namespace *ns = job->arg;

	if (hf_scan_step(drv, job, ns->nsid, err) == HF_STEP_WAIT) {
		return HF_STEP_WAIT;
	}
	if (ns->removed) {
		return hf_error_set(err, -ENODEV,
				    "%s: namespace %u was removed or replaced",
				    drv->dev->id, ns->nsid);
	}
	if (drv->scan.rc != 0) {
		*err = drv->scan.error;
	}
	return drv->scan.rc;
}

static const struct hf_job_step again_steps[] = {
	{"identify the namespace", step_again},
};

static const struct hf_job_kind again_kind = {
	.name = "rescanning a namespace",
	.steps = again_steps,
	.step_count = HF_ARRAY_LEN(again_steps),
};

int hf_scan_again_wait(struct hf_driver *drv, struct hf_namespace *ns,
		       struct hf_error *err)
{
	struct hf_job job;

	hf_job_init(&job, &again_kind);
	job.arg = ns;
	return hf_control_run_job(drv, &job, err);
}

uint32_t hf_scan_known(struct hf_driver *drv, uint32_t *nsids, uint32_t max)
{
	uint32_t count = 0;

	pthread_mutex_lock(&drv->control);
	hf_list_for_each(link, &drv->namespaces)
	{
		const struct hf_namespace *ns =
			hf_container_of(link, struct hf_namespace, link);

		if (ns->removed) {
			continue;
		}
		if (count < max) {
			nsids[count] = ns->nsid;
		}
		count++;
	}
	pthread_mutex_unlock(&drv->control);
	return count;
}

void hf_scan_close(struct hf_driver *drv, struct hf_namespace *ns)
{
	pthread_mutex_lock(&drv->control);
	if (drv->is_quiet && !ns->removed) {
		/* It could not be identified again. */
		ns->open = false;
		pthread_mutex_unlock(&drv->control);
		return;
	}
	hf_list_remove(&ns->link);
	for (uint32_t i = 0; i < HF_LEDGER_NAMESPACES_MAX; i++) {
		if (drv->ledger.header->namespaces[i].nsid == ns->nsid) {
			drv->ledger.header->namespaces[i].nsid = 0;
		}
	}
	pthread_mutex_unlock(&drv->control);
	hf_ns_destroy(ns);
}
