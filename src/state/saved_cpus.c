/* SPDX-License-Identifier: BSD-3-Clause */
/* hf_saved_cpus(): asked before there is a device, or a ledger. */
#include "holdfast/servicing.h"

#include <errno.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/error.h"
#include "state/saved.h"
#include "state/saved_unpack.h"

static struct hf_saved_cpu cpu_of(const Holdfast__Saved__IoQueue *io)
{
	const Holdfast__Saved__QueueHandler *handler =
		io->queue_data != NULL ? io->queue_data->handler_data : NULL;

	return (struct hf_saved_cpu){
		.cpu = io->cpu,
		.pending = handler != NULL && handler->pending_cmds != NULL &&
			   handler->pending_cmds->n_commands != 0,
	};
}

static int by_number(const void *a, const void *b)
{
	const struct hf_saved_cpu *left = a;
	const struct hf_saved_cpu *right = b;

	return left->cpu < right->cpu ? -1 : left->cpu > right->cpu ? 1 : 0;
}

/* Of a CPU with several queues one is left, pending if any of them was. */
static size_t merge(struct hf_saved_cpu *all, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && all[kept - 1].cpu == all[i].cpu) {
			all[kept - 1].pending |= all[i].pending;
		} else {
			all[kept] = all[i];
			kept++;
		}
	}
	return kept;
}

static int cpus_of(const Holdfast__Saved__Worker *worker,
		   struct hf_saved_cpu *cpus, uint32_t max,
		   struct hf_error *err)
{
	size_t count = worker != NULL ? worker->n_io : 0;

	if (count == 0) {
		return 0;
	}
	struct hf_saved_cpu *all = calloc(count, sizeof(*all));
	if (all == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "no memory for the CPUs of %zu queues",
				    count);
	}
	for (size_t i = 0; i < count; i++) {
		all[i] = cpu_of(worker->io[i]);
	}
	qsort(all, count, sizeof(*all), by_number);
	count = merge(all, count);
	for (size_t i = 0; i < HF_MIN(count, (size_t)max); i++) {
		cpus[i] = all[i];
	}
	free(all);
	return (int)count;
}

int hf_saved_cpus(const uint8_t *bytes, size_t len_bytes,
		  struct hf_saved_cpu *cpus, uint32_t max, struct hf_error *err)
{
	struct hf_arena arena;
	int rc;

	if (bytes == NULL || len_bytes == 0) {
		return 0;
	}
	if (len_bytes > HF_SAVED_MAX_BYTES) {
		return hf_error_set(err, -EINVAL,
				    "a saved state of %zu bytes: no driver "
				    "saves more than %d",
				    len_bytes, HF_SAVED_MAX_BYTES);
	}
	const Holdfast__Saved__Driver *saved =
		hf_saved_unpack(&arena, bytes, len_bytes);
	if (saved != NULL) {
		rc = cpus_of(saved->worker_data, cpus, max, err);
	} else {
		rc = hf_error_set(err, -EINVAL,
				  "the saved state is cut short or damaged: it "
				  "does not parse");
	}
	hf_arena_fini(&arena);
	return rc;
}
