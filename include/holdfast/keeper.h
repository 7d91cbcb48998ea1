/* SPDX-License-Identifier: BSD-3-Clause */
/* How descriptors get from a process to its successor: a hand-over between the
 * two, a keeper that holds them meanwhile, systemd's store, or exec. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/api.h"
#include "holdfast/device.h"
#include "holdfast/error.h"
#include "holdfast/log.h"
#include "holdfast/servicing.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A keeper, in this process. */
struct hf_keeper;

/* The longest name of a set, with its end. */
#define HF_KEEPER_NAME_BYTES 48

/**
 * hf_carry_add() - put a descriptor of the program's own into a set
 * @carry: the set
 * @name: letters, digits, '-' and '.'; none that holdfast uses ("state" for
 *        the message of hf_driver_save() is the program's to add)
 * @fd: stays the caller's in a set of hf_driver_carry(); becomes the set's in
 *      one that was received
 * @err: what went wrong; may be NULL
 *
 * Context: any thread; never blocks.
 * Return: 0, -EINVAL for a name, -EEXIST, or -ENOSPC.
 */
HF_API HF_MUST_CHECK int hf_carry_add(struct hf_carry *carry, const char *name,
				      int fd, struct hf_error *err);

/**
 * hf_carry_add_state() - put the message of hf_driver_save() into a set
 * @carry: the set
 * @bytes: the message
 * @len_bytes: its length
 * @fd: receives the memfd that holds it, for close() after the set was sent,
 *      where the set does not own its descriptors; else -1
 * @err: what went wrong; may be NULL
 *
 * Context: any thread; never blocks.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_carry_add_state(struct hf_carry *carry,
					    const uint8_t *bytes,
					    size_t len_bytes, int *fd,
					    struct hf_error *err);

/* Room for the message of hf_driver_save(), ahead of it. */
struct hf_state_room;

/**
 * hf_state_room_open() - make room for a message that is still to come
 * @room: receives it
 * @len_bytes: about as many as it is going to have
 * @err: what went wrong; may be NULL
 *
 * Making a file and touching its pages takes time, which nobody has once the
 * driver is saved.
 *
 * Context: any thread; never blocks.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_state_room_open(struct hf_state_room **room,
					    size_t len_bytes,
					    struct hf_error *err);

/**
 * hf_state_room_close() - give the room up
 * @room: NULL is allowed; sets that have it do not refer to it any more, but
 *        those that were sent
 *
 * Context: any thread.
 */
HF_API void hf_state_room_close(struct hf_state_room *room);

/**
 * hf_carry_add_room() - put the room into a set that a successor is shown
 * @carry: a set of hf_driver_carry()
 * @room: outlives the set; there is no message in it yet
 * @err: what went wrong; may be NULL
 *
 * The successor maps it ahead, as all else.
 *
 * Context: any thread; never blocks.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_carry_add_room(struct hf_carry *carry,
					   struct hf_state_room *room,
					   struct hf_error *err);

/**
 * hf_carry_fill_room() - the message, into the room of a set
 * @carry: a set with hf_carry_add_room()
 * @room: that room; what was in it is overwritten
 * @bytes: the message
 * @len_bytes: its length; one that does not fit has a file made for it
 * @err: what went wrong; may be NULL
 *
 * As hf_carry_add_state() otherwise: hf_carry_state() finds it.
 *
 * Context: any thread; never blocks.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_carry_fill_room(struct hf_carry *carry,
					    struct hf_state_room *room,
					    const uint8_t *bytes,
					    size_t len_bytes,
					    struct hf_error *err);

/**
 * hf_carry_state() - the message that came with a set
 * @carry: the set
 * @bytes: receives the message, for free()
 * @len_bytes: receives its length
 * @err: what went wrong; may be NULL
 *
 * Context: any thread; never blocks.
 * Return: 0; -ENOENT when there is none, as after a crash; another negative
 * errno.
 */
HF_API HF_MUST_CHECK int hf_carry_state(const struct hf_carry *carry,
					uint8_t **bytes, size_t *len_bytes,
					struct hf_error *err);

/**
 * hf_carry_find() - a descriptor of a set
 * @carry: the set
 * @name: its name
 *
 * Context: any thread; never blocks.
 * Return: the descriptor, which stays where it is, or -1.
 */
HF_API int hf_carry_find(const struct hf_carry *carry, const char *name);

/**
 * hf_carry_take() - take a descriptor out of a set
 * @carry: the set
 * @name: its name
 *
 * Context: any thread; never blocks.
 * Return: the descriptor, the caller's from now on where the set owned it, or
 * -1.
 */
HF_API int hf_carry_take(struct hf_carry *carry, const char *name);

/**
 * hf_carry_count() - how many descriptors a set has
 * @carry: the set
 *
 * Context: any thread; never blocks.
 * Return: how many there are.
 */
HF_API uint32_t hf_carry_count(const struct hf_carry *carry);

/**
 * hf_carry_copy() - duplicate a set, with its descriptors
 * @copy: receives a set that owns its descriptors
 * @carry: the set
 * @err: what went wrong; may be NULL
 *
 * Not while this process goes on driving the device: closing the copy would
 * drop the lock that says who does. Between hf_driver_save() and
 * hf_driver_leave() it is what keeps the device for a successor.
 *
 * Context: any thread; never blocks.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_carry_copy(struct hf_carry **copy,
				       const struct hf_carry *carry,
				       struct hf_error *err);

/**
 * hf_carry_prepare() - make what a set will need before it is needed
 * @carry: a set that was received while its owner goes on
 *
 * What hf_device_adopt() and hf_driver_restore() would make, and touch for the
 * first time, in the middle of a hand-over, is made here: its memory is mapped,
 * and the driver's control thread waits for its driver: on the processors, with
 * the capabilities and in the namespaces of this call. Nothing is read but to
 * touch it, and nothing is written. Best effort.
 *
 * Context: any thread; may take long for much memory.
 */
HF_API void hf_carry_prepare(struct hf_carry *carry);

/**
 * hf_carry_use_prepared() - let a set have what was made ahead for another
 * @carry: the set that the owner left
 * @early: the set that it had shown; gone afterwards
 *
 * Before hf_device_adopt(). Only what both name is used: an owner's memory may
 * have changed in between.
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_carry_use_prepared(struct hf_carry *carry,
				  struct hf_carry *early);

/**
 * hf_carry_take_memory() - memory of the program's own that was mapped ahead
 * @carry: the set
 * @name: of its descriptor, which stays where it is
 * @len_bytes: all of the file
 *
 * Context: any thread; never blocks.
 * Return: the caller's, for munmap(), or NULL when it was not mapped: then the
 * caller does.
 */
HF_API void *hf_carry_take_memory(struct hf_carry *carry, const char *name,
				  uint64_t len_bytes);

/**
 * hf_carry_to_exec() - let a set pass the next exec of this process
 * @carry: a set that owns its descriptors
 * @err: what went wrong; may be NULL
 *
 * Clears close-on-exec, and names the descriptors in the environment variable
 * HOLDFAST_CARRY. Where the exec fails, hf_carry_undo_exec() puts it all back.
 *
 * Context: any thread, none other in the environment.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_carry_to_exec(const struct hf_carry *carry,
					  struct hf_error *err);

/**
 * hf_carry_undo_exec() - the exec did not come about
 * @carry: what hf_carry_to_exec() was given
 *
 * Takes the environment variable away, sets close-on-exec again, and closes
 * what else was made for the exec.
 *
 * Context: any thread, none other in the environment.
 */
HF_API void hf_carry_undo_exec(const struct hf_carry *carry);

/**
 * hf_carry_from_exec() - the set that passed the exec into this program
 * @carry: receives the set, for hf_carry_free()
 * @err: what went wrong; may be NULL
 *
 * Takes the environment variable away, and sets close-on-exec again.
 *
 * Context: any thread, none other in the environment.
 * Return: 0; -ENOENT when there is none; -EPROTO for a variable that is not
 * such as hf_carry_to_exec() makes; another negative errno.
 */
HF_API HF_MUST_CHECK int hf_carry_from_exec(struct hf_carry **carry,
					    struct hf_error *err);

/**
 * hf_keeper_put() - have a keeper hold a set
 * @path: the keeper's socket
 * @name: under which; a set of that name is replaced
 * @carry: the set; its descriptors stay the caller's
 * @err: what went wrong; may be NULL
 *
 * When it returns, the keeper holds the set: only then may the first I/O be
 * issued. hf_driver_keep_with() has it put again, in time, whenever there is
 * new DMA memory, also for a new queue. Without that, a process that is killed
 * after there was some leaves what no successor can restore.
 *
 * Context: blocks, five seconds at most.
 * Return: 0 or a negative errno; -ECANCELED of a set that what
 * hf_driver_keep_with() was given puts, once its driver is saved or closed.
 */
HF_API HF_MUST_CHECK int hf_keeper_put(const char *path, const char *name,
				       const struct hf_carry *carry,
				       struct hf_error *err);

/**
 * hf_keeper_get() - get a set from a keeper, or from a live owner
 * @path: the socket of either
 * @name: of the set; a live owner does not look at it
 * @carry: receives the set, for hf_carry_free()
 * @err: what went wrong; may be NULL
 *
 * A keeper gives duplicates, and keeps its own. A live owner saves, leaves the
 * device, and gives what it had.
 *
 * Context: blocks, five seconds at most.
 * Return: 0, -ENOENT, or another negative errno.
 */
HF_API HF_MUST_CHECK int hf_keeper_get(const char *path, const char *name,
				       struct hf_carry **carry,
				       struct hf_error *err);

/**
 * hf_keeper_drop() - have a keeper let go of a set
 * @path: the keeper's socket
 * @name: of the set
 * @err: what went wrong; may be NULL
 *
 * Where nobody else holds the descriptors, the kernel or the vfio-user server
 * resets the device.
 *
 * Context: blocks, five seconds at most.
 * Return: 0, -ENOENT, or another negative errno.
 */
HF_API HF_MUST_CHECK int hf_keeper_drop(const char *path, const char *name,
					struct hf_error *err);

/**
 * struct hf_keeper_entry - what a keeper holds
 * @name: of the set
 * @descriptors: how many it has
 * @pid: process that put it
 */
struct hf_keeper_entry {
	char name[HF_KEEPER_NAME_BYTES];
	uint32_t descriptors;
	int32_t pid;
};

/**
 * hf_keeper_list() - what a keeper holds
 * @path: the keeper's socket
 * @entries: to fill
 * @max: room in @entries
 * @count: receives how many there are
 * @err: what went wrong; may be NULL
 *
 * Context: blocks, five seconds at most.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_keeper_list(const char *path,
					struct hf_keeper_entry *entries,
					uint32_t max, uint32_t *count,
					struct hf_error *err);

/**
 * hf_keeper_connect() - connect to a keeper's, or an owner's, socket
 * @path: the socket
 * @err: what went wrong; may be NULL
 *
 * Context: never blocks for long.
 * Return: the socket, or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_keeper_connect(const char *path,
					   struct hf_error *err);

/**
 * hf_keeper_get_on() - as hf_keeper_get(), on a connection that is there
 * @socket: from hf_keeper_connect(); stays open
 * @name: of the set
 * @carry: receives the set, for hf_carry_free()
 * @err: what went wrong; may be NULL
 *
 * Context: blocks, five seconds at most.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_keeper_get_on(int socket, const char *name,
					  struct hf_carry **carry,
					  struct hf_error *err);

/**
 * hf_keeper_preview_on() - see a set while its owner goes on
 * @socket: from hf_keeper_connect(); stays open
 * @name: of the set
 * @carry: receives a copy of the set, for hf_carry_prepare(); the device is
 *         not to be had with it
 * @err: what went wrong; may be NULL
 *
 * Context: blocks, five seconds at most.
 * Return: 0, -ENOENT, -EPROTO or -EOPNOTSUPP from one that cannot show it,
 * another negative errno.
 */
HF_API HF_MUST_CHECK int hf_keeper_preview_on(int socket, const char *name,
					      struct hf_carry **carry,
					      struct hf_error *err);

/**
 * hf_keeper_get_rest_on() - get the set that hf_keeper_preview_on() has shown
 * @socket: that the preview came over; stays open
 * @name: of the set
 * @early: what was shown; gone afterwards, also where this fails
 * @carry: receives the set, for hf_carry_free(), with what was mapped ahead
 *         for @early
 * @err: what went wrong; may be NULL
 *
 * As hf_keeper_get_on() from a live owner, but what it has shown, and has not
 * closed since, is not sent again: that is most of it, and time counts by now.
 *
 * Context: blocks, five seconds at most.
 * Return: 0 or a negative errno; -EPIPE or -ECONNRESET where the owner has
 * hung up, as one does that does not know of this.
 */
HF_API HF_MUST_CHECK int hf_keeper_get_rest_on(int socket, const char *name,
					       struct hf_carry *early,
					       struct hf_carry **carry,
					       struct hf_error *err);

/**
 * hf_handover_preview_asked() - does this message ask to see what there is?
 * @message: as it came from a SOCK_SEQPACKET socket
 * @len_bytes: its length
 *
 * It is answered with a set of hf_driver_carry(), by hf_handover_give(), and
 * the owner goes on.
 *
 * Context: any thread; never blocks.
 * Return: whether it does.
 */
HF_API bool hf_handover_preview_asked(const void *message, size_t len_bytes);

/**
 * hf_handover_asked() - does this message ask a live owner for its device?
 * @message: as it came from a SOCK_SEQPACKET socket
 * @len_bytes: its length
 *
 * Context: any thread; never blocks.
 * Return: whether it does.
 */
HF_API bool hf_handover_asked(const void *message, size_t len_bytes);

/**
 * hf_handover_rest_asked() - does it ask for what it has not been shown?
 * @message: one that hf_handover_asked() says yes to
 * @len_bytes: its length
 *
 * hf_handover_give_rest() answers it best; hf_handover_give() will do.
 *
 * Context: any thread; never blocks.
 * Return: whether it does.
 */
HF_API bool hf_handover_rest_asked(const void *message, size_t len_bytes);

/**
 * hf_handover_announce() - tell one that asked that the set is about to come
 * @socket: where a question came from that hf_handover_rest_asked() says yes to
 * @err: what went wrong; may be NULL
 *
 * Right before hf_driver_save(): the successor wakes up meanwhile, and looks
 * for the set without sleeping, for a millisecond. hf_handover_give_rest()
 * follows; or hf_handover_give() with a refusal, where the driver cannot be
 * saved.
 *
 * Context: blocks, five seconds at most.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_handover_announce(int socket, struct hf_error *err);

/**
 * hf_handover_give() - answer one that asked
 * @socket: where the question came from
 * @carry: the set; NULL refuses
 * @refusal: with NULL: a negative errno
 * @err: what went wrong; may be NULL
 *
 * After hf_driver_disown() or hf_driver_leave(): the successor begins at once.
 *
 * Context: blocks, five seconds at most.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_handover_give(int socket,
					  const struct hf_carry *carry,
					  int refusal, struct hf_error *err);

/**
 * hf_handover_give_rest() - give one the device that was shown what there is
 * @socket: where the question came from
 * @carry: the set
 * @shown: the set that was given over this very socket when a preview was asked
 *         for; NULL where there was none
 * @err: what went wrong; may be NULL
 *
 * As hf_handover_give(), but the device's descriptors that @shown has as well
 * are not sent again, nor, if none of those changed, are the first few of the
 * program's own that are the same files. Both are sets of hf_driver_carry() of
 * one driver, added to in the same order.
 *
 * Context: blocks, five seconds at most.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_handover_give_rest(int socket,
					       const struct hf_carry *carry,
					       const struct hf_carry *shown,
					       struct hf_error *err);

/**
 * hf_keeper_open() - be a keeper
 * @keeper: receives it
 * @path: of the socket, which is made with mode 0600; one that nobody listens
 *        on is replaced
 * @log: receiver of log lines; may be NULL
 * @err: what went wrong; may be NULL
 *
 * Only processes of the same user, and root's, are answered.
 *
 * Context: control path; never blocks.
 * Return: 0, -EADDRINUSE when there is a keeper already, another negative
 * errno.
 */
HF_API HF_MUST_CHECK int hf_keeper_open(struct hf_keeper **keeper,
					const char *path,
					const struct hf_log *log,
					struct hf_error *err);

/**
 * hf_keeper_fd() - readable when hf_keeper_process() has something to do
 * @keeper: the keeper
 *
 * Context: any thread; never blocks. The descriptor stays the keeper's.
 * Return: a descriptor for poll or epoll.
 */
HF_API int hf_keeper_fd(const struct hf_keeper *keeper);

/**
 * hf_keeper_process() - answer whoever asked
 * @keeper: the keeper
 *
 * Context: one thread at a time; never blocks.
 */
HF_API void hf_keeper_process(struct hf_keeper *keeper);

/**
 * hf_keeper_close() - let go of everything
 * @keeper: NULL is allowed
 *
 * Context: control path.
 */
HF_API void hf_keeper_close(struct hf_keeper *keeper);

/**
 * hf_store_put() - have systemd's descriptor store hold a set
 * @carry: the set; its descriptors stay the caller's
 * @name: letters, digits and '-'
 * @err: what went wrong; may be NULL
 *
 * For a service with FileDescriptorStoreMax=, which has to hold all descriptors
 * of the set before and of the new one, and two more. What the store has of the
 * set already stays there. A process that is killed in here, at whichever
 * instant, leaves one of both sets, whole; what neither has is let go of when
 * the new one is there, or by the next hf_store_get().
 *
 * A name may be another file's in the next set. Of devices and what else Linux
 * gives no identity of its own (all but files, memfds, sockets, pipes and
 * eventfds) the store holds one by each name: a set of another device is
 * dropped first.
 *
 * Context: any thread, one at a time for each name; blocks for a moment, five
 * seconds at most.
 * Return: 0; -ENOTSUP when this program was built without libsystemd, or was
 * not started by systemd; -ENOSPC where systemd said that there is no room for
 * so many (it does since version 254; before, it is found out by
 * hf_store_get()); another negative errno.
 */
HF_API HF_MUST_CHECK int hf_store_put(const struct hf_carry *carry,
				      const char *name, struct hf_error *err);

/**
 * hf_store_drop() - have systemd's descriptor store let go of a set
 * @carry: what it may have besides what this process put or got; may be NULL
 * @name: of the set
 * @err: what went wrong; may be NULL
 *
 * A process that came by exec and has put nothing names what there is by
 * @carry, its descriptors open. Killed in here, it leaves the whole set or
 * none. Where nobody else holds the descriptors, the kernel or the vfio-user
 * server resets the device.
 *
 * Context: blocks for a moment.
 * Return: 0; -ENOTSUP when this program was built without libsystemd, or was
 * not started by systemd; another negative errno.
 */
HF_API HF_MUST_CHECK int hf_store_drop(const struct hf_carry *carry,
				       const char *name, struct hf_error *err);

/**
 * hf_store_get() - the set that systemd's store gave this process at its start
 * @name: of the set
 * @carry: receives the set, for hf_carry_free()
 * @err: what went wrong; may be NULL
 *
 * Once for each name: its descriptors are the set's from then on, and called
 * "taken" in LISTEN_FDNAMES. The store lets go of what is not in the set, and
 * of a saved state that is: a successor of one that is killed now goes by the
 * ledger.
 *
 * Context: any thread, none other in the environment.
 * Return: 0; -ENOENT when there is none; -EPROTO when not all of it is there;
 * -EINVAL for a name; -ENOTSUP; another negative errno.
 */
HF_API HF_MUST_CHECK int hf_store_get(const char *name, struct hf_carry **carry,
				      struct hf_error *err);

/**
 * hf_device_take() - a predecessor's device, from wherever it waits
 * @device: receives the device, for hf_driver_restore()
 * @where: "unix:/run/keeper.sock#NAME": a keeper, or a live owner (no #NAME);
 *         "systemd:NAME": systemd's store; "exec:": the program before this one
 * @options: NULL for the defaults
 * @rest: receives the rest of the set, for hf_carry_state() and
 * hf_carry_free(); may be NULL
 * @err: what is missing, wrong, or still in use; may be NULL
 *
 * Context: control path; blocks.
 * Return: 0, -ENOENT when nothing waits there, -EBUSY while the owner lives,
 * another negative errno.
 */
HF_API HF_MUST_CHECK int hf_device_take(struct hf_device **device,
					const char *where,
					const struct hf_device_options *options,
					struct hf_carry **rest,
					struct hf_error *err);

#ifdef __cplusplus
}
#endif
