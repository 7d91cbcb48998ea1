/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a namespace has one owner, keeps its identity, follows its size, and
 * is gone for good when it is gone.
 * Method: namespaces of the emulated controller are added, removed, resized
 * and swapped while the driver runs; answers are changed by faults.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

static struct hf_namespace_info info_of(const struct rig *rig)
{
	struct hf_namespace_info info;

	hf_namespace_get_info(rig->ns, &info);
	return info;
}

static void a_namespace_is_open_once(void **state)
{
	struct rig *rig = *state;
	struct hf_namespace *again;

	rig_open(rig);
	assert_int_equal(hf_namespace_open(&again, rig->drv, 1, &rig->err),
			 -EBUSY);
	assert_non_null(strstr(rig->err.message, "open already"));
	hf_namespace_close(rig->ns);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
}

static void one_that_is_not_there_is_refused(void **state)
{
	struct rig *rig = *state;
	struct hf_namespace *ns;

	rig_open(rig);
	assert_int_equal(hf_namespace_open(&ns, rig->drv, 2, &rig->err),
			 -ENODEV);
	assert_int_equal(hf_namespace_open(&ns, rig->drv, 0, &rig->err),
			 -EINVAL);
	assert_int_equal(
		hf_namespace_open(&ns, rig->drv, UINT32_MAX, &rig->err),
		-EINVAL);
	assert_int_equal(
		hf_namespace_open(&ns, rig->drv, UINT32_MAX - 1, &rig->err),
		-EINVAL);
	rig_rule(rig, "admin-identify,cns=0:status=generic/0bh");
	hf_namespace_close(rig->ns);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 -ENODEV);
	rig->ns = NULL;
}

static void what_identify_claims_is_checked(void **state)
{
	static const struct {
		const char *rule;
		int rc;
	} claims[] = {
		/* No blocks; more bytes than 64 bits count; format 15. */
		{"admin-identify,cns=0:patch=0/0000000000000000", -ENODEV},
		{"admin-identify,cns=0:patch=0/ffffffffffffffff", -EPROTO},
		{"admin-identify,cns=0:patch=26/0f", -EPROTO},
		/* Blocks of 2^255, of 1, of 256 bytes; metadata. */
		{"admin-identify,cns=0:patch=128/0000ff00", -ENOTSUP},
		{"admin-identify,cns=0:patch=128/00000000", -ENOTSUP},
		{"admin-identify,cns=0:patch=128/00000800", -ENOTSUP},
		{"admin-identify,cns=0:patch=128/08000900", -ENOTSUP},
		{"admin-identify,cns=0:fill=255", -ENOTSUP},
		{"admin-identify,cns=0:fill=0", -ENODEV},
		{"admin-identify,cns=0:status=generic/6h", 6},
		{"admin-identify,cns=3:status=generic/6h", 6},
	};
	struct rig *rig = *state;

	rig_open(rig);
	hf_namespace_close(rig->ns);
	rig->ns = NULL;
	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		struct hf_namespace *ns;

		hf_emu_fault_clear(rig->emu);
		rig_rule(rig, claims[i].rule);
		int rc = hf_namespace_open(&ns, rig->drv, 1, &rig->err);
		if ((rc & ~0x4000) != claims[i].rc && rc != claims[i].rc) {
			fail_msg("%s: %d (%s)", claims[i].rule, rc,
				 rig->err.message);
		}
	}
	hf_emu_fault_clear(rig->emu);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
}

static void descriptors_may_be_missing_or_nonsense(void **state)
{
	static const char *const rules[] = {
		"admin-identify,cns=3:status=generic/2h",
		"admin-identify,cns=3:fill=255",
		"admin-identify,cns=3:fill=3",
		"admin-identify,cns=3:fill=0",
	};
	struct rig *rig = *state;

	rig_open(rig);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		hf_namespace_close(rig->ns);
		hf_emu_fault_clear(rig->emu);
		rig_rule(rig, rules[i]);
		assert_int_equal(
			hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err), 0);
	}
}

static void a_failing_rescan_removes_nothing(void **state)
{
	static const char *const rules[] = {
		"admin-identify,cns=0:status=generic/6h",
		"admin-identify,cns=3:status=generic/6h",
		"admin-identify,cns=3:status=generic/82h",
	};
	struct rig *rig = *state;
	uint8_t block[512];

	rig_open(rig);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		hf_emu_fault_clear(rig->emu);
		rig_rule(rig, rules[i]);
		assert_true(hf_namespace_rescan(rig->ns, &rig->err) > 0);
		assert_false(info_of(rig).removed);
		assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
	}
	hf_emu_fault_clear(rig->emu);
	assert_int_equal(hf_namespace_rescan(rig->ns, &rig->err), 0);
}

static void a_resized_namespace_wakes_who_waits(void **state)
{
	struct rig *rig = *state;
	uint64_t blocks = (16 << 20) / 512;
	uint8_t block[512];

	rig_open(rig);
	assert_int_equal(hf_namespace_change_wait(rig->ns, blocks, 10),
			 -ETIMEDOUT);
	assert_int_equal(
		hf_emu_namespace_resize(rig->emu, 1, 32 << 20, &rig->err), 0);
	assert_int_equal(hf_namespace_change_wait(rig->ns, blocks, 10000), 0);
	assert_int_equal(info_of(rig).blocks, 2 * blocks);
	assert_int_equal(hf_read(rig->ns, 2 * blocks - 1, 1, block), 0);
	struct hf_event event = rig_event(rig, HF_EVENT_NAMESPACE_CHANGED);
	assert_int_equal(event.nsid, 1);

	assert_int_equal(
		hf_emu_namespace_resize(rig->emu, 1, 8 << 20, &rig->err), 0);
	assert_int_equal(hf_namespace_change_wait(rig->ns, 2 * blocks, 10000),
			 0);
	assert_int_equal(hf_read(rig->ns, blocks - 1, 1, block), -ERANGE);
}

static void a_removed_namespace_is_gone_for_good(void **state)
{
	struct rig *rig = *state;
	uint64_t blocks = (16 << 20) / 512;
	uint8_t block[512];

	rig_open(rig);
	assert_int_equal(hf_emu_namespace_remove(rig->emu, 1, &rig->err), 0);
	assert_int_equal(hf_namespace_change_wait(rig->ns, blocks, 10000),
			 -ENODEV);
	assert_true(info_of(rig).removed);
	assert_int_equal(info_of(rig).blocks, 0);
	assert_int_equal(hf_read(rig->ns, 0, 1, block), -ENODEV);
	(void)rig_event(rig, HF_EVENT_NAMESPACE_REMOVED);

	/* The number comes back: with another namespace under it. */
	assert_int_equal(hf_emu_namespace_add(rig->emu, &rig->ns_options, NULL,
					      &rig->err),
			 0);
	struct hf_event event = rig_event(rig, HF_EVENT_NAMESPACE_ADDED);
	assert_int_equal(event.nsid, 1);
	assert_int_equal(hf_read(rig->ns, 0, 1, block), -ENODEV);
	assert_int_equal(hf_namespace_rescan(rig->ns, &rig->err), -ENODEV);
	struct hf_namespace *fresh;
	assert_int_equal(hf_namespace_open(&fresh, rig->drv, 1, &rig->err), 0);
	assert_int_equal(hf_read(fresh, 0, 1, block), 0);
	hf_namespace_close(fresh);
}

static void an_added_namespace_is_told(void **state)
{
	struct rig *rig = *state;
	uint32_t nsids[4];
	uint32_t count;

	rig_open(rig);
	rig->ns_options.nsid = 3;
	assert_int_equal(hf_emu_namespace_add(rig->emu, &rig->ns_options, NULL,
					      &rig->err),
			 0);
	struct hf_event event = rig_event(rig, HF_EVENT_NAMESPACE_ADDED);
	assert_int_equal(event.nsid, 3);
	assert_int_equal(
		hf_namespace_list(rig->drv, nsids, 4, &count, &rig->err), 0);
	assert_int_equal(count, 2);
	assert_int_equal(nsids[1], 3);
	assert_int_equal(
		hf_namespace_list(rig->drv, nsids, 1, &count, &rig->err), 0);
	assert_int_equal(count, 2);
}

static void another_one_in_its_place_is_not_taken_for_it(void **state)
{
	struct rig *rig = *state;
	uint8_t block[512];

	rig_open(rig);
	assert_int_equal(
		hf_emu_namespace_swap(rig->emu, 1, &rig->ns_options, &rig->err),
		0);
	struct hf_event event = rig_event(rig, HF_EVENT_NAMESPACE_REMOVED);
	assert_non_null(strstr(event.text, "replaced"));
	assert_int_equal(hf_write(rig->ns, 0, 1, block), -ENODEV);
	hf_namespace_close(rig->ns);
	assert_int_equal(hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err),
			 0);
	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
}

static void another_block_size_is_another_namespace(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	rig_rule(rig, "admin-identify,cns=0:patch=128/00000c00");
	assert_int_equal(hf_namespace_rescan(rig->ns, &rig->err), -ENODEV);
	assert_true(info_of(rig).removed);
}

static void a_list_that_overflowed_means_all(void **state)
{
	struct rig *rig = *state;
	uint64_t blocks = (16 << 20) / 512;

	rig_open(rig);
	rig_rule(rig, "admin-get-log-page,lid=4,nth=1:patch=0/ffffffff");
	assert_int_equal(
		hf_emu_namespace_resize(rig->emu, 1, 32 << 20, &rig->err), 0);

	assert_int_equal(hf_namespace_change_wait(rig->ns, blocks, 10000), 0);
}

static void a_list_of_nonsense_is_survived(void **state)
{
	struct rig *rig = *state;
	uint8_t block[512];

	rig_open(rig);
	/* 1024 entries of 0x01010101, none of which is there; on and on. */
	uint32_t rule = rig_rule(rig, "admin-get-log-page,lid=4:fill=1");
	rig_rule(rig, "now:event=notice/0/4");
	while (rig_hits(rig, rule) == 0) {
		rig_turn(rig, 1);
	}
	hf_emu_fault_clear(rig->emu);

	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
	assert_int_equal(hf_namespace_rescan(rig->ns, &rig->err), 0);
}

static void a_list_that_does_not_ascend_is_refused(void **state)
{
	struct rig *rig = *state;
	uint32_t nsids[4];
	uint32_t count;

	rig_open(rig);
	rig_rule(rig, "admin-identify,cns=2:patch=0/0500000003000000");
	assert_int_equal(
		hf_namespace_list(rig->drv, nsids, 4, &count, &rig->err),
		-EPROTO);
	assert_non_null(strstr(rig->err.message, "3 after 5"));
}

static void many_namespaces_are_open_at_once(void **state)
{
	struct rig *rig = *state;
	struct hf_namespace *all[40];
	uint8_t block[512];

	rig->emu_options.nn = 64;
	rig_open(rig);
	for (uint32_t i = 0; i < 40; i++) {
		rig->ns_options.nsid = i + 2;
		assert_int_equal(hf_emu_namespace_add(rig->emu,
						      &rig->ns_options, NULL,
						      &rig->err),
				 0);
		assert_int_equal(
			hf_namespace_open(&all[i], rig->drv, i + 2, &rig->err),
			0);
		rig_fill(block, 512, i);
		assert_int_equal(hf_write(all[i], 0, 1, block), 0);
	}
	for (uint32_t i = 0; i < 40; i++) {
		assert_int_equal(hf_read(all[i], 0, 1, block), 0);
		assert_true(rig_is_filled(block, 512, i));
		hf_namespace_close(all[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_namespace_is_open_once),
		rig_test(one_that_is_not_there_is_refused),
		rig_test(what_identify_claims_is_checked),
		rig_test(descriptors_may_be_missing_or_nonsense),
		rig_test(a_failing_rescan_removes_nothing),
		rig_test(a_resized_namespace_wakes_who_waits),
		rig_test(a_removed_namespace_is_gone_for_good),
		rig_test(an_added_namespace_is_told),
		rig_test(another_one_in_its_place_is_not_taken_for_it),
		rig_test(another_block_size_is_another_namespace),
		rig_test(a_list_that_overflowed_means_all),
		rig_test(a_list_of_nonsense_is_survived),
		rig_test(a_list_that_does_not_ascend_is_refused),
		rig_test(many_namespaces_are_open_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
