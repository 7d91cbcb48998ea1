/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: every operation does what its name says, on any memory, in as many
 * commands as the controller needs, and ends once with the first error.
 * Method: blocking calls on the emulated controller, which executes within the
 * doorbell write; its counters and rules show what was sent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "rig.h"

#define KIB UINT64_C(1024)

static void open_manual(struct rig *rig)
{
	rig->emu_options.serve = HF_EMU_MANUAL;
	rig_open(rig);
}

static uint64_t sent(struct rig *rig, uint8_t opcode)
{
	return rig_stats(rig).io_commands[opcode];
}

static uint64_t bounced(struct rig *rig)
{
	return rig->drv->io[0]->bounced +
	       (rig->drv->io[1] != NULL ? rig->drv->io[1]->bounced : 0);
}

static void round_trip(struct rig *rig, void *buf, size_t len, uint64_t lba)
{
	rig_fill(buf, len, lba);
	assert_int_equal(hf_write(rig->ns, lba, len / 512, buf), 0);
	memset(buf, 0, len);
	assert_int_equal(hf_read(rig->ns, lba, len / 512, buf), 0);
	assert_true(rig_is_filled(buf, len, lba));
}

static void driver_memory_is_not_copied(void **state)
{
	struct rig *rig = *state;

	open_manual(rig);
	uint8_t *buf = hf_dma_alloc(rig->drv, 256 * KIB, &rig->err);
	assert_non_null(buf);
	round_trip(rig, buf, 256 * KIB, 0);
	round_trip(rig, buf + 512, 200 * KIB, 1000);
	round_trip(rig, buf + 4, 4096, 3000);
	round_trip(rig, buf + 4092, 8192, 4000);

	assert_int_equal(bounced(rig), 0);
	hf_dma_free(rig->drv, buf);
}

static void registered_memory_is_not_copied(void **state)
{
	struct rig *rig = *state;
	uint8_t *buf = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	open_manual(rig);
	assert_int_equal(
		hf_dma_register(rig->drv, buf, 64 * KIB, -1, 0, &rig->err), 0);
	round_trip(rig, buf, 64 * KIB, 0);
	assert_int_equal(bounced(rig), 0);
	assert_int_equal(hf_dma_unregister(rig->drv, buf, &rig->err), 0);
	round_trip(rig, buf, 64 * KIB, 0);

	assert_true(bounced(rig) > 0);
	munmap(buf, 64 * KIB);
}

static void any_other_memory_is_copied(void **state)
{
	struct rig *rig = *state;
	uint8_t *buf = malloc(300 * KIB);

	open_manual(rig);
	for (uint32_t offset = 0; offset < 8; offset++) {
		round_trip(rig, buf + offset, 512, offset * 8);
		round_trip(rig, buf + offset, 256 * KIB, 1000);
	}

	assert_true(bounced(rig) >= 16);
	free(buf);
}

static void all_data_is_copied_when_asked_to(void **state)
{
	struct rig *rig = *state;

	rig->options.bounce = true;
	open_manual(rig);
	uint8_t *buf = hf_dma_alloc(rig->drv, 64 * KIB, &rig->err);
	round_trip(rig, buf, 64 * KIB, 0);

	assert_true(bounced(rig) >= 2);
}

static void driver_memory_at_an_odd_address_is_copied(void **state)
{
	struct rig *rig = *state;

	open_manual(rig);
	uint8_t *buf = hf_dma_alloc(rig->drv, 64 * KIB, &rig->err);
	round_trip(rig, buf + 1, 8192, 0);
	round_trip(rig, buf + 3, 512, 100);

	assert_int_equal(bounced(rig), 4);
}

static void lists_of_buffers_are_gathered_and_scattered(void **state)
{
	struct rig *rig = *state;
	uint8_t whole[64 * 1024];
	struct iovec iov[9];
	struct hf_io io;
	uint32_t cuts[] = {0,     0,     1,     512,   4096,
			   10000, 10000, 40000, 65535, 65536};

	open_manual(rig);
	uint8_t *mixed = hf_dma_alloc(rig->drv, 128 * KIB, &rig->err);
	for (uint32_t i = 0; i < 9; i++) {
		iov[i].iov_base = mixed + cuts[i] + i * 5000;
		iov[i].iov_len = cuts[i + 1] - cuts[i];
	}
	iov[0].iov_base = NULL; /* and of no length */
	rig_fill(whole, sizeof(whole), 7);
	for (uint32_t i = 1; i < 9; i++) {
		memcpy(iov[i].iov_base, whole + cuts[i], iov[i].iov_len);
	}
	hf_io_prep(&io, rig->ns, HF_OP_WRITE, 64, 128);
	io.iov = iov;
	io.iov_count = 9;
	assert_int_equal(hf_io_wait(&io), 0);
	memset(whole, 0, sizeof(whole));
	assert_int_equal(hf_read(rig->ns, 64, 128, whole), 0);
	assert_true(rig_is_filled(whole, sizeof(whole), 7));

	memset(mixed, 0, 128 * KIB);
	hf_io_prep(&io, rig->ns, HF_OP_READ, 64, 128);
	io.iov = iov;
	io.iov_count = 9;
	assert_int_equal(hf_io_wait(&io), 0);
	for (uint32_t i = 1; i < 9; i++) {
		assert_memory_equal(iov[i].iov_base, whole + cuts[i],
				    iov[i].iov_len);
	}
}

static void whole_pages_in_a_list_are_not_copied(void **state)
{
	struct rig *rig = *state;
	struct iovec iov[8];
	struct hf_io io;

	open_manual(rig);
	uint8_t *pages = hf_dma_alloc(rig->drv, 64 * KIB, &rig->err);
	for (uint32_t i = 0; i < 8; i++) {
		iov[i].iov_base = pages + (15 - 2 * i) * 4096;
		iov[i].iov_len = 4096;
		rig_fill(iov[i].iov_base, 4096, i);
	}
	hf_io_prep(&io, rig->ns, HF_OP_WRITE, 0, 64);
	io.iov = iov;
	io.iov_count = 8;
	assert_int_equal(hf_io_wait(&io), 0);
	uint8_t check[4096];
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(hf_read(rig->ns, i * 8, 8, check), 0);
		assert_true(rig_is_filled(check, 4096, i));
	}

	assert_int_equal(bounced(rig), 8); /* the checks */
}

static void a_transfer_is_cut_by_mdts(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.mdts = 2; /* 16 KiB */
	open_manual(rig);
	uint8_t *buf = hf_dma_alloc(rig->drv, KIB * KIB, &rig->err);
	round_trip(rig, buf, 100 * KIB, 3);

	assert_int_equal(sent(rig, nvme_cmd_write), 7);
	assert_int_equal(sent(rig, nvme_cmd_read), 7);
	assert_int_equal(rig_stats(rig).errors, 0);
}

static void a_transfer_is_cut_at_the_boundaries_of_noiob(void **state)
{
	struct rig *rig = *state;

	rig->ns_options.noiob_blocks = 24;
	open_manual(rig);
	uint8_t *buf = hf_dma_alloc(rig->drv, 64 * KIB, &rig->err);
	uint32_t crossing = rig_rule(rig, "io-write,lba=47-48:note");
	round_trip(rig, buf, 50 * 512, 20); /* 20-23, 24-47, 48-69 */

	assert_int_equal(sent(rig, nvme_cmd_write), 3);
	assert_int_equal(rig_hits(rig, crossing), 2);
}

static void a_controller_without_mdts_gets_large_commands(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.mdts = 0;
	rig->options.pool_pages = 2100;
	open_manual(rig);
	uint8_t *buf = hf_dma_alloc(rig->drv, 4096 * KIB, &rig->err);
	round_trip(rig, buf, 4096 * KIB, 0);
	assert_int_equal(sent(rig, nvme_cmd_write), 1);
	round_trip(rig, buf + 512, 4095 * KIB, 8);
	uint8_t *plain = malloc(4096 * KIB);
	round_trip(rig, plain, 4096 * KIB, 0);

	free(plain);
}

static void a_large_admin_transfer_is_refused_not_waited_for(void **state)
{
	struct rig *rig = *state;
	struct hf_command command = {
		.opcode = nvme_admin_get_log_page,
		.cdw10 = 1,
		.data_len_bytes = 4096 * 1024,
	};

	rig->emu_options.mdts = 0;
	rig->options.pool_pages = 2100;
	open_manual(rig);
	command.data = malloc(command.data_len_bytes);
	int rc = hf_admin_command(rig->drv, &command, &rig->err);

	assert_int_equal(rc, -EMSGSIZE);
	free(command.data);
}

static void the_first_error_is_the_whole_io_s(void **state)
{
	struct rig *rig = *state;

	rig->emu_options.mdts = 1;
	open_manual(rig);
	uint8_t *buf = hf_dma_alloc(rig->drv, 64 * KIB, &rig->err);
	rig_rule(rig, "io-read,lba=33:status=media/281h+dnr");
	rig_rule(rig, "io-read,lba=97:status=generic/82h");

	assert_int_equal(hf_read(rig->ns, 0, 128, buf), 0x4281);
	assert_int_equal(hf_read(rig->ns, 0, 32, buf), 0);
	assert_int_equal(hf_read(rig->ns, 96, 8, buf), 0x82);
}

static void a_retry_delay_reaches_the_caller(void **state)
{
	struct rig *rig = *state;
	uint8_t block[512];

	rig->options.retries = 0;
	open_manual(rig);
	rig_rule(rig, "io-read,count=1:status=generic/82h+crd=2");

	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0x1082);
	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
}

static void what_cannot_be_is_refused_before_it_is_sent(void **state)
{
	struct rig *rig = *state;
	uint64_t blocks = (16 << 20) / 512;
	uint8_t block[512] = {0};
	const struct iovec iov[2] = {{block, 256}, {block, 257}};
	const struct hf_range bad = {.lba = blocks, .blocks = 1};
	const struct hf_range none = {.lba = 0, .blocks = 0};
	struct hf_io io;

	open_manual(rig);
	assert_int_equal(hf_read(rig->ns, blocks, 1, block), -ERANGE);
	assert_int_equal(hf_read(rig->ns, blocks - 1, 2, block), -ERANGE);
	assert_int_equal(hf_read(rig->ns, UINT64_MAX, 2, block), -ERANGE);
	assert_int_equal(hf_read(rig->ns, 0, UINT64_MAX, block), -ERANGE);
	assert_int_equal(hf_read(rig->ns, 0, 0, block), -EINVAL);
	assert_int_equal(hf_read(rig->ns, 0, 1, NULL), -EINVAL);
	hf_io_prep(&io, rig->ns, HF_OP_READ, 0, 1);
	io.iov = iov;
	io.iov_count = 2;
	assert_int_equal(hf_io_wait(&io), -EINVAL);
	assert_int_equal(hf_deallocate(rig->ns, &bad, 1), -ERANGE);
	assert_int_equal(hf_deallocate(rig->ns, &none, 1), -EINVAL);
	assert_int_equal(hf_deallocate(rig->ns, NULL, 0), -EINVAL);
	hf_io_prep(&io, rig->ns, (enum hf_op)99, 0, 1);
	assert_int_equal(hf_io_wait(&io), -EINVAL);

	uint64_t all = 0;
	for (uint32_t i = 0; i < 256; i++) {
		all += sent(rig, (uint8_t)i);
	}
	assert_int_equal(all, 0);
}

static void a_read_only_namespace_is_not_written(void **state)
{
	struct rig *rig = *state;
	const struct hf_range range = {.lba = 0, .blocks = 1};
	uint8_t block[512] = {0};

	rig->ns_options.read_only = true;
	open_manual(rig);

	assert_int_equal(hf_write(rig->ns, 0, 1, block), -EROFS);
	assert_int_equal(hf_write_zeroes(rig->ns, 0, 1, 0), -EROFS);
	assert_int_equal(hf_deallocate(rig->ns, &range, 1), -EROFS);
	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
}

static void optional_commands_that_are_not_there_are_refused(void **state)
{
	struct rig *rig = *state;
	const struct hf_range range = {.lba = 0, .blocks = 1};
	struct hf_reservation_report report;
	uint8_t block[512] = {0};

	rig->emu_options.oncs = 0;
	open_manual(rig);

	assert_int_equal(hf_write_zeroes(rig->ns, 0, 1, 0), -ENOTSUP);
	assert_int_equal(hf_deallocate(rig->ns, &range, 1), -ENOTSUP);
	assert_int_equal(hf_compare(rig->ns, 0, 1, block), -ENOTSUP);
	assert_int_equal(hf_verify(rig->ns, 0, 1), -ENOTSUP);
	assert_int_equal(hf_reservation_get_report(rig->ns, &report, NULL, 0),
			 -ENOTSUP);
	assert_int_equal(hf_write(rig->ns, 0, 1, block), 0);
}

static void zeroes_are_written_in_as_many_commands_as_it_takes(void **state)
{
	struct rig *rig = *state;
	uint64_t blocks = (1 << 20) / 512;
	uint8_t *buf = malloc(1 << 20);

	rig->emu_options.mdts = 4; /* 64 KiB */
	open_manual(rig);
	rig_fill(buf, 1 << 20, 1);
	assert_int_equal(hf_write(rig->ns, 0, blocks, buf), 0);
	assert_int_equal(
		hf_write_zeroes(rig->ns, 1, blocks - 2, HF_IO_MAY_DEALLOCATE),
		0);
	assert_int_equal(hf_read(rig->ns, 0, blocks, buf), 0);

	assert_true(rig_is_filled(buf, 512, 1));
	for (uint32_t i = 512; i < (1 << 20) - 512; i++) {
		assert_int_equal(buf[i], 0);
	}
	assert_true(sent(rig, nvme_cmd_write_zeroes) >= 1);
	assert_int_equal(rig_stats(rig).errors, 0);
	free(buf);
}

static void many_ranges_are_deallocated(void **state)
{
	struct rig *rig = *state;
	struct hf_range ranges[600];
	uint8_t buf[512];

	rig->emu_options.dmrl = 100;
	rig->emu_options.dmrsl = 5;
	rig->emu_options.dmsl = 200;
	open_manual(rig);
	for (uint32_t i = 0; i < 600; i++) {
		ranges[i] = (struct hf_range){.lba = i * 20, .blocks = 7};
		rig_fill(buf, 512, i);
		assert_int_equal(hf_write(rig->ns, i * 20 + 6, 1, buf), 0);
		assert_int_equal(hf_write(rig->ns, i * 20 + 7, 1, buf), 0);
	}
	assert_int_equal(hf_deallocate(rig->ns, ranges, 600), 0);

	for (uint32_t i = 0; i < 600; i++) {
		assert_int_equal(hf_read(rig->ns, i * 20 + 6, 1, buf), 0);
		assert_int_equal(buf[0], 0);
		assert_int_equal(hf_read(rig->ns, i * 20 + 7, 1, buf), 0);
		assert_true(rig_is_filled(buf, 512, i));
	}
	assert_int_equal(rig_stats(rig).errors, 0);
	assert_true(sent(rig, nvme_cmd_dsm) >= 21);
}

static void comparing_tells_equal_from_different(void **state)
{
	struct rig *rig = *state;
	uint8_t buf[4096];

	open_manual(rig);
	rig_fill(buf, sizeof(buf), 3);
	assert_int_equal(hf_write(rig->ns, 8, 8, buf), 0);
	assert_int_equal(hf_compare(rig->ns, 8, 8, buf), 0);
	buf[4095] ^= 1;

	assert_int_equal(hf_compare(rig->ns, 8, 8, buf) & 0x7ff, 0x285);
	assert_int_equal(hf_verify(rig->ns, 8, 8), 0);
}

static void flags_reach_the_command(void **state)
{
	struct rig *rig = *state;
	uint8_t buf[512] = {0};
	struct hf_io io;

	open_manual(rig);
	uint32_t fua = rig_rule(rig, "io-write,cdw12=0x40000000/0x40000000:"
				     "note");
	uint32_t deac = rig_rule(rig, "io-write-zeroes,cdw12=0x02000000/"
				      "0x02000000:note");
	hf_io_prep_write(&io, rig->ns, 0, 1, buf);
	assert_int_equal(hf_io_wait(&io), 0);
	assert_int_equal(rig_hits(rig, fua), 0);
	hf_io_prep_write(&io, rig->ns, 0, 1, buf);
	io.flags = HF_IO_FUA;
	assert_int_equal(hf_io_wait(&io), 0);
	assert_int_equal(rig_hits(rig, fua), 1);
	assert_int_equal(hf_write_zeroes(rig->ns, 0, 1, HF_IO_MAY_DEALLOCATE),
			 0);
	assert_int_equal(rig_hits(rig, deac), 1);
	assert_int_equal(hf_flush(rig->ns), 0);
	assert_int_equal(sent(rig, nvme_cmd_flush), 1);
}

static void any_command_can_be_passed_through(void **state)
{
	struct rig *rig = *state;
	uint8_t page[4096];
	struct hf_command identify = {
		.opcode = nvme_admin_identify,
		.cdw10 = NVME_IDENTIFY_CNS_CTRL,
		.data = page,
		.data_len_bytes = sizeof(page),
	};
	struct hf_command feature = {.opcode = nvme_admin_get_features,
				     .cdw10 = NVME_FEAT_FID_NUM_QUEUES};
	struct hf_command write = {
		.opcode = nvme_cmd_write,
		.nsid = 1,
		.cdw10 = 5,
		.cdw12 = 7,
		.data = page,
		.data_len_bytes = sizeof(page),
		.to_device = 1,
	};

	open_manual(rig);
	assert_int_equal(hf_admin_command(rig->drv, &identify, &rig->err), 0);
	assert_memory_equal(page, hf_driver_identify(rig->drv), 4096);
	assert_int_equal(hf_admin_command(rig->drv, &feature, &rig->err), 0);
	assert_int_not_equal(feature.result, 0);
	rig_fill(page, sizeof(page), 9);
	assert_int_equal(hf_io_command(rig->drv, &write), 0);
	memset(page, 0, sizeof(page));
	assert_int_equal(hf_read(rig->ns, 5, 8, page), 0);
	assert_true(rig_is_filled(page, sizeof(page), 9));
}

static void passthrough_tells_what_went_wrong(void **state)
{
	struct rig *rig = *state;
	uint8_t page[4096];
	static const uint8_t forbidden[] = {
		nvme_admin_create_sq,
		nvme_admin_delete_sq,
		nvme_admin_create_cq,
		nvme_admin_delete_cq,
		nvme_admin_async_event,
		nvme_admin_dbbuf,
		0x45 /* Controller Data Queue */,
		nvme_admin_abort_cmd, /* of the admin queue's first */
	};
	static const uint8_t features[] = {
		NVME_FEAT_FID_NUM_QUEUES,
		NVME_FEAT_FID_KATO,
		NVME_FEAT_FID_HOST_MEM_BUF,
	};

	open_manual(rig);
	for (size_t i = 0; i < HF_ARRAY_LEN(forbidden); i++) {
		struct hf_command command = {.opcode = forbidden[i]};

		assert_int_equal(
			hf_admin_command(rig->drv, &command, &rig->err),
			-EPERM);
	}
	for (size_t i = 0; i < HF_ARRAY_LEN(features); i++) {
		struct hf_command set = {.opcode = nvme_admin_set_features,
					 .cdw10 = features[i]};

		assert_int_equal(hf_admin_command(rig->drv, &set, &rig->err),
				 -EPERM);
	}

	struct hf_command unknown = {.opcode = 0x7f};
	assert_int_equal(hf_admin_command(rig->drv, &unknown, &rig->err) &
				 0x7ff,
			 NVME_SC_INVALID_OPCODE);
	assert_int_equal(rig->err.opcode, 0x7f);
	assert_int_equal(rig->err.qid, 0);

	struct hf_command lopsided = {.opcode = 2, .data = page};
	assert_int_equal(hf_admin_command(rig->drv, &lopsided, &rig->err),
			 -EINVAL);
	assert_int_equal(hf_io_command(rig->drv, &lopsided), -EINVAL);
	lopsided.data_len_bytes = UINT32_MAX;
	assert_int_equal(hf_io_command(rig->drv, &lopsided), -EMSGSIZE);
}

static void reservations_are_taken_reported_and_released(void **state)
{
	struct rig *rig = *state;
	struct hf_reservation_report report;
	struct hf_registrant who[4];
	uint8_t other[16] = {9, 9, 9};
	uint8_t block[512] = {0};

	rig->ns_options.reservations = true;
	open_manual(rig);
	assert_int_equal(hf_reservation_register(rig->ns,
						 HF_RESERVATION_REGISTER, 0,
						 0x1234, false),
			 0);
	assert_int_equal(hf_reservation_acquire(rig->ns, HF_RESERVATION_ACQUIRE,
						HF_RESERVATION_WRITE_EXCLUSIVE,
						0x1234, 0),
			 0);
	assert_int_equal(hf_reservation_get_report(rig->ns, &report, who, 4),
			 0);
	assert_int_equal(report.registrants, 1);
	assert_int_equal(report.type, HF_RESERVATION_WRITE_EXCLUSIVE);
	assert_true(who[0].holds_reservation);
	assert_int_equal(who[0].key, 0x1234);
	assert_int_equal(hf_write(rig->ns, 0, 1, block), 0);

	/* Another host takes it away. */
	assert_int_equal(hf_emu_reservation_as(rig->emu, 1, other,
					       nvme_cmd_resv_register, 0, 0,
					       0x99),
			 0);
	assert_int_equal(hf_emu_reservation_as(rig->emu, 1, other,
					       nvme_cmd_resv_acquire,
					       1 | 1 << 8, 0x99, 0x1234),
			 0);
	assert_int_equal(hf_write(rig->ns, 0, 1, block) & 0x7ff,
			 NVME_SC_RESERVATION_CONFLICT);
}

static void an_overlong_reservation_report_is_cut(void **state)
{
	struct rig *rig = *state;
	struct hf_reservation_report report;
	struct hf_registrant *who = calloc(70000, sizeof(*who));

	rig->ns_options.reservations = true;
	open_manual(rig);
	rig_rule(rig, "io-resv-report:patch=5/ffff");
	assert_int_equal(
		hf_reservation_get_report(rig->ns, &report, who, 70000), 0);
	assert_int_equal(report.registrants, 65535);

	hf_emu_fault_clear(rig->emu);
	rig_rule(rig, "io-resv-report:fill=255");
	assert_int_equal(
		hf_reservation_get_report(rig->ns, &report, who, 70000),
		-EPROTO);
	free(who);
}

static void blocks_of_4_kib_work_too(void **state)
{
	struct rig *rig = *state;
	uint8_t *buf = malloc(128 * KIB);

	rig->ns_options.lba_bytes = 4096;
	open_manual(rig);
	rig_fill(buf, 128 * KIB, 1);
	assert_int_equal(hf_write(rig->ns, 3, 32, buf), 0);
	memset(buf, 0, 128 * KIB);
	assert_int_equal(hf_read(rig->ns, 3, 32, buf), 0);

	assert_true(rig_is_filled(buf, 128 * KIB, 1));
	free(buf);
}

static void the_ledger_tells_what_is_in_flight(void **state)
{
	struct rig *rig = *state;
	struct hf_queue *queue;
	struct rig_io work;
	struct hf_io *io = &work.io;
	uint8_t block[512];

	open_manual(rig);
	assert_int_equal(hf_queue_open(&queue, rig->drv, 0, HF_POLL, &rig->err),
			 0);
	uint32_t rule = rig_rule(rig, "io-read:hold");
	rig_prep(&work, rig->ns, HF_OP_READ, 77, 1, block);
	io->cookie = UINT64_C(0xfeedface12345678);
	assert_int_equal(hf_submit(queue, &io, 1), 1);

	const struct hf_ledger_slot *slot = rig->drv->io[0]->pending.slots;
	while (slot->state != HF_SLOT_TAKEN) {
		slot++;
	}
	assert_int_equal(slot->cookie, io->cookie);
	assert_int_equal(slot->sqe.opcode, nvme_cmd_read);
	assert_int_equal(slot->sqe.cdw10, 77);
	assert_int_equal(slot->kind, HF_SLOT_IO);
	assert_int_equal(slot->flags, HF_SLOT_BOUNCED);
	hf_emu_fault_release(rig->emu, rule);
	assert_int_equal(rig_finish(rig, queue, &work), 0);
	assert_int_equal(slot->state, HF_SLOT_FREE);
	hf_queue_close(queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(driver_memory_is_not_copied),
		rig_test(registered_memory_is_not_copied),
		rig_test(any_other_memory_is_copied),
		rig_test(all_data_is_copied_when_asked_to),
		rig_test(driver_memory_at_an_odd_address_is_copied),
		rig_test(lists_of_buffers_are_gathered_and_scattered),
		rig_test(whole_pages_in_a_list_are_not_copied),
		rig_test(a_transfer_is_cut_by_mdts),
		rig_test(a_transfer_is_cut_at_the_boundaries_of_noiob),
		rig_test(a_controller_without_mdts_gets_large_commands),
		rig_test(a_large_admin_transfer_is_refused_not_waited_for),
		rig_test(the_first_error_is_the_whole_io_s),
		rig_test(a_retry_delay_reaches_the_caller),
		rig_test(what_cannot_be_is_refused_before_it_is_sent),
		rig_test(a_read_only_namespace_is_not_written),
		rig_test(optional_commands_that_are_not_there_are_refused),
		rig_test(zeroes_are_written_in_as_many_commands_as_it_takes),
		rig_test(many_ranges_are_deallocated),
		rig_test(comparing_tells_equal_from_different),
		rig_test(flags_reach_the_command),
		rig_test(any_command_can_be_passed_through),
		rig_test(passthrough_tells_what_went_wrong),
		rig_test(reservations_are_taken_reported_and_released),
		rig_test(an_overlong_reservation_report_is_cut),
		rig_test(blocks_of_4_kib_work_too),
		rig_test(the_ledger_tells_what_is_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
