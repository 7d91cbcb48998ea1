/* SPDX-License-Identifier: BSD-3-Clause */
#include "holdfast/io.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "driver/driver.h"
#include "namespace/io.h"
#include "runtime/runtime.h"

void hf_io_prep(struct hf_io *io, struct hf_namespace *ns, enum hf_op op,
		uint64_t lba, uint64_t blocks)
{
	memset(io, 0, sizeof(*io));
	io->ns = ns;
	io->op = op;
	io->lba = lba;
	io->blocks = blocks;
}

void hf_io_prep_read(struct hf_io *io, struct hf_namespace *ns, uint64_t lba,
		     uint64_t blocks, void *buf)
{
	hf_io_prep(io, ns, HF_OP_READ, lba, blocks);
	io->buf = buf;
}

void hf_io_prep_write(struct hf_io *io, struct hf_namespace *ns, uint64_t lba,
		      uint64_t blocks, const void *buf)
{
	hf_io_prep(io, ns, HF_OP_WRITE, lba, blocks);
	io->buf = (void *)buf;
}

int hf_queue_open(struct hf_queue **queue, struct hf_driver *drv, uint32_t cpu,
		  enum hf_queue_mode mode, struct hf_error *err)
{
	return hf_runtime_queue_open(drv, cpu, mode, queue, err);
}

void hf_queue_close(struct hf_queue *queue)
{
	if (queue != NULL) {
		hf_runtime_queue_close(queue);
	}
}

int hf_queue_set_mode(struct hf_queue *queue, enum hf_queue_mode mode)
{
	return hf_runtime_queue_mode(queue, mode);
}

int hf_queue_fd(struct hf_queue *queue)
{
	return queue->epoll_fd;
}

int hf_submit(struct hf_queue *queue, struct hf_io *const *ios, uint32_t count)
{
	return hf_io_submit(queue->issuer, ios, count);
}

int hf_reap(struct hf_queue *queue, uint32_t budget)
{
	return hf_runtime_queue_reap(queue, budget);
}

int hf_queue_wait(struct hf_queue *queue, uint32_t timeout_ms)
{
	struct pollfd pfd = {.fd = queue->epoll_fd, .events = POLLIN};
	uint64_t deadline = hf_deadline_ms(timeout_ms);
	int rc;

	do {
		rc = poll(&pfd, 1, hf_deadline_poll_ms(deadline));
	} while (rc < 0 && errno == EINTR);
	return rc > 0 ? 0 : -ETIMEDOUT;
}

int hf_io_wait(struct hf_io *io)
{
	return hf_runtime_io_wait(io->ns->owner, io);
}

int hf_read(struct hf_namespace *ns, uint64_t lba, uint64_t blocks, void *buf)
{
	struct hf_io io;

	hf_io_prep_read(&io, ns, lba, blocks, buf);
	return hf_io_wait(&io);
}

int hf_write(struct hf_namespace *ns, uint64_t lba, uint64_t blocks,
	     const void *buf)
{
	struct hf_io io;

	hf_io_prep_write(&io, ns, lba, blocks, buf);
	return hf_io_wait(&io);
}

int hf_flush(struct hf_namespace *ns)
{
	struct hf_io io;

	hf_io_prep(&io, ns, HF_OP_FLUSH, 0, 0);
	return hf_io_wait(&io);
}

int hf_deallocate(struct hf_namespace *ns, const struct hf_range *ranges,
		  uint32_t count)
{
	struct hf_io io;

	hf_io_prep(&io, ns, HF_OP_DEALLOCATE, 0, 0);
	io.ranges = ranges;
	io.range_count = count;
	return hf_io_wait(&io);
}

int hf_write_zeroes(struct hf_namespace *ns, uint64_t lba, uint64_t blocks,
		    uint32_t flags)
{
	struct hf_io io;

	hf_io_prep(&io, ns, HF_OP_WRITE_ZEROES, lba, blocks);
	io.flags = flags;
	return hf_io_wait(&io);
}

int hf_compare(struct hf_namespace *ns, uint64_t lba, uint64_t blocks,
	       const void *buf)
{
	struct hf_io io;

	hf_io_prep(&io, ns, HF_OP_COMPARE, lba, blocks);
	io.buf = (void *)buf;
	return hf_io_wait(&io);
}

int hf_verify(struct hf_namespace *ns, uint64_t lba, uint64_t blocks)
{
	struct hf_io io;

	hf_io_prep(&io, ns, HF_OP_VERIFY, lba, blocks);
	return hf_io_wait(&io);
}

int hf_io_command(struct hf_driver *drv, struct hf_command *command)
{
	/* A namespace only in name: passthrough asks nothing else of it. */
	struct hf_namespace any = {
		.owner = drv,
		.issuers = &drv->issuers,
		.limits = &drv->limits,
		.nsid = command->nsid,
	};
	struct hf_io io;

	hf_io_prep(&io, &any, HF_OP_PASSTHROUGH, 0, 0);
	io.command = command;
	return hf_io_wait(&io);
}
