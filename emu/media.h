/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes that stay: a memory, a file, or nothing. Knows no LBA, no command. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

struct hf_emu_medium;

/* Each call takes checked ranges, from any thread, and returns 0 or -errno. */
struct hf_emu_media_ops {
	const char *name;
	int (*read)(struct hf_emu_medium *medium, uint64_t offset,
		    const struct iovec *iov, unsigned int iov_count);
	int (*write)(struct hf_emu_medium *medium, uint64_t offset,
		     const struct iovec *iov, unsigned int iov_count);
	int (*zero)(struct hf_emu_medium *medium, uint64_t offset,
		    uint64_t len_bytes, bool deallocate);
	int (*flush)(struct hf_emu_medium *medium);
	int (*resize)(struct hf_emu_medium *medium, uint64_t size_bytes,
		      struct hf_error *err);
	void (*close)(struct hf_emu_medium *medium);
};

/*
 * What all media share. Each kind has this as its first member.
 * A block of HF_EMU_MEDIA_BLOCK bytes is written as a whole or not at all, as
 * far as any reader can tell: see media_stripes.h.
 */
struct hf_emu_medium {
	const struct hf_emu_media_ops *ops;
	uint64_t size_bytes; /* atomic: a resize may come at any time */
	struct hf_emu_stripes *stripes; /* NULL where writes leave no trace */
};

#define HF_EMU_MEDIA_BLOCK     4096u
#define HF_EMU_MEDIA_IOV_MAX   72u /* most pieces that an operation is given */
#define HF_EMU_MEDIA_MAX_BYTES (UINT64_C(1) << 56)

/* How a file medium is opened. */
struct hf_emu_media_file_options {
	const char *path;
	uint64_t size_bytes;  /* how much of it; 0: all that there is */
	uint32_t block_bytes; /* the size has to be a multiple of this */
	bool create;          /* make it, or make it longer, up to size_bytes */
	bool read_only;
};

/**
 * hf_emu_media_memory() - a medium in anonymous memory, zero where not written
 * @out: receives the medium
 * @size_bytes: its size, 1 or more
 * @err: says why not; may be NULL
 *
 * Room to grow is reserved (address space, not memory).
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int hf_emu_media_memory(struct hf_emu_medium **out, uint64_t size_bytes,
			struct hf_error *err) HF_MUST_CHECK;

/**
 * hf_emu_media_null() - a medium that reads as zeroes and forgets writes
 * @out: receives the medium
 * @size_bytes: its size, 1 or more
 * @err: says why not; may be NULL
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int hf_emu_media_null(struct hf_emu_medium **out, uint64_t size_bytes,
		      struct hf_error *err) HF_MUST_CHECK;

/**
 * hf_emu_media_file() - a medium in a file or a block device
 * @out: receives the medium
 * @options: which and how
 * @err: says why not; may be NULL
 *
 * The file is locked: a second open, in this process or another, is refused
 * until the first is closed.
 *
 * Return: 0, -EBUSY when the image is in use, -EINVAL for a size or a kind of
 * file that cannot serve, or the -errno of the call that failed.
 */
int hf_emu_media_file(struct hf_emu_medium **out,
		      const struct hf_emu_media_file_options *options,
		      struct hf_error *err) HF_MUST_CHECK;

/* Safe on NULL. No call may be under way. */
void hf_emu_media_close(struct hf_emu_medium *medium);

static inline uint64_t hf_emu_media_size(const struct hf_emu_medium *medium)
{
	return __atomic_load_n(&medium->size_bytes, __ATOMIC_ACQUIRE);
}

/**
 * hf_emu_media_read() - fill the pieces from @offset on
 * @medium: from where
 * @offset: first byte
 * @iov: the pieces; their lengths add up to what is read
 * @iov_count: how many
 *
 * Return: 0, -ERANGE beyond the end, -EIO.
 */
int hf_emu_media_read(struct hf_emu_medium *medium, uint64_t offset,
		      const struct iovec *iov,
		      unsigned int iov_count) HF_MUST_CHECK;
int hf_emu_media_write(struct hf_emu_medium *medium, uint64_t offset,
		       const struct iovec *iov,
		       unsigned int iov_count) HF_MUST_CHECK;

/* One piece. */
int hf_emu_media_read_buf(struct hf_emu_medium *medium, uint64_t offset,
			  void *buf, size_t len_bytes) HF_MUST_CHECK;
int hf_emu_media_write_buf(struct hf_emu_medium *medium, uint64_t offset,
			   const void *buf, size_t len_bytes) HF_MUST_CHECK;

/* Afterwards the range reads as zeroes; @deallocate also gives its room back
 * where the medium can. */
int hf_emu_media_zero(struct hf_emu_medium *medium, uint64_t offset,
		      uint64_t len_bytes, bool deallocate) HF_MUST_CHECK;

/* What was written before survives whatever the medium can survive. */
int hf_emu_media_flush(struct hf_emu_medium *medium) HF_MUST_CHECK;

/* Grown bytes read as zeroes; shrunk ones are gone. */
int hf_emu_media_resize(struct hf_emu_medium *medium, uint64_t size_bytes,
			struct hf_error *err) HF_MUST_CHECK;

/* For the three kinds alone: checks a size, and fills what they share. */
int hf_emu_media_init(struct hf_emu_medium *medium,
		      const struct hf_emu_media_ops *ops, uint64_t size_bytes,
		      bool leaves_trace, struct hf_error *err);
