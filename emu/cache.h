/* SPDX-License-Identifier: BSD-3-Clause */
/* A volatile write cache over a medium. Knows no LBA and no command. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/media.h"

struct hf_emu_cache;

/*
 * Blocks that were written and not flushed live in a map over the medium and
 * are gone when the power fails; the medium has what it had. A block that
 * finds no room is written through. All calls may come from several threads.
 */

/**
 * hf_emu_cache_create() - an empty cache over a medium
 * @out: receives the cache
 * @medium: what it stands over; stays the caller's and outlives the cache
 *
 * Return: 0 or -ENOMEM.
 */
int hf_emu_cache_create(struct hf_emu_cache **out,
			struct hf_emu_medium *medium) HF_MUST_CHECK;

/* Loses what was not flushed. Safe on NULL. */
void hf_emu_cache_destroy(struct hf_emu_cache *cache);

/* Sees what was written, flushed or not. Offsets and lengths are multiples of
 * 512 bytes; a piece has 64 bytes or more, or -EINVAL is what comes back. */
int hf_emu_cache_read(struct hf_emu_cache *cache, uint64_t offset,
		      const struct iovec *iov,
		      unsigned int iov_count) HF_MUST_CHECK;

/* @through: onto the medium at once, as forced unit access asks. */
int hf_emu_cache_write(struct hf_emu_cache *cache, uint64_t offset,
		       const struct iovec *iov, unsigned int iov_count,
		       bool through) HF_MUST_CHECK;

int hf_emu_cache_zero(struct hf_emu_cache *cache, uint64_t offset,
		      uint64_t len_bytes, bool deallocate) HF_MUST_CHECK;

/* Everything written before the call is on the medium, and the medium is told
 * to flush. What could not be written stays in the cache. */
int hf_emu_cache_flush(struct hf_emu_cache *cache) HF_MUST_CHECK;

/* The power fails. Commands that are under way may end either way. */
void hf_emu_cache_lose(struct hf_emu_cache *cache);

/* Blocks that would be lost now. */
uint64_t hf_emu_cache_dirty(const struct hf_emu_cache *cache);
