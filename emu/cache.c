/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/cache.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "emu/pieces.h"

#define BLOCK        HF_EMU_MEDIA_BLOCK
#define SECTOR       512u
#define SHARDS       64u
#define SHARD_BLOCKS 256u /* 64 MiB in all */
#define NO_ENTRY     UINT16_MAX

static_assert(BLOCK / SECTOR == 8, "the mask of an entry has 8 bits");

struct entry {
	uint64_t block;
	uint16_t next; /* in its bucket, or in the free list */
	uint8_t valid; /* a bit for each sector that was written */
};

struct shard {
	pthread_mutex_t lock;
	uint16_t buckets[SHARD_BLOCKS];
	uint16_t free;
	struct entry entries[SHARD_BLOCKS];
};

struct hf_emu_cache {
	struct hf_emu_medium *medium;
	uint64_t dirty; /* atomic: entries in use */
	char *data;     /* one block for each entry of each shard */
	struct shard shards[SHARDS];
};

/* The part of one block that a call is about. */
struct part {
	uint64_t block;
	uint32_t start; /* bytes into the block */
	uint32_t len;
};

static void shard_empty(struct shard *shard)
{
	for (uint16_t i = 0; i < SHARD_BLOCKS; i++) {
		shard->buckets[i] = NO_ENTRY;
		shard->entries[i].valid = 0;
		shard->entries[i].next =
			i + 1u < SHARD_BLOCKS ? (uint16_t)(i + 1) : NO_ENTRY;
	}
	shard->free = 0;
}

int hf_emu_cache_create(struct hf_emu_cache **out, struct hf_emu_medium *medium)
{
	struct hf_emu_cache *cache = calloc(1, sizeof(*cache));

	if (cache == NULL) {
		return -ENOMEM;
	}

	void *data = mmap(NULL, (size_t)SHARDS * SHARD_BLOCKS * BLOCK,
			  PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (data == MAP_FAILED) {
		free(cache);
		return -ENOMEM;
	}

	cache->medium = medium;
	cache->data = data;
	for (unsigned int i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&cache->shards[i].lock, NULL);
		shard_empty(&cache->shards[i]);
	}
	*out = cache;
	return 0;
}

void hf_emu_cache_destroy(struct hf_emu_cache *cache)
{
	if (cache == NULL) {
		return;
	}
	for (unsigned int i = 0; i < SHARDS; i++) {
		pthread_mutex_destroy(&cache->shards[i].lock);
	}
	munmap(cache->data, (size_t)SHARDS * SHARD_BLOCKS * BLOCK);
	free(cache);
}

uint64_t hf_emu_cache_dirty(const struct hf_emu_cache *cache)
{
	return __atomic_load_n(&cache->dirty, __ATOMIC_ACQUIRE);
}

static struct shard *shard_of(struct hf_emu_cache *cache, uint64_t block)
{
	return &cache->shards[block % SHARDS];
}

static uint16_t *bucket_of(struct shard *shard, uint64_t block)
{
	return &shard->buckets[block / SHARDS % SHARD_BLOCKS];
}

static char *data_of(struct hf_emu_cache *cache, const struct shard *shard,
		     const struct entry *entry)
{
	size_t index = (size_t)(shard - cache->shards) * SHARD_BLOCKS +
		       (size_t)(entry - shard->entries);

	return cache->data + index * BLOCK;
}

static struct entry *find(struct shard *shard, uint64_t block)
{
	uint16_t i = *bucket_of(shard, block);

	while (i != NO_ENTRY && shard->entries[i].block != block) {
		i = shard->entries[i].next;
	}
	return i != NO_ENTRY ? &shard->entries[i] : NULL;
}

/* NULL when the shard is full. */
static struct entry *add(struct hf_emu_cache *cache, struct shard *shard,
			 uint64_t block)
{
	uint16_t i = shard->free;

	if (i == NO_ENTRY) {
		return NULL;
	}

	struct entry *entry = &shard->entries[i];
	shard->free = entry->next;
	entry->block = block;
	entry->valid = 0;
	entry->next = *bucket_of(shard, block);
	*bucket_of(shard, block) = i;
	__atomic_fetch_add(&cache->dirty, 1, __ATOMIC_ACQ_REL);
	return entry;
}

static void drop(struct hf_emu_cache *cache, struct shard *shard,
		 struct entry *entry)
{
	uint16_t index = (uint16_t)(entry - shard->entries);
	uint16_t *link = bucket_of(shard, entry->block);

	while (*link != index) {
		link = &shard->entries[*link].next;
	}
	*link = entry->next;
	entry->valid = 0;
	entry->next = shard->free;
	shard->free = index;
	/* Release: who sees none left finds the data on the medium. */
	__atomic_fetch_sub(&cache->dirty, 1, __ATOMIC_ACQ_REL);
}

static struct part part_at(uint64_t offset, uint64_t len_bytes)
{
	uint32_t start = (uint32_t)(offset % BLOCK);

	return (struct part){
		.block = offset / BLOCK,
		.start = start,
		.len = (uint32_t)HF_MIN(len_bytes, BLOCK - start),
	};
}

static uint8_t sectors_of(const struct part *part)
{
	uint32_t first = part->start / SECTOR;
	uint32_t count = part->len / SECTOR;

	return (uint8_t)(((1u << count) - 1) << first);
}

static void overlay(const struct entry *entry, char *data,
		    const struct part *part, const struct iovec *iov,
		    unsigned int iov_count)
{
	for (uint32_t at = part->start; at < part->start + part->len;
	     at += SECTOR) {
		if ((entry->valid & (1u << at / SECTOR)) != 0) {
			hf_pieces_copy(iov, iov_count, at - part->start,
				       data + at, SECTOR, true);
		}
	}
}

static int read_part(struct hf_emu_cache *cache, const struct part *part,
		     const struct iovec *iov, unsigned int iov_count)
{
	struct shard *shard = shard_of(cache, part->block);
	uint8_t wanted = sectors_of(part);
	int ret = 0;

	pthread_mutex_lock(&shard->lock);
	struct entry *entry = find(shard, part->block);
	if (entry == NULL || (entry->valid & wanted) != wanted) {
		ret = hf_emu_media_read(cache->medium,
					part->block * BLOCK + part->start, iov,
					iov_count);
	}
	if (entry != NULL && ret == 0) {
		overlay(entry, data_of(cache, shard, entry), part, iov,
			iov_count);
	}
	pthread_mutex_unlock(&shard->lock);
	return ret;
}

/* The block's part is on the medium, and the cache has no say in it. */
static int write_through(struct hf_emu_cache *cache, struct shard *shard,
			 const struct part *part, const struct iovec *iov,
			 unsigned int iov_count)
{
	struct entry *entry = find(shard, part->block);
	int ret = hf_emu_media_write(cache->medium,
				     part->block * BLOCK + part->start, iov,
				     iov_count);

	if (ret == 0 && entry != NULL) {
		entry->valid &= (uint8_t)~sectors_of(part);
		if (entry->valid == 0) {
			drop(cache, shard, entry);
		}
	}
	return ret;
}

static int write_part(struct hf_emu_cache *cache, const struct part *part,
		      const struct iovec *iov, unsigned int iov_count,
		      bool through)
{
	struct shard *shard = shard_of(cache, part->block);
	struct entry *entry = NULL;
	int ret = 0;

	pthread_mutex_lock(&shard->lock);
	if (!through) {
		entry = find(shard, part->block);
		if (entry == NULL) {
			entry = add(cache, shard, part->block);
		}
	}
	if (entry != NULL) {
		hf_pieces_copy(iov, iov_count, 0,
			       data_of(cache, shard, entry) + part->start,
			       part->len, false);
		entry->valid |= sectors_of(part);
	} else {
		ret = write_through(cache, shard, part, iov, iov_count);
	}
	pthread_mutex_unlock(&shard->lock);
	return ret;
}

static int check(const struct hf_emu_cache *cache, uint64_t offset,
		 uint64_t len_bytes)
{
	if (offset % SECTOR != 0 || len_bytes % SECTOR != 0) {
		return -EINVAL;
	}
	return hf_range_within(offset, len_bytes,
			       hf_emu_media_size(cache->medium))
		       ? 0
		       : -ERANGE;
}

int hf_emu_cache_read(struct hf_emu_cache *cache, uint64_t offset,
		      const struct iovec *iov, unsigned int iov_count)
{
	/* Nothing unflushed, as when the cache is off: straight through. */
	if (hf_emu_cache_dirty(cache) == 0) {
		return hf_emu_media_read(cache->medium, offset, iov, iov_count);
	}

	uint64_t len_bytes = hf_pieces_bytes(iov, iov_count);
	struct hf_pieces pieces = {.iov = iov, .left = iov_count};
	struct iovec taken[HF_EMU_MEDIA_IOV_MAX];
	int ret = check(cache, offset, len_bytes);

	while (ret == 0 && len_bytes > 0) {
		struct part part = part_at(offset, len_bytes);
		size_t got;
		unsigned int count = hf_pieces_take(&pieces, part.len, taken,
						    HF_EMU_MEDIA_IOV_MAX, &got);

		if (got != part.len) {
			return -EINVAL;
		}
		ret = read_part(cache, &part, taken, count);
		offset += part.len;
		len_bytes -= part.len;
	}
	return ret;
}

int hf_emu_cache_write(struct hf_emu_cache *cache, uint64_t offset,
		       const struct iovec *iov, unsigned int iov_count,
		       bool through)
{
	if (through && hf_emu_cache_dirty(cache) == 0) {
		return hf_emu_media_write(cache->medium, offset, iov,
					  iov_count);
	}

	uint64_t len_bytes = hf_pieces_bytes(iov, iov_count);
	struct hf_pieces pieces = {.iov = iov, .left = iov_count};
	struct iovec taken[HF_EMU_MEDIA_IOV_MAX];
	int ret = check(cache, offset, len_bytes);

	while (ret == 0 && len_bytes > 0) {
		struct part part = part_at(offset, len_bytes);
		size_t got;
		unsigned int count = hf_pieces_take(&pieces, part.len, taken,
						    HF_EMU_MEDIA_IOV_MAX, &got);

		if (got != part.len) {
			return -EINVAL;
		}
		ret = write_part(cache, &part, taken, count, through);
		offset += part.len;
		len_bytes -= part.len;
	}
	return ret;
}

/*
 * What the cache has of the block gives way to zeroes. The medium goes first,
 * under the lock: a flush must not bring the old data back, and a reader must
 * not meet what the medium had before them.
 */
static int zero_entry(struct hf_emu_cache *cache, struct shard *shard,
		      struct entry *entry, const struct part *part)
{
	int ret = hf_emu_media_zero(cache->medium,
				    part->block * BLOCK + part->start,
				    part->len, false);

	if (ret == 0) {
		entry->valid &= (uint8_t)~sectors_of(part);
		if (entry->valid == 0) {
			drop(cache, shard, entry);
		}
	}
	return ret;
}

static int zero_shard(struct hf_emu_cache *cache, struct shard *shard,
		      uint64_t offset, uint64_t len_bytes)
{
	uint64_t end = offset + len_bytes;
	int ret = 0;

	pthread_mutex_lock(&shard->lock);
	for (uint16_t i = 0; i < SHARD_BLOCKS && ret == 0; i++) {
		struct entry *entry = &shard->entries[i];
		uint64_t from = entry->block * BLOCK;

		if (entry->valid == 0 ||
		    !hf_ranges_overlap(from, BLOCK, offset, len_bytes)) {
			continue;
		}

		uint64_t first = HF_MAX(from, offset);
		struct part part = part_at(first, end - first);
		ret = zero_entry(cache, shard, entry, &part);
	}
	pthread_mutex_unlock(&shard->lock);
	return ret;
}

static int zero_one(struct hf_emu_cache *cache, const struct part *part)
{
	struct shard *shard = shard_of(cache, part->block);
	int ret = 0;

	pthread_mutex_lock(&shard->lock);
	struct entry *entry = find(shard, part->block);
	if (entry != NULL) {
		ret = zero_entry(cache, shard, entry, part);
	}
	pthread_mutex_unlock(&shard->lock);
	return ret;
}

/* The cached blocks of the range, one by one or shard by shard, whichever
 * looks at less. */
static int zero_cached(struct hf_emu_cache *cache, uint64_t offset,
		       uint64_t len_bytes)
{
	int ret = 0;

	if (len_bytes / BLOCK > (uint64_t)SHARDS * SHARD_BLOCKS) {
		for (unsigned int i = 0; i < SHARDS && ret == 0; i++) {
			ret = zero_shard(cache, &cache->shards[i], offset,
					 len_bytes);
		}
		return ret;
	}
	while (ret == 0 && len_bytes > 0) {
		struct part part = part_at(offset, len_bytes);

		ret = zero_one(cache, &part);
		offset += part.len;
		len_bytes -= part.len;
	}
	return ret;
}

int hf_emu_cache_zero(struct hf_emu_cache *cache, uint64_t offset,
		      uint64_t len_bytes, bool deallocate)
{
	int ret = check(cache, offset, len_bytes);

	if (ret == 0 && hf_emu_cache_dirty(cache) != 0) {
		ret = zero_cached(cache, offset, len_bytes);
	}
	if (ret == 0) {
		ret = hf_emu_media_zero(cache->medium, offset, len_bytes,
					deallocate);
	}
	return ret;
}

static int flush_entry(struct hf_emu_cache *cache, struct shard *shard,
		       struct entry *entry)
{
	const char *data = data_of(cache, shard, entry);
	uint64_t at = entry->block * BLOCK;
	int ret = 0;

	if (entry->valid == UINT8_MAX) {
		ret = hf_emu_media_write_buf(cache->medium, at, data, BLOCK);
	} else {
		for (uint32_t i = 0; i < BLOCK / SECTOR && ret == 0; i++) {
			if ((entry->valid & (1u << i)) != 0) {
				ret = hf_emu_media_write_buf(
					cache->medium, at + i * SECTOR,
					data + i * SECTOR, SECTOR);
			}
		}
	}

	/* Beyond the end: the medium was made shorter, the data went with it.
	 */
	if (ret == 0 || ret == -ERANGE) {
		drop(cache, shard, entry);
		return 0;
	}
	return ret;
}

int hf_emu_cache_flush(struct hf_emu_cache *cache)
{
	int first = 0;

	for (unsigned int i = 0; i < SHARDS && hf_emu_cache_dirty(cache) != 0;
	     i++) {
		struct shard *shard = &cache->shards[i];

		pthread_mutex_lock(&shard->lock);
		for (uint16_t e = 0; e < SHARD_BLOCKS; e++) {
			struct entry *entry = &shard->entries[e];
			int ret = entry->valid != 0
					  ? flush_entry(cache, shard, entry)
					  : 0;

			first = first != 0 ? first : ret;
		}
		pthread_mutex_unlock(&shard->lock);
	}

	int ret = hf_emu_media_flush(cache->medium);
	return first != 0 ? first : ret;
}

void hf_emu_cache_lose(struct hf_emu_cache *cache)
{
	for (unsigned int i = 0; i < SHARDS; i++) {
		struct shard *shard = &cache->shards[i];

		pthread_mutex_lock(&shard->lock);
		for (uint16_t e = 0; e < SHARD_BLOCKS; e++) {
			if (shard->entries[e].valid != 0) {
				drop(cache, shard, &shard->entries[e]);
			}
		}
		pthread_mutex_unlock(&shard->lock);
	}
}
