/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: CPU time of a driver that has nothing to do; memory of a queue pair.
 * Method: a controller in this process (which sleeps when idle, too), one I/O
 * on each of 9 queues; memory before and after the last 8 of them; then a
 * second of silence, and the process's CPU time over it.
 * usage: perf-idle event|thread; prints microseconds of CPU per second, and
 * bytes per queue pair
 */
#include <poll.h>
#include <stdatomic.h>
#include <string.h>

#include "perf.h"

enum {
	QUEUES = 9,
	WAIT_MS = 5000,
};

static atomic_uint ended;

static void done(struct hf_io *io, int result)
{
	(void)io;
	check(result, "read", NULL);
	atomic_fetch_add(&ended, 1);
}

/* Resident bytes, shared memory included. */
static uint64_t resident_bytes(void)
{
	unsigned long long size;
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file == NULL || fscanf(file, "%llu %llu", &size, &pages) != 2) {
		perror("/proc/self/statm");
		exit(1);
	}
	fclose(file);
	return pages * 4096;
}

static void one_read(struct hf_queue *queue, struct hf_namespace *ns,
		     enum hf_queue_mode mode)
{
	static unsigned char block[4096];
	struct hf_io io;
	struct hf_io *list = &io;
	unsigned int before = atomic_load(&ended);

	hf_io_prep_read(&io, ns, 0, 1, block);
	io.done = done;
	if (hf_submit(queue, &list, 1) != 1) {
		fprintf(stderr, "the queue did not take a read\n");
		exit(1);
	}
	for (int i = 0; i < WAIT_MS && atomic_load(&ended) == before; i++) {
		if (mode == HF_EVENT) {
			(void)!hf_queue_wait(queue, 1);
			hf_reap(queue, 1);
		} else {
			poll(NULL, 0, 1);
		}
	}
}

int main(int argc, char **argv)
{
	enum hf_queue_mode mode = argc > 1 && strcmp(argv[1], "thread") == 0
					  ? HF_THREAD
					  : HF_EVENT;
	struct hf_queue *queues[QUEUES];
	struct hf_driver_options options;
	struct hf_namespace *ns;
	struct hf_error err;
	uint64_t first = 0;
	struct hf_emu *emu = perf_null_controller();

	hf_driver_options_init(&options);
	options.cpu_count = QUEUES;
	options.io_queues = QUEUES;
	struct hf_driver *drv = perf_open(emu, &options);

	check(hf_namespace_open(&ns, drv, 1, &err), "hf_namespace_open", &err);
	for (uint32_t i = 0; i < QUEUES; i++) {
		check(hf_queue_open(&queues[i], drv, i, mode, &err),
		      "hf_queue_open", &err);
		one_read(queues[i], ns, mode);
		if (i == 0) {
			first = resident_bytes();
		}
	}
	uint64_t last = resident_bytes();

	poll(NULL, 0, 200);
	uint64_t before = now_ns(CLOCK_PROCESS_CPUTIME_ID);

	poll(NULL, 0, 1000);
	uint64_t used = now_ns(CLOCK_PROCESS_CPUTIME_ID) - before;

	printf("%.1f %llu\n", (double)used / 1000.0,
	       (unsigned long long)((last - first) / (QUEUES - 1)));
	for (uint32_t i = 0; i < QUEUES; i++) {
		hf_queue_close(queues[i]);
	}
	hf_namespace_close(ns);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
	hf_emu_destroy(emu);
	return 0;
}
