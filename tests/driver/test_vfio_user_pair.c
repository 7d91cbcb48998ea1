/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: driver and emulated controller work as two processes, with each kind
 * of vfio-user server; and when one of them is killed, the other one goes on
 * and says what happened.
 * Method: the controller in a child process; the driver through the public
 * API in this one, or in another child where it is the one to be killed.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/checked.h"
#include "base/clock.h"
#include "emu_process.h"
#include "holdfast/holdfast.h"
#include "keepalive.h"
#include "spec/vfio_user.h"

enum {
	BLOCK_BYTES = 4096,
	BLOCKS = 64,
	KILLS = 12,
	TIMEOUT_MS = 10000,
};

static struct emu_process process;

static int teardown(void **state)
{
	(void)state;
	emu_process_stop(&process, NULL);
	return 0;
}

static struct hf_driver *open_driver(void)
{
	struct hf_driver *drv = NULL;
	struct hf_error err = {0};

	if (hf_driver_open(&drv, process.address, NULL, &err) != 0) {
		fail_msg("%s", err.message);
	}
	return drv;
}

static struct hf_namespace *open_namespace(struct hf_driver *drv)
{
	struct hf_namespace *ns = NULL;
	struct hf_error err = {0};

	if (hf_namespace_open(&ns, drv, 1, &err) != 0) {
		fail_msg("%s", err.message);
	}
	return ns;
}

static void close_driver(struct hf_driver *drv)
{
	struct hf_error err = {0};

	if (hf_driver_close(drv, &err) != 0) {
		fail_msg("%s", err.message);
	}
}

static void fill(uint8_t *buf, uint64_t lba, uint64_t blocks, uint32_t seed)
{
	for (uint64_t i = 0; i < blocks; i++) {
		memset(buf + i * BLOCK_BYTES, (int)((lba + i) * 7 + seed),
		       BLOCK_BYTES);
		memcpy(buf + i * BLOCK_BYTES, &seed, sizeof(seed));
	}
}

/* Writes and reads back, in transfers of several sizes. */
static void move_data(struct hf_namespace *ns, uint32_t seed)
{
	static const uint64_t sizes[] = {1, 2, 3, 32, 64};
	static uint8_t out[BLOCKS * BLOCK_BYTES];
	static uint8_t in[BLOCKS * BLOCK_BYTES];

	for (uint32_t i = 0; i < HF_ARRAY_LEN(sizes); i++) {
		uint64_t lba = 100 * i;

		fill(out, lba, sizes[i], seed);
		memset(in, 0, sizeof(in));
		assert_int_equal(hf_write(ns, lba, sizes[i], out), 0);
		assert_int_equal(hf_read(ns, lba, sizes[i], in), 0);
		assert_memory_equal(in, out, sizes[i] * BLOCK_BYTES);
	}
	assert_int_equal(hf_flush(ns), 0);
}

static int64_t inspect_number(struct hf_driver *drv, const char *key)
{
	char *text = hf_driver_inspect(drv);
	struct json_object *member;

	assert_non_null(text);
	struct json_object *tree = json_tokener_parse(text);
	assert_true(json_object_object_get_ex(tree, key, &member));
	int64_t number = json_object_get_int64(member);
	json_object_put(tree);
	free(text);
	return number;
}

/* One kind of server after the other. */
static const struct mood {
	const char *name;
	void (*change)(struct hf_emu_serve_options *options);
	uint64_t errors_max; /* error replies that belong to it */
} moods[];

static void mood_messages(struct hf_emu_serve_options *options)
{
	options->doorbells = HF_EMU_DOORBELLS_MESSAGES;
}

static void mood_no_mmap(struct hf_emu_serve_options *options)
{
	options->doorbells = HF_EMU_DOORBELLS_NO_MMAP;
}

static void mood_slow(struct hf_emu_serve_options *options)
{
	options->message_interval_us = 1000;
}

static void mood_slow_messages(struct hf_emu_serve_options *options)
{
	options->message_interval_us = 1000;
	options->doorbells = HF_EMU_DOORBELLS_NO_MMAP;
}

static void mood_few_regions(struct hf_emu_serve_options *options)
{
	options->max_dma_regions = 3;
}

static void mood_secret_limit(struct hf_emu_serve_options *options)
{
	options->max_dma_regions = 3;
	options->hide_limits = true;
}

static void mood_one_descriptor(struct hf_emu_serve_options *options)
{
	options->max_msg_fds = 1;
}

static void mood_as_met(struct hf_emu_serve_options *options)
{
	options->message_interval_us = 1000;
	options->max_dma_regions = 64;
	options->hide_limits = true;
	options->max_msg_fds = 8;
	options->reset_keeps_state = true;
	options->strict_intx = true;
	options->ignore_second = true;
}

static const struct mood moods[] = {
	{"mapped doorbells", NULL, 0},
	{"doorbells by message", mood_messages, 0},
	{"no part of BAR 0 mapped", mood_no_mmap, 0},
	{"messages every millisecond", mood_slow, 0},
	{"all by message, every millisecond", mood_slow_messages, 0},
	{"three DMA regions", mood_few_regions, 0},
	{"three DMA regions, and no word of it", mood_secret_limit, 8},
	{"one descriptor a message", mood_one_descriptor, 0},
	{"a server as it was met", mood_as_met, 0},
};

static void data_moves_with_each_kind_of_server(void **state)
{
	(void)state;

	for (uint32_t i = 0; i < HF_ARRAY_LEN(moods); i++) {
		struct hf_emu_serve_stats stats;
		struct hf_emu_serve_options options;

		print_message("# %s\n", moods[i].name);
		hf_emu_serve_options_init(&options);
		if (moods[i].change != NULL) {
			moods[i].change(&options);
		}
		emu_process_start(&process, NULL, &options);
		struct hf_driver *drv = open_driver();
		struct hf_namespace *ns = open_namespace(drv);
		move_data(ns, i);
		hf_namespace_close(ns);
		close_driver(drv);
		emu_process_stop(&process, &stats);
		assert_int_equal(stats.connections, 1);
		assert_int_equal(stats.dropped, 0);
		assert_true(stats.errors <= moods[i].errors_max);
	}
}

static void memory_beyond_the_limit_goes_through_bounce_pages(void **state)
{
	struct hf_emu_serve_options options;
	struct hf_error err = {0};
	uint32_t registered = 0;

	(void)state;
	hf_emu_serve_options_init(&options);
	mood_secret_limit(&options);
	options.max_dma_regions = 20;
	emu_process_start(&process, NULL, &options);
	struct hf_driver *drv = open_driver();
	struct hf_namespace *ns = open_namespace(drv);

	int fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, 30 * BLOCK_BYTES), 0);
	uint8_t *memory = mmap(NULL, 30 * BLOCK_BYTES, PROT_READ | PROT_WRITE,
			       MAP_SHARED, fd, 0);
	int rc = 0;
	while (registered < 30) {
		rc = hf_dma_register(drv, memory + registered * BLOCK_BYTES,
				     BLOCK_BYTES, fd, registered * BLOCK_BYTES,
				     &err);
		if (rc != 0) {
			break;
		}
		registered++;
	}
	assert_int_equal(rc, -ENOSPC);
	assert_true(registered > 10 && registered < 20);
	assert_non_null(strstr(err.message, "limit"));

	/* The registered, the refused, and one across the two. */
	fill(memory, 0, 30, 9);
	assert_int_equal(hf_write(ns, 0, 30, memory), 0);
	memset(memory, 0, 30 * BLOCK_BYTES);
	assert_int_equal(hf_read(ns, 0, 30, memory), 0);
	for (uint32_t i = 0; i < 30; i++) {
		assert_int_equal(memory[i * BLOCK_BYTES + 100],
				 (uint8_t)(i * 7 + 9));
	}
	hf_namespace_close(ns);
	close_driver(drv);
	munmap(memory, 30 * BLOCK_BYTES);
	close(fd);
}

/* The queue of another CPU would be made at its first I/O, with an interrupt
 * that costs a message. */
static void stay_on_this_cpu(cpu_set_t *before)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET((size_t)sched_getcpu(), &here);
	assert_int_equal(sched_getaffinity(0, sizeof(*before), before), 0);
	assert_int_equal(sched_setaffinity(0, sizeof(here), &here), 0);
}

/* From the connection to the first completion, with all queues made. */
static void opening_costs_a_bounded_number_of_messages(void **state)
{
	struct hf_emu_serve_stats stats;
	static uint8_t block[BLOCK_BYTES];
	cpu_set_t before;

	(void)state;
	emu_process_start(&process, NULL, NULL);
	struct hf_driver *drv = open_driver();
	struct hf_namespace *ns = open_namespace(drv);
	stay_on_this_cpu(&before);
	assert_int_equal(hf_read(ns, 0, 1, block), 0);
	int64_t round_trips = inspect_number(drv, "round_trips");
	print_message("# %lld round trips to the first completion\n",
		      (long long)round_trips);
	assert_int_equal(inspect_number(drv, "round_trips_to_open"), 7);
	assert_true(round_trips <= 40);

	/* What follows costs none. */
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(hf_read(ns, i, 1, block), 0);
	}
	assert_int_equal(inspect_number(drv, "round_trips"), round_trips);
	assert_int_equal(inspect_number(drv, "messages_without_reply"), 0);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	hf_namespace_close(ns);
	close_driver(drv);
	emu_process_stop(&process, &stats);
	assert_int_equal(stats.errors, 0);
}

static void a_second_driver_is_told_that_there_is_one(void **state)
{
	struct hf_driver *second = NULL;
	struct hf_error err = {0};

	(void)state;
	emu_process_start(&process, NULL, NULL);
	struct hf_driver *drv = open_driver();
	assert_int_equal(hf_driver_open(&second, process.address, NULL, &err),
			 -EBUSY);
	assert_non_null(strstr(err.message, "another client"));
	struct hf_namespace *ns = open_namespace(drv);
	move_data(ns, 3);
	hf_namespace_close(ns);
	close_driver(drv);
}

static void the_next_driver_finds_the_data(void **state)
{
	static uint8_t block[BLOCK_BYTES];

	(void)state;
	emu_process_start(&process, NULL, NULL);
	struct hf_driver *drv = open_driver();
	struct hf_namespace *ns = open_namespace(drv);
	memset(block, 0x77, sizeof(block));
	assert_int_equal(hf_write(ns, 5, 1, block), 0);
	hf_namespace_close(ns);
	close_driver(drv);

	drv = open_driver();
	ns = open_namespace(drv);
	memset(block, 0, sizeof(block));
	assert_int_equal(hf_read(ns, 5, 1, block), 0);
	assert_int_equal(block[4095], 0x77);
	hf_namespace_close(ns);
	close_driver(drv);
}

static uint64_t random_us(uint64_t limit)
{
	static uint64_t seed = 88172645463325252u;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % limit;
}

/* Waits for a random while; the point is that nothing is known of it. */
static void let_some_time_pass(uint64_t at_most_us)
{
	const struct timespec time = {
		.tv_nsec = (long)(random_us(at_most_us) * 1000)};

	ppoll(NULL, 0, &time, NULL);
}

static void *write_until_it_fails(void *arg)
{
	struct hf_namespace *ns = arg;
	static uint8_t block[BLOCK_BYTES];
	int rc = 0;

	for (uint64_t lba = 0; rc == 0; lba = (lba + 1) % 1000) {
		rc = hf_write(ns, lba, 1, block);
	}
	return (void *)(intptr_t)rc;
}

static void a_driver_survives_the_death_of_its_controller(void **state)
{
	(void)state;

	for (uint32_t i = 0; i < KILLS; i++) {
		struct hf_error err = {0};
		struct hf_event event;
		pthread_t writer;
		void *result;
		bool told = false;

		emu_process_start(&process, NULL, NULL);
		struct hf_driver *drv = open_driver();
		struct hf_namespace *ns = open_namespace(drv);
		pthread_create(&writer, NULL, write_until_it_fails, ns);
		let_some_time_pass(30000);
		emu_process_kill(&process);

		/* What was under way ends, and soon. */
		uint64_t start_ns = hf_now_ns();
		pthread_join(writer, &result);
		assert_true((intptr_t)result < 0);
		assert_true(hf_now_ns() - start_ns < TIMEOUT_MS * HF_NS_PER_MS);
		uint64_t deadline_ns = hf_deadline_ms(TIMEOUT_MS);
		while (!told && !hf_deadline_passed(deadline_ns)) {
			struct pollfd entry = {.fd = hf_event_fd(drv),
					       .events = POLLIN};

			poll(&entry, 1, hf_deadline_poll_ms(deadline_ns));
			while (hf_event_next(drv, &event) == 1) {
				told |= event.kind == HF_EVENT_CONTROLLER_LOST;
			}
		}
		assert_true(told);
		assert_true(strlen(event.text) > 10);
		hf_namespace_close(ns);
		(void)!hf_driver_close(drv, &err);
	}
}

/* A driver in a process of its own: block N holds N once it has told so. */
static _Noreturn void write_and_tell(volatile uint64_t *told)
{
	static uint8_t block[BLOCK_BYTES];
	struct hf_namespace *ns;
	struct hf_driver *drv;
	struct hf_error err = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (hf_driver_open(&drv, process.address, NULL, &err) != 0 ||
	    hf_namespace_open(&ns, drv, 1, &err) != 0) {
		fprintf(stderr, "%s\n", err.message);
		_exit(1);
	}
	for (uint64_t lba = 1; lba < 16000; lba++) {
		memset(block, (int)lba, sizeof(block));
		memcpy(block, &lba, sizeof(lba));
		if (hf_write(ns, lba, 1, block) != 0) {
			_exit(2);
		}
		__atomic_store_n(told, lba, __ATOMIC_RELEASE);
	}
	_exit(0);
}

static void check_blocks(struct hf_namespace *ns, uint64_t last)
{
	static uint8_t block[BLOCK_BYTES];

	for (uint64_t lba = 1; lba <= last; lba++) {
		uint64_t number;

		assert_int_equal(hf_read(ns, lba, 1, block), 0);
		memcpy(&number, block, sizeof(number));
		assert_int_equal(number, lba);
		assert_int_equal(block[BLOCK_BYTES - 1], (uint8_t)lba);
	}
}

static void a_controller_survives_the_death_of_its_driver(void **state)
{
	struct hf_emu_serve_stats stats;

	(void)state;
	uint64_t *told = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	emu_process_start(&process, NULL, NULL);
	for (uint32_t i = 0; i < KILLS; i++) {
		*told = 0;
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			write_and_tell(told);
		}
		/* Also before it has opened anything. */
		let_some_time_pass(60000);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);

		uint64_t last = __atomic_load_n(told, __ATOMIC_ACQUIRE);
		struct hf_driver *drv = open_driver();
		struct hf_namespace *ns = open_namespace(drv);
		check_blocks(ns, last);
		hf_namespace_close(ns);
		close_driver(drv);
	}
	emu_process_stop(&process, &stats);
	assert_true(stats.connections >= KILLS);
	munmap(told, 4096);
}

static bool inspect_says(struct hf_driver *drv, const char *words)
{
	char *text = hf_driver_inspect(drv);
	bool says = strstr(text, words) != NULL;

	free(text);
	return says;
}

static void ignore_end(struct hf_io *io, int result)
{
	(void)io;
	(void)result;
}

/* Holds its descriptors elsewhere, then loses a read and resets; the controller
 * takes its time to become ready again, and the process dies meanwhile. */
static _Noreturn void die_in_a_reset(int socket, const char *step)
{
	struct hf_driver_options options;
	struct hf_carry *carry = NULL;
	struct hf_driver *drv = NULL;
	struct hf_namespace *ns = NULL;
	struct hf_queue *queue = NULL;
	struct hf_error err = {0};
	struct hf_io io;
	struct hf_io *list[1] = {&io};
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	hf_driver_options_init(&options);
	options.io_timeout_ms = 100;
	options.admin_timeout_ms = 100;
	if (hf_driver_open(&drv, process.address, &options, &err) != 0 ||
	    hf_namespace_open(&ns, drv, 1, &err) != 0 ||
	    hf_queue_open(&queue, drv, 0, HF_POLL, &err) != 0) {
		_exit(1);
	}
	void *memory = hf_dma_alloc(drv, BLOCK_BYTES, &err);
	if (memory == NULL || hf_write(ns, 7, 1, memory) != 0 ||
	    hf_driver_carry(drv, &carry, &err) != 0 ||
	    hf_carry_send(carry, socket, &err) != 0 ||
	    recv(socket, &byte, 1, 0) != 1) {
		_exit(2);
	}
	hf_io_prep_read(&io, ns, 666, 1, memory);
	io.cookie = 42;
	io.done = ignore_end;
	if (hf_submit(queue, list, 1) != 1) {
		_exit(3);
	}
	while (!inspect_says(drv, step)) {
	}
	kill(getpid(), SIGKILL);
	_exit(4);
}

/* Neither the rings nor the queues are what the ledger says then. @left: I/O
 * that its callers were not told of. */
static void finish_the_reset(const char *step, uint32_t left)
{
	struct hf_emu_options options;
	struct hf_carry *carry = NULL;
	struct hf_device *dev = NULL;
	struct hf_driver *drv = NULL;
	struct hf_inflight old;
	struct hf_error err = {0};
	uint64_t cursor = 0;
	int status = 0;
	int ends[2];

	hf_emu_options_init(&options);
	options.enable_delay_us = 300000;
	options.disable_delay_us = 300000;
	emu_process_start_with(&process, &options, NULL, "io-read,lba=666:drop",
			       "admin-abort:drop");
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		die_in_a_reset(ends[1], step);
	}
	close(ends[1]);
	if (hf_carry_receive(&carry, ends[0], TIMEOUT_MS, &err) != 0) {
		fail_msg("%s", err.message);
	}
	assert_int_equal(send(ends[0], "x", 1, 0), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, SIGKILL);
	close(ends[0]);

	if (hf_device_adopt(&dev, carry, NULL, &err) != 0 ||
	    hf_driver_restore(&drv, dev, NULL, 0, NULL, &err) != 0 ||
	    hf_driver_ready_wait(drv, &err) != 0) {
		fail_msg("%s", err.message);
	}
	/* A read that nobody was told of may have happened. */
	for (uint32_t i = 0; i < left; i++) {
		assert_int_equal(hf_inflight_next(drv, &cursor, &old), 1);
		assert_int_equal(old.cookie, 42);
		assert_true(old.completed);
	}
	assert_int_equal(hf_inflight_next(drv, &cursor, &old), 0);
	assert_int_equal(inspect_number(drv, "resets"), 1);
	struct hf_namespace *ns = open_namespace(drv);
	move_data(ns, 11);
	hf_namespace_close(ns);
	close_driver(drv);
	hf_carry_free(carry);
}

static void
a_reset_goes_on_when_its_process_dies_before_the_io_ended(void **state)
{
	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	finish_the_reset("disable the controller", 1);
}

static void
a_reset_goes_on_when_its_process_dies_after_the_io_ended(void **state)
{
	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	finish_the_reset("enable the controller", 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(data_moves_with_each_kind_of_server),
		TEST(memory_beyond_the_limit_goes_through_bounce_pages),
		TEST(opening_costs_a_bounded_number_of_messages),
		TEST(a_second_driver_is_told_that_there_is_one),
		TEST(the_next_driver_finds_the_data),
		TEST(a_driver_survives_the_death_of_its_controller),
		TEST(a_controller_survives_the_death_of_its_driver),
		TEST(a_reset_goes_on_when_its_process_dies_before_the_io_ended),
		TEST(a_reset_goes_on_when_its_process_dies_after_the_io_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
