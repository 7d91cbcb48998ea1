/* SPDX-License-Identifier: BSD-3-Clause */
/* Namespaces: opening, geometry, identity, changes. Data moves in io.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hf_driver;
struct hf_namespace;

/**
 * struct hf_namespace_info - what is known of a namespace
 * @nsid: namespace identifier
 * @blocks: size in blocks; 0 once removed
 * @capacity_blocks: capacity in blocks
 * @used_blocks: utilisation in blocks
 * @block_bytes: bytes of data in a block
 * @metadata_bytes: bytes of metadata in a block, 0 for none
 * @max_transfer_blocks: one command takes at most so many
 * @optimal_boundary_blocks: NOIOB; 0 for none
 * @nguid: all zeroes where there is none
 * @eui64: all zeroes where there is none
 * @uuid: all zeroes where there is none
 * @read_only: writes are refused
 * @removed: gone for good; every I/O ends with -ENODEV
 * @can_deallocate: hf_deallocate() is supported
 * @can_write_zeroes: hf_write_zeroes() is supported
 * @can_compare: hf_compare() is supported
 * @can_verify: hf_verify() is supported
 * @can_reserve: the reservation calls are supported
 * @volatile_write_cache: completed writes are not durable until flushed
 */
struct hf_namespace_info {
	uint32_t nsid;
	uint64_t blocks;
	uint64_t capacity_blocks;
	uint64_t used_blocks;
	uint32_t block_bytes;
	uint32_t metadata_bytes;
	uint32_t max_transfer_blocks;
	uint32_t optimal_boundary_blocks;
	uint8_t nguid[16];
	uint8_t eui64[8];
	uint8_t uuid[16];
	bool read_only;
	bool removed;
	bool can_deallocate;
	bool can_write_zeroes;
	bool can_compare;
	bool can_verify;
	bool can_reserve;
	bool volatile_write_cache;
};

/**
 * hf_namespace_list() - the active namespaces
 * @drv: an open driver
 * @nsids: receives identifiers in ascending order
 * @max: room in @nsids
 * @count: receives how many there are, also when more than @max
 * @err: what went wrong; may be NULL
 *
 * Context: control path; blocks for admin commands.
 * Return: 0, a negative errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_namespace_list(struct hf_driver *drv,
					   uint32_t *nsids, uint32_t max,
					   uint32_t *count,
					   struct hf_error *err);

/**
 * hf_namespace_open() - open a namespace
 * @ns: receives the namespace
 * @drv: an open driver
 * @nsid: namespace identifier
 * @err: what went wrong; may be NULL
 *
 * A namespace can be open once: two owners that do not know of each other
 * would overwrite each other's data.
 *
 * Context: control path; blocks for admin commands.
 * Return: 0, -EBUSY when it is open already, -ENODEV when it is not active,
 * -ENOTSUP for a format that cannot be used, another negative errno or an
 * NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_namespace_open(struct hf_namespace **ns,
					   struct hf_driver *drv, uint32_t nsid,
					   struct hf_error *err);

/**
 * hf_namespace_close() - close a namespace
 * @ns: NULL is allowed; nothing may be in flight on it
 *
 * Context: control path, any thread; never blocks.
 */
HF_API void hf_namespace_close(struct hf_namespace *ns);

/**
 * hf_namespace_get_info() - geometry and identity, as of the last rescan
 * @ns: the namespace
 * @info: to fill
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_namespace_get_info(struct hf_namespace *ns,
				  struct hf_namespace_info *info);

/**
 * hf_namespace_rescan() - ask the controller again
 * @ns: the namespace
 * @err: what went wrong; may be NULL
 *
 * Done by itself after a notice of the controller; a call is needed for
 * controllers that give none.
 *
 * Context: control path; blocks for admin commands.
 * Return: 0, -ENODEV when it was removed or replaced by another, a negative
 * errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int hf_namespace_rescan(struct hf_namespace *ns,
					     struct hf_error *err);

/**
 * hf_namespace_change_wait() - sleep until size or presence differ
 * @ns: the namespace
 * @blocks: the size that the caller knows of
 * @timeout_ms: at most so long
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0 when the size differs from @blocks, -ENODEV when it was removed,
 * -ETIMEDOUT.
 */
HF_API HF_MUST_CHECK int hf_namespace_change_wait(struct hf_namespace *ns,
						  uint64_t blocks,
						  uint32_t timeout_ms);

/* Types of reservation; the values of the specification's RTYPE field. */
enum hf_reservation_type {
	HF_RESERVATION_WRITE_EXCLUSIVE = 1,
	HF_RESERVATION_EXCLUSIVE_ACCESS = 2,
	HF_RESERVATION_WRITE_EXCLUSIVE_REGISTRANTS = 3,
	HF_RESERVATION_EXCLUSIVE_ACCESS_REGISTRANTS = 4,
	HF_RESERVATION_WRITE_EXCLUSIVE_ALL = 5,
	HF_RESERVATION_EXCLUSIVE_ACCESS_ALL = 6,
};

/* What hf_reservation_register() does with the key (RREGA). */
enum hf_reservation_register_action {
	HF_RESERVATION_REGISTER = 0,
	HF_RESERVATION_UNREGISTER = 1,
	HF_RESERVATION_REPLACE = 2,
};

/* What hf_reservation_acquire() does (RACQA). */
enum hf_reservation_acquire_action {
	HF_RESERVATION_ACQUIRE = 0,
	HF_RESERVATION_PREEMPT = 1,
	HF_RESERVATION_PREEMPT_AND_ABORT = 2,
};

/* What hf_reservation_release() does (RRELA). */
enum hf_reservation_release_action {
	HF_RESERVATION_RELEASE = 0,
	HF_RESERVATION_CLEAR = 1,
};

/**
 * hf_reservation_register() - register, replace or remove this host's key
 * @ns: the namespace
 * @action: what to do
 * @current_key: the key that is registered, where @action needs one
 * @new_key: the key to register
 * @ignore_key: do not check @current_key (IEKEY)
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0, -ENOTSUP, a negative errno or an NVMe status word (Reservation
 * Conflict, 083h).
 */
HF_API HF_MUST_CHECK int hf_reservation_register(
	struct hf_namespace *ns, enum hf_reservation_register_action action,
	uint64_t current_key, uint64_t new_key, bool ignore_key);

/**
 * hf_reservation_acquire() - take or preempt the reservation
 * @ns: the namespace
 * @action: what to do
 * @type: kind of reservation
 * @current_key: this host's key
 * @preempt_key: the key to preempt, where @action preempts
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: as hf_reservation_register().
 */
HF_API HF_MUST_CHECK int
hf_reservation_acquire(struct hf_namespace *ns,
		       enum hf_reservation_acquire_action action,
		       enum hf_reservation_type type, uint64_t current_key,
		       uint64_t preempt_key);

/**
 * hf_reservation_release() - give the reservation up, or clear everything
 * @ns: the namespace
 * @action: what to do
 * @type: kind of the reservation that is held
 * @current_key: this host's key
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: as hf_reservation_register().
 */
HF_API HF_MUST_CHECK int
hf_reservation_release(struct hf_namespace *ns,
		       enum hf_reservation_release_action action,
		       enum hf_reservation_type type, uint64_t current_key);

struct hf_registrant {
	uint16_t controller;
	bool holds_reservation;
	uint8_t host_id[16]; /* the first 8 bytes where @host_id_bytes is 8 */
	uint8_t host_id_bytes;
	uint64_t key;
};

struct hf_reservation_report {
	uint32_t generation;
	uint8_t type; /* enum hf_reservation_type, 0 for none */
	bool persists_power_loss;
	uint32_t registrants; /* how many the controller has */
};

/**
 * hf_reservation_get_report() - who is registered, who holds it
 * @ns: the namespace
 * @report: to fill
 * @registrants: receives as many as fit
 * @max: room in @registrants
 *
 * Context: blocks; any thread but one of holdfast's own.
 * Return: 0, -ENOTSUP, -EPROTO for a report that contradicts itself, another
 * negative errno or an NVMe status word.
 */
HF_API HF_MUST_CHECK int
hf_reservation_get_report(struct hf_namespace *ns,
			  struct hf_reservation_report *report,
			  struct hf_registrant *registrants, uint32_t max);

#ifdef __cplusplus
}
#endif
