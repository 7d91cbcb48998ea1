/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: of two processes that take over one device at the same time, one has
 *       it; the other is told who, and has changed nothing.
 * Method: an owner is killed, and two processes with the same descriptors are
 *         let go at once, again and again, the winner being the next owner. The
 *         controller is a process of its own and counts.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <nvme/types.h>

#include "base/clock.h"
#include "emu_process.h"
#include "holdfast/holdfast.h"

enum {
	ROUNDS = 8,
	RIVALS = 2,
	BLOCK_BYTES = 4096,
	LBA = 7,
	PATIENCE_MS = 20000,
};

/* What the processes tell the test, in memory that they share. */
struct told {
	struct {
		uint32_t done; /* adopting has returned */
		int result;
		struct hf_error err;
	} rivals[RIVALS];
	char why[sizeof(struct hf_error) + 64]; /* what went wrong, if any */
};

static struct emu_process process;
static struct told *told;

static _Noreturn void fail_here(const char *what, const struct hf_error *err)
{
	snprintf(told->why, sizeof(told->why), "%s: %s", what, err->message);
	_exit(1);
}

/* Has the test hold what a successor needs, and dies. */
static _Noreturn void hand_over_and_die(struct hf_driver *drv, int socket)
{
	struct hf_error err = {.message = ""};
	struct hf_carry *carry;
	char byte;

	if (hf_driver_carry(drv, &carry, &err) != 0 ||
	    hf_carry_send(carry, socket, &err) != 0 ||
	    recv(socket, &byte, 1, 0) != 1) {
		fail_here("handing over", &err);
	}
	kill(getpid(), SIGKILL);
	_exit(1);
}

static _Noreturn void first_owner(int socket)
{
	static uint8_t block[BLOCK_BYTES];
	struct hf_driver_options options;
	struct hf_error err = {.message = ""};
	struct hf_namespace *ns;
	struct hf_driver *drv;

	hf_driver_options_init(&options);
	options.cpu_count = 2;
	options.io_queues = 2;
	memset(block, 0x5a, sizeof(block));
	if (hf_driver_open(&drv, process.address, &options, &err) != 0 ||
	    hf_namespace_open(&ns, drv, 1, &err) != 0 ||
	    hf_write(ns, LBA, 1, block) != 0) {
		fail_here("opening", &err);
	}
	hand_over_and_die(drv, socket);
}

static bool block_is_there(struct hf_namespace *ns)
{
	static uint8_t block[BLOCK_BYTES];

	memset(block, 0, sizeof(block));
	return hf_read(ns, LBA, 1, block) == 0 && block[0] == 0x5a &&
	       block[BLOCK_BYTES - 1] == 0x5a;
}

static bool others_are_done(void)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < RIVALS; i++) {
		done += __atomic_load_n(&told->rivals[i].done,
					__ATOMIC_ACQUIRE);
	}
	return done == RIVALS;
}

static _Noreturn void rival(uint32_t who, struct hf_carry *carry, int go,
			    int socket)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);
	struct hf_error err = {.message = ""};
	struct hf_namespace *ns;
	struct hf_device *dev;
	struct hf_driver *drv;
	char byte;

	/* The test closes its end, for all of them at once. */
	(void)!read(go, &byte, 1);
	int rc = hf_device_adopt(&dev, carry, NULL, &err);
	told->rivals[who].result = rc;
	told->rivals[who].err = err;
	__atomic_store_n(&told->rivals[who].done, 1, __ATOMIC_RELEASE);
	if (rc != 0) {
		hf_carry_free(carry);
		_exit(0);
	}
	while (!others_are_done()) {
		if (hf_deadline_passed(deadline)) {
			fail_here("the others do not try", &err);
		}
		sched_yield();
	}
	if (hf_driver_restore(&drv, dev, NULL, 0, NULL, &err) != 0 ||
	    hf_namespace_open(&ns, drv, 1, &err) != 0) {
		fail_here("restoring", &err);
	}
	if (!block_is_there(ns)) {
		fail_here("the block is not there", &err);
	}
	hand_over_and_die(drv, socket);
}

/* What the last owner left, once it is dead. */
static struct hf_carry *inherit(int socket, struct hf_carry *before)
{
	struct hf_error err = {.message = ""};
	struct hf_carry *carry = NULL;

	int rc = hf_carry_receive(&carry, socket, PATIENCE_MS, &err);
	if (rc != 0) {
		fail_msg("%s; %s", told->why, err.message);
	}
	hf_carry_free(before);
	assert_int_equal(send(socket, "x", 1, 0), 1);
	return carry;
}

static struct hf_carry *start(void)
{
	int status = 0;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		first_owner(ends[1]);
	}
	struct hf_carry *carry = inherit(ends[0], NULL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, SIGKILL);
	close(ends[0]);
	close(ends[1]);
	return carry;
}

/* One race; the winner has died after it. */
static struct hf_carry *race(struct hf_carry *carry)
{
	uint32_t winners = 0;
	pid_t pids[RIVALS];
	int ends[2];
	int go[2];

	memset(told, 0, sizeof(*told));
	assert_int_equal(pipe(go), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	for (uint32_t i = 0; i < RIVALS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(go[1]);
			rival(i, carry, go[0], ends[1]);
		}
	}
	close(go[1]);
	carry = inherit(ends[0], carry);
	for (uint32_t i = 0; i < RIVALS; i++) {
		int status = 0;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		if (told->rivals[i].result == 0) {
			assert_int_equal(status, SIGKILL);
			winners++;
			continue;
		}
		assert_int_equal(status, 0);
		assert_int_equal(told->rivals[i].result, -EBUSY);
		assert_non_null(strstr(told->rivals[i].err.message,
				       "still driven by process"));
	}
	assert_int_equal(winners, 1);
	assert_string_equal(told->why, "");
	close(go[0]);
	close(ends[0]);
	close(ends[1]);
	return carry;
}

static void one_of_two_successors_wins(void **state)
{
	struct emu_process_result result = {0};

	(void)state;
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(told, MAP_FAILED);
	emu_process_start(&process, NULL, NULL);
	struct hf_carry *carry = start();
	for (uint32_t i = 0; i < ROUNDS; i++) {
		carry = race(carry);
	}
	hf_carry_free(carry);
	emu_process_end(&process, &result);
	munmap(told, sizeof(*told));

	/* The losers did nothing, and the winners only what they should. */
	assert_int_equal(result.emu.enables, 1);
	assert_int_equal(result.emu.errors, 0);
	assert_int_equal(result.emu.io_commands[nvme_cmd_write], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_of_two_successors_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
