/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a successor that was shown a set gets the rest of it, whole, whatever
 * has changed since; a liar gets a sentence, and costs no descriptor.
 * Method: both sides in this thread, on a pair of sockets that holds what one
 * says until the other listens. The device's part of a set is made by hand.
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
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "holdfast/keeper.h"
#include "open_fds.h"
#include "runtime/carry_wire.h"
#include "runtime/keeper_wire.h"

#define OF_DEVICE   20u
#define MANY        300u
#define TABLE_BYTES 8192u

struct fixture {
	uint32_t open; /* descriptors, before */
	int owner;
	int successor;
	int files[OF_DEVICE];
	int table;
	struct hf_carry *shown;
	struct hf_carry *early;
};

static int numbered_file(uint32_t number)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, &number, sizeof(number)), sizeof(number));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

/* As hf_driver_carry() and a program make it: the descriptors stay theirs. */
static struct hf_carry *make_set(const struct fixture *f, uint64_t changes)
{
	struct hf_carry *carry = hf_carry_new(false);
	char name[32];

	assert_non_null(carry);
	for (uint32_t i = 0; i < OF_DEVICE; i++) {
		snprintf(name, sizeof(name), "device-%u", i);
		assert_int_equal(hf_carry_add(carry, name, f->files[i], NULL),
				 0);
	}
	carry->of_device = OF_DEVICE;
	carry->fds_changes = changes;
	assert_int_equal(hf_carry_add(carry, "table", f->table, NULL), 0);
	return carry;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int ends[2];

	assert_non_null(f);
	f->open = open_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	f->owner = ends[0];
	f->successor = ends[1];
	for (uint32_t i = 0; i < OF_DEVICE; i++) {
		f->files[i] = numbered_file(i);
	}
	f->table = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(f->table, TABLE_BYTES), 0);
	assert_int_equal(fcntl(f->table, F_ADD_SEALS, F_SEAL_SHRINK), 0);

	f->shown = make_set(f, 7);
	assert_int_equal(hf_handover_give(f->owner, f->shown, 0, NULL), 0);
	assert_int_equal(
		hf_keeper_preview_on(f->successor, "disk0", &f->early, NULL),
		0);
	hf_carry_prepare(f->early);
	*state = f;
	return 0;
}

/* Nothing of all this is open any more. */
static int teardown(void **state)
{
	struct fixture *f = *state;

	hf_carry_free(f->shown);
	for (uint32_t i = 0; i < OF_DEVICE; i++) {
		close(f->files[i]);
	}
	close(f->table);
	close(f->owner);
	close(f->successor);
	uint32_t left = open_fds() - f->open;
	free(f);
	return left == 0 ? 0 : -1;
}

/* What the successor asked reached the owner as what it is. */
static void assert_rest_asked(const struct fixture *f)
{
	char question[128];
	ssize_t len = recv(f->owner, question, sizeof(question), MSG_DONTWAIT);

	assert_true(len > 0);
	assert_true(hf_handover_preview_asked(question, (size_t)len));
	assert_false(hf_handover_asked(question, (size_t)len));
	len = recv(f->owner, question, sizeof(question), MSG_DONTWAIT);
	assert_true(len > 0);
	assert_true(hf_handover_asked(question, (size_t)len));
	assert_true(hf_handover_rest_asked(question, (size_t)len));
	assert_false(hf_handover_preview_asked(question, (size_t)len));
}

static struct hf_carry *get_rest(struct fixture *f)
{
	struct hf_carry *carry;

	assert_int_equal(hf_keeper_get_rest_on(f->successor, "disk0", f->early,
					       &carry, NULL),
			 0);
	assert_rest_asked(f);
	return carry;
}

static void assert_is_file(const struct hf_carry *carry, uint32_t i,
			   uint32_t number)
{
	uint32_t found = UINT32_MAX;
	int fd = hf_fdset_find(&carry->set, "device-%u", i);

	assert_int_equal(pread(fd, &found, sizeof(found), 0), sizeof(found));
	assert_int_equal(found, number);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void assert_is_whole(struct hf_carry *carry, uint32_t count)
{
	assert_int_equal(hf_carry_count(carry), count);
	for (uint32_t i = 0; i < OF_DEVICE; i++) {
		assert_is_file(carry, i, i);
	}
	assert_true(hf_carry_find(carry, "table") >= 0);
}

/* Memory of a file that both sets have was mapped once, and ahead. */
static void assert_is_mapped(struct hf_carry *carry, const char *name,
			     uint64_t len_bytes)
{
	void *memory = hf_carry_take_memory(carry, name, len_bytes);

	assert_non_null(memory);
	assert_null(hf_carry_take_memory(carry, name, len_bytes));
	assert_int_equal(munmap(memory, len_bytes), 0);
}

static void what_was_shown_is_not_sent_again(void **state)
{
	struct fixture *f = *state;
	struct hf_carry *now = make_set(f, 7);
	int was = hf_carry_find(f->early, "device-5");
	struct hf_wire_message *message = malloc(sizeof(*message));

	assert_non_null(message);
	assert_int_equal(hf_carry_add(now, "mine", f->files[0], NULL), 0);
	assert_int_equal(hf_fdset_put_text(&now->set, NULL, "key", "new"), 0);
	assert_int_equal(hf_handover_give_rest(f->owner, now, f->shown, NULL),
			 0);

	struct hf_carry *carry = get_rest(f);
	assert_is_whole(carry, OF_DEVICE + 2);
	assert_int_equal(hf_carry_find(carry, "device-5"), was);
	assert_true(hf_carry_find(carry, "mine") >= 0);
	assert_string_equal(carry->set.text, "key=new\n");
	assert_is_mapped(carry, "device-5", sizeof(uint32_t));
	assert_is_mapped(carry, "table", TABLE_BYTES);
	hf_carry_free(carry);

	/* One message, with one descriptor, is all that it took. */
	assert_int_equal(hf_handover_give_rest(f->owner, now, f->shown, NULL),
			 0);
	assert_int_equal(hf_wire_read(f->successor, message), 0);
	assert_int_equal(message->fd_count, 1);
	hf_wire_close_fds(message);
	assert_int_equal(hf_wire_read(f->successor, message), -EAGAIN);
	free(message);
	hf_carry_free(now);
}

/* The same number, of another file: the owner says that something changed. */
static void what_has_changed_is_sent(void **state)
{
	struct fixture *f = *state;
	int number = f->files[3];

	f->files[3] = numbered_file(1000);
	assert_int_equal(dup3(f->files[3], number, O_CLOEXEC), number);
	close(f->files[3]);
	f->files[3] = number;

	struct hf_carry *now = make_set(f, 9);
	assert_int_equal(hf_handover_give_rest(f->owner, now, f->shown, NULL),
			 0);
	struct hf_carry *carry = get_rest(f);
	assert_int_equal(hf_carry_count(carry), OF_DEVICE + 1);
	assert_is_file(carry, 3, 1000);
	assert_is_file(carry, 4, 4);
	assert_is_mapped(carry, "device-4", sizeof(uint32_t));
	assert_null(hf_carry_take_memory(carry, "device-3", sizeof(uint32_t)));
	hf_carry_free(carry);
	hf_carry_free(now);
}

/* A program's own descriptor may be another under the same number, and nobody
 * counts those. */
static void a_programs_own_that_is_another_is_sent(void **state)
{
	struct fixture *f = *state;
	int number = f->table;
	int other = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(ftruncate(other, 3), 0);
	assert_int_equal(dup3(other, number, O_CLOEXEC), number);
	close(other);

	struct hf_carry *now = make_set(f, 7);
	assert_int_equal(hf_handover_give_rest(f->owner, now, f->shown, NULL),
			 0);
	struct hf_carry *carry = get_rest(f);
	assert_int_equal(lseek(hf_carry_find(carry, "table"), 0, SEEK_END), 3);
	assert_null(hf_carry_take_memory(carry, "table", TABLE_BYTES));
	hf_carry_free(carry);
	hf_carry_free(now);
}

/* Those of one kind cannot be told apart. */
static void a_programs_own_eventfd_is_always_sent(void **state)
{
	struct fixture *f = *state;
	struct hf_wire_message *message = malloc(sizeof(*message));
	struct hf_carry *sets[2];
	int fd = eventfd(0, EFD_CLOEXEC);

	assert_non_null(message);
	for (uint32_t i = 0; i < 2; i++) {
		sets[i] = make_set(f, 7);
		assert_int_equal(hf_carry_add(sets[i], "event", fd, NULL), 0);
	}
	assert_int_equal(
		hf_handover_give_rest(f->owner, sets[1], sets[0], NULL), 0);
	assert_int_equal(hf_wire_read(f->successor, message), 0);
	assert_int_equal(message->fd_count, 1);
	hf_wire_close_fds(message);
	hf_carry_free(sets[0]);
	hf_carry_free(sets[1]);
	hf_carry_free(f->early);
	free(message);
	close(fd);
}

static void a_rest_of_three_hundred_arrives(void **state)
{
	struct fixture *f = *state;
	struct hf_carry *now = make_set(f, 7);
	char name[32];

	for (uint32_t i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "more-%u", i);
		assert_int_equal(hf_carry_add(now, name, f->table, NULL), 0);
	}
	assert_int_equal(hf_handover_give_rest(f->owner, now, f->shown, NULL),
			 0);
	struct hf_carry *carry = get_rest(f);
	assert_is_whole(carry, OF_DEVICE + 1 + MANY);
	assert_true(hf_carry_find(carry, "more-299") >= 0);
	hf_carry_free(carry);
	hf_carry_free(now);
}

static void an_owner_that_has_shown_nothing_gives_all(void **state)
{
	struct fixture *f = *state;
	struct hf_carry *now = make_set(f, 7);

	assert_int_equal(hf_handover_give_rest(f->owner, now, NULL, NULL), 0);
	struct hf_carry *carry = get_rest(f);
	assert_is_whole(carry, OF_DEVICE + 1);
	assert_is_mapped(carry, "device-19", sizeof(uint32_t));
	hf_carry_free(carry);
	hf_carry_free(now);
}

static void an_owner_may_refuse(void **state)
{
	struct fixture *f = *state;
	struct hf_error err = {.message = ""};
	struct hf_carry *carry;

	assert_int_equal(hf_handover_give(f->owner, NULL, -EBUSY, NULL), 0);
	assert_int_equal(hf_keeper_get_rest_on(f->successor, "disk0", f->early,
					       &carry, &err),
			 -EBUSY);
	assert_non_null(strstr(err.message, "refused 'disk0'"));
}

/* Right before it stops: the successor is awake by the time of the set. */
static void a_set_may_be_announced(void **state)
{
	struct fixture *f = *state;
	struct hf_carry *now = make_set(f, 7);

	assert_int_equal(hf_handover_announce(f->owner, NULL), 0);
	assert_int_equal(hf_handover_give_rest(f->owner, now, f->shown, NULL),
			 0);
	struct hf_carry *carry = get_rest(f);
	assert_is_whole(carry, OF_DEVICE + 1);
	hf_carry_free(carry);
	hf_carry_free(now);
}

/* No more than one yes comes before it: older successors know of no other. */
static void what_was_announced_may_have_changed(void **state)
{
	struct fixture *f = *state;
	struct hf_carry *now = make_set(f, 9);
	struct hf_wire_message *message = malloc(sizeof(*message));

	assert_non_null(message);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(hf_handover_announce(f->owner, NULL), 0);
		assert_int_equal(
			hf_handover_give_rest(f->owner, now, f->shown, NULL),
			0);
	}
	assert_int_equal(hf_wire_read(f->successor, message), 0);
	assert_false(hf_wire_begins_set(message));
	assert_int_equal(hf_wire_read(f->successor, message), 0);
	assert_true(hf_wire_begins_set(message));
	assert_int_equal(hf_wire_read(f->successor, message), 0);
	hf_wire_close_fds(message);
	free(message);

	struct hf_carry *carry = get_rest(f);
	assert_is_whole(carry, OF_DEVICE + 1);
	hf_carry_free(carry);
	hf_carry_free(now);
}

/* Which begins with one more yes. */
static void what_was_announced_may_be_all(void **state)
{
	struct fixture *f = *state;
	struct hf_carry *now = make_set(f, 7);

	assert_int_equal(hf_handover_announce(f->owner, NULL), 0);
	assert_int_equal(hf_handover_give_rest(f->owner, now, NULL, NULL), 0);
	struct hf_carry *carry = get_rest(f);
	assert_is_whole(carry, OF_DEVICE + 1);
	hf_carry_free(carry);
	hf_carry_free(now);
}

static void what_was_announced_may_be_refused(void **state)
{
	struct fixture *f = *state;
	struct hf_error err = {.message = ""};
	struct hf_carry *carry;

	assert_int_equal(hf_handover_announce(f->owner, NULL), 0);
	assert_int_equal(hf_handover_give(f->owner, NULL, -EBUSY, NULL), 0);
	assert_int_equal(hf_keeper_get_rest_on(f->successor, "disk0", f->early,
					       &carry, &err),
			 -EBUSY);
	assert_non_null(strstr(err.message, "refused 'disk0'"));
}

static void an_owner_that_dies_after_it_is_told_apart(void **state)
{
	struct fixture *f = *state;
	struct hf_error err = {.message = ""};
	struct hf_carry *carry;

	assert_int_equal(hf_handover_announce(f->owner, NULL), 0);
	/* It can be asked, and does not answer any more. */
	shutdown(f->owner, SHUT_WR);
	assert_int_equal(hf_keeper_get_rest_on(f->successor, "disk0", f->early,
					       &carry, &err),
			 -ECONNRESET);
	assert_non_null(strstr(err.message, "no answer came about 'disk0'"));
}

static void an_owner_that_only_announces_is_a_liar(void **state)
{
	struct fixture *f = *state;
	struct hf_error err = {.message = ""};
	struct hf_carry *carry;

	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(hf_handover_announce(f->owner, NULL), 0);
	}
	assert_int_equal(hf_keeper_get_rest_on(f->successor, "disk0", f->early,
					       &carry, &err),
			 -EPROTO);
	assert_non_null(strstr(err.message, "it does not begin as one"));
}

/* An older one hangs up on what it does not know. */
static void an_owner_that_hangs_up_is_told_apart(void **state)
{
	struct fixture *f = *state;
	struct hf_carry *carry;

	shutdown(f->owner, SHUT_RDWR);
	int rc = hf_keeper_get_rest_on(f->successor, "disk0", f->early, &carry,
				       NULL);
	assert_true(rc == -EPIPE || rc == -ECONNRESET);
}

/* The first message of a set, as hf_wire_out() sends it. */
struct first {
	uint64_t magic;
	uint32_t version;
	uint32_t count;
	uint32_t text_bytes;
	uint32_t same;
	char name[HF_FDSET_NAME_BYTES];
};

static void lie(const struct fixture *f, uint32_t same, uint32_t count,
		const char *name, uint32_t fd_count)
{
	struct first first = {
		.magic = UINT64_C(0x3154455346484446),
		.version = 1,
		.count = count,
		.same = same,
	};
	const int fds[2] = {f->table, f->table};

	snprintf(first.name, sizeof(first.name), "%s", name);
	size_t len =
		count == same ? offsetof(struct first, name) : sizeof(first);

	assert_int_equal(hf_wire_write_wait(f->owner, &first, len, fds,
					    fd_count, UINT64_MAX),
			 0);
}

static void liars_are_told_so(void **state)
{
	static const struct {
		uint32_t same, count;
		const char *name;
		uint32_t fd_count;
	} lies[] = {
		/* More than there were, and more than there are. */
		{OF_DEVICE + 2, OF_DEVICE + 2, "", 0},
		{UINT32_MAX, UINT32_MAX, "", 0},
		{OF_DEVICE, OF_DEVICE - 1, "other", 0},
		/* One does not come, or two do, or one of that name does. */
		{OF_DEVICE, OF_DEVICE + 1, "other", 0},
		{OF_DEVICE, OF_DEVICE + 1, "other", 2},
		{OF_DEVICE, OF_DEVICE + 1, "device-2", 1},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct hf_error err = {.message = ""};
		struct hf_carry *carry;

		lie(f, lies[i].same, lies[i].count, lies[i].name,
		    lies[i].fd_count);
		assert_int_equal(hf_keeper_get_rest_on(f->successor, "disk0",
						       f->early, &carry, &err),
				 -EPROTO);
		assert_non_null(strstr(err.message, "no set of descriptors"));
		assert_int_equal(hf_handover_give(f->owner, f->shown, 0, NULL),
				 0);
		assert_int_equal(hf_keeper_preview_on(f->successor, "disk0",
						      &f->early, NULL),
				 0);
	}
	hf_carry_free(f->early);
}

/* Whoever has no earlier set is not promised anything of one. */
static void nothing_is_the_same_as_nothing(void **state)
{
	struct fixture *f = *state;
	struct hf_carry *carry;

	lie(f, 1, 1, "", 0);
	assert_int_equal(hf_carry_receive(&carry, f->successor, 1000, NULL),
			 -EPROTO);
	hf_carry_free(f->early);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_shown_is_not_sent_again),
		TEST(what_has_changed_is_sent),
		TEST(a_programs_own_that_is_another_is_sent),
		TEST(a_programs_own_eventfd_is_always_sent),
		TEST(a_rest_of_three_hundred_arrives),
		TEST(an_owner_that_has_shown_nothing_gives_all),
		TEST(an_owner_may_refuse),
		TEST(a_set_may_be_announced),
		TEST(what_was_announced_may_have_changed),
		TEST(what_was_announced_may_be_all),
		TEST(what_was_announced_may_be_refused),
		TEST(an_owner_that_dies_after_it_is_told_apart),
		TEST(an_owner_that_only_announces_is_a_liar),
		TEST(an_owner_that_hangs_up_is_told_apart),
		TEST(liars_are_told_so),
		TEST(nothing_is_the_same_as_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
