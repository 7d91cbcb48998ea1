/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: on a controller that this project did not write, a successor goes on
 *       where a process stopped, planned or killed: each I/O once, each byte
 *       right, and the controller never reset.
 * Method: a child drives the device and hands this process its descriptors;
 *         then it dies with I/O under way, or saves and leaves. Each I/O is
 *         known by its cookie.
 */
#include "any_device.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "holdfast/servicing.h"
#include "keepalive.h"

#define IOS         24u
#define COOKIE      UINT64_C(0xc00c1e0000)
#define STATE_BYTES 65536u

/* What both processes see, beside descriptors. */
struct told {
	uint32_t block_bytes;
	uint64_t state_len;
	uint8_t state[STATE_BYTES];
	char why[512]; /* the child's failure */
};

enum ending {
	KILLED,
	SAVED,
	PREPARED, /* what can be was done before it was saved */
};

struct ends {
	struct hf_io io[IOS];
	uint32_t times[IOS];
	uint32_t total;
	uint32_t failed;
};

static uint64_t lba_of(uint32_t i)
{
	return 100 + 5 * (uint64_t)i;
}

/* A process that fails in a test must not run the rest of it. */
static void child_fails(struct told *told, const char *step, int rc,
			const struct hf_error *err)
{
	snprintf(told->why, sizeof(told->why), "%s: %d %s", step, rc,
		 err != NULL ? err->message : "");
	_exit(1);
}

static void ignore_end(struct hf_io *io, int result)
{
	(void)io;
	(void)result;
}

/* Reads of what was written, all under way at once. */
static void begin_reads(struct told *told, struct hf_driver *drv,
			struct hf_namespace *ns, uint8_t *memory)
{
	static struct hf_io io[IOS];
	struct hf_io *list[IOS];
	struct hf_queue *queue = NULL;
	struct hf_error err = {0};
	uint64_t deadline = hf_deadline_ms(10000);
	uint32_t submitted = 0;
	int rc = hf_queue_open(&queue, drv, 0, HF_POLL, &err);

	if (rc != 0) {
		child_fails(told, "queue", rc, &err);
	}
	for (uint32_t i = 0; i < IOS; i++) {
		hf_io_prep_read(&io[i], ns, lba_of(i), 1,
				memory + (size_t)i * told->block_bytes);
		io[i].cookie = COOKIE + i;
		io[i].done = ignore_end;
		list[i] = &io[i];
	}
	while (submitted < IOS && !hf_deadline_passed(deadline)) {
		rc = hf_submit(queue, list + submitted, IOS - submitted);
		submitted += rc > 0 ? (uint32_t)rc : 0;
	}
	if (submitted < IOS) {
		child_fails(told, "submit", rc, NULL);
	}
}

static void hand_over(struct told *told, struct hf_driver *drv, int socket)
{
	struct hf_carry *carry = NULL;
	struct hf_error err = {0};
	char byte;
	int rc = hf_driver_carry(drv, &carry, &err);

	if (rc == 0) {
		rc = hf_carry_send(carry, socket, &err);
	}
	if (rc != 0) {
		child_fails(told, "hand over", rc, &err);
	}
	/* Held before anything is under way. */
	if (recv(socket, &byte, 1, 0) != 1) {
		child_fails(told, "acknowledgement", -errno, NULL);
	}
	hf_carry_free(carry);
}

static void save(struct told *told, struct hf_driver *drv, bool prepared)
{
	struct hf_error err = {0};
	uint8_t *bytes = NULL;
	size_t len = 0;

	if (prepared) {
		hf_driver_prepare_save(drv);
	}
	int rc = hf_driver_save(drv, &bytes, &len, &err);

	if (rc != 0 || len > STATE_BYTES) {
		child_fails(told, "save", rc, &err);
	}
	memcpy(told->state, bytes, len);
	told->state_len = len;
	free(bytes);
	hf_driver_leave(drv);
}

static void predecessor(struct told *told, int socket, enum ending ending,
			enum any_role role)
{
	struct hf_driver_options options;
	struct hf_namespace_info info;
	struct hf_error err = {0};
	struct hf_driver *drv;
	struct hf_namespace *ns;
	uint8_t *memory;

	hf_driver_options_init(&options);
	options.cpu_count = 2;
	options.runtime = false;
	drv = any_open(role, &options);
	ns = any_namespace(drv, 1);
	hf_namespace_get_info(ns, &info);
	told->block_bytes = info.block_bytes;
	memory = hf_dma_alloc(drv, (uint64_t)IOS * info.block_bytes, &err);
	if (memory == NULL) {
		child_fails(told, "memory", -ENOMEM, &err);
	}
	for (uint32_t i = 0; role == ANY_PLAIN && i < IOS; i++) {
		int rc;

		any_fill(memory, lba_of(i), 1, info.block_bytes, 7);
		rc = hf_write(ns, lba_of(i), 1, memory);
		if (rc != 0) {
			child_fails(told, "write", rc, NULL);
		}
	}
	memset(memory, 0xee, (size_t)IOS * info.block_bytes);
	hand_over(told, drv, socket);
	begin_reads(told, drv, ns, memory);
	if (ending != KILLED) {
		save(told, drv, ending == PREPARED);
		_exit(0);
	}
	kill(getpid(), SIGKILL);
}

/* The set that the child left, once it is dead. */
static struct hf_carry *let_one_go(struct told *told, enum ending ending,
				   enum any_role role)
{
	struct hf_carry *carry = NULL;
	struct hf_error err = {0};
	int status = 0;
	int ends[2];
	pid_t pid;
	int rc;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		predecessor(told, ends[1], ending, role);
		_exit(1);
	}
	close(ends[1]);
	rc = hf_carry_receive(&carry, ends[0], 20000, &err);
	if (rc == 0) {
		assert_int_equal(send(ends[0], "x", 1, 0), 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ends[0]);
	if (rc != 0 || told->why[0] != '\0') {
		fail_msg("%s %s", told->why, err.message);
	}
	assert_int_equal(
		ending == KILLED ? WIFSIGNALED(status) : WIFEXITED(status), 1);
	return carry;
}

static void count_end(struct hf_io *io, int result)
{
	struct ends *ends = io->user;

	ends->times[io - ends->io]++;
	ends->total++;
	ends->failed += result != 0;
}

/* Attaches to everything that is left: each cookie once, none unknown. */
static void attach_all(struct hf_driver *drv, struct hf_namespace *ns,
		       struct ends *ends, uint8_t **data)
{
	struct hf_inflight old;
	struct hf_error err = {0};
	uint64_t cursor = 0;
	uint32_t found = 0;

	while (hf_inflight_next(drv, &cursor, &old) == 1) {
		uint64_t i = old.cookie - COOKIE;

		assert_in_range(i, 0, IOS - 1);
		assert_int_equal(old.lba, lba_of((uint32_t)i));
		assert_int_equal(old.blocks, 1);
		assert_null(data[i]);
		assert_non_null(old.buf);
		data[i] = old.buf;
		ends->io[i].ns = ns;
		ends->io[i].done = count_end;
		ends->io[i].user = ends;
		if (hf_io_attach(&ends->io[i], &old, &err) != 0) {
			fail_msg("%s", err.message);
		}
		found++;
	}
	assert_int_equal(found, IOS);
}

static void goes_on(enum ending ending, enum any_role role)
{
	struct told *told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct ends *ends = calloc(1, sizeof(*ends));
	uint64_t deadline = hf_deadline_ms(20000);
	struct hf_carry *carry = let_one_go(told, ending, role);
	struct hf_device *dev = NULL;
	struct hf_driver *drv = NULL;
	struct hf_queue *queue = NULL;
	struct hf_error err = {0};
	struct hf_namespace *ns;
	uint8_t *data[IOS] = {NULL};

	assert_non_null(ends);
	if (hf_device_adopt(&dev, carry, NULL, &err) != 0 ||
	    hf_driver_restore(&drv, dev, ending != KILLED ? told->state : NULL,
			      ending != KILLED ? told->state_len : 0, NULL,
			      &err) != 0) {
		fail_msg("%s", err.message);
	}
	ns = any_namespace(drv, 1);
	attach_all(drv, ns, ends, data);
	assert_int_equal(hf_queue_open(&queue, drv, 0, HF_POLL, &err), 0);
	while (ends->total < IOS && !hf_deadline_passed(deadline)) {
		(void)hf_reap(queue, IOS);
	}
	assert_int_equal(ends->total, IOS);
	assert_int_equal(ends->failed, 0);
	for (uint32_t i = 0; i < IOS; i++) {
		assert_int_equal(ends->times[i], 1);
		if (role == ANY_PLAIN) {
			any_check(data[i], lba_of(i), 1, told->block_bytes, 7);
		}
	}
	hf_queue_close(queue);

	/* And it is an ordinary driver from now on. */
	assert_int_equal(hf_write(ns, 1, 1, data[0]), 0);
	assert_int_equal(hf_read(ns, 1, 1, data[1]), 0);
	hf_namespace_close(ns);
	assert_int_equal(hf_driver_close(drv, &err), 0);
	hf_carry_free(carry);
	free(ends);
	munmap(told, sizeof(*told));
}

static void killed_with_io_under_way(void **state)
{
	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	goes_on(KILLED, ANY_PLAIN);
}

static void saved_with_io_under_way(void **state)
{
	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	goes_on(SAVED, ANY_PLAIN);
}

static void prepared_with_io_under_way(void **state)
{
	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	goes_on(PREPARED, ANY_PLAIN);
}

static void killed_with_slow_io_under_way(void **state)
{
	(void)state;
	goes_on(KILLED, ANY_LATE);
}

static void saved_with_slow_io_under_way(void **state)
{
	(void)state;
	goes_on(SAVED, ANY_LATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_with_io_under_way),
		cmocka_unit_test(saved_with_io_under_way),
		cmocka_unit_test(prepared_with_io_under_way),
		cmocka_unit_test(killed_with_slow_io_under_way),
		cmocka_unit_test(saved_with_slow_io_under_way),
	};
	/* The last two need a controller that is slow. */
	size_t count = getenv("HOLDFAST_TEST_LATE") != NULL ? 4 : 2;

	return _cmocka_run_group_tests("servicing", tests, count, NULL, NULL);
}
