/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever is asked for, in whatever order it completes, the blocks hold
 * what a plain array would.
 * Method: random operations on random memory, with random queues and limits,
 * against such an array. First in one thread, where the controller moves only
 * when told to and the run is the same for the same seed; then in several,
 * each with blocks of its own. HOLDFAST_SEED and HOLDFAST_ROUNDS change what
 * is run; the seed is printed.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/clock.h"
#include "rig.h"

#define DEFAULT_SEED UINT64_C(20260731)
#define OPS_MAX      48u
#define SLICE_BYTES  (160u << 10)
#define PIECES_MAX   9u
#define RANGES_MAX   12u
#define NS_BYTES     (4u << 20)
#define THREADS      3u

/* Of one thread, ThreadSanitizer has nothing to say. */
#ifdef __SANITIZE_THREAD__
#define ALONE_ROUNDS 1u
#else
#define ALONE_ROUNDS 12u
#endif

struct op {
	struct rig_io work;
	bool busy;
	bool is_equal; /* what a compare has to find */
	uint64_t first;
	uint64_t blocks;
	uint8_t *memory; /* SLICE_BYTES of its own, of some kind */
	uint8_t *buf;
	struct iovec iov[PIECES_MAX];
	struct hf_range ranges[RANGES_MAX];
};

/* One thread's share: blocks, operations, queues. */
struct session {
	struct rig *rig;
	uint64_t rng;
	struct hf_queue *queues[4];
	uint32_t queue_count;
	uint64_t first; /* block */
	uint64_t blocks;
	uint32_t block_bytes;
	uint8_t *model;
	struct op ops[OPS_MAX];
	uint8_t *registered;
	uint64_t done;
	uint64_t wanted;
	pthread_t thread;
	char failure[128];
};

static uint64_t next(uint64_t *rng)
{
	*rng ^= *rng << 13;
	*rng ^= *rng >> 7;
	*rng ^= *rng << 17;
	return *rng;
}

static uint64_t below(struct session *s, uint64_t limit)
{
	return next(&s->rng) % limit;
}

static bool chance(struct session *s, uint32_t percent)
{
	return below(s, 100) < percent;
}

static uint8_t *model_at(struct session *s, uint64_t block)
{
	return s->model + (block - s->first) * s->block_bytes;
}

/* Nothing under way may touch the same blocks. */
static bool is_free(const struct session *s, uint64_t first, uint64_t blocks)
{
	for (uint32_t i = 0; i < OPS_MAX; i++) {
		if (s->ops[i].busy &&
		    hf_ranges_overlap(first, blocks, s->ops[i].first,
				      s->ops[i].blocks)) {
			return false;
		}
	}
	return true;
}

static void set_failure(struct session *s, const char *what,
			const struct op *op)
{
	if (s->failure[0] == '\0') {
		snprintf(s->failure, sizeof(s->failure),
			 "%s: op %d, block %" PRIu64 ", %" PRIu64
			 " blocks, result %d",
			 what, (int)op->work.io.op, op->first, op->blocks,
			 op->work.result);
	}
}

/* Between an operation's buffers and a plain one. */
static void copy(struct op *op, uint8_t *plain, bool to_op)
{
	const struct iovec one = {
		.iov_base = op->buf,
		.iov_len = op->blocks << op->work.io.ns->block_shift,
	};
	const struct iovec *iov = op->work.io.iov_count != 0 ? op->iov : &one;
	uint32_t count = HF_MAX(op->work.io.iov_count, 1u);

	for (uint32_t i = 0; i < count; i++) {
		memcpy(to_op ? iov[i].iov_base : plain,
		       to_op ? plain : iov[i].iov_base, iov[i].iov_len);
		plain += iov[i].iov_len;
	}
}

static void check_end(struct session *s, struct op *op)
{
	uint8_t plain[SLICE_BYTES];
	size_t len = op->blocks * s->block_bytes;
	int result = op->work.result;

	if (op->work.calls != 1) {
		set_failure(s, "ended more than once", op);
	}
	if (op->work.io.op == HF_OP_COMPARE && !op->is_equal) {
		if ((result & 0x7ff) != 0x285) {
			set_failure(s, "a difference was not found", op);
		}
	} else if (result != 0) {
		set_failure(s, "failed", op);
	}
	if (op->work.io.op == HF_OP_READ && result == 0) {
		copy(op, plain, false);
		if (memcmp(plain, model_at(s, op->first), len) != 0) {
			set_failure(s, "other data than the model's", op);
		}
	}
	op->busy = false;
	s->done++;
}

static void collect(struct session *s)
{
	for (uint32_t i = 0; i < OPS_MAX; i++) {
		struct op *op = &s->ops[i];

		if (op->busy &&
		    __atomic_load_n(&op->work.calls, __ATOMIC_ACQUIRE) != 0) {
			check_end(s, op);
		}
	}
}

/* Where the data is: whole pages, any dword, any byte; or in pieces. */
static void place(struct session *s, struct op *op)
{
	static const uint32_t keep[] = {0x1000, 0x1ffc, 0x1e00, 0x1fff};
	size_t len = op->blocks * s->block_bytes;
	size_t at = 0;

	op->buf = op->memory + (below(s, 8192) & keep[below(s, 4)]);
	op->work.io.buf = op->buf;
	if (chance(s, 70)) {
		return;
	}
	uint32_t count = 1 + (uint32_t)below(s, PIECES_MAX);
	bool pages = chance(s, 50);
	for (uint32_t i = 0; i < count; i++) {
		size_t left = len - at;
		size_t piece = i + 1 == count ? left : below(s, left + 1);

		if (pages && i + 1 < count) {
			piece &= ~(size_t)0xfff;
		}
		op->iov[i].iov_base = op->buf + at;
		op->iov[i].iov_len = piece;
		at += piece;
	}
	op->work.io.buf = NULL;
	op->work.io.iov = op->iov;
	op->work.io.iov_count = count;
}

static void prepare_ranges(struct session *s, struct op *op)
{
	uint32_t count = 1 + (uint32_t)below(s, HF_MIN(op->blocks, RANGES_MAX));
	uint64_t at = op->first;
	uint64_t share = op->blocks / count;

	for (uint32_t i = 0; i < count; i++) {
		op->ranges[i] = (struct hf_range){
			.lba = at,
			.blocks = 1 + below(s, share),
		};
		at += share;
	}
	op->work.io.blocks = 0;
	op->work.io.ranges = op->ranges;
	op->work.io.range_count = count;
}

static enum hf_op choose_kind(struct session *s)
{
	static const enum hf_op kinds[] = {
		HF_OP_READ,         HF_OP_READ,    HF_OP_READ,
		HF_OP_WRITE,        HF_OP_WRITE,   HF_OP_WRITE,
		HF_OP_WRITE_ZEROES, HF_OP_COMPARE, HF_OP_VERIFY,
		HF_OP_DEALLOCATE,   HF_OP_FLUSH,
	};

	return kinds[below(s, HF_ARRAY_LEN(kinds))];
}

static void prepare(struct session *s, struct op *op)
{
	enum hf_op kind = choose_kind(s);
	uint8_t plain[SLICE_BYTES];
	size_t len = op->blocks * s->block_bytes;

	rig_prep(&op->work, s->rig->ns, kind, op->first, op->blocks, NULL);
	op->work.io.flags = chance(s, 30) ? HF_IO_NOWAIT : 0;
	op->work.io.flags |= chance(s, 10) ? HF_IO_FUA : 0;
	op->work.io.cookie = next(&s->rng);
	op->is_equal = true;
	if (kind == HF_OP_DEALLOCATE) {
		prepare_ranges(s, op);
	} else if (kind == HF_OP_FLUSH) {
		op->work.io.blocks = 0;
	} else if (kind == HF_OP_READ) {
		place(s, op);
	} else if (kind == HF_OP_WRITE) {
		place(s, op);
		rig_fill(plain, len, next(&s->rng));
		copy(op, plain, true);
	} else if (kind == HF_OP_COMPARE) {
		place(s, op);
		memcpy(plain, model_at(s, op->first), len);
		op->is_equal = chance(s, 70);
		plain[below(s, len)] ^= op->is_equal ? 0 : 1;
		copy(op, plain, true);
	}
}

/* What the operation will have changed. */
static void apply(struct session *s, struct op *op)
{
	if (op->work.io.op == HF_OP_WRITE) {
		copy(op, model_at(s, op->first), false);
	} else if (op->work.io.op == HF_OP_WRITE_ZEROES) {
		memset(model_at(s, op->first), 0, op->blocks * s->block_bytes);
	} else if (op->work.io.op == HF_OP_DEALLOCATE) {
		for (uint32_t i = 0; i < op->work.io.range_count; i++) {
			memset(model_at(s, op->ranges[i].lba), 0,
			       op->ranges[i].blocks * s->block_bytes);
		}
	}
}

static struct op *choose(struct session *s)
{
	uint64_t most = (SLICE_BYTES - 8192) / s->block_bytes;
	struct op *op = &s->ops[below(s, OPS_MAX)];

	if (op->busy) {
		return NULL;
	}
	op->blocks = 1 + below(s, chance(s, 70) ? 9 : HF_MIN(most, s->blocks));
	op->first = s->first + below(s, s->blocks - op->blocks + 1);
	if (!is_free(s, op->first, op->blocks)) {
		return NULL;
	}
	prepare(s, op);
	return op;
}

static void submit_some(struct session *s)
{
	struct hf_io *batch[8];
	struct op *of[8];
	uint32_t count = 0;
	uint32_t wanted = 1 + (uint32_t)below(s, 8);

	for (uint32_t i = 0; i < wanted; i++) {
		struct op *op = choose(s);

		if (op != NULL) {
			op->busy = true;
			apply(s, op);
			of[count] = op;
			batch[count++] = &op->work.io;
		}
	}
	struct hf_queue *queue = s->queues[below(s, s->queue_count)];
	for (uint32_t at = 0; at < count;) {
		int rc = hf_submit(queue, batch + at, count - at);

		if (rc == -EAGAIN) {
			/* The model has it already: in line with it. */
			batch[at]->flags &= ~HF_IO_NOWAIT;
		} else if (rc < 0) {
			of[at]->work.result = rc;
			set_failure(s, "was refused", of[at]);
			return;
		} else {
			at += (uint32_t)rc;
		}
	}
}

/* Memory of each kind, in turn. */
static void give_memory(struct session *s)
{
	s->registered = mmap(NULL, (size_t)OPS_MAX * SLICE_BYTES,
			     PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(s->registered != MAP_FAILED);
	assert_int_equal(hf_dma_register(s->rig->drv, s->registered,
					 (uint64_t)OPS_MAX * SLICE_BYTES, -1, 0,
					 &s->rig->err),
			 0);
	for (uint32_t i = 0; i < OPS_MAX; i++) {
		if (i % 3 == 0) {
			s->ops[i].memory = hf_dma_alloc(
				s->rig->drv, SLICE_BYTES, &s->rig->err);
		} else if (i % 3 == 1) {
			s->ops[i].memory =
				s->registered + (size_t)i * SLICE_BYTES;
		} else {
			s->ops[i].memory = malloc(SLICE_BYTES);
		}
		assert_non_null(s->ops[i].memory);
	}
}

static void take_memory(struct session *s)
{
	for (uint32_t i = 0; i < OPS_MAX; i++) {
		if (i % 3 == 0) {
			hf_dma_free(s->rig->drv, s->ops[i].memory);
		} else if (i % 3 == 2) {
			free(s->ops[i].memory);
		}
	}
	assert_int_equal(
		hf_dma_unregister(s->rig->drv, s->registered, &s->rig->err), 0);
	munmap(s->registered, (size_t)OPS_MAX * SLICE_BYTES);
}

static void choose_options(struct rig *rig, uint64_t *rng)
{
	static const uint32_t entries[] = {2, 3, 4, 7, 16, 33, 64};

	rig->emu_options.mdts = (uint8_t)(next(rng) % 6);
	rig->emu_options.dmrl = (uint8_t)(next(rng) % 6);
	rig->emu_options.dmrsl = (uint32_t)(next(rng) % 40);
	rig->emu_options.dstrd = (uint8_t)(next(rng) % 3);
	rig->ns_options.size_bytes = NS_BYTES;
	rig->ns_options.lba_bytes = next(rng) % 3 == 0 ? 4096 : 512;
	rig->ns_options.noiob_blocks =
		(uint16_t)(next(rng) % 2 == 0 ? 0 : next(rng) % 100);
	rig->options.queue_entries = entries[next(rng) % HF_ARRAY_LEN(entries)];
	rig->options.pool_pages = 32 + (uint32_t)(next(rng) % 100);
	rig->options.bounce = next(rng) % 5 == 0;
	rig->options.cpu_count = 4;
	rig->options.io_queues = 1 + (uint32_t)(next(rng) % 4);
}

static void session_init(struct session *s, struct rig *rig, uint64_t seed,
			 uint64_t wanted)
{
	memset(s, 0, sizeof(*s));
	s->rig = rig;
	s->rng = seed * 2 + 1;
	s->wanted = wanted;
	s->block_bytes = 1u << rig->ns->block_shift;
	s->blocks = NS_BYTES / s->block_bytes;
	s->model = calloc(1, NS_BYTES);
	assert_non_null(s->model);
	give_memory(s);
}

static bool is_idle(const struct session *s)
{
	for (uint32_t i = 0; i < OPS_MAX; i++) {
		if (s->ops[i].busy) {
			return false;
		}
	}
	return true;
}

static void check_all(struct session *s)
{
	uint8_t bytes[32768];
	uint64_t step = sizeof(bytes) / s->block_bytes;

	for (uint64_t b = 0; b < s->blocks; b += step) {
		uint64_t count = HF_MIN(step, s->blocks - b);

		assert_int_equal(
			hf_read(s->rig->ns, s->first + b, count, bytes), 0);
		assert_memory_equal(bytes, model_at(s, s->first + b),
				    count * s->block_bytes);
	}
}

static void session_fini(struct session *s)
{
	take_memory(s);
	free(s->model);
}

/* One step of the single-threaded run. */
static void step(struct session *s)
{
	switch (below(s, 6)) {
	case 0:
	case 1:
		if (s->done < s->wanted) {
			submit_some(s);
		}
		break;
	case 2:
		(void)hf_emu_process(s->rig->emu, 1 + (uint32_t)below(s, 12));
		break;
	case 3:
		hf_emu_advance(s->rig->emu, below(s, 3000) * 1000);
		break;
	case 4:
		(void)hf_reap(s->queues[below(s, s->queue_count)],
			      1 + (uint32_t)below(s, 20));
		break;
	default:
		(void)hf_driver_process(s->rig->drv);
		break;
	}
	collect(s);
}

static void run_alone(struct rig *rig, uint64_t seed, uint64_t wanted)
{
	struct session *s = calloc(1, sizeof(*s));
	uint64_t rng = seed * 2 + 1;
	uint64_t steps = 0;

	choose_options(rig, &rng);
	rig->emu_options.serve = HF_EMU_MANUAL;
	rig_open(rig);
	session_init(s, rig, seed, wanted);
	s->queue_count = 4;
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(hf_queue_open(&s->queues[i], rig->drv, i,
					       i % 2 == 0 ? HF_POLL : HF_EVENT,
					       &rig->err),
				 0);
	}
	rig_rule(rig, "io,every=5:delay=700us");
	rig_rule(rig, "io,every=7:late-post=900us");
	rig_rule(rig, "io-write,every=11:delay=2ms");
	rig->pump = false;
	while ((s->done < wanted || !is_idle(s)) && s->failure[0] == '\0') {
		assert_true(steps++ < 1000 * wanted + 100000);
		step(s);
	}
	rig->pump = true;
	if (s->failure[0] != '\0') {
		fail_msg("seed %" PRIu64 ": %s", seed, s->failure);
	}
	hf_emu_fault_clear(rig->emu);
	check_all(s);
	assert_int_equal(rig->drv->lies, 0);
	assert_int_equal(rig_stats(rig).dma_faults, 0);
	for (uint32_t i = 0; i < 4; i++) {
		hf_queue_close(s->queues[i]);
	}
	session_fini(s);
	free(s);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void one_thread_with_a_controller_told_to_move(void **state)
{
	uint64_t seed = from_environment("HOLDFAST_SEED", DEFAULT_SEED);
	uint64_t rounds = from_environment("HOLDFAST_ROUNDS", ALONE_ROUNDS);

	(void)state;
	print_message("# HOLDFAST_SEED=%" PRIu64 "\n", seed);
	for (uint64_t i = 0; i < rounds; i++) {
		void *rig;

		rig_setup(&rig);
		run_alone(rig, seed + i, 1500);
		rig_teardown(&rig);
	}
}

static void *session_main(void *arg)
{
	struct session *s = arg;
	uint64_t deadline = hf_deadline_ms(60000);

	while ((s->done < s->wanted || !is_idle(s)) && s->failure[0] == '\0') {
		if (hf_deadline_passed(deadline)) {
			snprintf(s->failure, sizeof(s->failure),
				 "something never ended");
			break;
		}
		if (s->done < s->wanted) {
			submit_some(s);
		}
		(void)!hf_queue_wait(s->queues[0], 1);
		(void)hf_reap(s->queues[0], 1 + (uint32_t)below(s, 20));
		collect(s);
	}
	return NULL;
}

static void run_together(struct rig *rig, uint64_t seed, uint64_t wanted)
{
	static const enum hf_queue_mode modes[THREADS] = {HF_POLL, HF_EVENT,
							  HF_THREAD};
	struct session *all = calloc(THREADS, sizeof(*all));
	uint64_t rng = seed * 2 + 1;

	choose_options(rig, &rng);
	rig->options.runtime = true;
	rig->emu_options.io_workers = 2;
	rig_open(rig);
	for (uint32_t i = 0; i < THREADS; i++) {
		struct session *s = &all[i];

		session_init(s, rig, seed + i * 1000, wanted);
		s->blocks /= THREADS;
		s->first = i * s->blocks;
		s->queue_count = 1;
		assert_int_equal(hf_queue_open(&s->queues[0], rig->drv, i,
					       modes[i], &rig->err),
				 0);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&all[i].thread, NULL,
						session_main, &all[i]),
				 0);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		pthread_join(all[i].thread, NULL);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		if (all[i].failure[0] != '\0') {
			fail_msg("seed %" PRIu64 ", thread %u: %s", seed, i,
				 all[i].failure);
		}
		check_all(&all[i]);
		hf_queue_close(all[i].queues[0]);
		session_fini(&all[i]);
	}
	assert_int_equal(rig->drv->lies, 0);
	free(all);
}

static void several_threads_with_blocks_of_their_own(void **state)
{
	uint64_t seed = from_environment("HOLDFAST_SEED", DEFAULT_SEED);
	uint64_t rounds = from_environment("HOLDFAST_ROUNDS", 6);

	(void)state;
	for (uint64_t i = 0; i < rounds; i++) {
		void *rig;

		rig_setup(&rig);
		run_together(rig, seed + i, 600);
		rig_teardown(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_with_a_controller_told_to_move),
		cmocka_unit_test(several_threads_with_blocks_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
