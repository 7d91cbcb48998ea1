/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a driver with nothing under way wakes for nothing, and no command is
 * ever under way that the deadline sweep does not know of; nor does a thread
 * sleep on when another has done what it waits for.
 * Method: the timer itself is looked at, and the clock that stands still while
 * nobody sweeps; a thread that submits all the time against a sweep that tries
 * to fall asleep all the time.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/timerfd.h>

#include "base/clock.h"
#include "driver/deadline.h"
#include "rig.h"

enum {
	BLOCK = 4096,
	DOZES = 2000,
};

struct idle {
	struct rig *rig;
	struct hf_queue *queue;
	uint8_t *data;
};

static void idle_open(struct idle *idle, struct rig *rig)
{
	*idle = (struct idle){.rig = rig};
	rig_open(rig);
	idle->data = hf_dma_alloc(rig->drv, BLOCK, &rig->err);
	assert_non_null(idle->data);
	assert_int_equal(
		hf_queue_open(&idle->queue, rig->drv, 0, HF_POLL, &rig->err),
		0);
}

static void submit(struct idle *idle, struct rig_io *work)
{
	struct hf_io *list = &work->io;

	rig_prep(work, idle->rig->ns, HF_OP_READ, 0, 1, idle->data);
	assert_int_equal(hf_submit(idle->queue, &list, 1), 1);
}

static void read_once(struct idle *idle)
{
	struct rig_io work;

	submit(idle, &work);
	assert_int_equal(rig_finish(idle->rig, idle->queue, &work), 0);
}

static bool timer_is_armed(const struct rig *rig)
{
	struct itimerspec left;

	assert_int_equal(timerfd_gettime(rig->drv->timer_fd, &left), 0);
	return left.it_value.tv_sec != 0 || left.it_value.tv_nsec != 0;
}

static uint32_t tick(const struct rig *rig)
{
	return __atomic_load_n(&rig->drv->tick, __ATOMIC_RELAXED);
}

static bool sleeps(void *arg)
{
	const struct rig *rig = arg;

	return tick(rig) == HF_TICK_ASLEEP;
}

static bool has_work(const struct rig *rig)
{
	struct pollfd pfd = {.fd = rig->drv->epoll_fd, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1;
}

struct held {
	struct rig *rig;
	uint32_t rule;
};

static bool is_held(void *arg)
{
	struct held *held = arg;

	return rig_hits(held->rig, held->rule) > 0;
}

/* Lets the command go on that the rule holds, once it does. */
static void release(struct rig *rig, uint32_t rule)
{
	struct held held = {.rig = rig, .rule = rule};

	rig_until(rig, is_held, &held);
	assert_int_equal(hf_emu_fault_release(rig->emu, rule), 1);
}

static void an_idle_driver_has_no_timer_and_no_work(void **state)
{
	struct rig *rig = *state;
	struct idle idle;

	idle_open(&idle, rig);
	read_once(&idle);
	assert_true(timer_is_armed(rig));

	rig_until(rig, sleeps, rig);

	assert_false(timer_is_armed(rig));
	assert_false(has_work(rig));
	hf_queue_close(idle.queue);
}

static void the_first_command_after_idleness_is_timed_from_now(void **state)
{
	struct rig *rig = *state;
	struct rig_io work;
	struct idle idle;

	idle_open(&idle, rig);
	read_once(&idle);
	rig_until(rig, sleeps, rig);
	/* As if that had been a while ago. */
	rig->drv->now -= 1000;
	uint32_t rule = rig_rule(rig, "io-read:hold");

	submit(&idle, &work);

	const struct hf_qpair *qp = hf_issuer_qpair(&rig->drv->issuers.each[0]);
	uint32_t put = 0;
	for (uint32_t i = 0; i < qp->pending.count; i++) {
		if (qp->pending.slots[i].state == HF_SLOT_TAKEN) {
			put = qp->pending.slots[i].tick;
		}
	}
	assert_true(hf_deadline_now() - put <= 10);
	assert_true(has_work(rig));
	assert_int_equal(hf_driver_process(rig->drv), 0);
	assert_true(timer_is_armed(rig));
	release(rig, rule);
	assert_int_equal(rig_finish(rig, idle.queue, &work), 0);
	hf_queue_close(idle.queue);
}

/* Sweeps now, whenever the last time was. */
static void sweep(struct hf_driver *drv)
{
	pthread_mutex_lock(&drv->control);
	drv->now = hf_deadline_now();
	__atomic_store_n(&drv->tick, drv->now, __ATOMIC_RELAXED);
	drv->sweep_tick = drv->now - 1000;
	hf_deadline_sweep(drv);
	pthread_mutex_unlock(&drv->control);
}

static void nobody_dozes_over_a_command(void **state)
{
	struct rig *rig = *state;
	struct rig_io work;
	struct idle idle;

	idle_open(&idle, rig);
	read_once(&idle);
	uint32_t rule = rig_rule(rig, "io-read:hold");
	submit(&idle, &work);

	for (uint32_t i = 0; i < 5; i++) {
		sweep(rig->drv);
		assert_int_not_equal(tick(rig), HF_TICK_ASLEEP);
	}

	release(rig, rule);
	assert_int_equal(rig_finish(rig, idle.queue, &work), 0);
	sweep(rig->drv);
	sweep(rig->drv);
	assert_int_equal(tick(rig), HF_TICK_ASLEEP);
	hf_queue_close(idle.queue);
}

static bool was_aborted(void *arg)
{
	const struct rig *rig = arg;

	return rig->drv->aborts > 0;
}

static void a_deadline_is_kept_by_a_driver_that_slept(void **state)
{
	struct rig *rig = *state;
	struct rig_io work;
	struct idle idle;

	rig->options.io_timeout_ms = 200;
	idle_open(&idle, rig);
	read_once(&idle);
	rig_until(rig, sleeps, rig);
	rig_rule(rig, "io-read,nth=1:hold");

	submit(&idle, &work);
	rig_until(rig, was_aborted, rig);

	assert_int_not_equal(rig_finish(rig, idle.queue, &work), 0);
	hf_queue_close(idle.queue);
}

static void *sweep_once(void *arg)
{
	sweep(arg);
	return NULL;
}

/* The sweep has looked at the first queue, and stands before the second. */
static void a_command_behind_the_sweeps_back_keeps_it_awake(void **state)
{
	struct rig *rig = *state;
	struct hf_queue *other;
	struct rig_io work;
	struct idle idle;
	pthread_t thread;

	idle_open(&idle, rig);
	read_once(&idle);
	assert_int_equal(hf_queue_open(&other, rig->drv, 1, HF_POLL, &rig->err),
			 0);
	struct idle second = {rig, other, idle.data};
	read_once(&second);
	sweep(rig->drv);
	uint32_t rule = rig_rule(rig, "io-read:hold");
	struct hf_qpair *qp = rig->drv->io[1];
	assert_non_null(qp);

	hf_qpair_lock(qp);
	assert_int_equal(pthread_create(&thread, NULL, sweep_once, rig->drv),
			 0);
	while (__atomic_load_n(&qp->lock.state, __ATOMIC_RELAXED) !=
	       HF_LOCK_WANTED) {
		sched_yield();
	}
	submit(&idle, &work);
	hf_qpair_unlock(qp);
	pthread_join(thread, NULL);

	assert_int_not_equal(tick(rig), HF_TICK_ASLEEP);
	release(rig, rule);
	assert_int_equal(rig_finish(rig, idle.queue, &work), 0);
	hf_queue_close(other);
	hf_queue_close(idle.queue);
}

/* Another thread, which does what is waited for, and all the control work. */
struct thief {
	struct rig *rig;
	pthread_t thread;
	uint32_t looks;    /* at whether it is done */
	uint32_t steal_at; /* this one */
	bool done;         /* atomic */
	bool joined;
};

static void *steal(void *arg)
{
	struct thief *thief = arg;

	__atomic_store_n(&thief->done, true, __ATOMIC_RELEASE);
	(void)hf_driver_process(thief->rig->drv);
	/* Of what it wakes for later, too: then nothing is left to come. */
	rig_until(thief->rig, sleeps, thief->rig);
	return NULL;
}

static bool is_done(const void *arg)
{
	struct thief *thief = (struct thief *)arg;

	thief->looks++;
	if (thief->looks == thief->steal_at) {
		assert_int_equal(
			pthread_create(&thief->thread, NULL, steal, thief), 0);
		if (thief->looks == 1) {
			/* No lock is held yet: it is over before the next. */
			pthread_join(thief->thread, NULL);
			thief->joined = true;
		}
		return false;
	}
	return __atomic_load_n(&thief->done, __ATOMIC_ACQUIRE);
}

static void wait_for_thief(struct rig *rig, uint32_t steal_at)
{
	struct thief thief = {.rig = rig, .steal_at = steal_at};
	uint64_t deadline = hf_deadline_ms(20000);
	struct idle idle;

	idle_open(&idle, rig);
	read_once(&idle);
	rig_until(rig, sleeps, rig);

	assert_int_equal(hf_control_wait(rig->drv, is_done, &thief, deadline),
			 0);

	/* No timer and no interrupt would have ended it. */
	assert_false(hf_deadline_passed(deadline));
	if (!thief.joined) {
		pthread_join(thief.thread, NULL);
	}
	hf_queue_close(idle.queue);
}

static void a_wait_ends_when_another_thread_did_the_work(void **state)
{
	wait_for_thief(*state, 1);
}

/* The last look is taken under the lock that the other one has to take. */
static void a_wait_that_sleeps_already_is_woken(void **state)
{
	wait_for_thief(*state, 2);
}

struct submitter {
	struct idle idle;
	struct hf_qpair *qp;
	bool stop; /* atomic */
};

/* Now and then a command, and a pause in which the sweep may fall asleep. */
static void *keep_submitting(void *arg)
{
	struct submitter *submitter = arg;
	struct idle *idle = &submitter->idle;

	while (!__atomic_load_n(&submitter->stop, __ATOMIC_ACQUIRE)) {
		struct rig_io work;

		submit(idle, &work);
		while (work.calls == 0) {
			(void)hf_reap(idle->queue, 1);
		}
		for (uint32_t i = 0; i < 3; i++) {
			sched_yield();
		}
	}
	return NULL;
}

static void no_command_slips_past_a_sweep_that_falls_asleep(void **state)
{
	struct rig *rig = *state;
	struct submitter submitter = {.stop = false};
	pthread_t thread;
	uint32_t dozes = 0;
	uint32_t missed = 0;

	idle_open(&submitter.idle, rig);
	read_once(&submitter.idle);
	struct hf_qpair *qp = hf_issuer_qpair(&rig->drv->issuers.each[0]);
	assert_int_equal(
		pthread_create(&thread, NULL, keep_submitting, &submitter), 0);

	for (uint32_t i = 0; i < 10000000 && dozes < DOZES; i++) {
		sweep(rig->drv);
		/* Under its lock a queue has nothing under way while the clock
		 * stands still. */
		hf_qpair_lock(qp);
		bool asleep = tick(rig) == HF_TICK_ASLEEP;
		dozes += asleep ? 1 : 0;
		missed += asleep && qp->pending.in_use > 0 ? 1 : 0;
		hf_qpair_unlock(qp);
	}
	__atomic_store_n(&submitter.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);

	assert_int_equal(missed, 0);
	assert_int_equal(dozes, DOZES);
	hf_queue_close(submitter.idle.queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(an_idle_driver_has_no_timer_and_no_work),
		rig_test(the_first_command_after_idleness_is_timed_from_now),
		rig_test(nobody_dozes_over_a_command),
		rig_test(a_deadline_is_kept_by_a_driver_that_slept),
		rig_test(a_command_behind_the_sweeps_back_keeps_it_awake),
		rig_test(a_wait_ends_when_another_thread_did_the_work),
		rig_test(a_wait_that_sleeps_already_is_woken),
		rig_test(no_command_slips_past_a_sweep_that_falls_asleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
