/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what was written is seen at once, survives the loss of power exactly
 * when it was flushed or forced, and nothing older ever comes back.
 * Method: a cache over a memory medium, against a plain array as the model;
 * the medium itself shows what would be left.
 */
#include "cmocka_all.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "emu/cache.h"

#define SIZE   (UINT64_C(4) << 20)
#define SECTOR 512u

struct fixture {
	struct hf_emu_medium *medium;
	struct hf_emu_cache *cache;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL || hf_emu_media_memory(&f->medium, SIZE, NULL) != 0 ||
	    hf_emu_cache_create(&f->cache, f->medium) != 0) {
		return -1;
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hf_emu_cache_destroy(f->cache);
	hf_emu_media_close(f->medium);
	free(f);
	return 0;
}

static void put(struct fixture *f, uint64_t sector, uint32_t count, char value,
		bool through)
{
	static char buf[256 * SECTOR];
	struct iovec iov = {.iov_base = buf, .iov_len = count * SECTOR};

	memset(buf, value, iov.iov_len);
	assert_int_equal(
		hf_emu_cache_write(f->cache, sector * SECTOR, &iov, 1, through),
		0);
}

/* The value of a sector that has one, -1 for a mix. */
static int value_of(const char *sector)
{
	return memcmp(sector, sector + 1, SECTOR - 1) == 0 ? *sector : -1;
}

static int seen(struct fixture *f, uint64_t sector)
{
	char buf[SECTOR];
	struct iovec iov = {.iov_base = buf, .iov_len = SECTOR};

	assert_int_equal(hf_emu_cache_read(f->cache, sector * SECTOR, &iov, 1),
			 0);
	return value_of(buf);
}

static int on_medium(struct fixture *f, uint64_t sector)
{
	char buf[SECTOR];

	assert_int_equal(
		hf_emu_media_read_buf(f->medium, sector * SECTOR, buf, SECTOR),
		0);
	return value_of(buf);
}

static void unflushed_write_is_seen_and_lost(void **state)
{
	struct fixture *f = *state;

	put(f, 10, 20, 7, false);
	assert_int_equal(seen(f, 10), 7);
	assert_int_equal(seen(f, 29), 7);
	assert_int_equal(seen(f, 30), 0);
	assert_true(hf_emu_cache_dirty(f->cache) > 0);

	hf_emu_cache_lose(f->cache);

	assert_int_equal(seen(f, 10), 0);
	assert_int_equal(hf_emu_cache_dirty(f->cache), 0);
}

static void flushed_write_survives(void **state)
{
	struct fixture *f = *state;

	put(f, 3, 30, 7, false);
	assert_int_equal(on_medium(f, 3), 0);
	assert_int_equal(hf_emu_cache_flush(f->cache), 0);
	hf_emu_cache_lose(f->cache);

	assert_int_equal(seen(f, 2), 0);
	assert_int_equal(seen(f, 3), 7);
	assert_int_equal(seen(f, 32), 7);
	assert_int_equal(seen(f, 33), 0);
}

static void forced_write_survives_and_its_neighbour_does_not(void **state)
{
	struct fixture *f = *state;

	put(f, 8, 8, 1, false);
	put(f, 10, 2, 2, true);
	assert_int_equal(seen(f, 9), 1);
	assert_int_equal(seen(f, 10), 2);

	hf_emu_cache_lose(f->cache);

	assert_int_equal(seen(f, 9), 0);
	assert_int_equal(seen(f, 10), 2);
	assert_int_equal(seen(f, 11), 2);
	assert_int_equal(seen(f, 12), 0);
}

static void forced_write_is_not_undone_by_a_flush(void **state)
{
	struct fixture *f = *state;

	put(f, 0, 8, 1, false);
	put(f, 0, 8, 2, true);
	assert_int_equal(hf_emu_cache_flush(f->cache), 0);

	assert_int_equal(seen(f, 0), 2);
}

static void zeroes_are_not_undone_by_a_flush(void **state)
{
	struct fixture *f = *state;

	put(f, 0, 24, 1, false);
	assert_int_equal(
		hf_emu_cache_zero(f->cache, 4 * SECTOR, 10 * SECTOR, true), 0);
	assert_int_equal(hf_emu_cache_flush(f->cache), 0);

	assert_int_equal(seen(f, 3), 1);
	assert_int_equal(seen(f, 4), 0);
	assert_int_equal(seen(f, 13), 0);
	assert_int_equal(seen(f, 14), 1);
}

static void a_full_cache_writes_through(void **state)
{
	struct fixture *f = *state;
	struct hf_emu_medium *big = NULL;
	struct hf_emu_cache *cache = NULL;
	uint64_t blocks = 20000;
	char buf[4096];
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};

	(void)f;
	assert_int_equal(hf_emu_media_memory(&big, blocks * 4096, NULL), 0);
	assert_int_equal(hf_emu_cache_create(&cache, big), 0);
	memset(buf, 5, sizeof(buf));
	for (uint64_t i = 0; i < blocks; i++) {
		assert_int_equal(
			hf_emu_cache_write(cache, i * 4096, &iov, 1, false), 0);
	}
	assert_true(hf_emu_cache_dirty(cache) < blocks);

	assert_int_equal(hf_emu_cache_read(cache, (blocks - 1) * 4096, &iov, 1),
			 0);
	assert_int_equal(buf[0], 5);
	assert_int_equal(hf_emu_cache_flush(cache), 0);
	assert_int_equal(hf_emu_cache_dirty(cache), 0);
	assert_int_equal(hf_emu_media_read_buf(big, 0, buf, sizeof(buf)), 0);
	assert_int_equal(buf[4095], 5);

	hf_emu_cache_destroy(cache);
	hf_emu_media_close(big);
}

/* One random step on cache and model alike. */
static void step(struct fixture *f, char *now, char *durable)
{
	uint64_t sectors = 512;
	uint64_t at = (uint64_t)rand() % sectors;
	uint32_t count = (uint32_t)((uint64_t)rand() % (sectors - at) % 40 + 1);
	char value = (char)(rand() % 100 + 1);

	switch (rand() % 8) {
	case 0:
		assert_int_equal(hf_emu_cache_flush(f->cache), 0);
		memcpy(durable, now, sectors);
		break;
	case 1:
		hf_emu_cache_lose(f->cache);
		memcpy(now, durable, sectors);
		break;
	case 2:
		assert_int_equal(hf_emu_cache_zero(f->cache, at * SECTOR,
						   count * SECTOR, true),
				 0);
		memset(now + at, 0, count);
		memset(durable + at, 0, count);
		break;
	case 3:
		put(f, at, count, value, true);
		memset(now + at, value, count);
		memset(durable + at, value, count);
		break;
	default:
		put(f, at, count, value, false);
		memset(now + at, value, count);
		break;
	}
}

static void random_steps_match_the_model(void **state)
{
	struct fixture *f = *state;
	char now[512] = {0};
	char durable[512] = {0};

	srand(1);
	for (int i = 0; i < 4000; i++) {
		step(f, now, durable);

		uint64_t at = (uint64_t)rand() % 512;
		assert_int_equal(seen(f, at), now[at]);
		assert_int_equal(on_medium(f, at), durable[at]);
	}
}

static void *flush_for_ever(void *arg)
{
	struct fixture *f = arg;

	for (int i = 0; i < 300; i++) {
		if (hf_emu_cache_flush(f->cache) != 0) {
			break;
		}
	}
	return NULL;
}

static void a_flush_alongside_never_shows_old_data(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, flush_for_ever, f), 0);
	for (int i = 0; i < 20000; i++) {
		uint64_t at = (uint64_t)(i % 64) * 8;
		char value = (char)(i % 120 + 1);

		put(f, at, 8, value, i % 5 == 0);
		assert_int_equal(seen(f, at), value);
		assert_int_equal(seen(f, at + 7), value);
	}
	pthread_join(thread, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unflushed_write_is_seen_and_lost),
		TEST(flushed_write_survives),
		TEST(forced_write_survives_and_its_neighbour_does_not),
		TEST(forced_write_is_not_undone_by_a_flush),
		TEST(zeroes_are_not_undone_by_a_flush),
		TEST(a_full_cache_writes_through),
		TEST(random_steps_match_the_model),
		TEST(a_flush_alongside_never_shows_old_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
