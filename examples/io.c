/* SPDX-License-Identifier: BSD-3-Clause */
/* A batch on a queue of one's own, in each of the three modes. */
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <holdfast/holdfast.h>

#include "example.h"

enum {
	BATCH = 32,
	BLOCKS = 8,
	WAIT_MS = 5000,
};

static atomic_uint completed;
static atomic_uint failed;

static void done(struct hf_io *io, int result)
{
	char text[160];

	if (result != 0) {
		fprintf(stderr, "I/O %" PRIu64 ": %s\n", io->cookie,
			hf_result_text(result, text, sizeof(text)));
		atomic_fetch_add(&failed, 1);
	}
	atomic_fetch_add(&completed, 1);
}

/* Takes completions the way the mode wants it; one step. */
static void take(struct hf_queue *queue, enum hf_queue_mode mode)
{
	struct pollfd wait = {.fd = hf_queue_fd(queue), .events = POLLIN};

	switch (mode) {
	case HF_POLL:
		hf_reap(queue, BATCH);
		break;
	case HF_EVENT:
		/* An event loop of one descriptor. */
		if (poll(&wait, 1, WAIT_MS) > 0) {
			hf_reap(queue, BATCH);
		}
		break;
	case HF_THREAD:
		/* The driver's thread calls done() meanwhile. */
		poll(NULL, 0, 1);
		break;
	}
}

static void write_batch(struct hf_queue *queue, struct hf_namespace *ns,
			unsigned char *memory, uint32_t block_bytes,
			enum hf_queue_mode mode)
{
	struct hf_io ios[BATCH];
	struct hf_io *list[BATCH];
	uint32_t submitted = 0;

	check(hf_queue_set_mode(queue, mode), "hf_queue_set_mode", NULL);
	atomic_store(&completed, 0);
	for (uint32_t i = 0; i < BATCH; i++) {
		hf_io_prep_write(&ios[i], ns, (uint64_t)i * BLOCKS, BLOCKS,
				 memory + (size_t)i * BLOCKS * block_bytes);
		ios[i].cookie = i;
		ios[i].done = done;
		list[i] = &ios[i];
	}
	while (submitted < BATCH) {
		int taken =
			hf_submit(queue, list + submitted, BATCH - submitted);

		check(taken < 0 ? taken : 0, "hf_submit", NULL);
		submitted += (uint32_t)taken;
	}
	while (atomic_load(&completed) < BATCH) {
		take(queue, mode);
	}
}

int main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "emulated:size=64M";
	struct hf_namespace_info info;
	struct hf_namespace *ns;
	struct hf_driver *drv;
	struct hf_queue *queue;
	struct hf_error err;

	check(hf_driver_open(&drv, address, NULL, &err), "hf_driver_open",
	      &err);
	check(hf_namespace_open(&ns, drv, 1, &err), "hf_namespace_open", &err);
	hf_namespace_get_info(ns, &info);

	size_t len_bytes = (size_t)BATCH * BLOCKS * info.block_bytes;
	unsigned char *memory = hf_dma_alloc(drv, len_bytes, &err);

	check(memory == NULL, "hf_dma_alloc", &err);
	memset(memory, 0x5a, len_bytes);

	check(hf_queue_open(&queue, drv, 0, HF_POLL, &err), "hf_queue_open",
	      &err);
	write_batch(queue, ns, memory, info.block_bytes, HF_POLL);
	write_batch(queue, ns, memory, info.block_bytes, HF_EVENT);
	write_batch(queue, ns, memory, info.block_bytes, HF_THREAD);
	hf_queue_close(queue);
	printf("%d batches written, %u of their I/Os failed\n", 3,
	       atomic_load(&failed));

	hf_dma_free(drv, memory);
	hf_namespace_close(ns);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
	return atomic_load(&failed) == 0 ? 0 : 1;
}
