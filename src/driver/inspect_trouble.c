/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/inspect_trouble.h"

#include <endian.h>
#include <stdlib.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/clock.h"
#include "driver/inspect_tree.h"

static const char *io_name(uint8_t opcode)
{
	switch (opcode) {
	case nvme_cmd_flush:
		return "flush";
	case nvme_cmd_write:
		return "write";
	case nvme_cmd_read:
		return "read";
	case nvme_cmd_write_uncor:
		return "write uncorrectable";
	case nvme_cmd_compare:
		return "compare";
	case nvme_cmd_write_zeroes:
		return "write zeroes";
	case nvme_cmd_dsm:
		return "dataset management";
	case nvme_cmd_verify:
		return "verify";
	case nvme_cmd_resv_register:
		return "reservation register";
	case nvme_cmd_resv_report:
		return "reservation report";
	case nvme_cmd_resv_acquire:
		return "reservation acquire";
	case nvme_cmd_resv_release:
		return "reservation release";
	default:
		return "other";
	}
}

static const char *admin_name(uint8_t opcode)
{
	switch (opcode) {
	case nvme_admin_delete_sq:
		return "delete submission queue";
	case nvme_admin_create_sq:
		return "create submission queue";
	case nvme_admin_get_log_page:
		return "get log page";
	case nvme_admin_delete_cq:
		return "delete completion queue";
	case nvme_admin_create_cq:
		return "create completion queue";
	case nvme_admin_identify:
		return "identify";
	case nvme_admin_abort_cmd:
		return "abort";
	case nvme_admin_set_features:
		return "set features";
	case nvme_admin_get_features:
		return "get features";
	case nvme_admin_async_event:
		return "asynchronous event request";
	case nvme_admin_format_nvm:
		return "format";
	default:
		return "other";
	}
}

static bool has_blocks(uint16_t qid, uint8_t opcode)
{
	return qid != 0 &&
	       (opcode == nvme_cmd_read || opcode == nvme_cmd_write ||
		opcode == nvme_cmd_compare || opcode == nvme_cmd_write_zeroes ||
		opcode == nvme_cmd_verify);
}

static void put_command(struct json_object *tree, uint16_t qid,
			const struct nvme_sqe *sqe)
{
	put_u64(tree, "cid", le16toh(sqe->cid));
	put_u64(tree, "opcode", sqe->opcode);
	put_text(tree, "command",
		 qid == 0 ? admin_name(sqe->opcode) : io_name(sqe->opcode));
	put_u64(tree, "nsid", le32toh(sqe->nsid));
	if (has_blocks(qid, sqe->opcode)) {
		put_u64(tree, "lba",
			(uint64_t)le32toh(sqe->cdw11) << 32 |
				le32toh(sqe->cdw10));
		put_u64(tree, "blocks",
			(le32toh(sqe->cdw12) & 0xffff) + UINT64_C(1));
	}
}

static uint32_t age_ticks(const struct hf_qpair *qp, uint32_t number,
			  uint32_t now)
{
	const struct hf_pending_entry *entry = &qp->pending.entries[number];
	const struct hf_ledger_slot *slot = &qp->pending.slots[number];

	/* All tries of one that was sent again. */
	return now - (entry->tries > 0 ? entry->born_tick : slot->tick);
}

/* The slot whose command is under way for longest, or HF_LEDGER_NONE. */
static uint16_t oldest_slot(const struct hf_qpair *qp, uint32_t now)
{
	uint16_t oldest = HF_LEDGER_NONE;

	for (uint32_t i = 0; i < qp->pending.count; i++) {
		const struct hf_ledger_slot *slot = &qp->pending.slots[i];

		/* Event requests are meant to stay. */
		if (slot->state != HF_SLOT_FREE && slot->kind != HF_SLOT_AER &&
		    (oldest == HF_LEDGER_NONE ||
		     age_ticks(qp, i, now) > age_ticks(qp, oldest, now))) {
			oldest = (uint16_t)i;
		}
	}
	return oldest;
}

static const char *where_it_stands(const struct hf_qpair *qp, uint16_t number)
{
	const struct hf_ledger_slot *slot = &qp->pending.slots[number];

	switch ((enum hf_slot_state)slot->state) {
	case HF_SLOT_RETRY:
		return "waiting to be sent again";
	case HF_SLOT_DONE:
		return qp->pending.entries[number].done == NULL
			       ? "completed, nobody has attached to it"
			       : "completed, its caller is being told";
	case HF_SLOT_FREE:
	case HF_SLOT_TAKEN:
		break;
	}
	if (qp->state == HF_QPAIR_FENCED) {
		return "held while the controller is reset or saved";
	}
	if (hf_cq_holds(&qp->cq, le16toh(slot->sqe.cid))) {
		return "completion posted, not processed";
	}
	if (qp->pending.entries[number].aborted) {
		return "in the controller, abort sent";
	}
	return "in the controller";
}

static void put_oldest(struct hf_qpair *qp, struct json_object *tree)
{
	uint64_t now_tick = hf_now_ns() / HF_NS_PER_MS / HF_TICK_MS;
	uint16_t number = oldest_slot(qp, (uint32_t)now_tick);

	if (number == HF_LEDGER_NONE) {
		return;
	}
	const struct hf_pending_entry *entry = &qp->pending.entries[number];
	struct json_object *oldest = json_object_new_object();
	put_u64(oldest, "age_ms",
		(uint64_t)age_ticks(qp, number, (uint32_t)now_tick) *
			HF_TICK_MS);
	put_command(oldest, qp->qid, &qp->pending.slots[number].sqe);
	put_text(oldest, "where", where_it_stands(qp, number));
	put_u64(oldest, "tries", entry->tries + UINT64_C(1));
	json_object_object_add(tree, "oldest", oldest);
}

static struct json_object *retries_tree(const struct hf_trouble *trouble)
{
	struct json_object *tree = json_object_new_object();

	for (uint32_t i = 0; i < HF_RETRY_KINDS; i++) {
		put_u64(tree, hf_retry_kind_name((enum hf_retry_kind)i),
			trouble->retried[i]);
	}
	put_u64(tree, "given_up", trouble->gave_up);
	return tree;
}

void hf_inspect_queue_trouble(struct hf_qpair *qp, struct json_object *tree)
{
	struct json_object *refused = json_object_new_object();
	uint64_t waiting = 0;

	hf_list_for_each(link, &qp->waiting)
	{
		waiting++;
	}
	put_u64(tree, "waiting_for_a_place", waiting);
	put_oldest(qp, tree);
	put_u64(tree, "errors", qp->trouble.error_count);
	json_object_object_add(tree, "retries", retries_tree(&qp->trouble));
	for (uint32_t i = 0; i < HF_LIE_COUNT; i++) {
		put_u64(refused, hf_trouble_lie_name((enum hf_qpair_lie)i),
			qp->trouble.lies[i]);
	}
	json_object_object_add(tree, "refused", refused);
}

static uint64_t ago_ms(uint64_t when_ns, uint64_t now_ns)
{
	return now_ns > when_ns ? (now_ns - when_ns) / HF_NS_PER_MS : 0;
}

static void put_status(struct json_object *tree, uint16_t status)
{
	char text[160];

	put_u64(tree, "status", status);
	put_text(tree, "status_text",
		 hf_status_text(status, text, sizeof(text)));
	put_u64(tree, "sct", NVME_STATUS_SCT(status));
	put_u64(tree, "sc", NVME_STATUS_SC(status));
	put_bool(tree, "dnr", (status & NVME_STATUS_DNR) != 0);
	put_u64(tree, "crd", NVME_STATUS_CRD(status));
}

static struct json_object *error_tree(const struct hf_trouble_error *error,
				      uint16_t qid, uint64_t now_ns)
{
	struct json_object *tree = json_object_new_object();

	put_u64(tree, "ago_ms", ago_ms(error->when_ns, now_ns));
	put_u64(tree, "qid", qid);
	put_command(tree, qid, &error->sqe);
	put_status(tree, error->status);
	put_u64(tree, "tries", error->tries + UINT64_C(1));
	put_text(tree, "retried", hf_retry_kind_name(error->retry));
	return tree;
}

static struct json_object *
refused_tree(const struct hf_trouble_refused *refused, uint16_t qid,
	     uint64_t now_ns)
{
	struct json_object *tree = json_object_new_object();

	put_u64(tree, "ago_ms", ago_ms(refused->when_ns, now_ns));
	put_u64(tree, "qid", qid);
	put_text(tree, "why", hf_trouble_lie_name(refused->why));
	put_u64(tree, "cid", hf_cqe_cid(&refused->cqe));
	put_u64(tree, "sqid", hf_cqe_sq_id(&refused->cqe));
	put_u64(tree, "sq_head", hf_cqe_sq_head(&refused->cqe));
	put_u64(tree, "status", hf_cqe_status(&refused->cqe));
	return tree;
}

/* The last of one queue, newest first. */
static void add_of_queue(struct hf_qpair *qp, uint64_t now_ns,
			 struct json_object *errors,
			 struct json_object *refused)
{
	hf_qpair_lock(qp);
	const struct hf_trouble *trouble = &qp->trouble;
	uint64_t count =
		HF_MIN(trouble->error_count, (uint64_t)HF_TROUBLE_ERRORS);
	for (uint64_t i = 1; i <= count; i++) {
		uint64_t at = (trouble->error_count - i) % HF_TROUBLE_ERRORS;

		json_object_array_add(errors, error_tree(&trouble->errors[at],
							 qp->qid, now_ns));
	}
	count = HF_MIN(trouble->refused_count, (uint64_t)HF_TROUBLE_REFUSED);
	for (uint64_t i = 1; i <= count; i++) {
		uint64_t at = (trouble->refused_count - i) % HF_TROUBLE_REFUSED;

		json_object_array_add(
			refused,
			refused_tree(&trouble->refused[at], qp->qid, now_ns));
	}
	hf_qpair_unlock(qp);
}

static int by_age(const void *a, const void *b)
{
	struct json_object *const *first = a;
	struct json_object *const *second = b;
	uint64_t first_ms = json_object_get_uint64(
		json_object_object_get(*first, "ago_ms"));
	uint64_t second_ms = json_object_get_uint64(
		json_object_object_get(*second, "ago_ms"));

	return first_ms < second_ms ? -1 : first_ms > second_ms;
}

static struct json_object *resets_tree(const struct hf_driver *drv,
				       uint64_t now_ns)
{
	struct json_object *all = json_object_new_array();
	uint32_t count = HF_MIN(drv->resets, (uint32_t)HF_RESET_NOTES);
	char text[160];

	for (uint32_t i = 1; i <= count; i++) {
		const struct hf_reset_note *note =
			&drv->reset_notes[(drv->resets - i) % HF_RESET_NOTES];
		struct json_object *tree = json_object_new_object();
		uint64_t end_ns = note->over ? note->ended_ns : now_ns;

		put_u64(tree, "ago_ms", ago_ms(note->began_ns, now_ns));
		put_text(tree, "why", note->why);
		put_u64(tree, "took_ms", ago_ms(note->began_ns, end_ns));
		put_u64(tree, "tries", note->tries);
		put_text(tree, "result",
			 note->over ? hf_result_text(note->result, text,
						     sizeof(text))
				    : "under way");
		json_object_array_add(all, tree);
	}
	return all;
}

static struct json_object *aborts_tree(const struct hf_driver *drv)
{
	struct json_object *tree = json_object_new_object();

	put_u64(tree, "sent", drv->aborts);
	put_u64(tree, "aborted", drv->aborts_done);
	put_u64(tree, "not_aborted", drv->aborts_not_done);
	put_u64(tree, "failed", drv->aborts_failed);
	return tree;
}

void hf_inspect_trouble(struct hf_driver *drv, struct json_object *tree)
{
	struct json_object *errors = json_object_new_array();
	struct json_object *refused = json_object_new_array();
	uint64_t now_ns = hf_now_ns();

	if (drv->admin != NULL) {
		add_of_queue(drv->admin, now_ns, errors, refused);
	}
	for (uint32_t i = 0; i < drv->io_max; i++) {
		if (drv->io[i] != NULL) {
			add_of_queue(drv->io[i], now_ns, errors, refused);
		}
	}
	json_object_array_sort(errors, by_age);
	json_object_array_sort(refused, by_age);
	json_object_object_add(tree, "abort_results", aborts_tree(drv));
	json_object_object_add(tree, "last_resets", resets_tree(drv, now_ns));
	json_object_object_add(tree, "last_errors", errors);
	json_object_object_add(tree, "last_refused", refused);
}
