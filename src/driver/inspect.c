/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/inspect.h"

#include <stdio.h>
#include <string.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "driver/inspect_tree.h"
#include "driver/inspect_trouble.h"
#include "driver/ioqueues.h"
#include "driver/policy.h"
#include "state/registry.h"

static const char *driver_state_name(enum hf_driver_state state)
{
	switch (state) {
	case HF_DRIVER_STARTING:
		return "starting";
	case HF_DRIVER_READY:
		return "ready";
	case HF_DRIVER_RECOVERING:
		return "recovering";
	case HF_DRIVER_CLOSING:
		return "closing";
	case HF_DRIVER_FAILED:
		return "failed";
	}
	return "unknown";
}

static const char *qpair_state_name(enum hf_qpair_state state)
{
	switch (state) {
	case HF_QPAIR_LIVE:
		return "live";
	case HF_QPAIR_DRAINING:
		return "draining";
	case HF_QPAIR_FENCED:
		return "fenced";
	case HF_QPAIR_DEAD:
		return "dead";
	}
	return "unknown";
}

/* Identify's text fields are padded with spaces, and from the device. */
static void put_padded(struct json_object *into, const char *key,
		       const char *field, size_t len)
{
	char text[64];

	while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\0')) {
		len--;
	}
	len = HF_MIN(len, sizeof(text) - 1);
	for (size_t i = 0; i < len; i++) {
		text[i] = field[i] >= 0x20 && field[i] < 0x7f ? field[i] : '?';
	}
	text[len] = '\0';
	put_text(into, key, text);
}

static struct json_object *inspect_qpair(struct hf_qpair *qp)
{
	struct json_object *tree = json_object_new_object();

	hf_qpair_lock(qp);
	put_u64(tree, "qid", qp->qid);
	put_u64(tree, "cpu", qp->cpu);
	put_u64(tree, "vector", qp->vector);
	put_text(tree, "state", qpair_state_name(qp->state));
	put_u64(tree, "entries", qp->sq.entries);
	put_u64(tree, "in_flight", qp->pending.in_use);
	put_u64(tree, "submitted", qp->submitted);
	put_u64(tree, "completed", qp->completed);
	put_u64(tree, "doorbells", qp->doorbells);
	put_u64(tree, "bounced", qp->bounced);
	put_u64(tree, "waited", qp->waited);
	put_u64(tree, "doorbells_spared",
		qp->sq.doorbell.spared + qp->cq.doorbell.spared);
	put_u64(tree, "sq_tail", qp->sq.tail);
	put_u64(tree, "sq_head", qp->sq.head);
	put_u64(tree, "cq_head", qp->cq.head);
	put_u64(tree, "pool_pages", qp->pool.count);
	put_u64(tree, "pool_pages_free", qp->pool.free_count);
	put_u64(tree, "memory_bytes", qp->block.len_bytes);
	hf_inspect_queue_trouble(qp, tree);
	hf_qpair_unlock(qp);
	return tree;
}

static struct json_object *inspect_cpus(const struct hf_driver *drv)
{
	struct json_object *cpus = json_object_new_array();

	for (uint32_t i = 0; i < drv->issuers.count; i++) {
		const struct hf_issuer *issuer = &drv->issuers.each[i];
		const struct hf_qpair *qp = hf_issuer_qpair(issuer);
		struct json_object *cpu = json_object_new_object();

		put_u64(cpu, "cpu", i);
		if (qp != NULL) {
			put_u64(cpu, "qid", qp->qid);
		}
		put_text(cpu, "queue",
			 qp == NULL ? "none yet"
				    : (qp->cpu == i ? "own" : "fallback"));
		json_object_array_add(cpus, cpu);
	}
	return cpus;
}

static struct json_object *inspect_namespaces(const struct hf_driver *drv)
{
	struct json_object *all = json_object_new_array();

	hf_list_for_each(link, &drv->namespaces)
	{
		struct hf_namespace *ns =
			hf_container_of(link, struct hf_namespace, link);
		struct json_object *tree = json_object_new_object();

		put_u64(tree, "nsid", ns->nsid);
		put_u64(tree, "blocks",
			__atomic_load_n(&ns->blocks, __ATOMIC_RELAXED));
		put_u64(tree, "block_bytes", UINT64_C(1) << ns->block_shift);
		json_object_object_add(tree, "removed",
				       json_object_new_boolean(ns->removed));
		json_object_array_add(all, tree);
	}
	return all;
}

static struct json_object *inspect_controller(const struct hf_driver *drv)
{
	const struct nvme_id_ctrl *id =
		(const void *)drv->ledger.header->identify;
	struct json_object *tree = json_object_new_object();
	char vs[32];

	snprintf(vs, sizeof(vs), "%u.%u.%u", drv->ctrl.vs >> 16,
		 drv->ctrl.vs >> 8 & 0xff, drv->ctrl.vs & 0xff);
	put_padded(tree, "serial", id->sn, sizeof(id->sn));
	put_padded(tree, "model", id->mn, sizeof(id->mn));
	put_padded(tree, "firmware", id->fr, sizeof(id->fr));
	put_text(tree, "version", vs);
	put_u64(tree, "capabilities", drv->ctrl.cap);
	put_u64(tree, "max_transfer_bytes", drv->limits.max_transfer_bytes);
	put_u64(tree, "ready_timeout_ms", drv->ctrl.ready_timeout_ms);
	return tree;
}

static struct json_object *inspect_queues(struct hf_driver *drv)
{
	struct json_object *queues = json_object_new_array();

	for (uint32_t i = 0; i < drv->io_max; i++) {
		if (drv->io[i] != NULL) {
			json_object_array_add(queues,
					      inspect_qpair(drv->io[i]));
		}
	}
	return queues;
}

static struct json_object *inspect_dma(struct hf_driver *drv)
{
	struct json_object *tree = json_object_new_object();
	struct hf_dma *dma = &drv->dev->dma;
	uint32_t mappings = 0;

	pthread_mutex_lock(&dma->lock);
	for (uint32_t i = 0; i < HF_REGISTRY_REGIONS_MAX; i++) {
		mappings += dma->registry->regions[i].state != HF_REGION_FREE;
	}
	put_u64(tree, "mappings", mappings);
	put_u64(tree, "allocated_bytes", dma->allocated_bytes);
	pthread_mutex_unlock(&dma->lock);
	return tree;
}

static struct json_object *inspect_steps(const struct hf_steps *taken)
{
	struct json_object *tree = json_object_new_object();
	struct json_object *list = json_object_new_array();
	uint64_t began_ns = taken->began_ns;

	for (uint32_t i = 0; i < taken->count; i++) {
		const struct hf_step *step = &taken->steps[i];
		struct json_object *entry = json_object_new_object();

		put_text(entry, "step", step->name);
		put_u64(entry, "took_ns", step->ended_ns - began_ns);
		json_object_array_add(list, entry);
		began_ns = step->ended_ns;
	}
	put_u64(tree, "took_ns", began_ns - taken->began_ns);
	json_object_object_add(tree, "steps", list);
	return tree;
}

static struct json_object *inspect_keepalive(const struct hf_driver *drv)
{
	struct json_object *tree = json_object_new_object();
	const char *why = hf_policy_rules_out_keepalive(drv);
	char id[16];

	json_object_object_add(tree, "allowed",
			       json_object_new_boolean(why == NULL));
	if (why != NULL) {
		put_text(tree, "why_not", why);
	}
	snprintf(id, sizeof(id), "%04x:%04x", drv->dev->pci_vendor,
		 drv->dev->pci_device);
	put_text(tree, "pci_id", id);
	put_text(tree, "device_class",
		 drv->is_quiet ? hf_policy_class_name(HF_DEVICE_CLASS_QUIET)
			       : hf_policy_class_name(drv->device_class));
	return tree;
}

/* Where the time of a hand-over went. */
static void inspect_servicing(struct hf_driver *drv, struct json_object *tree)
{
	if (drv->dev->steps.count > 0) {
		json_object_object_add(tree, "restore",
				       inspect_steps(&drv->dev->steps));
	}
	if (drv->save_steps.count > 0) {
		json_object_object_add(tree, "save",
				       inspect_steps(&drv->save_steps));
	}
}

static void inspect_jobs(struct hf_driver *drv, struct json_object *tree)
{
	const struct hf_job *job = NULL;

	if (drv->bringing_up) {
		job = &drv->bring_up;
	} else if (!hf_list_empty(&drv->jobs)) {
		job = hf_container_of(drv->jobs.next, struct hf_job, link);
	} else {
		job = hf_keep_first(drv);
	}
	if (job != NULL) {
		put_text(tree, "job", job->kind->name);
		if (job->step < job->kind->step_count) {
			put_text(tree, "job_step",
				 job->kind->steps[job->step].name);
		}
	}
}

static void inspect_driver(struct hf_driver *drv, struct json_object *tree)
{
	put_text(tree, "device", drv->dev->id);
	put_text(tree, "backing", drv->dev->ops->kind);
	put_text(tree, "state", driver_state_name(hf_driver_state(drv)));
	if (hf_driver_state(drv) == HF_DRIVER_FAILED) {
		put_text(tree, "failure", drv->failure.message);
	}
	inspect_jobs(drv, tree);
	put_u64(tree, "resets", drv->resets);
	put_u64(tree, "aborts", drv->aborts);
	put_u64(tree, "lost_interrupts", drv->lost_interrupts);
	put_u64(tree, "completions_refused",
		__atomic_load_n(&drv->lies, __ATOMIC_RELAXED));
	json_object_object_add(tree, "controller_identity",
			       inspect_controller(drv));
	json_object_object_add(
		tree, "shadow_doorbells",
		json_object_new_boolean(drv->shadow.vaddr != NULL));
	json_object_object_add(tree, "keepalive", inspect_keepalive(drv));
	put_u64(tree, "io_queues_max", drv->io_max);
	put_u64(tree, "fallback_cpus", hf_ioqueues_fallback_count(drv));
	json_object_object_add(tree, "cpus", inspect_cpus(drv));
	if (drv->admin != NULL) {
		json_object_object_add(tree, "admin_queue",
				       inspect_qpair(drv->admin));
	}
	json_object_object_add(tree, "io_queues", inspect_queues(drv));
	json_object_object_add(tree, "namespaces", inspect_namespaces(drv));
	json_object_object_add(tree, "dma", inspect_dma(drv));
	hf_inspect_trouble(drv, tree);
	inspect_servicing(drv, tree);
	if (drv->dev->ops->inspect != NULL) {
		drv->dev->ops->inspect(drv->dev, tree);
	}
}

char *hf_inspect(struct hf_driver *drv)
{
	struct json_object *tree = json_object_new_object();
	char *text;

	pthread_mutex_lock(&drv->control);
	inspect_driver(drv, tree);
	pthread_mutex_unlock(&drv->control);
	text = strdup(
		json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PRETTY));
	json_object_put(tree);
	return text;
}
