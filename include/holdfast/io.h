/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands to a namespace: batches on a queue, and blocking calls. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "holdfast/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hf_driver;
struct hf_namespace;
struct hf_queue;

enum hf_op {
	HF_OP_READ,
	HF_OP_WRITE,
	HF_OP_FLUSH,
	HF_OP_DEALLOCATE,
	HF_OP_WRITE_ZEROES,
	HF_OP_COMPARE,
	HF_OP_VERIFY,
	HF_OP_PASSTHROUGH, /* struct hf_command in @command */
};

/* The write or read goes to the medium before it completes (FUA). */
#define HF_IO_FUA (1u << 0)
/* -EAGAIN instead of waiting in line when no slot, page or queue is free. */
#define HF_IO_NOWAIT (1u << 1)
/* Write zeroes may deallocate the blocks (DEAC). */
#define HF_IO_MAY_DEALLOCATE (1u << 2)
/* May be issued again after a controller reset, even if it took effect. */
#define HF_IO_REPEATABLE (1u << 3)

/**
 * struct hf_command - any command, for passthrough
 * @opcode: NVMe opcode
 * @nsid: namespace identifier, 0 where the command has none
 * @cdw2: command dwords 2, 3 and 10 to 15, in host byte order
 * @data: buffer, any memory, dword aligned or not; NULL for none
 * @data_len_bytes: its length; bounded by the controller's MDTS
 * @to_device: the buffer is sent to the controller; else it is filled
 * @timeout_ms: deadline; 0 for the default of its class
 * @result: receives dword 0 of the completion
 * @result_hi: receives dword 1 of the completion
 *
 * The opcode's own transfer direction bits must agree with @to_device: a
 * command whose buffer would go the other way is refused with -EINVAL.
 */
struct hf_command {
	uint8_t opcode;
	uint32_t nsid;
	uint32_t cdw2;
	uint32_t cdw3;
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12;
	uint32_t cdw13;
	uint32_t cdw14;
	uint32_t cdw15;
	void *data;
	uint32_t data_len_bytes;
	uint8_t to_device;
	uint32_t timeout_ms;
	uint32_t result;
	uint32_t result_hi;
};

/* A range of blocks to deallocate. */
struct hf_range {
	uint64_t lba;
	uint64_t blocks;
};

/**
 * struct hf_io - one I/O, owned by the caller, lent to holdfast until @done
 * @ns: namespace it goes to
 * @op: what to do; the prep functions below set it
 * @flags: HF_IO_*
 * @lba: first block
 * @blocks: number of blocks, any: holdfast splits what the controller cannot
 *          take at once; 0 for flush and passthrough
 * @buf: data, any memory; registered or hf_dma_alloc memory is not copied
 * @iov: the data as a list instead, when @iov_count is not 0; the array is
 *       lent as the buffers are
 * @iov_count: entries in @iov
 * @ranges: ranges to deallocate, with HF_OP_DEALLOCATE
 * @range_count: entries in @ranges
 * @command: with HF_OP_PASSTHROUGH, lent as the buffers are
 * @cookie: the caller's name for this I/O; survives the process in the ledger
 * @timeout_ms: deadline; 0 for the default of its class
 * @done: called once, by the thread that reaps, with no lock held; it may
 *        submit more. @result is 0, a negative errno, or the status word of
 *        the first part that failed
 * @user: not looked at
 * @result: what @done was told
 * @private_: holdfast's; zero at first, as the prep functions below leave it
 */
struct hf_io {
	struct hf_namespace *ns;
	enum hf_op op;
	uint32_t flags;
	uint64_t lba;
	uint64_t blocks;
	void *buf;
	const struct iovec *iov;
	uint32_t iov_count;
	uint32_t range_count;
	const struct hf_range *ranges;
	struct hf_command *command;
	uint64_t cookie;
	uint32_t timeout_ms;
	int result;
	void (*done)(struct hf_io *io, int result);
	void *user;
	uint64_t private_[16];
};

/**
 * hf_io_prep_read() - set up a read
 * @io: cleared and filled; the caller then sets cookie, done, flags
 * @ns: namespace
 * @lba: first block
 * @blocks: number of blocks
 * @buf: receives the data
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_io_prep_read(struct hf_io *io, struct hf_namespace *ns,
			    uint64_t lba, uint64_t blocks, void *buf);

/**
 * hf_io_prep_write() - set up a write
 * @io: cleared and filled; the caller then sets cookie, done, flags
 * @ns: namespace
 * @lba: first block
 * @blocks: number of blocks
 * @buf: the data
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_io_prep_write(struct hf_io *io, struct hf_namespace *ns,
			     uint64_t lba, uint64_t blocks, const void *buf);

/**
 * hf_io_prep() - set up any other operation
 * @io: cleared and filled; the caller then sets what @op needs
 * @ns: namespace
 * @op: the operation
 * @lba: first block
 * @blocks: number of blocks
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_io_prep(struct hf_io *io, struct hf_namespace *ns, enum hf_op op,
		       uint64_t lba, uint64_t blocks);

/* How completions are taken. */
enum hf_queue_mode {
	HF_POLL,   /* the caller reaps, whenever it likes */
	HF_EVENT,  /* the caller waits on hf_queue_fd(), then reaps */
	HF_THREAD, /* a thread of the driver's runtime reaps and calls back */
};

/**
 * hf_queue_open() - the queue that serves one CPU
 * @queue: receives the handle
 * @drv: an open driver
 * @cpu: 0 up to the driver's CPU count
 * @mode: how completions are taken; HF_THREAD needs the driver's runtime
 * @err: what went wrong; may be NULL
 *
 * The queue pair itself is made when the CPU first issues, or is shared with
 * another CPU where the controller has no more. Any thread may use the queue,
 * one CPU's own is fastest.
 *
 * Context: control path, any thread; never blocks.
 * Return: 0, -ERANGE for a CPU the driver does not serve, -EBUSY when the
 * CPU's queue is open already, -ENOTSUP for HF_THREAD without a runtime.
 */
HF_API HF_MUST_CHECK int hf_queue_open(struct hf_queue **queue,
				       struct hf_driver *drv, uint32_t cpu,
				       enum hf_queue_mode mode,
				       struct hf_error *err);

/**
 * hf_queue_close() - give the handle back
 * @queue: NULL is allowed; the queue pair and what is in flight live on
 *
 * Context: control path, any thread, none inside a call on @queue.
 */
HF_API void hf_queue_close(struct hf_queue *queue);

/**
 * hf_queue_set_mode() - change how completions are taken, while it runs
 * @queue: the queue
 * @mode: from now on
 *
 * Context: any thread; never blocks.
 * Return: 0, or -ENOTSUP for HF_THREAD without a runtime.
 */
HF_API HF_MUST_CHECK int hf_queue_set_mode(struct hf_queue *queue,
					   enum hf_queue_mode mode);

/**
 * hf_queue_fd() - readable when there may be completions to reap
 * @queue: a queue in event mode
 *
 * Context: any thread; never blocks. The descriptor stays holdfast's.
 * Return: a descriptor for poll or epoll, or a negative errno.
 */
HF_API int hf_queue_fd(struct hf_queue *queue);

/**
 * hf_submit() - hand over a batch
 * @queue: the queue
 * @ios: the batch, in order
 * @count: entries in @ios
 *
 * One doorbell for the whole batch. What does not fit into the queue waits
 * its turn in order, unless it carries HF_IO_NOWAIT.
 *
 * Context: data path; never blocks, allocates or makes a system call, but for
 * a queue pair that is not there yet: then the control side is asked for one.
 * Return: how many were taken; where that is less than @count, the next one
 * was refused: call again with it first to be told why (-EAGAIN; -EINVAL for
 * what contradicts itself, has no callback, carries a flag that is not known or
 * goes to another driver's namespace; -EBUSY for one that is lent already;
 * -ERANGE, -EROFS, -ENOTSUP; -ENODEV when the namespace or the controller is
 * gone). Nothing was done to it then.
 */
HF_API HF_MUST_CHECK int hf_submit(struct hf_queue *queue,
				   struct hf_io *const *ios, uint32_t count);

/**
 * hf_reap() - take completions and call back
 * @queue: the queue
 * @budget: at most so many completions
 *
 * Context: data path; never blocks. Callbacks run in this thread, also those
 * of other CPUs that share the queue pair.
 * Return: completions taken.
 */
HF_API int hf_reap(struct hf_queue *queue, uint32_t budget);

/**
 * hf_queue_wait() - sleep until there may be completions to reap
 * @queue: the queue
 * @timeout_ms: at most so long
 *
 * Context: blocks.
 * Return: 0, or -ETIMEDOUT.
 */
HF_API HF_MUST_CHECK int hf_queue_wait(struct hf_queue *queue,
				       uint32_t timeout_ms);

/**
 * hf_io_wait() - submit one I/O and wait for its end
 * @io: prepared; its done callback is not called
 *
 * Uses the queue of the CPU the caller runs on.
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0, a negative errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_io_wait(struct hf_io *io);

/**
 * hf_read() - read blocks
 * @ns: namespace
 * @lba: first block
 * @blocks: number of blocks
 * @buf: receives the data; any memory
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0, a negative errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_read(struct hf_namespace *ns, uint64_t lba,
				 uint64_t blocks, void *buf);

/**
 * hf_write() - write blocks
 * @ns: namespace
 * @lba: first block
 * @blocks: number of blocks
 * @buf: the data; any memory
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0, a negative errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_write(struct hf_namespace *ns, uint64_t lba,
				  uint64_t blocks, const void *buf);

/**
 * hf_flush() - make completed writes durable
 * @ns: namespace
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0, a negative errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_flush(struct hf_namespace *ns);

/**
 * hf_deallocate() - say that blocks are no longer needed
 * @ns: namespace
 * @ranges: the blocks; split by the controller's limits
 * @count: entries in @ranges
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0, -ENOTSUP, a negative errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_deallocate(struct hf_namespace *ns,
				       const struct hf_range *ranges,
				       uint32_t count);

/**
 * hf_write_zeroes() - zero blocks without sending zeroes
 * @ns: namespace
 * @lba: first block
 * @blocks: number of blocks
 * @flags: HF_IO_FUA, HF_IO_MAY_DEALLOCATE
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0, -ENOTSUP, a negative errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_write_zeroes(struct hf_namespace *ns, uint64_t lba,
					 uint64_t blocks, uint32_t flags);

/**
 * hf_compare() - compare blocks with a buffer, in the controller
 * @ns: namespace
 * @lba: first block
 * @blocks: number of blocks
 * @buf: what the blocks should hold
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0 when equal, the Compare Failure status (285h) when not, -ENOTSUP,
 * a negative errno or another NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_compare(struct hf_namespace *ns, uint64_t lba,
				    uint64_t blocks, const void *buf);

/**
 * hf_verify() - have the controller read blocks and check them
 * @ns: namespace
 * @lba: first block
 * @blocks: number of blocks
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0, -ENOTSUP, a negative errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_verify(struct hf_namespace *ns, uint64_t lba,
				   uint64_t blocks);

/**
 * hf_io_command() - any I/O command
 * @drv: the driver
 * @command: the command, with its nsid; receives the result
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0, a negative errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_io_command(struct hf_driver *drv,
				       struct hf_command *command);

/**
 * hf_admin_command() - any admin command
 * @drv: the driver
 * @command: the command; receives the result
 * @err: what went wrong; may be NULL
 *
 * Refused with -EPERM: commands that would pull the rug from under the driver
 * (creating and deleting queues, Asynchronous Event Request, Doorbell Buffer
 * Config, and Set Features of Number of Queues).
 *
 * While the controller starts or is reset, it waits for the end of that, as
 * long as the command's deadline allows. A reset that takes the command away
 * ends it with -ECONNRESET, which says that it may have happened; one that only
 * asks (Identify, Get Features, Get Log Page) is sent again.
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0, -ETIMEDOUT for what was not sent, -ENODEV when the controller was
 * given up, another negative errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_admin_command(struct hf_driver *drv,
					  struct hf_command *command,
					  struct hf_error *err);

#ifdef __cplusplus
}
#endif
