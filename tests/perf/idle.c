/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: CPU time and wake-ups of a driver that has nothing to do; memory of a
 * queue pair.
 * Method: one I/O on each of 9 queues; memory before and after the last 8 of
 * them; then, once all has come to rest, seconds of silence, and what every
 * thread but this one used in them. The controller is in this process too, or
 * at an address.
 * usage: perf-idle event|thread [ADDRESS]; prints microseconds of CPU per
 * second, context switches per second, and bytes per queue pair
 */
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

#include "perf.h"

enum {
	QUEUES = 9,
	WAIT_MS = 5000,
	REST_MS = 2000, /* the sweep for deadlines gives up within that */
	SILENCE_MS = 5000,
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

/* Of every thread but the one that asks. */
struct usage {
	uint64_t cpu_ns;
	uint64_t switches;
};

static struct usage usage_now(void)
{
	struct rusage all;
	struct rusage mine;

	if (getrusage(RUSAGE_SELF, &all) != 0 ||
	    getrusage(RUSAGE_THREAD, &mine) != 0) {
		perror("getrusage");
		exit(1);
	}
	return (struct usage){
		.cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) -
			  now_ns(CLOCK_THREAD_CPUTIME_ID),
		.switches = (uint64_t)(all.ru_nvcsw + all.ru_nivcsw -
				       mine.ru_nvcsw - mine.ru_nivcsw),
	};
}

static struct hf_driver *open_driver(const char *address, struct hf_emu **emu)
{
	struct hf_driver_options options;
	struct hf_driver *drv;
	struct hf_error err;

	hf_driver_options_init(&options);
	options.cpu_count = QUEUES;
	options.io_queues = QUEUES;
	*emu = NULL;
	if (address == NULL) {
		*emu = perf_null_controller();
		return perf_open(*emu, &options);
	}
	check(hf_driver_open(&drv, address, &options, &err), "hf_driver_open",
	      &err);
	return drv;
}

static void print_silence(uint64_t queue_bytes)
{
	poll(NULL, 0, REST_MS);
	struct usage before = usage_now();

	poll(NULL, 0, SILENCE_MS);
	struct usage after = usage_now();

	/* The two clocks of one look are not read at once. */
	int64_t cpu_ns = (int64_t)(after.cpu_ns - before.cpu_ns);
	printf("%.1f %.1f %llu\n",
	       cpu_ns > 2000 ? (double)cpu_ns / SILENCE_MS : 0.0,
	       (double)(after.switches - before.switches) * 1000 / SILENCE_MS,
	       (unsigned long long)queue_bytes);
}

int main(int argc, char **argv)
{
	enum hf_queue_mode mode = argc > 1 && strcmp(argv[1], "thread") == 0
					  ? HF_THREAD
					  : HF_EVENT;
	struct hf_queue *queues[QUEUES];
	struct hf_namespace *ns;
	struct hf_error err;
	struct hf_emu *emu;
	uint64_t first = 0;
	struct hf_driver *drv = open_driver(argc > 2 ? argv[2] : NULL, &emu);

	check(hf_namespace_open(&ns, drv, 1, &err), "hf_namespace_open", &err);
	for (uint32_t i = 0; i < QUEUES; i++) {
		check(hf_queue_open(&queues[i], drv, i, mode, &err),
		      "hf_queue_open", &err);
		one_read(queues[i], ns, mode);
		if (i == 0) {
			first = resident_bytes();
		}
	}
	print_silence((resident_bytes() - first) / (QUEUES - 1));
	for (uint32_t i = 0; i < QUEUES; i++) {
		hf_queue_close(queues[i]);
	}
	hf_namespace_close(ns);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
	hf_emu_destroy(emu);
	return 0;
}
