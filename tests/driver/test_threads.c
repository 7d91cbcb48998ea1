/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: many threads on few queues, with and without the driver's own threads,
 * through mode changes and resets: each call ends once, with its own data.
 * Method: threads with blocks of their own over the emulated controller's
 * threads; meant to run under ThreadSanitizer.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "driver/bring_up.h"
#include "rig.h"

#define CALLERS 8u
#define ROUNDS  60u
#define BLOCKS  16u

struct caller {
	struct rig *rig;
	uint32_t number;
	uint32_t rounds;
	bool resets; /* an I/O may end with -ECONNRESET */
	uint32_t failures;
	uint32_t reset_ends;
	pthread_t thread;
};

static bool went_wrong(struct caller *caller, int rc)
{
	if (caller->resets && rc == -ECONNRESET) {
		caller->reset_ends++;
		return true;
	}
	caller->failures += rc != 0;
	return rc != 0;
}

static void *caller_main(void *arg)
{
	struct caller *caller = arg;
	uint64_t lba = caller->number * BLOCKS;
	uint8_t data[BLOCKS * 512];

	for (uint32_t i = 0; i < caller->rounds; i++) {
		uint64_t seed = caller->number * 1000 + i;

		rig_fill(data, sizeof(data), seed);
		if (went_wrong(caller,
			       hf_write(caller->rig->ns, lba, BLOCKS, data))) {
			continue;
		}
		memset(data, 0, sizeof(data));
		if (!went_wrong(caller,
				hf_read(caller->rig->ns, lba, BLOCKS, data)) &&
		    !rig_is_filled(data, sizeof(data), seed)) {
			caller->failures++;
		}
	}
	return NULL;
}

static void start_callers(struct rig *rig, struct caller *callers,
			  uint32_t rounds, bool resets)
{
	for (uint32_t i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){
			.rig = rig,
			.number = i,
			.rounds = rounds,
			.resets = resets,
		};
		assert_int_equal(pthread_create(&callers[i].thread, NULL,
						caller_main, &callers[i]),
				 0);
	}
}

static void join_callers(struct caller *callers)
{
	for (uint32_t i = 0; i < CALLERS; i++) {
		pthread_join(callers[i].thread, NULL);
		assert_int_equal(callers[i].failures, 0);
	}
}

static void small_queues(struct rig *rig, bool runtime)
{
	rig->options.runtime = runtime;
	rig->options.queue_entries = 4;
	rig->options.pool_pages = 32;
	rig_open(rig);
}

static void blocking_calls_share_few_queues_without_the_runtime(void **state)
{
	struct caller callers[CALLERS];

	small_queues(*state, false);
	start_callers(*state, callers, ROUNDS, false);
	join_callers(callers);
}

static void blocking_calls_share_few_queues_with_the_runtime(void **state)
{
	struct caller callers[CALLERS];

	small_queues(*state, true);
	start_callers(*state, callers, ROUNDS, false);
	join_callers(callers);
}

static void blocking_calls_are_served_by_the_queue_s_thread(void **state)
{
	struct rig *rig = *state;
	struct caller callers[CALLERS];
	struct hf_queue *queues[2];

	small_queues(rig, true);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(hf_queue_open(&queues[i], rig->drv, i,
					       HF_THREAD, &rig->err),
				 0);
	}
	start_callers(rig, callers, ROUNDS, false);
	join_callers(callers);
	for (uint32_t i = 0; i < 2; i++) {
		hf_queue_close(queues[i]);
	}
	start_callers(rig, callers, 5, false);
	join_callers(callers);
}

/* Waits in whichever mode the queue is, as an event loop would. */
struct streamer {
	struct rig *rig;
	struct hf_queue *queue;
	struct rig_io work[8];
	uint8_t data[8][512];
	uint32_t sent;
	bool stop; /* atomic */
	uint32_t failures;
	pthread_t thread;
};

static void *streamer_main(void *arg)
{
	struct streamer *streamer = arg;
	uint32_t ended = 0;

	memset(streamer->data, 0, sizeof(streamer->data));
	while (!__atomic_load_n(&streamer->stop, __ATOMIC_ACQUIRE)) {
		struct hf_io *ios[8];

		for (uint32_t i = 0; i < 8; i++) {
			rig_prep(&streamer->work[i], streamer->rig->ns,
				 HF_OP_READ, 4096 + i, 1, streamer->data[i]);
			ios[i] = &streamer->work[i].io;
		}
		streamer->failures += hf_submit(streamer->queue, ios, 8) != 8;
		uint64_t deadline = hf_deadline_ms(20000);
		do {
			/* Completions that came to a callback in another
			 * thread wake nobody here: a short sleep. */
			(void)!hf_queue_wait(streamer->queue, 1);
			(void)hf_reap(streamer->queue, 3);
			ended = 0;
			for (uint32_t i = 0; i < 8; i++) {
				ended += __atomic_load_n(
						 &streamer->work[i].calls,
						 __ATOMIC_ACQUIRE) != 0;
			}
			if (hf_deadline_passed(deadline)) {
				streamer->failures++;
				return NULL;
			}
		} while (ended < 8);
		for (uint32_t i = 0; i < 8; i++) {
			streamer->failures += streamer->work[i].calls != 1 ||
					      streamer->work[i].result != 0;
		}
		streamer->sent += 8;
	}
	return NULL;
}

static void modes_change_under_load(void **state)
{
	static const enum hf_queue_mode modes[] = {HF_POLL, HF_THREAD, HF_EVENT,
						   HF_THREAD};
	struct rig *rig = *state;
	struct caller callers[CALLERS];
	struct streamer *streamer = calloc(1, sizeof(*streamer));

	small_queues(rig, true);
	streamer->rig = rig;
	assert_int_equal(hf_queue_open(&streamer->queue, rig->drv, 0, HF_POLL,
				       &rig->err),
			 0);
	assert_int_equal(pthread_create(&streamer->thread, NULL, streamer_main,
					streamer),
			 0);
	start_callers(rig, callers, ROUNDS, false);
	for (uint32_t i = 0; i < 40; i++) {
		assert_int_equal(
			hf_queue_set_mode(streamer->queue, modes[i % 4]), 0);
		rig_turn(rig, 2);
	}
	join_callers(callers);
	__atomic_store_n(&streamer->stop, true, __ATOMIC_RELEASE);
	pthread_join(streamer->thread, NULL);

	assert_int_equal(streamer->failures, 0);
	assert_true(streamer->sent > 0);
	hf_queue_close(streamer->queue);
	free(streamer);
}

static bool is_ready(void *arg)
{
	struct rig *rig = arg;

	return hf_driver_state(rig->drv) == HF_DRIVER_READY;
}

static void resets_under_load(struct rig *rig, bool runtime)
{
	struct caller callers[CALLERS];
	uint32_t ends = 0;

	small_queues(rig, runtime);
	start_callers(rig, callers, 2 * ROUNDS, true);
	for (uint32_t i = 0; i < 15; i++) {
		pthread_mutex_lock(&rig->drv->control);
		hf_bring_up_again(rig->drv, "the test asks for it");
		pthread_mutex_unlock(&rig->drv->control);
		hf_driver_kick(rig->drv);
		rig_until(rig, is_ready, rig);
		rig_turn(rig, 2);
	}
	join_callers(callers);
	for (uint32_t i = 0; i < CALLERS; i++) {
		ends += callers[i].reset_ends;
	}
	start_callers(rig, callers, 5, false);
	join_callers(callers);

	assert_int_equal(rig->drv->lies, 0);
	assert_int_equal(rig_stats(rig).dma_faults, 0);
	print_message("# %u calls ended by a reset\n", ends);
}

static void resets_under_load_without_the_runtime(void **state)
{
	resets_under_load(*state, false);
}

static void resets_under_load_with_the_runtime(void **state)
{
	resets_under_load(*state, true);
}

static void lies_under_load(void **state)
{
	struct rig *rig = *state;
	struct caller callers[CALLERS];

	small_queues(rig, true);
	rig_rule(rig, "io,every=97:wrong-cid");
	rig_rule(rig, "io,every=61:repeat");
	start_callers(rig, callers, ROUNDS, true);
	join_callers(callers);
	hf_emu_fault_clear(rig->emu);
	rig_turn(rig, 20);
	rig_until(rig, is_ready, rig);
	start_callers(rig, callers, 5, true);
	join_callers(callers);

	assert_true(__atomic_load_n(&rig->drv->lies, __ATOMIC_RELAXED) > 0);
}

static void state_is_looked_at_under_load(void **state)
{
	struct rig *rig = *state;
	struct caller callers[CALLERS];
	struct hf_namespace_info info;
	struct hf_driver_info driver;
	struct hf_event event;

	small_queues(rig, true);
	start_callers(rig, callers, ROUNDS, false);
	for (uint32_t i = 0; i < 30; i++) {
		char *text = hf_driver_inspect(rig->drv);

		assert_non_null(text);
		free(text);
		hf_driver_get_info(rig->drv, &driver);
		hf_namespace_get_info(rig->ns, &info);
		while (hf_event_next(rig->drv, &event) == 1) {
		}
		assert_int_equal(hf_namespace_rescan(rig->ns, &rig->err), 0);
		assert_int_equal(hf_emu_namespace_resize(rig->emu, 1,
							 (16u + i % 2) << 20,
							 &rig->err),
				 0);
	}
	join_callers(callers);
}

struct opener {
	struct rig *rig;
	uint32_t nsid;
	uint32_t opened;
	uint32_t busy;
	uint32_t failures;
	pthread_t thread;
};

static void *opener_main(void *arg)
{
	struct opener *opener = arg;
	uint8_t block[512];

	for (uint32_t i = 0; i < 20; i++) {
		struct hf_namespace *ns;
		int rc = hf_namespace_open(&ns, opener->rig->drv, opener->nsid,
					   NULL);

		if (rc == 0) {
			opener->failures += hf_read(ns, 0, 1, block) != 0;
			hf_namespace_close(ns);
			opener->opened++;
		} else if (rc == -EBUSY) {
			opener->busy++;
		} else {
			opener->failures++;
		}
	}
	return NULL;
}

static void namespaces_are_opened_by_many_threads(struct rig *rig, bool runtime)
{
	struct opener openers[6];
	uint32_t opened = 0;

	small_queues(rig, runtime);
	rig->ns_options.nsid = 2;
	assert_int_equal(hf_emu_namespace_add(rig->emu, &rig->ns_options, NULL,
					      &rig->err),
			 0);
	for (uint32_t i = 0; i < 6; i++) {
		openers[i] = (struct opener){.rig = rig, .nsid = 2};
		assert_int_equal(pthread_create(&openers[i].thread, NULL,
						opener_main, &openers[i]),
				 0);
	}
	for (uint32_t i = 0; i < 6; i++) {
		pthread_join(openers[i].thread, NULL);
		assert_int_equal(openers[i].failures, 0);
		opened += openers[i].opened;
	}
	assert_true(opened > 0);
}

static void many_threads_open_without_the_runtime(void **state)
{
	namespaces_are_opened_by_many_threads(*state, false);
}

static void many_threads_open_with_the_runtime(void **state)
{
	namespaces_are_opened_by_many_threads(*state, true);
}

static void many_cpus_ask_for_queues_at_once(void **state)
{
	struct rig *rig = *state;
	struct hf_queue *queues[32];
	struct rig_io work[32];
	struct hf_driver_info info;
	static uint8_t blocks[32][512];

	rig->options.cpu_count = 32;
	rig->options.io_queues = 12;
	rig->options.runtime = true;
	rig_open(rig);
	for (uint32_t i = 0; i < 32; i++) {
		struct hf_io *io = &work[i].io;

		assert_int_equal(hf_queue_open(&queues[i], rig->drv, i,
					       HF_THREAD, &rig->err),
				 0);
		rig_prep(&work[i], rig->ns, HF_OP_READ, i, 1, blocks[i]);
		assert_int_equal(hf_submit(queues[i], &io, 1), 1);
	}
	for (uint32_t i = 0; i < 32; i++) {
		assert_int_equal(rig_finish(rig, queues[i], &work[i]), 0);
	}
	hf_driver_get_info(rig->drv, &info);
	assert_int_equal(info.io_queues, 12);
	assert_int_equal(info.fallback_cpus, 20);
	for (uint32_t i = 0; i < 32; i++) {
		hf_queue_close(queues[i]);
	}
}

#define DEVICES 4u

/* A thread with controllers of its own, one after the other. */
struct owner {
	pthread_barrier_t *all;
	pthread_t thread;
	struct hf_error err;
	uint32_t failures;
	uint32_t number;
};

static void open_and_use(struct owner *owner)
{
	struct hf_driver_options options;
	struct hf_namespace *ns = NULL;
	struct hf_driver *drv = NULL;
	uint8_t data[512];

	hf_driver_options_init(&options);
	options.cpu_count = 2;
	options.io_queues = 2;
	options.pool_pages = 64;
	rig_fill(data, sizeof(data), owner->number);
	if (hf_driver_open(&drv, "emulated:size=8M,lba=512", &options,
			   &owner->err) != 0 ||
	    hf_namespace_open(&ns, drv, 1, &owner->err) != 0 ||
	    hf_write(ns, 3, 1, data) != 0) {
		owner->failures++;
	}
	/* All of them are there at the same time. */
	pthread_barrier_wait(owner->all);
	memset(data, 0, sizeof(data));
	if (ns == NULL || hf_read(ns, 3, 1, data) != 0 ||
	    !rig_is_filled(data, sizeof(data), owner->number)) {
		owner->failures++;
	}
	hf_namespace_close(ns);
	if (drv != NULL && hf_driver_close(drv, &owner->err) != 0) {
		owner->failures++;
	}
}

static void *owner_main(void *arg)
{
	struct owner *owner = arg;

	for (uint32_t i = 0; i < 4; i++) {
		pthread_barrier_wait(owner->all);
		open_and_use(owner);
	}
	return NULL;
}

static void many_devices_are_opened_by_several_threads(void **state)
{
	struct owner owners[DEVICES] = {0};
	pthread_barrier_t all;

	(void)state;
	pthread_barrier_init(&all, NULL, DEVICES);
	for (uint32_t i = 0; i < DEVICES; i++) {
		owners[i].all = &all;
		owners[i].number = i;
		assert_int_equal(pthread_create(&owners[i].thread, NULL,
						owner_main, &owners[i]),
				 0);
	}
	for (uint32_t i = 0; i < DEVICES; i++) {
		pthread_join(owners[i].thread, NULL);
	}
	pthread_barrier_destroy(&all);
	for (uint32_t i = 0; i < DEVICES; i++) {
		if (owners[i].failures != 0) {
			fail_msg("%u: %s", i, owners[i].err.message);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(blocking_calls_share_few_queues_without_the_runtime),
		rig_test(blocking_calls_share_few_queues_with_the_runtime),
		rig_test(blocking_calls_are_served_by_the_queue_s_thread),
		rig_test(modes_change_under_load),
		rig_test(resets_under_load_without_the_runtime),
		rig_test(resets_under_load_with_the_runtime),
		rig_test(lies_under_load),
		rig_test(state_is_looked_at_under_load),
		rig_test(many_threads_open_without_the_runtime),
		rig_test(many_threads_open_with_the_runtime),
		rig_test(many_cpus_ask_for_queues_at_once),
		cmocka_unit_test(many_devices_are_opened_by_several_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
