/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/worker.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/checked.h"
#include "base/clock.h"
#include "emu/ctrl.h"

#define ROUND_BUDGET       256u
#define QUEUE_BURST        32u
#define IOV_START          1024u
#define SCRATCH_BYTES      4096u
#define IDLE_POLL_MIN_NS   UINT64_C(20000)
#define IDLE_POLL_FRACTION 16u

void hf_emu_worker_lock(struct hf_emu_worker *worker)
{
	__atomic_fetch_add(&worker->guests, 1, __ATOMIC_ACQ_REL);
	pthread_mutex_lock(&worker->lock);
	__atomic_fetch_sub(&worker->guests, 1, __ATOMIC_ACQ_REL);
}

void hf_emu_worker_unlock(struct hf_emu_worker *worker)
{
	pthread_mutex_unlock(&worker->lock);
}

void hf_emu_lock_all(struct hf_emu *emu)
{
	for (uint32_t i = 0; i < emu->worker_count; i++) {
		hf_emu_worker_lock(&emu->workers[i]);
	}
}

void hf_emu_unlock_all(struct hf_emu *emu)
{
	for (uint32_t i = emu->worker_count; i > 0; i--) {
		hf_emu_worker_unlock(&emu->workers[i - 1]);
	}
}

void hf_emu_synchronize(struct hf_emu *emu)
{
	/* A round that was running at the call has ended once its lock was
	 * ours; a later one sees what was published before. */
	for (uint32_t i = 0; i < emu->worker_count; i++) {
		hf_emu_worker_lock(&emu->workers[i]);
		hf_emu_worker_unlock(&emu->workers[i]);
	}
}

void hf_emu_worker_wake(struct hf_emu_worker *worker)
{
	if (worker->emu->options.serve != HF_EMU_THREADS) {
		return;
	}
	__atomic_fetch_add(&worker->wakes, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &worker->wakes, FUTEX_WAKE_PRIVATE, 1, NULL, NULL,
		0);
}

void hf_emu_wake_all(struct hf_emu *emu)
{
	for (uint32_t i = 0; i < emu->worker_count; i++) {
		hf_emu_worker_wake(&emu->workers[i]);
	}
}

void hf_emu_kick(struct hf_emu *emu)
{
	hf_emu_wake_all(emu);
}

static void add_qid(uint32_t *count, uint16_t *qids, uint16_t qid)
{
	__atomic_store_n(&qids[*count], qid, __ATOMIC_RELAXED);
	hf_emu_store(count, *count + 1);
}

static void remove_qid(uint32_t *count, uint16_t *qids, uint16_t qid)
{
	for (uint32_t i = 0; i < *count; i++) {
		if (qids[i] == qid) {
			__atomic_store_n(&qids[i], qids[*count - 1],
					 __ATOMIC_RELAXED);
			hf_emu_store(count, *count - 1);
			return;
		}
	}
}

void hf_emu_worker_add_sq(struct hf_emu_worker *worker, uint16_t qid)
{
	add_qid(&worker->sq_count, worker->sqs, qid);
}

void hf_emu_worker_remove_sq(struct hf_emu_worker *worker, uint16_t qid)
{
	remove_qid(&worker->sq_count, worker->sqs, qid);
}

void hf_emu_worker_add_cq(struct hf_emu_worker *worker, uint16_t qid)
{
	add_qid(&worker->cq_count, worker->cqs, qid);
}

void hf_emu_worker_remove_cq(struct hf_emu_worker *worker, uint16_t qid)
{
	remove_qid(&worker->cq_count, worker->cqs, qid);
}

static bool alive(const struct hf_emu *emu)
{
	return hf_emu_runs(emu) && hf_emu_load(&emu->fatal) == 0 &&
	       hf_emu_load(&emu->gone) == 0;
}

/* Is there room for one more entry? If not, the host's next CQ doorbell is to
 * wake this worker. */
static bool has_room(struct hf_emu_cq *cq)
{
	if (hf_list_empty(&cq->backlog) && hf_emu_cq_room(cq) != 0) {
		return true;
	}
	__atomic_store_n(&cq->starved, 1, __ATOMIC_SEQ_CST);
	return hf_list_empty(&cq->backlog) &&
	       __atomic_load_n(&cq->head, __ATOMIC_SEQ_CST) !=
		       (cq->tail + 1) % cq->entries;
}

static uint32_t serve_sq(struct hf_emu_worker *worker, struct hf_emu_sq *sq,
			 uint32_t budget)
{
	struct hf_emu *emu = worker->emu;
	struct hf_emu_cq *cq = &emu->cqs[sq->cqid];
	uint32_t limit = HF_MIN(budget, QUEUE_BURST);
	uint32_t done = 0;

	hf_emu_sq_look(emu, sq);
	if (hf_emu_load(&sq->tail) == sq->head) {
		return 0;
	}
	if (!hf_emu_ring_resolve(emu, &sq->ring) ||
	    !hf_emu_ring_resolve(emu, &cq->ring)) {
		hf_emu_fatal(emu, "a queue's memory is not mapped");
		return 0;
	}

	while (done < limit && hf_emu_load(&sq->stopped) == 0 &&
	       hf_emu_load(&sq->tail) != sq->head && has_room(cq)) {
		struct hf_emu_cmd cmd = {
			.emu = emu,
			.worker = worker,
			.sq = sq,
			.sqid = sq->qid,
		};

		hf_emu_sq_fetch(sq, &cmd.sqe);
		worker->commands[cmd.sqe.opcode]++;
		hf_emu_run(worker, &cmd);
		done++;
		/* A command may have ended it all, or deleted this queue. */
		if (sq->valid == 0 || !alive(emu)) {
			break;
		}
	}
	return done;
}

static uint64_t serve_cqs(struct hf_emu_worker *worker)
{
	struct hf_emu *emu = worker->emu;
	uint64_t due_ns = UINT64_MAX;

	for (uint32_t i = 0; i < worker->cq_count; i++) {
		uint64_t next_ns =
			hf_emu_cq_signal(worker, &emu->cqs[worker->cqs[i]]);

		due_ns = HF_MIN(due_ns, next_ns);
	}
	return due_ns;
}

static void look_at_cqs(struct hf_emu_worker *worker)
{
	struct hf_emu *emu = worker->emu;

	for (uint32_t i = 0; i < worker->cq_count; i++) {
		struct hf_emu_cq *cq = &emu->cqs[worker->cqs[i]];

		hf_emu_cq_look(emu, cq);
		if (hf_emu_cq_room(cq) != 0) {
			hf_emu_store(&cq->starved, 0);
			hf_emu_cq_post_backlog(worker, cq);
		}
	}
}

static uint32_t round_locked(struct hf_emu_worker *worker, uint32_t budget)
{
	struct hf_emu *emu = worker->emu;
	uint32_t done = 0;

	if (!alive(emu)) {
		__atomic_store_n(&worker->next_due_ns, UINT64_MAX,
				 __ATOMIC_RELEASE);
		return 0;
	}

	look_at_cqs(worker);
	if (worker->later_count != 0) {
		done += hf_emu_run_later(worker, budget);
	}
	if (worker->index == 0) {
		done += hf_emu_aer_deliver(emu);
	}
	for (uint32_t i = 0; i < worker->sq_count && done < budget; i++) {
		done += serve_sq(worker, &emu->sqs[worker->sqs[i]],
				 budget - done);
	}

	uint64_t due_ns = serve_cqs(worker);
	if (!hf_list_empty(&worker->later)) {
		const struct hf_emu_later *first = hf_container_of(
			worker->later.next, struct hf_emu_later, link);

		due_ns = HF_MIN(due_ns, first->due_ns);
	}
	__atomic_store_n(&worker->next_due_ns, due_ns, __ATOMIC_RELEASE);
	return done;
}

uint32_t hf_emu_worker_round(struct hf_emu_worker *worker, uint32_t budget)
{
	/* The lock is not fair: make way for whoever waits for it. */
	while (hf_emu_load(&worker->guests) != 0) {
		sched_yield();
	}

	pthread_mutex_lock(&worker->lock);
	uint32_t done = round_locked(worker, budget);
	pthread_mutex_unlock(&worker->lock);
	return done;
}

bool hf_emu_worker_has_news(struct hf_emu_worker *worker)
{
	struct hf_emu *emu = worker->emu;
	bool pin = hf_emu_load(&emu->irq.mode) == HF_EMU_IRQ_INTX;

	if (!alive(emu)) {
		return false;
	}
	if (worker->index == 0 && hf_emu_aer_pending(emu)) {
		return true;
	}
	uint32_t count = hf_emu_load(&worker->sq_count);
	for (uint32_t i = 0; i < count; i++) {
		uint16_t qid =
			__atomic_load_n(&worker->sqs[i], __ATOMIC_RELAXED);

		if (hf_emu_sq_has_work(emu, &emu->sqs[qid]) ||
		    hf_emu_sq_page_news(emu, &emu->sqs[qid])) {
			return true;
		}
	}
	count = hf_emu_load(&worker->cq_count);
	for (uint32_t i = 0; i < count; i++) {
		const struct hf_emu_cq *cq = &emu->cqs[__atomic_load_n(
			&worker->cqs[i], __ATOMIC_RELAXED)];
		bool starved = hf_emu_load(&cq->starved) != 0;

		if ((starved && hf_emu_cq_room(cq) != 0) ||
		    ((starved || pin) && hf_emu_cq_page_news(emu, cq))) {
			return true;
		}
	}
	uint64_t due_ns =
		__atomic_load_n(&worker->next_due_ns, __ATOMIC_ACQUIRE);
	return due_ns != UINT64_MAX && hf_emu_now_ns(emu) >= due_ns;
}

bool hf_emu_worker_arm(struct hf_emu_worker *worker)
{
	struct hf_emu *emu = worker->emu;
	bool armed = true;

	if (__atomic_load_n(&emu->shadow_iova, __ATOMIC_ACQUIRE) == 0) {
		return true;
	}
	pthread_mutex_lock(&worker->lock);
	for (uint32_t i = 0; i < worker->sq_count && alive(emu); i++) {
		if (!hf_emu_sq_arm(emu, &emu->sqs[worker->sqs[i]])) {
			armed = false;
		}
	}
	pthread_mutex_unlock(&worker->lock);
	return armed;
}

static uint64_t sleep_until_ns(struct hf_emu_worker *worker, uint64_t idle_ns)
{
	struct hf_emu *emu = worker->emu;
	uint64_t until_ns =
		__atomic_load_n(&worker->next_due_ns, __ATOMIC_ACQUIRE);

	if (worker->index == 0) {
		until_ns = HF_MIN(until_ns, __atomic_load_n(&emu->regs.wake_ns,
							    __ATOMIC_ACQUIRE));
	}
	if (__atomic_load_n(&emu->doorbell_page, __ATOMIC_ACQUIRE) != NULL &&
	    alive(emu) && hf_emu_load(&worker->sq_count) != 0) {
		/* Nobody tells of a store to the page. Looking after a fixed
		 * part of the time without work bounds both the added latency
		 * and the cost. */
		uint64_t max_ns = emu->options.idle_poll_max_us * 1000u;
		uint64_t nap_ns =
			HF_MAX(idle_ns / IDLE_POLL_FRACTION, IDLE_POLL_MIN_NS);

		until_ns =
			HF_MIN(until_ns, hf_now_ns() + HF_MIN(nap_ns, max_ns));
	}
	return until_ns;
}

static void futex_sleep(struct hf_emu_worker *worker, uint32_t wakes,
			uint64_t until_ns)
{
	struct timespec deadline = {
		.tv_sec = (time_t)(until_ns / HF_NS_PER_S),
		.tv_nsec = (long)(until_ns % HF_NS_PER_S),
	};

	syscall(SYS_futex, &worker->wakes, FUTEX_WAIT_BITSET_PRIVATE, wakes,
		until_ns == UINT64_MAX ? NULL : &deadline, NULL,
		FUTEX_BITSET_MATCH_ANY);
}

static void worker_sleep(struct hf_emu_worker *worker, uint64_t idle_ns)
{
	uint32_t wakes = __atomic_load_n(&worker->wakes, __ATOMIC_SEQ_CST);

	__atomic_store_n(&worker->sleeping, 1, __ATOMIC_SEQ_CST);
	if (hf_emu_worker_arm(worker) && !hf_emu_worker_has_news(worker) &&
	    hf_emu_load(&worker->stop) == 0) {
		uint64_t until_ns = sleep_until_ns(worker, idle_ns);

		if (until_ns > hf_now_ns()) {
			futex_sleep(worker, wakes, until_ns);
		}
	}
	__atomic_store_n(&worker->sleeping, 0, __ATOMIC_SEQ_CST);
}

/* Looks for work without sleeping for at most @spin_ns. */
static bool worker_spin(struct hf_emu_worker *worker, uint64_t spin_ns)
{
	if (spin_ns == 0) {
		return false;
	}

	uint64_t end_ns = hf_now_ns() + spin_ns;
	do {
		for (uint32_t i = 0; i < 32; i++) {
			if (hf_emu_worker_has_news(worker)) {
				return true;
			}
			hf_cpu_relax();
		}
	} while (hf_now_ns() < end_ns && hf_emu_load(&worker->stop) == 0);
	return false;
}

static void *worker_main(void *arg)
{
	struct hf_emu_worker *worker = arg;
	struct hf_emu *emu = worker->emu;
	uint64_t spin_max_ns = emu->options.spin_us * UINT64_C(1000);
	uint64_t spin_ns = spin_max_ns;
	uint64_t busy_ns = hf_now_ns();
	char name[16];

	snprintf(name, sizeof(name), "hf-emu-%u", worker->index % 10000);
	prctl(PR_SET_NAME, name);
	prctl(PR_SET_TIMERSLACK, 1000ul);
	while (hf_emu_load(&worker->stop) == 0) {
		if (worker->index == 0) {
			hf_emu_regs_settle(emu);
		}
		if (hf_emu_worker_round(worker, ROUND_BUDGET) != 0) {
			busy_ns = 0;
			continue;
		}
		if (busy_ns == 0) {
			busy_ns = hf_now_ns();
			/* A spin that is rewarded is worth the next one. */
			if (worker_spin(worker, spin_ns)) {
				spin_ns = HF_MIN(spin_ns * 2, spin_max_ns);
				continue;
			}
			spin_ns = HF_MAX(spin_ns / 2, spin_max_ns / 8);
		}
		worker_sleep(worker, hf_now_ns() - busy_ns);
	}
	return NULL;
}

static int worker_init(struct hf_emu *emu, uint32_t index)
{
	struct hf_emu_worker *worker = &emu->workers[index];

	worker->emu = emu;
	worker->index = index;
	worker->next_due_ns = UINT64_MAX;
	hf_list_init(&worker->later);
	pthread_mutex_init(&worker->lock, NULL);
	worker->iov_max = IOV_START;
	worker->iov = calloc(IOV_START, sizeof(worker->iov[0]));
	worker->sink = calloc(1, HF_EMU_SINK_BYTES);
	worker->scratch = calloc(1, SCRATCH_BYTES);
	worker->sqs = calloc(emu->options.max_sqs + 1u, sizeof(uint16_t));
	worker->cqs = calloc(emu->options.max_cqs + 1u, sizeof(uint16_t));
	if (worker->iov == NULL || worker->sink == NULL ||
	    worker->scratch == NULL || worker->sqs == NULL ||
	    worker->cqs == NULL) {
		return -ENOMEM;
	}
	return 0;
}

int hf_emu_workers_init(struct hf_emu *emu)
{
	uint32_t count = 1 + emu->options.io_workers;

	emu->workers = calloc(count, sizeof(emu->workers[0]));
	if (emu->workers == NULL) {
		return -ENOMEM;
	}
	emu->worker_count = count;
	int ret = 0;
	for (uint32_t i = 0; i < count; i++) {
		/* All of them, so that fini finds each in order. */
		if (worker_init(emu, i) != 0) {
			ret = -ENOMEM;
		}
	}
	return ret;
}

static int worker_start(struct hf_emu_worker *worker)
{
	const struct hf_emu_options *options = &worker->emu->options;
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	if (options->cpu_count != 0 && worker->index != 0) {
		uint32_t at = (worker->index - 1) % options->cpu_count;
		cpu_set_t cpus;

		CPU_ZERO(&cpus);
		CPU_SET(options->cpus[at] % CPU_SETSIZE, &cpus);
		pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	}
	worker->started = true;
	int ret = pthread_create(&worker->thread, &attr, worker_main, worker);
	if (ret != 0) {
		worker->started = false;
	}
	pthread_attr_destroy(&attr);
	return -ret;
}

int hf_emu_workers_start(struct hf_emu *emu)
{
	for (uint32_t i = 0; i < emu->worker_count; i++) {
		int ret = worker_start(&emu->workers[i]);

		if (ret != 0) {
			return ret;
		}
	}
	return 0;
}

static void worker_fini(struct hf_emu_worker *worker)
{
	hf_emu_worker_forget(worker);
	free(worker->iov);
	free(worker->sink);
	free(worker->scratch);
	free(worker->sqs);
	free(worker->cqs);
	pthread_mutex_destroy(&worker->lock);
}

void hf_emu_workers_fini(struct hf_emu *emu)
{
	for (uint32_t i = 0; i < emu->worker_count; i++) {
		struct hf_emu_worker *worker = &emu->workers[i];

		if (worker->started) {
			hf_emu_store(&worker->stop, 1);
			hf_emu_worker_wake(worker);
			pthread_join(worker->thread, NULL);
			worker->started = false;
		}
	}
	for (uint32_t i = 0; i < emu->worker_count; i++) {
		worker_fini(&emu->workers[i]);
	}
	free(emu->workers);
	emu->workers = NULL;
	emu->worker_count = 0;
}
