/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: the registers below the doorbells behave as the specification says.
 * Method: read and write them on a controller served by hand, whose time
 * passes only when the test lets it.
 */
#include <errno.h>
#include <string.h>

#include "cmocka_all.h"
#include "host.h"

static void cap_shows_what_was_asked_for(void **state)
{
	struct hf_emu_options options;
	struct host host;
	(void)state;

	host_options(&options);
	options.mqes_z = 255;
	options.timeout_500ms = 30;
	options.dstrd = 2;
	options.mpsmax = 1;
	host_open(&host, &options);

	uint64_t cap = hf_emu_reg_read(host.emu, NVME_REG_CAP, 8);

	assert_int_equal(NVME_CAP_MQES(cap), 255);
	assert_int_equal(NVME_CAP_CQR(cap), 1);
	assert_int_equal(NVME_CAP_TO(cap), 30);
	assert_int_equal(NVME_CAP_DSTRD(cap), 2);
	assert_int_equal(NVME_CAP_MPSMIN(cap), 0);
	assert_int_equal(NVME_CAP_MPSMAX(cap), 1);
	assert_int_equal(host_read32(&host, NVME_REG_VS), 0x20000);
	host_close(&host);
}

static void halves_of_wide_registers_can_be_accessed_apart(void **state)
{
	struct hf_emu_options options;
	struct host host;
	(void)state;

	host_options(&options);
	host_open(&host, &options);

	host_write32(&host, NVME_REG_ASQ, 0x12345fff);
	host_write32(&host, NVME_REG_ASQ + 4, 0x9abcdef0);
	uint64_t cap = hf_emu_reg_read(host.emu, NVME_REG_CAP, 8);

	assert_int_equal(hf_emu_reg_read(host.emu, NVME_REG_ASQ, 8),
			 UINT64_C(0x9abcdef012345000));
	assert_int_equal(host_read32(&host, NVME_REG_ASQ + 4), 0x9abcdef0);
	assert_int_equal(host_read32(&host, NVME_REG_CAP), (uint32_t)cap);
	assert_int_equal(host_read32(&host, NVME_REG_CAP + 4), cap >> 32);
	host_close(&host);
}

static void misplaced_accesses_read_ones_and_write_nothing(void **state)
{
	struct hf_emu_options options;
	struct host host;
	(void)state;

	host_options(&options);
	host_open(&host, &options);
	uint64_t end = hf_emu_bar_bytes(host.emu);

	assert_int_equal(hf_emu_reg_read(host.emu, 2, 4), UINT32_MAX);
	assert_int_equal(hf_emu_reg_read(host.emu, end, 4), UINT32_MAX);
	assert_int_equal(hf_emu_reg_read(host.emu, UINT64_MAX - 3, 8),
			 UINT64_MAX);
	assert_int_equal(hf_emu_reg_read(host.emu, end - 4, 4), 0);
	hf_emu_reg_write(host.emu, end, 4, 1);
	hf_emu_reg_write(host.emu, 0x15, 4, 1);
	hf_emu_reg_write(host.emu, 0x1000, 2, 1);
	assert_int_equal(host_read32(&host, NVME_REG_CC), 0);
	host_close(&host);
}

static void enable_controller(void **state)
{
	struct hf_emu_options options;
	struct host host;
	(void)state;

	host_options(&options);
	host_open(&host, &options);
	assert_int_equal(host_csts(&host), 0);

	host_enable(&host);

	assert_int_equal(host_csts(&host), 1);
	host_disable(&host);
	assert_int_equal(host_csts(&host), 0);
	/* AQA, ASQ and ACQ outlive a controller reset. */
	assert_int_equal(host_read32(&host, NVME_REG_AQA), 31 | 31 << 16);
	host_close(&host);
}

static void ready_follows_after_the_delay(void **state)
{
	struct hf_emu_options options;
	struct host host;
	(void)state;

	host_options(&options);
	options.enable_delay_us = 1000;
	options.disable_delay_us = 2000;
	host_open(&host, &options);
	host_prepare_admin(&host, 16);

	host_write32(&host, NVME_REG_CC, host_cc());
	hf_emu_advance(host.emu, 999999);
	assert_int_equal(host_csts(&host), 0);
	hf_emu_advance(host.emu, 1);
	assert_int_equal(host_csts(&host), 1);

	host_write32(&host, NVME_REG_CC, 0);
	hf_emu_advance(host.emu, 1999999);
	assert_int_equal(host_csts(&host), 1);
	hf_emu_advance(host.emu, 1);
	assert_int_equal(host_csts(&host), 0);
	host_close(&host);
}

static void enabling_before_ready_fell_waits_for_it(void **state)
{
	struct hf_emu_options options;
	struct host host;
	(void)state;

	host_options(&options);
	options.disable_delay_us = 1000;
	host_open(&host, &options);
	host_enable(&host);
	host_write32(&host, NVME_REG_CC, 0);
	assert_int_equal(host_csts(&host), 1);

	host_prepare_admin(&host, 16);
	host_write32(&host, NVME_REG_CC, host_cc());
	assert_int_equal(host_csts(&host), 1);
	hf_emu_advance(host.emu, 1000000);
	host_run(&host);

	uint8_t id[4096];
	assert_int_equal(host_csts(&host), 1);
	assert_int_equal(host_identify(&host, 1, 0, id), 0);
	host_close(&host);
}

static void invalid_configuration(void **state)
{
	const uint32_t bad[] = {
		host_cc() | 5u << NVME_CC_MPS_SHIFT,
		host_cc() | 1u << NVME_CC_CSS_SHIFT,
		host_cc() | 1u << NVME_CC_AMS_SHIFT,
		(host_cc() & ~(0xfu << NVME_CC_IOSQES_SHIFT)) |
			5u << NVME_CC_IOSQES_SHIFT,
		(host_cc() & ~(0xfu << NVME_CC_IOCQES_SHIFT)) |
			7u << NVME_CC_IOCQES_SHIFT,
	};
	struct hf_emu_options options;
	(void)state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct host host;

		host_options(&options);
		host_open(&host, &options);
		host_prepare_admin(&host, 16);

		host_write32(&host, NVME_REG_CC, bad[i]);
		host_run(&host);

		assert_int_equal(host_csts(&host), 2); /* CFS, not RDY */
		host_write32(&host, NVME_REG_CC, 0);
		assert_int_equal(host_csts(&host), 0);
		host_enable(&host);
		host_close(&host);
	}
}

static void admin_queues_outside_of_memory_are_fatal(void **state)
{
	struct hf_emu_options options;
	(void)state;

	for (int i = 0; i < 4; i++) {
		struct host host;

		host_options(&options);
		host_open(&host, &options);
		host_prepare_admin(&host, 128);
		if (i == 0) {
			host_write64(&host, NVME_REG_ASQ, 0xdead0000);
		} else if (i == 1) {
			host_write64(&host, NVME_REG_ACQ, 0);
		} else if (i == 2) {
			/* The second page of the queue is beyond the end. */
			host_write64(&host, NVME_REG_ASQ,
				     HOST_IOVA + HOST_MEM_BYTES - 4096);
		} else {
			host_write64(&host, NVME_REG_ASQ,
				     UINT64_C(0xfffffffffffff000));
		}

		host_write32(&host, NVME_REG_CC, host_cc());

		assert_int_equal(host_csts(&host), 2);
		host_close(&host);
	}
}

static void admin_queues_of_one_entry_are_fatal(void **state)
{
	struct hf_emu_options options;
	struct host host;
	(void)state;

	host_options(&options);
	host_open(&host, &options);
	host_prepare_admin(&host, 16);
	host_write32(&host, NVME_REG_AQA, 0);

	host_write32(&host, NVME_REG_CC, host_cc());

	assert_int_equal(host_csts(&host), 2);
	host_close(&host);
}

static void multi_page_admin_queues(void **state)
{
	struct hf_emu_options options;
	struct host host;
	uint8_t id[4096];
	(void)state;

	host_options(&options);
	host_open(&host, &options);
	host_prepare_admin(&host, 512);
	host_write32(&host, NVME_REG_CC, host_cc());
	assert_int_equal(host_csts(&host), 1);

	for (int i = 0; i < 1100; i++) {
		assert_int_equal(host_identify(&host, 1, 0, id), 0);
	}
	host_close(&host);
}

static void rings_may_lie_in_mappings_of_single_pages(void **state)
{
	struct hf_emu_options options;
	struct host host;
	uint64_t iova = UINT64_C(0x7000000000);
	(void)state;

	host_options(&options);
	host_open(&host, &options);
	host_prepare_admin(&host, 256);
	/* The pages of the rings again, in another order at another IOVA. */
	struct host_queue *q = &host.queues[0];
	uint8_t *pages = host_alloc(&host, 5 * 8192, &q->sq_iova);
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(
			hf_emu_dma_map(host.emu, iova + i * 4096,
				       pages + (4 - i) * 8192, 4096,
				       HF_EMU_DMA_READ | HF_EMU_DMA_WRITE,
				       NULL),
			0);
	}
	host_write64(&host, NVME_REG_ASQ, iova);
	host_write64(&host, NVME_REG_ACQ, iova + 4 * 4096);
	host_write32(&host, NVME_REG_CC, host_cc());
	q->cq = (struct nvme_cqe *)(void *)pages;

	uint64_t data_iova;
	host_alloc(&host, 4096, &data_iova);
	for (uint32_t i = 0; i < 600; i++) {
		uint32_t offset = q->tail * 64;
		struct nvme_sqe sqe = {
			.opcode = nvme_admin_identify,
			.prp1 = data_iova,
			.cdw10 = 1,
			.cid = (uint16_t)i,
		};
		struct nvme_cqe cqe;

		memcpy(pages + (4 - offset / 4096) * 8192 + offset % 4096, &sqe,
		       sizeof(sqe));
		q->tail = (q->tail + 1) % q->entries;
		host_ring(&host, 0);
		host_run(&host);
		assert_true(host_reap(&host, 0, &cqe));
		assert_int_equal(host_cid(&cqe), i);
		assert_int_equal(host_status(&cqe), 0);
	}
	host_close(&host);
}

static void shutdown_completes_after_the_delay(void **state)
{
	struct hf_emu_options options;
	struct host host;
	(void)state;

	host_options(&options);
	options.shutdown_delay_us = 500;
	host_start_with(&host, &options);

	host_write32(&host, NVME_REG_CC,
		     host_cc() | NVME_CC_SHN_NORMAL << NVME_CC_SHN_SHIFT);
	assert_int_equal(NVME_CSTS_SHST(host_csts(&host)),
			 NVME_CSTS_SHST_OCCUR);
	hf_emu_advance(host.emu, 500000);
	assert_int_equal(NVME_CSTS_SHST(host_csts(&host)),
			 NVME_CSTS_SHST_CMPLT);
	host_write32(&host, NVME_REG_CC, 0);
	assert_int_equal(host_csts(&host), 0);
	host_close(&host);
}

static void subsystem_reset_says_that_it_happened(void **state)
{
	struct host host;
	(void)state;

	host_start(&host);

	host_write32(&host, NVME_REG_NSSR, 0x4e564d65);

	assert_int_equal(host_csts(&host), 1u << NVME_CSTS_NSSRO_SHIFT);
	assert_int_equal(host_read32(&host, NVME_REG_AQA), 0);
	host_write32(&host, NVME_REG_CSTS, 1u << NVME_CSTS_NSSRO_SHIFT);
	assert_int_equal(host_csts(&host), 0);
	host_close(&host);
}

static void interrupt_masks_set_and_clear(void **state)
{
	struct hf_emu_options options;
	struct host host;
	(void)state;

	host_options(&options);
	host_open(&host, &options);

	host_write32(&host, NVME_REG_INTMS, 0x5);
	host_write32(&host, NVME_REG_INTMS, 0x2);
	host_write32(&host, NVME_REG_INTMC, 0x4);

	assert_int_equal(host_read32(&host, NVME_REG_INTMS), 0x3);
	assert_int_equal(host_read32(&host, NVME_REG_INTMC), 0x3);
	host_close(&host);
}

static void function_reset_forgets_the_configuration(void **state)
{
	struct host host;
	(void)state;

	host_start(&host);

	hf_emu_reset(host.emu);

	assert_int_equal(host_csts(&host), 0);
	assert_int_equal(host_read32(&host, NVME_REG_CC), 0);
	assert_int_equal(hf_emu_reg_read(host.emu, NVME_REG_ASQ, 8), 0);
	memset(host.queues, 0, sizeof(host.queues));
	host_enable(&host);
	host_close(&host);
}

static void options_out_of_range_are_refused(void **state)
{
	struct hf_emu_options options;
	struct hf_error err;
	struct hf_emu *emu;
	(void)state;

	host_options(&options);
	options.mpsmin = 3;
	options.mpsmax = 2;
	assert_int_equal(hf_emu_create(&emu, &options, &err), -EINVAL);
	host_options(&options);
	options.vectors = 0;
	assert_int_equal(hf_emu_create(&emu, &options, &err), -EINVAL);
	host_options(&options);
	options.serial = "a serial number of 21";
	assert_int_equal(hf_emu_create(&emu, &options, &err), -EINVAL);
	host_options(&options);
	options.size--;
	assert_int_equal(hf_emu_create(&emu, &options, &err), -EINVAL);
	assert_null(emu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cap_shows_what_was_asked_for),
		cmocka_unit_test(
			halves_of_wide_registers_can_be_accessed_apart),
		cmocka_unit_test(
			misplaced_accesses_read_ones_and_write_nothing),
		cmocka_unit_test(enable_controller),
		cmocka_unit_test(ready_follows_after_the_delay),
		cmocka_unit_test(enabling_before_ready_fell_waits_for_it),
		cmocka_unit_test(invalid_configuration),
		cmocka_unit_test(admin_queues_outside_of_memory_are_fatal),
		cmocka_unit_test(admin_queues_of_one_entry_are_fatal),
		cmocka_unit_test(multi_page_admin_queues),
		cmocka_unit_test(rings_may_lie_in_mappings_of_single_pages),
		cmocka_unit_test(shutdown_completes_after_the_delay),
		cmocka_unit_test(subsystem_reset_says_that_it_happened),
		cmocka_unit_test(interrupt_masks_set_and_clear),
		cmocka_unit_test(function_reset_forgets_the_configuration),
		cmocka_unit_test(options_out_of_range_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
