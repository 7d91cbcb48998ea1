/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a set of descriptors arrives as it was sent, however many there are;
 * what is no set is refused with a sentence, and costs no descriptor.
 * Method: a pair of sockets, memfds that know their number, messages by hand.
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "holdfast/keeper.h"
#include "open_fds.h"
#include "runtime/carry_wire.h"

#define MANY 300u

static int numbered_memfd(uint32_t number)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, &number, sizeof(number)), sizeof(number));
	return fd;
}

static struct hf_carry *make_set(uint32_t count)
{
	struct hf_carry *carry = hf_carry_new(true);
	char name[32];

	assert_non_null(carry);
	for (uint32_t i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "fd-%u", i);
		assert_int_equal(
			hf_carry_add(carry, name, numbered_memfd(i), NULL), 0);
	}
	assert_int_equal(hf_fdset_put_text(&carry->set, NULL, "key", "value"),
			 0);
	return carry;
}

static void assert_is_set(const struct hf_carry *carry, uint32_t count)
{
	char text[16];

	assert_int_equal(hf_carry_count(carry), count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t number = UINT32_MAX;
		int fd = hf_fdset_find(&carry->set, "fd-%u", i);

		assert_int_equal(pread(fd, &number, sizeof(number), 0),
				 sizeof(number));
		assert_int_equal(number, i);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	}
	assert_int_equal(
		hf_fdset_get_text(&carry->set, "key", text, sizeof(text)), 0);
	assert_string_equal(text, "value");
}

static void three_hundred_descriptors_arrive(void **state)
{
	uint32_t before = open_fds();
	struct hf_carry *carry = make_set(MANY);
	struct hf_carry *arrived;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);

	assert_int_equal(hf_carry_send(carry, ends[0], NULL), 0);
	assert_int_equal(hf_carry_receive(&arrived, ends[1], 1000, NULL), 0);

	assert_is_set(arrived, MANY);
	hf_carry_free(arrived);
	hf_carry_free(carry);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(open_fds(), before);
}

static void an_empty_set_arrives(void **state)
{
	struct hf_carry *carry = hf_carry_new(true);
	struct hf_carry *arrived;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	assert_int_equal(hf_carry_send(carry, ends[0], NULL), 0);
	assert_int_equal(hf_carry_receive(&arrived, ends[1], 1000, NULL), 0);
	assert_int_equal(hf_carry_count(arrived), 0);
	hf_carry_free(arrived);
	hf_carry_free(carry);
	close(ends[0]);
	close(ends[1]);
}

/* The first message of a set of two, as it should be. */
struct first {
	uint64_t magic;
	uint32_t version;
	uint32_t count;
	uint32_t text_bytes;
	uint32_t reserved;
	char names[2][HF_FDSET_NAME_BYTES];
	char text[8];
};

static struct first good_first(void)
{
	struct first first = {
		.magic = UINT64_C(0x3154455346484446),
		.version = 1,
		.count = 2,
		.text_bytes = 8,
		.names = {"a", "b"},
	};

	memcpy(first.text, "k=value\n", sizeof(first.text));
	return first;
}

struct part {
	uint64_t magic;
	uint32_t first;
	uint32_t count;
};

static struct part good_part(void)
{
	return (struct part){.magic = UINT64_C(0x3154525046484446), .count = 2};
}

/* What the receiver makes of these messages, and of the end behind them. */
static int outcome(const void *first, size_t first_bytes, uint32_t first_fds,
		   const struct part *part, uint32_t part_fds)
{
	uint32_t before = open_fds();
	int fds[3] = {0, 1, 2};
	struct hf_carry *arrived;
	struct hf_error err = {.message = ""};
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	assert_int_equal(hf_wire_write_wait(ends[0], first, first_bytes, fds,
					    first_fds, 0),
			 0);
	if (part != NULL) {
		assert_int_equal(hf_wire_write_wait(ends[0], part,
						    sizeof(*part), fds,
						    part_fds, 0),
				 0);
	}
	close(ends[0]);
	int rc = hf_carry_receive(&arrived, ends[1], 1000, &err);
	if (rc == 0) {
		hf_carry_free(arrived);
	} else {
		assert_true(strlen(err.message) > 20);
	}
	close(ends[1]);
	assert_int_equal(open_fds(), before);
	return rc;
}

static void a_set_by_hand_is_taken(void **state)
{
	struct first first = good_first();
	struct part part = good_part();

	(void)state;
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 2), 0);
}

static void what_is_no_set_is_refused(void **state)
{
	struct part part = good_part();
	struct first first;

	(void)state;
	first = good_first();
	first.magic++;
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 2), -EPROTO);
	first = good_first();
	assert_int_equal(outcome(&first, 7, 0, &part, 2), -EPROTO);
	assert_int_equal(outcome(&first, sizeof(first) - 1, 0, &part, 2),
			 -EPROTO);
	assert_int_equal(outcome(&first, sizeof(first), 1, &part, 2), -EPROTO);
	first.count = UINT32_MAX;
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 2), -EPROTO);
	first = good_first();
	first.text_bytes = UINT32_MAX - 96;
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 2), -EPROTO);
	first = good_first();
	memcpy(first.names[1], "a", 2);
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 2), -EPROTO);
	memcpy(first.names[1], "../b", 5);
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 2), -EPROTO);
	memset(first.names[1], 'x', sizeof(first.names[1]));
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 2), -EPROTO);
	first = good_first();
	first.text[3] = '\0';
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 2), -EPROTO);
	first = good_first();
	first.text[7] = 'x';
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 2), -EPROTO);
}

static void a_version_from_the_future_is_told_apart(void **state)
{
	struct first first = good_first();
	struct part part = good_part();

	(void)state;
	first.version = 2;
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 2),
			 -EPROTONOSUPPORT);
}

static void parts_that_do_not_fit_are_refused(void **state)
{
	struct first first = good_first();
	struct part part = good_part();

	(void)state;
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 3), -EPROTO);
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 0), -EPROTO);
	part.count = 3;
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 3), -EPROTO);
	part = good_part();
	part.first = 1;
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 2), -EPROTO);
	part = good_part();
	part.magic = 0;
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 2), -EPROTO);
	part = good_part();
	part.count = 1;
	assert_int_equal(outcome(&first, sizeof(first), 0, &part, 1),
			 -ECONNRESET);
	assert_int_equal(outcome(&first, sizeof(first), 0, NULL, 0),
			 -ECONNRESET);
}

static void a_silent_sender_is_not_waited_for(void **state)
{
	struct hf_carry *arrived;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	assert_int_equal(hf_carry_receive(&arrived, ends[1], 10, NULL),
			 -ETIMEDOUT);
	close(ends[0]);
	close(ends[1]);
}

static void the_saved_state_travels_as_a_file(void **state)
{
	struct hf_carry *carry = make_set(1);
	uint8_t *bytes;
	size_t len;
	int fd;

	(void)state;
	assert_int_equal(hf_carry_state(carry, &bytes, &len, NULL), -ENOENT);
	assert_int_equal(
		hf_carry_add_state(carry, (const uint8_t *)"abc", 3, &fd, NULL),
		0);
	assert_int_equal(fd, -1);
	assert_int_equal(hf_carry_state(carry, &bytes, &len, NULL), 0);
	assert_int_equal(len, 3);
	assert_memory_equal(bytes, "abc", 3);
	free(bytes);
	hf_carry_free(carry);
}

static struct hf_carry *set_with_room(struct hf_state_room **room)
{
	struct hf_carry *carry = hf_carry_new(false);

	assert_int_equal(hf_state_room_open(room, 4096, NULL), 0);
	assert_int_equal(hf_carry_add_room(carry, *room, NULL), 0);
	return carry;
}

static void assert_state(const struct hf_carry *carry, const void *expected,
			 size_t expected_len)
{
	uint8_t *bytes;
	size_t len;

	assert_int_equal(hf_carry_state(carry, &bytes, &len, NULL), 0);
	assert_int_equal(len, expected_len);
	assert_memory_equal(bytes, expected, len);
	free(bytes);
}

static void the_room_for_a_state_is_made_ahead(void **state)
{
	struct hf_state_room *room;
	struct hf_carry *carry = set_with_room(&room);
	uint8_t *bytes;
	size_t len;

	(void)state;
	assert_int_equal(hf_carry_state(carry, &bytes, &len, NULL), -ENOENT);
	assert_int_equal(hf_carry_fill_room(carry, room, (const uint8_t *)"abc",
					    3, NULL),
			 0);
	assert_state(carry, "abc", 3);
	/* The same where it is mapped. */
	hf_carry_prepare(carry);
	assert_state(carry, "abc", 3);
	hf_carry_free(carry);
	hf_state_room_close(room);
}

/* No descriptor, and no memory as large as that. */
static void room_that_there_is_not_is_an_error(void **state)
{
	struct hf_state_room *room = NULL;
	struct hf_error err = {.message = ""};
	struct rlimit before;
	uint32_t open = open_fds();

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	const struct rlimit low = {.rlim_cur = 0, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	int rc = hf_state_room_open(&room, 4096, &err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(rc, -EMFILE);
	assert_non_null(strstr(err.message, "no room for a saved state of "
					    "4096 bytes"));
	assert_true(hf_state_room_open(&room, SIZE_MAX / 2, &err) < 0);
	assert_non_null(strstr(err.message, "cannot be mapped"));
	assert_null(room);
	assert_int_equal(open_fds(), open);
}

static void a_state_larger_than_its_room_has_a_file(void **state)
{
	struct hf_state_room *room;
	struct hf_carry *carry = set_with_room(&room);
	uint8_t *bytes = calloc(1, 10000);

	(void)state;
	bytes[9999] = 7;
	assert_int_equal(hf_carry_fill_room(carry, room, bytes, 10000, NULL),
			 0);
	assert_state(carry, bytes, 10000);
	free(bytes);
	hf_carry_free(carry);
	hf_state_room_close(room);
}

/* The text comes from whoever sent the set. */
static void more_than_there_is_room_for_is_refused(void **state)
{
	static const char *const lies[] = {"0", "4097", "99999999999", "-1",
					   "x"};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct hf_state_room *room;
		struct hf_carry *carry = set_with_room(&room);
		uint8_t *bytes;
		size_t len;

		assert_int_equal(hf_fdset_put_text(&carry->set, NULL,
						   "state-bytes", "%s",
						   lies[i]),
				 0);
		for (uint32_t mapped = 0; mapped < 2; mapped++) {
			assert_int_equal(
				hf_carry_state(carry, &bytes, &len, NULL),
				-EPROTO);
			hf_carry_prepare(carry);
		}
		hf_carry_free(carry);
		hf_state_room_close(room);
	}
}

/* Neither an empty file, nor a huge one, nor what is none is read. */
static void what_cannot_be_a_state_is_refused(void **state)
{
	struct hf_error err = {.message = ""};
	uint8_t *bytes = NULL;
	size_t len;

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		struct hf_carry *carry = hf_carry_new(true);
		int fd = kind == 2 ? open("/", O_RDONLY | O_CLOEXEC)
				   : memfd_create("test", MFD_CLOEXEC);

		assert_true(fd >= 0);
		if (kind == 1) {
			assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
		}
		assert_int_equal(hf_carry_add(carry, "state", fd, NULL), 0);
		assert_int_equal(hf_carry_state(carry, &bytes, &len, &err),
				 -EPROTO);
		assert_non_null(strstr(err.message, "no file of 1 to"));
		hf_carry_free(carry);
	}
	assert_null(bytes);
}

static void a_set_passes_the_environment(void **state)
{
	struct hf_carry *carry = make_set(MANY);
	struct hf_carry *arrived;

	(void)state;
	assert_int_equal(hf_carry_to_exec(carry, NULL), 0);
	assert_int_equal(fcntl(carry->set.entries[7].fd, F_GETFD), 0);
	assert_int_equal(hf_carry_from_exec(&arrived, NULL), 0);
	assert_null(getenv("HOLDFAST_CARRY"));
	assert_is_set(arrived, MANY);
	/* They are the same descriptors here, where no exec was. */
	arrived->owns = false;
	hf_carry_free(arrived);
	hf_carry_free(carry);
}

static void an_exec_that_fails_leaves_nothing_behind(void **state)
{
	struct hf_carry *carry = make_set(2);
	uint32_t before = open_fds();
	struct hf_carry *arrived;

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(hf_carry_to_exec(carry, NULL), 0);
		hf_carry_undo_exec(carry);
	}
	assert_int_equal(open_fds(), before);
	assert_is_set(carry, 2);
	assert_int_equal(hf_carry_from_exec(&arrived, NULL), -ENOENT);
	hf_carry_free(carry);
}

static void a_variable_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {
		"",         "2:3=text",        "1:",        "1:999=text",
		"1:x=text", "1:1=text",        "1:0=a,0=b", "1:-1=text",
		"1:3",      "1:99999999999=x", "1:1=../x",
	};
	struct hf_carry *arrived;
	struct hf_error err;

	(void)state;
	assert_int_equal(hf_carry_from_exec(&arrived, &err), -ENOENT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv("HOLDFAST_CARRY", bad[i], 1);
		assert_int_equal(hf_carry_from_exec(&arrived, &err), -EPROTO);
	}
	unsetenv("HOLDFAST_CARRY");
}

static void names_are_judged(void **state)
{
	struct hf_carry *carry = hf_carry_new(false);

	(void)state;
	assert_int_equal(hf_carry_add(carry, "", 0, NULL), -EINVAL);
	assert_int_equal(hf_carry_add(carry, "a b", 0, NULL), -EINVAL);
	assert_int_equal(hf_carry_add(carry, "a", 0, NULL), 0);
	assert_int_equal(hf_carry_add(carry, "a", 1, NULL), -EEXIST);
	assert_int_equal(hf_carry_take(carry, "a"), 0);
	assert_int_equal(hf_carry_find(carry, "a"), -1);
	hf_carry_free(carry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_hundred_descriptors_arrive),
		cmocka_unit_test(an_empty_set_arrives),
		cmocka_unit_test(a_set_by_hand_is_taken),
		cmocka_unit_test(what_is_no_set_is_refused),
		cmocka_unit_test(a_version_from_the_future_is_told_apart),
		cmocka_unit_test(parts_that_do_not_fit_are_refused),
		cmocka_unit_test(a_silent_sender_is_not_waited_for),
		cmocka_unit_test(the_saved_state_travels_as_a_file),
		cmocka_unit_test(the_room_for_a_state_is_made_ahead),
		cmocka_unit_test(room_that_there_is_not_is_an_error),
		cmocka_unit_test(a_state_larger_than_its_room_has_a_file),
		cmocka_unit_test(more_than_there_is_room_for_is_refused),
		cmocka_unit_test(what_cannot_be_a_state_is_refused),
		cmocka_unit_test(a_set_passes_the_environment),
		cmocka_unit_test(an_exec_that_fails_leaves_nothing_behind),
		cmocka_unit_test(a_variable_that_is_none_is_refused),
		cmocka_unit_test(names_are_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
