/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever a controller posts, raises, transfers or withholds, the
 * process lives, the lie is counted, each I/O ends once, and later I/O is
 * right.
 * Method: each fault of the emulated controller in turn, under a few writes
 * whose content is read back afterwards.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/bring_up.h"
#include "rig.h"

#define IOS 12u

struct lie {
	const char *rule;
	bool is_noticed; /* the driver can know, and resets the controller */
};

struct wave {
	struct rig *rig;
	struct hf_queue *queue;
	struct rig_io work[IOS];
	uint8_t *data;
};

static void submit_wave(struct wave *wave, enum hf_op op)
{
	struct hf_io *ios[IOS];

	for (uint32_t i = 0; i < IOS; i++) {
		rig_prep(&wave->work[i], wave->rig->ns, op, i * 8, 8,
			 wave->data + i * 4096);
		ios[i] = &wave->work[i].io;
	}
	int taken = hf_submit(wave->queue, ios, IOS);
	if (taken != (int)IOS) {
		fail_msg("%d were taken\n%s", taken, wave->rig->log);
	}
}

static bool wave_ended(void *arg)
{
	struct wave *wave = arg;
	uint32_t ended = 0;

	(void)hf_reap(wave->queue, 64);
	for (uint32_t i = 0; i < IOS; i++) {
		ended += wave->work[i].calls != 0;
	}
	return ended == IOS;
}

/* A command whose completion was spoiled without the driver being able to
 * know waits for a reset: the test asks for one. */
static void end_wave(struct wave *wave)
{
	struct hf_driver *drv = wave->rig->drv;

	for (uint32_t i = 0; i < 100 && !wave_ended(wave); i++) {
		rig_turn(wave->rig, 1);
	}
	if (!wave_ended(wave) && hf_driver_state(drv) == HF_DRIVER_READY) {
		pthread_mutex_lock(&drv->control);
		hf_bring_up_again(drv, "the test gives up waiting");
		pthread_mutex_unlock(&drv->control);
		hf_driver_kick(drv);
	}
	rig_until(wave->rig, wave_ended, wave);
}

static bool is_ready(void *arg)
{
	struct hf_driver *drv = arg;

	return hf_driver_state(drv) == HF_DRIVER_READY &&
	       !__atomic_load_n(&drv->suspect, __ATOMIC_ACQUIRE);
}

static void lives_through(struct rig *rig, const struct lie *lie)
{
	struct wave wave = {.rig = rig};

	rig_open(rig);
	wave.data = hf_dma_alloc(rig->drv, IOS * 4096, &rig->err);
	assert_int_equal(
		hf_queue_open(&wave.queue, rig->drv, 0, HF_POLL, &rig->err), 0);
	/* A whole lap, so that stale entries look like good ones. */
	for (uint32_t i = 0; i < 4; i++) {
		submit_wave(&wave, HF_OP_WRITE);
		end_wave(&wave);
	}
	uint32_t rule = rig_rule(rig, lie->rule);
	for (uint32_t i = 0; i < 3; i++) {
		submit_wave(&wave, HF_OP_WRITE);
		end_wave(&wave);
		for (uint32_t n = 0; n < IOS; n++) {
			assert_int_equal(wave.work[n].calls, 1);
			assert_true(wave.work[n].result == 0 ||
				    wave.work[n].result == -ECONNRESET);
		}
	}
	assert_true(rig_hits(rig, rule) > 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	rig_turn(rig, 20);
	rig_until(rig, is_ready, rig->drv);
	assert_true(!lie->is_noticed || rig->drv->lies > 0);
	assert_true(!lie->is_noticed || rig->drv->resets > 0);

	for (uint32_t i = 0; i < IOS; i++) {
		rig_fill(wave.data + i * 4096, 4096, i + 100);
	}
	submit_wave(&wave, HF_OP_WRITE);
	end_wave(&wave);
	memset(wave.data, 0, IOS * 4096);
	submit_wave(&wave, HF_OP_READ);
	end_wave(&wave);
	for (uint32_t i = 0; i < IOS; i++) {
		assert_int_equal(wave.work[i].result, 0);
		assert_true(rig_is_filled(wave.data + i * 4096, 4096, i + 100));
	}
	hf_queue_close(wave.queue);
}

#define LIE(name, text, noticed)                                               \
	static void name(void **state)                                         \
	{                                                                      \
		const struct lie lie = {.rule = (text),                        \
					.is_noticed = (noticed)};              \
                                                                               \
		lives_through(*state, &lie);                                   \
	}

LIE(a_wrong_command_identifier, "io-write,nth=5:wrong-cid", true)
LIE(a_wrong_command_identifier_of_all_ones, "io-write,nth=5:wrong-cid=0xffff",
    true)
LIE(a_completion_that_comes_twice, "io-write,nth=5:repeat", true)
LIE(a_completion_that_comes_ten_times, "io-write,nth=5:repeat=9", true)
LIE(a_completion_of_what_was_never_sent, "io-write,nth=5:phantom", true)
LIE(a_phantom_of_identifier_0, "io-write,nth=5:phantom=0xf000", true)
LIE(a_completion_for_another_queue, "io-write,nth=5:wrong-sqid", true)
LIE(a_completion_for_queue_65535, "io-write,nth=5:wrong-sqid=0xffff", true)
LIE(a_head_that_cannot_be, "io-write,nth=5:bad-sqhd", true)
LIE(a_head_beyond_the_ring, "io-write,nth=5:bad-sqhd=0xffff", true)
LIE(a_phase_tag_of_the_lap_before, "io-write,nth=5:stale-phase", false)
LIE(an_entry_that_is_torn, "io-write,nth=5:torn=2ms", false)
LIE(a_completion_that_never_comes, "io-write,nth=5:no-post", false)
LIE(a_command_that_is_dropped, "io-write,nth=5:drop", false)
LIE(a_completion_that_comes_late, "io-write,nth=5:late-post=5ms", false)
LIE(commands_that_overtake_each_other, "io-write,every=3:delay=3ms", false)
LIE(completions_that_swap_places, "io-write,every=2:reorder", false)
LIE(interrupts_that_are_lost, "irq,every=2:lose", false)
LIE(interrupts_without_a_cause, "irq,every=2:spurious=3", false)
LIE(interrupts_that_come_late, "irq,every=2:late=5ms", false)
LIE(interrupts_of_another_vector, "irq,every=2:wrong-vector=1", false)
LIE(every_fifth_completion_wrong, "io-write,every=5:wrong-cid", true)

static void admin_completions_lie_as_well(void **state)
{
	static const char *const rules[] = {
		"admin-get-features,nth=1:wrong-cid",
		"admin-get-features,nth=1:repeat",
		"admin-get-features,nth=1:phantom",
		"admin-get-features,nth=1:wrong-sqid",
		"admin-get-features,nth=1:bad-sqhd",
	};
	struct rig *rig = *state;
	uint8_t block[512];

	rig_open(rig);
	for (uint32_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct hf_command command = {.opcode = 0x0a, .cdw10 = 7};

		hf_emu_fault_clear(rig->emu);
		rig_rule(rig, rules[i]);
		int rc = hf_admin_command(rig->drv, &command, &rig->err);

		assert_true(rc == 0 || rc == -ECONNRESET);
		rig_turn(rig, 5);
		rig_until(rig, is_ready, rig->drv);
		assert_int_equal(
			hf_admin_command(rig->drv, &command, &rig->err), 0);
		assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
	}
	assert_true(rig->drv->resets >= 4);
}

static void a_blocking_call_gets_by_without_interrupts(void **state)
{
	struct rig *rig = *state;
	uint8_t block[512];

	rig_open(rig);
	rig_rule(rig, "io-read:delay=30ms"); /* it sleeps by then */
	rig_rule(rig, "irq,vector=0:lose");

	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
}

static void data_that_is_short_or_changed_is_the_caller_s_to_find(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	rig_fill(data, 4096, 1);
	assert_int_equal(hf_write(rig->ns, 0, 8, data), 0);
	rig_rule(rig, "io-read,nth=1:corrupt=100");
	rig_rule(rig, "io-read,nth=2:short=512");
	assert_int_equal(hf_read(rig->ns, 0, 8, data), 0);
	assert_false(rig_is_filled(data, 4096, 1));
	memset(data, 0, 4096);
	assert_int_equal(hf_read(rig->ns, 0, 8, data), 0);
	assert_false(rig_is_filled(data, 4096, 1));
	assert_int_equal(hf_read(rig->ns, 0, 8, data), 0);

	assert_true(rig_is_filled(data, 4096, 1));
}

static void another_controller_after_a_reset_is_refused(void **state)
{
	struct rig *rig = *state;
	uint8_t block[512];

	rig_open(rig);
	rig_rule(rig, "admin-identify,cns=1:patch=4/5858585858");
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "the test asks for it");
	pthread_mutex_unlock(&rig->drv->control);
	hf_driver_kick(rig->drv);
	struct hf_event event = rig_event(rig, HF_EVENT_CONTROLLER_LOST);

	assert_non_null(strstr(event.text, "another controller"));
	assert_int_equal(hf_read(rig->ns, 0, 1, block), -ENODEV);
}

static void fewer_queues_after_a_reset_are_refused(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	rig_rule(rig, "admin-set-features,fid=7:grant=1/1");
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "the test asks for it");
	pthread_mutex_unlock(&rig->drv->control);
	hf_driver_kick(rig->drv);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_LOST);

	assert_true(rig_logged(rig, "before it granted 2"));
}

static void a_command_that_is_fetched_late_finds_its_list(void **state)
{
	struct rig *rig = *state;
	struct hf_queue *queue;
	struct rig_io late;
	struct hf_io *io = &late.io;
	uint8_t *other = malloc(64 << 10);

	/* The delayed write's list and copied data stay its own, while other
	 * commands take and give pages. */
	rig_open(rig);
	uint8_t *data = malloc(64 << 10);
	rig_fill(data, 64 << 10, 5);
	assert_int_equal(hf_queue_open(&queue, rig->drv, 0, HF_POLL, &rig->err),
			 0);
	rig_rule(rig, "io-write,nth=1:delay=20ms");
	rig_prep(&late, rig->ns, HF_OP_WRITE, 0, 128, data);
	assert_int_equal(hf_submit(queue, &io, 1), 1);
	memset(data, 0, 64 << 10); /* was copied */
	for (uint32_t i = 0; i < 20; i++) {
		struct rig_io work;
		struct hf_io *more = &work.io;

		rig_fill(other, 64 << 10, i + 6);
		rig_prep(&work, rig->ns, HF_OP_WRITE, 1024, 128, other);
		assert_int_equal(hf_submit(queue, &more, 1), 1);
		assert_int_equal(rig_finish(rig, queue, &work), 0);
	}
	if (late.calls == 0) {
		assert_int_equal(rig_finish(rig, queue, &late), 0);
	}
	assert_int_equal(late.result, 0);
	assert_int_equal(hf_read(rig->ns, 0, 128, other), 0);
	assert_true(rig_is_filled(other, 64 << 10, 5));
	hf_queue_close(queue);
	free(data);
	free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_wrong_command_identifier),
		rig_test(a_wrong_command_identifier_of_all_ones),
		rig_test(a_completion_that_comes_twice),
		rig_test(a_completion_that_comes_ten_times),
		rig_test(a_completion_of_what_was_never_sent),
		rig_test(a_phantom_of_identifier_0),
		rig_test(a_completion_for_another_queue),
		rig_test(a_completion_for_queue_65535),
		rig_test(a_head_that_cannot_be),
		rig_test(a_head_beyond_the_ring),
		rig_test(a_phase_tag_of_the_lap_before),
		rig_test(an_entry_that_is_torn),
		rig_test(a_completion_that_never_comes),
		rig_test(a_command_that_is_dropped),
		rig_test(a_completion_that_comes_late),
		rig_test(commands_that_overtake_each_other),
		rig_test(completions_that_swap_places),
		rig_test(interrupts_that_are_lost),
		rig_test(interrupts_without_a_cause),
		rig_test(interrupts_that_come_late),
		rig_test(interrupts_of_another_vector),
		rig_test(every_fifth_completion_wrong),
		rig_test(admin_completions_lie_as_well),
		rig_test(a_blocking_call_gets_by_without_interrupts),
		rig_test(data_that_is_short_or_changed_is_the_caller_s_to_find),
		rig_test(another_controller_after_a_reset_is_refused),
		rig_test(fewer_queues_after_a_reset_are_refused),
		rig_test(a_command_that_is_fetched_late_finds_its_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
