/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a process that does not attach to what its predecessor left loses
 *       nothing: it drains while commands are held up, queues are made and it
 *       is replaced itself; or it takes no notice, and whoever comes after it
 *       can still attach.
 * Method: a controller in a process of its own that holds up what the first
 *         process sends. That one, and each that drives it later, is a child
 *         that saves or is killed; this process keeps their descriptors. What
 *         is held up writes where the drain's new commands write, too, so that
 *         one that overtook them would be overwritten.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <nvme/types.h>

#include "base/clock.h"
#include "driver/driver.h"
#include "emu_process.h"
#include "holdfast/holdfast.h"
#include "holdfast/keeper.h"
#include "keepalive.h"

#define OLD_WRITES  8u
#define OLD         (OLD_WRITES + 1) /* and one read */
#define CPUS        3u
#define OLD_CPUS    2u /* the first process uses no more */
#define BLOCK_BYTES 4096u
#define READ_LBA    100u
#define COOKIE      UINT64_C(0x0ddba11)
#define STATE_BYTES 65536u
#define PATIENCE_MS 20000u

/* What a child tells, beside descriptors. */
struct told {
	char why[640];      /* its failure */
	uint64_t state_len; /* 0: it was killed */
	uint8_t state[STATE_BYTES];
};

struct scene {
	struct emu_process process;
	struct told *told;
	struct hf_carry *carry; /* what the last process left */
};

/* One process that drives the device. */
struct life {
	struct scene *scene;
	int keeper; /* a socket to the test */
	struct hf_driver *drv;
	struct hf_namespace *ns;
	struct hf_queue *queues[CPUS];
	struct hf_io ios[OLD];
	uint32_t ended[OLD];
	uint32_t canceled;
	uint8_t *memory;
	struct hf_error err;
};

/* A process that fails must not run the rest of the tests. */
static _Noreturn void fails(const struct life *life, const char *what)
{
	snprintf(life->scene->told->why, sizeof(life->scene->told->why),
		 "%s: %s", what, life->err.message);
	_exit(1);
}

static void must(const struct life *life, bool held, const char *what)
{
	if (!held) {
		fails(life, what);
	}
}

static void fill(uint8_t *block, uint32_t lba, uint32_t round)
{
	memset(block, (int)(16 * round + lba), BLOCK_BYTES);
}

static bool is_filled(const uint8_t *block, uint32_t lba, uint32_t round)
{
	uint8_t right[BLOCK_BYTES];

	fill(right, lba, round);
	return memcmp(block, right, BLOCK_BYTES) == 0;
}

static void note_end(struct hf_io *io, int result)
{
	struct life *life = io->user;

	life->ended[io - life->ios]++;
	life->canceled += result == -ECANCELED;
	if (result != 0 && result != -ECANCELED) {
		snprintf(life->err.message, sizeof(life->err.message),
			 "I/O %td ended with %d", io - life->ios, result);
		fails(life, "an I/O failed");
	}
}

static uint32_t sum(const uint32_t *numbers)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < OLD; i++) {
		total += numbers[i];
	}
	return total;
}

/* ------------------------------------------------------ a process's parts */

static void open_queues(struct life *life, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		must(life,
		     hf_queue_open(&life->queues[i], life->drv, i, HF_POLL,
				   &life->err) == 0,
		     "queue");
	}
}

static void reap(struct life *life)
{
	for (uint32_t i = 0; i < CPUS; i++) {
		if (life->queues[i] != NULL) {
			(void)hf_reap(life->queues[i], OLD);
		}
	}
}

static void put(struct life *life, uint32_t cpu, uint32_t i, enum hf_op op,
		uint64_t lba, void *buf)
{
	struct hf_io *io = &life->ios[i];

	hf_io_prep(io, life->ns, op, lba, 1);
	io->buf = buf;
	io->cookie = COOKIE + i;
	io->done = note_end;
	io->user = life;
	must(life, hf_submit(life->queues[cpu], &io, 1) == 1, "submit");
}

/* Those that the controller has made. */
static uint32_t count_queues(struct hf_driver *drv)
{
	uint32_t count = 0;

	pthread_mutex_lock(&drv->control);
	for (uint32_t i = 1; i < drv->ledger.header->queues_max; i++) {
		count += hf_ledger_queue_view(&drv->ledger, i).queue->state ==
			 HF_QUEUE_LIVE;
	}
	pthread_mutex_unlock(&drv->control);
	return count;
}

static uint32_t count_sent(struct hf_driver *drv)
{
	uint32_t count = 0;

	pthread_mutex_lock(&drv->control);
	for (uint32_t i = 0; i < drv->io_max; i++) {
		struct hf_qpair *qp = drv->io[i];

		if (qp != NULL) {
			hf_qpair_lock(qp);
			count += qp->pending.in_use;
			hf_qpair_unlock(qp);
		}
	}
	pthread_mutex_unlock(&drv->control);
	return count;
}

/* Of the predecessor's: all, or those that have ended. */
static uint32_t count_left(struct hf_driver *drv, bool completed)
{
	struct hf_inflight old;
	uint64_t cursor = 0;
	uint32_t count = 0;

	while (hf_inflight_next(drv, &cursor, &old) == 1) {
		count += old.completed || !completed;
	}
	return count;
}

/* The test has all descriptors from here on. */
static void be_kept(struct life *life)
{
	struct hf_carry *carry = NULL;
	char byte;

	must(life,
	     hf_driver_carry(life->drv, &carry, &life->err) == 0 &&
		     hf_carry_send(carry, life->keeper, &life->err) == 0 &&
		     recv(life->keeper, &byte, 1, 0) == 1,
	     "the keeper");
	hf_carry_free(carry);
}

static void end(struct life *life, bool planned)
{
	struct told *told = life->scene->told;
	uint8_t *bytes = NULL;
	size_t len = 0;

	told->state_len = 0;
	be_kept(life);
	if (!planned) {
		kill(getpid(), SIGKILL);
	}
	must(life,
	     hf_driver_save(life->drv, &bytes, &len, &life->err) == 0 &&
		     len <= STATE_BYTES,
	     "save");
	memcpy(told->state, bytes, len);
	told->state_len = len;
	free(bytes);
	hf_driver_leave(life->drv);
}

static void restore(struct life *life)
{
	const struct told *told = life->scene->told;
	struct hf_device *dev = NULL;

	must(life,
	     hf_device_adopt(&dev, life->scene->carry, NULL, &life->err) == 0 &&
		     hf_driver_restore(&life->drv, dev,
				       told->state_len ? told->state : NULL,
				       told->state_len, NULL, &life->err) == 0,
	     "restore");
	must(life, hf_namespace_open(&life->ns, life->drv, 1, &life->err) == 0,
	     "namespace");
	life->memory = hf_dma_alloc(life->drv, OLD * BLOCK_BYTES, &life->err);
	must(life, life->memory != NULL, "memory");
}

static void check_data(struct life *life, uint32_t rewritten, uint32_t round)
{
	for (uint32_t i = 0; i < OLD_WRITES; i++) {
		must(life, hf_read(life->ns, i, 1, life->memory) == 0, "read");
		must(life,
		     is_filled(life->memory, i, i < rewritten ? round : 1),
		     "a block reads as something else than was written last");
	}
}

static void close_all(struct life *life)
{
	for (uint32_t i = 0; i < CPUS; i++) {
		hf_queue_close(life->queues[i]);
	}
	hf_namespace_close(life->ns);
	must(life, hf_driver_close(life->drv, &life->err) == 0, "close");
}

/* ------------------------------------------------------------ whole lives */

static void sends_what_is_held_up(struct life *life, bool planned)
{
	static uint8_t private_[BLOCK_BYTES];
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);
	struct hf_driver_options options;
	struct hf_device *dev;

	hf_driver_options_init(&options);
	options.cpu_count = CPUS;
	options.io_queues = CPUS;
	must(life,
	     hf_device_open(&dev, life->scene->process.address, NULL,
			    &life->err) == 0 &&
		     hf_driver_start(&life->drv, dev, &options, &life->err) ==
			     0 &&
		     hf_driver_ready_wait(life->drv, &life->err) == 0 &&
		     hf_namespace_open(&life->ns, life->drv, 1, &life->err) ==
			     0,
	     "start");
	life->memory = hf_dma_alloc(life->drv, OLD * BLOCK_BYTES, &life->err);
	must(life, life->memory != NULL, "memory");
	open_queues(life, OLD_CPUS);
	for (uint32_t i = 0; i < OLD_WRITES; i++) {
		uint8_t *block = life->memory + (size_t)i * BLOCK_BYTES;

		fill(block, i, 1);
		put(life, i % OLD_CPUS, i, HF_OP_WRITE, i, block);
	}
	put(life, 0, OLD_WRITES, HF_OP_READ, READ_LBA, private_);
	while (count_sent(life->drv) < OLD) {
		must(life, !hf_deadline_passed(deadline), "what is sent");
		reap(life);
	}
	end(life, planned);
}

/* A drain that does not end, and writes of @round behind it: where queues were
 * and where one has to be made. */
static void begin_drain(struct life *life, uint32_t round)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

	restore(life);
	must(life, hf_driver_drain_wait(life->drv, 1, &life->err) == -ETIMEDOUT,
	     "a drain ended before the commands did");
	open_queues(life, CPUS);
	for (uint32_t i = 0; i < CPUS; i++) {
		uint8_t *block = life->memory + (size_t)i * BLOCK_BYTES;

		fill(block, i, round);
		put(life, i, i, HF_OP_WRITE, i, block);
	}
	while (count_queues(life->drv) < CPUS) {
		must(life, !hf_deadline_passed(deadline), "a queue in a drain");
		reap(life);
	}
	must(life, sum(life->ended) == 0, "a command passed the barrier");
}

static void is_replaced_while_it_drains(struct life *life, bool planned)
{
	begin_drain(life, 2);
	end(life, planned);
	must(life, life->canceled == CPUS && sum(life->ended) == CPUS,
	     "what was not begun was not said to be so");
}

static void drains_to_the_end(struct life *life, bool planned)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

	(void)planned;
	begin_drain(life, 3);
	emu_process_clear_faults(&life->scene->process);
	must(life,
	     hf_driver_drain_wait(life->drv, PATIENCE_MS, &life->err) == 0,
	     "the drain");
	while (sum(life->ended) < CPUS) {
		must(life, !hf_deadline_passed(deadline), "writes after it");
		reap(life);
	}
	must(life, life->canceled == 0, "a write was not begun");
	must(life, count_left(life->drv, false) == 0, "something is left");
	check_data(life, CPUS, 3);
	close_all(life);
}

static void takes_no_notice(struct life *life, bool planned)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

	restore(life);
	must(life, count_left(life->drv, false) == OLD, "what is left");
	emu_process_clear_faults(&life->scene->process);
	/* It works meanwhile, by the same queues. */
	open_queues(life, CPUS);
	do {
		must(life, !hf_deadline_passed(deadline), "their ends");
		must(life, hf_read(life->ns, READ_LBA, 1, life->memory) == 0,
		     "read");
		reap(life);
	} while (count_left(life->drv, true) < OLD);
	end(life, planned);
}

static void attaches_after_all(struct life *life, bool planned)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);
	struct hf_inflight old;
	uint64_t cursor = 0;

	(void)planned;
	restore(life);
	open_queues(life, CPUS);
	while (hf_inflight_next(life->drv, &cursor, &old) == 1) {
		uint64_t i = old.cookie - COOKIE;

		must(life, i < OLD && life->ios[i].ns == NULL, "a cookie");
		must(life, old.completed, "it had ended");
		life->ios[i] = (struct hf_io){
			.ns = life->ns,
			.buf = old.bounced ? life->memory : NULL,
			.done = note_end,
			.user = life,
		};
		must(life, hf_io_attach(&life->ios[i], &old, &life->err) == 0,
		     "attach");
	}
	while (sum(life->ended) < OLD) {
		must(life, !hf_deadline_passed(deadline), "ends");
		reap(life);
	}
	for (uint32_t i = 0; i < OLD; i++) {
		must(life, life->ended[i] == 1, "an end for each");
	}
	check_data(life, 0, 0);
	close_all(life);
}

/* --------------------------------------------------------------- the test */

static _Noreturn void live(struct scene *scene, int keeper, bool planned,
			   void (*what)(struct life *life, bool planned))
{
	struct life *life = calloc(1, sizeof(*life));

	if (life == NULL) {
		_exit(1);
	}
	life->scene = scene;
	life->keeper = keeper;
	what(life, planned);
	_exit(0);
}

/* What the child has the test keep, in place of what it kept before. */
static void keep(struct scene *scene, int socket)
{
	struct hf_carry *carry = NULL;
	struct hf_error err = {.message = ""};

	if (hf_carry_receive(&carry, socket, 3 * PATIENCE_MS, &err) == 0) {
		hf_carry_free(scene->carry);
		scene->carry = carry;
		assert_int_equal(send(socket, "x", 1, 0), 1);
	}
}

/* One process, until it has ended; @last: it closes the device. */
static void run(struct scene *scene, bool planned, bool last,
		void (*what)(struct life *life, bool planned))
{
	int status = 0;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		live(scene, ends[1], planned, what);
	}
	close(ends[1]);
	if (!last) {
		keep(scene, ends[0]);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ends[0]);
	if (scene->told->why[0] != '\0') {
		fail_msg("%s", scene->told->why);
	}
	assert_true(planned || last
			    ? WIFEXITED(status) && WEXITSTATUS(status) == 0
			    : WIFSIGNALED(status) &&
				      WTERMSIG(status) == SIGKILL);
}

static struct emu_process_result
replace_twice(bool first, bool second,
	      void (*middle)(struct life *life, bool planned),
	      void (*last)(struct life *life, bool planned))
{
	struct emu_process_result result = {0};
	struct scene scene = {0};

	scene.told = mmap(NULL, sizeof(*scene.told), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(scene.told, MAP_FAILED);
	emu_process_start_with(&scene.process, NULL, NULL,
			       "io-write,count=8:hold", "io-read,count=1:hold");
	run(&scene, first, false, sends_what_is_held_up);
	run(&scene, second, false, middle);
	run(&scene, true, true, last);
	hf_carry_free(scene.carry);
	emu_process_end(&scene.process, &result);
	munmap(scene.told, sizeof(*scene.told));

	assert_int_equal(result.emu.enables, 1);
	assert_int_equal(result.emu.errors, 0);
	assert_int_equal(result.emu.outstanding, 0);
	return result;
}

static void drain(bool first, bool second)
{
	RETURN_WITHOUT_KEEPALIVE();
	const struct emu_process_result result = replace_twice(
		first, second, is_replaced_while_it_drains, drains_to_the_end);

	/* None was sent twice; those of the second process were not at all. */
	assert_int_equal(result.emu.io_commands[nvme_cmd_write],
			 OLD_WRITES + CPUS);
	assert_int_equal(result.emu.io_commands[nvme_cmd_read], 1 + OLD_WRITES);
	assert_int_equal(result.emu.admin_commands[nvme_admin_create_sq], CPUS);
}

static void no_notice(bool first, bool second)
{
	RETURN_WITHOUT_KEEPALIVE();
	const struct emu_process_result result = replace_twice(
		first, second, takes_no_notice, attaches_after_all);

	assert_int_equal(result.emu.io_commands[nvme_cmd_write], OLD_WRITES);
}

#define COMBINED(name)                                                         \
	static void name##_saved_saved(void **state)                           \
	{                                                                      \
		(void)state;                                                   \
		name(true, true);                                              \
	}                                                                      \
	static void name##_saved_killed(void **state)                          \
	{                                                                      \
		(void)state;                                                   \
		name(true, false);                                             \
	}                                                                      \
	static void name##_killed_saved(void **state)                          \
	{                                                                      \
		(void)state;                                                   \
		name(false, true);                                             \
	}                                                                      \
	static void name##_killed_killed(void **state)                         \
	{                                                                      \
		(void)state;                                                   \
		name(false, false);                                            \
	}

#define LIST(name)                                                             \
	cmocka_unit_test(name##_saved_saved),                                  \
		cmocka_unit_test(name##_saved_killed),                         \
		cmocka_unit_test(name##_killed_saved),                         \
		cmocka_unit_test(name##_killed_killed)

COMBINED(drain)
COMBINED(no_notice)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIST(drain),
		LIST(no_notice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
