/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a controller is brought up or refused with a reason, and let go of in
 * order, whatever it or the machine does in between.
 * Method: the emulated controller, its faults, and a port that fails.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "rig.h"

static void refused(struct rig *rig, int code, const char *words)
{
	int rc = rig_start(rig);

	if (rc != code || strstr(rig->err.message, words) == NULL) {
		fail_msg("%d '%s' instead of %d '%s'", rc, rig->err.message,
			 code, words);
	}
	assert_int_equal(rig->err.code, code);
}

static void opens_and_closes(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	struct hf_emu_stats before = rig_stats(rig);
	rig_close(rig);

	assert_int_equal(before.enables, 1);
	assert_int_equal(before.errors, 0);
	assert_int_equal(rig_stats(rig).dma_faults, 0);
	assert_int_equal(hf_emu_reg_read(rig->emu, 0x1c, 4) & 1, 0);
}

static void closing_shuts_down_before_it_disables(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	uint32_t shutdown =
		rig_rule(rig, "reg-cc,write,value=0x4001/0xc001:note");
	uint32_t disable = rig_rule(rig, "reg-cc,write,value=0/1:note");
	rig_close(rig);

	assert_int_equal(rig_hits(rig, shutdown), 1);
	assert_int_equal(rig_hits(rig, disable), 1);
}

static void a_shutdown_that_never_ends_is_bounded(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.shutdown_delay_us = UINT64_C(3600) * 1000 * 1000;
	rig->emu_options.rtd3e_us = 100 * 1000;
	rig_open(rig);
	uint64_t before = hf_now_ns();
	rig_close(rig);

	assert_in_range((hf_now_ns() - before) / HF_NS_PER_MS, 4000, 15000);
	assert_true(rig_logged(rig, "RTD3E"));
}

static void an_enabled_controller_is_reset_first(void **state)
{
	static uint8_t theirs[8192] __attribute__((aligned(4096)));
	struct rig *rig = *state;

	rig_make(rig);
	/* Somebody left it enabled, with an admin queue somewhere. */
	assert_int_equal(hf_emu_dma_map(rig->emu, 0x100000, theirs, 8192,
					HF_EMU_DMA_READ | HF_EMU_DMA_WRITE,
					&rig->err),
			 0);
	hf_emu_reg_write(rig->emu, 0x24, 4, 0x001f001f);
	hf_emu_reg_write(rig->emu, 0x28, 8, 0x100000);
	hf_emu_reg_write(rig->emu, 0x30, 8, 0x101000);
	hf_emu_reg_write(rig->emu, 0x14, 4, 0x00460001);
	uint64_t deadline = hf_deadline_ms(5000);
	while ((hf_emu_reg_read(rig->emu, 0x1c, 4) & 1) == 0) {
		assert_false(hf_deadline_passed(deadline));
	}

	rig_open(rig);

	assert_int_equal(rig_stats(rig).enables, 2);
	assert_int_equal(rig_stats(rig).dma_faults, 0);
}

static void a_slow_controller_is_waited_for(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.enable_delay_us = 300 * 1000;
	rig->emu_options.disable_delay_us = 50 * 1000;
	rig->emu_options.shutdown_delay_us = 50 * 1000;
	rig_open(rig);
	rig_close(rig);
}

static void a_controller_that_never_gets_ready_is_given_up(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.timeout_500ms = 2;
	rig_make(rig);
	rig_rule(rig, "reg-csts,read:rdy-stuck=0");
	uint64_t before = hf_now_ns();
	refused(rig, -ETIMEDOUT, "did not become ready within 1000 ms");

	assert_in_range((hf_now_ns() - before) / HF_NS_PER_MS, 900, 10000);
}

static void a_controller_that_never_stops_is_reset_as_a_function(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.timeout_500ms = 2;
	rig_open(rig);
	rig_rule(rig, "reg-csts,read:rdy-stuck=1");
	rig_close(rig);

	assert_true(rig_logged(rig, "the function was reset"));
}

static void one_that_cannot_be_reset_loses_its_memory(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.timeout_500ms = 2;
	rig->fail_reset = true;
	rig_open(rig);
	rig_rule(rig, "reg-csts,read:rdy-stuck=1");
	rig_close(rig);
}

static void memory_of_one_that_cannot_be_stopped_is_kept(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.timeout_500ms = 2;
	rig->fail_reset = true;
	rig_open(rig);
	uint8_t *ring = rig->drv->io[0]->block.vaddr;
	hf_namespace_close(rig->ns);
	rig->ns = NULL;
	rig_rule(rig, "reg-csts,read:rdy-stuck=1");
	rig->fail_dma_unmap = true;
	int rc = hf_driver_close(rig->drv, &rig->err);

	assert_int_equal(rc, -EIO);
	assert_non_null(strstr(rig->err.message, "is kept"));
	assert_false(rig->is_released);
	*(volatile uint8_t *)ring = 0; /* still there */

	/* The rest of the test's own clean-up: by now it can be stopped. */
	rig->fail_dma_unmap = false;
	hf_emu_fault_clear(rig->emu);
	hf_emu_reset(rig->emu);
	rig->drv->unstoppable = false;
	assert_int_equal(hf_driver_close(rig->drv, &rig->err), 0);
	rig->drv = NULL;
}

static void queues_of_one_entry_are_refused(void **state)
{
	struct rig *rig = *state;

	rig_make(rig);
	rig_rule(rig, "reg-cap:mqes=0");
	refused(rig, -EPROTO, "CAP.MQES is 0");
}

static void pages_larger_than_4_kib_are_refused(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.mpsmin = 1;
	rig->emu_options.mpsmax = 2;
	refused(rig, -ENOTSUP, "8192");
}

static void a_controller_without_the_nvm_command_set_is_refused(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.css = 0x80;
	refused(rig, -ENOTSUP, "no NVM command set");
}

static void registers_of_all_ones_mean_that_it_is_gone(void **state)
{
	struct rig *rig = *state;

	rig_make(rig);
	rig_rule(rig, "now:gone");
	refused(rig, -ENODEV, "gone");
	hf_emu_reset(rig->emu);
}

/* Pulled out at each access to a register that bringing up makes. */
static void one_that_vanishes_at_any_register_access_is_given_up(void **state)
{
	struct rig *rig = *state;
	bool opened = false;

	rig->emu_options.serve = HF_EMU_MANUAL;
	for (uint32_t n = 1; n < 60 && !opened; n++) {
		char text[64];

		rig_make(rig);
		snprintf(text, sizeof(text), "reg,nth=%u:gone", n);
		uint32_t rule = rig_rule(rig, text);
		int rc = rig_start(rig);
		opened = rig_hits(rig, rule) == 0;
		if (!opened) {
			assert_int_equal(rc, -ENODEV);
		}
		rig_close(rig);
		hf_device_close(rig->dev);
		rig->dev = NULL;
		hf_emu_fault_clear(rig->emu);
		hf_emu_reset(rig->emu);
	}

	assert_true(opened);
}

static void a_fatal_status_while_enabling_is_reported(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.enable_delay_us = 50 * 1000;
	rig_make(rig);
	rig_rule(rig, "reg-csts,read,after=2:value=2/3");
	refused(rig, -EIO, "fatal status");
}

static void no_interrupt_at_all_is_refused(void **state)
{
	struct rig *rig = *state;

	rig->vectors = UINT32_MAX;
	refused(rig, -EPROTO, "no interrupt vector");
}

static void few_interrupts_bound_the_queues(void **state)
{
	struct rig *rig = *state;
	struct hf_driver_info info;

	rig->options.cpu_count = 4;
	rig->options.io_queues = 4;
	rig->vectors = 3;
	rig_open(rig);
	hf_driver_get_info(rig->drv, &info);

	assert_int_equal(info.io_queues_max, 3);
	assert_true(rig_logged(rig, "3 interrupts bound"));
}

static void fewer_queues_are_granted_than_asked(void **state)
{
	struct rig *rig = *state;
	struct hf_driver_info info;

	rig->options.cpu_count = 8;
	rig->options.io_queues = 8;
	rig_make(rig);
	rig_rule(rig, "admin-set-features,fid=7:grant=3/5");
	rig_open(rig);
	hf_driver_get_info(rig->drv, &info);

	assert_int_equal(info.io_queues_max, 3);
	assert_true(rig_logged(rig, "grants 3 submission and 5 completion"));
}

static void more_queues_than_asked_are_not_used(void **state)
{
	struct rig *rig = *state;
	struct hf_driver_info info;

	rig_make(rig);
	rig_rule(rig, "admin-set-features,fid=7:grant=65536/65536");
	rig_open(rig);
	hf_driver_get_info(rig->drv, &info);

	assert_int_equal(info.io_queues_max, 2);
}

static void a_huge_mqes_is_clamped(void **state)
{
	struct rig *rig = *state;
	struct hf_driver_info info;
	uint8_t block[512];

	rig->emu_options.mqes_z = 65535;
	rig->options.queue_entries = 65536;
	rig_open(rig);
	hf_driver_get_info(rig->drv, &info);

	assert_int_equal(info.queue_entries, 65536);
	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
}

static void queues_are_no_larger_than_mqes(void **state)
{
	struct rig *rig = *state;
	struct hf_driver_info info;
	uint8_t block[512];

	rig->emu_options.mqes_z = 1;
	rig->options.queue_entries = 1024;
	rig_open(rig);
	hf_driver_get_info(rig->drv, &info);

	assert_int_equal(info.queue_entries, 2);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(hf_read(rig->ns, i, 1, block), 0);
	}
}

static void each_admin_step_that_fails_is_named(void **state)
{
	static const struct {
		const char *rule;
		const char *words;
	} steps[] = {
		{"admin-identify,cns=1:status=generic/6h",
		 "identify the controller"},
		{"admin-set-features,fid=7:status=generic/2h",
		 "set the number of queues"},
		{"admin-create-iocq:status=specific/101h", "create I/O queues"},
		{"admin-create-iosq:status=specific/102h", "create I/O queues"},
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		rig_make(rig);
		rig_rule(rig, steps[i].rule);
		int rc = rig_start(rig);

		assert_true(rc > 0);
		assert_non_null(strstr(rig->err.message, steps[i].words));
		rig_close(rig);
		hf_emu_fault_clear(rig->emu);
	}
	rig_open(rig);
}

static void optional_admin_steps_may_fail(void **state)
{
	struct rig *rig = *state;

	rig_make(rig);
	rig_rule(rig, "admin-identify,cns=6:status=generic/2h");
	rig_rule(rig, "admin-set-features,fid=0x0b:status=generic/2h");
	rig_rule(rig, "aer:status=generic/1h");
	rig_open(rig);

	assert_true(rig_logged(rig, "asynchronous events are as"));
}

static void dma_memory_that_runs_out_fails_in_order(void **state)
{
	struct rig *rig = *state;
	uint32_t failed = 0;
	int rc = -1;

	/* From nothing at all to enough for the admin and the first queue. */
	for (uint64_t pages = 1; rc != 0 && pages < 400; pages += 7) {
		rig->options.device.dma_limit_bytes = pages * 4096;
		rc = rig_start(rig);
		if (rc != 0) {
			assert_int_equal(rc, -ENOMEM);
			assert_non_null(strstr(rig->err.message, "limit"));
			failed++;
		}
		rig_close(rig);
		hf_device_close(rig->dev);
		rig->dev = NULL;
	}

	assert_int_equal(rc, 0);
	assert_true(failed > 5);
}

static void a_failing_port_fails_the_opening(void **state)
{
	struct rig *rig = *state;

	rig->fail_dma_map_at = 1;
	refused(rig, -ENOMEM, "the test fails dma_map");
	rig_close(rig);
	rig->fail_dma_map_at = 0;

	rig->irq_maps = 0;
	for (uint32_t n = 1; n <= 2; n++) {
		rig->irq_maps = 0;
		rig->fail_irq_map_at = n;
		refused(rig, -EMFILE, "the test fails irq_map");
		rig_close(rig);
	}
	rig->fail_irq_map_at = 0;
	rig_open(rig);
}

static void options_out_of_range_are_refused_by_name(void **state)
{
	static const struct {
		size_t offset;
		uint32_t value;
		const char *name;
	} bad[] = {
		{offsetof(struct hf_driver_options, cpu_count), 0,
		 "cpu_count is 0"},
		{offsetof(struct hf_driver_options, io_queues), 0,
		 "io_queues is 0"},
		{offsetof(struct hf_driver_options, queue_entries), 1,
		 "queue_entries is 1"},
		{offsetof(struct hf_driver_options, queue_entries), 65537,
		 "queue_entries is 65537"},
		{offsetof(struct hf_driver_options, pool_pages), 1,
		 "pool_pages is 1"},
		{offsetof(struct hf_driver_options, pool_pages), 65535,
		 "pool_pages is 65535"},
	};
	struct rig *rig = *state;
	const struct hf_driver_options good = rig->options;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rig->options = good;
		memcpy((uint8_t *)&rig->options + bad[i].offset, &bad[i].value,
		       sizeof(bad[i].value));
		refused(rig, -EINVAL, bad[i].name);
	}
	rig->options = good;
	rig->options.size = 3;
	refused(rig, -EINVAL, "hf_driver_options_init");
	rig->options = good;
	rig_open(rig);
}

struct doomed {
	struct rig *rig;
	struct rig_io io;
	uint64_t writes_at_end; /* of the device, into the buffer's memory */
	uint32_t ready_at_end;
};

static void doomed_done(struct hf_io *io, int result)
{
	struct rig_io *work = io->user;
	struct doomed *doomed = hf_container_of(work, struct doomed, io);

	doomed->ready_at_end =
		(uint32_t)hf_emu_reg_read(doomed->rig->emu, 0x1c, 4) & 1;
	rig_io_done(io, result);
}

static void what_is_in_flight_ends_once_after_the_device_stopped(void **state)
{
	struct rig *rig = *state;
	struct hf_queue *queue;
	struct doomed doomed[4] = {0};

	rig_open(rig);
	assert_int_equal(hf_queue_open(&queue, rig->drv, 0, HF_POLL, &rig->err),
			 0);
	rig_rule(rig, "io-read:hold");
	uint8_t *data = hf_dma_alloc(rig->drv, 16384, &rig->err);
	memset(data, 0xee, 16384);
	for (uint32_t i = 0; i < 4; i++) {
		struct hf_io *io = &doomed[i].io.io;

		rig_prep(&doomed[i].io, rig->ns, HF_OP_READ, i * 8, 8,
			 data + i * 4096);
		doomed[i].rig = rig;
		io->done = doomed_done;
		assert_int_equal(hf_submit(queue, &io, 1), 1);
	}
	uint64_t iova =
		hf_iova_lookup(&hf_driver_device(rig->drv)->dma.map, data);
	hf_emu_dma_watch(rig->emu, iova, 16384);
	rig_close(rig);

	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(doomed[i].io.calls, 1);
		assert_int_equal(doomed[i].io.result, -ECANCELED);
		assert_int_equal(doomed[i].ready_at_end, 0);
	}
	hf_emu_fault_clear(rig->emu);
	assert_int_equal(rig_stats(rig).watch_writes, 0);
}

/* A read whose callback submits another one. */
struct restless {
	struct rig_io io;
	struct rig_io next;
	struct hf_queue *queue;
	int submitted;
};

static void submit_again(struct hf_io *io, int result)
{
	struct rig_io *work = io->user;
	struct restless *restless = hf_container_of(work, struct restless, io);
	struct hf_io *next = &restless->next.io;

	rig_prep(&restless->next, io->ns, HF_OP_READ, io->lba, io->blocks,
		 io->buf);
	restless->submitted = hf_submit(restless->queue, &next, 1);
	rig_io_done(io, result);
}

static void a_callback_of_closing_that_submits_is_refused(void **state)
{
	struct rig *rig = *state;
	struct restless restless = {0};
	struct hf_io *io = &restless.io.io;
	uint8_t block[512];

	rig_open(rig);
	assert_int_equal(hf_queue_open(&restless.queue, rig->drv, 0, HF_EVENT,
				       &rig->err),
			 0);
	rig_rule(rig, "io-read:hold");
	rig_prep(&restless.io, rig->ns, HF_OP_READ, 0, 1, block);
	io->done = submit_again;
	assert_int_equal(hf_submit(restless.queue, &io, 1), 1);
	/* Open until the driver closes: the callback still names it. */
	rig->ns = NULL;
	rig_close(rig);

	assert_int_equal(restless.io.calls, 1);
	assert_int_equal(restless.io.result, -ECANCELED);
	assert_int_equal(restless.submitted, -ENODEV);
	assert_int_equal(restless.next.calls, 0);
}

static void what_waits_in_line_ends_with_the_driver(void **state)
{
	struct rig *rig = *state;
	struct hf_queue *queue;
	struct rig_io work[100];
	uint8_t block[512];

	rig_open(rig);
	assert_int_equal(hf_queue_open(&queue, rig->drv, 0, HF_POLL, &rig->err),
			 0);
	rig_rule(rig, "io-read:hold");
	for (uint32_t i = 0; i < 100; i++) {
		struct hf_io *io = &work[i].io;

		rig_prep(&work[i], rig->ns, HF_OP_READ, i, 1, block);
		assert_int_equal(hf_submit(queue, &io, 1), 1);
	}
	rig_close(rig);

	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(work[i].calls, 1);
		assert_int_equal(work[i].result, -ECANCELED);
	}
}

static void a_queue_in_the_making_ends_with_the_driver(void **state)
{
	struct rig *rig = *state;
	struct hf_queue *queue;
	struct rig_io work;
	struct hf_io *io = &work.io;
	uint8_t block[512];

	rig_open(rig);
	uint32_t rule = rig_rule(rig, "admin-create-iocq:hold");
	assert_int_equal(hf_queue_open(&queue, rig->drv, 1, HF_POLL, &rig->err),
			 0);
	rig_prep(&work, rig->ns, HF_OP_READ, 0, 1, block);
	assert_int_equal(hf_submit(queue, &io, 1), 1);
	rig_turn(rig, 20);
	assert_int_equal(rig_hits(rig, rule), 1);
	rig_close(rig);

	assert_int_equal(work.calls, 1);
	assert_int_equal(work.result, -ECANCELED);
}

static void closing_before_it_is_ready_works(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.enable_delay_us = 200 * 1000;
	rig_make(rig);
	assert_int_equal(
		hf_driver_start(&rig->drv, rig->dev, &rig->options, &rig->err),
		0);
	rig->dev = NULL;
	rig_turn(rig, 5);
	rig_close(rig);
}

struct asked {
	struct rig *rig;
	uint32_t rule;
};

static bool was_asked(void *arg)
{
	const struct asked *asked = arg;

	return rig_hits(asked->rig, asked->rule) != 0;
}

static void until_hit(struct rig *rig, uint32_t rule)
{
	struct asked asked = {.rig = rig, .rule = rule};

	rig_until(rig, was_asked, &asked);
}

/* Each holds back its first command, so that none can be ready before all have
 * been asked: what waited for another would wait for ever. */
static void many_controllers_come_up_side_by_side(void **state)
{
	struct rig *more[4];
	uint32_t rules[4];

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		void *each;

		rig_setup(&each);
		more[i] = each;
		rig_make(more[i]);
		rules[i] = rig_rule(more[i], "admin-identify,nth=1:hold");
		assert_int_equal(hf_driver_start(&more[i]->drv, more[i]->dev,
						 &more[i]->options,
						 &more[i]->err),
				 0);
		more[i]->dev = NULL;
	}
	for (uint32_t i = 0; i < 4; i++) {
		until_hit(more[i], rules[i]);
	}
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(hf_driver_state(more[i]->drv),
				 HF_DRIVER_STARTING);
		(void)hf_emu_fault_remove(more[i]->emu, rules[i]);
	}
	for (uint32_t i = 0; i < 4; i++) {
		void *each = more[i];

		assert_int_equal(
			hf_driver_ready_wait(more[i]->drv, &more[i]->err), 0);
		rig_teardown(&each);
	}
}

static void calls_after_a_failure_say_why(void **state)
{
	struct rig *rig = *state;
	struct hf_namespace *ns;
	struct hf_command command = {.opcode = 0x0a, .cdw10 = 7};
	uint8_t block[512];

	rig_open(rig);
	rig_rule(rig, "now:gone");
	struct hf_error why = {.code = -ENODEV, .message = "it was pulled out"};
	pthread_mutex_lock(&rig->drv->control);
	hf_driver_fail(rig->drv, &why);
	pthread_mutex_unlock(&rig->drv->control);

	assert_int_equal(hf_driver_process(rig->drv), -ENODEV);
	assert_int_equal(hf_read(rig->ns, 0, 1, block), -ENODEV);
	assert_int_equal(hf_namespace_open(&ns, rig->drv, 2, &rig->err),
			 -ENODEV);
	assert_non_null(strstr(rig->err.message, "it was pulled out"));
	assert_int_equal(hf_admin_command(rig->drv, &command, &rig->err),
			 -ENODEV);
	assert_non_null(strstr(rig->err.message, "it was pulled out"));
	struct hf_event event = rig_event(rig, HF_EVENT_CONTROLLER_LOST);
	assert_string_equal(event.text, "it was pulled out");
	hf_emu_reset(rig->emu);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest quick[] = {
		rig_test(opens_and_closes),
		rig_test(closing_shuts_down_before_it_disables),
		rig_test(an_enabled_controller_is_reset_first),
		rig_test(a_slow_controller_is_waited_for),
		rig_test(queues_of_one_entry_are_refused),
		rig_test(pages_larger_than_4_kib_are_refused),
		rig_test(a_controller_without_the_nvm_command_set_is_refused),
		rig_test(registers_of_all_ones_mean_that_it_is_gone),
		rig_test(one_that_vanishes_at_any_register_access_is_given_up),
		rig_test(a_fatal_status_while_enabling_is_reported),
		rig_test(no_interrupt_at_all_is_refused),
		rig_test(few_interrupts_bound_the_queues),
		rig_test(fewer_queues_are_granted_than_asked),
		rig_test(more_queues_than_asked_are_not_used),
		rig_test(a_huge_mqes_is_clamped),
		rig_test(queues_are_no_larger_than_mqes),
		rig_test(each_admin_step_that_fails_is_named),
		rig_test(optional_admin_steps_may_fail),
		rig_test(dma_memory_that_runs_out_fails_in_order),
		rig_test(a_failing_port_fails_the_opening),
		rig_test(options_out_of_range_are_refused_by_name),
		rig_test(what_is_in_flight_ends_once_after_the_device_stopped),
		rig_test(a_callback_of_closing_that_submits_is_refused),
		rig_test(what_waits_in_line_ends_with_the_driver),
		rig_test(a_queue_in_the_making_ends_with_the_driver),
		rig_test(closing_before_it_is_ready_works),
		rig_test(many_controllers_come_up_side_by_side),
		rig_test(calls_after_a_failure_say_why),
	};
	const struct CMUnitTest slow[] = {
		rig_test(a_shutdown_that_never_ends_is_bounded),
		rig_test(a_controller_that_never_gets_ready_is_given_up),
		rig_test(a_controller_that_never_stops_is_reset_as_a_function),
		rig_test(one_that_cannot_be_reset_loses_its_memory),
		rig_test(memory_of_one_that_cannot_be_stopped_is_kept),
	};

	(void)argv;
	return argc > 1 ? cmocka_run_group_tests(slow, NULL, NULL)
			: cmocka_run_group_tests(quick, NULL, NULL);
}
