/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/stats.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "emu/ctrl.h"
#include "emu/namespace.h"

void hf_emu_io_counts(struct hf_emu *emu, struct hf_emu_io_counts *counts)
{
	*counts = (struct hf_emu_io_counts){0};
	for (uint32_t i = 1; i < emu->worker_count; i++) {
		struct hf_emu_worker *worker = &emu->workers[i];

		hf_emu_worker_lock(worker);
		counts->reads += worker->read_commands;
		counts->writes += worker->write_commands;
		counts->read_bytes += worker->read_bytes;
		counts->written_bytes += worker->written_bytes;
		hf_emu_worker_unlock(worker);
	}
}

static uint64_t load64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

/* Every worker is locked. */
static void gather(struct hf_emu *emu, struct hf_emu_stats *s)
{
	for (uint32_t i = 0; i < emu->worker_count; i++) {
		const struct hf_emu_worker *worker = &emu->workers[i];
		uint64_t *by_opcode =
			i == 0 ? s->admin_commands : s->io_commands;

		for (uint32_t j = 0; j < HF_ARRAY_LEN(worker->commands); j++) {
			by_opcode[j] += worker->commands[j];
		}
		s->completions += worker->completions;
		s->errors += worker->errors;
		s->outstanding +=
			worker->dropped + hf_emu_worker_later_commands(worker);
	}
	for (uint32_t i = 0; i <= emu->options.max_sqs; i++) {
		s->doorbell_writes += load64(&emu->sqs[i].doorbell_writes);
	}
	for (uint32_t i = 0; i <= emu->options.max_cqs; i++) {
		s->doorbell_writes += load64(&emu->cqs[i].doorbell_writes);
	}
}

void hf_emu_stats(struct hf_emu *emu, struct hf_emu_stats *stats)
{
	struct hf_emu_stats s = {.size = sizeof(s)};
	size_t size = HF_MIN(stats->size, sizeof(s));

	pthread_mutex_lock(&emu->regs.lock);
	s.reg_reads = emu->regs.reads;
	s.reg_writes = emu->regs.writes;
	s.enables = emu->regs.enables;
	s.resets = emu->regs.resets;
	pthread_mutex_unlock(&emu->regs.lock);
	hf_emu_lock_all(emu);
	gather(emu, &s);
	hf_emu_unlock_all(emu);
	pthread_mutex_lock(&emu->aer.lock);
	s.events = emu->aer.completed;
	pthread_mutex_unlock(&emu->aer.lock);
	s.interrupts = load64(&emu->irq.raised);
	s.dma_faults = load64(&emu->dma.faults);
	s.watch_reads = load64(&emu->dma.watch_reads);
	s.watch_writes = load64(&emu->dma.watch_writes);
	s.size = stats->size;
	memcpy(stats, &s, size);
}

static void sq_info(struct hf_emu *emu, uint16_t qid,
		    struct hf_emu_queue_info *info)
{
	const struct hf_emu_sq *sq = &emu->sqs[qid];

	if (qid > emu->options.max_sqs || hf_emu_load(&sq->valid) == 0) {
		return;
	}
	info->exists = true;
	info->entries = hf_emu_load(&sq->entries);
	info->head = hf_emu_load(&sq->head);
	info->tail = hf_emu_load(&sq->tail);
	info->cqid = (uint16_t)hf_emu_load(&sq->cqid);
	info->commands = sq->commands;
	info->doorbell_writes = load64(&sq->doorbell_writes);
}

static void cq_info(struct hf_emu *emu, uint16_t qid,
		    struct hf_emu_queue_info *info)
{
	const struct hf_emu_cq *cq = &emu->cqs[qid];

	if (qid > emu->options.max_cqs || hf_emu_load(&cq->valid) == 0) {
		return;
	}
	info->exists = true;
	info->entries = hf_emu_load(&cq->entries);
	info->head = hf_emu_load(&cq->head);
	info->tail = hf_emu_load(&cq->tail);
	info->vector = (uint16_t)hf_emu_load(&cq->vector);
	info->irq_enabled = hf_emu_load(&cq->irq_enabled) != 0;
	info->commands = cq->commands;
	info->doorbell_writes = load64(&cq->doorbell_writes);
}

void hf_emu_sq_info(struct hf_emu *emu, uint16_t qid,
		    struct hf_emu_queue_info *info)
{
	struct hf_emu_queue_info i = {.size = info->size};

	hf_emu_lock_all(emu);
	sq_info(emu, qid, &i);
	hf_emu_unlock_all(emu);
	memcpy(info, &i, HF_MIN(info->size, sizeof(i)));
}

void hf_emu_cq_info(struct hf_emu *emu, uint16_t qid,
		    struct hf_emu_queue_info *info)
{
	struct hf_emu_queue_info i = {.size = info->size};

	hf_emu_lock_all(emu);
	cq_info(emu, qid, &i);
	hf_emu_unlock_all(emu);
	memcpy(info, &i, HF_MIN(info->size, sizeof(i)));
}

static void add_u64(struct json_object *to, const char *name, uint64_t value)
{
	json_object_object_add(to, name, json_object_new_uint64(value));
}

static struct json_object *
queue_json(uint32_t qid, const struct hf_emu_queue_info *info, bool of_cq)
{
	struct json_object *queue = json_object_new_object();

	add_u64(queue, "qid", qid);
	add_u64(queue, "entries", info->entries);
	add_u64(queue, "head", info->head);
	add_u64(queue, "tail", info->tail);
	if (of_cq) {
		add_u64(queue, "vector", info->vector);
		json_object_object_add(
			queue, "irq_enabled",
			json_object_new_boolean(info->irq_enabled));
	} else {
		add_u64(queue, "cqid", info->cqid);
	}
	add_u64(queue, "commands", info->commands);
	add_u64(queue, "doorbell_writes", info->doorbell_writes);
	return queue;
}

static struct json_object *queues_json(struct hf_emu *emu, bool of_cqs)
{
	uint32_t max = of_cqs ? emu->options.max_cqs : emu->options.max_sqs;
	struct json_object *queues = json_object_new_array();

	for (uint32_t i = 0; i <= max; i++) {
		struct hf_emu_queue_info info = {.size = sizeof(info)};

		if (of_cqs) {
			cq_info(emu, (uint16_t)i, &info);
		} else {
			sq_info(emu, (uint16_t)i, &info);
		}
		if (info.exists) {
			json_object_array_add(queues,
					      queue_json(i, &info, of_cqs));
		}
	}
	return queues;
}

static const char *life_text(enum hf_emu_life life)
{
	switch (life) {
	case HF_EMU_DISABLED:
		return "disabled";
	case HF_EMU_ENABLING:
		return "enabling";
	case HF_EMU_READY:
		return "ready";
	case HF_EMU_DISABLING:
		return "disabling";
	}
	return "unknown";
}

static void add_registers(struct hf_emu *emu, struct json_object *to)
{
	struct hf_emu_regs *regs = &emu->regs;

	pthread_mutex_lock(&regs->lock);
	json_object_object_add(to, "state",
			       json_object_new_string(life_text(regs->life)));
	add_u64(to, "cap", regs->cap);
	add_u64(to, "cc", regs->cc);
	add_u64(to, "aqa", regs->aqa);
	add_u64(to, "asq", regs->asq);
	add_u64(to, "acq", regs->acq);
	pthread_mutex_unlock(&regs->lock);
	json_object_object_add(
		to, "fatal",
		json_object_new_boolean(hf_emu_load(&emu->fatal) != 0));
	json_object_object_add(
		to, "gone",
		json_object_new_boolean(hf_emu_load(&emu->gone) != 0));
}

static void add_stats(struct hf_emu *emu, struct json_object *to)
{
	struct hf_emu_stats s = {.size = sizeof(s)};

	hf_emu_stats(emu, &s);
	add_u64(to, "completions", s.completions);
	add_u64(to, "errors", s.errors);
	add_u64(to, "outstanding", s.outstanding);
	add_u64(to, "events", s.events);
	add_u64(to, "doorbell_writes", s.doorbell_writes);
	add_u64(to, "interrupts", s.interrupts);
	add_u64(to, "enables", s.enables);
	add_u64(to, "resets", s.resets);
	add_u64(to, "dma_faults", s.dma_faults);
}

char *hf_emu_inspect(struct hf_emu *emu)
{
	struct json_object *root = json_object_new_object();

	if (root == NULL) {
		return NULL;
	}
	json_object_object_add(root, "serial",
			       json_object_new_string(emu->serial));
	add_registers(emu, root);
	add_stats(emu, root);
	hf_emu_lock_all(emu);
	json_object_object_add(root, "submission_queues",
			       queues_json(emu, false));
	json_object_object_add(root, "completion_queues",
			       queues_json(emu, true));
	hf_emu_unlock_all(emu);
	json_object_object_add(root, "namespaces", hf_namespaces_inspect(emu));

	const char *text =
		json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY);
	char *copy = text != NULL ? strdup(text) : NULL;
	json_object_put(root);
	return copy;
}
