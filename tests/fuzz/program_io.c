/* SPDX-License-Identifier: BSD-3-Clause */
#include "program.h"

#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "virtual_time.h"

enum {
	BLOCKS_MAX = 12,
};

struct work *program_work(void)
{
	struct work *work;

	if (f.work_count == PROGRAM_WORKS_MAX) {
		return NULL;
	}
	work = &f.works[f.work_count];
	f.work_count++;
	memset(work, 0, sizeof(*work));
	return work;
}

static void submit(struct hf_queue *queue, struct hf_namespace *ns,
		   uint8_t choice);

void program_done(struct hf_io *io, int result)
{
	struct work *work = io->user;

	(void)result;
	work->calls++;
	if (!work->lent || work->dead || work->calls != 1) {
		program_fail("an I/O ended that was not under way");
	}
	free(work->buf);
	work->buf = NULL;
	if (work->again && f.queues[0] != NULL) {
		submit(f.queues[0], io->ns, (uint8_t)io->op);
	}
}

uint32_t program_block_bytes(struct hf_namespace *ns)
{
	struct hf_namespace_info info;

	hf_namespace_get_info(ns, &info);
	return info.block_bytes;
}

/* Memory of exactly the size, so that ASan sees one byte too many; or the
 * driver's own, where the device writes at once. */
static void give_buffer(struct work *work, uint64_t bytes, uint8_t choice)
{
	if ((choice & 0x40) != 0 && f.memory != NULL &&
	    bytes <= PROGRAM_BUFFER_BYTES) {
		work->io.buf = f.memory;
		return;
	}
	work->buf = calloc(1, bytes);
	if (work->buf == NULL) {
		abort();
	}
	work->io.buf = work->buf;
	if ((choice & 0x80) != 0 && bytes > 8) {
		work->iov[0] = (struct iovec){work->buf, 5};
		work->iov[1] = (struct iovec){work->buf + 5, bytes - 5};
		work->io.iov = work->iov;
		work->io.iov_count = 2;
	}
}

static void fill_io(struct work *work, struct hf_namespace *ns, uint8_t choice)
{
	uint64_t lba = stream_u16(&f.actions) % 4096;
	uint64_t blocks = stream_u8(&f.actions) % BLOCKS_MAX + 1;
	enum hf_op op = (enum hf_op)(choice % 8);
	uint8_t buffer = stream_u8(&f.actions);

	hf_io_prep(&work->io, ns, op, lba, blocks);
	work->io.done = program_done;
	work->io.user = work;
	work->io.cookie = f.work_count;
	work->io.flags = buffer & 0xf;
	work->again = (buffer & 0x30) == 0x30;
	switch (op) {
	case HF_OP_READ:
	case HF_OP_WRITE:
	case HF_OP_COMPARE:
		give_buffer(work, blocks * program_block_bytes(ns), buffer);
		break;
	case HF_OP_DEALLOCATE:
		work->range = (struct hf_range){lba, blocks};
		work->io.ranges = &work->range;
		work->io.range_count = 1;
		break;
	case HF_OP_PASSTHROUGH:
		give_buffer(work, blocks * 512, buffer & 0x3f);
		work->command = (struct hf_command){
			.opcode = stream_u8(&f.actions),
			.nsid = 1,
			.data = work->io.buf,
			.data_len_bytes = (uint32_t)blocks * 512,
			.to_device = buffer & 1,
		};
		work->io.command = &work->command;
		break;
	case HF_OP_FLUSH:
	case HF_OP_WRITE_ZEROES:
	case HF_OP_VERIFY:
		break;
	}
}

static void submit(struct hf_queue *queue, struct hf_namespace *ns,
		   uint8_t choice)
{
	struct work *work = program_work();
	struct hf_io *io;

	if (work == NULL) {
		return;
	}
	fill_io(work, ns, choice);
	io = &work->io;
	work->lent = true;
	if (hf_submit(queue, &io, 1) != 1) {
		if (work->calls != 0) {
			program_fail("an I/O that was refused has ended");
		}
		work->lent = false;
		free(work->buf);
		work->buf = NULL;
	}
}

struct hf_namespace *program_namespace(uint8_t choice)
{
	return f.ns[choice % PROGRAM_NAMESPACES];
}

void program_submit(void)
{
	uint8_t choice = stream_u8(&f.actions);
	uint32_t cpu = choice >> 3 & 1;
	uint32_t count = (choice >> 4 & 3) + 1;
	struct hf_namespace *ns = program_namespace(choice >> 6);

	if (ns == NULL || f.queues[cpu] == NULL) {
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		submit(f.queues[cpu], ns, (uint8_t)(choice + i));
	}
}

void program_reap(void)
{
	for (uint32_t cpu = 0; cpu < PROGRAM_CPUS; cpu++) {
		if (f.queues[cpu] != NULL) {
			(void)hf_reap(f.queues[cpu],
				      stream_u8(&f.actions) + 1u);
		}
	}
}

/* Whoever neither attaches to inherited I/O nor drains it may wait for ever:
 * it keeps its slots. */
static bool may_block(void)
{
	if (f.inherits && hf_driver_drain_wait(f.drv, 300000, &f.err) == 0) {
		f.inherits = false;
	}
	return !f.inherits;
}

/* A blocking call: it has to come back, whatever the device does. */
void program_blocking(void)
{
	uint8_t choice = stream_u8(&f.actions);
	struct hf_namespace *ns = program_namespace(choice >> 3);
	struct hf_reservation_report report;
	struct hf_registrant registrants[3];
	const struct hf_range range = {1, 2};

	if (ns == NULL || !may_block()) {
		return;
	}
	uint64_t blocks = stream_u8(&f.actions) % BLOCKS_MAX + 1u;
	uint8_t *buf = calloc(1, blocks * program_block_bytes(ns));

	virtual_time_set_cpu(choice >> 7);
	switch (choice % 8) {
	case 0:
		(void)!hf_read(ns, choice, blocks, buf);
		break;
	case 1:
		(void)!hf_write(ns, choice, blocks, buf);
		break;
	case 2:
		(void)!hf_flush(ns);
		break;
	case 3:
		(void)!hf_deallocate(ns, &range, 1);
		break;
	case 4:
		(void)!hf_write_zeroes(ns, choice, blocks, 0);
		break;
	case 5:
		(void)!hf_compare(ns, choice, blocks, buf);
		break;
	case 6:
		(void)!hf_reservation_get_report(ns, &report, registrants, 3);
		break;
	default:
		(void)!hf_namespace_rescan(ns, &f.err);
		break;
	}
	free(buf);
}

void program_command(void)
{
	uint8_t kind = stream_u8(&f.actions);
	uint32_t bytes = kind % 3 == 0 ? 0 : stream_u16(&f.actions) % 8192 + 1u;
	uint8_t *data = bytes != 0 ? calloc(1, bytes) : NULL;
	struct hf_command command = {
		.opcode = stream_u8(&f.actions),
		.nsid = stream_u8(&f.actions),
		.cdw10 = stream_u32(&f.actions),
		.data = data,
		.data_len_bytes = bytes,
		.to_device = kind >> 7,
	};

	if ((kind & 0x40) != 0) {
		if (may_block()) {
			(void)!hf_io_command(f.drv, &command);
		}
	} else {
		(void)!hf_admin_command(f.drv, &command, &f.err);
	}
	free(data);
}

static bool is_idle(const struct hf_namespace *ns)
{
	for (uint32_t i = 0; i < f.work_count; i++) {
		const struct work *work = &f.works[i];

		if (work->lent && !work->dead && work->calls == 0 &&
		    work->io.ns == ns) {
			return false;
		}
	}
	return true;
}

void program_open_namespace(void)
{
	uint8_t choice = stream_u8(&f.actions);
	struct hf_namespace **ns = &f.ns[choice % PROGRAM_NAMESPACES];
	uint32_t nsids[4];
	uint32_t count;

	if (choice >= 0xf0) {
		(void)!hf_namespace_list(f.drv, nsids, 4, &count, &f.err);
	} else if (*ns == NULL) {
		if (hf_namespace_open(ns, f.drv,
				      choice % PROGRAM_NAMESPACES + 1u,
				      &f.err) != 0) {
			*ns = NULL;
		}
	} else if (is_idle(*ns)) {
		hf_namespace_close(*ns);
		*ns = NULL;
	}
}

void program_open_queue(void)
{
	uint8_t choice = stream_u8(&f.actions);
	struct hf_queue **queue = &f.queues[choice % PROGRAM_CPUS];

	if (*queue == NULL) {
		if (hf_queue_open(queue, f.drv, choice % PROGRAM_CPUS,
				  (choice & 2) != 0 ? HF_EVENT : HF_POLL,
				  &f.err) != 0) {
			*queue = NULL;
		}
	} else if ((choice & 4) != 0) {
		hf_queue_close(*queue);
		*queue = NULL;
	} else {
		(void)!hf_queue_set_mode(
			*queue, (enum hf_queue_mode)(choice >> 3 & 3) % 3);
	}
}

void program_memory(void)
{
	if (f.memory == NULL) {
		f.memory = hf_dma_alloc(f.drv, PROGRAM_BUFFER_BYTES, &f.err);
		return;
	}
	for (uint32_t i = 0; i < f.work_count; i++) {
		if (f.works[i].lent && f.works[i].calls == 0) {
			return; /* it may be in use */
		}
	}
	hf_dma_free(f.drv, f.memory);
	f.memory = NULL;
}
