/* SPDX-License-Identifier: BSD-3-Clause */
/* A process on a device that somebody kills: "busy ADDRESS [ROUNDS]" writes
 * and reads batches of blocks, and checks them, for ever or so many rounds.
 * It says "busy" when the first round is over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "holdfast/driver.h"
#include "holdfast/io.h"
#include "holdfast/namespace.h"

#define BATCH 32u

struct load {
	struct hf_queue *queue;
	struct hf_namespace *ns;
	uint8_t *memory;
	uint32_t block_bytes;
	uint32_t ended;
	int result;
};

static void note_end(struct hf_io *io, int result)
{
	struct load *load = io->user;

	load->ended++;
	if (result != 0) {
		load->result = result;
	}
}

static int batch(struct load *load, bool write)
{
	struct hf_io io[BATCH];
	struct hf_io *list[BATCH];
	uint32_t submitted = 0;

	load->ended = 0;
	load->result = 0;
	for (uint32_t i = 0; i < BATCH; i++) {
		uint8_t *at = load->memory + (size_t)i * load->block_bytes;

		if (write) {
			hf_io_prep_write(&io[i], load->ns, 10 * i, 1, at);
		} else {
			hf_io_prep_read(&io[i], load->ns, 10 * i, 1, at);
		}
		io[i].done = note_end;
		io[i].user = load;
		list[i] = &io[i];
	}
	while (load->ended < BATCH) {
		if (submitted < BATCH) {
			int taken = hf_submit(load->queue, list + submitted,
					      BATCH - submitted);

			if (taken < 0) {
				return taken;
			}
			submitted += (uint32_t)taken;
		}
		(void)hf_reap(load->queue, BATCH);
	}
	return load->result;
}

static int round_trip(struct load *load, uint8_t seed)
{
	size_t len = (size_t)BATCH * load->block_bytes;
	int rc;

	for (size_t i = 0; i < len; i++) {
		load->memory[i] = (uint8_t)(i / load->block_bytes + seed);
	}
	rc = batch(load, true);
	memset(load->memory, 0xee, len);
	if (rc == 0) {
		rc = batch(load, false);
	}
	for (size_t i = 0; rc == 0 && i < len; i++) {
		if (load->memory[i] !=
		    (uint8_t)(i / load->block_bytes + seed)) {
			fprintf(stderr, "byte %zu is wrong\n", i);
			return -1;
		}
	}
	return rc;
}

static int begin(struct load *load, struct hf_driver *drv, struct hf_error *err)
{
	struct hf_namespace_info info;
	int rc = hf_namespace_open(&load->ns, drv, 1, err);

	if (rc == 0) {
		rc = hf_queue_open(&load->queue, drv, 0, HF_POLL, err);
	}
	if (rc != 0) {
		return rc;
	}
	hf_namespace_get_info(load->ns, &info);
	load->block_bytes = info.block_bytes;
	load->memory =
		hf_dma_alloc(drv, (uint64_t)BATCH * info.block_bytes, err);
	return load->memory == NULL ? -1 : 0;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	struct load load = {0};
	struct hf_error err = {0};
	struct hf_driver *drv = NULL;
	int rc;

	if (argc < 2) {
		return 2;
	}
	rc = hf_driver_open(&drv, argv[1], NULL, &err);
	if (rc == 0) {
		rc = begin(&load, drv, &err);
	}
	for (unsigned long i = 0; rc == 0 && (rounds == 0 || i < rounds); i++) {
		rc = round_trip(&load, (uint8_t)i);
		if (i == 0 && rc == 0) {
			puts("busy");
			fflush(stdout);
		}
	}
	if (rc != 0) {
		fprintf(stderr, "%s (%d)\n", err.message, rc);
		return 1;
	}
	hf_queue_close(load.queue);
	hf_namespace_close(load.ns);
	return hf_driver_close(drv, &err) == 0 ? 0 : 1;
}
