/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: namespaces come, go, change their size and are swapped while somebody
 * uses them, with a notice each time, and never show old data as new.
 * Method: the table of namespaces with a stand-in for the controller; images
 * in a directory of the test's own.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nvme/types.h>

#include "base/bytes.h"
#include "emu/fault.h"
#include "holdfast/emu_fault.h"
#include "stand_in.h"

#define MIB (UINT64_C(1) << 20)

static int setup(void **state)
{
	*state = stand_in_create();
	return 0;
}

static int teardown(void **state)
{
	stand_in_destroy(*state);
	return 0;
}

static void added_ones_are_found_listed_and_described(void **state)
{
	struct hf_emu *emu = *state;
	struct hf_emu_namespace_info infos[4];
	struct nvme_id_ns id;

	assert_int_equal(stand_in_namespace(emu, 512), 1);
	assert_int_equal(stand_in_namespace(emu, 4096), 2);
	assert_int_equal(emu->changed, 2);

	assert_int_equal(hf_emu_namespace_list(emu, infos, 4), 2);
	assert_int_equal(infos[1].nsid, 2);
	assert_int_equal(infos[1].lba_bytes, 4096);
	assert_int_equal(infos[1].blocks, 256);
	assert_int_equal(hf_emu_ns_next(emu, 1), 2);
	assert_int_equal(hf_emu_ns_next(emu, 2), 0);
	hf_emu_ns_identify(hf_emu_ns_find(emu, 2), &id);
	assert_int_equal(hf_get_le64(&id.nsze), 256);
	assert_int_equal(id.lbaf[id.flbas & 0xf].ds, 12);
	assert_null(hf_emu_ns_find(emu, 3));
	assert_null(hf_emu_ns_find(emu, 0));
	assert_null(hf_emu_ns_find(emu, UINT32_MAX));
}

static void what_cannot_be_is_refused_with_a_sentence(void **state)
{
	static const struct {
		uint32_t nsid;
		enum hf_emu_media media;
		uint64_t size_bytes;
		uint32_t lba_bytes;
		int ret;
		const char *says;
	} rows[] = {
		{1, HF_EMU_MEDIA_MEMORY, MIB, 512, -EEXIST, "already"},
		{9, HF_EMU_MEDIA_MEMORY, MIB, 512, -ENOSPC, "room for 8"},
		{0, HF_EMU_MEDIA_MEMORY, MIB, 520, -EINVAL, "512 or 4096"},
		{0, HF_EMU_MEDIA_MEMORY, MIB + 1, 512, -EINVAL, "multiple"},
		{0, HF_EMU_MEDIA_MEMORY, 0, 512, -EINVAL, "size"},
		{0, HF_EMU_MEDIA_FILE, MIB, 512, -EINVAL, "path"},
	};
	struct hf_emu *emu = *state;

	assert_int_equal(stand_in_namespace(emu, 512), 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hf_emu_namespace_options o;
		struct hf_error err;

		hf_emu_namespace_options_init(&o);
		o.nsid = rows[i].nsid;
		o.media = rows[i].media;
		o.size_bytes = rows[i].size_bytes;
		o.lba_bytes = rows[i].lba_bytes;
		assert_int_equal(hf_emu_namespace_add(emu, &o, NULL, &err),
				 rows[i].ret);
		if (strstr(err.message, rows[i].says) == NULL) {
			fail_msg("%s", err.message);
		}
	}
	assert_int_equal(emu->changed, 1);
	assert_int_equal(hf_emu_namespace_list(emu, NULL, 0), 1);
}

static void a_removed_one_is_gone_after_a_grace_period(void **state)
{
	struct hf_emu *emu = *state;

	assert_int_equal(stand_in_namespace(emu, 512), 1);
	assert_int_equal(hf_emu_namespace_remove(emu, 1, NULL), 0);

	assert_null(hf_emu_ns_find(emu, 1));
	assert_int_equal(emu->synchronized, 1);
	assert_int_equal(emu->changed, 2);
	assert_int_equal(hf_emu_namespace_remove(emu, 1, NULL), -ENOENT);
	assert_int_equal(hf_emu_namespace_remove(emu, 77, NULL), -ENOENT);
}

static void write_at(struct hf_emu *emu, uint64_t lba, int value)
{
	memset(emu->data, value, 512);
	assert_int_equal(stand_in_range(emu, nvme_cmd_write, 1, lba, 1, 0), 0);
}

static void grown_and_shrunk_blocks_are_empty(void **state)
{
	struct hf_emu *emu = *state;
	const uint32_t none[6] = {0};

	assert_int_equal(stand_in_namespace(emu, 512), 1);
	write_at(emu, 2047, 9); /* in the cache, not on the medium */

	assert_int_equal(hf_emu_namespace_resize(emu, 1, MIB / 2, NULL), 0);
	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 1, 1024, 1, 0),
			 HF_STATUS_DNR(NVME_SC_LBA_RANGE));
	assert_int_equal(stand_in_io(emu, nvme_cmd_flush, 1, none), 0);
	assert_int_equal(hf_emu_namespace_resize(emu, 1, 2 * MIB, NULL), 0);

	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 1, 2047, 1, 0), 0);
	assert_int_equal(emu->data[0], 0);
	write_at(emu, 4095, 1);
	assert_int_equal(emu->changed, 3);
}

static void an_impossible_resize_changes_nothing(void **state)
{
	struct hf_emu *emu = *state;
	struct hf_error err;

	assert_int_equal(stand_in_namespace(emu, 4096), 1);
	assert_int_equal(hf_emu_namespace_resize(emu, 1, 0, &err), -EINVAL);
	assert_int_equal(hf_emu_namespace_resize(emu, 1, 512, &err), -EINVAL);
	assert_int_equal(hf_emu_namespace_resize(emu, 2, MIB, &err), -ENOENT);
	assert_int_equal(hf_emu_namespace_resize(emu, 1, MIB << 20, &err),
			 -ENOSPC);
	assert_int_equal(emu->changed, 1);
	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 1, 255, 1, 0), 0);
}

static void a_swapped_one_has_another_identity_and_other_data(void **state)
{
	struct hf_emu *emu = *state;
	struct hf_emu_namespace_options o;
	struct hf_emu_ns_ids before;
	struct hf_emu_ns_ids after;

	assert_int_equal(stand_in_namespace(emu, 512), 1);
	hf_emu_ns_ids(hf_emu_ns_find(emu, 1), &before);
	write_at(emu, 0, 9);

	hf_emu_namespace_options_init(&o);
	o.size_bytes = MIB;
	assert_int_equal(hf_emu_namespace_swap(emu, 1, &o, NULL), 0);

	hf_emu_ns_ids(hf_emu_ns_find(emu, 1), &after);
	assert_memory_not_equal(before.nguid, after.nguid, 16);
	assert_memory_not_equal(before.eui64, after.eui64, 8);
	assert_memory_not_equal(before.uuid, after.uuid, 16);
	assert_int_equal(stand_in_range(emu, nvme_cmd_read, 1, 0, 1, 0), 0);
	assert_int_equal(emu->data[0], 0);
	o.lba_bytes = 1;
	assert_int_equal(hf_emu_namespace_swap(emu, 1, &o, NULL), -EINVAL);
	assert_non_null(hf_emu_ns_find(emu, 1));
}

static void identity_comes_from_serial_and_nsid(void **state)
{
	struct hf_emu *emu = *state;
	struct hf_emu *again = stand_in_create();
	struct hf_emu_ns_ids a;
	struct hf_emu_ns_ids b;

	assert_int_equal(stand_in_namespace(emu, 512), 1);
	assert_int_equal(stand_in_namespace(again, 512), 1);
	assert_int_equal(stand_in_namespace(again, 512), 2);
	hf_emu_ns_ids(hf_emu_ns_find(emu, 1), &a);
	hf_emu_ns_ids(hf_emu_ns_find(again, 1), &b);
	assert_memory_equal(&a, &b, sizeof(a));
	hf_emu_ns_ids(hf_emu_ns_find(again, 2), &b);
	assert_memory_not_equal(a.nguid, b.nguid, 16);
	stand_in_destroy(again);
}

static void an_image_keeps_its_data_over_controllers(void **state)
{
	struct hf_emu *emu = *state;
	struct hf_emu *again = stand_in_create();
	struct hf_emu_namespace_options o;
	struct hf_error err;
	char path[] = "/tmp/hf-ns-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	hf_emu_namespace_options_init(&o);
	o.media = HF_EMU_MEDIA_FILE;
	o.path = path;
	o.size_bytes = MIB;
	o.create = true;
	assert_int_equal(hf_emu_namespace_add(emu, &o, NULL, NULL), 0);
	write_at(emu, 100, 9);
	assert_int_equal(hf_emu_namespace_add(again, &o, NULL, &err), -EBUSY);
	assert_int_equal(hf_emu_namespace_remove(emu, 1, NULL), 0);

	o.size_bytes = 0;
	assert_int_equal(hf_emu_namespace_add(again, &o, NULL, &err), 0);
	assert_int_equal(stand_in_range(again, nvme_cmd_read, 1, 100, 1, 0), 0);
	assert_int_equal(again->data[511], 9);
	stand_in_destroy(again);
	unlink(path);
}

static void inspection_shows_them(void **state)
{
	struct hf_emu *emu = *state;

	assert_int_equal(stand_in_namespace(emu, 512), 1);
	write_at(emu, 0, 1);
	struct json_object *array = hf_namespaces_inspect(emu);
	const char *text = json_object_to_json_string(array);

	assert_non_null(strstr(text, "\"medium\": \"memory\""));
	assert_non_null(strstr(text, "\"unflushed_blocks\": 1"));
	json_object_put(array);
}

static void fault_rules_are_kept_listed_and_ended(void **state)
{
	struct hf_emu *emu = *state;
	struct hf_emu_fault fault;
	struct hf_error err;
	uint32_t id = 0;

	assert_int_equal(hf_emu_fault_add(emu, "io-read:hold", &id, NULL), 0);
	assert_true(hf_faults_armed(emu->faults) != 0);
	char *list = hf_emu_fault_list(emu);
	assert_non_null(strstr(list, "\"text\": \"io-read:hold\""));
	free(list);
	assert_int_equal(hf_emu_fault_remove(emu, id), 0);
	assert_int_equal(emu->released, id);
	assert_int_equal(hf_emu_fault_remove(emu, id), -ENOENT);
	assert_int_equal(hf_faults_armed(emu->faults), 0);

	hf_emu_fault_init(&fault, HF_EMU_FAULT_IO);
	fault.patch_count = 9;
	assert_int_equal(hf_emu_fault_add_rule(emu, &fault, &id, &err),
			 -EINVAL);
	fault.size = 8;
	assert_int_equal(hf_emu_fault_add_rule(emu, &fault, &id, &err),
			 -EINVAL);
}

static void what_happens_now_happens_at_once(void **state)
{
	struct hf_emu *emu = *state;
	uint32_t id;

	assert_int_equal(
		hf_emu_fault_add(emu, "now,count=5:event=vendor", &id, NULL),
		0);
	assert_int_equal(emu->events, 5);
	assert_int_equal(hf_emu_fault_hits(emu, id), 5);
	assert_int_equal(hf_emu_fault_add(emu, "now:cfs,gone", NULL, NULL), 0);
	assert_true(emu->fatal);
	assert_true(emu->gone);
	assert_int_equal(hf_faults_armed(emu->faults), 0);
}

static void rules_are_bounded(void **state)
{
	struct hf_emu *emu = *state;
	struct hf_error err;
	int ret = 0;

	for (int i = 0; ret == 0 && i < 5000; i++) {
		ret = hf_emu_fault_add(emu, "io:note", NULL, &err);
	}
	assert_int_equal(ret, -ENOSPC);
	hf_emu_fault_clear(emu);
	assert_int_equal(hf_emu_fault_add(emu, "io:note", NULL, NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(added_ones_are_found_listed_and_described),
		TEST(what_cannot_be_is_refused_with_a_sentence),
		TEST(a_removed_one_is_gone_after_a_grace_period),
		TEST(grown_and_shrunk_blocks_are_empty),
		TEST(an_impossible_resize_changes_nothing),
		TEST(a_swapped_one_has_another_identity_and_other_data),
		TEST(identity_comes_from_serial_and_nsid),
		TEST(an_image_keeps_its_data_over_controllers),
		TEST(inspection_shows_them),
		TEST(fault_rules_are_kept_listed_and_ended),
		TEST(what_happens_now_happens_at_once),
		TEST(rules_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
