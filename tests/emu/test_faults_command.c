/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what a rule does to a command (its entry, its execution, its data) is
 * what the rule says, and happens to that command alone.
 * Method: a host of the test's own, before a controller served by hand, whose
 * time passes only when the test lets it.
 */
#include "cmocka_all.h"

#include <string.h>

#include "base/bytes.h"
#include "faulty.h"

static void a_dropped_command_never_ends_and_others_do(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;

	faulty_rule(f, "io-read,nth=1:drop");
	faulty_send(f, nvme_cmd_read, 0);
	faulty_pass(f, 10000 * FAULTY_MS);
	assert_false(host_reap(&f->host, 1, &cqe));
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
}

static void a_dropped_admin_command_never_ends(void **state)
{
	struct faulty *f = *state;
	struct nvme_sqe sqe = {.opcode = nvme_admin_identify,
			       .cdw10 = 1,
			       .prp1 = f->data_iova};

	faulty_rule(f, "admin-identify,cns=1:drop");
	host_send(&f->host, 0, &sqe);
	faulty_pass(f, 10000 * FAULTY_MS);
	assert_false(host_peek(&f->host, 0));
	assert_int_equal(f->data[0], 0);
}

static void an_error_is_chosen_by_opcode_block_and_turn(void **state)
{
	struct faulty *f = *state;

	faulty_rule(f, "io-read,lba=10-19:status=media/281h");
	faulty_rule(f, "io-write,nth=2:status=generic/6h");

	assert_int_equal(faulty_do(f, nvme_cmd_read, 9), 0);
	assert_int_equal(faulty_do(f, nvme_cmd_read, 10),
			 ST_MEDIA(NVME_SC_READ_ERROR));
	assert_int_equal(faulty_do(f, nvme_cmd_read, 19),
			 ST_MEDIA(NVME_SC_READ_ERROR));
	assert_int_equal(faulty_do(f, nvme_cmd_write, 10), 0);
	assert_int_equal(faulty_do(f, nvme_cmd_write, 10), NVME_SC_INTERNAL);
	assert_int_equal(faulty_do(f, nvme_cmd_write, 10), 0);
}

static void do_not_retry_and_the_retry_delay_reach_the_host(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;

	faulty_rule(f, "io-read,nth=1:status=generic/82h+dnr");
	faulty_rule(f, "io-read,nth=2:status=generic/82h+crd=2");
	faulty_send(f, nvme_cmd_read, 0);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(cqe.dw3 >> 17, 0x4082);
	faulty_send(f, nvme_cmd_read, 0);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(cqe.dw3 >> 17, 0x1082);
}

static void a_failed_write_writes_nothing_unless_told_to(void **state)
{
	struct faulty *f = *state;

	faulty_rule(f, "io-write,lba=1:status=media/280h");
	faulty_rule(f, "io-write,lba=2:status-after=media/280h");
	memset(f->data, 7, 512);
	assert_int_equal(faulty_do(f, nvme_cmd_write, 1),
			 ST_MEDIA(NVME_SC_WRITE_FAULT));
	assert_int_equal(faulty_do(f, nvme_cmd_write, 2),
			 ST_MEDIA(NVME_SC_WRITE_FAULT));

	assert_int_equal(faulty_do(f, nvme_cmd_read, 1), 0);
	assert_int_equal(f->data[0], 0);
	assert_int_equal(faulty_do(f, nvme_cmd_read, 2), 0);
	assert_int_equal(f->data[0], 7);
}

static void a_delayed_command_is_overtaken(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;

	faulty_rule(f, "io-read,nth=1:delay=5ms");
	uint16_t slow = faulty_send(f, nvme_cmd_read, 0);
	uint16_t fast = faulty_send(f, nvme_cmd_read, 1);

	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), fast);
	faulty_pass(f, 4 * FAULTY_MS);
	assert_false(host_peek(&f->host, 1));
	faulty_pass(f, 2 * FAULTY_MS);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), slow);
}

static void a_delayed_admin_command_does_not_block_its_queue(void **state)
{
	struct faulty *f = *state;
	struct nvme_sqe slow = {.opcode = nvme_admin_identify,
				.cdw10 = 1,
				.prp1 = f->data_iova};
	struct nvme_cqe cqe;

	faulty_rule(f, "admin-identify,nth=1:delay=1s");
	uint16_t cid = host_send(&f->host, 0, &slow);
	struct nvme_sqe fast = {.opcode = nvme_admin_get_features, .cdw10 = 7};
	uint16_t second = host_send(&f->host, 0, &fast);

	assert_true(host_reap(&f->host, 0, &cqe));
	assert_int_equal(host_cid(&cqe), second);
	faulty_pass(f, 1001 * FAULTY_MS);
	assert_true(host_reap(&f->host, 0, &cqe));
	assert_int_equal(host_cid(&cqe), cid);
}

static void a_held_command_goes_on_when_the_rule_lets_go(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;

	uint32_t id = faulty_rule(f, "io-read:hold");
	uint16_t cid = faulty_send(f, nvme_cmd_read, 0);
	faulty_pass(f, 100000 * FAULTY_MS);
	assert_false(host_peek(&f->host, 1));

	assert_int_equal(hf_emu_fault_release(f->host.emu, id), 1);
	host_run(&f->host);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), cid);

	faulty_send(f, nvme_cmd_read, 0);
	assert_int_equal(hf_emu_fault_remove(f->host.emu, id), 0);
	host_run(&f->host);
	assert_true(host_reap(&f->host, 1, &cqe));
}

static void a_changed_entry_is_what_is_executed(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;

	faulty_fill(f, 5, 9);
	faulty_rule(f, "io-read,lba=0:sqe=cdw10/5");
	faulty_rule(f, "io-read,lba=1:sqe=nsid/7");
	faulty_rule(f, "io-read,lba=2:sqe=cid/0x1234");

	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	assert_int_equal(f->data[0], 9);
	assert_int_equal(faulty_do(f, nvme_cmd_read, 1), NVME_SC_INVALID_FIELD);
	faulty_send(f, nvme_cmd_read, 2);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), 0x1234);
}

static void read_data_is_corrupted_on_its_way(void **state)
{
	struct faulty *f = *state;

	faulty_fill(f, 0, 0x55);
	faulty_rule(f, "io-read,nth=1:corrupt=100");
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	assert_int_equal(f->data[99], 0x55);
	assert_int_equal(f->data[100], 0xaa);
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	assert_int_equal(f->data[100], 0x55);
}

static void written_data_is_corrupted_on_its_way(void **state)
{
	struct faulty *f = *state;

	faulty_rule(f, "io-write,nth=1:corrupt");
	memset(f->data, 0x55, 512);
	assert_int_equal(faulty_do(f, nvme_cmd_write, 0), 0);
	assert_int_equal(f->data[0], 0x55); /* the host's own is untouched */
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	assert_int_equal(f->data[0], 0xaa);
	assert_int_equal(f->data[1], 0x55);
}

static void a_short_transfer_claims_success(void **state)
{
	struct faulty *f = *state;

	faulty_fill(f, 0, 0x55);
	faulty_rule(f, "io-read:short=200");
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	assert_int_equal(f->data[199], 0x55);
	assert_int_equal(f->data[200], 0);
}

static void an_answer_is_patched_or_replaced(void **state)
{
	struct faulty *f = *state;
	uint8_t page[4096];

	faulty_rule(f, "admin-identify,cns=1:patch=0/8680");
	faulty_rule(f, "admin-identify,cns=0:patch=0/0001000000000000");
	faulty_rule(f, "admin-get-log-page,lid=2:fill=255");

	assert_int_equal(host_identify(&f->host, 1, 0, page), 0);
	assert_int_equal(hf_get_le16(page), 0x8086);
	assert_int_equal(host_identify(&f->host, 0, 1, page), 0);
	assert_int_equal(hf_get_le64(page), 256);
	assert_int_equal(host_log(&f->host, 2, false, page, 512), 0);
	assert_int_equal(page[0], 255);
	assert_int_equal(page[511], 255);
}

static void a_reservation_report_claims_too_many(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;
	struct nvme_sqe sqe = {
		.opcode = nvme_cmd_resv_report,
		.nsid = 1,
		.prp1 = f->data_iova,
		.cdw10 = 4096 / 4 - 1,
		.cdw11 = 1,
	};

	faulty_rule(f, "io-resv-report:patch=5/ffff");
	assert_int_equal(host_command(&f->host, 1, &sqe, &cqe), 0);
	assert_int_equal(hf_get_le16(f->data + 5), 0xffff);
}

static void late_data_comes_after_the_completion(void **state)
{
	struct faulty *f = *state;

	faulty_fill(f, 0, 0x55);
	faulty_rule(f, "io-read:late-data=5ms");
	assert_int_equal(faulty_do(f, nvme_cmd_read, 0), 0);
	assert_int_equal(f->data[0], 0);
	faulty_pass(f, 6 * FAULTY_MS);
	assert_int_equal(f->data[0], 0x55);
}

/* The list is rewritten between the doorbell and the fetch. */
static void a_prp_list_is_fetched_late(void **state)
{
	struct faulty *f = *state;
	uint64_t list_iova;
	uint64_t *list = host_alloc(&f->host, 4096, &list_iova);
	uint64_t old_iova;
	uint8_t *old = host_alloc(&f->host, 8192, &old_iova);
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 24, f->data_iova);
	struct nvme_cqe cqe;

	faulty_fill(f, 8, 0x55);
	faulty_rule(f, "io-read:delay=5ms");
	list[0] = old_iova;
	list[1] = old_iova + 4096;
	sqe.prp2 = list_iova;
	host_send(&f->host, 1, &sqe);

	uint64_t new_iova;
	uint8_t *fresh = host_alloc(&f->host, 8192, &new_iova);
	list[0] = new_iova;
	list[1] = new_iova + 4096;
	faulty_pass(f, 6 * FAULTY_MS);

	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(host_status(&cqe), 0);
	assert_int_equal(old[0], 0);
	assert_int_equal(fresh[0], 0x55);
}

static void memory_is_written_after_the_abort(void **state)
{
	struct faulty *f = *state;
	struct nvme_cqe cqe;
	uint32_t dw0;

	faulty_fill(f, 0, 0x55);
	faulty_rule(f, "io-read:hold,dma-after-abort=20ms");
	uint16_t cid = faulty_send(f, nvme_cmd_read, 0);
	assert_int_equal(host_admin(&f->host, nvme_admin_abort_cmd, 0,
				    1 | (uint32_t)cid << 16, 0, 0, &dw0),
			 0);
	assert_int_equal(dw0 & 1, 0);
	host_run(&f->host);
	assert_true(host_reap(&f->host, 1, &cqe));
	assert_int_equal(host_status(&cqe), NVME_SC_ABORT_REQ);
	assert_int_equal(f->data[0], 0);

	faulty_pass(f, 21 * FAULTY_MS);
	assert_int_equal(f->data[0], 0x55);
	assert_false(host_peek(&f->host, 1));
}

static void a_note_counts_what_happens(void **state)
{
	struct faulty *f = *state;
	uint32_t id = faulty_rule(f, "admin-create-iocq:note");

	assert_int_equal(hf_emu_fault_hits(f->host.emu, id), 0);
	host_create_queue(&f->host, 2, 4, 2);
	assert_int_equal(hf_emu_fault_hits(f->host.emu, id), 1);
}

static void fewer_queues_are_granted(void **state)
{
	struct faulty *f = *state;
	uint32_t dw0;

	/* The number is asked for before there are queues. */
	host_disable(&f->host);
	host_enable(&f->host);
	faulty_rule(f, "admin-set-features,fid=7:grant=2/3");
	assert_int_equal(host_admin(&f->host, nvme_admin_set_features, 0, 7,
				    9 | 9 << 16, 0, &dw0),
			 0);
	assert_int_equal(dw0, 1 | 2 << 16);
}

static void a_queue_cannot_be_made_or_never_is(void **state)
{
	struct faulty *f = *state;
	struct nvme_sqe sqe = {
		.opcode = nvme_admin_create_cq,
		.cdw10 = 3 | 7 << 16,
		.cdw11 = 1,
		.prp1 = f->data_iova,
	};
	struct nvme_cqe cqe;

	faulty_rule(f, "admin-create-iocq,qid=3,nth=1:status=specific/101h");
	faulty_rule(f, "admin-create-iocq,qid=3,nth=2:drop");
	assert_int_equal(host_command(&f->host, 0, &sqe, &cqe),
			 ST_CMD(NVME_SC_QID_INVALID));
	host_send(&f->host, 0, &sqe);
	faulty_pass(f, 100000 * FAULTY_MS);
	assert_false(host_peek(&f->host, 0));
	assert_int_equal(host_command(&f->host, 0, &sqe, &cqe), 0);
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, faulty_setup, faulty_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_dropped_command_never_ends_and_others_do),
		TEST(a_dropped_admin_command_never_ends),
		TEST(an_error_is_chosen_by_opcode_block_and_turn),
		TEST(do_not_retry_and_the_retry_delay_reach_the_host),
		TEST(a_failed_write_writes_nothing_unless_told_to),
		TEST(a_delayed_command_is_overtaken),
		TEST(a_delayed_admin_command_does_not_block_its_queue),
		TEST(a_held_command_goes_on_when_the_rule_lets_go),
		TEST(a_changed_entry_is_what_is_executed),
		TEST(read_data_is_corrupted_on_its_way),
		TEST(written_data_is_corrupted_on_its_way),
		TEST(a_short_transfer_claims_success),
		TEST(an_answer_is_patched_or_replaced),
		TEST(a_reservation_report_claims_too_many),
		TEST(late_data_comes_after_the_completion),
		TEST(a_prp_list_is_fetched_late),
		TEST(memory_is_written_after_the_abort),
		TEST(a_note_counts_what_happens),
		TEST(fewer_queues_are_granted),
		TEST(a_queue_cannot_be_made_or_never_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
