/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a process that makes DMA memory and queues after its keeper was given a
 *       set can be killed at any time, also while the keeper is given the next
 *       one, and its successor restores and loses nothing. Where keeping fails,
 *       what would have to be kept is not used, and I/O goes on.
 * Method: a controller in a process of its own that holds up writes. The first
 *       driver is a child that gives its sets to a keeper in this process,
 * makes memory and a queue, and kills itself at a chosen point; the second one
 *       is a child that has nothing but what the keeper holds.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <nvme/types.h>

#include "base/clock.h"
#include "driver/driver.h"
#include "emu_process.h"
#include "holdfast/holdfast.h"
#include "holdfast/keeper.h"

#define CPUS        3u
#define BLOCK_BYTES 4096u
#define BIG_BYTES   (UINT64_C(24) << 20) /* fits no pool that there is */
#define COOKIE      UINT64_C(0x5afe)
#define PATIENCE_MS 20000u

/* Where the first process ends, and what it could do until then. */
struct told {
	char why[640];
	uint32_t puts;    /* sets that the keeper was to be given */
	uint32_t queues;  /* of the controller's */
	uint32_t written; /* writes under way, from block 0 on */
	bool restored;
};

struct plan {
	uint32_t die_before_put; /* of these; the first is number 1 */
	uint32_t die_after_put;
};

struct scene {
	struct emu_process process;
	struct told *told;
	struct plan plan;
	char keeper[96];
};

struct life {
	struct scene *scene;
	struct hf_driver *drv;
	struct hf_namespace *ns;
	struct hf_queue *queues[CPUS];
	struct hf_io ios[CPUS];
	atomic_uint ended;
	atomic_bool strike; /* nothing is kept */
	atomic_bool slow;   /* the keeper takes its time */
	atomic_bool waits;  /* it does at the moment */
	struct hf_error err;
};

static _Noreturn void fails(struct life *life, const char *what)
{
	snprintf(life->scene->told->why, sizeof(life->scene->told->why),
		 "%s: %s", what, life->err.message);
	_exit(1);
}

static void must(struct life *life, bool held, const char *what)
{
	if (!held) {
		fails(life, what);
	}
}

static void note_end(struct hf_io *io, int result)
{
	struct life *life = io->user;

	must(life, result == 0, "an I/O failed");
	atomic_fetch_add(&life->ended, 1);
}

static void fill(uint8_t *block, uint64_t lba)
{
	memset(block, (int)(0x30 + lba), BLOCK_BYTES);
}

static void put_write(struct life *life, uint32_t cpu, uint8_t *block)
{
	struct hf_io *io = &life->ios[cpu];
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);
	uint32_t sent = 0;

	fill(block, cpu);
	must(life,
	     hf_queue_open(&life->queues[cpu], life->drv, cpu, HF_POLL,
			   &life->err) == 0,
	     "queue");
	hf_io_prep(io, life->ns, HF_OP_WRITE, cpu, 1);
	io->buf = block;
	io->cookie = COOKIE + cpu;
	io->done = note_end;
	io->user = life;
	must(life, hf_submit(life->queues[cpu], &io, 1) == 1, "submit");
	while (sent <= life->scene->told->written) {
		must(life, !hf_deadline_passed(deadline), "what is sent");
		sent = 0;
		pthread_mutex_lock(&life->drv->control);
		for (uint32_t i = 0; i < life->drv->io_max; i++) {
			struct hf_qpair *qp = life->drv->io[i];

			if (qp != NULL) {
				hf_qpair_lock(qp);
				sent += qp->pending.in_use;
				hf_qpair_unlock(qp);
			}
		}
		pthread_mutex_unlock(&life->drv->control);
	}
	life->scene->told->written = sent;
}

/* --------------------------------------------------------- the first process
 */

static int give(struct hf_driver *drv, struct hf_carry *carry, void *user,
		struct hf_error *err)
{
	struct life *life = user;
	const struct plan *plan = &life->scene->plan;
	struct hf_error inner;

	if (life->strike) {
		snprintf(err->message, sizeof(err->message), "on strike");
		return -EIO;
	}
	uint32_t number = ++life->scene->told->puts;

	if (life->slow) {
		uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

		life->waits = true;
		while (life->slow) {
			must(life, !hf_deadline_passed(deadline), "no end");
			sched_yield();
		}
		life->waits = false;
	}

	/* What would need a turn of its own is refused, not waited for. */
	must(life,
	     hf_dma_alloc(drv, 2 * BIG_BYTES, &inner) == NULL &&
		     inner.code == -EDEADLK,
	     "memory from within");
	if (number == plan->die_before_put) {
		kill(getpid(), SIGKILL);
	}
	int rc = hf_keeper_put(life->scene->keeper, "disk0", carry, err);
	if (number == plan->die_after_put) {
		kill(getpid(), SIGKILL);
	}
	return rc;
}

static void begin(struct life *life)
{
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
	must(life, hf_driver_keep_now(life->drv, &life->err) == -EINVAL,
	     "nobody to keep");
	must(life,
	     hf_driver_keep_with(life->drv, give, life, &life->err) == 0 &&
		     hf_driver_keep_now(life->drv, &life->err) == 0,
	     "the first set");
}

static void *register_more(struct life *life)
{
	uint64_t len = 64 * BLOCK_BYTES;
	int fd = memfd_create("mine", MFD_CLOEXEC);
	void *memory = NULL;

	if (fd >= 0 && ftruncate(fd, (off_t)len) == 0) {
		memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			      0);
	}
	must(life, memory != NULL && memory != MAP_FAILED, "a memfd");
	int rc = hf_dma_register(life->drv, memory, len, fd, 0, &life->err);
	close(fd);
	return rc == 0 ? memory : NULL;
}

/* A queue that is made after this has to have memory made. */
static void leave_no_room(struct life *life)
{
	life->strike = true;
	while (hf_dma_alloc(life->drv, UINT64_C(64) << 10, &life->err) !=
	       NULL) {
	}
	life->strike = false;
}

/* Memory, memory of its own, and queues on CPUs that had none. */
static void makes_more(struct life *life)
{
	begin(life);
	uint8_t *big = hf_dma_alloc(life->drv, BIG_BYTES, &life->err);
	must(life, big != NULL, "memory");
	put_write(life, 0, big + BIG_BYTES - BLOCK_BYTES);
	uint8_t *mine = register_more(life);
	must(life, mine != NULL, "registered memory");
	put_write(life, 1, mine + BLOCK_BYTES);
	leave_no_room(life);
	uint32_t puts = life->scene->told->puts;
	put_write(life, 2, mine + (size_t)2 * BLOCK_BYTES);
	must(life, life->scene->told->puts == puts + 1,
	     "a queue's memory was not kept before the queue was made");
	life->scene->told->queues = life->drv->io_count;
	kill(getpid(), SIGKILL);
}

static void is_refused(struct life *life)
{
	struct hf_driver_info info = {.fallback_cpus = 0};
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);
	uint8_t *small = NULL;

	begin(life);
	life->strike = true;
	small = hf_dma_alloc(life->drv, CPUS * BLOCK_BYTES, &life->err);
	must(life, small != NULL, "memory that there is");
	must(life,
	     hf_dma_alloc(life->drv, BIG_BYTES, &life->err) == NULL &&
		     life->err.code == -EIO &&
		     strstr(life->err.message, "on strike") != NULL,
	     "memory that is not kept");
	must(life,
	     register_more(life) == NULL && life->err.code == -EIO &&
		     strstr(life->err.message, "on strike") != NULL,
	     "registered memory that is not kept");
	leave_no_room(life);
	life->strike = true;
	for (uint32_t i = 0; i < CPUS; i++) {
		put_write(life, i, small + (size_t)i * BLOCK_BYTES);
	}
	while (info.fallback_cpus == 0) {
		must(life, !hf_deadline_passed(deadline), "no fallback");
		hf_driver_get_info(life->drv, &info);
	}
	life->scene->told->queues = life->drv->io_count;
	kill(getpid(), SIGKILL);
}

static void put_read(struct life *life, uint32_t cpu, uint8_t *block)
{
	struct hf_io *io = &life->ios[cpu];

	hf_io_prep(io, life->ns, HF_OP_READ, cpu, 1);
	io->buf = block;
	io->done = note_end;
	io->user = life;
	must(life, hf_submit(life->queues[cpu], &io, 1) == 1, "submit");
}

static void await_end(struct life *life, uint32_t cpu, uint32_t ended)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

	while (atomic_load(&life->ended) < ended) {
		must(life, !hf_deadline_passed(deadline), "a read's end");
		(void)hf_reap(life->queues[cpu], 1);
	}
}

/* On a queue that there is, while the keeper takes its time. */
static void read_meanwhile(struct life *life, uint8_t *block)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

	while (!life->waits) {
		must(life, !hf_deadline_passed(deadline), "nothing is kept");
		sched_yield();
	}
	for (uint32_t i = 0; i < 8; i++) {
		uint32_t ended = atomic_load(&life->ended);

		put_read(life, 0, block);
		await_end(life, 0, ended + 1);
		must(life, life->waits, "the keeper did not wait");
	}
	life->slow = false;
}

static void *ask_for_memory(void *user)
{
	struct life *life = user;
	struct hf_error err;

	return hf_dma_alloc(life->drv, BIG_BYTES, &err);
}

static void reads_meanwhile(struct life *life)
{
	pthread_t thread;
	void *memory = NULL;

	begin(life);
	uint8_t *block =
		hf_dma_alloc(life->drv, CPUS * BLOCK_BYTES, &life->err);
	must(life, block != NULL, "memory");
	for (uint32_t i = 0; i < 2; i++) {
		must(life,
		     hf_queue_open(&life->queues[i], life->drv, i, HF_POLL,
				   &life->err) == 0,
		     "queue");
	}
	put_read(life, 0, block);
	await_end(life, 0, 1);

	life->slow = true;
	must(life, pthread_create(&thread, NULL, ask_for_memory, life) == 0,
	     "thread");
	read_meanwhile(life, block);
	pthread_join(thread, &memory);
	must(life, memory != NULL, "memory that was kept in the end");

	leave_no_room(life);
	life->slow = true;
	put_read(life, 1, block + BLOCK_BYTES);
	uint32_t ended = atomic_load(&life->ended);
	read_meanwhile(life, block);
	await_end(life, 1, ended + 9);
	kill(getpid(), SIGKILL);
}

/* -------------------------------------------------------- the second process
 */

static uint32_t attach(struct life *life)
{
	struct hf_inflight old;
	uint64_t cursor = 0;
	uint32_t count = 0;

	while (hf_inflight_next(life->drv, &cursor, &old) == 1) {
		uint64_t i = old.cookie - COOKIE;

		must(life, i < CPUS && life->ios[i].ns == NULL, "a cookie");
		must(life, old.buf != NULL && !old.bounced, "its memory");
		life->ios[i] = (struct hf_io){
			.ns = life->ns,
			.done = note_end,
			.user = life,
		};
		must(life, hf_io_attach(&life->ios[i], &old, &life->err) == 0,
		     "attach");
		count++;
	}
	return count;
}

static void check_data(struct life *life)
{
	uint8_t *memory = hf_dma_alloc(life->drv, BLOCK_BYTES, &life->err);
	uint8_t right[BLOCK_BYTES];

	must(life, memory != NULL, "memory");
	for (uint32_t i = 0; i < life->scene->told->written; i++) {
		fill(right, i);
		must(life,
		     hf_read(life->ns, i, 1, memory) == 0 &&
			     memcmp(memory, right, BLOCK_BYTES) == 0,
		     "a block reads as something else");
	}
}

static void goes_on(struct life *life)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);
	struct told *told = life->scene->told;
	struct hf_device *dev = NULL;
	char where[128];

	snprintf(where, sizeof(where), "unix:%s#disk0", life->scene->keeper);
	must(life,
	     hf_device_take(&dev, where, NULL, NULL, &life->err) == 0 &&
		     hf_driver_restore(&life->drv, dev, NULL, 0, NULL,
				       &life->err) == 0 &&
		     hf_namespace_open(&life->ns, life->drv, 1, &life->err) ==
			     0,
	     "restore");
	told->restored = true;
	uint32_t count = attach(life);
	must(life, count == told->written, "what was under way is not there");
	emu_process_clear_faults(&life->scene->process);
	for (uint32_t i = 0; i < CPUS; i++) {
		must(life,
		     hf_queue_open(&life->queues[i], life->drv, i, HF_POLL,
				   &life->err) == 0,
		     "queue");
	}
	while (atomic_load(&life->ended) < count) {
		must(life, !hf_deadline_passed(deadline), "ends");
		for (uint32_t i = 0; i < CPUS; i++) {
			(void)hf_reap(life->queues[i], CPUS);
		}
	}
	check_data(life);
	for (uint32_t i = 0; i < CPUS; i++) {
		hf_queue_close(life->queues[i]);
	}
	hf_namespace_close(life->ns);
	must(life, hf_driver_close(life->drv, &life->err) == 0, "close");
}

/* ----------------------------------------------------------------- the test */

/* Serves the keeper for as long as the child lives. */
static int run(struct scene *scene, struct hf_keeper *keeper,
	       void (*what)(struct life *life))
{
	uint64_t deadline = hf_deadline_ms(2 * PATIENCE_MS);
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct life *life = calloc(1, sizeof(*life));

		if (life == NULL) {
			_exit(1);
		}
		life->scene = scene;
		what(life);
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		struct pollfd entry = {.fd = hf_keeper_fd(keeper),
				       .events = POLLIN};

		assert_false(hf_deadline_passed(deadline));
		(void)!poll(&entry, 1, 20);
		hf_keeper_process(keeper);
	}
	if (scene->told->why[0] != '\0') {
		fail_msg("%s", scene->told->why);
	}
	return status;
}

static struct told kill_and_go_on(struct plan plan,
				  void (*first)(struct life *life))
{
	struct emu_process_result result = {0};
	struct scene scene = {.plan = plan};
	struct hf_keeper *keeper = NULL;
	struct hf_error err = {.message = ""};

	scene.told = mmap(NULL, sizeof(*scene.told), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(scene.told, MAP_FAILED);
	emu_process_start_with(&scene.process, NULL, NULL, "io-write:hold",
			       NULL);
	snprintf(scene.keeper, sizeof(scene.keeper), "%s/keeper",
		 scene.process.directory);
	assert_int_equal(hf_keeper_open(&keeper, scene.keeper, NULL, &err), 0);
	int status = run(&scene, keeper, first);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	status = run(&scene, keeper, goes_on);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	hf_keeper_close(keeper);
	emu_process_end(&scene.process, &result);

	struct told told = *scene.told;
	munmap(scene.told, sizeof(*scene.told));
	assert_true(told.restored);
	assert_int_equal(result.emu.enables, 1);
	assert_int_equal(result.emu.errors, 0);
	assert_int_equal(result.emu.outstanding, 0);
	assert_int_equal(result.emu.io_commands[nvme_cmd_write], told.written);
	return told;
}

static void killed_after_memory_and_queues_were_made(void **state)
{
	const struct plan plan = {.die_after_put = 0};
	struct told told = kill_and_go_on(plan, makes_more);

	(void)state;
	assert_int_equal(told.queues, CPUS);
	assert_int_equal(told.written, CPUS);
	/* The first, the large block, the registered memory, and then some. */
	assert_true(told.puts >= 4);
}

static void killed_around_each_put(void **state)
{
	const struct plan whole = {.die_after_put = 0};
	uint32_t puts = kill_and_go_on(whole, makes_more).puts;

	(void)state;
	for (uint32_t number = 1; number <= puts; number++) {
		const struct plan before = {.die_before_put = number};
		const struct plan after = {.die_after_put = number};

		/* Before the first, there is nothing to go on with. */
		if (number > 1) {
			(void)kill_and_go_on(before, makes_more);
		}
		(void)kill_and_go_on(after, makes_more);
	}
}

static void what_is_not_kept_is_not_used(void **state)
{
	const struct plan plan = {.die_after_put = 0};
	struct told told = kill_and_go_on(plan, is_refused);

	(void)state;
	assert_int_equal(told.written, CPUS);
	assert_true(told.queues < CPUS);
}

static void io_goes_on_while_something_is_kept(void **state)
{
	const struct plan plan = {.die_after_put = 0};

	(void)state;
	(void)kill_and_go_on(plan, reads_meanwhile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_after_memory_and_queues_were_made),
		cmocka_unit_test(killed_around_each_put),
		cmocka_unit_test(what_is_not_kept_is_not_used),
		cmocka_unit_test(io_goes_on_while_something_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
