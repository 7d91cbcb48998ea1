/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: from submit to completion nothing is allocated, no system call is made,
 *       and a batch rings one doorbell.
 * Method: the controller runs only when told to, outside of what is watched.
 *         While the path is watched, the kernel turns each system call of this
 *         thread into SIGSYS, and each call of an allocator is counted.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "rig.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON           1
#endif

/* What the selector says to the kernel. */
enum { ALLOW = 0, BLOCK = 1 };

#define BATCH   8u
#define BATCHES 300u
#define BYTES   4096u

static volatile char selector = ALLOW;
static volatile sig_atomic_t last_call;
static volatile sig_atomic_t calls;
static uint32_t allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
	allocations += selector == BLOCK;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	allocations += selector == BLOCK;
	return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	allocations += selector == BLOCK;
	return __real_realloc(old, size);
}

/* Returning from here is a system call, too: the rest goes unwatched. */
static void on_call(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	selector = ALLOW;
	last_call = info->si_syscall;
	calls++;
}

static void watch(void)
{
	struct sigaction action = {.sa_sigaction = on_call,
				   .sa_flags = SA_SIGINFO};

	assert_int_equal(sigaction(SIGSYS, &action, NULL), 0);
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0,
		  &selector) != 0) {
		print_message("# this kernel lets no system call be caught\n");
	}
}

struct run {
	struct rig *rig;
	struct hf_queue *queue;
	struct rig_io work[BATCH];
	uint8_t *data;
	enum hf_op op;
};

static void prepare(struct run *run)
{
	bool moves = run->op == HF_OP_READ || run->op == HF_OP_WRITE;

	for (uint32_t i = 0; i < BATCH; i++) {
		rig_prep(&run->work[i], run->rig->ns, run->op,
			 moves ? i * 8 : 0, moves ? 8 : 0,
			 moves ? run->data + (size_t)i * BYTES : NULL);
	}
}

/* What a caller does, watched; what the controller does is not. */
static void one_batch(struct run *run, bool watched)
{
	struct hf_io *ios[BATCH];
	int taken;
	int reaped;

	prepare(run);
	for (uint32_t i = 0; i < BATCH; i++) {
		ios[i] = &run->work[i].io;
	}
	uint64_t bells = rig_stats(run->rig).doorbell_writes;
	selector = watched ? BLOCK : ALLOW;
	taken = hf_submit(run->queue, ios, BATCH);
	selector = ALLOW;
	assert_int_equal(taken, (int)BATCH);
	assert_int_equal(rig_stats(run->rig).doorbell_writes - bells, 1);

	while (hf_emu_process(run->rig->emu, 1000) != 0) {
	}
	selector = watched ? BLOCK : ALLOW;
	reaped = hf_reap(run->queue, 2 * BATCH);
	selector = ALLOW;
	assert_int_equal(reaped, (int)BATCH);
	/* One more, of the completion queue. */
	assert_int_equal(rig_stats(run->rig).doorbell_writes - bells, 2);
	for (uint32_t i = 0; i < BATCH; i++) {
		assert_int_equal(run->work[i].calls, 1);
		assert_int_equal(run->work[i].result, 0);
	}
}

static void costs_nothing_of_the_system(struct rig *rig, enum hf_op op,
					bool own_memory)
{
	struct run run = {.rig = rig, .op = op};

	rig->emu_options.serve = HF_EMU_MANUAL;
	rig_open(rig);
	run.data = own_memory ? hf_dma_alloc(rig->drv, BATCH * BYTES, &rig->err)
			      : aligned_alloc(BYTES, BATCH * BYTES);
	assert_non_null(run.data);
	memset(run.data, 0, BATCH * BYTES);
	assert_int_equal(
		hf_queue_open(&run.queue, rig->drv, 0, HF_POLL, &rig->err), 0);
	rig->pump = false;
	watch();
	calls = 0;
	allocations = 0;
	for (uint32_t i = 0; i < BATCHES; i++) {
		one_batch(&run, i > 0);
	}
	rig->pump = true;
	if (calls != 0) {
		fail_msg("system call %d was made", (int)last_call);
	}
	assert_int_equal(allocations, 0);
	if (!own_memory) {
		free(run.data);
	}
}

static void a_read_costs_nothing_of_the_system(void **state)
{
	costs_nothing_of_the_system(*state, HF_OP_READ, true);
}

static void a_write_costs_nothing_of_the_system(void **state)
{
	costs_nothing_of_the_system(*state, HF_OP_WRITE, true);
}

static void a_flush_costs_nothing_of_the_system(void **state)
{
	costs_nothing_of_the_system(*state, HF_OP_FLUSH, true);
}

static void a_copied_read_costs_nothing_of_the_system(void **state)
{
	costs_nothing_of_the_system(*state, HF_OP_READ, false);
}

static void a_copied_write_costs_nothing_of_the_system(void **state)
{
	costs_nothing_of_the_system(*state, HF_OP_WRITE, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_read_costs_nothing_of_the_system),
		rig_test(a_write_costs_nothing_of_the_system),
		rig_test(a_flush_costs_nothing_of_the_system),
		rig_test(a_copied_read_costs_nothing_of_the_system),
		rig_test(a_copied_write_costs_nothing_of_the_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
