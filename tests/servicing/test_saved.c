/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a saved state of any version before is still read; one that is cut
 * short, damaged, of another controller or from the future is refused with a
 * sentence that says so.
 * Method: golden files of a ledger that is the same each time, whole and bent.
 * With --write FILE, the golden file of this version is made.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "fixed_ledger.h"
#include "state/saved.h"

static const char *golden_dir;

struct fixture {
	struct hf_ledger ledger;
	uint8_t *bytes;
	size_t len;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(fixed_ledger_create(&f->ledger), 0);
	assert_int_equal(hf_saved_encode(&f->ledger, &f->bytes, &f->len, NULL),
			 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->bytes);
	hf_ledger_close(&f->ledger);
	free(f);
	return 0;
}

static void assert_refused(struct fixture *f, int code, const char *word)
{
	struct hf_error err = {.message = ""};

	assert_int_equal(hf_saved_verify(f->bytes, f->len, &f->ledger, &err),
			 code);
	if (strstr(err.message, word) == NULL) {
		fail_msg("'%s' does not say '%s'", err.message, word);
	}
}

/* The newest is the last. */
static const char *const golden_names[] = {"state-1.bin",
					   "state-1-restores.bin"};

static size_t read_golden(size_t number, uint8_t *bytes, size_t max)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", golden_dir, golden_names[number]);
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	size_t len = fread(bytes, 1, max, file);
	fclose(file);
	return len;
}

static void golden_states_are_read(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[1 << 16];
	struct hf_error err = {.message = ""};

	for (size_t i = 0; i < HF_ARRAY_LEN(golden_names); i++) {
		size_t len = read_golden(i, bytes, sizeof(bytes));

		if (hf_saved_verify(bytes, len, &f->ledger, &err) != 0) {
			fail_msg("%s: %s", golden_names[i], err.message);
		}
	}
}

/* What is saved in another way is another golden file, beside those there
 * are: make it with --write. */
static void the_newest_golden_state_is_what_is_saved(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[1 << 16];

	size_t len = read_golden(HF_ARRAY_LEN(golden_names) - 1, bytes,
				 sizeof(bytes));

	assert_int_equal(len, f->len);
	assert_memory_equal(bytes, f->bytes, len);
}

static void what_was_just_saved_is_read(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(hf_saved_verify(f->bytes, f->len, &f->ledger, NULL),
			 0);
}

/* What is in the ledger by now is another story, and nothing is wrong. */
static void what_a_successor_restored_from_is_old(void **state)
{
	struct fixture *f = *state;

	free(f->bytes);
	f->ledger.header->restores = 5;
	assert_int_equal(hf_saved_encode(&f->ledger, &f->bytes, &f->len, NULL),
			 0);
	f->ledger.header->restores = 6;
	hf_ledger_queue_view(&f->ledger, 1).queue->sq_recorded++;
	assert_refused(f, -ESTALE, "has had 1 successors since");
	f->ledger.header->restores = 4;
	assert_refused(f, -EINVAL, "successors that the ledger does not know");
}

static void every_cut_is_refused(void **state)
{
	struct fixture *f = *state;
	uint32_t taken = 0;

	/* A cut right behind a last field that may be missing is no damage. */
	for (size_t len = 0; len < f->len; len++) {
		struct hf_error err = {.message = ""};

		if (hf_saved_verify(f->bytes, len, &f->ledger, &err) == 0) {
			taken++;
		} else {
			assert_true(strlen(err.message) > 20);
		}
	}
	assert_true(taken <= 8);
}

static void another_controller_is_refused(void **state)
{
	struct fixture *f = *state;

	f->ledger.header->identify[4]++; /* the serial number */
	assert_refused(f, -EINVAL, "another controller");
}

static void another_device_is_refused(void **state)
{
	struct fixture *f = *state;

	f->ledger.header->device_id[3]++;
	assert_refused(f, -EINVAL, "another device");
}

static void another_geometry_is_refused(void **state)
{
	struct fixture *f = *state;

	hf_ledger_queue_view(&f->ledger, 2).queue->entries = 32;
	assert_refused(f, -EINVAL, "queue 2's size");
}

static void another_position_is_refused(void **state)
{
	struct fixture *f = *state;

	hf_ledger_queue_view(&f->ledger, 1).queue->sq_recorded++;
	assert_refused(f, -EINVAL, "queue 1's submission tail");
}

static void whatever_else_differs_is_refused(void **state)
{
	struct fixture *f = *state;
	struct hf_ledger_view view = hf_ledger_queue_view(&f->ledger, 1);

	f->ledger.header->capabilities++;
	assert_refused(f, -EINVAL, "CAP or VS");
	f->ledger.header->capabilities--;
	f->ledger.header->version_register++;
	assert_refused(f, -EINVAL, "CAP or VS");
	f->ledger.header->version_register--;
	view.queue->sq_head++;
	assert_refused(f, -EINVAL, "queue 1's submission head");
	view.queue->sq_head--;
	view.slots[1].cookie++;
	assert_refused(f, -EINVAL, "queue 1's cookie of a command");
	view.slots[1].cookie--;
	assert_int_equal(hf_saved_verify(f->bytes, f->len, &f->ledger, NULL),
			 0);
}

/* Each fact of a queue that the state and the ledger both have. */
static void another_queue_is_refused(void **state)
{
	static const struct {
		const char *word;
		size_t offset;
		size_t bytes;
	} facts[] = {
#define FACT(word, field)                                                      \
	{word, offsetof(struct hf_ledger_queue, field),                        \
	 sizeof(((struct hf_ledger_queue *)0)->field)}
		FACT("completion head", cq_head), FACT("identifier", qid),
		FACT("memory", len_bytes),        FACT("CPU", cpu),
		FACT("interrupt", vector),
#undef FACT
	};
	struct fixture *f = *state;
	struct hf_ledger_queue *queue =
		hf_ledger_queue_view(&f->ledger, 1).queue;

	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		uint8_t *field = (uint8_t *)queue + facts[i].offset;

		(*field)++;
		assert_refused(f, -EINVAL, facts[i].word);
		(*field)--;
	}
	queue->iova += 4096;
	assert_refused(f, -EINVAL, "address");
	queue->iova -= 4096;
	hf_ledger_queue_view(&f->ledger, 1).slots[1].sqe.opcode++;
	assert_refused(f, -EINVAL, "command number");
	hf_ledger_queue_view(&f->ledger, 1).slots[1].sqe.opcode--;
	f->ledger.header->shadow_iova ^= 4096;
	assert_refused(f, -EINVAL, "shadow doorbells");
	f->ledger.header->shadow_iova ^= 4096;
	assert_int_equal(hf_saved_verify(f->bytes, f->len, &f->ledger, NULL),
			 0);
}

/* A successor of another version reads it where it was written. */
static void the_ledger_is_laid_out_as_ever(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct hf_ledger_header) -
				 HF_LEDGER_NAMESPACES_MAX *
					 sizeof(struct hf_ledger_namespace),
			 8200);
	assert_int_equal(sizeof(struct hf_ledger_namespace), 4352);
	assert_int_equal(offsetof(struct hf_ledger_header, queues_offset), 48);
	assert_int_equal(offsetof(struct hf_ledger_header, ready), 56);
	assert_int_equal(offsetof(struct hf_ledger_header, identify), 232);
	assert_int_equal(offsetof(struct hf_ledger_queue, sq_recorded), 32);
	assert_int_equal(offsetof(struct hf_ledger_queue, cq_head), 48);
	assert_int_equal(offsetof(struct hf_ledger_slot, cookie), 64);
	assert_int_equal(offsetof(struct hf_ledger_slot, status), 88);
	assert_int_equal(offsetof(struct hf_ledger_slot, state), 100);
	assert_int_equal(offsetof(struct hf_ledger_slot, position), 104);
	assert_int_equal(offsetof(struct hf_ledger_record, issued_blocks), 24);
	assert_int_equal(offsetof(struct hf_ledger_record, in_use), 48);
}

static void a_missing_command_is_refused(void **state)
{
	struct fixture *f = *state;

	hf_ledger_queue_view(&f->ledger, 1).slots[1].state = HF_SLOT_FREE;
	assert_refused(f, -EINVAL, "commands under way");
}

static void a_missing_queue_is_refused(void **state)
{
	struct fixture *f = *state;

	hf_ledger_queue_view(&f->ledger, 2).queue->state = HF_QUEUE_FREE;
	assert_refused(f, -EINVAL, "I/O queues");
}

/* Protocol Buffers: a field that comes again replaces the one before. */
static void a_state_from_the_future_is_refused(void **state)
{
	static const uint8_t must_understand_2[] = {0xa8, 0x06, 0x02};
	struct fixture *f = *state;

	f->bytes = realloc(f->bytes, f->len + sizeof(must_understand_2));
	memcpy(f->bytes + f->len, must_understand_2, sizeof(must_understand_2));
	f->len += sizeof(must_understand_2);
	assert_refused(f, -EPROTONOSUPPORT, "version 2");
}

static void a_field_that_is_new_is_passed_over(void **state)
{
	static const uint8_t field_999[] = {0xb8, 0x3e, 0x07};
	struct fixture *f = *state;

	f->bytes = realloc(f->bytes, f->len + sizeof(field_999));
	memcpy(f->bytes + f->len, field_999, sizeof(field_999));
	f->len += sizeof(field_999);
	assert_int_equal(hf_saved_verify(f->bytes, f->len, &f->ledger, NULL),
			 0);
}

/* A namespace of two bytes becomes a struct: not for as many as there may be
 * bytes. */
static void a_state_that_would_need_much_memory_is_refused(void **state)
{
	struct fixture *f = *state;
	const size_t len = 1 << 20;

	free(f->bytes);
	f->bytes = malloc(len);
	assert_non_null(f->bytes);
	f->len = len;
	for (size_t i = 0; i < len; i += 2) {
		f->bytes[i] = 3 << 3 | 2; /* field 3, of a length */
		f->bytes[i + 1] = 0;
	}
	assert_refused(f, -EINVAL, "does not parse");
}

static void a_ledger_that_is_cut_short_is_refused(void **state)
{
	struct fixture *f = *state;
	struct hf_ledger other;
	struct hf_error err = {.message = ""};
	int fd = memfd_create("short", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	/* The real one is sealed against it. */
	assert_int_equal(ftruncate(f->ledger.fd, 4096), -1);
	assert_int_equal(pwrite(fd, f->ledger.header, 4096, 0), 4096);
	assert_int_equal(hf_ledger_adopt(&other, fd, &err), -EINVAL);
	assert_non_null(strstr(err.message, "not sealed"));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(hf_ledger_adopt(&other, fd, &err), -EINVAL);
	assert_non_null(strstr(err.message, "too small"));
	close(fd);
}

static int write_golden(const char *path)
{
	struct hf_ledger ledger;
	uint8_t *bytes;
	size_t len;
	FILE *file = fopen(path, "wb");

	if (file == NULL || fixed_ledger_create(&ledger) != 0 ||
	    hf_saved_encode(&ledger, &bytes, &len, NULL) != 0 ||
	    fwrite(bytes, 1, len, file) != len) {
		return 1;
	}
	free(bytes);
	hf_ledger_close(&ledger);
	return fclose(file);
}

/* A ledger may be damaged, too: nothing is walked beyond its room. */
static void a_ledger_of_more_slots_than_it_has_is_refused(void **state)
{
	struct fixture *f = *state;
	struct hf_error err = {.message = ""};
	uint8_t *bytes;
	size_t len;

	struct hf_ledger_queue *admin =
		hf_ledger_queue_view(&f->ledger, 0).queue;

	admin->slot_count = UINT32_MAX;
	admin->state = HF_QUEUE_FREE;
	assert_int_equal(hf_saved_encode(&f->ledger, &bytes, &len, &err),
			 -EINVAL);
	assert_non_null(strstr(err.message, "queue 0 has 4294967295 slots"));
	admin->slot_count = 0;
	hf_ledger_queue_view(&f->ledger, 1).queue->slot_count = UINT32_MAX;
	assert_int_equal(hf_saved_verify(f->bytes, f->len, &f->ledger, &err),
			 -EINVAL);
	assert_non_null(strstr(err.message, "queue 1 has 4294967295 slots"));
	assert_int_equal(hf_saved_encode(&f->ledger, &bytes, &len, &err),
			 -EINVAL);
	assert_null(bytes);
}

/* Whoever was handed its descriptor can write to it, whenever that is. */
static void a_ledger_is_unmapped_by_what_was_mapped(void **state)
{
	struct fixture *f = *state;
	struct hf_ledger heir;
	int fd = fcntl(f->ledger.fd, F_DUPFD_CLOEXEC, 0);
	unsigned char there;

	assert_int_equal(hf_ledger_adopt(&heir, fd, NULL), 0);
	uint8_t *last = (uint8_t *)heir.header + heir.len_bytes - 4096;
	assert_int_equal(mincore(last, 4096, &there), 0);
	heir.header->total_bytes = 4096;

	hf_ledger_close(&heir);

	assert_int_equal(mincore(last, 4096, &there), -1);
	assert_int_equal(errno, ENOMEM);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(golden_states_are_read),
		TEST(the_newest_golden_state_is_what_is_saved),
		TEST(what_was_just_saved_is_read),
		TEST(what_a_successor_restored_from_is_old),
		TEST(every_cut_is_refused),
		TEST(another_controller_is_refused),
		TEST(another_device_is_refused),
		TEST(another_geometry_is_refused),
		TEST(another_position_is_refused),
		TEST(whatever_else_differs_is_refused),
		TEST(the_ledger_is_laid_out_as_ever),
		TEST(another_queue_is_refused),
		TEST(a_missing_command_is_refused),
		TEST(a_missing_queue_is_refused),
		TEST(a_state_from_the_future_is_refused),
		TEST(a_field_that_is_new_is_passed_over),
		TEST(a_state_that_would_need_much_memory_is_refused),
		TEST(a_ledger_that_is_cut_short_is_refused),
		TEST(a_ledger_of_more_slots_than_it_has_is_refused),
		TEST(a_ledger_is_unmapped_by_what_was_mapped),
	};

	if (argc == 3 && strcmp(argv[1], "--write") == 0) {
		return write_golden(argv[2]);
	}
	if (argc != 2) {
		fprintf(stderr, "usage: test-saved GOLDEN_DIRECTORY\n");
		return 2;
	}
	golden_dir = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
