/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a completion interrupts the CPU whose queue it came on, and no other.
 * Method: a thread on each CPU in turn sleeps for each of its reads; the
 *         kernel's own counts tell where the interrupts went.
 */
#include "any_device.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

#define CPUS  2u
#define READS 30u

/* What /proc/interrupts says of one vector: how often on each CPU. */
static void counts(uint32_t vector, uint64_t *on_cpu)
{
	char name[32];
	char line[1024];
	FILE *file = fopen("/proc/interrupts", "r");

	assert_non_null(file);
	snprintf(name, sizeof(name), "vfio-msix[%u]", vector);
	memset(on_cpu, 0, CPUS * sizeof(*on_cpu));
	while (fgets(line, sizeof(line), file) != NULL) {
		char *at = strchr(line, ':');

		/* Only one function is open, so only one has this vector. */
		if (strstr(line, name) == NULL || at == NULL) {
			continue;
		}
		at++;
		for (uint32_t cpu = 0; cpu < CPUS; cpu++) {
			on_cpu[cpu] = strtoull(at, &at, 10);
		}
	}
	fclose(file);
}

static void run_on(uint32_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void note_end(struct hf_io *io, int result)
{
	bool *ended = io->user;

	assert_int_equal(result, 0);
	*ended = true;
}

static void sleep_for_reads(struct hf_namespace *ns, struct hf_queue *queue,
			    void *data, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t deadline = hf_deadline_ms(10000);
		bool ended = false;
		struct hf_io io;
		struct hf_io *list = &io;

		hf_io_prep_read(&io, ns, i, 1, data);
		io.done = note_end;
		io.user = &ended;
		assert_int_equal(hf_submit(queue, &list, 1), 1);
		while (!ended) {
			assert_false(hf_deadline_passed(deadline));
			(void)!hf_queue_wait(queue, 1000);
			(void)hf_reap(queue, 8);
		}
	}
}

static void completions_interrupt_their_cpu(void **state)
{
	struct hf_driver_options options;
	struct hf_driver *drv;
	struct hf_namespace *ns;
	void *data;

	(void)state;
	hf_driver_options_init(&options);
	options.cpu_count = CPUS;
	drv = any_open(ANY_PLAIN, &options);
	ns = any_namespace(drv, 1);
	data = hf_dma_alloc(drv, 4096, NULL);
	assert_non_null(data);
	for (uint32_t cpu = 0; cpu < CPUS; cpu++) {
		struct hf_queue *queue = NULL;
		uint64_t before[CPUS];
		uint64_t after[CPUS];

		run_on(cpu);
		assert_int_equal(
			hf_queue_open(&queue, drv, cpu, HF_EVENT, NULL), 0);
		/* The first read also makes the queue and its interrupt. */
		sleep_for_reads(ns, queue, data, 1);
		counts(cpu, before);
		sleep_for_reads(ns, queue, data, READS);
		counts(cpu, after);
		hf_queue_close(queue);

		print_message("vector %u: CPU 0 %llu, CPU 1 %llu\n", cpu,
			      (unsigned long long)(after[0] - before[0]),
			      (unsigned long long)(after[1] - before[1]));
		assert_true(after[cpu] - before[cpu] >= READS / 2);
		assert_int_equal(after[1 - cpu], before[1 - cpu]);
	}
	hf_dma_free(drv, data);
	hf_namespace_close(ns);
	assert_int_equal(hf_driver_close(drv, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(completions_interrupt_their_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
