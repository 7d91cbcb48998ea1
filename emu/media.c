/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/media.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "emu/media_stripes.h"
#include "emu/pieces.h"

/* A reader that writers keep overtaking takes the lock after this many. */
#define READ_TRIES 16

#if defined(__SANITIZE_THREAD__)
#define READERS_LOCK true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define READERS_LOCK true
#endif
#endif
#ifndef READERS_LOCK
/* The sanitizer cannot know that a read which met a write is thrown away. */
#define READERS_LOCK false
#endif

int hf_emu_media_init(struct hf_emu_medium *medium,
		      const struct hf_emu_media_ops *ops, uint64_t size_bytes,
		      bool leaves_trace, struct hf_error *err)
{
	medium->ops = ops;
	medium->stripes = NULL;
	if (size_bytes == 0 || size_bytes > HF_EMU_MEDIA_MAX_BYTES) {
		return hf_error_set(err, -EINVAL,
				    "a %s medium of %" PRIu64
				    " bytes: the size has to be 1 to %" PRIu64,
				    ops->name, size_bytes,
				    HF_EMU_MEDIA_MAX_BYTES);
	}

	if (leaves_trace) {
		medium->stripes = calloc(1, sizeof(*medium->stripes));
		if (medium->stripes == NULL) {
			return hf_error_set(err, -ENOMEM,
					    "no memory for a %s medium",
					    ops->name);
		}
	}
	__atomic_store_n(&medium->size_bytes, size_bytes, __ATOMIC_RELEASE);
	return 0;
}

void hf_emu_media_close(struct hf_emu_medium *medium)
{
	if (medium == NULL) {
		return;
	}
	free(medium->stripes);
	medium->ops->close(medium);
}

static int check_range(const struct hf_emu_medium *medium, uint64_t offset,
		       const struct iovec *iov, unsigned int iov_count,
		       uint64_t *len_bytes)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < iov_count; i++) {
		if (!hf_add_u64(total, iov[i].iov_len, &total)) {
			return -ERANGE;
		}
	}
	*len_bytes = total;
	return hf_range_within(offset, total, hf_emu_media_size(medium))
		       ? 0
		       : -ERANGE;
}

/* The blocks that a hold from @offset on may cover, and how many bytes. */
static uint32_t hold_size(uint64_t offset, uint64_t len_bytes, size_t *bytes)
{
	uint64_t block = offset / HF_EMU_MEDIA_BLOCK;
	uint64_t most =
		(block + HF_EMU_STRIPE_RANGE_MAX) * HF_EMU_MEDIA_BLOCK - offset;

	*bytes = (size_t)HF_MIN(len_bytes, most);
	return (uint32_t)((offset + *bytes - 1) / HF_EMU_MEDIA_BLOCK - block +
			  1);
}

static int read_hold(struct hf_emu_medium *medium, uint64_t offset,
		     uint32_t blocks, const struct iovec *iov,
		     unsigned int iov_count)
{
	uint64_t block = offset / HF_EMU_MEDIA_BLOCK;
	uint32_t seen[HF_EMU_STRIPE_RANGE_MAX];

	for (int tries = 0; !READERS_LOCK && tries < READ_TRIES; tries++) {
		if (!hf_emu_stripes_read_begin(medium->stripes, block, blocks,
					       seen)) {
			continue;
		}

		int ret = medium->ops->read(medium, offset, iov, iov_count);
		if (ret != 0 || hf_emu_stripes_read_whole(
					medium->stripes, block, blocks, seen)) {
			return ret;
		}
	}

	hf_emu_stripes_lock(medium->stripes, block, blocks);
	int ret = medium->ops->read(medium, offset, iov, iov_count);
	hf_emu_stripes_unlock(medium->stripes, block, blocks);
	return ret;
}

static int write_hold(struct hf_emu_medium *medium, uint64_t offset,
		      uint32_t blocks, const struct iovec *iov,
		      unsigned int iov_count)
{
	uint64_t block = offset / HF_EMU_MEDIA_BLOCK;

	hf_emu_stripes_lock(medium->stripes, block, blocks);
	int ret = medium->ops->write(medium, offset, iov, iov_count);
	hf_emu_stripes_unlock(medium->stripes, block, blocks);
	return ret;
}

static int transfer(struct hf_emu_medium *medium, uint64_t offset,
		    const struct iovec *iov, unsigned int iov_count,
		    uint64_t len_bytes,
		    int (*hold)(struct hf_emu_medium *, uint64_t, uint32_t,
				const struct iovec *, unsigned int))
{
	struct hf_pieces cursor = {.iov = iov, .left = iov_count};
	struct iovec pieces[HF_EMU_MEDIA_IOV_MAX];

	while (len_bytes > 0) {
		size_t bytes;

		hold_size(offset, len_bytes, &bytes);
		unsigned int count = hf_pieces_take(
			&cursor, bytes, pieces, HF_EMU_MEDIA_IOV_MAX, &bytes);
		uint32_t blocks = hold_size(offset, bytes, &bytes);
		int ret = hold(medium, offset, blocks, pieces, count);
		if (ret != 0) {
			return ret;
		}
		offset += bytes;
		len_bytes -= bytes;
	}
	return 0;
}

int hf_emu_media_read(struct hf_emu_medium *medium, uint64_t offset,
		      const struct iovec *iov, unsigned int iov_count)
{
	uint64_t len_bytes;
	int ret = check_range(medium, offset, iov, iov_count, &len_bytes);

	if (ret != 0) {
		return ret;
	}
	if (medium->stripes == NULL) {
		return medium->ops->read(medium, offset, iov, iov_count);
	}
	return transfer(medium, offset, iov, iov_count, len_bytes, read_hold);
}

int hf_emu_media_write(struct hf_emu_medium *medium, uint64_t offset,
		       const struct iovec *iov, unsigned int iov_count)
{
	uint64_t len_bytes;
	int ret = check_range(medium, offset, iov, iov_count, &len_bytes);

	if (ret != 0) {
		return ret;
	}
	if (medium->stripes == NULL) {
		return medium->ops->write(medium, offset, iov, iov_count);
	}
	return transfer(medium, offset, iov, iov_count, len_bytes, write_hold);
}

int hf_emu_media_read_buf(struct hf_emu_medium *medium, uint64_t offset,
			  void *buf, size_t len_bytes)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len_bytes};

	return hf_emu_media_read(medium, offset, &iov, 1);
}

int hf_emu_media_write_buf(struct hf_emu_medium *medium, uint64_t offset,
			   const void *buf, size_t len_bytes)
{
	/* Pieces have no const; a write does not touch them. */
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf,
			    .iov_len = len_bytes};

	return hf_emu_media_write(medium, offset, &iov, 1);
}

static int zero_hold(struct hf_emu_medium *medium, uint64_t offset,
		     uint32_t blocks, size_t len_bytes, bool deallocate)
{
	uint64_t block = offset / HF_EMU_MEDIA_BLOCK;

	hf_emu_stripes_lock(medium->stripes, block, blocks);
	int ret = medium->ops->zero(medium, offset, len_bytes, deallocate);
	hf_emu_stripes_unlock(medium->stripes, block, blocks);
	return ret;
}

int hf_emu_media_zero(struct hf_emu_medium *medium, uint64_t offset,
		      uint64_t len_bytes, bool deallocate)
{
	int ret = 0;

	if (!hf_range_within(offset, len_bytes, hf_emu_media_size(medium))) {
		return -ERANGE;
	}
	if (medium->stripes == NULL) {
		return medium->ops->zero(medium, offset, len_bytes, deallocate);
	}

	/*
	 * The kernel empties whole pages one by one, so whole blocks need no
	 * hold, and a large range stays one call.
	 */
	while (ret == 0 && len_bytes > 0) {
		uint64_t whole = len_bytes - len_bytes % HF_EMU_MEDIA_BLOCK;
		size_t bytes;
		uint32_t blocks = hold_size(offset, len_bytes, &bytes);

		if (hf_is_aligned(offset, HF_EMU_MEDIA_BLOCK) &&
		    whole > bytes) {
			bytes = (size_t)whole;
			ret = medium->ops->zero(medium, offset, whole,
						deallocate);
		} else {
			ret = zero_hold(medium, offset, blocks, bytes,
					deallocate);
		}
		offset += bytes;
		len_bytes -= bytes;
	}
	return ret;
}

int hf_emu_media_flush(struct hf_emu_medium *medium)
{
	return medium->ops->flush(medium);
}

int hf_emu_media_resize(struct hf_emu_medium *medium, uint64_t size_bytes,
			struct hf_error *err)
{
	if (size_bytes == 0 || size_bytes > HF_EMU_MEDIA_MAX_BYTES) {
		return hf_error_set(err, -EINVAL,
				    "resizing a %s medium to %" PRIu64
				    " bytes: the size has to be 1 to %" PRIu64,
				    medium->ops->name, size_bytes,
				    HF_EMU_MEDIA_MAX_BYTES);
	}

	int ret = medium->ops->resize(medium, size_bytes, err);
	if (ret == 0) {
		__atomic_store_n(&medium->size_bytes, size_bytes,
				 __ATOMIC_RELEASE);
	}
	return ret;
}
