/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether a message may be restored. It may come from an older version, from
 * a file that was cut short, or from somebody who means harm. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "state/saved.h"
#include "state/saved_unpack.h"

static int refuse(struct hf_error *err, const char *what)
{
	return hf_error_set(err, -EINVAL,
			    "the saved state cannot be restored: %s; clear the "
			    "device for a fresh start",
			    what);
}

static int differs(struct hf_error *err, uint32_t qid, const char *what,
		   uint64_t saved, uint64_t found)
{
	return hf_error_set(err, -EINVAL,
			    "the saved state cannot be restored: queue %u's %s "
			    "is %llu there and %llu in the ledger; clear the "
			    "device for a fresh start",
			    qid, what, (unsigned long long)saved,
			    (unsigned long long)found);
}

static int verify_version(const Holdfast__Saved__Driver *saved,
			  struct hf_error *err)
{
	if (saved->has_must_understand &&
	    saved->must_understand > HF_SAVED_FORMAT) {
		return hf_error_set(err, -EPROTONOSUPPORT,
				    "the saved state asks for a holdfast that "
				    "understands version %u; this one "
				    "understands %d",
				    saved->must_understand, HF_SAVED_FORMAT);
	}
	return 0;
}

static int verify_identity(const Holdfast__Saved__Driver *saved,
			   const struct hf_ledger_header *header,
			   struct hf_error *err)
{
	if (!saved->has_identify_ctrl ||
	    saved->identify_ctrl.len != sizeof(header->identify)) {
		return refuse(err, "its Identify Controller data is not of "
				   "4096 bytes");
	}
	if (memcmp(saved->identify_ctrl.data, header->identify,
		   sizeof(header->identify)) != 0) {
		return refuse(err, "it is of another controller");
	}
	if (saved->device_id == NULL ||
	    strncmp(saved->device_id, header->device_id,
		    sizeof(header->device_id)) != 0) {
		return refuse(err, "it is of another device");
	}
	if (saved->capabilities != header->capabilities ||
	    saved->version_register != header->version_register) {
		return refuse(err, "it is of another controller: CAP or VS "
				   "differ");
	}
	if (saved->shadow_doorbells != header->shadow_iova) {
		return refuse(err, "its shadow doorbells are not where the "
				   "ledger has them");
	}
	return 0;
}

static uint32_t commands_under_way(const struct hf_ledger_view *view)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < view->queue->slot_count; i++) {
		count += view->slots[i].state != HF_SLOT_FREE ? 1 : 0;
	}
	return count;
}

static int verify_commands(const Holdfast__Saved__PendingCommands *commands,
			   const struct hf_ledger_view *view,
			   struct hf_error *err)
{
	uint32_t qid = view->queue->qid;
	uint32_t expected = commands_under_way(view);

	if (commands == NULL || commands->n_commands != expected) {
		return differs(err, qid, "number of commands under way",
			       commands != NULL ? commands->n_commands : 0,
			       expected);
	}
	size_t at = 0;
	for (uint32_t i = 0; i < view->queue->slot_count; i++) {
		const Holdfast__Saved__PendingCommand *command;

		if (view->slots[i].state == HF_SLOT_FREE) {
			continue;
		}
		command = commands->commands[at];
		at++;
		if (!command->has_command ||
		    command->command.len != sizeof(view->slots[i].sqe) ||
		    memcmp(command->command.data, &view->slots[i].sqe,
			   sizeof(view->slots[i].sqe)) != 0) {
			return differs(err, qid, "command number", at, i);
		}
		if (command->cookie != view->slots[i].cookie) {
			return differs(err, qid, "cookie of a command",
				       command->cookie, view->slots[i].cookie);
		}
	}
	return 0;
}

static int verify_positions(const Holdfast__Saved__QueueHandler *handler,
			    const struct hf_ledger_queue *queue,
			    struct hf_error *err)
{
	const Holdfast__Saved__SubmissionQueue *sq = handler->sq_state;
	const Holdfast__Saved__CompletionQueue *cq = handler->cq_state;

	if (sq == NULL || cq == NULL) {
		return refuse(err, "a queue has no positions");
	}
	if (sq->tail != (uint32_t)queue->sq_recorded) {
		return differs(err, queue->qid, "submission tail", sq->tail,
			       (uint32_t)queue->sq_recorded);
	}
	if (sq->head != queue->sq_head) {
		return differs(err, queue->qid, "submission head", sq->head,
			       queue->sq_head);
	}
	if (sq->len != queue->entries || cq->len != queue->entries) {
		return differs(err, queue->qid, "size", sq->len,
			       queue->entries);
	}
	uint32_t head = cq->head | (cq->phase ? HF_LEDGER_PHASE : 0);
	if (head != queue->cq_head) {
		return differs(err, queue->qid, "completion head", head,
			       queue->cq_head);
	}
	return 0;
}

static int verify_pair(const Holdfast__Saved__QueuePair *pair,
		       const struct hf_ledger_view *view, struct hf_error *err)
{
	const struct hf_ledger_queue *queue = view->queue;

	if (pair == NULL || pair->handler_data == NULL) {
		return refuse(err, "a queue pair is missing");
	}
	if (pair->qid != queue->qid) {
		return differs(err, queue->qid, "identifier", pair->qid,
			       queue->qid);
	}
	if (pair->sq_entries != queue->entries ||
	    pair->cq_entries != queue->entries) {
		return differs(err, queue->qid, "size", pair->sq_entries,
			       queue->entries);
	}
	if (pair->mem_len != queue->len_bytes) {
		return differs(err, queue->qid, "memory", pair->mem_len,
			       queue->len_bytes);
	}
	if (pair->base_pfn != queue->iova >> 12) {
		return differs(err, queue->qid, "address", pair->base_pfn,
			       queue->iova >> 12);
	}
	int rc = verify_positions(pair->handler_data, queue, err);
	if (rc != 0) {
		return rc;
	}
	return verify_commands(pair->handler_data->pending_cmds, view, err);
}

static int verify_io(const Holdfast__Saved__Worker *worker,
		     const struct hf_ledger *ledger, struct hf_error *err)
{
	size_t at = 0;

	for (uint32_t i = 1; i < ledger->header->queues_max; i++) {
		const struct hf_ledger_view view =
			hf_ledger_queue_view(ledger, i);

		if (view.queue->state != HF_QUEUE_LIVE) {
			continue;
		}
		if (at == worker->n_io) {
			return refuse(err, "an I/O queue is missing");
		}
		const Holdfast__Saved__IoQueue *io = worker->io[at];
		at++;
		int rc = verify_pair(io->queue_data, &view, err);
		if (rc != 0) {
			return rc;
		}
		if (io->cpu != view.queue->cpu) {
			return differs(err, i, "CPU", io->cpu, view.queue->cpu);
		}
		if (io->iv != view.queue->vector) {
			return differs(err, i, "interrupt", io->iv,
				       view.queue->vector);
		}
	}
	return at == worker->n_io ? 0
				  : refuse(err, "it has I/O queues that the "
						"ledger does not have");
}

/* The ledger's next namespace from *@at on, which moves behind it; NULL. */
static const struct hf_ledger_namespace *
next_namespace(const struct hf_ledger_header *header, size_t *at)
{
	while (*at < HF_LEDGER_NAMESPACES_MAX) {
		const struct hf_ledger_namespace *ns = &header->namespaces[*at];

		(*at)++;
		if (ns->nsid != 0) {
			return ns;
		}
	}
	return NULL;
}

static int verify_namespaces(const Holdfast__Saved__Driver *saved,
			     const struct hf_ledger_header *header,
			     struct hf_error *err)
{
	size_t at = 0;

	if (saved->n_namespaces > HF_LEDGER_NAMESPACES_MAX) {
		return refuse(err, "it has too many namespaces");
	}
	for (size_t i = 0; i < saved->n_namespaces; i++) {
		if (saved->namespaces[i]->nsid == 0 ||
		    saved->namespaces[i]->identify_ns.len != 4096) {
			return refuse(err, "a namespace has no number or no "
					   "Identify Namespace data of 4096 "
					   "bytes");
		}
		const struct hf_ledger_namespace *ns =
			next_namespace(header, &at);
		if (ns == NULL || ns->nsid != saved->namespaces[i]->nsid ||
		    memcmp(ns->identify, saved->namespaces[i]->identify_ns.data,
			   sizeof(ns->identify)) != 0) {
			return refuse(err, "its namespaces are not the "
					   "ledger's");
		}
	}
	return next_namespace(header, &at) == NULL
		       ? 0
		       : refuse(err, "a namespace of the ledger is not in it");
}

/* A successor of the one that saved may have gone on, and died, before this
 * one came: what it left is in the ledger alone. */
static int verify_age(const Holdfast__Saved__Driver *saved,
		      const struct hf_ledger_header *header,
		      struct hf_error *err)
{
	if (!saved->has_restores || saved->restores == header->restores) {
		return 0;
	}
	if (saved->restores > header->restores) {
		return refuse(err,
			      "it tells of successors that the ledger does "
			      "not know of");
	}
	return hf_error_set(err, -ESTALE,
			    "the saved state is older than the ledger, which "
			    "has had %u successors since",
			    header->restores - saved->restores);
}

static int verify(const Holdfast__Saved__Driver *saved,
		  const struct hf_ledger *ledger, struct hf_error *err)
{
	const struct hf_ledger_view admin = hf_ledger_queue_view(ledger, 0);

	int rc = verify_version(saved, err);
	if (rc != 0) {
		return rc;
	}
	rc = verify_identity(saved, ledger->header, err);
	if (rc == 0) {
		rc = verify_age(saved, ledger->header, err);
	}
	if (rc != 0) {
		return rc;
	}
	if (saved->worker_data == NULL) {
		return refuse(err, "it has no queues");
	}
	rc = verify_namespaces(saved, ledger->header, err);
	if (rc != 0) {
		return rc;
	}
	rc = verify_pair(saved->worker_data->admin, &admin, err);
	if (rc != 0) {
		return rc;
	}
	return verify_io(saved->worker_data, ledger, err);
}

int hf_saved_verify(const uint8_t *bytes, size_t len_bytes,
		    const struct hf_ledger *ledger, struct hf_error *err)
{
	if (len_bytes == 0 || len_bytes > HF_SAVED_MAX_BYTES) {
		return hf_error_set(err, -EINVAL,
				    "a saved state of %zu bytes: 1 to %d are "
				    "possible",
				    len_bytes, HF_SAVED_MAX_BYTES);
	}
	int rc = hf_ledger_check_counts(ledger, err);
	if (rc != 0) {
		return rc;
	}
	struct hf_arena arena;
	const Holdfast__Saved__Driver *saved =
		hf_saved_unpack(&arena, bytes, len_bytes);

	rc = saved != NULL ? verify(saved, ledger, err)
			   : refuse(err, "it is cut short or damaged: it does "
					 "not parse");
	hf_arena_fini(&arena);
	return rc;
}
