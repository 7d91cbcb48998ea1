/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: keys, holders and conflicts are as the Base Specification's chapter on
 * reservations has them, for each type.
 * Method: three hosts, A, B and C, call the state of one namespace directly.
 */
#include "cmocka_all.h"

#include <nvme/types.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "emu/core.h"
#include "emu/reservation.h"

#define KEY_A 0xaaaa
#define KEY_B 0xbbbb
#define KEY_C 0xcccc

static const struct hf_registrant A = {.host_id = {1}, .cntlid = 1};
static const struct hf_registrant B = {.host_id = {2}, .cntlid = 1};
static const struct hf_registrant C = {.host_id = {3}, .cntlid = 2};

#define CONFLICT HF_STATUS_DNR(NVME_SC_RESERVATION_CONFLICT)
#define INVALID  HF_STATUS_DNR(NVME_SC_INVALID_FIELD)
#define IEKEY    (1u << 3)

static int setup(void **state)
{
	return hf_reservations_create((struct hf_reservations **)state);
}

static int teardown(void **state)
{
	hf_reservations_destroy(*state);
	return 0;
}

static uint16_t add(struct hf_reservations *r, const struct hf_registrant *who,
		    uint64_t key)
{
	return hf_reservations_register(
		r, who, NVME_RESERVATION_RREGA_REGISTER_KEY, 0, key);
}

static uint16_t acquire(struct hf_reservations *r,
			const struct hf_registrant *who, uint64_t key,
			uint32_t type)
{
	return hf_reservations_acquire(
		r, who, NVME_RESERVATION_RACQA_ACQUIRE | type << 8, key, 0);
}

static uint16_t preempt(struct hf_reservations *r,
			const struct hf_registrant *who, uint64_t key,
			uint64_t victim, uint32_t type)
{
	return hf_reservations_acquire(
		r, who, NVME_RESERVATION_RACQA_PREEMPT | type << 8, key,
		victim);
}

static uint16_t release(struct hf_reservations *r,
			const struct hf_registrant *who, uint64_t key,
			uint32_t type)
{
	return hf_reservations_release(
		r, who, NVME_RESERVATION_RRELA_RELEASE | type << 8, key);
}

static struct nvme_resv_status *report(struct hf_reservations *r)
{
	void *data = NULL;
	size_t len;

	assert_int_equal(hf_reservations_report(r, true, &data, &len), 0);
	return data;
}

static uint32_t generation(struct hf_reservations *r)
{
	struct nvme_resv_status *s = report(r);
	uint32_t gen = hf_get_le32(&s->gen);

	free(s);
	return gen;
}

static void nobody_is_kept_out_of_a_free_namespace(void **state)
{
	struct hf_reservations *r = *state;

	assert_false(hf_reservations_held(r));
	assert_false(hf_reservations_conflict(r, A.host_id, true));
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WE),
			 CONFLICT);
}

static void a_key_is_registered_replaced_and_given_back(void **state)
{
	struct hf_reservations *r = *state;

	assert_int_equal(add(r, &A, 0), INVALID);
	assert_int_equal(add(r, &A, KEY_A), 0);
	assert_int_equal(add(r, &A, KEY_A), 0);
	assert_int_equal(add(r, &A, KEY_B), CONFLICT);
	assert_int_equal(hf_reservations_register(
				 r, &A, NVME_RESERVATION_RREGA_REPLACE_KEY,
				 KEY_B, KEY_C),
			 CONFLICT);
	assert_int_equal(hf_reservations_register(
				 r, &A,
				 NVME_RESERVATION_RREGA_REPLACE_KEY | IEKEY, 0,
				 KEY_C),
			 0);
	assert_int_equal(
		hf_reservations_register(
			r, &A, NVME_RESERVATION_RREGA_UNREGISTER_KEY, KEY_A, 0),
		CONFLICT);
	assert_int_equal(
		hf_reservations_register(
			r, &A, NVME_RESERVATION_RREGA_UNREGISTER_KEY, KEY_C, 0),
		0);
	assert_int_equal(
		hf_reservations_register(
			r, &A, NVME_RESERVATION_RREGA_UNREGISTER_KEY, KEY_C, 0),
		CONFLICT);
	assert_int_equal(hf_reservations_register(r, &A, 7, 0, KEY_A), INVALID);
}

/* Who may do what while A holds, B is registered and C is not. */
static void each_type_keeps_out_whom_it_should(void **state)
{
	static const struct {
		uint32_t type;
		bool b_read, b_write, c_read, c_write; /* kept out? */
	} rows[] = {
		{NVME_RESERVATION_RTYPE_WE, false, true, false, true},
		{NVME_RESERVATION_RTYPE_EA, true, true, true, true},
		{NVME_RESERVATION_RTYPE_WERO, false, false, false, true},
		{NVME_RESERVATION_RTYPE_EARO, false, false, true, true},
		{NVME_RESERVATION_RTYPE_WEAR, false, false, false, true},
		{NVME_RESERVATION_RTYPE_EAAR, false, false, true, true},
	};
	struct hf_reservations *r = *state;

	assert_int_equal(add(r, &A, KEY_A), 0);
	assert_int_equal(add(r, &B, KEY_B), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(acquire(r, &A, KEY_A, rows[i].type), 0);
		assert_true(hf_reservations_held(r));
		assert_false(hf_reservations_conflict(r, A.host_id, false));
		assert_false(hf_reservations_conflict(r, A.host_id, true));
		assert_int_equal(hf_reservations_conflict(r, B.host_id, false),
				 rows[i].b_read);
		assert_int_equal(hf_reservations_conflict(r, B.host_id, true),
				 rows[i].b_write);
		assert_int_equal(hf_reservations_conflict(r, C.host_id, false),
				 rows[i].c_read);
		assert_int_equal(hf_reservations_conflict(r, C.host_id, true),
				 rows[i].c_write);
		assert_int_equal(release(r, &A, KEY_A, rows[i].type), 0);
	}
}

static void a_held_namespace_is_not_acquired_again(void **state)
{
	struct hf_reservations *r = *state;

	assert_int_equal(add(r, &A, KEY_A), 0);
	assert_int_equal(add(r, &B, KEY_B), 0);
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WE), 0);

	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WE), 0);
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_EA),
			 CONFLICT);
	assert_int_equal(acquire(r, &B, KEY_B, NVME_RESERVATION_RTYPE_WE),
			 CONFLICT);
	assert_int_equal(acquire(r, &A, KEY_A, 0), INVALID);
	assert_int_equal(acquire(r, &A, KEY_A, 7), INVALID);
}

static void only_the_holder_releases_and_only_its_type(void **state)
{
	struct hf_reservations *r = *state;

	assert_int_equal(add(r, &A, KEY_A), 0);
	assert_int_equal(add(r, &B, KEY_B), 0);
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WE), 0);

	assert_int_equal(release(r, &B, KEY_B, NVME_RESERVATION_RTYPE_WE), 0);
	assert_true(hf_reservations_held(r));
	assert_int_equal(release(r, &A, KEY_A, NVME_RESERVATION_RTYPE_EA),
			 INVALID);
	assert_int_equal(release(r, &A, KEY_B, NVME_RESERVATION_RTYPE_WE),
			 CONFLICT);
	assert_int_equal(release(r, &C, KEY_A, NVME_RESERVATION_RTYPE_WE),
			 CONFLICT);
	assert_int_equal(release(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WE), 0);
	assert_false(hf_reservations_held(r));
}

static void a_holder_that_unregisters_frees_the_namespace(void **state)
{
	struct hf_reservations *r = *state;

	assert_int_equal(add(r, &B, KEY_B), 0);
	assert_int_equal(add(r, &A, KEY_A), 0);
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_EA), 0);
	/* B goes first: A moves within the table and still holds. */
	assert_int_equal(
		hf_reservations_register(
			r, &B, NVME_RESERVATION_RREGA_UNREGISTER_KEY, KEY_B, 0),
		0);
	assert_true(hf_reservations_conflict(r, B.host_id, false));
	assert_false(hf_reservations_conflict(r, A.host_id, true));

	assert_int_equal(
		hf_reservations_register(
			r, &A, NVME_RESERVATION_RREGA_UNREGISTER_KEY, KEY_A, 0),
		0);
	assert_false(hf_reservations_held(r));
}

static void all_registrants_hold_until_the_last_goes(void **state)
{
	struct hf_reservations *r = *state;

	assert_int_equal(add(r, &A, KEY_A), 0);
	assert_int_equal(add(r, &B, KEY_B), 0);
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_EAAR), 0);
	assert_int_equal(
		hf_reservations_register(
			r, &A, NVME_RESERVATION_RREGA_UNREGISTER_KEY, KEY_A, 0),
		0);
	assert_true(hf_reservations_held(r));
	assert_true(hf_reservations_conflict(r, A.host_id, false));
	assert_int_equal(
		hf_reservations_register(
			r, &B, NVME_RESERVATION_RREGA_UNREGISTER_KEY, KEY_B, 0),
		0);
	assert_false(hf_reservations_held(r));
}

static void a_preempted_holder_is_out_and_the_preemptor_holds(void **state)
{
	struct hf_reservations *r = *state;

	assert_int_equal(add(r, &A, KEY_A), 0);
	assert_int_equal(add(r, &B, KEY_B), 0);
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WE), 0);

	assert_int_equal(preempt(r, &B, KEY_B, 0, NVME_RESERVATION_RTYPE_EA),
			 INVALID);
	assert_int_equal(
		preempt(r, &B, KEY_B, 0x1234, NVME_RESERVATION_RTYPE_EA),
		CONFLICT);
	assert_int_equal(
		preempt(r, &B, KEY_B, KEY_A, NVME_RESERVATION_RTYPE_EA), 0);

	assert_false(hf_reservations_conflict(r, B.host_id, true));
	assert_true(hf_reservations_conflict(r, A.host_id, false));
	assert_int_equal(release(r, &A, KEY_A, NVME_RESERVATION_RTYPE_EA),
			 CONFLICT);
}

static void preempting_all_registrants_takes_them_all(void **state)
{
	struct hf_reservations *r = *state;

	assert_int_equal(add(r, &A, KEY_A), 0);
	assert_int_equal(add(r, &B, KEY_B), 0);
	assert_int_equal(add(r, &C, KEY_C), 0);
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WEAR), 0);

	assert_int_equal(preempt(r, &B, KEY_B, 0x99, NVME_RESERVATION_RTYPE_WE),
			 CONFLICT);
	assert_int_equal(preempt(r, &B, KEY_B, 0, NVME_RESERVATION_RTYPE_WE),
			 0);

	struct nvme_resv_status *s = report(r);
	assert_int_equal(hf_get_le16(s->regctl), 1);
	assert_int_equal(s->rtype, NVME_RESERVATION_RTYPE_WE);
	assert_memory_equal(s->regctl_eds[0].hostid, B.host_id, 16);
	assert_int_equal(s->regctl_eds[0].rcsts, 1);
	free(s);
}

static void clear_forgets_everybody(void **state)
{
	struct hf_reservations *r = *state;

	assert_int_equal(add(r, &A, KEY_A), 0);
	assert_int_equal(add(r, &B, KEY_B), 0);
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WE), 0);
	assert_int_equal(hf_reservations_release(
				 r, &B, NVME_RESERVATION_RRELA_CLEAR, KEY_B),
			 0);

	struct nvme_resv_status *s = report(r);
	assert_int_equal(hf_get_le16(s->regctl), 0);
	assert_int_equal(s->rtype, 0);
	free(s);
}

static void generation_counts_what_the_specification_counts(void **state)
{
	struct hf_reservations *r = *state;

	assert_int_equal(generation(r), 0);
	assert_int_equal(add(r, &A, KEY_A), 0);
	assert_int_equal(add(r, &B, KEY_B), 0);
	assert_int_equal(generation(r), 2);
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WE), 0);
	assert_int_equal(release(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WE), 0);
	assert_int_equal(generation(r), 2);
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WE), 0);
	assert_int_equal(
		preempt(r, &B, KEY_B, KEY_A, NVME_RESERVATION_RTYPE_WE), 0);
	assert_int_equal(generation(r), 3);
	assert_int_equal(hf_reservations_release(
				 r, &B, NVME_RESERVATION_RRELA_CLEAR, KEY_B),
			 0);
	assert_int_equal(generation(r), 4);
}

static void power_loss_ends_what_was_not_to_persist(void **state)
{
	struct hf_reservations *r = *state;
	uint32_t persist = (uint32_t)NVME_RESERVATION_CPTPL_PERSIST << 30;

	assert_int_equal(add(r, &A, KEY_A), 0);
	hf_reservations_power_fail(r);
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WE),
			 CONFLICT);

	assert_int_equal(hf_reservations_register(
				 r, &A,
				 NVME_RESERVATION_RREGA_REGISTER_KEY | persist,
				 0, KEY_A),
			 0);
	assert_int_equal(acquire(r, &A, KEY_A, NVME_RESERVATION_RTYPE_WE), 0);
	hf_reservations_power_fail(r);
	assert_true(hf_reservations_conflict(r, B.host_id, true));
	assert_int_equal(hf_reservations_register(r, &A, 1u << 30, 0, KEY_A),
			 INVALID);
}

static void short_report_does_not_take_long_identifiers(void **state)
{
	struct hf_reservations *r = *state;
	struct hf_registrant wide = {.host_id = {1, [15] = 9}};
	struct nvme_resv_status *s;
	void *data = NULL;
	size_t len;

	assert_int_equal(add(r, &A, KEY_A), 0);
	assert_int_equal(hf_reservations_report(r, false, &data, &len), 0);
	s = data;
	assert_int_equal(len, 24 + 24);
	assert_int_equal(hf_get_le64(&s->regctl_ds[0].rkey), KEY_A);
	assert_int_equal(hf_get_le64(&s->regctl_ds[0].hostid), 1);
	free(s);

	assert_int_equal(add(r, &wide, KEY_B), 0);
	assert_int_equal(hf_reservations_report(r, false, &data, &len),
			 HF_STATUS_DNR(NVME_SC_HOSTID_FORMAT));
}

static void a_host_without_identifier_ends_with_the_reset(void **state)
{
	struct hf_reservations *r = *state;
	const struct hf_registrant nobody = {.cntlid = 1};

	assert_int_equal(add(r, &nobody, KEY_A), 0);
	assert_int_equal(acquire(r, &nobody, KEY_A, NVME_RESERVATION_RTYPE_EA),
			 0);
	hf_reservations_reset(r);
	assert_false(hf_reservations_held(r));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_is_kept_out_of_a_free_namespace),
		TEST(a_key_is_registered_replaced_and_given_back),
		TEST(each_type_keeps_out_whom_it_should),
		TEST(a_held_namespace_is_not_acquired_again),
		TEST(only_the_holder_releases_and_only_its_type),
		TEST(a_holder_that_unregisters_frees_the_namespace),
		TEST(all_registrants_hold_until_the_last_goes),
		TEST(a_preempted_holder_is_out_and_the_preemptor_holds),
		TEST(preempting_all_registrants_takes_them_all),
		TEST(clear_forgets_everybody),
		TEST(generation_counts_what_the_specification_counts),
		TEST(power_loss_ends_what_was_not_to_persist),
		TEST(short_report_does_not_take_long_identifiers),
		TEST(a_host_without_identifier_ends_with_the_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
