/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what a rule does to completions, interrupts, events and registers is
 * what the rule says.
 * Method: as for commands: a host of the test's own, and time that passes only
 * when the test lets it.
 */
#include "cmocka_all.h"

#include <string.h>

#include "base/bytes.h"
#include "faulty.h"

static void a_completion_is_lost_though_the_command_was_executed(void **state)
{
	struct faulty *f = *state;

	faulty_fill(f, 0, 0x55);
	faulty_rule(f, "io-read,nth=1:no-post");
	faulty_send(f, nvme_cmd_read, 0);
	faulty_pass(f, 10000 * FAULTY_MS);
	assert_int_equal(f->data[0], 0x55);
	assert_false(host_peek(&f->host, 1));
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
}

static void a_completion_is_late_though_the_command_was_executed(void **state)
{
	struct faulty *f = *state;

	faulty_fill(f, 0, 0x55);
	faulty_rule(f, "io-read:late-post=5ms");
	faulty_send(f, nvme_cmd_read, 0);
	assert_int_equal(f->data[0], 0x55);
	assert_false(host_peek(&f->host, 1));
	faulty_pass(f, 6 * FAULTY_MS);
	assert_true(host_peek(&f->host, 1));
}

static void a_completion_comes_twice(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;

	faulty_rule(f, "io-read,nth=1:repeat=2");
	uint16_t cid = faulty_send(f, nvme_cmd_read, 0);
	for (int i = 0; i < 3; i++) {
		assert_true(host_reap(&f->host, 1, &cqe));
		assert_int_equal(host_cid(&cqe), cid);
	}
	assert_false(host_reap(&f->host, 1, &cqe));
}

static void two_completions_change_places(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, f->data_iova);

	faulty_rule(f, "io-read,nth=1:reorder");
	uint16_t first = host_push(&f->host, 1, &sqe);
	uint16_t second = host_push(&f->host, 1, &sqe);
	host_ring(&f->host, 1);
	host_run(&f->host);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), second);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), first);
}

static void a_completion_names_another_command_queue_or_head(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;

	faulty_rule(f, "io-read,nth=1:wrong-cid=0x77");
	faulty_rule(f, "io-read,nth=2:wrong-sqid=9");
	faulty_rule(f, "io-read,nth=3:bad-sqhd=0xffff");
	faulty_send(f, nvme_cmd_read, 0);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), 0x77);
	faulty_send(f, nvme_cmd_read, 0);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(cqe.dw2 >> 16, 9);
	faulty_send(f, nvme_cmd_read, 0);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(cqe.dw2 & 0xffff, 0xffff);
}

static void nobody_asked_for_a_phantom(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;

	faulty_rule(f, "io-read,nth=1:phantom=0x4321");
	uint16_t cid = faulty_send(f, nvme_cmd_read, 0);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), 0x4321);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), cid);
}

static void a_stale_phase_tag_hides_the_completion(void **state)
{
	struct faulty *f = *state;

	faulty_rule(f, "io-read,nth=1:stale-phase");
	uint16_t cid = faulty_send(f, nvme_cmd_read, 0);
	assert_false(host_peek(&f->host, 1));
	assert_int_equal(
		(uint16_t)f->host.queues[1].cq[f->host.queues[1].head].dw3,
		cid);
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
}

static void a_torn_completion_is_whole_later(void **state)
{
	struct faulty *f = *state;
	const struct nvme_cqe *slot = &f->host.queues[1].cq[0];

	faulty_rule(f, "io-read,nth=1:torn=50us,result=7");
	faulty_send(f, nvme_cmd_read, 0);
	assert_true(host_peek(&f->host, 1));
	assert_int_equal(slot->dw0, 0);
	assert_int_equal(slot->dw2, 0);
	faulty_pass(f, FAULTY_MS);
	assert_int_equal(slot->dw0, 7);
	assert_int_equal(slot->dw2 >> 16, 1);
}

static void an_interrupt_is_lost(void **state)
{
	struct faulty *f = *state;

	faulty_rule(f, "irq,vector=1,nth=1:lose");
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	assert_int_equal(faulty_interrupts(f, 1), 0);
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	assert_int_equal(faulty_interrupts(f, 1), 1);
}

static void interrupts_come_without_a_cause(void **state)
{
	struct faulty *f = *state;

	faulty_rule(f, "irq,vector=1,nth=1:spurious=2");
	faulty_rule(f, "io-read,nth=1:spurious-irq=2");
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	assert_int_equal(faulty_interrupts(f, 1), 3);
	assert_int_equal(faulty_interrupts(f, 2), 1);
}

static void an_interrupt_is_late(void **state)
{
	struct faulty *f = *state;

	faulty_rule(f, "irq,vector=1:late=3ms");
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	assert_int_equal(faulty_interrupts(f, 1), 0);
	faulty_pass(f, 4 * FAULTY_MS);
	assert_int_equal(faulty_interrupts(f, 1), 1);
}

static void an_interrupt_comes_on_another_vector(void **state)
{
	struct faulty *f = *state;

	faulty_rule(f, "irq,vector=1:wrong-vector=2");
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	assert_int_equal(faulty_interrupts(f, 1), 0);
	assert_int_equal(faulty_interrupts(f, 2), 1);
}

static void the_controller_is_fatally_ill(void **state)
{
	struct faulty *f = *state;

	faulty_rule(f, "io-read,nth=2:cfs");
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	assert_int_equal(host_csts(&f->host) & 2, 0);
	faulty_send(f, nvme_cmd_read, 0);
	assert_int_equal(host_csts(&f->host) & 2, 2);
	assert_false(host_peek(&f->host, 1));
	host_disable(&f->host);
	assert_int_equal(host_csts(&f->host) & 2, 0);

	faulty_rule(f, "now:cfs");
	assert_int_equal(host_csts(&f->host) & 2, 2);
}

static void ready_is_stuck(void **state)
{
	struct faulty *f = *state;
	uint32_t id = faulty_rule(f, "reg-csts,read:rdy-stuck=0");

	assert_int_equal(host_csts(&f->host) & 1, 0);
	assert_int_equal(hf_emu_fault_remove(f->host.emu, id), 0);
	assert_int_equal(host_csts(&f->host) & 1, 1);

	id = faulty_rule(f, "reg-csts,read:rdy-stuck=1");
	host_write32(&f->host, NVME_REG_CC, 0);
	faulty_pass(f, 60000 * FAULTY_MS);
	assert_int_equal(host_csts(&f->host) & 1, 1);
	assert_int_equal(hf_emu_fault_remove(f->host.emu, id), 0);
	assert_int_equal(host_csts(&f->host) & 1, 0);
}

static void ready_takes_its_time(void **state)
{
	struct faulty *f = *state;
	uint32_t note = faulty_rule(f, "reg-cc,write,value=1/1:note");

	host_disable(&f->host);
	assert_int_equal(hf_emu_fault_hits(f->host.emu, note), 0);
	faulty_rule(f, "reg-cc,write,value=1/1:delay=3s");
	host_prepare_admin(&f->host, 8);
	host_write32(&f->host, NVME_REG_CC, host_cc());
	assert_int_equal(hf_emu_fault_hits(f->host.emu, note), 1);
	faulty_pass(f, 2900 * FAULTY_MS);
	assert_int_equal(host_csts(&f->host) & 1, 0);
	faulty_pass(f, 200 * FAULTY_MS);
	assert_int_equal(host_csts(&f->host) & 1, 1);
}

static void registers_read_as_ones_once_or_for_good(void **state)
{
	struct faulty *f = *state;

	faulty_rule(f, "reg-csts,nth=2:all-ones");
	assert_int_equal(host_csts(&f->host), 1);
	assert_int_equal(host_csts(&f->host), UINT32_MAX);
	assert_int_equal(host_csts(&f->host), 1);

	faulty_rule(f, "reg,nth=3:gone");
	assert_int_equal(host_csts(&f->host), 1);
	assert_int_not_equal(host_read32(&f->host, NVME_REG_CC), UINT32_MAX);
	assert_int_equal(host_read32(&f->host, NVME_REG_VS), UINT32_MAX);
	assert_int_equal(host_read32(&f->host, NVME_REG_CAP), UINT32_MAX);
	faulty_send(f, nvme_cmd_read, 0);
	assert_false(host_peek(&f->host, 1));
	hf_emu_reset(f->host.emu);
	assert_int_equal(host_csts(&f->host), 0);
}

static void a_register_has_another_value(void **state)
{
	struct faulty *f = *state;

	faulty_rule(f, "reg-cap:mqes=0");
	assert_int_equal(hf_emu_reg_read(f->host.emu, 0, 8) & 0xffff, 0);
	assert_int_not_equal(hf_emu_reg_read(f->host.emu, 0, 8) >> 16, 0);
	faulty_rule(f, "reg-cc,write:ignore");
	host_write32(&f->host, NVME_REG_CC, 0);
	assert_int_equal(host_csts(&f->host) & 1, 1);
}

static uint16_t send_aer(struct faulty *f)
{
	const struct nvme_sqe sqe = {.opcode = nvme_admin_async_event};

	return host_send(&f->host, 0, &sqe);
}

static void events_of_each_kind_come_at_once(void **state)
{
	static const struct {
		const char *text;
		uint32_t dw0;
	} rows[] = {
		{"now:event=error/3", 0x010300},
		{"now:event=smart/1", 0x020101},
		{"now:event=vendor/0x20/0xc5", 0xc52007},
	};
	struct faulty *f = *state;
	struct nvme_cqe cqe;
	uint64_t features = 0xff; /* every SMART event */

	assert_int_equal(host_admin(&f->host, nvme_admin_set_features, 0, 0xb,
				    (uint32_t)features, 0, NULL),
			 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		send_aer(f);
		faulty_rule(f, rows[i].text);
		host_run(&f->host);
		assert_true(host_reap(&f->host, 0, &cqe));
		assert_int_equal(cqe.dw0, rows[i].dw0);
	}
}

static void a_namespace_notice_has_no_cause(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;
	uint8_t page[4096];

	/* The one of the namespace's own coming is read away. */
	host_log(&f->host, 4, false, page, 4096);
	assert_int_equal(host_admin(&f->host, nvme_admin_set_features, 0, 0xb,
				    0x100, 0, NULL),
			 0);
	send_aer(f);
	faulty_rule(f, "now:event=notice");
	host_run(&f->host);
	assert_true(host_reap(&f->host, 0, &cqe));
	assert_int_equal(cqe.dw0, 0x040002);
}

/* Each read raises one; only the first is told before the log page is read. */
static void a_flood_of_events_is_one_until_its_page_is_read(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;

	uint32_t id = faulty_rule(f, "io-read:event=error");
	send_aer(f);
	send_aer(f);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	}
	assert_int_equal(hf_emu_fault_hits(f->host.emu, id), 100);
	assert_true(host_reap(&f->host, 0, &cqe));
	assert_false(host_reap(&f->host, 0, &cqe));
}

static void an_event_request_ends_as_the_rule_says(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;

	faulty_rule(f, "aer,nth=1:status=generic/6h");
	faulty_rule(f, "aer,nth=2:drop");
	send_aer(f);
	assert_true(host_reap(&f->host, 0, &cqe));
	assert_int_equal(host_status(&cqe), NVME_SC_INTERNAL);
	send_aer(f);
	faulty_rule(f, "now:event=error");
	host_run(&f->host);
	assert_false(host_peek(&f->host, 0));
}

static void an_event_request_completion_lies(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;

	faulty_rule(f, "aer:wrong-cid=0x7777,result=0xffffffff");
	send_aer(f);
	faulty_rule(f, "now:event=error");
	host_run(&f->host);
	assert_true(host_reap(&f->host, 0, &cqe));
	assert_int_equal(host_cid(&cqe), 0x7777);
	assert_int_equal(cqe.dw0, 0xffffffff);
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, faulty_setup, faulty_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_completion_is_lost_though_the_command_was_executed),
		TEST(a_completion_is_late_though_the_command_was_executed),
		TEST(a_completion_comes_twice),
		TEST(two_completions_change_places),
		TEST(a_completion_names_another_command_queue_or_head),
		TEST(nobody_asked_for_a_phantom),
		TEST(a_stale_phase_tag_hides_the_completion),
		TEST(a_torn_completion_is_whole_later),
		TEST(an_interrupt_is_lost),
		TEST(interrupts_come_without_a_cause),
		TEST(an_interrupt_is_late),
		TEST(an_interrupt_comes_on_another_vector),
		TEST(the_controller_is_fatally_ill),
		TEST(ready_is_stuck),
		TEST(ready_takes_its_time),
		TEST(registers_read_as_ones_once_or_for_good),
		TEST(a_register_has_another_value),
		TEST(events_of_each_kind_come_at_once),
		TEST(a_namespace_notice_has_no_cause),
		TEST(a_flood_of_events_is_one_until_its_page_is_read),
		TEST(an_event_request_ends_as_the_rule_says),
		TEST(an_event_request_completion_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
