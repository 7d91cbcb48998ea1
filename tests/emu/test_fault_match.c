/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a rule acts on what it names, as often as it says, and on nothing
 * else; and what several rules ask for adds up.
 * Method: commands, accesses and interrupts that nobody executes, shown to the
 * table of rules directly.
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "emu/cmd.h"
#include "emu/faults.h"

static int setup(void **state)
{
	return hf_faults_create((struct hf_faults **)state);
}

static int teardown(void **state)
{
	hf_faults_destroy(*state);
	return 0;
}

static void add(struct hf_faults *all, const char *text)
{
	all->rules =
		realloc(all->rules, (all->count + 1) * sizeof(*all->rules));
	assert_non_null(all->rules);

	struct hf_fault_rule *rule = &all->rules[all->count];
	memset(rule, 0, sizeof(*rule));
	assert_int_equal(hf_emu_fault_parse(&rule->fault, text, NULL), 0);
	rule->random = rule->fault.seed;
	all->count++;
	all->room = all->count;
	rule->id = all->count;
	hf_faults_rearm(all);
}

static bool io(struct hf_faults *all, uint8_t opcode, uint64_t slba,
	       uint32_t blocks)
{
	struct hf_fault_verdict verdict;
	struct hf_emu_cmd cmd = {.sqid = 1};

	cmd.sqe.opcode = opcode;
	cmd.sqe.nsid = 1;
	cmd.sqe.cdw10 = (uint32_t)slba;
	cmd.sqe.cdw11 = (uint32_t)(slba >> 32);
	cmd.sqe.cdw12 = blocks - 1;
	return hf_fault_command(all, &cmd, &verdict);
}

static void no_rule_arms_no_site(void **state)
{
	struct hf_faults *all = *state;

	assert_int_equal(hf_faults_armed(all), 0);
	add(all, "irq:lose");
	assert_int_equal(hf_faults_armed(all), HF_FAULT_SITE_INTERRUPT);
	add(all, "aer:drop");
	add(all, "reg:gone");
	assert_int_equal(hf_faults_armed(all), HF_FAULT_SITE_INTERRUPT |
						       HF_FAULT_SITE_COMMAND |
						       HF_FAULT_SITE_REGISTER);
}

static void opcode_and_range_choose_the_command(void **state)
{
	struct hf_faults *all = *state;

	add(all, "io-read,lba=100-109:drop");

	assert_false(io(all, nvme_cmd_write, 100, 1));
	assert_false(io(all, nvme_cmd_read, 99, 1));
	assert_true(io(all, nvme_cmd_read, 99, 2));
	assert_true(io(all, nvme_cmd_read, 109, 8));
	assert_false(io(all, nvme_cmd_read, 110, 8));
	assert_false(io(all, nvme_cmd_read, UINT64_MAX, 8));
}

static void admin_rules_leave_io_alone(void **state)
{
	struct hf_faults *all = *state;
	struct hf_fault_verdict verdict;
	struct hf_emu_cmd cmd = {.sqid = 0};

	add(all, "admin,cdw10=1/0xff:drop");
	assert_false(io(all, nvme_cmd_read, 1, 1));
	assert_false(hf_fault_command(all, &cmd, &verdict));
	cmd.sqe.cdw10 = 0x101;
	assert_true(hf_fault_command(all, &cmd, &verdict));
}

static uint32_t hits_of(const char *text)
{
	struct hf_faults *all = NULL;
	uint32_t hits = 0;

	assert_int_equal(hf_faults_create(&all), 0);
	add(all, text);
	for (uint32_t i = 1; i <= 20; i++) {
		hits |= (uint32_t)io(all, nvme_cmd_read, 0, 1) << i;
	}
	hf_faults_destroy(all);
	return hits;
}

static void counts_choose_the_time(void **state)
{
	(void)state;
	assert_int_equal(hits_of("io:drop"), 0x1ffffe);
	assert_int_equal(hits_of("io,nth=3:drop"), 1 << 3);
	assert_int_equal(hits_of("io,every=8:drop"), 1 << 8 | 1 << 16);
	assert_int_equal(hits_of("io,after=17:drop"), 7 << 18);
	assert_int_equal(hits_of("io,after=2,every=8,count=1:drop"), 1 << 10);
	assert_int_equal(hits_of("io,count=2:drop"), 6);
}

static void chance_is_repeated_by_its_seed(void **state)
{
	(void)state;
	uint32_t first = hits_of("io,prob=0.5,seed=1:drop");

	assert_int_equal(first, hits_of("io,prob=0.5,seed=1:drop"));
	assert_int_not_equal(first, hits_of("io,prob=0.5,seed=2:drop"));
	assert_int_equal(hits_of("io,prob=0.0:drop"), 0);
	assert_int_equal(hits_of("io,prob=1:drop"), 0x1ffffe);
}

static void rules_add_up_and_the_later_one_wins(void **state)
{
	struct hf_faults *all = *state;
	struct hf_fault_verdict verdict;
	struct hf_emu_cmd cmd = {.sqid = 1};

	add(all, "io:status=generic/2h,hold,patch=4/0102");
	add(all, "io:status=media/281h,wrong-cid=9,sqe=cid/3");
	assert_true(hf_fault_command(all, &cmd, &verdict));

	assert_int_equal(verdict.actions, HF_FAULT_STATUS | HF_FAULT_HOLD |
						  HF_FAULT_PATCH |
						  HF_FAULT_CID | HF_FAULT_EDIT);
	assert_int_equal(verdict.status, 0x281);
	assert_int_equal(verdict.cid, 9);
	assert_int_equal(verdict.rule, 1); /* who holds it */
	assert_int_equal(verdict.patches[0].value, 0x0201);
	assert_int_equal(verdict.edits[0].mask, 0xffff0000u);
	assert_int_equal(verdict.edits[0].value, 3u << 16);
}

static void a_note_counts_and_does_nothing(void **state)
{
	struct hf_faults *all = *state;

	add(all, "io-read:note");
	assert_false(io(all, nvme_cmd_read, 0, 1));
	assert_int_equal(all->rules[0].hits, 1);
}

static uint64_t seen(struct hf_faults *all, uint64_t offset, uint32_t len,
		     uint64_t value)
{
	struct hf_fault_register_verdict v;

	if (!hf_fault_register(all, offset, len, false, 0, &v)) {
		return value;
	}
	return (value & ~v.mask) | (v.bits & v.mask);
}

static void a_register_is_found_in_any_access_that_touches_it(void **state)
{
	struct hf_faults *all = *state;

	add(all, "reg-cap:mqes=7");
	add(all, "reg-csts:rdy-stuck=0");
	add(all, "reg-cap:value=0x100000000000/0xf00000000000");

	assert_int_equal(seen(all, 0, 8, 0x0020f0ff0f00ffffu),
			 0x002010ff0f000007u);
	assert_int_equal(seen(all, 0, 4, 0x0f00ffff), 0x0f000007);
	assert_int_equal(seen(all, 4, 4, 0x0020f0ff), 0x002010ff);
	assert_int_equal(seen(all, 0x1c, 4, 1), 0);
	assert_int_equal(seen(all, 0x18, 8, UINT64_C(5) << 32 | 3),
			 UINT64_C(4) << 32 | 3);
	assert_int_equal(seen(all, 0x14, 4, 1), 1);
}

static void a_written_value_chooses_the_access(void **state)
{
	struct hf_faults *all = *state;
	struct hf_fault_register_verdict v;

	add(all, "reg-cc,write,value=1/1:delay=1ms");
	assert_false(hf_fault_register(all, 0x14, 4, true, 0x460000, &v));
	assert_false(hf_fault_register(all, 0x14, 4, false, 0, &v));
	assert_true(hf_fault_register(all, 0x14, 4, true, 0x460001, &v));
	assert_int_equal(v.actions, HF_FAULT_REG_DELAY);
	assert_int_equal(v.delay_ns, 1000000);
}

static void all_ones_is_all_of_the_register(void **state)
{
	struct hf_faults *all = *state;

	add(all, "reg-csts,nth=2:all-ones");
	assert_int_equal(seen(all, 0x1c, 4, 1), 1);
	assert_int_equal(seen(all, 0x1c, 4, 1), 0xffffffff);
	assert_int_equal(seen(all, 0x1c, 4, 1), 1);
}

static void a_vector_chooses_the_interrupt(void **state)
{
	struct hf_faults *all = *state;
	struct hf_fault_interrupt_verdict v;

	add(all, "irq,vector=2:wrong-vector=5,late=2us,spurious=3");
	assert_false(hf_fault_interrupt(all, 1, &v));
	assert_true(hf_fault_interrupt(all, 2, &v));
	assert_int_equal(v.actions, HF_FAULT_IRQ_VECTOR | HF_FAULT_IRQ_LATE |
					    HF_FAULT_IRQ_REPEAT);
	assert_int_equal(v.vector, 5);
	assert_int_equal(v.delay_ns, 2000);
	assert_int_equal(v.repeat, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_rule_arms_no_site),
		TEST(opcode_and_range_choose_the_command),
		TEST(admin_rules_leave_io_alone),
		TEST(counts_choose_the_time),
		TEST(chance_is_repeated_by_its_seed),
		TEST(rules_add_up_and_the_later_one_wins),
		TEST(a_note_counts_and_does_nothing),
		TEST(a_register_is_found_in_any_access_that_touches_it),
		TEST(a_written_value_chooses_the_access),
		TEST(all_ones_is_all_of_the_register),
		TEST(a_vector_chooses_the_interrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
