/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: instructions of the driver from submit to completion, per 4 KiB read.
 * Method: whole batches on the null medium. hf_reap() is called only when the
 * controller has posted the whole batch, so that no empty look is counted.
 * Run under callgrind, collecting inside hf_submit() and hf_reap() and not
 * inside the controller's doorbell; twice, with different counts, and the
 * difference divided.
 * usage: perf-path BATCH READS [DEADLINE_MS]
 */
#include <stdbool.h>
#include <string.h>

#include "perf.h"

enum {
	MAX_BATCH = 256,
	READ_BYTES = 4096,
};

static uint64_t ended;

static void done(struct hf_io *io, int result)
{
	(void)io;
	check(result, "read", NULL);
	ended++;
}

static uint64_t posted(struct hf_emu *emu)
{
	struct hf_emu_stats stats = {.size = sizeof(stats)};

	hf_emu_stats(emu, &stats);
	return stats.completions;
}

static void one_batch(struct hf_emu *emu, struct hf_queue *queue,
		      struct hf_io *const *list, uint32_t batch)
{
	uint64_t before = posted(emu);

	if (hf_submit(queue, list, batch) != (int)batch) {
		fprintf(stderr, "the queue did not take %u reads\n", batch);
		exit(1);
	}
	while (posted(emu) < before + batch) {
		nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL);
	}
	uint64_t target = ended + batch;

	while (ended < target) {
		hf_reap(queue, batch);
	}
}

int main(int argc, char **argv)
{
	uint32_t batch = argc > 1 ? (uint32_t)atoi(argv[1]) : 32;
	uint32_t reads = argc > 2 ? (uint32_t)atoi(argv[2]) : 3200;
	static struct hf_io ios[MAX_BATCH];
	static struct hf_io *list[MAX_BATCH];
	struct hf_driver_options options;
	struct hf_namespace *ns;
	struct hf_queue *queue;
	struct hf_error err;

	if (batch == 0 || batch > MAX_BATCH) {
		fprintf(stderr, "a batch is of 1 to %d\n", MAX_BATCH);
		return 2;
	}
	struct hf_emu *emu = perf_null_controller();

	hf_driver_options_init(&options);
	options.cpu_count = 1;
	options.queue_entries = 1024;
	if (argc > 3) {
		options.io_timeout_ms = (uint32_t)atoi(argv[3]);
	}
	struct hf_driver *drv = perf_open(emu, &options);

	check(hf_namespace_open(&ns, drv, 1, &err), "hf_namespace_open", &err);
	check(hf_queue_open(&queue, drv, 0, HF_POLL, &err), "hf_queue_open",
	      &err);
	unsigned char *memory =
		hf_dma_alloc(drv, (uint64_t)batch * READ_BYTES, &err);

	check(memory == NULL, "hf_dma_alloc", &err);
	for (uint32_t i = 0; i < batch; i++) {
		hf_io_prep_read(&ios[i], ns, i * 8, 8,
				memory + (size_t)i * READ_BYTES);
		ios[i].done = done;
		list[i] = &ios[i];
	}
	for (uint32_t i = 0; i < reads / batch; i++) {
		one_batch(emu, queue, list, batch);
	}
	hf_queue_close(queue);
	hf_dma_free(drv, memory);
	hf_namespace_close(ns);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
	hf_emu_destroy(emu);
	return 0;
}
