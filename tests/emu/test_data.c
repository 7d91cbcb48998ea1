/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: PRPs and SGLs of every shape lead to the right memory, and bad ones to
 * their status; nothing that a host writes does harm.
 * Method: a host of the test's own on a controller served by hand.
 */
#include <string.h>

#include "base/bytes.h"
#include "cmocka_all.h"
#include "host.h"

static uint16_t read_with(struct host *host, uint32_t blocks, uint64_t prp1,
			  uint64_t prp2)
{
	struct nvme_cqe cqe;
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, blocks, prp1);

	sqe.prp2 = prp2;
	return host_command(host, 1, &sqe, &cqe);
}

static void bad_prps_get_their_status(void **state)
{
	struct host host;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);
	uint64_t *list = host_alloc(&host, 65536, &iova);

	assert_int_equal(read_with(&host, 1, iova + 2, 0),
			 NVME_SC_PRP_INVALID_OFFSET);
	assert_int_equal(read_with(&host, 16, iova, iova + 4100),
			 NVME_SC_PRP_INVALID_OFFSET);
	assert_int_equal(read_with(&host, 32, iova + 4096, iova + 4),
			 NVME_SC_PRP_INVALID_OFFSET);
	list[0] = iova + 4097;
	assert_int_equal(read_with(&host, 32, iova + 4096, iova),
			 NVME_SC_PRP_INVALID_OFFSET);
	list[0] = UINT64_C(0x10000);
	assert_int_equal(read_with(&host, 32, iova + 4096, iova),
			 NVME_SC_DATA_XFER_ERROR);
	assert_int_equal(read_with(&host, 1, 0, 0), NVME_SC_DATA_XFER_ERROR);
	assert_int_equal(read_with(&host, 32, iova + 4096, 0x7000),
			 NVME_SC_DATA_XFER_ERROR);
	assert_int_equal(read_with(&host, 1, UINT64_C(0xfffffffffffff000), 0),
			 NVME_SC_DATA_XFER_ERROR);
	/* MDTS is 128 KiB. */
	assert_int_equal(read_with(&host, 257, iova, iova),
			 NVME_SC_INVALID_FIELD);
	host_close(&host);
}

/* Writes @pages pages by a list that starts @offset into its page, reads them
 * back, and compares. */
static void list_roundtrip(struct host *host, uint32_t pages, uint32_t offset)
{
	uint64_t list_iova;
	uint64_t data_iova;
	uint8_t *lists = host_alloc(host, 4 * 4096, &list_iova);
	uint8_t *data = host_alloc(host, (pages + 1) * 4096ul, &data_iova);
	uint32_t at = offset;
	struct nvme_cqe cqe;

	for (uint32_t i = 1; i < pages; i++) {
		if (at % 4096 == 4088 && i + 1 < pages) {
			uint64_t next = (at / 4096 + 1) * UINT64_C(4096);

			hf_put_le64(lists + at, list_iova + next);
			at = (uint32_t)next;
		}
		/* Pages in reverse, so that a wrong walk shows. */
		hf_put_le64(lists + at, data_iova + (pages - i) * 4096ul);
		at += 8;
	}
	for (uint64_t i = 0; i < pages * 512ul; i++) {
		hf_put_le64(data + i * 8, i * 0x9e3779b97f4a7c15u + pages);
	}
	struct nvme_sqe sqe = host_rw(nvme_cmd_write, 0, pages * 8, data_iova);
	sqe.prp2 = list_iova + offset;
	if (pages == 2) {
		sqe.prp2 = data_iova + 4096;
	}
	assert_int_equal(host_command(host, 1, &sqe, &cqe), 0);
	memset(data, 0, pages * 4096ul);
	sqe.opcode = nvme_cmd_read;
	assert_int_equal(host_command(host, 1, &sqe, &cqe), 0);
	for (uint64_t i = 0; i < pages * 512ul; i++) {
		assert_int_equal(hf_get_le64(data + i * 8),
				 i * 0x9e3779b97f4a7c15u + pages);
	}
}

static void prp_lists_chain(void **state)
{
	const uint32_t pages[] = {1,   2,   3,    511,  512,
				  513, 514, 1023, 1024, 1025};
	struct hf_emu_options options;
	struct host host;
	(void)state;

	host_options(&options);
	options.mdts = 12;
	host_open(&host, &options);
	host_add_namespace(&host, 8 << 20, 512);
	host_enable(&host);
	host_create_queue(&host, 1, 16, 0);
	uint64_t used = host.used_bytes;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		host.used_bytes = used;
		list_roundtrip(&host, pages[i], 0);
		list_roundtrip(&host, pages[i], 2048);
		list_roundtrip(&host, pages[i], 4088);
	}
	host_close(&host);
}

static void pages_may_be_larger_than_4_kib(void **state)
{
	struct hf_emu_options options;
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	(void)state;

	host_options(&options);
	host_open(&host, &options);
	host_add_namespace(&host, 1 << 20, 512);
	host_alloc(&host, 61440 - host.used_bytes, &iova);
	host.used_bytes = 0;
	host_prepare_admin(&host, 32);
	/* The rings of the test lie on 4 KiB; 8 KiB pages ask for more. */
	host.used_bytes = 65536;
	host.queues[0].sq = host_alloc(&host, 8192, &iova);
	host_write64(&host, NVME_REG_ASQ, iova);
	host.queues[0].cq = host_alloc(&host, 8192, &iova);
	host_write64(&host, NVME_REG_ACQ, iova);
	host_write32(&host, NVME_REG_CC, host_cc() | 1u << NVME_CC_MPS_SHIFT);
	assert_int_equal(host_csts(&host), 1);

	uint8_t *data = host_alloc(&host, 8192, &iova);
	struct nvme_sqe sqe = {
		.opcode = nvme_admin_identify,
		.prp1 = iova + 4096,
		.cdw10 = 1,
	};
	assert_int_equal(host_command(&host, 0, &sqe, &cqe), 0);
	assert_memory_equal(data + 4096 + 4, "HOLDFAST0001", 12);
	host_close(&host);
}

static struct nvme_sqe sgl_read(uint32_t blocks, uint64_t iova, uint32_t len,
				uint8_t type)
{
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, blocks, iova);

	sqe.flags = 1 << NVME_SQE_FLAGS_PSDT_SHIFT;
	sqe.prp2 = len | (uint64_t)type << 60;
	return sqe;
}

static void put_sgl(uint8_t *at, uint64_t iova, uint32_t len, uint8_t type)
{
	hf_put_le64(at, iova);
	hf_put_le64(at + 8, len | (uint64_t)type << 60);
}

static void sgls_gather_and_scatter(void **state)
{
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	uint64_t list;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);
	uint8_t *data = host_alloc(&host, 8192, &iova);
	uint8_t *descs = host_alloc(&host, 8192, &list);
	for (uint32_t i = 0; i < 1024; i++) {
		data[i] = (uint8_t)(i * 7);
	}
	struct nvme_sqe sqe = host_rw(nvme_cmd_write, 0, 2, iova);
	assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);
	memset(data, 0, 8192);

	/* 100 bytes, 300 to nobody, then by a last segment 624 more. */
	put_sgl(descs, iova + 4001, 100, 0);
	put_sgl(descs + 16, 0, 300, 1);
	put_sgl(descs + 32, list + 4096 + 8, 16, 3);
	put_sgl(descs + 4096 + 8, iova, 624, 0);
	sqe = sgl_read(2, list, 48, 2);
	assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);

	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(data[4001 + i], (uint8_t)(i * 7));
	}
	for (uint32_t i = 0; i < 624; i++) {
		assert_int_equal(data[i], (uint8_t)((400 + i) * 7));
	}
	host_close(&host);
}

static void bad_sgls_get_their_status(void **state)
{
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);
	uint8_t *descs = host_alloc(&host, 8192, &iova);
	const struct {
		struct nvme_sqe sqe;
		uint16_t status;
	} cases[] = {
		{sgl_read(1, iova, 512, 0), 0},
		{sgl_read(1, iova, 511, 0), NVME_SC_SGL_INVALID_DATA},
		{sgl_read(1, iova, 513, 0), NVME_SC_SGL_INVALID_DATA},
		{sgl_read(1, iova, 512, 4), NVME_SC_SGL_INVALID_TYPE},
		{sgl_read(1, iova, 512, 0xf), NVME_SC_SGL_INVALID_TYPE},
		{sgl_read(1, 0x1000, 512, 0), NVME_SC_DATA_XFER_ERROR},
		{sgl_read(1, iova, 0, 3), NVME_SC_SGL_INVALID_LAST},
		{sgl_read(1, iova, 17, 3), NVME_SC_SGL_INVALID_LAST},
		{sgl_read(1, iova, 0xfffffff0, 3), NVME_SC_SGL_INVALID_COUNT},
		{sgl_read(1, 0x1000, 16, 3), NVME_SC_DATA_XFER_ERROR},
		/* A segment whose last descriptor is data. */
		{sgl_read(1, iova, 16, 2), NVME_SC_SGL_INVALID_LAST},
		/* Segments that lead to themselves. */
		{sgl_read(1, iova + 4096, 16, 2), NVME_SC_SGL_INVALID_COUNT},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(descs, 0, 8192);
		put_sgl(descs + 4096, iova + 4096, 16, 2);
		assert_int_equal(host_command(&host, 1, &cases[i].sqe, &cqe),
				 cases[i].status);
	}
	host_close(&host);
}

static void watched_memory_counts_its_accesses(void **state)
{
	struct hf_emu_stats stats = {.size = sizeof(stats)};
	struct host host;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, 8192, &iova);
	assert_int_equal(read_with(&host, 1, iova, 0), 0);

	hf_emu_dma_watch(host.emu, iova, 4096);
	assert_int_equal(read_with(&host, 1, iova + 4096, 0), 0);
	hf_emu_stats(host.emu, &stats);
	assert_int_equal(stats.watch_writes, 0);
	assert_int_equal(read_with(&host, 1, iova, 0), 0);
	hf_emu_stats(host.emu, &stats);
	assert_int_equal(stats.watch_writes, 1);
	host_close(&host);
}

static void a_hostile_host_crashes_nothing(void **state)
{
	struct hf_emu_options options;
	struct host host;
	uint64_t seed = 88172645463325252u;
	uint64_t iova;
	(void)state;

	host_options(&options);
	host_open(&host, &options);
	host_add_namespace(&host, 1 << 20, 512);
	uint8_t *data = host_alloc(&host, 65536, &iova);
	for (int i = 0; i < 60000; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		uint64_t value = seed * 0x2545f4914f6cdd1du;

		if (i % 2000 == 0) {
			host_write32(&host, NVME_REG_CC, 0);
			host.used_bytes = 65536;
			host_enable(&host);
			host_create_queue(&host, 1, 64, 0);
		}
		if (i % 50 == 49) {
			/* Any register, any doorbell. */
			hf_emu_reg_write(host.emu, value % 0x1400 & ~3ull,
					 value & 1 ? 4 : 8, seed);
		}
		struct nvme_sqe sqe;
		uint16_t qid = (uint16_t)(value >> 60 & 1);
		uint8_t *bytes = (uint8_t *)&sqe;
		for (size_t j = 0; j < sizeof(sqe); j++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			bytes[j] = (uint8_t)(seed >> 24);
		}
		sqe.opcode &= qid == 0 ? 0x7f : 0x1f;
		sqe.flags &= value & 2 ? 0xc0 : 0;
		sqe.nsid = value & 4 ? 1 : sqe.nsid;
		sqe.prp1 = value & 8 ? iova + (value >> 32 & 0xfff8) : sqe.prp1;
		sqe.prp2 =
			value & 16 ? iova + (value >> 44 & 0xfff8) : sqe.prp2;
		sqe.cdw10 &= value & 32 ? 0xff : 0xffffffff;
		sqe.cdw11 &= value & 64 ? 0xff : 0xffffffff;
		sqe.cdw12 &= value & 128 ? 0xff : 0xffffffff;
		data[value % 65536] = (uint8_t)value;
		host_push(&host, qid, &sqe);
		host_ring(&host, qid);
		host_run(&host);
		for (int j = 0; j < 64; j++) {
			struct nvme_cqe cqe;

			if (!host_reap(&host, qid, &cqe)) {
				break;
			}
		}
	}
	host_close(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_prps_get_their_status),
		cmocka_unit_test(prp_lists_chain),
		cmocka_unit_test(pages_may_be_larger_than_4_kib),
		cmocka_unit_test(sgls_gather_and_scatter),
		cmocka_unit_test(bad_sgls_get_their_status),
		cmocka_unit_test(watched_memory_counts_its_accesses),
		cmocka_unit_test(a_hostile_host_crashes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
