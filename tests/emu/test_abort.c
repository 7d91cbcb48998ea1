/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: commands can be delayed one by one, and aborted while they are.
 * Method: fault rules put commands off; the test lets time pass.
 */
#include "cmocka_all.h"
#include "host.h"

static void add_fault(struct host *host, const char *text)
{
	struct hf_error err = {0};

	if (hf_emu_fault_add(host->emu, text, NULL, &err) != 0) {
		fail_msg("%s", err.message);
	}
}

static void abort_ends_a_delayed_command(void **state)
{
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	uint32_t dw0;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, 4096, &iova);
	add_fault(&host, "io-read:delay=1s");
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);
	uint16_t cid = host_send(&host, 1, &sqe);

	assert_int_equal(host_admin(&host, nvme_admin_abort_cmd, 0,
				    1 | (uint32_t)(cid + 1) << 16, 0, 0, &dw0),
			 0);
	assert_int_equal(dw0, 1); /* there is no such command */
	assert_int_equal(host_admin(&host, nvme_admin_abort_cmd, 0,
				    1 | (uint32_t)cid << 16, 0, 0, &dw0),
			 0);
	assert_int_equal(dw0, 0);
	assert_true(host_reap(&host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), cid);
	assert_int_equal(host_status(&cqe), NVME_SC_ABORT_REQ);
	hf_emu_advance(host.emu, UINT64_C(2000000000));
	host_run(&host);
	assert_false(host_peek(&host, 1));
	assert_int_equal(
		host_admin(&host, nvme_admin_abort_cmd, 0, 9, 0, 0, NULL),
		NVME_SC_INVALID_FIELD);
	host_close(&host);
}

static void abort_ends_an_event_request(void **state)
{
	struct host host;
	struct nvme_cqe cqe;
	struct nvme_sqe sqe = {.opcode = nvme_admin_async_event};
	(void)state;

	host_start(&host);
	uint16_t cid = host_send(&host, 0, &sqe);
	sqe.opcode = nvme_admin_abort_cmd;
	sqe.cdw10 = (uint32_t)cid << 16;
	host_send(&host, 0, &sqe);

	assert_true(host_reap(&host, 0, &cqe));
	assert_int_equal(host_cid(&cqe), cid);
	assert_int_equal(host_status(&cqe), NVME_SC_ABORT_REQ);
	assert_true(host_reap(&host, 0, &cqe));
	assert_int_equal(cqe.dw0, 0);
	host_close(&host);
}

static void delays_hold_up_nobody_else(void **state)
{
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, 4096, &iova);
	add_fault(&host, "io-read,nth=1:delay=1ms");
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);
	uint16_t slow = host_push(&host, 1, &sqe);
	uint16_t quick = host_push(&host, 1, &sqe);
	host_ring(&host, 1);
	host_run(&host);

	assert_true(host_reap(&host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), quick);
	assert_false(host_peek(&host, 1));
	hf_emu_advance(host.emu, 1000000);
	host_run(&host);
	assert_true(host_reap(&host, 1, &cqe));
	assert_int_equal(host_cid(&cqe), slow);
	host_close(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(abort_ends_a_delayed_command),
		cmocka_unit_test(abort_ends_an_event_request),
		cmocka_unit_test(delays_hold_up_nobody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
