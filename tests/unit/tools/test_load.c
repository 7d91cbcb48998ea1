/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a verified load finds every block that is not the last one written
 * there, takes what an unsure write may have left, and its table survives the
 * process that made it.
 * Method: a disk that is an array; blocks put in the wrong place, torn, old;
 * a second mapping of the table as a successor would have it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "load.h"

enum {
	BLOCK = 512,
	UNIT_BLOCKS = 4,
	UNIT = BLOCK * UNIT_BLOCKS,
	UNITS = 8,
	SLOTS = 4,
	FIRST_LBA = 100,
};

struct fixture {
	struct load_table *table;
	int fd;
	_Alignas(64) uint8_t disk[UNITS * UNIT];
};

static const struct load_geometry geometry = {
	.load = 0x1234567,
	.nsid = 1,
	.block_bytes = BLOCK,
	.unit_blocks = UNIT_BLOCKS,
	.slots = SLOTS,
	.first_lba = FIRST_LBA,
	.units = UNITS,
};

static int setup(void **state)
{
	struct fixture *f = aligned_alloc(64, sizeof(*f));

	if (!f) {
		return -1;
	}
	memset(f, 0, sizeof(*f));
	*state = f;
	return load_table_create(&f->table, &geometry, &f->fd);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	load_table_close(f->table);
	close(f->fd);
	free(f);
	return 0;
}

static uint8_t *at(struct fixture *f, uint64_t unit)
{
	return f->disk + unit * UNIT;
}

static void write_unit(struct fixture *f, uint32_t slot, uint64_t unit,
		       enum load_outcome outcome)
{
	assert_true(load_begin(f->table, slot, unit, true));
	if (outcome == LOAD_DONE) {
		load_stamp(f->table, slot, at(f, unit));
	}
	load_end(f->table, slot, outcome);
}

static bool read_unit(struct fixture *f, uint64_t unit,
		      struct load_fault *fault)
{
	assert_true(load_begin(f->table, 0, unit, false));

	bool good = load_check(f->table, 0, at(f, unit), fault);
	load_end(f->table, 0, LOAD_DONE);
	return good;
}

static void what_was_written_last_is_right(void **state)
{
	struct fixture *f = *state;
	struct load_fault fault;

	for (int i = 0; i < 3; i++) {
		write_unit(f, 1, 2, LOAD_DONE);
		assert_true(read_unit(f, 2, &fault));
	}
	assert_int_equal(load_generation(f->table, 2), 3);
}

static void an_older_block_is_found(void **state)
{
	struct fixture *f = *state;
	uint8_t old[BLOCK];
	struct load_fault fault;
	char text[256];

	write_unit(f, 0, 3, LOAD_DONE);
	memcpy(old, at(f, 3) + BLOCK, BLOCK);
	write_unit(f, 0, 3, LOAD_DONE);
	memcpy(at(f, 3) + BLOCK, old, BLOCK);

	assert_false(read_unit(f, 3, &fault));
	assert_int_equal(fault.verdict, STAMP_GOOD);
	assert_int_equal(fault.lba, FIRST_LBA + 3 * UNIT_BLOCKS + 1);
	assert_int_equal(fault.found.generation, 1);
	assert_non_null(strstr(load_fault_text(&fault, text, sizeof(text)),
			       "generation 1"));
}

static void another_blocks_data_is_found(void **state)
{
	struct fixture *f = *state;
	struct load_fault fault;

	write_unit(f, 0, 1, LOAD_DONE);
	write_unit(f, 0, 2, LOAD_DONE);
	memcpy(at(f, 2), at(f, 1), UNIT);

	assert_false(read_unit(f, 2, &fault));
	assert_int_equal(fault.verdict, STAMP_MOVED);
}

static void a_torn_block_is_found_at_every_byte(void **state)
{
	struct fixture *f = *state;
	struct load_fault fault;

	write_unit(f, 0, 5, LOAD_DONE);
	for (size_t i = 0; i < UNIT; i++) {
		at(f, 5)[i] ^= 0x40;
		assert_false(read_unit(f, 5, &fault));
		at(f, 5)[i] ^= 0x40;
	}
	assert_true(read_unit(f, 5, &fault));
}

static void a_block_of_another_load_is_found(void **state)
{
	struct fixture *f = *state;
	struct load_fault fault;
	struct stamp foreign = {
		.load = geometry.load + 1, .lba = FIRST_LBA, .generation = 1};

	write_unit(f, 0, 0, LOAD_DONE);
	stamp_write(at(f, 0), BLOCK, &foreign);

	assert_false(read_unit(f, 0, &fault));
	assert_int_equal(fault.verdict, STAMP_FOREIGN);
}

static void zeroes_are_found_where_something_was_written(void **state)
{
	struct fixture *f = *state;
	struct load_fault fault;

	assert_true(read_unit(f, 4, &fault));
	write_unit(f, 0, 4, LOAD_DONE);
	memset(at(f, 4), 0, UNIT);

	assert_false(read_unit(f, 4, &fault));
	assert_int_equal(fault.verdict, STAMP_NONE);
}

static void after_an_unsure_write_old_and_new_are_right(void **state)
{
	struct fixture *f = *state;
	struct load_fault fault;

	write_unit(f, 0, 6, LOAD_DONE);
	write_unit(f, 0, 6, LOAD_UNSURE);
	assert_true(read_unit(f, 6, &fault));

	/* The third generation arrives after all, in a part of the unit. */
	assert_true(load_begin(f->table, 0, 6, true));
	uint8_t unit[UNIT] __attribute__((aligned(64)));
	load_stamp(f->table, 0, unit);
	load_end(f->table, 0, LOAD_FAILED);
	memcpy(at(f, 6), unit, BLOCK);
	assert_true(read_unit(f, 6, &fault));

	/* The next one that is done is the only right one. */
	assert_true(load_begin(f->table, 0, 6, true));
	load_stamp(f->table, 0, unit);
	load_end(f->table, 0, LOAD_DONE);
	assert_false(read_unit(f, 6, &fault));
	memcpy(at(f, 6), unit, UNIT);
	assert_true(read_unit(f, 6, &fault));
}

static void a_write_that_never_began_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct load_fault fault;

	write_unit(f, 0, 1, LOAD_DONE);
	write_unit(f, 0, 1, LOAD_NOT_BEGUN);

	assert_true(read_unit(f, 1, &fault));
	assert_int_equal(load_generation(f->table, 1), 1);
}

static void a_unit_has_one_command_at_a_time(void **state)
{
	struct fixture *f = *state;

	assert_true(load_begin(f->table, 0, 1, true));
	assert_false(load_begin(f->table, 1, 1, false));
	assert_true(load_begin(f->table, 1, 2, false));
	load_end(f->table, 0, LOAD_DONE);
	assert_true(load_begin(f->table, 2, 1, false));
	load_end(f->table, 1, LOAD_DONE);
	load_end(f->table, 2, LOAD_DONE);
}

static void a_cookie_is_good_for_one_command(void **state)
{
	struct fixture *f = *state;
	uint32_t slot = 99;

	assert_true(load_begin(f->table, 3, 1, true));
	uint64_t cookie = load_cookie(f->table, 3);

	assert_true(load_cookie_slot(f->table, cookie, &slot));
	assert_int_equal(slot, 3);
	load_end(f->table, 3, LOAD_DONE);
	assert_false(load_cookie_slot(f->table, cookie, &slot));
	assert_true(load_begin(f->table, 3, 1, true));
	assert_false(load_cookie_slot(f->table, cookie, &slot));
	assert_false(load_cookie_slot(f->table, UINT64_MAX, &slot));
	load_end(f->table, 3, LOAD_DONE);
}

static void a_successor_finds_what_was_under_way(void **state)
{
	struct fixture *f = *state;
	struct load_table *next;
	struct load_counters counters;
	struct load_fault fault;
	struct load_slot slot;
	uint32_t found;

	write_unit(f, 0, 1, LOAD_DONE);
	assert_true(load_begin(f->table, 2, 1, true));
	uint64_t cookie = load_cookie(f->table, 2);

	assert_int_equal(load_table_attach(&next, f->fd), 0);
	assert_true(load_cookie_slot(next, cookie, &found));
	load_get_slot(next, found, &slot);
	assert_int_equal(slot.state, LOAD_SLOT_WRITING);
	assert_int_equal(slot.unit, 1);
	assert_false(load_begin(next, 0, 1, false));
	load_end(next, found, LOAD_UNSURE);
	assert_true(load_begin(next, 0, 1, false));
	assert_true(load_check(next, 0, at(f, 1), &fault));
	load_end(next, 0, LOAD_DONE);
	load_get_counters(next, &counters);
	assert_int_equal(counters.issued, 3);
	assert_int_equal(counters.completed, 2);
	assert_int_equal(counters.unsure, 1);
	load_table_close(next);
}

/* The process died between the unit's word and the slot that says why. */
static void a_unit_that_nobody_holds_is_freed(void **state)
{
	const uint64_t busy = UINT64_C(1) << 63;
	struct fixture *f = *state;
	const off_t words = 4096 + (off_t)(load_geometry(f->table)->slots *
					   sizeof(struct load_slot));
	struct load_table *next;

	assert_true(load_begin(f->table, 2, 1, true));
	assert_int_equal(pwrite(f->fd, &busy, sizeof(busy),
				words + 3 * (off_t)sizeof(busy)),
			 sizeof(busy));
	assert_int_equal(load_table_attach(&next, f->fd), 0);
	assert_false(load_begin(next, 0, 3, false));
	load_free_orphans(next);
	assert_false(load_begin(next, 0, 1, false));
	assert_true(load_begin(next, 0, 3, false));
	load_end(next, 0, LOAD_DONE);
	load_end(next, 2, LOAD_UNSURE);
	load_table_close(next);
}

static void a_table_that_is_none_is_refused(void **state)
{
	struct fixture *f = *state;
	struct load_table *next;
	uint64_t page[512];

	assert_int_equal(pread(f->fd, page, sizeof(page), 0), sizeof(page));
	for (size_t i = 0; i < 7; i++) {
		uint64_t bad[512];

		memcpy(bad, page, sizeof(bad));
		bad[i] = UINT64_MAX;
		assert_int_equal(pwrite(f->fd, bad, sizeof(bad), 0),
				 sizeof(bad));
		if (i != 2) { /* any number names a load */
			assert_int_equal(load_table_attach(&next, f->fd),
					 -EBADMSG);
		}
	}
	assert_int_equal(pwrite(f->fd, page, sizeof(page), 0), sizeof(page));
	assert_int_equal(ftruncate(f->fd, 4096), 0);
	assert_int_equal(load_table_attach(&next, f->fd), -EBADMSG);
	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_int_equal(load_table_attach(&next, f->fd), -EBADMSG);
	/* The fixture's own mapping must not be touched from here on. */
	assert_int_equal(ftruncate(f->fd, 1 << 20), 0);
}

static void geometries_that_overflow_are_refused(void **state)
{
	struct load_geometry bad[6];
	struct load_table *table;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		bad[i] = geometry;
	}
	bad[0].units = 0;
	bad[1].units = UINT64_MAX;
	bad[2].unit_blocks = UINT32_MAX;
	bad[3].first_lba = UINT64_MAX;
	bad[4].block_bytes = 100;
	bad[5].slots = 0;
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(load_table_create(&table, &bad[i], NULL),
				 -EINVAL);
	}
}

static void the_hash_sees_every_bit(void **state)
{
	uint8_t data[200];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++) {
		data[i] = (uint8_t)i;
	}
	for (size_t len = 1; len < sizeof(data); len += 13) {
		uint64_t before = stamp_hash(data, len, 1);

		for (size_t bit = 0; bit < len * 8; bit++) {
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_true(stamp_hash(data, len, 1) != before);
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		assert_true(stamp_hash(data, len, 2) != before);
		assert_true(stamp_hash(data, len + 1, 1) != before);
	}
	assert_true(stamp_is_zero("\0\0\0", 3));
	assert_false(stamp_is_zero("\0\0\1", 3));
	assert_false(stamp_is_zero("\1\0\0", 3));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_written_last_is_right),
		TEST(an_older_block_is_found),
		TEST(another_blocks_data_is_found),
		TEST(a_torn_block_is_found_at_every_byte),
		TEST(a_block_of_another_load_is_found),
		TEST(zeroes_are_found_where_something_was_written),
		TEST(after_an_unsure_write_old_and_new_are_right),
		TEST(a_write_that_never_began_changes_nothing),
		TEST(a_unit_has_one_command_at_a_time),
		TEST(a_cookie_is_good_for_one_command),
		TEST(a_successor_finds_what_was_under_way),
		TEST(a_unit_that_nobody_holds_is_freed),
		TEST(a_table_that_is_none_is_refused),
		TEST(geometries_that_overflow_are_refused),
		TEST(the_hash_sees_every_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
