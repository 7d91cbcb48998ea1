/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: each medium keeps what was written, reads zeroes elsewhere, refuses
 * what lies beyond its end, and never shows a reader half a block.
 * Method: the three media directly; files in a directory of the test's own;
 * two threads for the half blocks.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emu/media.h"

#define SIZE (UINT64_C(1) << 20)

static char dir[] = "/tmp/hf-media-XXXXXX";
static char image[64];

static struct hf_emu_medium *memory(uint64_t size_bytes)
{
	struct hf_emu_medium *m = NULL;

	assert_int_equal(hf_emu_media_memory(&m, size_bytes, NULL), 0);
	return m;
}

static int open_file(struct hf_emu_medium **m, uint64_t size_bytes, bool create,
		     struct hf_error *err)
{
	const struct hf_emu_media_file_options options = {
		.path = image,
		.size_bytes = size_bytes,
		.block_bytes = 4096,
		.create = create,
	};

	return hf_emu_media_file(m, &options, err);
}

static void reads_back_over_pieces(struct hf_emu_medium *m)
{
	static char out[40000];
	static char in[40000];
	struct iovec pieces[3] = {
		{.iov_base = in, .iov_len = 1},
		{.iov_base = in + 1, .iov_len = 30000},
		{.iov_base = in + 30001, .iov_len = 9999},
	};

	for (size_t i = 0; i < sizeof(out); i++) {
		out[i] = (char)(i * 7);
	}
	assert_int_equal(hf_emu_media_write_buf(m, 12345, out, sizeof(out)), 0);
	assert_int_equal(hf_emu_media_read(m, 12345, pieces, 3), 0);
	assert_memory_equal(in, out, sizeof(out));
}

static void memory_keeps_what_was_written(void **state)
{
	struct hf_emu_medium *m = memory(SIZE);

	(void)state;
	reads_back_over_pieces(m);
	hf_emu_media_close(m);
}

static void many_small_pieces_are_one_write(void **state)
{
	struct hf_emu_medium *m = memory(SIZE);
	struct iovec pieces[1000];
	char out[1000];
	char in[1000];

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		out[i] = (char)i;
		pieces[i].iov_base = &out[i];
		pieces[i].iov_len = 1;
	}
	assert_int_equal(hf_emu_media_write(m, 4000, pieces, 1000), 0);
	assert_int_equal(hf_emu_media_read_buf(m, 4000, in, sizeof(in)), 0);

	assert_memory_equal(in, out, sizeof(out));
	hf_emu_media_close(m);
}

static void zeroed_range_reads_zero_and_its_edges_stay(void **state)
{
	struct hf_emu_medium *m = memory(SIZE);
	static char all[SIZE];

	(void)state;
	memset(all, 1, sizeof(all));
	assert_int_equal(hf_emu_media_write_buf(m, 0, all, SIZE), 0);

	assert_int_equal(hf_emu_media_zero(m, 5000, 700000, true), 0);

	assert_int_equal(hf_emu_media_read_buf(m, 0, all, SIZE), 0);
	for (uint64_t i = 0; i < SIZE; i++) {
		assert_int_equal(all[i], i < 5000 || i >= 705000 ? 1 : 0);
	}
	hf_emu_media_close(m);
}

static void beyond_the_end_is_refused(void **state)
{
	struct hf_emu_medium *m = memory(SIZE);
	char b[2] = {0};

	(void)state;
	assert_int_equal(hf_emu_media_read_buf(m, SIZE - 1, b, 2), -ERANGE);
	assert_int_equal(hf_emu_media_write_buf(m, UINT64_MAX, b, 2), -ERANGE);
	assert_int_equal(hf_emu_media_zero(m, SIZE, 1, true), -ERANGE);
	assert_int_equal(hf_emu_media_read_buf(m, SIZE - 2, b, 2), 0);
	hf_emu_media_close(m);
}

static void shrunk_bytes_do_not_come_back(void **state)
{
	struct hf_emu_medium *m = memory(SIZE);
	char b = 9;

	(void)state;
	assert_int_equal(hf_emu_media_write_buf(m, SIZE - 1, &b, 1), 0);
	assert_int_equal(hf_emu_media_resize(m, SIZE / 2, NULL), 0);
	assert_int_equal(hf_emu_media_read_buf(m, SIZE - 1, &b, 1), -ERANGE);
	assert_int_equal(hf_emu_media_resize(m, SIZE * 2, NULL), 0);

	assert_int_equal(hf_emu_media_read_buf(m, SIZE - 1, &b, 1), 0);
	assert_int_equal(b, 0);
	hf_emu_media_close(m);
}

static void null_reads_zeroes(void **state)
{
	struct hf_emu_medium *m = NULL;
	char b[16];

	(void)state;
	assert_int_equal(hf_emu_media_null(&m, SIZE, NULL), 0);
	memset(b, 5, sizeof(b));
	assert_int_equal(hf_emu_media_write_buf(m, 0, b, sizeof(b)), 0);
	assert_int_equal(hf_emu_media_read_buf(m, 0, b, sizeof(b)), 0);

	for (size_t i = 0; i < sizeof(b); i++) {
		assert_int_equal(b[i], 0);
	}
	hf_emu_media_close(m);
}

static void impossible_sizes_are_refused(void **state)
{
	struct hf_emu_medium *m = NULL;
	struct hf_error err;

	(void)state;
	assert_int_equal(hf_emu_media_memory(&m, 0, &err), -EINVAL);
	assert_non_null(strstr(err.message, "size"));
	assert_int_equal(hf_emu_media_null(&m, UINT64_MAX, &err), -EINVAL);
	assert_int_equal(hf_emu_media_memory(&m, UINT64_C(1) << 50, &err),
			 -ENOMEM);
}

static void file_keeps_what_was_written_when_opened_again(void **state)
{
	struct hf_emu_medium *m = NULL;
	char b = 3;

	(void)state;
	assert_int_equal(open_file(&m, SIZE, true, NULL), 0);
	reads_back_over_pieces(m);
	assert_int_equal(hf_emu_media_write_buf(m, SIZE - 1, &b, 1), 0);
	assert_int_equal(hf_emu_media_flush(m), 0);
	hf_emu_media_close(m);

	assert_int_equal(open_file(&m, 0, false, NULL), 0);
	assert_int_equal(hf_emu_media_size(m), SIZE);
	b = 0;
	assert_int_equal(hf_emu_media_read_buf(m, SIZE - 1, &b, 1), 0);
	assert_int_equal(b, 3);
	hf_emu_media_close(m);
}

static void file_deallocated_gives_its_blocks_back(void **state)
{
	struct hf_emu_medium *m = NULL;
	static char ones[SIZE];
	struct stat before;
	struct stat after;

	(void)state;
	memset(ones, 1, sizeof(ones));
	assert_int_equal(open_file(&m, SIZE, true, NULL), 0);
	assert_int_equal(hf_emu_media_write_buf(m, 0, ones, SIZE), 0);
	assert_int_equal(hf_emu_media_flush(m), 0);
	assert_int_equal(stat(image, &before), 0);

	assert_int_equal(hf_emu_media_zero(m, 0, SIZE, true), 0);

	assert_int_equal(stat(image, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(hf_emu_media_read_buf(m, 0, ones, SIZE), 0);
	assert_int_equal(ones[SIZE / 2], 0);
	hf_emu_media_close(m);
}

static void file_in_use_is_refused(void **state)
{
	struct hf_emu_medium *first = NULL;
	struct hf_emu_medium *second = NULL;
	struct hf_error err;

	(void)state;
	assert_int_equal(open_file(&first, SIZE, true, NULL), 0);

	assert_int_equal(open_file(&second, SIZE, true, &err), -EBUSY);
	assert_non_null(strstr(err.message, image));

	hf_emu_media_close(first);
	assert_int_equal(open_file(&second, SIZE, true, NULL), 0);
	hf_emu_media_close(second);
}

static void file_of_another_geometry_is_refused(void **state)
{
	struct hf_emu_medium *m = NULL;
	struct hf_error err;

	(void)state;
	assert_int_equal(truncate(image, SIZE + 512), 0);
	assert_int_equal(open_file(&m, 0, false, &err), -EINVAL);
	assert_non_null(strstr(err.message, "multiple"));
	assert_int_equal(open_file(&m, 2 * SIZE, false, &err), -EINVAL);
	assert_non_null(strstr(err.message, "less than"));
	assert_int_equal(truncate(image, 0), 0);
	assert_int_equal(open_file(&m, 0, false, &err), -EINVAL);
	assert_non_null(strstr(err.message, "empty"));
	/* Nothing is made of a size that cannot be. */
	assert_int_equal(open_file(&m, 1000, true, &err), -EINVAL);
	struct stat st;
	assert_int_equal(stat(image, &st), 0);
	assert_int_equal(st.st_size, 0);
}

static void what_is_no_file_is_refused(void **state)
{
	struct hf_emu_medium *m = NULL;
	struct hf_error err;
	struct hf_emu_media_file_options o = {.path = "/dev/null"};

	(void)state;
	assert_int_equal(hf_emu_media_file(&m, &o, &err), -EINVAL);
	assert_non_null(strstr(err.message, "/dev/null"));
	o.path = "/tmp/hf-no-such-dir/image";
	assert_int_equal(hf_emu_media_file(&m, &o, &err), -ENOENT);
	o.path = dir;
	assert_true(hf_emu_media_file(&m, &o, &err) < 0);
}

struct writer {
	struct hf_emu_medium *m;
	bool stop;
};

static void *write_for_ever(void *arg)
{
	struct writer *w = arg;
	static char block[8192];

	for (char v = 1; !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE); v++) {
		memset(block, v, sizeof(block));
		if (hf_emu_media_write_buf(w->m, 4096 * 1023, block,
					   sizeof(block)) != 0) {
			break;
		}
	}
	return NULL;
}

/* The range is where the table of stripes wraps. */
static void a_reader_never_sees_half_a_block(void **state)
{
	struct writer w = {.m = memory(UINT64_C(16) << 20)};
	pthread_t thread;
	static char block[8192];

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, write_for_ever, &w), 0);
	for (int i = 0; i < 20000; i++) {
		assert_int_equal(hf_emu_media_read_buf(w.m, 4096 * 1023, block,
						       sizeof(block)),
				 0);
		for (int half = 0; half < 2; half++) {
			const char *p = block + half * 4096;

			assert_memory_equal(p, p + 1, 4095);
		}
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	hf_emu_media_close(w.m);
}

static int fresh_image(void **state)
{
	(void)state;
	int fd = open(image, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0) {
		return -1;
	}
	close(fd);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_keeps_what_was_written),
		cmocka_unit_test(many_small_pieces_are_one_write),
		cmocka_unit_test(zeroed_range_reads_zero_and_its_edges_stay),
		cmocka_unit_test(beyond_the_end_is_refused),
		cmocka_unit_test(shrunk_bytes_do_not_come_back),
		cmocka_unit_test(null_reads_zeroes),
		cmocka_unit_test(impossible_sizes_are_refused),
		cmocka_unit_test_setup(
			file_keeps_what_was_written_when_opened_again,
			fresh_image),
		cmocka_unit_test_setup(file_deallocated_gives_its_blocks_back,
				       fresh_image),
		cmocka_unit_test_setup(file_in_use_is_refused, fresh_image),
		cmocka_unit_test_setup(file_of_another_geometry_is_refused,
				       fresh_image),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(a_reader_never_sees_half_a_block),
	};

	if (mkdtemp(dir) == NULL) {
		return 1;
	}
	snprintf(image, sizeof(image), "%s/image", dir);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(image);
	rmdir(dir);
	return failed;
}
