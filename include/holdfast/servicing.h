/* SPDX-License-Identifier: BSD-3-Clause */
/* The device lives on when the driver does not: saving, leaving, taking over.
 * How descriptors travel between processes is in keeper.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/api.h"
#include "holdfast/device.h"
#include "holdfast/driver.h"
#include "holdfast/error.h"
#include "holdfast/io.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Everything that a successor needs from this process: descriptors by name and
 * a few facts. */
struct hf_carry;

/**
 * hf_driver_prepare_save() - make ready for hf_driver_save()
 * @drv: a driver in any state
 *
 * Has the controller asked ahead for what a successor looks at before it goes
 * on, and waits for the answers to be there, for five milliseconds at most:
 * time that a successor would take while nothing goes on. An answer is good for
 * 50 ms, and then asked for again. Best effort, and not needed: without it the
 * successor asks.
 *
 * Context: control path; waits for what else the control side does. I/O goes on
 * meanwhile.
 */
HF_API void hf_driver_prepare_save(struct hf_driver *drv);

/**
 * hf_driver_save() - stop at a point that a successor can go on from
 * @drv: a driver that is ready, or resets its controller
 * @bytes: receives the saved state, a Protocol Buffers message, for free()
 * @len_bytes: receives its length
 * @err: why it cannot be saved; may be NULL
 *
 * Nothing is drained: commands stay under way, and their completions are the
 * successor's. I/O that waits its turn and was not begun ends with -ECANCELED
 * in here. A reset that is under way is the successor's, which begins it anew.
 * Afterwards only hf_driver_carry(), hf_driver_leave(), hf_driver_resume() and
 * hf_driver_close() may be called.
 *
 * Context: control path; no other thread may be inside a call.
 * Return: 0; -EPERM when keeping the controller alive is switched off; -EBUSY
 * while it is starting, or looks for a controller whose registers cannot be
 * read; -ENOTSUP for a device that cannot outlive the process; -ENOMEM. On
 * failure the driver runs on. -EDEADLK from what hf_driver_keep_with() was
 * given, which is waited for otherwise.
 */
HF_API HF_MUST_CHECK int hf_driver_save(struct hf_driver *drv, uint8_t **bytes,
					size_t *len_bytes,
					struct hf_error *err);

/**
 * hf_driver_resume() - go on after all
 * @drv: a driver that was saved, and whose successor did not come
 * @err: what went wrong; may be NULL
 *
 * Context: control path.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_driver_resume(struct hf_driver *drv,
					  struct hf_error *err);

/**
 * hf_driver_disown() - let a successor have the device, and look on
 * @drv: a driver that was saved
 *
 * The lock that says who drives the device is released, and the device not
 * touched any more: the successor may begin, while what this process has still
 * to put away does not keep it waiting. Only hf_driver_leave() may follow, once
 * the successor has it, or is known not to come.
 *
 * Context: control path; never blocks.
 */
HF_API void hf_driver_disown(struct hf_driver *drv);

/**
 * hf_driver_leave() - let go of a saved driver's device, and leave it running
 * @drv: a driver that was saved; gone afterwards
 *
 * The controller stays enabled for as long as somebody else holds the
 * descriptors: a successor, or a keeper. I/O that is under way is not called
 * back here any more.
 *
 * Context: control path.
 */
HF_API void hf_driver_leave(struct hf_driver *drv);

/* What hf_driver_steps() tells of. */
enum hf_servicing {
	HF_SERVICING_SAVE,    /* hf_driver_save() */
	HF_SERVICING_RESTORE, /* hf_device_adopt() to hf_driver_restore() */
};

/**
 * struct hf_servicing_step - what was done, and when
 * @name: in a few words
 * @began_ns: CLOCK_MONOTONIC, the same for all processes of the machine
 * @took_ns: how long it took
 */
struct hf_servicing_step {
	char name[40];
	uint64_t began_ns;
	uint64_t took_ns;
};

/**
 * hf_driver_steps() - where the time of a save, or of a restore, went
 * @drv: the driver
 * @what: which of the two; the last one of this process
 * @steps: to fill, in the order in which they were done
 * @max: room in @steps
 *
 * Context: any thread but not during the call that it tells of; never blocks.
 * Return: how many there are, 0 when it was not done.
 */
HF_API uint32_t hf_driver_steps(const struct hf_driver *drv,
				enum hf_servicing what,
				struct hf_servicing_step *steps, uint32_t max);

/**
 * hf_driver_set_keepalive() - may the controller outlive this driver?
 * @drv: the driver
 * @allowed: false makes hf_driver_save() and hf_driver_carry() refuse, so that
 *           no successor and no keeper is given the device
 *
 * What hf_driver_keep_with() was given is not called while it may not: new
 * memory is used without. A set that a keeper holds already is dropped there;
 * it will not do for a successor once there is other memory. Where keeping is
 * allowed again, hf_driver_keep_now() is next.
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_driver_set_keepalive(struct hf_driver *drv, bool allowed);

/**
 * hf_driver_carry() - what a successor, or a keeper, must hold
 * @drv: a driver that is ready, or saved
 * @carry: receives the set, for hf_carry_free()
 * @err: what went wrong; may be NULL
 *
 * The descriptors stay the driver's; the set refers to them.
 *
 * Context: control path.
 * Return: 0; -EPERM when keeping the controller alive is switched off, or is
 * not for controllers of its class; -ENOTSUP for a device that cannot outlive
 * the process; another negative errno.
 */
HF_API HF_MUST_CHECK int hf_driver_carry(struct hf_driver *drv,
					 struct hf_carry **carry,
					 struct hf_error *err);

/**
 * hf_driver_carry_holds() - is a set still what a successor must hold?
 * @drv: the driver
 * @carry: made by hf_driver_carry() before
 *
 * For one that is made while I/O goes on, so that nobody waits for it: once the
 * driver is saved, nothing changes any more.
 *
 * Context: any thread; never blocks.
 * Return: false when descriptors have come or gone since: then it is to be made
 * anew.
 */
HF_API bool hf_driver_carry_holds(const struct hf_driver *drv,
				  const struct hf_carry *carry);

/**
 * hf_driver_keep_with() - have all that a successor needs kept, at any time
 * @drv: a driver that is ready
 * @keep: has a keeper, or systemd's store, hold @carry, and returns when that
 *        is so: 0, or a negative errno and what went wrong in @err; NULL: from
 *        now on nobody does
 * @user: for @keep
 * @err: what went wrong; may be NULL
 *
 * What a keeper holds is what there was when it was put. With this, @keep is
 * called whenever there is new DMA memory, before the controller learns of it
 * and before anything lies in it, so that a process that is killed at any time
 * leaves nothing that nobody holds. Where @keep fails, the new memory is not
 * used: hf_dma_alloc() and hf_dma_register() fail with its error, and a CPU
 * whose queue would need it is served by another's.
 *
 * Nothing is called in here. What there is already is to be kept before the
 * first I/O: by hf_driver_keep_now(). A restored driver has to be told anew.
 * Interrupts need nothing: a successor makes those that it was not given.
 *
 * @keep is called by one thread at a time: by the one that asked for memory,
 * or, for a queue, by a thread that the runtime makes for that call. What needs
 * the new memory waits for it, the I/O of a CPU whose queue is being made too,
 * and nothing else does. Without the runtime, the call for a queue is made by
 * whoever calls hf_driver_process() or waits, and so it is where no thread is
 * to be had. Control work waits then, while I/O goes on where there are queues:
 * no event is handled, no command that is past its deadline is aborted, and
 * none that may succeed the next time is sent again. So @keep has a bound, and
 * where it has waited for that long in vain, it fails at once the next time,
 * until it is known that it is heard again.
 *
 * @keep may add to the set, and must neither ask this driver for memory
 * (-EDEADLK), nor save, close or leave it, nor wait for I/O of its own.
 * hf_driver_save() and hf_driver_close() wait until it returns, and have
 * hf_keeper_put() of its set fail at once, with -ECANCELED, so that a keeper
 * that does not answer holds up neither; it is not called after they have
 * returned, until hf_driver_resume(), or for a driver that could not be saved,
 * which has what was broken off kept anew.
 *
 * Context: control path, any thread but from @keep; blocks while @keep is under
 * way.
 * Return: 0; -EPERM, -ENOTSUP where hf_driver_carry() refuses, unless @keep is
 * NULL; -EDEADLK.
 */
HF_API HF_MUST_CHECK int
hf_driver_keep_with(struct hf_driver *drv,
		    int (*keep)(struct hf_driver *drv, struct hf_carry *carry,
				void *user, struct hf_error *err),
		    void *user, struct hf_error *err);

/**
 * hf_driver_keep_now() - have all that there is kept, once more
 * @drv: a driver with hf_driver_keep_with()
 * @err: what went wrong; may be NULL
 *
 * For the first time, or by another keeper: what hf_driver_keep_with() was
 * given is called in here, and never while it is called elsewhere, so that no
 * older set replaces a newer one.
 *
 * Context: control path, any thread but from that function; blocks as it does.
 * Return: what it returned; -EINVAL when there is none; -EPERM as of
 * hf_driver_carry(); -EDEADLK; -ECANCELED of a driver that is saved.
 */
HF_API HF_MUST_CHECK int hf_driver_keep_now(struct hf_driver *drv,
					    struct hf_error *err);

/**
 * hf_carry_free() - forget a set
 * @carry: NULL is allowed; descriptors that were received are closed
 *
 * Context: any thread.
 */
HF_API void hf_carry_free(struct hf_carry *carry);

/**
 * hf_carry_owner() - who drives the device of a set?
 * @carry: the set
 *
 * The process of which hf_device_adopt() would say -EBUSY: a successor that
 * stands by waits for the end of it with pidfd_open(2).
 *
 * Context: any thread; never blocks.
 * Return: its process ID; 0 when nobody does, or the set has no device.
 */
HF_API int hf_carry_owner(const struct hf_carry *carry);

/**
 * hf_carry_send() - send a set over a connected UNIX socket
 * @carry: the set
 * @socket: SOCK_SEQPACKET
 * @err: what went wrong; may be NULL
 *
 * Context: blocks while the other side does not read, for five seconds at
 * most.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_carry_send(const struct hf_carry *carry, int socket,
				       struct hf_error *err);

/**
 * hf_carry_receive() - receive a set
 * @carry: receives the set and its descriptors, for hf_carry_free()
 * @socket: SOCK_SEQPACKET
 * @timeout_ms: at most so long
 * @err: what went wrong; may be NULL
 *
 * The sender is not trusted: names, counts and texts are checked.
 *
 * Context: blocks.
 * Return: 0, -ETIMEDOUT, -EPROTO, another negative errno.
 */
HF_API HF_MUST_CHECK int hf_carry_receive(struct hf_carry **carry, int socket,
					  uint32_t timeout_ms,
					  struct hf_error *err);

/**
 * struct hf_saved_cpu - a CPU that a saved driver had a queue for
 * @cpu: its number
 * @pending: commands of one of its queues were under way, or had ended and
 *           their callers were not told
 */
struct hf_saved_cpu {
	uint32_t cpu;
	bool pending;
};

/**
 * hf_saved_cpus() - which CPUs a saved state is of
 * @bytes: what hf_driver_save() gave; NULL is allowed: there are none
 * @len_bytes: its length
 * @cpus: receives each CPU once, by ascending number
 * @max: room in @cpus
 * @err: why not; may be NULL
 *
 * For a successor that brings up what serves those CPUs first. It needs no
 * device, and the state is not judged here: hf_driver_restore() does that.
 *
 * Context: any thread; never blocks.
 * Return: how many CPUs there are, perhaps more than @max; -EINVAL for bytes
 * that are no saved state, -ENOMEM.
 */
HF_API HF_MUST_CHECK int hf_saved_cpus(const uint8_t *bytes, size_t len_bytes,
				       struct hf_saved_cpu *cpus, uint32_t max,
				       struct hf_error *err);

/**
 * hf_device_adopt() - a device out of the descriptors of its last owner
 * @device: receives the device
 * @carry: what the owner left; its descriptors are taken out of it
 * @options: NULL for the defaults
 * @err: what is missing, wrong, or still in use; may be NULL
 *
 * The owner must be dead, or have left. Nothing is done to the controller.
 *
 * Context: control path; blocks for the other side of a vfio-user socket.
 * Return: 0; -EBUSY while the owner lives; another negative errno.
 */
HF_API HF_MUST_CHECK int
hf_device_adopt(struct hf_device **device, struct hf_carry *carry,
		const struct hf_device_options *options, struct hf_error *err);

/**
 * hf_driver_restore() - go on where the last owner of a device stopped
 * @drv: receives the driver, ready
 * @device: from hf_device_adopt(); taken over on success
 * @bytes: what hf_driver_save() gave; NULL after a crash, or when it is not at
 *         hand: the same message is made from the ledger then, and also where
 *         somebody has restored from it since
 * @len_bytes: its length
 * @options: NULL for the defaults; queue sizes, number of queues, bouncing are
 *           as they were
 * @err: why not; may be NULL
 *
 * The controller must be ready and the same one, its memory all there, the
 * state such as a driver can have left; else nothing is changed, and
 * hf_device_clear() makes a fresh start possible. No admin command is issued.
 * Namespaces that were open are known and free to be opened again.
 *
 * Context: control path; blocks for register accesses.
 * Return: 0; -EBUSY while another process drives the device; -ENODEV when the
 * controller is gone, not ready, or another; -EINVAL, -EPROTONOSUPPORT for a
 * state that cannot be used; another negative errno.
 */
HF_API HF_MUST_CHECK int
hf_driver_restore(struct hf_driver **drv, struct hf_device *device,
		  const uint8_t *bytes, size_t len_bytes,
		  const struct hf_driver_options *options,
		  struct hf_error *err);

/**
 * hf_device_clear() - reset a device whose state is not to be used
 * @device: from hf_device_adopt(); released, but for -EBUSY
 * @err: what went wrong; may be NULL
 *
 * The controller is stopped by CC.EN, or by a reset of the function, or by
 * taking all memory away from it; only then is memory unmapped and freed.
 *
 * Context: control path; blocks, bounded by the controller's own time limit.
 * Return: 0; -ENODEV when the controller is gone, -EIO when it does not stop
 * and memory was taken away from it instead; -EBUSY when it may still write to
 * memory: then all of it is kept, and the call may be made again.
 */
HF_API HF_MUST_CHECK int hf_device_clear(struct hf_device *device,
					 struct hf_error *err);

/**
 * struct hf_inflight - an I/O of the predecessor's that has not been answered
 * @cookie: the predecessor's name for it
 * @op: what it does
 * @nsid: namespace
 * @lba: first block
 * @blocks: number of blocks
 * @buf: its data in this process, where it lies in hf_dma_alloc() memory or in
 *       registered shared memory; NULL for memory that died with the process,
 *       and for data that is being bounced
 * @bounced: the data passes through holdfast's pages: a read needs a buffer of
 *           the successor's to be copied to
 * @completed: it has ended already
 * @private_: where it is
 * @result: what it ended with, where it has: what @done of its attachment is
 *          told, but for a read into memory that died with its process
 */
struct hf_inflight {
	uint64_t cookie;
	enum hf_op op;
	uint32_t nsid;
	uint64_t lba;
	uint64_t blocks;
	void *buf;
	bool bounced;
	bool completed;
	uint32_t private_[2];
	int result;
};

/**
 * hf_inflight_next() - walk the I/O that is not attached to
 * @drv: a restored driver
 * @cursor: 0 at first; moves on
 * @inflight: to fill
 *
 * Context: control path.
 * Return: 1 when there was one, 0 at the end.
 */
HF_API int hf_inflight_next(struct hf_driver *drv, uint64_t *cursor,
			    struct hf_inflight *inflight);

/**
 * hf_io_attach() - have the end of a predecessor's I/O
 * @io: with ns, done and user set, and buf where one is needed; lent until
 *      done is called, once. The rest is filled in.
 * @inflight: from hf_inflight_next()
 * @err: what does not fit; may be NULL
 *
 * What was never issued of a large I/O is issued now, from or to the buffer. A
 * read into memory that died with its process ends with -EOWNERDEAD, and so
 * does a large I/O of which a part was never issued, where its data died and
 * @io has no buffer; ranges to deallocate that were never issued end with
 * -ECANCELED.
 *
 * Context: control path.
 * Return: 0; -EINVAL for another namespace or a missing buffer; -EALREADY when
 * it is attached to.
 */
HF_API HF_MUST_CHECK int hf_io_attach(struct hf_io *io,
				      const struct hf_inflight *inflight,
				      struct hf_error *err);

/**
 * hf_driver_drain_wait() - let the predecessor's I/O end, for those who cannot
 * attach
 * @drv: a restored driver
 * @timeout_ms: at most so long
 * @err: how many are left; may be NULL
 *
 * A barrier over all queues: nothing new is issued on any of them, also on
 * those made meanwhile, until the last of the old ones has ended. Their
 * results are dropped.
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0 or -ETIMEDOUT; the barrier stands until they have ended.
 */
HF_API HF_MUST_CHECK int hf_driver_drain_wait(struct hf_driver *drv,
					      uint32_t timeout_ms,
					      struct hf_error *err);

/**
 * hf_dma_next() - walk the hf_dma_alloc() memory that a predecessor left
 * @drv: a restored driver
 * @cursor: 0 at first; moves on
 * @memory: receives the memory as this process sees it
 * @len_bytes: receives its length
 *
 * In the order of allocation slots; it is the successor's from now on.
 *
 * Context: control path.
 * Return: 1 when there was one, 0 at the end.
 */
HF_API int hf_dma_next(struct hf_driver *drv, uint32_t *cursor, void **memory,
		       uint64_t *len_bytes);

#ifdef __cplusplus
}
#endif
