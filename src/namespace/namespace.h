/* SPDX-License-Identifier: BSD-3-Clause */
/* A namespace: its geometry and identity as the controller gave them, checked,
 * and the issuers that its commands go through. Knows no driver. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "holdfast/namespace.h"
#include "queue/issuer.h"

struct nvme_id_ctrl;
struct nvme_id_ns;

/* What the controller allows, the same for all its namespaces. */
struct hf_io_limits {
	uint32_t max_transfer_bytes;   /* of one command: a multiple of 4096 */
	uint32_t zeroes_max_bytes;     /* of one Write Zeroes; 0: no limit */
	uint32_t verify_max_bytes;     /* of one Verify; 0: no limit */
	uint32_t dsm_ranges_max;       /* of one Dataset Management, 1 to 256 */
	uint32_t dsm_range_blocks_max; /* of one range; 0: no limit */
	uint64_t dsm_blocks_max;       /* of one command; 0: no limit */
	uint16_t oncs;
	bool volatile_write_cache;
	bool bounce;
};

/* Who a namespace is: another one under the same number is not the same. */
struct hf_ns_identity {
	uint8_t nguid[16];
	uint8_t eui64[8];
	uint8_t uuid[16];
};

/* What a rescan can change and what it cannot. */
struct hf_ns_geometry {
	uint64_t blocks;
	uint64_t capacity_blocks;
	uint64_t used_blocks;
	uint32_t noiob_blocks;
	uint32_t metadata_bytes;
	uint8_t block_shift;
	bool read_only;
	bool can_reserve;
};

struct hf_namespace {
	struct hf_list link; /* in the driver's list */
	void *owner;         /* the driver: handed back, never looked into */
	struct hf_issuers *issuers;
	const struct hf_io_limits *limits;
	uint64_t blocks; /* atomic: a rescan changes it under I/O */
	uint32_t nsid;
	uint32_t max_blocks;    /* of one data command */
	uint32_t direct_blocks; /* I/O of so many may go the short way */
	uint32_t noiob_blocks;
	uint8_t block_shift;
	bool read_only; /* atomic */
	bool removed;   /* atomic, for good */
	bool open;
	struct hf_ns_identity identity;
	struct hf_ns_geometry geometry; /* under @lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

/**
 * hf_ns_parse() - read Identify Namespace, believing nothing
 * @geometry: to fill
 * @identity: NGUID and EUI-64 are filled, the UUID is left
 * @id: what the controller gave
 * @nsid: for messages
 * @err: what cannot be used
 *
 * Return: 0; -ENODEV for an inactive namespace; -ENOTSUP for a format that
 * cannot be used; -EPROTO for data that contradicts itself.
 */
HF_MUST_CHECK int hf_ns_parse(struct hf_ns_geometry *geometry,
			      struct hf_ns_identity *identity,
			      const struct nvme_id_ns *id, uint32_t nsid,
			      struct hf_error *err);

/* The UUID of a Namespace Identification Descriptor list of 4096 bytes, or
 * zeroes. */
void hf_ns_parse_uuid(struct hf_ns_identity *identity, const uint8_t *list);

/* Limits out of Identify Controller (and its NVM part, which may be NULL). */
void hf_io_limits_parse(struct hf_io_limits *limits,
			const struct nvme_id_ctrl *id, const uint8_t *id_nvm,
			uint32_t pool_pages);

/* A namespace object; -ENOMEM. Freed by hf_ns_destroy(). */
HF_MUST_CHECK int hf_ns_create(struct hf_namespace **ns, uint32_t nsid,
			       const struct hf_ns_geometry *geometry,
			       const struct hf_ns_identity *identity,
			       const struct hf_io_limits *limits,
			       struct hf_issuers *issuers, void *owner);
void hf_ns_destroy(struct hf_namespace *ns);

/* What a rescan found. */
enum hf_ns_change {
	HF_NS_SAME,
	HF_NS_CHANGED, /* size or attributes; who waits is woken */
	HF_NS_SWAPPED, /* another namespace: this one is removed */
};
enum hf_ns_change hf_ns_update(struct hf_namespace *ns,
			       const struct hf_ns_geometry *geometry,
			       const struct hf_ns_identity *identity);

/* Gone for good: I/O ends with -ENODEV, who waits is woken. */
void hf_ns_remove(struct hf_namespace *ns);
