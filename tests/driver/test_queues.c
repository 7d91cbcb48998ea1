/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: CPUs get queue pairs when they first issue, share them when there are
 * no more, and what does not fit waits its turn or is refused, as asked.
 * Method: the emulated controller, its faults, and a port that fails.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "driver/bring_up.h"
#include "rig.h"

static struct hf_queue *open_queue(struct rig *rig, uint32_t cpu,
				   enum hf_queue_mode mode)
{
	struct hf_queue *queue;

	if (hf_queue_open(&queue, rig->drv, cpu, mode, &rig->err) != 0) {
		fail_msg("%s", rig->err.message);
	}
	return queue;
}

/* One read on a CPU, however it gets there. */
static void use_cpu(struct rig *rig, uint32_t cpu)
{
	struct hf_queue *queue = open_queue(rig, cpu, HF_POLL);
	struct rig_io work;
	struct hf_io *io = &work.io;
	uint8_t block[512];

	rig_prep(&work, rig->ns, HF_OP_READ, cpu, 1, block);
	assert_int_equal(hf_submit(queue, &io, 1), 1);
	assert_int_equal(rig_finish(rig, queue, &work), 0);
	hf_queue_close(queue);
}

static struct hf_driver_info info_of(struct rig *rig)
{
	struct hf_driver_info info;

	hf_driver_get_info(rig->drv, &info);
	return info;
}

static uint16_t qid_of(struct rig *rig, uint32_t cpu)
{
	const struct hf_qpair *qp =
		hf_issuer_qpair(&rig->drv->issuers.each[cpu]);

	return qp != NULL ? qp->qid : 0;
}

static void open_cpus(struct rig *rig, uint32_t cpus, uint32_t queues)
{
	rig->options.cpu_count = cpus;
	rig->options.io_queues = queues;
	rig_open(rig);
}

static void queues_are_made_when_their_cpu_first_issues(void **state)
{
	struct rig *rig = *state;

	open_cpus(rig, 4, 4);
	assert_int_equal(info_of(rig).io_queues, 1);
	assert_int_equal(qid_of(rig, 0), 1);
	use_cpu(rig, 2);
	assert_int_equal(info_of(rig).io_queues, 2);
	assert_int_equal(qid_of(rig, 2), 2);
	use_cpu(rig, 1);
	use_cpu(rig, 2);

	assert_int_equal(info_of(rig).io_queues, 3);
	assert_int_equal(qid_of(rig, 1), 3);
	assert_int_equal(qid_of(rig, 3), 0);
	assert_int_equal(info_of(rig).fallback_cpus, 0);
	/* Queue N uses interrupt N - 1. */
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(rig->drv->io[i]->vector, i);
	}
}

static void the_nearest_lower_cpu_s_queue_serves(void **state)
{
	struct rig *rig = *state;

	open_cpus(rig, 8, 2);
	use_cpu(rig, 4);
	use_cpu(rig, 6);
	use_cpu(rig, 3);

	assert_int_equal(qid_of(rig, 4), 2);
	assert_int_equal(qid_of(rig, 6), 2);
	assert_int_equal(qid_of(rig, 3), 1);
	assert_int_equal(info_of(rig).fallback_cpus, 2);
	assert_true(rig_logged(rig, "the controller has no more"));
}

static void a_refused_completion_queue_s_identifier_is_used_again(void **state)
{
	struct rig *rig = *state;

	open_cpus(rig, 4, 4);
	rig_rule(rig, "admin-create-iocq,count=1:status=specific/101h");
	use_cpu(rig, 1);
	assert_int_equal(qid_of(rig, 1), 1);
	assert_int_equal(info_of(rig).fallback_cpus, 1);
	assert_int_equal(info_of(rig).io_queues, 1);
	use_cpu(rig, 2);

	assert_int_equal(qid_of(rig, 2), 2);
	assert_false(rig_logged(rig, "the controller has no more"));
}

static void
a_refused_submission_queue_takes_its_completion_queue_along(void **state)
{
	struct rig *rig = *state;
	struct hf_emu_queue_info cq = {.size = sizeof(cq)};

	open_cpus(rig, 4, 4);
	rig_rule(rig, "admin-create-iosq,count=1:status=specific/102h");
	uint32_t deleted = rig_rule(rig, "admin-delete-iocq,qid=2:note");
	use_cpu(rig, 1);
	assert_int_equal(rig_hits(rig, deleted), 1);
	hf_emu_cq_info(rig->emu, 2, &cq);
	assert_false(cq.exists);
	assert_int_equal(qid_of(rig, 1), 1);
	use_cpu(rig, 2);

	assert_int_equal(qid_of(rig, 2), 2);
}

static void memory_of_a_queue_that_cannot_be_deleted_is_kept(void **state)
{
	struct rig *rig = *state;

	open_cpus(rig, 4, 4);
	rig_rule(rig, "admin-create-iosq,count=1:status=specific/102h");
	rig_rule(rig, "admin-delete-iocq,count=1:status=generic/6h+dnr");
	use_cpu(rig, 1);
	assert_non_null(rig->drv->io[1]);
	assert_true(rig_logged(rig, "its memory is kept"));
	use_cpu(rig, 2);

	assert_int_equal(qid_of(rig, 2), 3);
}

static void a_queue_without_memory_is_shared(void **state)
{
	struct rig *rig = *state;

	/* Enough for the admin queue and one more: see the sizes. */
	rig->options.device.dma_limit_bytes =
		(4 + 1 + 256 + 1 + 1 + 64 + 10) * 4096;
	open_cpus(rig, 3, 3);
	use_cpu(rig, 1);
	use_cpu(rig, 2);

	assert_int_equal(info_of(rig).fallback_cpus, 2);
	assert_true(rig_logged(rig, "pass the limit"));
	assert_false(rig_logged(rig, "the controller has no more"));
}

static void a_queue_without_an_interrupt_is_shared(void **state)
{
	struct rig *rig = *state;

	open_cpus(rig, 3, 3);
	rig->fail_irq_map_at = rig->irq_maps + 1;
	use_cpu(rig, 1);

	assert_int_equal(info_of(rig).fallback_cpus, 1);
	assert_true(rig_logged(rig, "the test fails irq_map"));
	rig->fail_irq_map_at = 0;
	use_cpu(rig, 2);
	assert_int_equal(qid_of(rig, 2), 2);
}

static bool has_queue(void *arg)
{
	const struct hf_issuer *issuer = arg;

	return hf_issuer_qpair(issuer) != NULL;
}

static void nowait_asks_for_a_queue_and_does_not_wait(void **state)
{
	struct rig *rig = *state;
	struct rig_io work;
	struct hf_io *io = &work.io;
	uint8_t block[512];

	open_cpus(rig, 2, 2);
	struct hf_queue *queue = open_queue(rig, 1, HF_POLL);
	rig_prep(&work, rig->ns, HF_OP_READ, 0, 1, block);
	io->flags = HF_IO_NOWAIT;
	assert_int_equal(hf_submit(queue, &io, 1), -EAGAIN);
	rig_until(rig, has_queue, &rig->drv->issuers.each[1]);
	assert_int_equal(hf_submit(queue, &io, 1), 1);

	assert_int_equal(rig_finish(rig, queue, &work), 0);
	hf_queue_close(queue);
}

struct ordered {
	struct rig_io work;
	uint32_t *next;
	uint32_t at; /* place in the order of completions */
};

static void ordered_done(struct hf_io *io, int result)
{
	struct ordered *each = hf_container_of((struct rig_io *)io->user,
					       struct ordered, work);

	each->at = (*each->next)++;
	rig_io_done(io, result);
}

static void what_does_not_fit_waits_in_order(void **state)
{
	struct rig *rig = *state;
	struct ordered each[100];
	uint32_t next = 0;

	rig->emu_options.serve = HF_EMU_MANUAL;
	rig->options.queue_entries = 5;
	open_cpus(rig, 1, 1);
	rig->pump = false;
	struct hf_queue *queue = open_queue(rig, 0, HF_POLL);
	uint8_t *data = hf_dma_alloc(rig->drv, 100 * 512, &rig->err);
	for (uint32_t i = 0; i < 100; i++) {
		struct hf_io *io = &each[i].work.io;

		rig_fill(data + i * 512, 512, i);
		rig_prep(&each[i].work, rig->ns, HF_OP_WRITE, 5, 1,
			 data + i * 512);
		io->done = ordered_done;
		each[i].next = &next;
		assert_int_equal(hf_submit(queue, &io, 1), 1);
	}
	assert_int_equal(rig->drv->io[0]->pending.in_use, 3);
	assert_int_equal(rig->drv->io[0]->waited, 97);
	rig->pump = true;
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(rig_finish(rig, queue, &each[i].work), 0);
		assert_int_equal(each[i].at, i);
	}
	uint8_t block[512];
	assert_int_equal(hf_read(rig->ns, 5, 1, block), 0);
	assert_true(rig_is_filled(block, 512, 99));
	hf_queue_close(queue);
}

static void nowait_is_refused_when_full_and_behind_a_line(void **state)
{
	struct rig *rig = *state;
	struct rig_io work[6];
	struct hf_io *ios[6];
	uint8_t block[512];

	rig->emu_options.serve = HF_EMU_MANUAL;
	rig->options.queue_entries = 5;
	open_cpus(rig, 1, 1);
	rig->pump = false;
	struct hf_queue *queue = open_queue(rig, 0, HF_POLL);
	for (uint32_t i = 0; i < 6; i++) {
		rig_prep(&work[i], rig->ns, HF_OP_READ, i, 1, block);
		ios[i] = &work[i].io;
		ios[i]->flags = i == 4 ? 0 : HF_IO_NOWAIT;
	}
	assert_int_equal(hf_submit(queue, ios, 6), 3);
	assert_int_equal(hf_submit(queue, ios + 3, 3), -EAGAIN);
	assert_int_equal(hf_submit(queue, ios + 4, 1), 1); /* waits */
	assert_int_equal(hf_submit(queue, ios + 5, 1), -EAGAIN);
	rig->pump = true;
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(rig_finish(rig, queue, &work[i]), 0);
	}
	assert_int_equal(rig_finish(rig, queue, &work[4]), 0);
	assert_int_equal(work[3].calls, 0);
	assert_int_equal(work[5].calls, 0);
	hf_queue_close(queue);
}

static void pages_that_run_out_are_waited_for_or_refused(void **state)
{
	struct rig *rig = *state;
	struct rig_io work[20];
	uint8_t *data = calloc(20, 64 << 10);

	rig->emu_options.serve = HF_EMU_MANUAL;
	rig->options.pool_pages = 40;
	open_cpus(rig, 1, 1);
	rig->pump = false;
	struct hf_queue *queue = open_queue(rig, 0, HF_POLL);
	for (uint32_t i = 0; i < 20; i++) {
		struct hf_io *io = &work[i].io;

		rig_fill(data + i * (64 << 10), 64 << 10, i);
		rig_prep(&work[i], rig->ns, HF_OP_WRITE, i * 128, 128,
			 data + i * (64 << 10));
		assert_int_equal(hf_submit(queue, &io, 1), 1);
	}
	struct rig_io refused;
	struct hf_io *io = &refused.io;
	rig_prep(&refused, rig->ns, HF_OP_WRITE, 0, 128, data);
	io->flags = HF_IO_NOWAIT;
	assert_int_equal(hf_submit(queue, &io, 1), -EAGAIN);
	rig->pump = true;
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(rig_finish(rig, queue, &work[i]), 0);
	}
	assert_int_equal(rig->drv->io[0]->pool.free_count, 40);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(hf_read(rig->ns, i * 128, 128, data), 0);
		assert_true(rig_is_filled(data, 64 << 10, i));
	}
	hf_queue_close(queue);
	free(data);
}

static void records_that_run_out_are_waited_for(void **state)
{
	struct rig *rig = *state;
	struct rig_io work[200];

	rig->emu_options.serve = HF_EMU_MANUAL;
	rig->emu_options.mdts = 1;
	open_cpus(rig, 1, 1);
	rig->pump = false;
	struct hf_queue *queue = open_queue(rig, 0, HF_POLL);
	uint8_t *data = hf_dma_alloc(rig->drv, 200 * 16384, &rig->err);
	for (uint32_t i = 0; i < 200; i++) {
		struct hf_io *io = &work[i].io;

		rig_fill(data + i * 16384, 16384, i);
		rig_prep(&work[i], rig->ns, HF_OP_WRITE, i * 32, 32,
			 data + i * 16384);
		assert_int_equal(hf_submit(queue, &io, 1), 1);
	}
	rig->pump = true;
	for (uint32_t i = 0; i < 200; i++) {
		assert_int_equal(rig_finish(rig, queue, &work[i]), 0);
	}
	for (uint32_t i = 0; i < 200; i++) {
		assert_int_equal(hf_read(rig->ns, i * 32, 32, data), 0);
		assert_true(rig_is_filled(data, 16384, i));
	}
	for (uint32_t i = 0; i < rig->drv->io[0]->view.queue->record_count;
	     i++) {
		assert_int_equal(rig->drv->io[0]->view.records[i].in_use, 0);
	}
	hf_queue_close(queue);
}

static void a_batch_rings_once(void **state)
{
	struct rig *rig = *state;
	struct rig_io work[16];
	struct hf_io *ios[16];
	struct hf_emu_queue_info sq = {.size = sizeof(sq)};
	uint8_t block[512];

	rig->emu_options.serve = HF_EMU_MANUAL;
	open_cpus(rig, 1, 1);
	struct hf_queue *queue = open_queue(rig, 0, HF_POLL);
	for (uint32_t i = 0; i < 16; i++) {
		rig_prep(&work[i], rig->ns, HF_OP_READ, i, 1, block);
		ios[i] = &work[i].io;
	}
	assert_int_equal(hf_submit(queue, ios, 16), 16);
	assert_int_equal(hf_reap(queue, 100), 16);

	hf_emu_sq_info(rig->emu, 1, &sq);
	assert_int_equal(sq.doorbell_writes, 1);
	struct hf_emu_queue_info cq = {.size = sizeof(cq)};
	hf_emu_cq_info(rig->emu, 1, &cq);
	assert_int_equal(cq.doorbell_writes, 1);
	assert_int_equal(hf_submit(queue, ios, 0), 0);
	assert_int_equal(hf_reap(queue, 100), 0);
	hf_emu_sq_info(rig->emu, 1, &sq);
	assert_int_equal(sq.doorbell_writes, 1);
	hf_queue_close(queue);
}

static void a_queue_is_open_once(void **state)
{
	struct rig *rig = *state;
	struct hf_queue *again;

	open_cpus(rig, 2, 2);
	struct hf_queue *queue = open_queue(rig, 0, HF_POLL);
	assert_int_equal(hf_queue_open(&again, rig->drv, 0, HF_POLL, &rig->err),
			 -EBUSY);
	assert_int_equal(hf_queue_open(&again, rig->drv, 2, HF_POLL, &rig->err),
			 -ERANGE);
	hf_queue_close(queue);
	queue = open_queue(rig, 0, HF_POLL);
	hf_queue_close(queue);
	assert_int_equal(
		hf_queue_open(&again, rig->drv, 1, HF_THREAD, &rig->err),
		-ENOTSUP);
	queue = open_queue(rig, 1, HF_EVENT);
	assert_int_equal(hf_queue_set_mode(queue, HF_THREAD), -ENOTSUP);
	hf_queue_close(queue);
}

static bool is_readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1;
}

static void an_event_queue_is_readable_until_it_is_reaped(void **state)
{
	struct rig *rig = *state;
	struct rig_io work[8];
	struct hf_io *ios[8];
	uint8_t block[512];

	rig->emu_options.serve = HF_EMU_MANUAL;
	open_cpus(rig, 1, 1);
	struct hf_queue *queue = open_queue(rig, 0, HF_EVENT);
	while (is_readable(hf_queue_fd(queue))) {
		(void)hf_reap(queue, 100);
	}
	for (uint32_t i = 0; i < 8; i++) {
		rig_prep(&work[i], rig->ns, HF_OP_READ, i, 1, block);
		ios[i] = &work[i].io;
	}
	assert_int_equal(hf_queue_wait(queue, 1), -ETIMEDOUT);
	assert_int_equal(hf_submit(queue, ios, 8), 8);
	assert_int_equal(hf_queue_wait(queue, 1000), 0);
	assert_int_equal(hf_reap(queue, 3), 3);
	assert_true(is_readable(hf_queue_fd(queue))); /* five are left */
	assert_int_equal(hf_reap(queue, 100), 5);

	assert_false(is_readable(hf_queue_fd(queue)));
	hf_queue_close(queue);
}

static void an_event_queue_hears_of_a_queue_pair_made_later(void **state)
{
	struct rig *rig = *state;
	struct rig_io work;
	struct hf_io *io = &work.io;
	uint8_t block[512];

	open_cpus(rig, 2, 2);
	struct hf_queue *queue = open_queue(rig, 1, HF_EVENT);
	rig_prep(&work, rig->ns, HF_OP_READ, 0, 1, block);
	assert_int_equal(hf_submit(queue, &io, 1), 1);
	rig_until(rig, has_queue, &rig->drv->issuers.each[1]);
	while (work.calls == 0) {
		assert_int_equal(hf_queue_wait(queue, 5000), 0);
		(void)hf_reap(queue, 100);
	}

	assert_int_equal(work.result, 0);
	hf_queue_close(queue);
}

static void reset_now(struct rig *rig)
{
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "the test asks for it");
	pthread_mutex_unlock(&rig->drv->control);
	hf_driver_kick(rig->drv);
}

static bool is_ready(void *arg)
{
	struct rig *rig = arg;

	return hf_driver_state(rig->drv) == HF_DRIVER_READY;
}

static void a_reset_ends_what_is_in_flight_and_keeps_what_waits(void **state)
{
	struct rig *rig = *state;
	struct rig_io work[10];
	uint8_t block[512];

	rig->options.queue_entries = 5;
	open_cpus(rig, 2, 2);
	use_cpu(rig, 1);
	struct hf_queue *queue = open_queue(rig, 0, HF_POLL);
	uint32_t rule = rig_rule(rig, "io-read:hold");
	for (uint32_t i = 0; i < 10; i++) {
		struct hf_io *io = &work[i].io;

		rig_prep(&work[i], rig->ns, HF_OP_READ, i, 1, block);
		assert_int_equal(hf_submit(queue, &io, 1), 1);
	}
	reset_now(rig);
	(void)hf_emu_fault_remove(rig->emu, rule);
	rig_until(rig, is_ready, rig);
	for (uint32_t i = 0; i < 10; i++) {
		int wanted = i < 3 ? -ECONNRESET : 0;

		assert_int_equal(rig_finish(rig, queue, &work[i]), wanted);
	}
	(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
	use_cpu(rig, 1);
	assert_int_equal(qid_of(rig, 1), 2);
	assert_int_equal(rig_stats(rig).dma_faults, 0);
	hf_queue_close(queue);
}

static void a_reset_while_a_queue_is_made(struct rig *rig, const char *rule)
{
	struct rig_io work;
	struct hf_io *io = &work.io;
	struct hf_emu_queue_info sq = {.size = sizeof(sq)};
	uint8_t block[512];

	open_cpus(rig, 3, 3);
	uint32_t id = rig_rule(rig, rule);
	struct hf_queue *queue = open_queue(rig, 1, HF_POLL);
	rig_prep(&work, rig->ns, HF_OP_READ, 0, 1, block);
	assert_int_equal(hf_submit(queue, &io, 1), 1);
	while (rig_hits(rig, id) == 0) {
		rig_turn(rig, 1);
	}
	reset_now(rig);
	(void)hf_emu_fault_remove(rig->emu, id);
	assert_int_equal(rig_finish(rig, queue, &work), 0);

	assert_int_equal(qid_of(rig, 1), 2);
	assert_int_equal(info_of(rig).fallback_cpus, 0);
	hf_emu_sq_info(rig->emu, 2, &sq);
	assert_true(sq.exists);
	assert_int_equal(rig_stats(rig).errors, 0);
	hf_queue_close(queue);
	use_cpu(rig, 2);
	assert_int_equal(qid_of(rig, 2), 3);
}

static void a_reset_while_a_completion_queue_is_made(void **state)
{
	a_reset_while_a_queue_is_made(*state, "admin-create-iocq:hold");
}

static void a_reset_while_a_submission_queue_is_made(void **state)
{
	a_reset_while_a_queue_is_made(*state, "admin-create-iosq:hold");
}

static void
a_closed_handle_leaves_its_queue_pair_to_blocking_calls(void **state)
{
	struct rig *rig = *state;
	uint8_t block[512];

	rig->options.runtime = true;
	open_cpus(rig, 1, 1);
	struct hf_queue *queue = open_queue(rig, 0, HF_THREAD);
	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
	hf_queue_close(queue);

	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(queues_are_made_when_their_cpu_first_issues),
		rig_test(the_nearest_lower_cpu_s_queue_serves),
		rig_test(a_refused_completion_queue_s_identifier_is_used_again),
		rig_test(
			a_refused_submission_queue_takes_its_completion_queue_along),
		rig_test(memory_of_a_queue_that_cannot_be_deleted_is_kept),
		rig_test(a_queue_without_memory_is_shared),
		rig_test(a_queue_without_an_interrupt_is_shared),
		rig_test(nowait_asks_for_a_queue_and_does_not_wait),
		rig_test(what_does_not_fit_waits_in_order),
		rig_test(nowait_is_refused_when_full_and_behind_a_line),
		rig_test(pages_that_run_out_are_waited_for_or_refused),
		rig_test(records_that_run_out_are_waited_for),
		rig_test(a_batch_rings_once),
		rig_test(a_queue_is_open_once),
		rig_test(an_event_queue_is_readable_until_it_is_reaped),
		rig_test(an_event_queue_hears_of_a_queue_pair_made_later),
		rig_test(a_reset_ends_what_is_in_flight_and_keeps_what_waits),
		rig_test(a_reset_while_a_completion_queue_is_made),
		rig_test(a_reset_while_a_submission_queue_is_made),
		rig_test(
			a_closed_handle_leaves_its_queue_pair_to_blocking_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
