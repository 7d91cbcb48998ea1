/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: I/O that waits for its next try when the driver is saved comes back
 * to the successor as one that is under way, is sent again, and ends once;
 * and what the controller has to tell meanwhile reaches the successor.
 * Method: a controller in another process whose namespace is not ready for
 * the first commands; driver and successor in this one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "driver/driver.h"
#include "emu_process.h"
#include "holdfast/holdfast.h"

#define IOS         8u
#define BLOCK_BYTES 4096u

struct scene {
	struct emu_process process;
	struct hf_driver *drv;
	struct hf_namespace *ns;
	struct hf_queue *queue;
	struct hf_io io[IOS];
	uint32_t ended[IOS];
	uint32_t total;
	struct hf_error err;
};

static void ended(struct hf_io *io, int result)
{
	struct scene *scene = io->user;

	assert_int_equal(result, 0);
	scene->ended[io - scene->io]++;
	scene->total++;
}

static void must_not_end(struct hf_io *io, int result)
{
	(void)io;
	fail_msg("ended with %d in the process that was replaced", result);
}

static void scene_open(struct scene *scene, const char *fault)
{
	struct hf_driver_options options;
	struct hf_emu_options emu_options;
	struct hf_device *dev;

	memset(scene, 0, sizeof(*scene));
	hf_emu_options_init(&emu_options);
	emu_options.crdt_100ms[0] = 20;
	emu_process_start_with(&scene->process, &emu_options, NULL, fault,
			       NULL);
	hf_driver_options_init(&options);
	options.runtime = false;
	options.cpu_count = 1;
	if (hf_device_open(&dev, scene->process.address, NULL, &scene->err) !=
		    0 ||
	    hf_driver_start(&scene->drv, dev, &options, &scene->err) != 0 ||
	    hf_driver_ready_wait(scene->drv, &scene->err) != 0 ||
	    hf_namespace_open(&scene->ns, scene->drv, 1, &scene->err) != 0 ||
	    hf_queue_open(&scene->queue, scene->drv, 0, HF_POLL, &scene->err) !=
		    0) {
		fail_msg("%s", scene->err.message);
	}
}

static void submit_all(struct scene *scene, enum hf_op op, uint8_t *data,
		       uint32_t blocks)
{
	for (uint32_t i = 0; i < IOS; i++) {
		struct hf_io *io = &scene->io[i];

		hf_io_prep(io, scene->ns, op, (uint64_t)i * blocks, blocks);
		io->buf = data + (size_t)i * blocks * BLOCK_BYTES;
		io->cookie = 100 + i;
		io->done = must_not_end;
		assert_int_equal(hf_submit(scene->queue, &io, 1), 1);
	}
}

static uint32_t in_state(const struct scene *scene, uint8_t state)
{
	const struct hf_pending *pending = &scene->drv->io[0]->pending;
	uint32_t count = 0;

	for (uint32_t i = 0; i < pending->count; i++) {
		count += pending->slots[i].state == state;
	}
	return count;
}

static void replace(struct scene *scene)
{
	struct hf_carry *sent = NULL;
	struct hf_carry *carry = NULL;
	struct hf_device *dev;
	uint8_t *state;
	size_t len;
	int pair[2];

	hf_queue_close(scene->queue);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	if (hf_driver_save(scene->drv, &state, &len, &scene->err) != 0 ||
	    hf_driver_carry(scene->drv, &sent, &scene->err) != 0 ||
	    hf_carry_send(sent, pair[0], &scene->err) != 0 ||
	    hf_carry_receive(&carry, pair[1], 10000, &scene->err) != 0) {
		fail_msg("%s", scene->err.message);
	}
	close(pair[0]);
	close(pair[1]);
	hf_carry_free(sent);
	hf_driver_leave(scene->drv);
	if (hf_device_adopt(&dev, carry, NULL, &scene->err) != 0 ||
	    hf_driver_restore(&scene->drv, dev, state, len, NULL,
			      &scene->err) != 0 ||
	    hf_namespace_open(&scene->ns, scene->drv, 1, &scene->err) != 0 ||
	    hf_queue_open(&scene->queue, scene->drv, 0, HF_POLL, &scene->err) !=
		    0) {
		fail_msg("%s", scene->err.message);
	}
	free(state);
	hf_carry_free(carry);
}

static void attach_all(struct scene *scene)
{
	struct hf_inflight old;
	uint64_t cursor = 0;
	uint32_t found = 0;

	memset(scene->io, 0, sizeof(scene->io));
	while (hf_inflight_next(scene->drv, &cursor, &old) == 1) {
		struct hf_io *io = &scene->io[old.cookie - 100];

		io->ns = scene->ns;
		io->done = ended;
		io->user = scene;
		if (hf_io_attach(io, &old, &scene->err) != 0) {
			fail_msg("%s", scene->err.message);
		}
		found++;
	}
	assert_int_equal(found, IOS);
}

static void scene_close(struct scene *scene)
{
	uint64_t deadline = hf_deadline_ms(20000);

	while (scene->total < IOS && !hf_deadline_passed(deadline)) {
		(void)hf_reap(scene->queue, IOS);
	}
	for (uint32_t i = 0; i < IOS; i++) {
		assert_int_equal(scene->ended[i], 1);
	}
	hf_queue_close(scene->queue);
	hf_namespace_close(scene->ns);
	assert_int_equal(hf_driver_close(scene->drv, &scene->err), 0);
	emu_process_stop(&scene->process, NULL);
}

static void what_waits_is_sent_again_by_the_successor(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	uint64_t deadline = hf_deadline_ms(20000);

	(void)state;
	scene_open(scene, "io-write,count=8:status=generic/82h");
	uint8_t *data =
		hf_dma_alloc(scene->drv, IOS * BLOCK_BYTES, &scene->err);
	memset(data, 0x5a, (size_t)IOS * BLOCK_BYTES);
	submit_all(scene, HF_OP_WRITE, data, 1);
	while (in_state(scene, HF_SLOT_RETRY) < IOS) {
		assert_false(hf_deadline_passed(deadline));
		(void)hf_reap(scene->queue, IOS);
	}
	replace(scene);
	attach_all(scene);
	scene_close(scene);
	free(scene);
}

static void one_that_died_while_it_renewed_an_identifier(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	uint64_t deadline = hf_deadline_ms(20000);

	(void)state;
	scene_open(scene, "io-write,count=8:status=generic/82h");
	uint8_t *data =
		hf_dma_alloc(scene->drv, IOS * BLOCK_BYTES, &scene->err);
	submit_all(scene, HF_OP_WRITE, data, 1);
	while (in_state(scene, HF_SLOT_RETRY) < IOS) {
		assert_false(hf_deadline_passed(deadline));
		(void)hf_reap(scene->queue, IOS);
	}
	/* As a process leaves it that dies between two stores: the slot has
	 * its next lap, the entry still the old identifier. */
	for (uint32_t i = 0; i < IOS; i += 2) {
		scene->drv->io[0]->pending.slots[i].lap++;
	}
	replace(scene);
	attach_all(scene);
	scene_close(scene);
	free(scene);
}

static void what_completed_unseen_is_sent_again_by_the_successor(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	uint64_t deadline = hf_deadline_ms(20000);

	(void)state;
	scene_open(scene, "io-write,count=5:status=generic/82h");
	uint8_t *data =
		hf_dma_alloc(scene->drv, IOS * BLOCK_BYTES, &scene->err);
	submit_all(scene, HF_OP_WRITE, data, 1);
	while (!hf_qpair_ready(scene->drv->io[0])) {
		assert_false(hf_deadline_passed(deadline));
	}
	replace(scene);
	attach_all(scene);
	scene_close(scene);
	free(scene);
}

static void parts_wait_as_one_io(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	uint64_t deadline = hf_deadline_ms(20000);

	(void)state;
	scene_open(scene, "io-write,every=2,count=8:status=generic/82h+crd=1");
	uint8_t *data = hf_dma_alloc(
		scene->drv, (uint64_t)IOS * 64 * BLOCK_BYTES, &scene->err);
	/* 256 KiB each: two commands of 128. */
	submit_all(scene, HF_OP_WRITE, data, 64);
	while (in_state(scene, HF_SLOT_RETRY) < IOS) {
		assert_false(hf_deadline_passed(deadline));
		/* Others end: their I/O has a part that waits. */
		(void)hf_reap(scene->queue, IOS);
	}
	replace(scene);
	attach_all(scene);
	scene_close(scene);
	free(scene);
}

static void
an_event_between_save_and_restore_reaches_the_successor(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	uint64_t deadline = hf_deadline_ms(20000);
	struct hf_event event = {0};

	(void)state;
	scene_open(scene, "io-write,nth=1:event=smart/1/2");
	uint8_t *data =
		hf_dma_alloc(scene->drv, IOS * BLOCK_BYTES, &scene->err);
	submit_all(scene, HF_OP_WRITE, data, 1);
	/* It is there, and nobody looks at the admin queue any more. */
	while (!hf_qpair_ready(scene->drv->admin)) {
		assert_false(hf_deadline_passed(deadline));
	}
	replace(scene);
	while (event.kind != HF_EVENT_ASYNC) {
		assert_false(hf_deadline_passed(deadline));
		(void)hf_event_next(scene->drv, &event);
	}

	assert_int_equal(event.async_type, 1);
	assert_int_equal(event.log_page, 2);
	attach_all(scene);
	scene_close(scene);
	free(scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_waits_is_sent_again_by_the_successor),
		cmocka_unit_test(one_that_died_while_it_renewed_an_identifier),
		cmocka_unit_test(
			what_completed_unseen_is_sent_again_by_the_successor),
		cmocka_unit_test(parts_wait_as_one_io),
		cmocka_unit_test(
			an_event_between_save_and_restore_reaches_the_successor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
