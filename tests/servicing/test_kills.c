/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: killed hundreds of times, at random points of taking over and of its
 *       work, the process that drives a controller loses no command, tells none
 *       twice to one attachment, and every block reads as what was written
 *       last.
 * Method: a controller in a process of its own; the owner is a child with the
 *         verified load of "holdfast serve", its threads and all. This process
 *         holds the descriptors, kills the child, and forks the next one: no
 *         program is started, so that many can die in a short time. The last
 *         one ends all that is under way and reads everything.
 * HOLDFAST_KILLS (300): how often; HOLDFAST_SECONDS (20): at most so long, but
 * for the first hundred; HOLDFAST_SEED: of an earlier run. The seed decides
 * when they are killed, not how far they have come by then.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <nvme/types.h>

#include "base/clock.h"
#include "emu_process.h"
#include "holdfast/holdfast.h"
#include "serve_load.h"

enum {
	CPUS = 2,
	DEPTH = 32, /* of each */
	UNITS = 1024,
	BLOCK_BYTES = 4096,
	KILLS_MIN = 100,
	PATIENCE_MS = 20000,
	TAKING_OVER_US = 15000, /* about as long as that takes */
	WORKING_US = 3000,
};

/* Which part of its life the last owner was in. */
enum stage { TAKES_OVER, WORKS, STAGES };

struct told {
	uint32_t stage; /* atomic */
	char why[640];  /* its failure */
};

struct scene {
	struct emu_process process;
	struct serve_shared *shared;
	struct load_table *table; /* this process's view of it */
	int table_fd;
	struct told *told;
	struct hf_carry *carry; /* all that there is to go on with */
	uint64_t random;
	uint32_t killed[STAGES];
};

struct life {
	struct scene *scene;
	struct hf_device *dev;
	struct serve_load load;
	struct hf_error err;
};

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

/* Splitmix. */
static uint64_t draw_below(struct scene *scene, uint64_t limit)
{
	scene->random += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t x = scene->random;

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) % limit;
}

static void pass_us(uint64_t us)
{
	const struct timespec pause = {.tv_nsec = (long)us * 1000};

	nanosleep(&pause, NULL);
}

/* ------------------------------------------------------------- the children */

static void must(struct life *life, bool held, const char *what)
{
	if (!held) {
		snprintf(life->scene->told->why, sizeof(life->scene->told->why),
			 "%s: %s", what, life->err.message);
		_exit(1);
	}
}

static void begin(struct life *life, struct scene *scene)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memset(life, 0, sizeof(*life));
	life->scene = scene;
	/* As a process of its own: what a dead one left is put right. */
	int rc = load_table_attach(&life->load.table, scene->table_fd);
	if (rc == 0) {
		load_free_orphans(life->load.table);
	}
	must(life, rc == 0, "the load's table");
	life->load.shared = scene->shared;
	life->load.way = SERVE_KILLED;
}

static void open_namespace(struct life *life)
{
	must(life,
	     hf_namespace_open(&life->load.ns, life->load.drv, 1, &life->err) ==
		     0,
	     "the namespace");
}

static void start_load(struct life *life)
{
	must(life, serve_load_start(&life->load, &life->err) == 0,
	     "the load's threads");
	serve_load_issue(&life->load, true);
	__atomic_store_n(&life->scene->told->stage, WORKS, __ATOMIC_RELEASE);
}

/* Gives the descriptors away, works, and waits to be killed. */
static _Noreturn void first_owner(struct scene *scene, int socket)
{
	struct hf_driver_options options;
	struct hf_carry *carry = NULL;
	struct life life;

	begin(&life, scene);
	hf_driver_options_init(&options);
	options.cpu_count = CPUS;
	options.io_queues = CPUS;
	must(&life,
	     hf_driver_open(&life.load.drv, scene->process.address, &options,
			    &life.err) == 0,
	     "opening");
	open_namespace(&life);
	must(&life, serve_load_prepare(&life.load, &life.err) == 0, "the load");
	must(&life,
	     hf_driver_carry(life.load.drv, &carry, &life.err) == 0 &&
		     hf_carry_send(carry, socket, &life.err) == 0,
	     "giving descriptors away");
	start_load(&life);
	for (;;) {
		pause();
	}
}

static void take_over(struct life *life)
{
	must(life,
	     hf_device_adopt(&life->dev, life->scene->carry, NULL,
			     &life->err) == 0,
	     "adopting");
	must(life,
	     hf_driver_restore(&life->load.drv, life->dev, NULL, 0, NULL,
			       &life->err) == 0,
	     "restoring");
	open_namespace(life);
	must(life, serve_load_inherit(&life->load, &life->err) == 0,
	     "attaching");
}

static _Noreturn void owner(struct scene *scene)
{
	struct life life;

	begin(&life, scene);
	take_over(&life);
	start_load(&life);
	for (;;) {
		pause();
	}
}

static _Noreturn void last_owner(struct scene *scene)
{
	struct life life;

	begin(&life, scene);
	take_over(&life);
	start_load(&life);
	must(&life, serve_load_drain(&life.load, PATIENCE_MS),
	     "commands do not end");
	serve_load_stop(&life.load);
	must(&life, serve_load_verify_all(&life.load, &life.err) == 0,
	     "reading everything");
	serve_load_fini(&life.load, false);
	hf_namespace_close(life.load.ns);
	must(&life, hf_driver_close(life.load.drv, &life.err) == 0, "closing");
	_exit(0);
}

/* ----------------------------------------------------------------- the test */

static void assert_well(const struct scene *scene)
{
	if (scene->told->why[0] != '\0' || scene->shared->fault[0] != '\0') {
		fail_msg("%s; %s", scene->told->why, scene->shared->fault);
	}
}

static uint64_t completed(const struct scene *scene)
{
	struct load_counters counters;

	load_get_counters(scene->table, &counters);
	return counters.completed;
}

/* A time in which nothing completes would test nothing. */
static void await_progress(struct scene *scene, uint64_t before)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

	while (completed(scene) <= before) {
		assert_well(scene);
		if (hf_deadline_passed(deadline)) {
			fail_msg("nothing completes");
		}
		pass_us(100);
	}
}

static void bury(struct scene *scene, pid_t pid)
{
	int status = 0;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_well(scene);
	assert_int_equal(status, SIGKILL);
	scene->killed[__atomic_load_n(&scene->told->stage, __ATOMIC_ACQUIRE)]++;
}

static pid_t start(struct scene *scene, int socket)
{
	__atomic_store_n(&scene->told->stage, TAKES_OVER, __ATOMIC_RELEASE);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (socket >= 0) {
			first_owner(scene, socket);
		}
		owner(scene);
	}
	return pid;
}

static void let_the_first_die(struct scene *scene)
{
	struct hf_error err = {.message = ""};
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	pid_t pid = start(scene, ends[1]);
	close(ends[1]);
	int rc = hf_carry_receive(&scene->carry, ends[0], PATIENCE_MS, &err);
	if (rc != 0) {
		fail_msg("%s; %s", scene->told->why, err.message);
	}
	close(ends[0]);
	await_progress(scene, 0);
	bury(scene, pid);
}

/* Every third dies at any time, most of these while they take over; the others
 * once they work. */
static void let_one_die(struct scene *scene)
{
	uint64_t before = completed(scene);
	pid_t pid = start(scene, -1);

	if (draw_below(scene, 3) == 0) {
		pass_us(draw_below(scene, TAKING_OVER_US));
	} else {
		await_progress(scene, before);
		pass_us(draw_below(scene, WORKING_US));
	}
	bury(scene, pid);
}

static void let_the_last_end(struct scene *scene)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		last_owner(scene);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_well(scene);
	assert_int_equal(status, 0);
}

static void judge(const struct scene *scene)
{
	struct load_counters counters;

	load_get_counters(scene->table, &counters);
	print_message("# %u killed while they took over, %u at work; "
		      "%llu commands, %llu not begun, %llu told again, "
		      "%llu blocks verified\n",
		      scene->killed[TAKES_OVER], scene->killed[WORKS],
		      (unsigned long long)counters.issued,
		      (unsigned long long)counters.not_begun,
		      (unsigned long long)scene->shared->told_again,
		      (unsigned long long)counters.verified_blocks);
	assert_int_equal(counters.issued,
			 counters.completed + counters.not_begun);
	assert_int_equal(scene->shared->lost, 0);
	assert_int_equal(scene->shared->unknown, 0);
	assert_int_equal(counters.duplicated, 0);
	assert_int_equal(counters.failed, 0);
	assert_int_equal(counters.wrong_blocks, 0);
	assert_true(counters.verified_blocks > 0);
}

static void make_scene(struct scene *scene)
{
	struct load_geometry geometry = {
		.nsid = 1,
		.block_bytes = BLOCK_BYTES,
		.unit_blocks = 1,
		.slots = CPUS * DEPTH,
		.units = UNITS,
	};

	memset(scene, 0, sizeof(*scene));
	scene->random = number_of("HOLDFAST_SEED", hf_now_ns() % 100000000);
	print_message("# HOLDFAST_SEED=%llu\n",
		      (unsigned long long)scene->random);
	geometry.load = scene->random | 1;
	scene->told = mmap(NULL, sizeof(*scene->told), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(scene->told, MAP_FAILED);
	emu_process_start(&scene->process, NULL, NULL);
	int fd;
	assert_int_equal(serve_shared_create(&scene->shared, &fd), 0);
	close(fd);
	scene->shared->workers = CPUS;
	scene->shared->depth = DEPTH;
	scene->shared->read_percent = 50;
	assert_int_equal(
		load_table_create(&scene->table, &geometry, &scene->table_fd),
		0);
}

static void killed_at_random_nothing_is_lost(void **state)
{
	uint64_t kills = number_of("HOLDFAST_KILLS", 300);
	uint64_t deadline =
		hf_deadline_ms(1000 * number_of("HOLDFAST_SECONDS", 20));
	struct emu_process_result result = {0};
	static struct scene scene;

	(void)state;
	make_scene(&scene);
	let_the_first_die(&scene);
	for (uint64_t i = 1; i < kills; i++) {
		if (i >= KILLS_MIN && hf_deadline_passed(deadline)) {
			break;
		}
		let_one_die(&scene);
	}
	let_the_last_end(&scene);
	hf_carry_free(scene.carry);
	emu_process_end(&scene.process, &result);
	judge(&scene);
	assert_int_equal(result.emu.enables, 1);
	assert_int_equal(result.emu.errors, 0);
	load_table_close(scene.table);
	close(scene.table_fd);
	serve_shared_close(scene.shared);
	munmap(scene.told, sizeof(*scene.told));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_random_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
