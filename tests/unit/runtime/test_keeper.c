/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a keeper gives back what it was given, to whoever may ask; a client
 * that says nonsense costs itself the connection, and nobody else anything.
 * Method: a keeper in a thread of this process, clients by the library and by
 * hand.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "holdfast/keeper.h"
#include "runtime/carry_wire.h"
#include "runtime/keeper_wire.h"

struct fixture {
	char dir[32];
	char path[64];
	struct hf_keeper *keeper;
	pthread_t thread;
	atomic_bool stop;
};

static void *keep(void *user)
{
	struct fixture *f = user;
	struct pollfd fd = {.fd = hf_keeper_fd(f->keeper), .events = POLLIN};

	while (!atomic_load(&f->stop)) {
		if (poll(&fd, 1, 10) > 0) {
			hf_keeper_process(f->keeper);
		}
	}
	return NULL;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/test-keeper.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/k.sock", f->dir);
	assert_int_equal(hf_keeper_open(&f->keeper, f->path, NULL, NULL), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, keep, f), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	atomic_store(&f->stop, true);
	pthread_join(f->thread, NULL);
	hf_keeper_close(f->keeper);
	assert_int_not_equal(access(f->path, F_OK), 0);
	rmdir(f->dir);
	free(f);
	return 0;
}

static struct hf_carry *one_file(const char *text)
{
	struct hf_carry *carry = hf_carry_new(true);
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(hf_carry_add(carry, "file", fd, NULL), 0);
	return carry;
}

static void put(struct fixture *f, const char *name, const char *text)
{
	struct hf_carry *carry = one_file(text);

	assert_int_equal(hf_keeper_put(f->path, name, carry, NULL), 0);
	hf_carry_free(carry);
}

static void assert_holds(struct fixture *f, const char *name, const char *text)
{
	struct hf_carry *carry;
	char found[16] = "";

	assert_int_equal(hf_keeper_get(f->path, name, &carry, NULL), 0);
	assert_true(pread(hf_carry_find(carry, "file"), found,
			  sizeof(found) - 1, 0) > 0);
	assert_string_equal(found, text);
	hf_carry_free(carry);
}

static void what_was_put_can_be_got_twice(void **state)
{
	struct fixture *f = *state;

	put(f, "disk0", "one");
	put(f, "disk1", "two");
	assert_holds(f, "disk0", "one");
	assert_holds(f, "disk0", "one");
	assert_holds(f, "disk1", "two");
}

static void a_set_of_the_same_name_is_replaced(void **state)
{
	struct fixture *f = *state;

	put(f, "disk0", "one");
	put(f, "disk0", "other");
	assert_holds(f, "disk0", "other");
}

static void what_was_dropped_is_gone(void **state)
{
	struct fixture *f = *state;
	struct hf_carry *carry;
	struct hf_error err;

	put(f, "disk0", "one");
	assert_int_equal(hf_keeper_drop(f->path, "disk0", NULL), 0);
	assert_int_equal(hf_keeper_drop(f->path, "disk0", NULL), -ENOENT);
	assert_int_equal(hf_keeper_get(f->path, "disk0", &carry, &err),
			 -ENOENT);
	assert_non_null(strstr(err.message, "disk0"));
}

static void the_list_names_them(void **state)
{
	struct fixture *f = *state;
	struct hf_keeper_entry entries[4];
	uint32_t count;

	assert_int_equal(hf_keeper_list(f->path, entries, 4, &count, NULL), 0);
	assert_int_equal(count, 0);
	put(f, "disk0", "one");
	put(f, "disk1", "two");
	assert_int_equal(hf_keeper_list(f->path, entries, 4, &count, NULL), 0);
	assert_int_equal(count, 2);
	assert_string_equal(entries[1].name, "disk1");
	assert_int_equal(entries[1].descriptors, 1);
	assert_int_equal(entries[1].pid, getpid());
}

static void names_that_are_none_are_refused(void **state)
{
	struct fixture *f = *state;
	struct hf_carry *carry = one_file("x");

	assert_int_equal(hf_keeper_put(f->path, "", carry, NULL), -EINVAL);
	assert_int_equal(hf_keeper_put(f->path, "a/b", carry, NULL), -EINVAL);
	hf_carry_free(carry);
}

/* The keeper hangs up, or answers with this error. */
static void assert_refused(struct fixture *f, const void *bytes, size_t len,
			   int result)
{
	struct hf_wire_message *message = malloc(sizeof(*message));
	uint64_t deadline = hf_deadline_ms(2000);
	struct hf_keeper_answer answer;
	int fd = hf_keeper_connect(f->path, NULL);

	assert_true(fd >= 0);
	assert_int_equal(hf_wire_write_wait(fd, bytes, len, NULL, 0, deadline),
			 0);
	int rc = hf_wire_read_wait(fd, message, deadline);
	if (result == 0) {
		assert_int_equal(rc, -ECONNRESET);
	} else {
		assert_int_equal(rc, 0);
		memcpy(&answer, message->bytes, sizeof(answer));
		assert_int_equal(answer.result, result);
	}
	close(fd);
	free(message);
}

static void nonsense_costs_the_connection_alone(void **state)
{
	struct fixture *f = *state;
	struct hf_keeper_request good = {
		.magic = HF_KEEPER_MAGIC,
		.version = HF_KEEPER_VERSION,
		.op = HF_KEEPER_GET,
		.name = "disk0",
	};
	struct hf_keeper_request request;
	uint8_t long_one[4096] = {0};

	put(f, "disk0", "one");
	assert_refused(f, "x", 1, 0);
	assert_refused(f, long_one, sizeof(long_one), 0);
	request = good;
	request.magic++;
	assert_refused(f, &request, sizeof(request), 0);
	request = good;
	request.version = 9;
	assert_refused(f, &request, sizeof(request), -EPROTONOSUPPORT);
	request = good;
	request.op = 77;
	assert_refused(f, &request, sizeof(request), -EOPNOTSUPP);
	request = good;
	memset(request.name, 'x', sizeof(request.name));
	assert_refused(f, &request, sizeof(request), -EINVAL);
	request = good;
	request.name[0] = '/';
	assert_refused(f, &request, sizeof(request), -EINVAL);
	assert_holds(f, "disk0", "one");
}

/* A put that stops half way replaces nothing. */
static void half_a_set_replaces_nothing(void **state)
{
	struct fixture *f = *state;
	struct hf_keeper_request request = {
		.magic = HF_KEEPER_MAGIC,
		.version = HF_KEEPER_VERSION,
		.op = HF_KEEPER_PUT,
		.name = "disk0",
	};
	int fd;

	put(f, "disk0", "one");
	fd = hf_keeper_connect(f->path, NULL);
	assert_int_equal(hf_wire_write_wait(fd, &request, sizeof(request), NULL,
					    0, hf_deadline_ms(1000)),
			 0);
	close(fd);
	assert_holds(f, "disk0", "one");
	/* And one that is followed by no set at all. */
	fd = hf_keeper_connect(f->path, NULL);
	assert_int_equal(hf_wire_write_wait(fd, &request, sizeof(request), NULL,
					    0, hf_deadline_ms(1000)),
			 0);
	assert_int_equal(hf_wire_write_wait(fd, &request, sizeof(request), NULL,
					    0, hf_deadline_ms(1000)),
			 0);
	assert_holds(f, "disk0", "one");
	close(fd);
}

static void ask_and_give_up(struct fixture *f, enum hf_keeper_op op,
			    const struct hf_carry *carry)
{
	const struct hf_keeper_request request = {
		.magic = HF_KEEPER_MAGIC,
		.version = HF_KEEPER_VERSION,
		.op = op,
		.name = "disk0",
	};
	uint64_t deadline = hf_deadline_ms(5000);
	int fd = hf_keeper_connect(f->path, NULL);

	assert_int_equal(hf_wire_write_wait(fd, &request, sizeof(request), NULL,
					    0, deadline),
			 0);
	if (carry != NULL) {
		assert_int_equal(hf_wire_out(carry, 0, fd, deadline, NULL), 0);
	}
	close(fd);
}

/* As while it is stopped: its clients are told that nothing was done, and go
 * on. What they asked for then is not done behind their backs later. */
static void who_has_given_up_is_not_obeyed(void **state)
{
	struct fixture *f = *state;
	struct hf_carry *carry = one_file("old");
	struct pollfd fd = {.fd = hf_keeper_fd(f->keeper), .events = POLLIN};

	put(f, "disk0", "one");
	atomic_store(&f->stop, true);
	pthread_join(f->thread, NULL);
	ask_and_give_up(f, HF_KEEPER_PUT, carry);
	ask_and_give_up(f, HF_KEEPER_DROP, NULL);
	while (poll(&fd, 1, 0) > 0) {
		hf_keeper_process(f->keeper);
	}
	atomic_store(&f->stop, false);
	assert_int_equal(pthread_create(&f->thread, NULL, keep, f), 0);
	assert_holds(f, "disk0", "one");
	hf_carry_free(carry);
}

static void there_is_one_keeper_at_a_socket(void **state)
{
	struct fixture *f = *state;
	struct hf_keeper *other;
	struct stat st;

	assert_int_equal(hf_keeper_open(&other, f->path, NULL, NULL),
			 -EADDRINUSE);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void nobody_there_is_an_error(void **state)
{
	struct hf_carry *carry;
	struct hf_error err;

	(void)state;
	assert_int_equal(hf_keeper_get("/tmp/no/such.sock", "x", &carry, &err),
			 -ENOENT);
	assert_non_null(strstr(err.message, "/tmp/no/such.sock"));
}

static void a_device_is_taken_from_places_that_exist(void **state)
{
	struct fixture *f = *state;
	struct hf_device *device;
	struct hf_error err;
	char where[128];

	assert_int_equal(hf_device_take(&device, "cupboard", NULL, NULL, &err),
			 -EINVAL);
	assert_int_equal(hf_device_take(&device, "exec:", NULL, NULL, &err),
			 -ENOENT);
	snprintf(where, sizeof(where), "unix:%s#disk9", f->path);
	assert_int_equal(hf_device_take(&device, where, NULL, NULL, &err),
			 -ENOENT);
	/* A set that has no device in it. */
	put(f, "disk9", "no device");
	assert_int_equal(hf_device_take(&device, where, NULL, NULL, &err),
			 -ENOENT);
	assert_non_null(strstr(err.message, "ledger"));
}

/* Each of them may be slow, or hang: others are told to go at once. */
static void too_many_clients_are_turned_away(void **state)
{
	enum { LET_IN = 64, ASKED };
	struct fixture *f = *state;
	int clients[ASKED];
	char byte;

	for (uint32_t i = 0; i < ASKED; i++) {
		clients[i] = hf_keeper_connect(f->path, NULL);
		assert_true(clients[i] >= 0);
	}
	struct pollfd last = {.fd = clients[LET_IN], .events = POLLIN};
	assert_int_equal(poll(&last, 1, 20000), 1);
	assert_int_equal(recv(clients[LET_IN], &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(recv(clients[0], &byte, 1, MSG_DONTWAIT), -1);
	for (uint32_t i = 0; i < ASKED; i++) {
		close(clients[i]);
	}
}

static void a_keeper_that_is_full_says_so(void **state)
{
	struct fixture *f = *state;
	struct hf_carry *carry = hf_carry_new(true);
	char name[16];

	for (uint32_t i = 0; i < HF_KEEPER_SETS_MAX; i++) {
		snprintf(name, sizeof(name), "disk%u", i);
		assert_int_equal(hf_keeper_put(f->path, name, carry, NULL), 0);
	}
	assert_int_equal(hf_keeper_put(f->path, "onemore", carry, NULL),
			 -ENOSPC);
	assert_int_equal(hf_keeper_put(f->path, "disk0", carry, NULL), 0);
	hf_carry_free(carry);
}

/* A process that is stopped takes nobody in: its backlog fills up. */
static void a_keeper_that_takes_nobody_in_is_waited_for_and_left(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/test-keeper.XXXXXX";
	struct hf_keeper *keeper;
	struct hf_error err = {.message = ""};
	int waiting[8];
	uint32_t count = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/k", dir);
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(
		bind(listener, (struct sockaddr *)&address, sizeof(address)),
		0);
	assert_int_equal(listen(listener, 0), 0);
	int rc = 0;
	while (rc == 0 && count < 8) {
		int fd = socket(AF_UNIX,
				SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
				0);

		rc = connect(fd, (struct sockaddr *)&address, sizeof(address));
		waiting[count++] = fd;
	}
	assert_int_equal(rc, -1);

	/* It asks whether somebody listens there; the socket stays. */
	assert_int_equal(hf_keeper_open(&keeper, address.sun_path, NULL, &err),
			 -EADDRINUSE);
	assert_int_equal(access(address.sun_path, F_OK), 0);

	for (uint32_t i = 0; i < count; i++) {
		close(waiting[i]);
	}
	close(listener);
	unlink(address.sun_path);
	rmdir(dir);
}

/* Is there nothing to do, with somebody at the door? */
static bool comes_to_rest(struct hf_keeper *keeper)
{
	struct pollfd fd = {.fd = hf_keeper_fd(keeper), .events = POLLIN};

	for (uint32_t i = 0; i < 100; i++) {
		hf_keeper_process(keeper);
		if (poll(&fd, 1, 0) == 0) {
			return true;
		}
	}
	return false;
}

static void a_keeper_without_descriptors_does_not_turn(void **state)
{
	char dir[] = "/tmp/test-keeper.XXXXXX";
	struct hf_keeper *keeper;
	struct rlimit before;
	char path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/k", dir);
	assert_int_equal(hf_keeper_open(&keeper, path, NULL, NULL), 0);
	int client = hf_keeper_connect(path, NULL);
	assert_true(client >= 0);
	int next = dup(client);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	struct rlimit none = {.rlim_cur = (rlim_t)next,
			      .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);

	bool rests = comes_to_rest(keeper);

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(rests);
	/* With descriptors again, it lets in who has waited: the question is
	 * answered after the next tick of its clock. */
	const struct hf_keeper_request request = {
		.magic = HF_KEEPER_MAGIC,
		.version = HF_KEEPER_VERSION,
		.op = HF_KEEPER_LIST,
	};
	struct pollfd fds[2] = {
		{.fd = client, .events = POLLIN},
		{.fd = hf_keeper_fd(keeper), .events = POLLIN},
	};
	assert_int_equal(send(client, &request, sizeof(request), 0),
			 sizeof(request));
	uint64_t deadline = hf_deadline_ms(20000);
	while (fds[0].revents == 0 && !hf_deadline_passed(deadline)) {
		(void)poll(fds, 2, 1000);
		hf_keeper_process(keeper);
	}
	assert_int_equal(fds[0].revents, POLLIN);
	close(client);
	hf_keeper_close(keeper);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_put_can_be_got_twice,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_set_of_the_same_name_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_dropped_is_gone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_list_names_them, setup,
						teardown),
		cmocka_unit_test_setup_teardown(names_that_are_none_are_refused,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			nonsense_costs_the_connection_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(half_a_set_replaces_nothing,
						setup, teardown),
		cmocka_unit_test_setup_teardown(who_has_given_up_is_not_obeyed,
						setup, teardown),
		cmocka_unit_test_setup_teardown(there_is_one_keeper_at_a_socket,
						setup, teardown),
		cmocka_unit_test(nobody_there_is_an_error),
		cmocka_unit_test_setup_teardown(
			too_many_clients_are_turned_away, setup, teardown),
		cmocka_unit_test_setup_teardown(a_keeper_that_is_full_says_so,
						setup, teardown),
		cmocka_unit_test(
			a_keeper_that_takes_nobody_in_is_waited_for_and_left),
		cmocka_unit_test(a_keeper_without_descriptors_does_not_turn),
		cmocka_unit_test_setup_teardown(
			a_device_is_taken_from_places_that_exist, setup,
			teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
