/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: the I/O commands do what they say, and refuse, with the status that
 * the specification gives, what they must refuse.
 * Method: the commands are executed directly, with a stand-in for the
 * controller around them.
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "base/bytes.h"
#include "stand_in.h"

#define FUA       (1u << 30)
#define DEAC      (1u << 25)
#define BLOCKS    2048u /* of 512 bytes, in a namespace */
#define OUT       HF_STATUS_DNR(NVME_SC_LBA_RANGE)
#define INVALID   HF_STATUS_DNR(NVME_SC_INVALID_FIELD)
#define CONFLICT  HF_STATUS_DNR(NVME_SC_RESERVATION_CONFLICT)
#define PROTECTED HF_STATUS_DNR(NVME_SC_NS_WRITE_PROTECTED)

static int setup(void **state)
{
	struct hf_emu *emu = stand_in_create();

	*state = emu;
	return stand_in_namespace(emu, 512) == 1 ? 0 : -1;
}

static int teardown(void **state)
{
	stand_in_destroy(*state);
	return 0;
}

static void write_value(struct hf_emu *emu, uint64_t slba, uint32_t blocks,
			int value, uint32_t flags)
{
	memset(emu->data, value, (size_t)blocks * 512);
	assert_int_equal(
		stand_in_range(emu, nvme_cmd_write, 1, slba, blocks, flags), 0);
}

static int read_value(struct hf_emu *emu, uint64_t lba)
{
	memset(emu->data, 0xee, 512);
	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 1, lba, 1, 0), 0);
	assert_memory_equal(emu->data, emu->data + 1, 511);
	return emu->data[0];
}

static void what_was_written_is_read(void **state)
{
	struct hf_emu *emu = *state;

	write_value(emu, 5, 9, 7, 0);
	assert_int_equal(read_value(emu, 4), 0);
	assert_int_equal(read_value(emu, 5), 7);
	assert_int_equal(read_value(emu, 13), 7);
	assert_int_equal(read_value(emu, 14), 0);
}

static void any_cut_of_the_data_is_the_same_data(void **state)
{
	static const size_t cuts[] = {1, 3, 63, 64, 65, 512, 1000, 4096};
	struct hf_emu *emu = *state;
	static uint8_t want[64 * 512];

	for (size_t i = 0; i < sizeof(want); i++) {
		want[i] = (uint8_t)(i * 31 + i / 512);
	}
	for (size_t c = 0; c < sizeof(cuts) / sizeof(cuts[0]); c++) {
		emu->piece_bytes = cuts[c];
		memcpy(emu->data, want, sizeof(want));
		assert_int_equal(stand_in_range(emu, nvme_cmd_write, 1, 3, 64,
						c % 2 != 0 ? FUA : 0),
				 0);
		memset(emu->data, 0, sizeof(want));
		assert_int_equal(
			stand_in_range(emu, nvme_cmd_read, 1, 3, 64, 0), 0);
		assert_memory_equal(emu->data, want, sizeof(want));
	}
}

static void beyond_the_end_is_out_of_range(void **state)
{
	static const uint8_t opcodes[] = {
		nvme_cmd_read,   nvme_cmd_write,        nvme_cmd_compare,
		nvme_cmd_verify, nvme_cmd_write_zeroes,
	};
	struct hf_emu *emu = *state;

	for (size_t i = 0; i < sizeof(opcodes); i++) {
		uint8_t op = opcodes[i];

		assert_int_equal(stand_in_range(emu, op, 1, BLOCKS, 1, 0), OUT);
		assert_int_equal(stand_in_range(emu, op, 1, BLOCKS - 1, 2, 0),
				 OUT);
		assert_int_equal(stand_in_range(emu, op, 1, UINT64_MAX, 2, 0),
				 OUT);
		memset(emu->data, 0, 512);
		assert_int_equal(stand_in_range(emu, op, 1, BLOCKS - 1, 1, 0),
				 0);
	}
}

static void a_wrong_namespace_is_refused(void **state)
{
	struct hf_emu *emu = *state;

	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 0, 0, 1, 0),
			 HF_STATUS_DNR(NVME_SC_INVALID_NS));
	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 9, 0, 1, 0),
			 HF_STATUS_DNR(NVME_SC_INVALID_NS));
	assert_int_equal(
		stand_in_range(emu, nvme_cmd_write, NVME_NSID_ALL, 0, 1, 0),
		HF_STATUS_DNR(NVME_SC_INVALID_NS));
	/* Valid, and none there. */
	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 2, 0, 1, 0),
			 INVALID);
}

static void an_unknown_or_unsupported_opcode_is_refused(void **state)
{
	struct hf_emu *emu = *state;
	uint16_t invalid = HF_STATUS_DNR(NVME_SC_INVALID_OPCODE);

	assert_int_equal(stand_in_range(emu, 0x7f, 1, 0, 1, 0), invalid);
	emu->options.oncs = 0;
	assert_int_equal(stand_in_range(emu, nvme_cmd_compare, 1, 0, 1, 0),
			 invalid);
	assert_int_equal(stand_in_range(emu, nvme_cmd_write_zeroes, 1, 0, 1, 0),
			 invalid);
	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 1, 0, 1, 0), 0);
}

static void a_directive_is_refused(void **state)
{
	struct hf_emu *emu = *state;

	assert_int_equal(stand_in_range(emu, nvme_cmd_write, 1, 0, 1, 1 << 20),
			 INVALID);
}

static void power_loss_takes_what_was_not_flushed(void **state)
{
	struct hf_emu *emu = *state;
	const uint32_t none[6] = {0};

	write_value(emu, 0, 8, 1, 0);
	assert_int_equal(stand_in_io(emu, nvme_cmd_flush, 1, none), 0);
	write_value(emu, 8, 8, 2, 0);
	write_value(emu, 16, 8, 3, FUA);
	assert_int_equal(read_value(emu, 8), 2);

	hf_namespaces_power_fail(emu);

	assert_int_equal(read_value(emu, 0), 1);
	assert_int_equal(read_value(emu, 8), 0);
	assert_int_equal(read_value(emu, 16), 3);
}

static void without_the_cache_nothing_is_lost(void **state)
{
	struct hf_emu *emu = *state;

	emu->vwc = false;
	write_value(emu, 0, 8, 1, 0);
	hf_namespaces_power_fail(emu);
	assert_int_equal(read_value(emu, 7), 1);
}

static void a_forced_read_puts_the_cache_on_the_medium(void **state)
{
	struct hf_emu *emu = *state;

	write_value(emu, 0, 8, 1, 0);
	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 1, 0, 1, FUA), 0);
	hf_namespaces_power_fail(emu);
	assert_int_equal(read_value(emu, 7), 1);
}

static void flush_of_all_reaches_every_namespace(void **state)
{
	struct hf_emu *emu = *state;
	const uint32_t none[6] = {0};

	assert_int_equal(stand_in_namespace(emu, 4096), 2);
	write_value(emu, 0, 1, 1, 0);
	memset(emu->data, 2, 4096);
	assert_int_equal(stand_in_range(emu, nvme_cmd_write, 2, 0, 1, 0), 0);

	assert_int_equal(stand_in_io(emu, nvme_cmd_flush, NVME_NSID_ALL, none),
			 0);

	hf_namespaces_power_fail(emu);
	assert_int_equal(read_value(emu, 0), 1);
	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 2, 0, 1, 0), 0);
	assert_int_equal(emu->data[4095], 2);
}

static void compare_tells_the_same_from_another(void **state)
{
	struct hf_emu *emu = *state;

	write_value(emu, 0, 300, 5, 0);
	memset(emu->data, 5, 300 * 512);
	assert_int_equal(stand_in_range(emu, nvme_cmd_compare, 1, 0, 300, 0),
			 0);
	emu->data[300 * 512 - 1] = 6;
	assert_int_equal(
		stand_in_range(emu, nvme_cmd_compare, 1, 0, 300, 0),
		HF_STATUS_DNR(HF_STATUS_MEDIA(NVME_SC_COMPARE_FAILED)));
}

static void zeroes_are_written_with_and_without_deallocation(void **state)
{
	struct hf_emu *emu = *state;

	write_value(emu, 0, 30, 5, 0);
	assert_int_equal(stand_in_range(emu, nvme_cmd_write_zeroes, 1, 1, 5, 0),
			 0);
	assert_int_equal(
		stand_in_range(emu, nvme_cmd_write_zeroes, 1, 10, 17, DEAC), 0);
	assert_int_equal(read_value(emu, 0), 5);
	assert_int_equal(read_value(emu, 1), 0);
	assert_int_equal(read_value(emu, 5), 0);
	assert_int_equal(read_value(emu, 6), 5);
	assert_int_equal(read_value(emu, 10), 0);
	assert_int_equal(read_value(emu, 26), 0);
	assert_int_equal(read_value(emu, 27), 5);
}

static void put_range(struct hf_emu *emu, uint32_t i, uint64_t slba,
		      uint32_t blocks)
{
	struct nvme_dsm_range *ranges = (void *)emu->data;

	memset(&ranges[i], 0, sizeof(ranges[i]));
	hf_put_le64(&ranges[i].slba, slba);
	hf_put_le32(&ranges[i].nlb, blocks);
}

static uint16_t dsm(struct hf_emu *emu, uint32_t count, uint32_t attributes)
{
	const uint32_t cdw[6] = {count - 1, attributes};

	return stand_in_io(emu, nvme_cmd_dsm, 1, cdw);
}

static void deallocated_ranges_read_zero(void **state)
{
	struct hf_emu *emu = *state;

	write_value(emu, 0, 40, 5, 0);
	put_range(emu, 0, 3, 2);
	put_range(emu, 1, 20, 0);
	put_range(emu, 2, 16, 9);
	assert_int_equal(dsm(emu, 3, 4), 0);

	assert_int_equal(read_value(emu, 2), 5);
	assert_int_equal(read_value(emu, 3), 0);
	assert_int_equal(read_value(emu, 5), 5);
	assert_int_equal(read_value(emu, 16), 0);
	assert_int_equal(read_value(emu, 24), 0);
	assert_int_equal(read_value(emu, 25), 5);
}

static void a_bad_range_deallocates_nothing(void **state)
{
	struct hf_emu *emu = *state;

	write_value(emu, 0, 8, 5, 0);
	put_range(emu, 0, 0, 8);
	put_range(emu, 1, BLOCKS - 1, 2);
	assert_int_equal(dsm(emu, 2, 4), OUT);
	put_range(emu, 1, UINT64_MAX, 2);
	assert_int_equal(dsm(emu, 2, 4), OUT);
	assert_int_equal(read_value(emu, 0), 5);
	/* A hint alone does nothing. */
	put_range(emu, 0, 0, 8);
	assert_int_equal(dsm(emu, 1, 3), 0);
	assert_int_equal(read_value(emu, 0), 5);
}

static void deallocation_limits_are_kept(void **state)
{
	struct hf_emu *emu = *state;
	uint16_t limit =
		HF_STATUS_DNR(HF_STATUS_CMD(NVME_SC_CMD_SIZE_LIMIT_EXCEEDED));

	emu->options.dmrl = 2;
	emu->options.dmrsl = 10;
	emu->options.dmsl = 15;
	for (uint32_t i = 0; i < 3; i++) {
		put_range(emu, i, 0, 1);
	}
	assert_int_equal(dsm(emu, 2, 4), 0);
	assert_int_equal(dsm(emu, 3, 4), limit);
	put_range(emu, 0, 0, 11);
	assert_int_equal(dsm(emu, 1, 4), limit);
	put_range(emu, 0, 0, 10);
	put_range(emu, 1, 0, 6);
	assert_int_equal(dsm(emu, 2, 4), limit);
}

static void a_read_only_namespace_is_only_read(void **state)
{
	struct hf_emu *emu = *state;
	struct hf_emu_namespace_options options;
	const uint32_t none[6] = {0};

	hf_emu_namespace_options_init(&options);
	options.read_only = true;
	assert_int_equal(hf_emu_namespace_add(emu, &options, NULL, NULL), 0);

	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 2, 0, 1, 0), 0);
	assert_int_equal(stand_in_range(emu, nvme_cmd_write, 2, 0, 1, 0),
			 PROTECTED);
	assert_int_equal(stand_in_range(emu, nvme_cmd_write_zeroes, 2, 0, 1, 0),
			 PROTECTED);
	assert_int_equal(stand_in_io(emu, nvme_cmd_dsm, 2, none), PROTECTED);
	assert_int_equal(stand_in_io(emu, nvme_cmd_flush, 2, none), 0);
}

static uint16_t reserve(struct hf_emu *emu, uint8_t opcode, uint32_t cdw10,
			uint64_t first, uint64_t second)
{
	const uint32_t cdw[6] = {cdw10};

	hf_put_le64(emu->data, first);
	hf_put_le64(emu->data + 8, second);
	return stand_in_io(emu, opcode, 1, cdw);
}

static void another_host_holds_the_namespace(void **state)
{
	static const uint8_t other[16] = {2};
	struct hf_emu *emu = *state;
	const uint32_t none[6] = {0};

	emu->host_id[0] = 1;
	assert_int_equal(hf_emu_reservation_as(emu, 1, other,
					       nvme_cmd_resv_register, 0, 0, 7),
			 0);
	assert_int_equal(
		hf_emu_reservation_as(emu, 1, other, nvme_cmd_resv_acquire,
				      NVME_RESERVATION_RTYPE_WE << 8, 7, 0),
		0);

	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 1, 0, 1, 0), 0);
	assert_int_equal(stand_in_range(emu, nvme_cmd_write, 1, 0, 1, 0),
			 CONFLICT);
	assert_int_equal(stand_in_io(emu, nvme_cmd_dsm, 1, none), CONFLICT);
	assert_int_equal(stand_in_io(emu, nvme_cmd_flush, 1, none), CONFLICT);

	/* This host preempts it. */
	assert_int_equal(reserve(emu, nvme_cmd_resv_register, 0, 0, 9), 0);
	assert_int_equal(reserve(emu, nvme_cmd_resv_acquire,
				 NVME_RESERVATION_RACQA_PREEMPT |
					 NVME_RESERVATION_RTYPE_EA << 8,
				 9, 7),
			 0);
	assert_int_equal(stand_in_range(emu, nvme_cmd_write, 1, 0, 1, 0), 0);
	emu->host_id[0] = 3;
	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 1, 0, 1, 0),
			 CONFLICT);
	assert_int_equal(stand_in_range(emu, nvme_cmd_verify, 1, 0, 1, 0),
			 CONFLICT);
	emu->host_id[0] = 1;
	assert_int_equal(reserve(emu, nvme_cmd_resv_release,
				 NVME_RESERVATION_RTYPE_EA << 8, 9, 0),
			 0);
	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 1, 0, 1, 0), 0);
}

static void a_report_is_cut_to_what_was_asked_for(void **state)
{
	struct hf_emu *emu = *state;
	const struct nvme_resv_status *report = (const void *)emu->data;
	const uint32_t head[6] = {24 / 4 - 1, 1};
	const uint32_t more[6] = {4096 / 4 - 1, 1};

	emu->host_id[15] = 1;
	assert_int_equal(reserve(emu, nvme_cmd_resv_register, 0, 0, 9), 0);

	memset(emu->data, 0xee, 8192);
	assert_int_equal(stand_in_io(emu, nvme_cmd_resv_report, 1, head), 0);
	assert_int_equal(hf_get_le16(report->regctl), 1);
	assert_int_equal(emu->data[24], 0xee);

	assert_int_equal(stand_in_io(emu, nvme_cmd_resv_report, 1, more), 0);
	assert_int_equal(hf_get_le64(&report->regctl_eds[0].rkey), 9);
	assert_int_equal(emu->data[4095], 0);
	assert_int_equal(emu->data[4096], 0xee);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_written_is_read),
		TEST(any_cut_of_the_data_is_the_same_data),
		TEST(beyond_the_end_is_out_of_range),
		TEST(a_wrong_namespace_is_refused),
		TEST(an_unknown_or_unsupported_opcode_is_refused),
		TEST(a_directive_is_refused),
		TEST(power_loss_takes_what_was_not_flushed),
		TEST(without_the_cache_nothing_is_lost),
		TEST(a_forced_read_puts_the_cache_on_the_medium),
		TEST(flush_of_all_reaches_every_namespace),
		TEST(compare_tells_the_same_from_another),
		TEST(zeroes_are_written_with_and_without_deallocation),
		TEST(deallocated_ranges_read_zero),
		TEST(a_bad_range_deallocates_nothing),
		TEST(deallocation_limits_are_kept),
		TEST(a_read_only_namespace_is_only_read),
		TEST(another_host_holds_the_namespace),
		TEST(a_report_is_cut_to_what_was_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
