/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: pieces do not overlap, and together are no more than was allowed.
 * Method: many sizes, each piece filled with a number of its own.
 */
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "state/arena.h"
#include "unit.h"

static void pieces_are_apart_and_aligned(void **state)
{
	enum { COUNT = 300 };
	struct hf_arena arena;
	uint8_t *pieces[COUNT];

	(void)state;
	hf_arena_init(&arena, SIZE_MAX);
	for (size_t i = 0; i < COUNT; i++) {
		pieces[i] = hf_arena_take(&arena, i * i);
		assert_non_null(pieces[i]);
		assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t),
				 0);
		memset(pieces[i], (int)i, i * i);
	}
	for (size_t i = 0; i < COUNT; i++) {
		for (size_t at = 0; at < i * i; at++) {
			assert_int_equal(pieces[i][at], (uint8_t)i);
		}
	}
	hf_arena_fini(&arena);
}

static void what_is_more_than_allowed_is_refused(void **state)
{
	struct hf_arena arena;

	(void)state;
	hf_arena_init(&arena, 4096);
	assert_null(hf_arena_take(&arena, 4097));
	assert_null(hf_arena_take(&arena, SIZE_MAX));
	assert_null(hf_arena_take(&arena, SIZE_MAX - 7));
	assert_non_null(hf_arena_take(&arena, 4000));
	assert_null(hf_arena_take(&arena, 97));
	assert_non_null(hf_arena_take(&arena, 96));
	assert_null(hf_arena_take(&arena, 1));
	hf_arena_fini(&arena);
	hf_arena_fini(&arena); /* empty */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_apart_and_aligned),
		cmocka_unit_test(what_is_more_than_allowed_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
