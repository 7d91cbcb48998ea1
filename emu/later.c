/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/later.h"

#include <stdlib.h>

#include "emu/ctrl.h"

/* A host that has commands delayed without end is held to this many. */
#define LATER_MAX 262144u

static struct hf_emu_later *later_of(struct hf_list *link)
{
	return hf_container_of(link, struct hf_emu_later, link);
}

struct hf_emu_later *hf_emu_later_new(struct hf_emu_worker *worker,
				      uint64_t delay_ns)
{
	if (worker->later_count >= LATER_MAX) {
		return NULL;
	}

	struct hf_emu_later *later = calloc(1, sizeof(*later));
	if (later == NULL) {
		return NULL;
	}
	uint64_t now_ns = hf_emu_now_ns(worker->emu);
	hf_list_init(&later->link);
	later->due_ns =
		delay_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + delay_ns;
	return later;
}

void hf_emu_later_add(struct hf_emu_worker *worker, struct hf_emu_later *later)
{
	struct hf_list *before = worker->later.prev;

	while (before != &worker->later &&
	       later_of(before)->due_ns > later->due_ns) {
		before = before->prev;
	}
	hf_list_push_front(before, &later->link);
	worker->later_count++;
	if (later->due_ns <
	    __atomic_load_n(&worker->next_due_ns, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&worker->next_due_ns, later->due_ns,
				 __ATOMIC_RELEASE);
	}
}

static void later_take(struct hf_emu_worker *worker, struct hf_emu_later *later)
{
	hf_list_remove(&later->link);
	worker->later_count--;
}

static void later_do(struct hf_emu_worker *worker, struct hf_emu_later *later)
{
	later->cmd.worker = worker;
	switch (later->what) {
	case HF_EMU_LATER_EXECUTE:
		hf_emu_run_now(&later->cmd, true);
		break;
	case HF_EMU_LATER_DATA:
		hf_emu_run_now(&later->cmd, false);
		break;
	case HF_EMU_LATER_POST:
		hf_emu_post(worker, &later->cmd, later->status);
		break;
	case HF_EMU_LATER_TORN:
		hf_emu_post_rest(worker, later);
		break;
	case HF_EMU_LATER_IRQ:
		hf_emu_irq_raise(worker->emu, later->vector);
		break;
	case HF_EMU_LATER_SWAPPED:
		hf_emu_post_swapped(worker, later->cqid);
		break;
	}
}

uint32_t hf_emu_run_later(struct hf_emu_worker *worker, uint32_t budget)
{
	uint64_t now_ns = hf_emu_now_ns(worker->emu);
	uint32_t done = 0;

	while (done < budget && !hf_list_empty(&worker->later)) {
		struct hf_emu_later *later = later_of(worker->later.next);

		if (later->due_ns > now_ns) {
			break;
		}
		later_take(worker, later);
		later_do(worker, later);
		free(later);
		done++;
	}
	return done;
}

void hf_emu_worker_forget(struct hf_emu_worker *worker)
{
	hf_list_for_each_safe(link, &worker->later)
	{
		free(later_of(link));
	}
	hf_list_init(&worker->later);
	worker->later_count = 0;
	worker->dropped = 0;
}

/* Another thread posted to a queue of this worker: have it signal that. */
static void have_signaled(struct hf_emu_worker *worker)
{
	__atomic_store_n(&worker->next_due_ns, 0, __ATOMIC_RELEASE);
	hf_emu_worker_wake(worker);
}

void hf_emu_worker_end_sq(struct hf_emu_worker *worker, uint16_t sqid,
			  uint16_t status)
{
	hf_list_for_each_safe(link, &worker->later)
	{
		struct hf_emu_later *later = later_of(link);

		if (later->cmd.sq == NULL || later->cmd.sqid != sqid) {
			continue;
		}
		later_take(worker, later);
		if (later->what == HF_EMU_LATER_EXECUTE ||
		    later->what == HF_EMU_LATER_POST) {
			later->cmd.fault = NULL;
			hf_emu_post(worker, &later->cmd, status);
		}
		free(later);
	}
	have_signaled(worker);
}

/* The device said that the command is aborted, and executes it even so. */
static void execute_after_all(struct hf_emu_worker *worker,
			      const struct hf_emu_later *aborted)
{
	struct hf_emu_later *later =
		hf_emu_later_new(worker, aborted->verdict.data_delay_ns);

	if (later == NULL) {
		return;
	}
	later->what = HF_EMU_LATER_DATA;
	later->cmd = aborted->cmd;
	later->verdict = aborted->verdict;
	later->cmd.fault = &later->verdict;
	hf_emu_later_add(worker, later);
}

bool hf_emu_worker_abort(struct hf_emu_worker *worker, uint16_t sqid,
			 uint16_t cid)
{
	hf_list_for_each_safe(link, &worker->later)
	{
		struct hf_emu_later *later = later_of(link);

		if (later->cmd.sq == NULL || later->cmd.sqid != sqid ||
		    later->cmd.sqe.cid != cid ||
		    later->what != HF_EMU_LATER_EXECUTE) {
			continue;
		}
		later_take(worker, later);
		if ((later->verdict.actions & HF_FAULT_DMA_AFTER_ABORT) != 0) {
			execute_after_all(worker, later);
		}
		later->cmd.fault = NULL;
		hf_emu_post(worker, &later->cmd, NVME_SC_ABORT_REQ);
		free(later);
		have_signaled(worker);
		return true;
	}
	return false;
}

static bool is_command(const struct hf_emu_later *later)
{
	return later->what == HF_EMU_LATER_EXECUTE ||
	       later->what == HF_EMU_LATER_POST;
}

uint32_t hf_emu_worker_later_commands(const struct hf_emu_worker *worker)
{
	uint32_t count = 0;

	hf_list_for_each(link, &worker->later)
	{
		count += is_command(later_of(link)) ? 1 : 0;
	}
	return count;
}

uint32_t hf_emu_worker_later_opcode(const struct hf_emu_worker *worker,
				    uint8_t opcode)
{
	uint32_t count = 0;

	hf_list_for_each(link, &worker->later)
	{
		const struct hf_emu_later *later = later_of(link);

		if (is_command(later) && later->cmd.sqe.opcode == opcode) {
			count++;
		}
	}
	return count;
}

static uint32_t release_held(struct hf_emu_worker *worker, uint32_t rule)
{
	struct hf_list released;
	uint32_t count = 0;

	hf_list_init(&released);
	hf_list_for_each_safe(link, &worker->later)
	{
		struct hf_emu_later *later = later_of(link);

		if (later->held && (rule == 0 || later->verdict.rule == rule)) {
			later_take(worker, later);
			later->held = false;
			later->due_ns = 0;
			hf_list_push_back(&released, &later->link);
			count++;
		}
	}
	struct hf_list *link;
	while ((link = hf_list_pop_front(&released)) != NULL) {
		hf_emu_later_add(worker, later_of(link));
	}
	return count;
}

uint32_t hf_emu_release_held(struct hf_emu *emu, uint32_t rule)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < emu->worker_count; i++) {
		struct hf_emu_worker *worker = &emu->workers[i];

		hf_emu_worker_lock(worker);
		count += release_held(worker, rule);
		hf_emu_worker_unlock(worker);
		hf_emu_worker_wake(worker);
	}
	return count;
}
