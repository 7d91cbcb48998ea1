/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: while the program has the memory of a new queue kept, however long that
 *       takes, all else goes on: deadlines, events, jobs, resets. Who saves or
 *       closes the driver meanwhile has no older set replace a successor's.
 * Method: a driver with threads of its own, all of whose memory is in use, and
 *         a function that keeps its sets, or does not return before it is told
 *         to, or puts them to a keeper that stands still. Meant to run under
 *         ThreadSanitizer.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <nvme/types.h>

#include "base/clock.h"
#include "driver/bring_up.h"
#include "heir_load.h"
#include "holdfast/keeper.h"
#include "keepalive.h"

#define CPUS        3u
#define PATIENCE_MS 20000
#define SET         "disk0"

/* Who keeps. */
struct friend
{
	struct rig *rig;
	atomic_bool refuses;
	atomic_bool holds;
	atomic_bool hesitates; /* until somebody waits for it, and fails */
	atomic_bool is_held;   /* a call that holds is under way */
	atomic_int result;     /* of the last call */
	atomic_uint calls;     /* but for those that were refused */
	atomic_bool was_on_a_thread;
	atomic_bool was_forgotten;
	int release; /* eventfd */
	char keeper[64];
};

static void hold(struct friend *friend)
{
	struct pollfd release = {.fd = friend->release, .events = POLLIN};

	friend->is_held = true;
	if (poll(&release, 1, PATIENCE_MS) != 1) {
		friend->was_forgotten = true;
	}
	friend->is_held = false;
}

static int hesitate(struct friend *friend, const struct hf_driver *drv)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

	friend->hesitates = false;
	friend->is_held = true;
	while (__atomic_load_n(&drv->keep.pauses, __ATOMIC_ACQUIRE) % 2 == 0 &&
	       !friend->was_forgotten) {
		friend->was_forgotten = hf_deadline_passed(deadline);
		(void)!poll(NULL, 0, 1);
	}
	friend->is_held = false;
	return -EIO;
}

static int keep(struct hf_driver *drv, struct hf_carry *carry, void *user,
		struct hf_error *err)
{
	struct friend *friend = user;
	struct hf_carry *own = NULL;
	char name[16] = "";

	if (friend->refuses) {
		return -EIO;
	}
	(void)pthread_getname_np(pthread_self(), name, sizeof(name));
	friend->was_on_a_thread = strcmp(name, "hf-keep") == 0;
	friend->calls++;
	/* What takes the control lock can be called. */
	int rc = hf_driver_carry(drv, &own, err);
	hf_carry_free(own);
	if (rc == 0 && friend->keeper[0] != '\0') {
		rc = hf_keeper_put(friend->keeper, SET, carry, err);
	} else if (rc == 0 && friend->holds) {
		hold(friend);
	} else if (rc == 0 && friend->hesitates) {
		rc = hesitate(friend, drv);
	}
	friend->result = rc;
	return rc;
}

static void let_go(struct friend *friend)
{
	friend->holds = false;
	assert_int_equal(eventfd_write(friend->release, 1), 0);
}

static bool is_held(void *arg)
{
	struct friend *friend = arg;

	return friend->is_held;
}

/* A queue that is made after this has to have memory made. */
static void leave_no_room(struct friend *friend)
{
	struct rig *rig = friend->rig;

	friend->refuses = true;
	while (hf_dma_alloc(rig->drv, 64 << 10, &rig->err) != NULL) {
	}
	friend->refuses = false;
}

/* A driver with one queue, no room for others, and a friend. */
static struct friend *befriend(struct rig *rig)
{
	struct friend *friend = calloc(1, sizeof(*friend));

	assert_non_null(friend);
	friend->rig = rig;
	friend->release = eventfd(0, EFD_CLOEXEC);
	assert_true(friend->release >= 0);
	rig->options.cpu_count = CPUS;
	rig->options.io_queues = CPUS;
	heirs_open(rig);
	assert_int_equal(hf_driver_keep_with(rig->drv, keep, friend, &rig->err),
			 0);
	assert_int_equal(hf_driver_keep_now(rig->drv, &rig->err), 0);
	leave_no_room(friend);
	friend->calls = 0;
	return friend;
}

static struct friend *befriend_with_threads(struct rig *rig)
{
	rig->options.runtime = true;
	return befriend(rig);
}

static void part(struct friend *friend)
{
	assert_false(friend->was_forgotten);
	close(friend->release);
	heirs_end(friend->rig);
	free(friend);
}

/* ------------------------------------------------- what goes on meanwhile */

struct ended {
	struct load *load;
	uint32_t i;
};

static bool has_ended(void *arg)
{
	struct ended *ended = arg;

	(void)hf_reap(ended->load->queue, WORK_MAX);
	return __atomic_load_n(&ended->load->work[ended->i].calls,
			       __ATOMIC_ACQUIRE) != 0;
}

static void a_deadline_passes(struct rig *rig, struct load *load, uint8_t *data)
{
	uint32_t rule = rig_rule(rig, "io-read:hold");
	struct ended ended = {load, 1};

	load_put(rig, load, 1, HF_OP_READ, 0, 1, data);
	rig_until(rig, has_ended, &ended);
	assert_int_equal(load->work[1].result, NVME_SC_ABORT_REQ);
	(void)hf_emu_fault_remove(rig->emu, rule);
}

static bool was_reset(void *arg)
{
	struct rig *rig = arg;

	if (hf_driver_state(rig->drv) != HF_DRIVER_READY) {
		return false;
	}
	pthread_mutex_lock(&rig->drv->control);
	uint32_t resets = rig->drv->resets;
	pthread_mutex_unlock(&rig->drv->control);
	return resets != 0;
}

static void a_reset_goes_on(struct rig *rig)
{
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, "the test asks for it");
	pthread_mutex_unlock(&rig->drv->control);
	hf_driver_kick(rig->drv);
	rig_until(rig, was_reset, rig);
}

static void the_tree_tells_of_it(struct rig *rig)
{
	char *tree = hf_driver_inspect(rig->drv);

	assert_non_null(tree);
	assert_non_null(strstr(tree, "\"make a queue\""));
	free(tree);
}

static void control_work_goes_on_while_a_queue_waits(void **state)
{
	struct rig *rig = *state;
	uint8_t data[2][512];

	RETURN_WITHOUT_KEEPALIVE();
	rig->options.io_timeout_ms = 300;
	struct friend *friend = befriend_with_threads(rig);
	struct load *first = load_of(rig, 0);
	struct load *late = load_of(rig, 1);

	friend->holds = true;
	load_put(rig, late, 0, HF_OP_READ, 0, 1, data[0]);
	rig_until(rig, is_held, friend);

	the_tree_tells_of_it(rig);
	a_deadline_passes(rig, first, data[1]);
	assert_int_equal(hf_emu_namespace_resize(
				 rig->emu, 1, (uint64_t)4096 * 512, &rig->err),
			 0);
	(void)rig_event(rig, HF_EVENT_NAMESPACE_CHANGED);
	assert_int_equal(hf_namespace_rescan(rig->ns, &rig->err), 0);
	a_reset_goes_on(rig);
	assert_true(friend->is_held);
	assert_int_equal(late->work[0].calls, 0);

	let_go(friend);
	assert_int_equal(rig_finish(rig, late->queue, &late->work[0]), 0);
	assert_int_equal(hf_issuer_qpair(&rig->drv->issuers.each[1])->cpu, 1);
	assert_true(friend->was_on_a_thread);
	assert_int_equal(friend->calls, 1);
	load_drop(first);
	load_drop(late);
	part(friend);
}

static void two_queues_wait_for_one_call(void **state)
{
	struct rig *rig = *state;
	struct load *loads[CPUS];
	uint8_t data[CPUS][512];

	RETURN_WITHOUT_KEEPALIVE();
	struct friend *friend = befriend_with_threads(rig);

	friend->holds = true;
	for (uint32_t i = 1; i < CPUS; i++) {
		loads[i] = load_of(rig, i);
		load_put(rig, loads[i], 0, HF_OP_READ, 0, 1, data[i]);
		rig_until(rig, is_held, friend);
	}
	/* A job that comes last is done, so that the second queue's waits. */
	assert_int_equal(hf_namespace_rescan(rig->ns, &rig->err), 0);

	let_go(friend);
	for (uint32_t i = 1; i < CPUS; i++) {
		assert_int_equal(
			rig_finish(rig, loads[i]->queue, &loads[i]->work[0]),
			0);
		assert_int_equal(
			hf_issuer_qpair(&rig->drv->issuers.each[i])->cpu, i);
		load_drop(loads[i]);
	}
	assert_int_equal(friend->calls, 1);
	part(friend);
}

static void refused_memory_makes_each_queue_share(void **state)
{
	struct hf_driver_info info;
	struct rig *rig = *state;
	uint8_t data[512];

	RETURN_WITHOUT_KEEPALIVE();
	struct friend *friend = befriend_with_threads(rig);

	friend->refuses = true;
	for (uint32_t i = 1; i < CPUS; i++) {
		struct load *load = load_of(rig, i);

		load_put(rig, load, 0, HF_OP_READ, 0, 1, data);
		assert_int_equal(rig_finish(rig, load->queue, &load->work[0]),
				 0);
		load_drop(load);
	}
	hf_driver_get_info(rig->drv, &info);
	assert_int_equal(info.fallback_cpus, CPUS - 1);
	part(friend);
}

/* -------------------------------------------------------- whose thread */

static bool nobody(struct hf_driver *drv)
{
	(void)drv;
	return false;
}

static void a_queue_is_made(struct friend *friend, uint32_t cpu)
{
	struct rig *rig = friend->rig;
	struct load *load = load_of(rig, cpu);
	uint8_t data[512];

	load_put(rig, load, 0, HF_OP_READ, 0, 1, data);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	assert_int_equal(hf_issuer_qpair(&rig->drv->issuers.each[cpu])->cpu,
			 cpu);
	load_drop(load);
}

static void without_the_runtime_its_caller_keeps(void **state)
{
	struct rig *rig = *state;

	RETURN_WITHOUT_KEEPALIVE();
	struct friend *friend = befriend(rig);

	a_queue_is_made(friend, 1);
	assert_int_equal(friend->calls, 1);
	assert_false(friend->was_on_a_thread);
	part(friend);
}

static void where_no_thread_is_to_be_had_control_work_waits(void **state)
{
	struct rig *rig = *state;

	RETURN_WITHOUT_KEEPALIVE();
	struct friend *friend = befriend_with_threads(rig);

	rig->drv->keep.elsewhere = nobody;
	a_queue_is_made(friend, 1);
	assert_int_equal(friend->calls, 1);
	assert_false(friend->was_on_a_thread);
	part(friend);
}

/* ------------------------------------------------------- saving, closing */

/* A queue waits for its memory to be kept, which fails once somebody waits for
 * that: whoever goes on has it tried once more. Return: its I/O. */
static struct load *begin_to_keep(struct friend *friend, uint8_t *data)
{
	struct rig *rig = friend->rig;
	struct load *load = load_of(rig, 1);

	friend->hesitates = true;
	load_put(rig, load, 0, HF_OP_READ, 0, 1, data);
	rig_until(rig, is_held, friend);
	hf_queue_close(load->queue);
	return load;
}

static int save(struct rig *rig)
{
	uint8_t *bytes = NULL;
	size_t len_bytes = 0;
	int rc = hf_driver_save(rig->drv, &bytes, &len_bytes, &rig->err);

	free(bytes);
	return rc;
}

static void assert_waited_for(const struct friend *friend,
			      const struct load *load)
{
	assert_false(friend->is_held);
	assert_int_equal(friend->result, -EIO);
	assert_int_equal(friend->calls, 1);
	assert_int_equal(load->work[0].calls, 1);
	assert_int_equal(load->work[0].result, -ECANCELED);
}

static void closing_waits_for_the_call(void **state)
{
	struct rig *rig = *state;
	uint8_t data[512];

	RETURN_WITHOUT_KEEPALIVE();
	struct friend *friend = befriend_with_threads(rig);
	struct load *load = begin_to_keep(friend, data);

	assert_int_equal(hf_driver_close(rig->drv, &rig->err), 0);
	rig->drv = NULL;
	rig->ns = NULL;
	assert_waited_for(friend, load);
	free(load);
	part(friend);
}

/* Not by sharing another's. */
static void a_saved_driver_that_goes_on_makes_the_queue(void **state)
{
	struct rig *rig = *state;
	uint8_t data[512];

	RETURN_WITHOUT_KEEPALIVE();
	struct friend *friend = befriend_with_threads(rig);
	struct load *load = begin_to_keep(friend, data);

	assert_int_equal(save(rig), 0);
	assert_waited_for(friend, load);
	assert_int_equal(hf_driver_keep_now(rig->drv, &rig->err), -ECANCELED);
	assert_int_equal(friend->calls, 1);
	assert_int_equal(hf_driver_resume(rig->drv, &rig->err), 0);
	free(load);
	a_queue_is_made(friend, 1);
	assert_int_equal(friend->calls, 2);
	part(friend);
}

/* Where no successor may come, memory that nobody keeps is used. */
static void a_driver_that_is_not_to_be_saved_makes_the_queue(void **state)
{
	struct rig *rig = *state;
	uint8_t data[512];

	RETURN_WITHOUT_KEEPALIVE();
	struct friend *friend = befriend_with_threads(rig);
	struct load *load = begin_to_keep(friend, data);

	hf_driver_set_keepalive(rig->drv, false);
	assert_int_equal(save(rig), -EPERM);
	load_reopen(rig, load, 1);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	assert_int_equal(hf_issuer_qpair(&rig->drv->issuers.each[1])->cpu, 1);
	assert_int_equal(friend->calls, 1);
	load_drop(load);
	part(friend);
}

static void a_successor_makes_the_queue(void **state)
{
	struct rig *rig = *state;
	uint8_t data[512];

	RETURN_WITHOUT_KEEPALIVE();
	struct friend *friend = befriend_with_threads(rig);
	struct load *load = begin_to_keep(friend, data);

	heirs_replace(rig, true);
	assert_waited_for(friend, load);
	free(load);
	a_queue_is_made(friend, 1);
	assert_int_equal(friend->calls, 1);
	part(friend);
}

/* -------------------------------------------------- one that stands still */

struct still {
	struct hf_keeper *keeper;
	atomic_bool stop;
	pthread_t thread;
};

static void *serve_keeper(void *arg)
{
	struct still *still = arg;

	while (!still->stop) {
		struct pollfd entry = {.fd = hf_keeper_fd(still->keeper),
				       .events = POLLIN};

		(void)!poll(&entry, 1, 20);
		hf_keeper_process(still->keeper);
	}
	return NULL;
}

static bool waits_on_line(void *arg)
{
	struct hf_keep *keep = arg;

	pthread_mutex_lock(&keep->line_lock);
	bool waits = keep->line >= 0;
	pthread_mutex_unlock(&keep->line_lock);
	return waits;
}

static uint32_t sets_kept(const char *keeper)
{
	struct hf_keeper_entry entries[2];
	struct hf_error err;
	uint32_t count = 0;

	assert_int_equal(hf_keeper_list(keeper, entries, 2, &count, &err), 0);
	return count;
}

static void saving_hangs_up_on_a_keeper_that_stands_still(void **state)
{
	char directory[] = "/tmp/holdfast-keeping-XXXXXX";
	struct still still = {.keeper = NULL};
	struct rig *rig = *state;
	uint8_t data[512];

	RETURN_WITHOUT_KEEPALIVE();
	struct friend *friend = befriend_with_threads(rig);
	struct load *load = load_of(rig, 1);
	assert_non_null(mkdtemp(directory));
	snprintf(friend->keeper, sizeof(friend->keeper), "%s/k", directory);
	assert_int_equal(
		hf_keeper_open(&still.keeper, friend->keeper, NULL, &rig->err),
		0);

	load_put(rig, load, 0, HF_OP_READ, 0, 1, data);
	rig_until(rig, waits_on_line, &rig->drv->keep);
	assert_int_equal(save(rig), 0);
	assert_int_equal(friend->result, -ECANCELED);
	assert_int_equal(load->work[0].result, -ECANCELED);

	/* It was put to it, and is not taken by it. */
	assert_int_equal(
		pthread_create(&still.thread, NULL, serve_keeper, &still), 0);
	assert_int_equal(sets_kept(friend->keeper), 0);
	assert_int_equal(hf_driver_resume(rig->drv, &rig->err), 0);
	load_put(rig, load, 1, HF_OP_READ, 0, 1, data);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[1]), 0);
	assert_int_equal(hf_issuer_qpair(&rig->drv->issuers.each[1])->cpu, 1);
	assert_int_equal(sets_kept(friend->keeper), 1);
	load_drop(load);
	part(friend);
	still.stop = true;
	pthread_join(still.thread, NULL);
	hf_keeper_close(still.keeper);
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(control_work_goes_on_while_a_queue_waits),
		rig_test(two_queues_wait_for_one_call),
		rig_test(refused_memory_makes_each_queue_share),
		rig_test(without_the_runtime_its_caller_keeps),
		rig_test(where_no_thread_is_to_be_had_control_work_waits),
		rig_test(closing_waits_for_the_call),
		rig_test(a_saved_driver_that_goes_on_makes_the_queue),
		rig_test(a_driver_that_is_not_to_be_saved_makes_the_queue),
		rig_test(a_successor_makes_the_queue),
		rig_test(saving_hangs_up_on_a_keeper_that_stands_still),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
