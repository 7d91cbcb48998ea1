/* SPDX-License-Identifier: BSD-3-Clause */
/* What a namespace is made of, for the I/O commands and for those who make and
 * end it. Knows no queue. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/cache.h"
#include "emu/media.h"
#include "emu/namespace.h"
#include "emu/reservation.h"

struct hf_emu_ns {
	uint32_t nsid;
	uint32_t lba_shift;
	uint64_t blocks; /* atomic: a resize may come at any time */
	enum hf_emu_media kind;
	bool read_only;
	uint16_t noiob_blocks;
	uint16_t nawun_z;
	struct hf_emu_ns_ids ids;
	struct hf_emu_medium *medium;
	struct hf_emu_cache *cache;      /* NULL: none there */
	struct hf_reservations *reserve; /* NULL: no reservations */
};

static inline uint64_t hf_emu_ns_blocks(const struct hf_emu_ns *ns)
{
	return __atomic_load_n(&ns->blocks, __ATOMIC_ACQUIRE);
}

/* Through the cache where there is one. 0 or -errno, as the medium. */
int hf_emu_ns_read(struct hf_emu_ns *ns, uint64_t offset,
		   const struct iovec *iov, unsigned int iov_count);
int hf_emu_ns_write(struct hf_emu_ns *ns, uint64_t offset,
		    const struct iovec *iov, unsigned int iov_count,
		    bool through);
int hf_emu_ns_zero(struct hf_emu_ns *ns, uint64_t offset, uint64_t len_bytes,
		   bool deallocate);
int hf_emu_ns_flush(struct hf_emu_ns *ns);

/* Not in the table: nobody else knows it. */
int hf_emu_ns_create(struct hf_emu_ns **out, const struct hf_emu *emu,
		     const struct hf_emu_namespace_options *options,
		     uint32_t nsid, uint32_t salt, struct hf_error *err);
/* Flushes first, as well as it can. Safe on NULL. */
void hf_emu_ns_destroy(struct hf_emu_ns *ns);
