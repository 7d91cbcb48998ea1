/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever memory, descriptor, mapping or thread cannot be had, a call
 * either fails with a sentence and has changed nothing, or it works and the
 * driver has said what it does without.
 * Method: each scenario runs again and again; the first time its first call
 * for a resource fails, then its second, until none is left; and once more
 * with all the calls behind it failing too. Descriptors and threads are counted
 * before and after, memory by the sanitizer. The controller is in this process
 * and has resources that run out as well, or in another.
 */
#include "exhaust.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/clock.h"
#include "emu_process.h"
#include "holdfast/holdfast.h"
#include "keepalive.h"

#define EMULATED "emulated:size=8M,lba=512"

enum {
	CALLS_MAX = 2000, /* more than any scenario makes */
	LINES_BYTES = 4096,
	PATIENCE_MS = 10000,
	/* A driver that stands has a descriptor more once somebody had to
	 * sleep; what it has when it falls is counted exactly. */
	SLACK = 2,
};

static struct {
	struct hf_driver_options options;
	struct emu_process process;
	struct hf_error err;
	char address[128];
	uint32_t lines; /* of the log, warnings and errors */
	char last_line[LINES_BYTES];
} f;

/* Where a test happens on a driver that is there, what fails leaves it as it
 * was. */
static struct hf_driver *standing;
static struct hf_namespace *standing_ns;
static uint32_t standing_before; /* descriptors */

static void log_write(void *user, enum hf_log_level level, const char *line)
{
	(void)user;
	if (level <= HF_LOG_WARNING) {
		__atomic_add_fetch(&f.lines, 1, __ATOMIC_RELAXED);
		snprintf(f.last_line, sizeof(f.last_line), "%s", line);
	}
}

static void prepare(const char *address, bool runtime)
{
	hf_driver_options_init(&f.options);
	f.options.runtime = runtime;
	f.options.cpu_count = 2;
	f.options.io_queues = 2;
	f.options.queue_entries = 16;
	f.options.pool_pages = 64;
	f.options.device.huge_pages = HF_HUGE_PAGES_OFF;
	f.options.log =
		(struct hf_log){.write = log_write, .max_level = HF_LOG_DEBUG};
	f.options.device.log = f.options.log;
	snprintf(f.address, sizeof(f.address), "%s", address);
}

/* A message that a person can do something with. */
static void check_sentence(const char *what, int rc)
{
	if (rc == 0) {
		return;
	}
	if (strlen(f.err.message) < 12 || strchr(f.err.message, ' ') == NULL) {
		fail_msg("%s fails with %d and says '%s'", what, rc,
			 f.err.message);
	}
}

static void done(struct hf_io *io, int result)
{
	*(int *)io->user = result;
}

/* One read in the event way: 0 once it has ended well. */
static int read_once(struct hf_driver *drv, struct hf_queue *queue,
		     struct hf_namespace *ns)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);
	static uint8_t buf[8 * 4096];
	int result = INT32_MIN;
	struct hf_io io;
	struct hf_io *list = &io;

	hf_io_prep_read(&io, ns, 0, 8, buf);
	io.done = done;
	io.user = &result;
	int rc = hf_submit(queue, &list, 1);
	if (rc != 1) {
		return rc;
	}
	while (__atomic_load_n(&result, __ATOMIC_ACQUIRE) == INT32_MIN) {
		assert_false(hf_deadline_passed(deadline));
		(void)hf_driver_process(drv);
		(void)hf_reap(queue, 8);
	}
	return result;
}

/* The driver's whole life on CPU 1, which has no queue pair at first. */
static int live(struct hf_driver *drv, enum hf_queue_mode mode)
{
	struct hf_namespace *ns = NULL;
	struct hf_queue *queue = NULL;

	int rc = hf_namespace_open(&ns, drv, 1, &f.err);
	check_sentence("opening a namespace", rc);
	if (rc == 0) {
		rc = hf_queue_open(&queue, drv, 1, mode, &f.err);
		check_sentence("opening a queue", rc);
	}
	if (rc == 0) {
		rc = read_once(drv, queue, ns);
	}
	if (rc == 0) {
		rc = hf_flush(ns);
	}
	hf_queue_close(queue);
	hf_namespace_close(ns);
	return rc;
}

static int open_and_live(enum hf_queue_mode mode)
{
	struct hf_driver *drv = NULL;

	int rc = hf_driver_open(&drv, f.address, &f.options, &f.err);
	check_sentence("opening", rc);
	if (rc != 0) {
		return rc;
	}
	rc = live(drv, mode);
	int closed = hf_driver_close(drv, &f.err);
	check_sentence("closing", closed);
	assert_int_equal(closed, 0);
	return rc;
}

static int open_polled(void)
{
	return open_and_live(HF_POLL);
}

static int open_threaded(void)
{
	return open_and_live(HF_THREAD);
}

/* One run of a scenario with the Nth call failing. */
struct run {
	const char *name;
	uint32_t nth;
	enum exhaust_mode mode;
	uint32_t descriptors;
	uint32_t threads;
};

static void check_run(struct run *run, const char *failed, int rc)
{
	if (rc == 0 && __atomic_load_n(&f.lines, __ATOMIC_RELAXED) == 0) {
		exhaust_tell_where();
		fail_msg("%s: call %u (%s) fails, and nobody says so",
			 run->name, run->nth, failed);
	}
	/* The other end of a connection may close a little later; so it may
	 * have been when they were counted. */
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);
	uint32_t limit = run->descriptors + (standing != NULL ? SLACK : 0);
	while (exhaust_descriptors() > limit && !hf_deadline_passed(deadline)) {
		(void)!poll(NULL, 0, 1);
	}
	if (exhaust_descriptors() > limit) {
		exhaust_tell_where();
		fail_msg("%s: call %u (%s) fails, and %u descriptors are open "
			 "that were %u",
			 run->name, run->nth, failed, exhaust_descriptors(),
			 run->descriptors);
	}
	run->descriptors = HF_MIN(run->descriptors, exhaust_descriptors());
	if (exhaust_threads() != run->threads) {
		fail_msg("%s: call %u (%s) fails, and %u threads are there "
			 "that were %u",
			 run->name, run->nth, failed, exhaust_threads(),
			 run->threads);
	}
}

static uint32_t sweep_mode(const char *name, int (*scenario)(void),
			   enum exhaust_mode mode)
{
	/* Once whole, so that what is made once is there. */
	int rc = scenario();

	if (rc != 0) {
		fail_msg("%s: %d: %s", name, rc, f.err.message);
	}
	struct run run = {
		.name = name,
		.mode = mode,
		.descriptors = exhaust_descriptors(),
		.threads = exhaust_threads(),
	};
	for (run.nth = 1; run.nth < CALLS_MAX; run.nth++) {
		f.lines = 0;
		f.err.message[0] = '\0';
		exhaust_arm(run.nth, mode);
		rc = scenario();
		const char *failed = exhaust_disarm();

		if (failed == NULL) {
			assert_int_equal(rc, 0);
			return run.nth - 1;
		}
		check_run(&run, failed, rc);
	}
	fail_msg("%s never gets through", name);
	return 0;
}

static void sweep(const char *name, int (*scenario)(void))
{
	uint32_t one = sweep_mode(name, scenario, EXHAUST_ONE);
	uint32_t rest = sweep_mode(name, scenario, EXHAUST_REST);

	print_message("# %s: %u calls failed alone, %u with all behind them\n",
		      name, one, rest);
	assert_true(one > 0 && rest > 0);
}

static void opening_and_io(void **state)
{
	(void)state;
	prepare(EMULATED, false);
	sweep("opening", open_polled);
}

static void opening_with_threads(void **state)
{
	(void)state;
	prepare(EMULATED, true);
	sweep("opening with threads", open_threaded);
}

static void stand(void)
{
	standing_before = exhaust_descriptors();
	if (hf_driver_open(&standing, f.address, &f.options, &f.err) != 0 ||
	    hf_namespace_open(&standing_ns, standing, 1, &f.err) != 0) {
		fail_msg("%s", f.err.message);
	}
}

static void still_works(void)
{
	static uint8_t buf[4096];

	assert_int_equal(hf_read(standing_ns, 0, 1, buf), 0);
}

static void fall(void)
{
	hf_namespace_close(standing_ns);
	assert_int_equal(hf_driver_close(standing, &f.err), 0);
	standing = NULL;
	standing_ns = NULL;
	assert_int_equal(exhaust_descriptors(), standing_before);
}

static int scan_again(void)
{
	struct hf_namespace *second = NULL;

	int rc = hf_namespace_rescan(standing_ns, &f.err);
	check_sentence("rescanning", rc);
	if (rc == 0) {
		rc = hf_namespace_open(&second, standing, 2, &f.err);
		check_sentence("opening a second namespace", rc);
	}
	hf_namespace_close(second);
	return rc;
}

static void rescanning(void **state)
{
	(void)state;
	prepare("emulated:size=8M,lba=512,namespaces=2", false);
	stand();
	sweep("rescanning", scan_again);
	still_works();
	fall();
}

static int look_inside(void)
{
	char *tree = hf_driver_inspect(standing);
	bool whole = tree != NULL;

	free(tree);
	/* There is no message to give: NULL says it. */
	f.lines = 1;
	return whole ? 0 : -ENOMEM;
}

static void inspecting(void **state)
{
	(void)state;
	prepare(EMULATED, false);
	stand();
	sweep_mode("inspecting", look_inside, EXHAUST_REST);
	still_works();
	fall();
}

static int setup_process(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	emu_process_start(&f.process, NULL, NULL);
	return 0;
}

static int teardown_process(void **state)
{
	(void)state;
	emu_process_stop(&f.process, NULL);
	return 0;
}

static void connecting_to_a_server(void **state)
{
	(void)state;
	prepare(f.process.address, false);
	sweep("connecting", open_polled);
}

/* Under way as the driver stands: it is saved, or goes on. */
static int save_or_go_on(void)
{
	uint8_t *bytes = NULL;
	size_t len = 0;

	int rc = hf_driver_save(standing, &bytes, &len, &f.err);
	check_sentence("saving", rc);
	if (rc == 0) {
		int resumed = hf_driver_resume(standing, &f.err);

		check_sentence("resuming", resumed);
		assert_int_equal(resumed, 0);
	}
	free(bytes);
	return rc;
}

static int save_works_or_not(void)
{
	int rc = save_or_go_on();

	still_works();
	return rc;
}

static void saving(void **state)
{
	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	prepare(f.process.address, false);
	stand();
	/* With everything failing, the read that proves it would, too. */
	sweep_mode("saving", save_works_or_not, EXHAUST_ONE);
	sweep_mode("saving", save_or_go_on, EXHAUST_REST);
	still_works();
	fall();
}

/* A set crosses a socket, or does not: both of its ends fail in turn. */
static int hand_over(void)
{
	struct hf_carry *carry = NULL;
	struct hf_carry *received = NULL;
	int ends[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	int rc = hf_driver_carry(standing, &carry, &f.err);
	check_sentence("carrying", rc);
	if (rc == 0) {
		rc = hf_carry_send(carry, ends[0], &f.err);
		check_sentence("sending", rc);
	}
	if (rc == 0) {
		rc = hf_carry_receive(&received, ends[1], 1000, &f.err);
		check_sentence("receiving", rc);
	}
	hf_carry_free(carry);
	hf_carry_free(received);
	close(ends[0]);
	close(ends[1]);
	return rc;
}

static void handing_over(void **state)
{
	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	prepare(f.process.address, false);
	stand();
	sweep("handing over", hand_over);
	still_works();
	fall();
}

/*
 * The driver leaves, as if it had been killed, and a successor goes on. What
 * fails may be asked for again, with what was left or with the device that was
 * given back: nothing has changed.
 */
static int succeed(void)
{
	struct hf_carry *left = NULL;
	struct hf_device *dev = NULL;
	struct hf_carry *first = NULL;

	exhaust_spare(true);
	assert_int_equal(hf_driver_carry(standing, &first, &f.err), 0);
	assert_int_equal(hf_carry_copy(&left, first, &f.err), 0);
	hf_carry_free(first);
	assert_int_equal(hf_carry_copy(&first, left, &f.err), 0);
	hf_driver_leave(standing);
	exhaust_spare(false);

	int rc = hf_device_adopt(&dev, first, &f.options.device, &f.err);
	check_sentence("adopting", rc);
	if (rc != 0) {
		exhaust_spare(true);
		if (hf_device_adopt(&dev, left, &f.options.device, &f.err) !=
		    0) {
			fail_msg("adopting again: %s", f.err.message);
		}
		exhaust_spare(false);
	}
	int restored =
		hf_driver_restore(&standing, dev, NULL, 0, &f.options, &f.err);
	check_sentence("restoring", restored);
	exhaust_spare(true);
	if (restored != 0 && hf_driver_restore(&standing, dev, NULL, 0,
					       &f.options, &f.err) != 0) {
		fail_msg("restoring again: %s", f.err.message);
	}
	hf_carry_free(first);
	hf_carry_free(left);
	if (hf_namespace_open(&standing_ns, standing, 1, &f.err) != 0) {
		fail_msg("%s", f.err.message);
	}
	still_works();
	exhaust_spare(false);
	return rc != 0 ? rc : restored;
}

static void taking_over(void **state)
{
	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	prepare(f.process.address, false);
	stand();
	sweep("taking over", succeed);
	fall();
}

static struct hf_keeper *keeper;
static char keeper_path[64];

/* Its client waits for its answers, so that it answers in a thread. */
static void *keep(void *user)
{
	struct pollfd pfd = {.fd = hf_keeper_fd(keeper), .events = POLLIN};

	while (!__atomic_load_n((bool *)user, __ATOMIC_ACQUIRE)) {
		if (poll(&pfd, 1, 5) > 0) {
			hf_keeper_process(keeper);
		}
	}
	return NULL;
}

static int put_and_get(void)
{
	struct hf_carry *carry = NULL;
	struct hf_carry *back = NULL;

	int rc = hf_driver_carry(standing, &carry, &f.err);
	check_sentence("carrying", rc);
	if (rc == 0) {
		rc = hf_keeper_put(keeper_path, "disk", carry, &f.err);
		check_sentence("putting", rc);
	}
	if (rc == 0) {
		rc = hf_keeper_get(keeper_path, "disk", &back, &f.err);
		check_sentence("getting", rc);
	}
	hf_carry_free(carry);
	hf_carry_free(back);
	/* It keeps no more than it did: what is counted is of both sides. */
	exhaust_spare(true);
	(void)!hf_keeper_drop(keeper_path, "disk", &f.err);
	exhaust_spare(false);
	return rc;
}

static void keeping(void **state)
{
	bool stop = false;
	pthread_t thread;

	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	prepare(f.process.address, false);
	stand();
	snprintf(keeper_path, sizeof(keeper_path), "%s.keeper",
		 f.process.directory);
	assert_int_equal(hf_keeper_open(&keeper, keeper_path, NULL, &f.err), 0);
	assert_int_equal(pthread_create(&thread, NULL, keep, &stop), 0);
	sweep("keeping", put_and_get);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	hf_keeper_close(keeper);
	still_works();
	fall();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opening_and_io),
		cmocka_unit_test(opening_with_threads),
		cmocka_unit_test(rescanning),
		cmocka_unit_test(inspecting),
		cmocka_unit_test_setup_teardown(connecting_to_a_server,
						setup_process,
						teardown_process),
		cmocka_unit_test_setup_teardown(saving, setup_process,
						teardown_process),
		cmocka_unit_test_setup_teardown(handing_over, setup_process,
						teardown_process),
		cmocka_unit_test_setup_teardown(taking_over, setup_process,
						teardown_process),
		cmocka_unit_test_setup_teardown(keeping, setup_process,
						teardown_process),
	};

	/* Which queue a blocking call takes, and what that needs, is the same
	 * in each run. */
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	(void)!sched_setaffinity(0, sizeof(set), &set);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
