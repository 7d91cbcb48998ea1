/* SPDX-License-Identifier: BSD-3-Clause */
#include "namespace/namespace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/error.h"
#include "spec/entries.h"

#define BLOCK_SHIFT_MIN    9
#define BLOCK_SHIFT_MAX    16
#define TRANSFER_MAX_BYTES (UINT32_C(16) << 20)
#define DSM_RANGES_MAX     256

int hf_ns_parse(struct hf_ns_geometry *geometry,
		struct hf_ns_identity *identity, const struct nvme_id_ns *id,
		uint32_t nsid, struct hf_error *err)
{
	uint64_t blocks = le64toh(id->nsze);
	uint32_t format = (id->flbas & 0xfu) | (id->flbas >> 5 & 0x3u) << 4;

	if (blocks == 0) {
		return hf_error_set(err, -ENODEV, "namespace %u is not active",
				    nsid);
	}
	if (format > id->nlbaf || format >= HF_ARRAY_LEN(id->lbaf)) {
		return hf_error_set(err, -EPROTO,
				    "namespace %u says that it has LBA format "
				    "%u, of %u",
				    nsid, format, id->nlbaf + 1u);
	}

	const struct nvme_lbaf *lbaf = &id->lbaf[format];
	if (lbaf->ds < BLOCK_SHIFT_MIN || lbaf->ds > BLOCK_SHIFT_MAX) {
		return hf_error_set(err, -ENOTSUP,
				    "namespace %u has blocks of 2^%u bytes; "
				    "512 to 65536 can be used: format it",
				    nsid, lbaf->ds);
	}
	if (le16toh(lbaf->ms) != 0) {
		return hf_error_set(err, -ENOTSUP,
				    "namespace %u has %u bytes of metadata in "
				    "each block; only formats without can be "
				    "used: format it",
				    nsid, le16toh(lbaf->ms));
	}
	if (blocks > UINT64_MAX >> lbaf->ds) {
		return hf_error_set(err, -EPROTO,
				    "namespace %u says that it has %#llx "
				    "blocks, more bytes than can be counted",
				    nsid, (unsigned long long)blocks);
	}

	*geometry = (struct hf_ns_geometry){
		.blocks = blocks,
		.capacity_blocks = le64toh(id->ncap),
		.used_blocks = le64toh(id->nuse),
		.noiob_blocks = le16toh(id->noiob),
		.block_shift = lbaf->ds,
		.read_only = (id->nsattr & 1) != 0,
		.can_reserve = id->rescap != 0,
	};
	memcpy(identity->nguid, id->nguid, sizeof(identity->nguid));
	memcpy(identity->eui64, id->eui64, sizeof(identity->eui64));
	return 0;
}

void hf_ns_parse_uuid(struct hf_ns_identity *identity, const uint8_t *list)
{
	uint32_t at = 0;

	memset(identity->uuid, 0, sizeof(identity->uuid));
	while (at + 4 <= NVME_IDENTIFY_DATA_SIZE) {
		uint8_t type = list[at];
		uint8_t len = list[at + 1];

		if (type == 0 ||
		    !hf_range_within(at + 4u, len, NVME_IDENTIFY_DATA_SIZE)) {
			return;
		}
		if (type == NVME_NIDT_UUID && len == 16) {
			memcpy(identity->uuid, list + at + 4, 16);
			return;
		}
		at += 4u + len;
	}
}

/* A limit that is a power of two of the smallest page; 0 for none. */
static uint32_t limit_bytes(uint8_t shift)
{
	if (shift == 0) {
		return 0;
	}
	return shift >= 31 - NVME_PAGE_SHIFT
		       ? UINT32_C(1) << 31
		       : UINT32_C(1) << (shift + NVME_PAGE_SHIFT);
}

void hf_io_limits_parse(struct hf_io_limits *limits,
			const struct nvme_id_ctrl *id, const uint8_t *id_nvm,
			uint32_t pool_pages)
{
	/* Half of the pool, so that a bounced command always finds room once
	 * others have ended. */
	uint64_t max_bytes = (uint64_t)pool_pages / 2 * NVME_PAGE_BYTES;
	uint32_t mdts_bytes = limit_bytes(id->mdts);

	max_bytes = HF_MIN(max_bytes, TRANSFER_MAX_BYTES);
	if (mdts_bytes != 0) {
		max_bytes = HF_MIN(max_bytes, mdts_bytes);
	}
	*limits = (struct hf_io_limits){
		.max_transfer_bytes = (uint32_t)max_bytes,
		/* Without a limit of their own these are bound by MDTS, as
		 * older controllers expect. */
		.zeroes_max_bytes = mdts_bytes,
		.verify_max_bytes = mdts_bytes,
		.dsm_ranges_max = DSM_RANGES_MAX,
		.oncs = le16toh(id->oncs),
		.volatile_write_cache = (id->vwc & 1) != 0,
	};
	if (id_nvm == NULL) {
		return;
	}

	/* I/O Command Set specific Identify Controller, NVM: VSL, WZSL, WUSL,
	 * DMRL, DMRSL, DMSL. */
	if (id_nvm[0] != 0) {
		limits->verify_max_bytes = limit_bytes(id_nvm[0]);
	}
	if (id_nvm[1] != 0) {
		limits->zeroes_max_bytes = limit_bytes(id_nvm[1]);
	}
	if (id_nvm[3] != 0) {
		limits->dsm_ranges_max = id_nvm[3];
	}
	limits->dsm_range_blocks_max = hf_get_le32(id_nvm + 4);
	limits->dsm_blocks_max = hf_get_le64(id_nvm + 8);
}

static void apply_geometry(struct hf_namespace *ns,
			   const struct hf_ns_geometry *geometry)
{
	ns->geometry = *geometry;
	__atomic_store_n(&ns->blocks, geometry->blocks, __ATOMIC_RELAXED);
	__atomic_store_n(&ns->read_only, geometry->read_only, __ATOMIC_RELAXED);
}

int hf_ns_create(struct hf_namespace **out, uint32_t nsid,
		 const struct hf_ns_geometry *geometry,
		 const struct hf_ns_identity *identity,
		 const struct hf_io_limits *limits, struct hf_issuers *issuers,
		 void *owner)
{
	struct hf_namespace *ns = calloc(1, sizeof(*ns));

	if (ns == NULL) {
		return -ENOMEM;
	}
	ns->nsid = nsid;
	ns->identity = *identity;
	ns->limits = limits;
	ns->issuers = issuers;
	ns->owner = owner;
	ns->block_shift = geometry->block_shift;
	ns->noiob_blocks = geometry->noiob_blocks;
	/* NLB is a 16-bit field that is less by one. */
	ns->max_blocks = HF_MIN(
		HF_MAX(limits->max_transfer_bytes >> ns->block_shift, 1u),
		65536u);
	/* No boundary to be split at, nothing to be copied. */
	if (!limits->bounce && geometry->noiob_blocks == 0) {
		ns->direct_blocks = HF_MIN(
			ns->max_blocks, 2 * NVME_PAGE_BYTES >> ns->block_shift);
	}
	hf_list_init(&ns->link);
	pthread_mutex_init(&ns->lock, NULL);
	pthread_cond_init(&ns->changed, NULL);
	apply_geometry(ns, geometry);
	*out = ns;
	return 0;
}

void hf_ns_destroy(struct hf_namespace *ns)
{
	pthread_cond_destroy(&ns->changed);
	pthread_mutex_destroy(&ns->lock);
	free(ns);
}

static bool same_identity(const struct hf_ns_identity *a,
			  const struct hf_ns_identity *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

enum hf_ns_change hf_ns_update(struct hf_namespace *ns,
			       const struct hf_ns_geometry *geometry,
			       const struct hf_ns_identity *identity)
{
	if (!same_identity(&ns->identity, identity) ||
	    ns->block_shift != geometry->block_shift) {
		hf_ns_remove(ns);
		return HF_NS_SWAPPED;
	}

	pthread_mutex_lock(&ns->lock);
	bool changed = ns->geometry.blocks != geometry->blocks ||
		       ns->geometry.read_only != geometry->read_only;
	apply_geometry(ns, geometry);
	if (changed) {
		pthread_cond_broadcast(&ns->changed);
	}
	pthread_mutex_unlock(&ns->lock);
	return changed ? HF_NS_CHANGED : HF_NS_SAME;
}

void hf_ns_remove(struct hf_namespace *ns)
{
	pthread_mutex_lock(&ns->lock);
	__atomic_store_n(&ns->removed, true, __ATOMIC_RELAXED);
	__atomic_store_n(&ns->blocks, 0, __ATOMIC_RELAXED);
	ns->geometry.blocks = 0;
	pthread_cond_broadcast(&ns->changed);
	pthread_mutex_unlock(&ns->lock);
}
