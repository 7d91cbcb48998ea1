/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a process may die between any two instructions of submitting and
 *       reaping, and the controller may have done anything it was told by
 *       then: each I/O still ends once for its caller, and is sent once.
 * Method: a child runs the driver's own code and is stopped after every
 *         instruction. Whenever one has changed what outlives the process (the
 *         ledger, the rings, a doorbell), all of that is kept. From each such
 *         state, with each thing that the controller can have done meanwhile,
 *         a successor restores by the crash path and finishes the work. On
 *         x86 a thread's stores become visible in program order, so that these
 *         are all the states there are.
 *         --negative-control: the order of two stores was changed, which has
 *         to be noticed.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../driver/rig.h"
#include "model_device.h"

#define IOS_MAX        8u
#define KEYS_PER_IO    16u
#define KEY_BLOCKS     16u
#define FRESH          (MODEL_KEYS / KEYS_PER_IO - 1)
#define BELLS_MAX      32u
#define BELL_RUNG      (1u << 31)
#define BELL_CQ        (1u << 30)
#define SNAPSHOTS_MAX  4096u
#define ORDERS_MAX     64u
#define ROUNDS_MAX     64u
#define INSTRUCTIONS   2000000u
#define FAILURES_SHOWN 10u
#define SKIPPED        77

enum phase_kind { END, SUBMIT, REAP, DEVICE };

/* A step of the script. SUBMIT: I/Os from @a on, @b of them, in one batch.
 * DEVICE: @a commands are completed, newest first if @b. */
struct phase {
	enum phase_kind kind;
	uint32_t a;
	uint32_t b;
};

struct script {
	const char *name;
	uint32_t entries;
	uint32_t warm;            /* I/Os before, so that rings wrap */
	uint32_t blocks[IOS_MAX]; /* of each I/O */
	bool bounced;
	struct phase phases[12];
};

static const struct script scripts[] = {
	{
		.name = "one after the other",
		.entries = 8,
		.blocks = {8, 8},
		.phases = {{SUBMIT, 0, 1},
			   {SUBMIT, 1, 1},
			   {DEVICE, 1, 0},
			   {REAP, 0, 0},
			   {DEVICE, 1, 0},
			   {REAP, 0, 0}},
	},
	{
		.name = "a batch that fills the ring",
		.entries = 5,
		.blocks = {8, 8, 8},
		.phases = {{SUBMIT, 0, 3}, {DEVICE, 3, 1}, {REAP, 0, 0}},
	},
	{
		.name = "rings that wrap",
		.entries = 4,
		.warm = 3,
		.blocks = {8, 8, 8, 8},
		.phases = {{SUBMIT, 0, 2},
			   {DEVICE, 1, 1},
			   {REAP, 0, 0},
			   {SUBMIT, 2, 2},
			   {DEVICE, 2, 0},
			   {REAP, 0, 0}},
	},
	{
		.name = "a queue of two entries",
		.entries = 2,
		.blocks = {8, 8},
		.phases = {{SUBMIT, 0, 2},
			   {DEVICE, 1, 0},
			   {REAP, 0, 0},
			   {DEVICE, 1, 0},
			   {REAP, 0, 0}},
	},
	{
		.name = "copied data",
		.entries = 4,
		.bounced = true,
		.blocks = {8, 8},
		.phases = {{SUBMIT, 0, 2}, {DEVICE, 2, 1}, {REAP, 0, 0}},
	},
	{
		.name = "a large I/O whose parts wait for one another",
		.entries = 5,
		.blocks = {64, 8},
		.phases = {{SUBMIT, 0, 2},
			   {DEVICE, 2, 1},
			   {REAP, 0, 0},
			   {DEVICE, 3, 0},
			   {REAP, 0, 0}},
	},
};

/* What the child does that is not in ledger and rings, in shared memory. */
struct witness {
	uint32_t bells[BELLS_MAX]; /* doorbell writes, one store each */
	uint32_t told[IOS_MAX];    /* calls of the callback */
};

/* All of it that a step can change. */
struct range {
	uint8_t *at;
	size_t len;
};

enum { RANGES_MAX = 8 };

struct memory {
	struct range ranges[RANGES_MAX];
	uint32_t count;
	size_t len;
};

struct snapshot {
	uint8_t *bytes;
	struct model model; /* before what was rung since */
	struct witness witness;
	uint32_t bells_heard; /* which the model knows of */
	uint32_t phase;
	uint64_t instruction;
};

struct checker {
	struct rig *rig;
	const struct script *script;
	struct hf_queue *queue;
	struct rig_io *work;
	uint8_t *data;     /* of hf_dma_alloc() */
	uint8_t *private_; /* anything else */
	struct witness *witness;
	struct memory watched; /* looked at after every instruction */
	struct memory all;     /* put back before every case */
	uint8_t *baseline;
	struct model live;
	uint32_t bells_heard;
	struct snapshot *snapshots;
	uint32_t snapshot_count;
	uint64_t cases;
	uint32_t failures;
};

static void memory_add(struct memory *memory, void *at, size_t len)
{
	assert_true(memory->count < RANGES_MAX);
	memory->ranges[memory->count].at = at;
	memory->ranges[memory->count].len = len;
	memory->count++;
	memory->len += len;
}

static uint8_t *memory_keep(const struct memory *memory)
{
	uint8_t *bytes = malloc(memory->len);
	uint8_t *to = bytes;

	assert_non_null(bytes);
	for (uint32_t i = 0; i < memory->count; i++) {
		memcpy(to, memory->ranges[i].at, memory->ranges[i].len);
		to += memory->ranges[i].len;
	}
	return bytes;
}

static void memory_put_back(const struct memory *memory, const uint8_t *bytes)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		memcpy(memory->ranges[i].at, bytes, memory->ranges[i].len);
		bytes += memory->ranges[i].len;
	}
}

static bool memory_equals(const struct memory *memory, const uint8_t *bytes)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		if (memcmp(memory->ranges[i].at, bytes,
			   memory->ranges[i].len) != 0) {
			return false;
		}
		bytes += memory->ranges[i].len;
	}
	return true;
}

/* In the child: a doorbell is one store that the parent can see. */
static struct witness *child_witness;
static uint32_t child_bells;

static int child_reg_write(struct hf_device *dev, uint32_t offset,
			   uint32_t size_bytes, uint64_t value)
{
	uint32_t bell = BELL_RUNG | (uint32_t)value;

	(void)dev;
	(void)size_bytes;
	/* The first I/O queue's doorbells, which stand 4 bytes apart. */
	if (offset == 0x100c) {
		bell |= BELL_CQ;
	} else if (offset != 0x1008) {
		_exit(3);
	}
	if (child_bells == BELLS_MAX) {
		_exit(4);
	}
	__atomic_store_n(&child_witness->bells[child_bells], bell,
			 __ATOMIC_RELEASE);
	child_bells++;
	return 0;
}

static void child_done(struct hf_io *io, int result)
{
	struct rig_io *work = io->user;

	if (result != 0) {
		_exit(5);
	}
	__atomic_add_fetch(&child_witness->told[io->cookie - 1], 1,
			   __ATOMIC_RELEASE);
	work->calls++;
}

static void prepare_ios(struct checker *c)
{
	for (uint32_t i = 0; i < IOS_MAX; i++) {
		rig_prep(&c->work[i], c->rig->ns,
			 i % 2 == 0 ? HF_OP_READ : HF_OP_WRITE,
			 MODEL_BASE_LBA +
				 (uint64_t)i * KEYS_PER_IO * KEY_BLOCKS,
			 c->script->blocks[i],
			 (c->script->bounced ? c->private_ : c->data) +
				 (size_t)i * 65536);
		c->work[i].io.cookie = i + 1;
		c->work[i].io.done = child_done;
	}
}

/* Stops before each phase; the parent says when to go on. */
static _Noreturn void child(struct checker *c)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	child_witness = c->witness;
	c->rig->ops.reg_write = child_reg_write;
	for (uint32_t i = 0; c->script->phases[i].kind != END; i++) {
		const struct phase *phase = &c->script->phases[i];
		struct hf_io *list[IOS_MAX];

		for (uint32_t n = 0; n < IOS_MAX; n++) {
			list[n] = &c->work[n].io;
		}
		raise(SIGSTOP);
		if (phase->kind == SUBMIT &&
		    hf_submit(c->queue, list + phase->a, phase->b) !=
			    (int)phase->b) {
			_exit(6);
		}
		if (phase->kind == REAP) {
			(void)hf_reap(c->queue, 64);
		}
	}
	raise(SIGSTOP);
	_exit(0);
}

static void hear_bells(struct model *model, const struct witness *witness,
		       uint32_t *heard)
{
	while (*heard < BELLS_MAX && witness->bells[*heard] != 0) {
		uint32_t bell = witness->bells[*heard];

		model_ring(model, 1, (bell & BELL_CQ) != 0, bell & 0xffff);
		(*heard)++;
	}
}

static void take_snapshot(struct checker *c, uint32_t phase,
			  uint64_t instruction)
{
	assert_true(c->snapshot_count < SNAPSHOTS_MAX);
	c->snapshots[c->snapshot_count] = (struct snapshot){
		.bytes = memory_keep(&c->watched),
		.model = c->live,
		.witness = *c->witness,
		.bells_heard = c->bells_heard,
		.phase = phase,
		.instruction = instruction,
	};
	c->snapshot_count++;
}

/* Runs the child to its next stop, one instruction at a time. */
static void step_through(struct checker *c, pid_t pid, uint32_t phase)
{
	int status = 0;

	take_snapshot(c, phase, 0);
	for (uint64_t i = 1; i < INSTRUCTIONS; i++) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status)) {
			fail_msg("%s, phase %u: the child ended with %#x",
				 c->script->name, phase, (unsigned)status);
		}
		if (WSTOPSIG(status) == SIGSTOP) {
			return;
		}
		if (WSTOPSIG(status) != SIGTRAP) {
			fail_msg("%s, phase %u: the child got signal %d",
				 c->script->name, phase, WSTOPSIG(status));
		}
		if (!memory_equals(&c->watched,
				   c->snapshots[c->snapshot_count - 1].bytes)) {
			take_snapshot(c, phase, i);
		}
	}
	fail_msg("the child does not come to an end");
}

static void device_acts(struct checker *c, const struct phase *phase)
{
	hear_bells(&c->live, c->witness, &c->bells_heard);
	while (model_fetch(&c->live, 1)) {
	}
	for (uint32_t i = 0; i < phase->a; i++) {
		uint32_t count = c->live.queues[1].held_count;

		assert_true(count > 0);
		model_complete(&c->live, 1, phase->b != 0 ? count - 1 : 0);
	}
}

static void run_child(struct checker *c)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		child(c);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status)) {
		print_error("a process cannot be traced here\n");
		exit(SKIPPED);
	}
	for (uint32_t i = 0; c->script->phases[i].kind != END; i++) {
		if (c->script->phases[i].kind == DEVICE) {
			device_acts(c, &c->script->phases[i]);
		}
		step_through(c, pid, i);
	}
	take_snapshot(c, UINT32_MAX, 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* What the controller may have done by then: so many entries fetched, and
 * these completed, in this order. */
struct order {
	uint32_t fetched;
	uint32_t completed;
	uint32_t which[4];
	bool one_by_one; /* each completed before the next is fetched */
};

static uint32_t add_orders(struct order *orders, uint32_t count,
			   struct order order, uint32_t held)
{
	assert_true(count < ORDERS_MAX);
	orders[count] = order;
	count++;
	for (uint32_t i = 0; order.completed < 3 && i < held; i++) {
		struct order longer = order;

		longer.which[longer.completed] = i;
		longer.completed++;
		count = add_orders(orders, count, longer, held - 1);
	}
	return count;
}

/* Every number of entries fetched, and every choice and order of completions.
 * Recursion no deeper than what is under way. */
static uint32_t all_orders(struct order *orders, const struct model *model)
{
	const struct model_queue *queue = &model->queues[1];
	uint32_t told = (queue->sq_tail + queue->entries - queue->sq_head) %
			queue->entries;
	uint32_t count = 0;

	for (uint32_t fetched = 0; fetched <= told; fetched++) {
		count = add_orders(orders, count,
				   (struct order){.fetched = fetched},
				   queue->held_count + fetched);
	}
	if (told > 1) {
		orders[count] =
			(struct order){.fetched = told, .one_by_one = true};
		count++;
	}
	return count;
}

static void act(struct model *model, const struct order *order)
{
	for (uint32_t i = 0; i < order->fetched; i++) {
		assert_true(model_fetch(model, 1));
		if (order->one_by_one) {
			model_complete(model, 1,
				       model->queues[1].held_count - 1);
		}
	}
	for (uint32_t i = 0; i < order->completed; i++) {
		model_complete(model, 1, order->which[i]);
	}
}

/* A successor and what it was told. */
struct heir {
	struct checker *c;
	struct model model;
	struct hf_driver *drv;
	struct hf_namespace *ns;
	struct hf_queue *queue;
	struct rig_io work[IOS_MAX + 1];
	bool attached[IOS_MAX];
};

static const char *attach_all(struct heir *heir)
{
	struct hf_inflight old;
	struct hf_error err;
	uint64_t cursor = 0;

	while (hf_inflight_next(heir->drv, &cursor, &old) == 1) {
		uint64_t i = old.cookie - 1;

		if (i >= IOS_MAX || heir->attached[i]) {
			return "an I/O that is listed twice, or is none";
		}
		heir->attached[i] = true;
		rig_prep(&heir->work[i], heir->ns, old.op, old.lba, old.blocks,
			 old.bounced ? heir->c->private_ : old.buf);
		if (old.blocks != heir->c->script->blocks[i]) {
			return "an I/O of another size";
		}
		if (hf_io_attach(&heir->work[i].io, &old, &err) != 0) {
			return "an I/O that cannot be attached to";
		}
	}
	return NULL;
}

/* Until nothing moves any more. */
static void work_off(struct heir *heir)
{
	uint32_t idle = 0;

	for (uint32_t i = 0; i < ROUNDS_MAX && idle < 2; i++) {
		model_run(&heir->model);
		idle = hf_reap(heir->queue, 64) > 0 ? 0 : idle + 1;
	}
}

static const char *judge_io(const struct heir *heir,
			    const struct snapshot *snapshot, uint32_t i)
{
	uint32_t parts =
		(heir->c->script->blocks[i] + KEY_BLOCKS - 1) / KEY_BLOCKS;
	uint32_t sent = 0;
	uint32_t done = 0;

	for (uint32_t k = 0; k < parts; k++) {
		if (heir->model.fetched[i * KEYS_PER_IO + k] > 1) {
			return "a command that was sent twice";
		}
		sent += heir->model.fetched[i * KEYS_PER_IO + k];
		done += heir->model.completed[i * KEYS_PER_IO + k];
	}
	if (snapshot->witness.told[i] > 1) {
		return "an I/O that was told of twice";
	}
	if (heir->attached[i]) {
		if (heir->work[i].calls != 1) {
			return heir->work[i].calls == 0
				       ? "an I/O that never ends"
				       : "an I/O that ends twice";
		}
		if (heir->work[i].result != 0) {
			return "an I/O that fails";
		}
		return sent == parts && done == parts
			       ? NULL
			       : "an I/O that ended and was not done";
	}
	if (snapshot->witness.told[i] == 1) {
		return done == parts ? NULL
				     : "an I/O that was told of too early";
	}
	return sent == 0 ? NULL : "an I/O that is lost";
}

static const char *judge_queue(const struct heir *heir)
{
	const struct hf_qpair *qp = heir->drv->io[0];

	if (heir->model.wrong != NULL) {
		return heir->model.wrong;
	}
	if (heir->model.other_commands != 0) {
		return "an admin command";
	}
	for (uint32_t i = 0; i < HF_LIE_COUNT; i++) {
		if (qp->trouble.lies[i] != 0) {
			return "a completion that was not believed";
		}
	}
	if (qp->pending.in_use != 0) {
		return "a slot that is never free again";
	}
	if (qp->pool.free_count != qp->pool.count) {
		return "a page that is never free again";
	}
	for (uint32_t i = 0; i < qp->view.queue->record_count; i++) {
		if (qp->view.records[i].in_use != 0) {
			return "a record that is never free again";
		}
	}
	return NULL;
}

static const char *succeed(struct heir *heir, const struct snapshot *snapshot)
{
	struct rig_io *fresh = &heir->work[IOS_MAX];
	struct hf_io *list[] = {&fresh->io};
	struct hf_error err;
	const char *what = attach_all(heir);

	if (what != NULL) {
		return what;
	}
	if (hf_queue_open(&heir->queue, heir->drv, 0, HF_POLL, &err) != 0) {
		return "no queue";
	}
	work_off(heir);
	for (uint32_t i = 0; what == NULL && i < IOS_MAX; i++) {
		what = judge_io(heir, snapshot, i);
	}
	if (what != NULL) {
		return what;
	}
	rig_prep(fresh, heir->ns, HF_OP_WRITE,
		 MODEL_BASE_LBA + (uint64_t)FRESH * KEYS_PER_IO * KEY_BLOCKS, 8,
		 heir->c->private_);
	if (hf_submit(heir->queue, list, 1) != 1) {
		return "no new I/O";
	}
	work_off(heir);
	if (fresh->calls != 1 || fresh->result != 0) {
		return "a new I/O that does not end";
	}
	return judge_queue(heir);
}

static void fail_case(struct checker *c, const struct snapshot *snapshot,
		      const struct order *order, const char *what)
{
	c->failures++;
	if (c->failures <= FAILURES_SHOWN) {
		print_message("# %s: %s; killed in phase %d after instruction "
			      "%llu, %u more fetched, %u more completed\n",
			      c->script->name, what, (int)snapshot->phase,
			      (unsigned long long)snapshot->instruction,
			      order->fetched, order->completed);
	}
}

static void run_case(struct checker *c, const struct snapshot *snapshot,
		     const struct model *model, const struct order *order)
{
	struct heir heir = {.c = c, .model = *model};
	struct hf_driver_options options = c->rig->options;
	struct hf_error err = {.message = ""};
	struct hf_device *dev;

	memory_put_back(&c->all, c->baseline);
	memory_put_back(&c->watched, snapshot->bytes);
	act(&heir.model, order);
	dev = model_device_create(&heir.model, c->rig->drv->dev,
				  &c->rig->drv->ledger);
	c->cases++;
	if (hf_driver_restore(&heir.drv, dev, NULL, 0, &options, &err) != 0) {
		fail_case(c, snapshot, order, err.message);
		hf_device_release(dev, HF_RELEASE_KEEP);
		return;
	}
	assert_int_equal(hf_namespace_open(&heir.ns, heir.drv, 1, &err), 0);
	const char *what = succeed(&heir, snapshot);
	if (what != NULL) {
		fail_case(c, snapshot, order, what);
	}
	hf_queue_close(heir.queue);
	hf_namespace_close(heir.ns);
	hf_driver_leave(heir.drv);
}

static void check_snapshot(struct checker *c, const struct snapshot *snapshot)
{
	struct order orders[ORDERS_MAX];
	struct model model = snapshot->model;
	uint32_t heard = snapshot->bells_heard;

	hear_bells(&model, &snapshot->witness, &heard);
	uint32_t count = all_orders(orders, &model);
	for (uint32_t i = 0; i < count; i++) {
		run_case(c, snapshot, &model, &orders[i]);
	}
}

static void choose_memory(struct checker *c)
{
	struct hf_driver *drv = c->rig->drv;
	const struct hf_qpair *qp = drv->io[0];
	const struct hf_ledger_header *header = drv->ledger.header;
	size_t rings =
		(size_t)((const uint8_t *)qp->pool.vaddr - qp->block.vaddr);
	size_t to_queues = header->queues_offset;

	memory_add(&c->watched, qp->view.queue, sizeof(*qp->view.queue));
	memory_add(&c->watched, qp->view.slots,
		   qp->pending.count * sizeof(*qp->view.slots));
	memory_add(&c->watched, qp->view.records,
		   4 * sizeof(*qp->view.records));
	memory_add(&c->watched, qp->view.page_next,
		   qp->pool.count * sizeof(*qp->view.page_next));
	memory_add(&c->watched, qp->sq.ring,
		   qp->sq.entries * sizeof(*qp->sq.ring));
	memory_add(&c->watched, (void *)qp->cq.ring,
		   qp->cq.entries * sizeof(*qp->cq.ring));
	memory_add(&c->watched, c->witness, sizeof(*c->witness));

	memory_add(&c->all, drv->ledger.header, 16384);
	memory_add(&c->all, (uint8_t *)drv->ledger.header + to_queues,
		   2 * header->queue_bytes);
	memory_add(&c->all, qp->block.vaddr, rings);
	memory_add(&c->all, drv->admin->block.vaddr,
		   drv->admin->block.len_bytes -
			   drv->admin->pool.count * NVME_PAGE_BYTES);
}

static void warm_up(struct checker *c)
{
	struct rig_io work;
	struct hf_io *list[] = {&work.io};

	for (uint32_t i = 0; i < c->script->warm; i++) {
		rig_prep(&work, c->rig->ns, HF_OP_READ, 0, 8, c->data);
		assert_int_equal(hf_submit(c->queue, list, 1), 1);
		assert_int_equal(rig_finish(c->rig, c->queue, &work), 0);
	}
}

static void *shared_memory(size_t len)
{
	void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(memory != MAP_FAILED);
	return memory;
}

static void set_up(struct checker *c)
{
	struct rig *rig = c->rig;

	rig->emu_options.serve = HF_EMU_MANUAL;
	rig->emu_options.mdts = 1;
	rig->options.cpu_count = 1;
	rig->options.io_queues = 1;
	rig->options.queue_entries = c->script->entries;
	rig->options.log.write = NULL;
	rig_open(rig);
	c->data = hf_dma_alloc(rig->drv, IOS_MAX * 65536, &rig->err);
	c->private_ = aligned_alloc(4096, IOS_MAX * 65536);
	c->work = calloc(IOS_MAX, sizeof(*c->work));
	c->snapshots = calloc(SNAPSHOTS_MAX, sizeof(*c->snapshots));
	c->witness = shared_memory(sizeof(*c->witness));
	assert_non_null(c->data);
	assert_int_equal(
		hf_queue_open(&c->queue, rig->drv, 0, HF_POLL, &rig->err), 0);
	warm_up(c);
	prepare_ios(c);
	choose_memory(c);
	c->baseline = memory_keep(&c->all);
	model_init(&c->live, rig->drv->dev, &rig->drv->ledger);
}

static void tear_down(struct checker *c)
{
	memory_put_back(&c->all, c->baseline);
	hf_queue_close(c->queue);
	for (uint32_t i = 0; i < c->snapshot_count; i++) {
		free(c->snapshots[i].bytes);
	}
	munmap(c->witness, sizeof(*c->witness));
	free(c->snapshots);
	free(c->baseline);
	free(c->private_);
	free(c->work);
}

/* Return: how many cases went wrong. */
static uint32_t check_script(const struct script *script)
{
	struct checker c = {.script = script};
	void *state = NULL;

	assert_int_equal(rig_setup(&state), 0);
	c.rig = state;
	set_up(&c);
	run_child(&c);
	for (uint32_t i = 0; i < c.snapshot_count; i++) {
		check_snapshot(&c, &c.snapshots[i]);
	}
	print_message("# %s: %u states, %llu cases, %u wrong\n", script->name,
		      c.snapshot_count, (unsigned long long)c.cases,
		      c.failures);
	tear_down(&c);
	assert_int_equal(rig_teardown(&state), 0);
	return c.failures;
}

static bool is_negative_control;

static void no_command_is_lost_or_sent_twice(void **state)
{
	uint32_t failures = check_script(*state);

	if (!is_negative_control) {
		assert_int_equal(failures, 0);
	}
}

static void the_wrong_order_is_noticed(void **state)
{
	uint32_t failures = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		failures += check_script(&scripts[i]);
	}
	assert_true(failures > 0);
}

int main(int argc, char **argv)
{
	enum { COUNT = sizeof(scripts) / sizeof(scripts[0]) };
	struct CMUnitTest tests[COUNT];
	const struct CMUnitTest control[] = {
		cmocka_unit_test(the_wrong_order_is_noticed),
	};

	if (argc == 2 && strcmp(argv[1], "--negative-control") == 0) {
		is_negative_control = true;
		return cmocka_run_group_tests(control, NULL, NULL);
	}
	for (size_t i = 0; i < COUNT; i++) {
		tests[i] = (struct CMUnitTest)cmocka_unit_test_prestate(
			no_command_is_lost_or_sent_twice, (void *)&scripts[i]);
		tests[i].name = scripts[i].name;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
