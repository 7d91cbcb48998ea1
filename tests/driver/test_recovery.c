/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a controller that fails, hangs or is lost is recovered from or given
 * up in bounded time, each I/O ends once, and callbacks may ask the driver
 * whatever does not block.
 * Method: faults of the emulated controller under a few commands; an alarm
 * ends the process where something waits for itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "driver/bring_up.h"
#include "rig.h"

#define ALARM_S 60u
#define IOS     6u

/* I/O whose callback asks the driver how it stands. */
struct asker {
	struct rig *rig;
	struct hf_queue *queue;
	struct rig_io work[IOS];
	uint8_t *data;
};

static void ask_and_note(struct hf_io *io, int result)
{
	struct rig_io *work = io->user;
	struct hf_driver *drv = io->ns->owner;
	struct hf_driver_info info;
	struct hf_namespace_info ns_info;

	hf_driver_get_info(drv, &info);
	hf_namespace_get_info(io->ns, &ns_info);
	char *tree = hf_driver_inspect(drv);
	assert_non_null(tree);
	free(tree);
	rig_io_done(io, result);
	(void)work;
}

static void asker_submit(struct asker *asker, enum hf_op op)
{
	struct hf_io *ios[IOS];

	for (uint32_t i = 0; i < IOS; i++) {
		rig_prep(&asker->work[i], asker->rig->ns, op, i * 8, 8,
			 asker->data + i * 4096);
		asker->work[i].io.done = ask_and_note;
		ios[i] = &asker->work[i].io;
	}
	assert_int_equal(hf_submit(asker->queue, ios, IOS), IOS);
}

static bool asker_ended(void *arg)
{
	struct asker *asker = arg;
	uint32_t ended = 0;

	(void)hf_reap(asker->queue, 64);
	for (uint32_t i = 0; i < IOS; i++) {
		ended += asker->work[i].calls != 0;
	}
	return ended == IOS;
}

static void asker_open(struct asker *asker, struct rig *rig)
{
	alarm(ALARM_S);
	*asker = (struct asker){.rig = rig};
	rig_open(rig);
	asker->data = hf_dma_alloc(rig->drv, IOS * 4096, &rig->err);
	assert_non_null(asker->data);
	assert_int_equal(
		hf_queue_open(&asker->queue, rig->drv, 0, HF_POLL, &rig->err),
		0);
}

static void all_ended_once_with(const struct asker *asker, int result)
{
	for (uint32_t i = 0; i < IOS; i++) {
		assert_int_equal(asker->work[i].calls, 1);
		assert_int_equal(asker->work[i].result, result);
	}
}

static void force_reset(struct rig *rig)
{
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "the test asks for it");
	pthread_mutex_unlock(&rig->drv->control);
	hf_driver_kick(rig->drv);
}

static void callbacks_may_ask_the_driver_while_it_fails(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	asker_open(&asker, rig);
	rig_rule(rig, "io-read:drop");
	asker_submit(&asker, HF_OP_READ);
	rig_rule(rig, "now:gone");
	force_reset(rig);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_LOST);

	all_ended_once_with(&asker, -ENODEV);
	hf_queue_close(asker.queue);
}

static void callbacks_may_ask_the_driver_while_it_is_reset(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	asker_open(&asker, rig);
	rig_rule(rig, "io-read:drop");
	asker_submit(&asker, HF_OP_READ);
	force_reset(rig);
	rig_until(rig, asker_ended, &asker);

	all_ended_once_with(&asker, -ECONNRESET);
	hf_queue_close(asker.queue);
}

static void callbacks_may_ask_the_driver_while_it_is_closed(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	asker_open(&asker, rig);
	rig_rule(rig, "io-read:drop");
	asker_submit(&asker, HF_OP_READ);
	hf_queue_close(asker.queue);
	assert_int_equal(hf_driver_close(rig->drv, &rig->err), 0);
	rig->drv = NULL;
	rig->ns = NULL; /* went with it */

	all_ended_once_with(&asker, -ECANCELED);
}

/* Many I/Os on a small queue: some wait for a slot. */
static void what_waits_for_a_place_may_ask_the_driver_too(void **state)
{
	enum { COUNT = 100 };
	struct rig *rig = *state;
	struct rig_io *work = calloc(COUNT, sizeof(*work));
	struct asker asker;
	uint32_t ended = 0;

	asker_open(&asker, rig);
	rig_rule(rig, "io-read:drop");
	for (uint32_t i = 0; i < COUNT; i++) {
		struct hf_io *io = &work[i].io;

		rig_prep(&work[i], rig->ns, HF_OP_READ, 0, 8, asker.data);
		io->done = ask_and_note;
		assert_int_equal(hf_submit(asker.queue, &io, 1), 1);
	}
	rig_rule(rig, "now:gone");
	force_reset(rig);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_LOST);

	for (uint32_t i = 0; i < COUNT; i++) {
		ended += work[i].calls == 1 && work[i].result == -ENODEV;
	}
	assert_int_equal(ended, COUNT);
	hf_queue_close(asker.queue);
	free(work);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(callbacks_may_ask_the_driver_while_it_fails),
		rig_test(callbacks_may_ask_the_driver_while_it_is_reset),
		rig_test(callbacks_may_ask_the_driver_while_it_is_closed),
		rig_test(what_waits_for_a_place_may_ask_the_driver_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
