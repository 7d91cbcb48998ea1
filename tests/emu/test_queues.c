/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: queues are created, deleted, filled and emptied as the specification
 * says, with each error status that it lists, and bad doorbells are reported.
 * Method: a host of the test's own on a controller served by hand.
 */
#include <string.h>

#include "cmocka_all.h"
#include "host.h"

static uint16_t create_cq(struct host *host, uint32_t qid, uint32_t size_z,
			  uint32_t flags, uint32_t vector, uint64_t prp1)
{
	return host_admin(host, nvme_admin_create_cq, 0, qid | size_z << 16,
			  flags | vector << 16, prp1, NULL);
}

static uint16_t create_sq(struct host *host, uint32_t qid, uint32_t size_z,
			  uint32_t flags, uint32_t cqid, uint64_t prp1)
{
	return host_admin(host, nvme_admin_create_sq, 0, qid | size_z << 16,
			  flags | cqid << 16, prp1, NULL);
}

static uint16_t delete_cq(struct host *host, uint32_t qid)
{
	return host_admin(host, nvme_admin_delete_cq, 0, qid, 0, 0, NULL);
}

static uint16_t delete_sq(struct host *host, uint32_t qid)
{
	return host_admin(host, nvme_admin_delete_sq, 0, qid, 0, 0, NULL);
}

static void add_fault(struct host *host, const char *text)
{
	struct hf_error err = {0};

	if (hf_emu_fault_add(host->emu, text, NULL, &err) != 0) {
		fail_msg("%s", err.message);
	}
}

static void create_cq_refuses_each_bad_parameter(void **state)
{
	struct host host;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_alloc(&host, 65536, &iova);

	assert_int_equal(create_cq(&host, 0, 15, 1, 0, iova),
			 ST_CMD(NVME_SC_QID_INVALID));
	assert_int_equal(create_cq(&host, 65, 15, 1, 0, iova),
			 ST_CMD(NVME_SC_QID_INVALID));
	assert_int_equal(create_cq(&host, 0xffff, 15, 1, 0, iova),
			 ST_CMD(NVME_SC_QID_INVALID));
	assert_int_equal(create_cq(&host, 1, 0, 1, 0, iova),
			 ST_CMD(NVME_SC_QUEUE_SIZE));
	assert_int_equal(create_cq(&host, 1, 1024, 1, 0, iova),
			 ST_CMD(NVME_SC_QUEUE_SIZE));
	assert_int_equal(create_cq(&host, 1, 15, 3, 64, iova),
			 ST_CMD(NVME_SC_INVALID_VECTOR));
	assert_int_equal(create_cq(&host, 1, 15, 0, 0, iova),
			 NVME_SC_INVALID_FIELD); /* PC = 0 with CAP.CQR */
	assert_int_equal(create_cq(&host, 1, 15, 1, 0, iova + 8),
			 NVME_SC_PRP_INVALID_OFFSET);
	assert_int_equal(create_cq(&host, 1, 15, 1, 0, 0x1000),
			 NVME_SC_DATA_XFER_ERROR);
	assert_int_equal(create_cq(&host, 1, 15, 3, 63, iova), 0);
	assert_int_equal(create_cq(&host, 1, 15, 1, 0, iova),
			 ST_CMD(NVME_SC_QID_INVALID)); /* it exists */
	host_close(&host);
}

static void create_sq_refuses_each_bad_parameter(void **state)
{
	struct host host;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_alloc(&host, 65536, &iova);
	assert_int_equal(create_cq(&host, 1, 15, 1, 0, iova), 0);

	assert_int_equal(create_sq(&host, 0, 15, 1, 1, iova + 4096),
			 ST_CMD(NVME_SC_QID_INVALID));
	assert_int_equal(create_sq(&host, 65, 15, 1, 1, iova + 4096),
			 ST_CMD(NVME_SC_QID_INVALID));
	assert_int_equal(create_sq(&host, 1, 0, 1, 1, iova + 4096),
			 ST_CMD(NVME_SC_QUEUE_SIZE));
	assert_int_equal(create_sq(&host, 1, 1024, 1, 1, iova + 4096),
			 ST_CMD(NVME_SC_QUEUE_SIZE));
	assert_int_equal(create_sq(&host, 1, 15, 1, 0, iova + 4096),
			 ST_CMD(NVME_SC_CQ_INVALID));
	assert_int_equal(create_sq(&host, 1, 15, 1, 2, iova + 4096),
			 ST_CMD(NVME_SC_CQ_INVALID));
	assert_int_equal(create_sq(&host, 1, 15, 1, 65, iova + 4096),
			 ST_CMD(NVME_SC_QID_INVALID));
	assert_int_equal(create_sq(&host, 1, 15, 0, 1, iova + 4096),
			 NVME_SC_INVALID_FIELD);
	assert_int_equal(create_sq(&host, 1, 15, 1, 1, iova + 4),
			 NVME_SC_PRP_INVALID_OFFSET);
	assert_int_equal(create_sq(&host, 1, 15, 1, 1, 0),
			 NVME_SC_DATA_XFER_ERROR);
	assert_int_equal(create_sq(&host, 1, 15, 1, 1, iova + 4096), 0);
	assert_int_equal(create_sq(&host, 1, 15, 1, 1, iova + 8192),
			 ST_CMD(NVME_SC_QID_INVALID));
	host_close(&host);
}

static void queues_are_deleted_in_order_only(void **state)
{
	struct host host;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);

	assert_int_equal(delete_cq(&host, 1), ST_CMD(NVME_SC_INVALID_QUEUE));
	assert_int_equal(delete_sq(&host, 2), ST_CMD(NVME_SC_QID_INVALID));
	assert_int_equal(delete_sq(&host, 0), ST_CMD(NVME_SC_QID_INVALID));
	assert_int_equal(delete_cq(&host, 0), ST_CMD(NVME_SC_QID_INVALID));
	assert_int_equal(delete_sq(&host, 1), 0);
	assert_int_equal(delete_sq(&host, 1), ST_CMD(NVME_SC_QID_INVALID));
	assert_int_equal(delete_cq(&host, 1), 0);
	assert_int_equal(delete_cq(&host, 1), ST_CMD(NVME_SC_QID_INVALID));
	host_create_queue(&host, 1, 16, 0);
	host_close(&host);
}

static void entry_sizes_must_be_set_before_queues(void **state)
{
	struct hf_emu_options options;
	struct host host;
	uint64_t iova;
	(void)state;

	host_options(&options);
	host_open(&host, &options);
	host_prepare_admin(&host, 16);
	host_write32(&host, NVME_REG_CC, 1);
	assert_int_equal(host_csts(&host), 1);
	host_alloc(&host, 8192, &iova);

	assert_int_equal(create_cq(&host, 1, 15, 1, 0, iova),
			 ST_CMD(NVME_SC_QUEUE_SIZE));
	host_write32(&host, NVME_REG_CC, host_cc());
	assert_int_equal(create_cq(&host, 1, 15, 1, 0, iova), 0);
	assert_int_equal(create_sq(&host, 1, 15, 1, 1, iova + 4096), 0);
	host_close(&host);
}

static void rings_may_be_scattered_where_cqr_allows(void **state)
{
	struct hf_emu_options options;
	struct host_queue *q;
	struct host host;
	struct nvme_cqe cqe;
	uint64_t list_iova;
	uint64_t data_iova;
	(void)state;

	host_options(&options);
	options.cqr = false;
	host_start_with(&host, &options);
	q = &host.queues[1];
	*q = (struct host_queue){.entries = 128, .phase = true};
	q->sq = host_alloc(&host, 8192, &q->sq_iova);
	q->cq = host_alloc(&host, 4096, &q->cq_iova);
	uint64_t *list = host_alloc(&host, 4096, &list_iova);
	host_alloc(&host, 4096, &data_iova);

	list[0] = q->cq_iova;
	assert_int_equal(create_cq(&host, 1, 127, 2, 0, list_iova), 0);
	list[0] = q->sq_iova;
	list[1] = q->sq_iova + 4096;
	assert_int_equal(create_sq(&host, 1, 127, 0, 1, list_iova), 0);
	memset(list, 0xee, 4096); /* was read when the queue was made */

	for (int i = 0; i < 300; i++) {
		struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, data_iova);

		assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);
	}
	host_close(&host);
}

static void full_cq_does_not_leak_io_count(void **state)
{
	struct hf_emu_stats stats = {.size = sizeof(stats)};
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_alloc(&host, 4096, &iova);
	/* A CQ of 4 entries for an SQ of 16. */
	struct host_queue *q = &host.queues[1];
	*q = (struct host_queue){.entries = 16, .phase = true};
	q->sq = host_alloc(&host, 4096, &q->sq_iova);
	q->cq = host_alloc(&host, 4096, &q->cq_iova);
	assert_int_equal(create_cq(&host, 1, 3, 1, 0, q->cq_iova), 0);
	assert_int_equal(create_sq(&host, 1, 15, 1, 1, q->sq_iova), 0);
	for (int i = 0; i < 10; i++) {
		struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);

		host_push(&host, 1, &sqe);
	}

	host_ring(&host, 1);
	host_run(&host);

	q->entries = 4; /* of the CQ, from here on */
	struct hf_emu_queue_info info = {.size = sizeof(info)};
	hf_emu_sq_info(host.emu, 1, &info);
	assert_int_equal(info.commands, 3);
	for (int i = 0; i < 10; i++) {
		assert_true(host_reap(&host, 1, &cqe));
		host_run(&host);
	}
	assert_false(host_reap(&host, 1, &cqe));
	hf_emu_stats(host.emu, &stats);
	assert_int_equal(stats.outstanding, 0);
	host_close(&host);
}

static void invalid_namespace_queued_then_delete_sq(void **state)
{
	struct hf_emu_stats stats = {.size = sizeof(stats)};
	struct host host;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, 4096, &iova);
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);
	sqe.nsid = 99;
	host_push(&host, 1, &sqe);
	host_ring(&host, 1); /* not served before the queue is deleted */

	assert_int_equal(delete_sq(&host, 1), 0);
	assert_int_equal(delete_cq(&host, 1), 0);

	hf_emu_stats(host.emu, &stats);
	assert_int_equal(stats.outstanding, 0);
	host_close(&host);
}

static void deleting_a_queue_ends_what_it_held(void **state)
{
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, 4096, &iova);
	add_fault(&host, "io-read:hold");
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);
	uint16_t cid = host_send(&host, 1, &sqe);
	assert_false(host_peek(&host, 1));

	assert_int_equal(delete_sq(&host, 1), 0);

	assert_true(host_reap(&host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), cid);
	assert_int_equal(host_status(&cqe), NVME_SC_ABORT_QUEUE);
	host_close(&host);
}

static void io_command_invalid_namespace(void **state)
{
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, 4096, &iova);
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);

	sqe.nsid = 0;
	assert_int_equal(host_command(&host, 1, &sqe, &cqe),
			 NVME_SC_INVALID_NS);
	sqe.nsid = 0xffffffff;
	assert_int_equal(host_command(&host, 1, &sqe, &cqe),
			 NVME_SC_INVALID_NS);
	sqe.nsid = 257;
	assert_int_equal(host_command(&host, 1, &sqe, &cqe),
			 NVME_SC_INVALID_NS);
	assert_true((cqe.dw3 >> 17 & NVME_STATUS_DNR) != 0);
	host_close(&host);
}

static void fused_and_reserved_formats_are_refused(void **state)
{
	const uint8_t flags[] = {1, 2, 3, 0x04, 0x20, 0xc0};
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, 4096, &iova);
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);

	for (size_t i = 0; i < sizeof(flags); i++) {
		sqe.flags = flags[i];
		assert_int_equal(host_command(&host, 1, &sqe, &cqe),
				 NVME_SC_INVALID_FIELD);
	}
	/* SGLs are for I/O queues only. */
	struct nvme_sqe admin = {
		.opcode = nvme_admin_identify,
		.flags = 0x40,
		.cdw10 = 1,
		.prp1 = iova,
	};
	assert_int_equal(host_command(&host, 0, &admin, &cqe),
			 NVME_SC_INVALID_FIELD);
	host_close(&host);
}

static void expect_error_event(struct host *host, uint8_t info)
{
	struct nvme_error_log_page log;
	struct nvme_cqe cqe;

	host_run(host);
	assert_true(host_reap(host, 0, &cqe));
	assert_int_equal(host_status(&cqe), 0);
	assert_int_equal(cqe.dw0,
			 NVME_AER_ERROR | info << 8 | NVME_LOG_LID_ERROR << 16);
	assert_int_equal(
		host_log(host, NVME_LOG_LID_ERROR, false, &log, sizeof(log)),
		0);
}

static void request_event(struct host *host)
{
	struct nvme_sqe sqe = {.opcode = nvme_admin_async_event};

	host_send(host, 0, &sqe);
}

static void doorbells_of_no_queue_raise_an_event(void **state)
{
	const uint64_t offsets[] = {
		0x1000 + 2 * 4,   /* SQ 1: not created */
		0x1000 + 3 * 4,   /* CQ 1 */
		0x1000 + 200 * 4, /* beyond the largest queue */
	};
	struct host host;
	(void)state;

	host_start(&host);
	for (size_t i = 0; i < 3; i++) {
		request_event(&host);
		host_write32(&host, offsets[i], 1);
		expect_error_event(&host, NVME_AER_ERROR_INVALID_DB_REG);
	}
	host_close(&host);
}

static void bad_tails_raise_an_event_and_stop_the_queue(void **state)
{
	struct host host;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_alloc(&host, 4096, &iova);
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);

	host_create_queue(&host, 1, 16, 0);
	request_event(&host);
	host_write32(&host, 0x1008, 16); /* out of range */
	expect_error_event(&host, NVME_AER_ERROR_INVALID_DB_VAL);
	host_send(&host, 1, &sqe);
	assert_false(host_peek(&host, 1));

	/* More than there is room for: the queue holds 15. */
	host_create_queue(&host, 2, 16, 0);
	request_event(&host);
	host_push(&host, 2, &sqe);
	host_ring(&host, 2); /* and not served yet */
	host_write32(&host, 0x1010, 0);
	expect_error_event(&host, NVME_AER_ERROR_INVALID_DB_VAL);

	/* Created anew, it works again. */
	assert_int_equal(delete_sq(&host, 1), 0);
	assert_int_equal(delete_cq(&host, 1), 0);
	host_create_queue(&host, 1, 16, 0);
	struct nvme_cqe cqe;
	assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);
	host_close(&host);
}

static void the_same_value_twice_is_an_invalid_doorbell_write(void **state)
{
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, 4096, &iova);
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);
	assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);

	request_event(&host);
	host_ring(&host, 1);
	expect_error_event(&host, NVME_AER_ERROR_INVALID_DB_VAL);
	request_event(&host);
	host_write32(&host, 0x100c, host.queues[1].head);
	expect_error_event(&host, NVME_AER_ERROR_INVALID_DB_VAL);

	/* It is reported, and harms nothing. */
	assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);
	host_close(&host);
}

static void taking_from_an_empty_cq_raises_an_event(void **state)
{
	struct host host;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);

	request_event(&host);
	host_write32(&host, 0x100c, 1);
	expect_error_event(&host, NVME_AER_ERROR_INVALID_DB_VAL);
	request_event(&host);
	host_write32(&host, 0x100c, 16);
	expect_error_event(&host, NVME_AER_ERROR_INVALID_DB_VAL);
	host_close(&host);
}

static void doorbells_work_at_any_stride(void **state)
{
	(void)state;

	for (uint8_t dstrd = 0; dstrd <= 15; dstrd++) {
		struct hf_emu_options options;
		struct host host;
		struct nvme_cqe cqe;
		uint64_t iova;

		host_options(&options);
		options.dstrd = dstrd;
		host_start_with(&host, &options);
		host_create_queue(&host, 1, 16, 0);
		host_alloc(&host, 4096, &iova);
		struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);

		for (int i = 0; i < 40; i++) {
			assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);
		}
		host_close(&host);
	}
}

static void ring_memory_that_goes_away_is_fatal(void **state)
{
	struct host host;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, 4096, &iova);
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);
	host_push(&host, 1, &sqe);
	host_ring(&host, 1);

	hf_emu_dma_unmap_all(host.emu);
	host_run(&host);

	assert_int_equal(host_csts(&host), 3);
	host_write32(&host, NVME_REG_CC, 0);
	assert_int_equal(host_csts(&host), 0);
	host_close(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create_cq_refuses_each_bad_parameter),
		cmocka_unit_test(create_sq_refuses_each_bad_parameter),
		cmocka_unit_test(queues_are_deleted_in_order_only),
		cmocka_unit_test(entry_sizes_must_be_set_before_queues),
		cmocka_unit_test(rings_may_be_scattered_where_cqr_allows),
		cmocka_unit_test(full_cq_does_not_leak_io_count),
		cmocka_unit_test(invalid_namespace_queued_then_delete_sq),
		cmocka_unit_test(deleting_a_queue_ends_what_it_held),
		cmocka_unit_test(io_command_invalid_namespace),
		cmocka_unit_test(fused_and_reserved_formats_are_refused),
		cmocka_unit_test(doorbells_of_no_queue_raise_an_event),
		cmocka_unit_test(bad_tails_raise_an_event_and_stop_the_queue),
		cmocka_unit_test(
			the_same_value_twice_is_an_invalid_doorbell_write),
		cmocka_unit_test(taking_from_an_empty_cq_raises_an_event),
		cmocka_unit_test(doorbells_work_at_any_stride),
		cmocka_unit_test(ring_memory_that_goes_away_is_fatal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
