/* SPDX-License-Identifier: BSD-3-Clause */
/* Going on with the load of the process before: what it had under way, by the
 * driver's account and by the load's own. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <holdfast/servicing.h>

#include "serve_load_internal.h"

static int find_memory(struct serve_load *load, struct hf_error *err)
{
	uint32_t cursor = 0;
	uint64_t len = 0;
	void *memory;

	while (hf_dma_next(load->drv, &cursor, &memory, &len) == 1) {
		if (len >= load->memory_bytes && !load->memory) {
			load->memory = memory;
		}
	}
	if (!load->memory) {
		snprintf(err->message, sizeof(err->message),
			 "the load's memory of %" PRIu64 " bytes is not among "
			 "what the last owner left",
			 load->memory_bytes);
		return -1;
	}
	return 0;
}

/*
 * An I/O whose command the load has under way is attached to. One that has
 * ended for the load, but not for the driver: the process died in the callback
 * or right after it. Any other is one that the load never issued.
 */
static int attach(struct serve_load *load, const struct hf_inflight *inflight,
		  bool *used, struct hf_error *err)
{
	uint32_t slot = (uint32_t)inflight->cookie;
	struct load_slot last;

	if (slot >= load_geometry(load->table)->slots || used[slot]) {
		__atomic_fetch_add(&load->shared->unknown, 1, __ATOMIC_RELAXED);
		return 0;
	}
	struct serve_io *io = serve_load_slot_io(load, slot);
	load_get_slot(load->table, slot, &last);
	io->io = (struct hf_io){
		.ns = load->ns,
		.user = io,
		.buf = serve_load_slot_buf(load, slot),
		.done = serve_load_done,
	};
	if (load_cookie_slot(load->table, inflight->cookie, &slot)) {
		io->write = inflight->op == HF_OP_WRITE;
		io->sequence = last.sequence;
	} else if (inflight->completed &&
		   last.sequence == inflight->cookie >> 32) {
		load->shared->told_again++;
		io->io.done = serve_load_done_again;
	} else {
		load->shared->unknown++;
		serve_shared_fault(load->shared,
				   "a command is under way that the load did "
				   "not issue");
		return 0;
	}
	used[slot] = true;
	return hf_io_attach(&io->io, inflight, err) == 0 ? 0 : -1;
}

/* What the driver does not know of was not sent, or is lost. */
static void settle(struct serve_load *load, uint32_t slot)
{
	struct load_slot found;

	load_get_slot(load->table, slot, &found);
	if (found.state != LOAD_SLOT_FREE) {
		bool lost = found.handed == found.sequence;

		if (lost) {
			load->shared->lost++;
			serve_shared_fault(load->shared,
					   "a command that was under way is "
					   "nowhere to be found");
		}
		load_end(load->table, slot,
			 lost ? LOAD_UNSURE : LOAD_NOT_BEGUN);
	}
	struct serve_io *io = serve_load_slot_io(load, slot);
	io->worker->free[io->worker->free_count++] = io;
}

int serve_load_inherit(struct serve_load *load, struct hf_error *err)
{
	const struct load_geometry *g = load_geometry(load->table);
	struct hf_inflight inflight;
	uint64_t cursor = 0;
	int code = 0;

	if (serve_load_make_workers(load, err) != 0 ||
	    find_memory(load, err) != 0) {
		return -1;
	}
	if (g->slots != load->shared->workers * load->shared->depth) {
		snprintf(err->message, sizeof(err->message),
			 "the load's tables contradict each other");
		return -1;
	}
	bool *used = calloc(g->slots, sizeof(*used));
	if (!used) {
		return serve_load_no_memory(err);
	}
	atomic_store(&load->waiting, load->shared->last_ns != 0);
	while (code == 0 &&
	       hf_inflight_next(load->drv, &cursor, &inflight) == 1) {
		code = attach(load, &inflight, used, err);
	}
	for (uint32_t i = 0; code == 0 && i < g->slots; i++) {
		if (!used[i]) {
			settle(load, i);
		}
	}
	free(used);
	return code;
}
