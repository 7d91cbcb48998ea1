/* SPDX-License-Identifier: BSD-3-Clause */
/* Little-endian values in memory: the byte order of PCI and NVMe. */
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* Unaligned access to plain bytes. */
static inline uint16_t hf_get_le16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t hf_get_le32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t hf_get_le64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void hf_put_le16(void *p, uint16_t value)
{
	uint16_t v = htole16(value);

	memcpy(p, &v, sizeof(v));
}

static inline void hf_put_le32(void *p, uint32_t value)
{
	uint32_t v = htole32(value);

	memcpy(p, &v, sizeof(v));
}

static inline void hf_put_le64(void *p, uint64_t value)
{
	uint64_t v = htole64(value);

	memcpy(p, &v, sizeof(v));
}

/*
 * Aligned words in memory that the other side writes or reads meanwhile. The
 * acquire load orders what is loaded after it; the release store orders what
 * was stored before it.
 */
static inline uint32_t hf_load_le32_acquire(const uint32_t *p)
{
	return le32toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static inline void hf_store_le32_release(uint32_t *p, uint32_t value)
{
	__atomic_store_n(p, htole32(value), __ATOMIC_RELEASE);
}
