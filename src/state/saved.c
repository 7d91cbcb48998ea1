/* SPDX-License-Identifier: BSD-3-Clause */
#include "state/saved.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "saved.pb-c.h"
#include "state/arena.h"

/*
 * The message is a tree of small structs that live as long as it takes to pack
 * it. They come out of one arena, which is freed as a whole.
 */
struct tree {
	struct hf_arena arena;
	bool failed;
};

static void *take(struct tree *tree, size_t len_bytes)
{
	void *memory = hf_arena_take(&tree->arena, len_bytes);

	if (memory == NULL) {
		tree->failed = true;
		return NULL;
	}
	return memset(memory, 0, len_bytes);
}

static Holdfast__Saved__PendingCommand *command_of(struct tree *tree,
						   struct hf_ledger_slot *slot)
{
	Holdfast__Saved__PendingCommand *command = take(tree, sizeof(*command));

	if (command == NULL) {
		return NULL;
	}
	holdfast__saved__pending_command__init(command);
	command->has_command = true;
	command->command.data = (uint8_t *)&slot->sqe;
	command->command.len = sizeof(slot->sqe);
	command->has_cookie = true;
	command->cookie = slot->cookie;
	command->has_kind = true;
	command->kind = slot->kind;
	command->has_completed = true;
	command->completed = slot->state == HF_SLOT_DONE;
	command->has_status = slot->state == HF_SLOT_DONE;
	command->status = slot->status;
	return command;
}

static Holdfast__Saved__PendingCommands *
commands_of(struct tree *tree, const struct hf_ledger_view *view)
{
	Holdfast__Saved__PendingCommands *commands =
		take(tree, sizeof(*commands));
	uint32_t count = view->queue->slot_count;
	uint32_t bits = 0;

	if (commands == NULL) {
		return NULL;
	}
	holdfast__saved__pending_commands__init(commands);
	while ((1u << bits) < count) {
		bits++;
	}
	commands->has_cid_key_bits = true;
	commands->cid_key_bits = bits;
	commands->commands = (Holdfast__Saved__PendingCommand **)take(
		tree, count * sizeof(*commands->commands));
	for (uint32_t i = 0; !tree->failed && i < count; i++) {
		struct hf_ledger_slot *slot = &view->slots[i];

		if (slot->state != HF_SLOT_FREE) {
			commands->commands[commands->n_commands] =
				command_of(tree, slot);
			commands->n_commands++;
		}
	}
	return commands;
}

static Holdfast__Saved__AerHandler *aer_of(struct tree *tree,
					   const struct hf_ledger *ledger,
					   const struct hf_ledger_view *view)
{
	Holdfast__Saved__AerHandler *aer = take(tree, sizeof(*aer));

	if (aer == NULL) {
		return NULL;
	}
	holdfast__saved__aer_handler__init(aer);
	for (uint32_t i = 0; i < HF_LEDGER_AERS; i++) {
		if (ledger->header->aers[i].came != 0) {
			aer->has_last_aen = true;
			aer->last_aen = ledger->header->aers[i].dw0;
		}
	}
	for (uint32_t i = 0; i < view->queue->slot_count; i++) {
		if (view->slots[i].state == HF_SLOT_TAKEN &&
		    view->slots[i].kind == HF_SLOT_AER) {
			aer->has_await_aen_cid = true;
			aer->await_aen_cid = le16toh(view->slots[i].sqe.cid);
		}
	}
	return aer;
}

static void positions_of(Holdfast__Saved__SubmissionQueue *sq,
			 Holdfast__Saved__CompletionQueue *cq,
			 const struct hf_ledger_queue *queue)
{
	sq->has_sqid = true;
	sq->sqid = queue->qid;
	sq->has_head = true;
	sq->head = queue->sq_head;
	sq->has_tail = true;
	sq->tail = (uint32_t)queue->sq_recorded;
	sq->has_committed_tail = true;
	sq->committed_tail = (uint32_t)queue->sq_rung;
	sq->has_len = true;
	sq->len = queue->entries;
	cq->has_cqid = true;
	cq->cqid = queue->qid;
	cq->has_head = true;
	cq->head = queue->cq_head & ~HF_LEDGER_PHASE;
	cq->has_committed_head = true;
	cq->committed_head = queue->cq_rung & ~HF_LEDGER_PHASE;
	cq->has_len = true;
	cq->len = queue->entries;
	cq->has_phase = true;
	cq->phase = (queue->cq_head & HF_LEDGER_PHASE) != 0;
}

static Holdfast__Saved__QueueHandler *
handler_of(struct tree *tree, const struct hf_ledger *ledger,
	   const struct hf_ledger_view *view)
{
	Holdfast__Saved__QueueHandler *handler = take(tree, sizeof(*handler));
	Holdfast__Saved__SubmissionQueue *sq = take(tree, sizeof(*sq));
	Holdfast__Saved__CompletionQueue *cq = take(tree, sizeof(*cq));

	if (handler == NULL || sq == NULL || cq == NULL) {
		return NULL;
	}
	holdfast__saved__queue_handler__init(handler);
	holdfast__saved__submission_queue__init(sq);
	holdfast__saved__completion_queue__init(cq);
	positions_of(sq, cq, view->queue);
	handler->sq_state = sq;
	handler->cq_state = cq;
	handler->pending_cmds = commands_of(tree, view);
	if (view->queue->qid == 0) {
		handler->aer_handler = aer_of(tree, ledger, view);
	}
	return handler;
}

static Holdfast__Saved__QueuePair *pair_of(struct tree *tree,
					   const struct hf_ledger *ledger,
					   const struct hf_ledger_view *view)
{
	Holdfast__Saved__QueuePair *pair = take(tree, sizeof(*pair));

	if (pair == NULL) {
		return NULL;
	}
	holdfast__saved__queue_pair__init(pair);
	pair->has_mem_len = true;
	pair->mem_len = view->queue->len_bytes;
	pair->has_base_pfn = true;
	pair->base_pfn = view->queue->iova >> 12;
	pair->has_qid = true;
	pair->qid = view->queue->qid;
	pair->has_sq_entries = true;
	pair->sq_entries = view->queue->entries;
	pair->has_cq_entries = true;
	pair->cq_entries = view->queue->entries;
	pair->handler_data = handler_of(tree, ledger, view);
	return pair;
}

static void add_io_queue(struct tree *tree, const struct hf_ledger *ledger,
			 uint32_t index, Holdfast__Saved__Worker *worker)
{
	const struct hf_ledger_view view = hf_ledger_queue_view(ledger, index);
	Holdfast__Saved__IoQueue *io;

	if (view.queue->state != HF_QUEUE_LIVE) {
		return;
	}
	io = take(tree, sizeof(*io));
	if (io == NULL) {
		return;
	}
	holdfast__saved__io_queue__init(io);
	io->has_cpu = true;
	io->cpu = view.queue->cpu;
	io->has_iv = true;
	io->iv = view.queue->vector;
	io->queue_data = pair_of(tree, ledger, &view);
	worker->io[worker->n_io] = io;
	worker->n_io++;
}

static Holdfast__Saved__Worker *worker_of(struct tree *tree,
					  const struct hf_ledger *ledger)
{
	const struct hf_ledger_header *header = ledger->header;
	const struct hf_ledger_view admin = hf_ledger_queue_view(ledger, 0);
	Holdfast__Saved__Worker *worker = take(tree, sizeof(*worker));

	if (worker == NULL) {
		return NULL;
	}
	holdfast__saved__worker__init(worker);
	worker->admin = pair_of(tree, ledger, &admin);
	worker->io = (Holdfast__Saved__IoQueue **)take(
		tree, header->queues_max * sizeof(*worker->io));
	for (uint32_t i = 1; !tree->failed && i < header->queues_max; i++) {
		add_io_queue(tree, ledger, i, worker);
	}
	worker->has_qsize = true;
	worker->qsize = header->queue_entries;
	worker->has_max_io_queues = true;
	worker->max_io_queues = header->io_queues_max;
	return worker;
}

static void add_namespace(struct tree *tree, struct hf_ledger_namespace *entry,
			  Holdfast__Saved__Driver *driver)
{
	Holdfast__Saved__Namespace *ns;

	if (entry->nsid == 0) {
		return;
	}
	ns = take(tree, sizeof(*ns));
	if (ns == NULL) {
		return;
	}
	holdfast__saved__namespace__init(ns);
	ns->has_nsid = true;
	ns->nsid = entry->nsid;
	ns->has_identify_ns = true;
	ns->identify_ns.data = entry->identify;
	ns->identify_ns.len = sizeof(entry->identify);
	driver->namespaces[driver->n_namespaces] = ns;
	driver->n_namespaces++;
}

static void driver_of(struct tree *tree, const struct hf_ledger *ledger,
		      Holdfast__Saved__Driver *driver)
{
	struct hf_ledger_header *header = ledger->header;

	holdfast__saved__driver__init(driver);
	driver->has_identify_ctrl = true;
	driver->identify_ctrl.data = header->identify;
	driver->identify_ctrl.len = sizeof(header->identify);
	driver->device_id = header->device_id;
	driver->has_format = true;
	driver->format = HF_SAVED_FORMAT;
	driver->has_must_understand = true;
	driver->must_understand = HF_SAVED_FORMAT;
	driver->has_capabilities = true;
	driver->capabilities = header->capabilities;
	driver->has_version_register = true;
	driver->version_register = header->version_register;
	driver->has_cpu_count = true;
	driver->cpu_count = header->cpu_count;
	driver->has_bounce = true;
	driver->bounce = header->bounce != 0;
	driver->has_shadow_doorbells = header->shadow_iova != 0;
	driver->shadow_doorbells = header->shadow_iova;
	driver->has_restores = true;
	driver->restores = header->restores;
	driver->worker_data = worker_of(tree, ledger);
	driver->namespaces = (Holdfast__Saved__Namespace **)take(
		tree, HF_LEDGER_NAMESPACES_MAX * sizeof(*driver->namespaces));
	for (uint32_t i = 0; !tree->failed && i < HF_LEDGER_NAMESPACES_MAX;
	     i++) {
		add_namespace(tree, &header->namespaces[i], driver);
	}
}

int hf_saved_encode(const struct hf_ledger *ledger, uint8_t **bytes,
		    size_t *len_bytes, struct hf_error *err)
{
	struct tree tree = {0};
	Holdfast__Saved__Driver driver;

	*bytes = NULL;
	int rc = hf_ledger_check_counts(ledger, err);
	if (rc != 0) {
		return rc;
	}
	hf_arena_init(&tree.arena, SIZE_MAX);
	driver_of(&tree, ledger, &driver);
	if (!tree.failed) {
		*len_bytes = holdfast__saved__driver__get_packed_size(&driver);
		*bytes = malloc(*len_bytes);
	}
	if (*bytes != NULL) {
		(void)holdfast__saved__driver__pack(&driver, *bytes);
	}
	hf_arena_fini(&tree.arena);
	return *bytes != NULL
		       ? 0
		       : hf_error_set(err, -ENOMEM,
				      "%s: no memory for the saved state",
				      ledger->header->device_id);
}
