/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/media.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/list.h"

/* Address space that a medium asks for, so that it can grow where it stands. */
#define RESERVE_BYTES (UINT64_C(64) << 30)

struct media_memory {
	struct hf_emu_medium medium;
	char *bytes;
	uint64_t reserved_bytes;
	uint64_t page_bytes;
};

static struct media_memory *of(struct hf_emu_medium *medium)
{
	return hf_container_of(medium, struct media_memory, medium);
}

static int memory_read(struct hf_emu_medium *medium, uint64_t offset,
		       const struct iovec *iov, unsigned int iov_count)
{
	const char *from = of(medium)->bytes + offset;

	for (unsigned int i = 0; i < iov_count; i++) {
		memcpy(iov[i].iov_base, from, iov[i].iov_len);
		from += iov[i].iov_len;
	}
	return 0;
}

static int memory_write(struct hf_emu_medium *medium, uint64_t offset,
			const struct iovec *iov, unsigned int iov_count)
{
	char *to = of(medium)->bytes + offset;

	for (unsigned int i = 0; i < iov_count; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	return 0;
}

static int memory_zero(struct hf_emu_medium *medium, uint64_t offset,
		       uint64_t len_bytes, bool deallocate)
{
	struct media_memory *m = of(medium);
	uint64_t end = offset + len_bytes;
	uint64_t first = (offset + m->page_bytes - 1) & ~(m->page_bytes - 1);
	uint64_t last = end & ~(m->page_bytes - 1);

	(void)deallocate; /* a page that was given back reads as zeroes */
	if (first >= last) {
		memset(m->bytes + offset, 0, len_bytes);
		return 0;
	}

	memset(m->bytes + offset, 0, first - offset);
	memset(m->bytes + last, 0, end - last);
	if (madvise(m->bytes + first, last - first, MADV_DONTNEED) != 0) {
		memset(m->bytes + first, 0, last - first);
	}
	return 0;
}

static int memory_flush(struct hf_emu_medium *medium)
{
	(void)medium;
	return 0;
}

static int memory_resize(struct hf_emu_medium *medium, uint64_t size_bytes,
			 struct hf_error *err)
{
	struct media_memory *m = of(medium);
	uint64_t old_bytes = hf_emu_media_size(medium);

	if (size_bytes > m->reserved_bytes) {
		return hf_error_set(err, -ENOSPC,
				    "resizing a memory medium to %" PRIu64
				    " bytes: it can grow to %" PRIu64
				    ", what was reserved when it was made",
				    size_bytes, m->reserved_bytes);
	}
	if (size_bytes < old_bytes) {
		/* A command that was under way may yet write here: growing
		 * again clears it once more. */
		memory_zero(medium, size_bytes, old_bytes - size_bytes, true);
	} else {
		memory_zero(medium, old_bytes, size_bytes - old_bytes, true);
	}
	return 0;
}

static void memory_close(struct hf_emu_medium *medium)
{
	struct media_memory *m = of(medium);

	munmap(m->bytes, m->reserved_bytes);
	free(m);
}

static const struct hf_emu_media_ops memory_ops = {
	.name = "memory",
	.read = memory_read,
	.write = memory_write,
	.zero = memory_zero,
	.flush = memory_flush,
	.resize = memory_resize,
	.close = memory_close,
};

/* As much of the wish as there is, never less than the size. */
static char *reserve(uint64_t size_bytes, uint64_t *reserved_bytes)
{
	uint64_t want = HF_MAX(size_bytes, RESERVE_BYTES);

	for (;;) {
		void *p = mmap(NULL, want, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			       0);
		if (p != MAP_FAILED) {
			/* A dump of the process is about the process. */
			madvise(p, want, MADV_DONTDUMP);
			*reserved_bytes = want;
			return p;
		}
		if (want == size_bytes) {
			return NULL;
		}
		want = HF_MAX(size_bytes, want / 2);
	}
}

int hf_emu_media_memory(struct hf_emu_medium **out, uint64_t size_bytes,
			struct hf_error *err)
{
	struct media_memory *m = calloc(1, sizeof(*m));

	if (m == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "no memory for a memory medium");
	}

	int ret = hf_emu_media_init(&m->medium, &memory_ops, size_bytes, true,
				    err);
	if (ret != 0) {
		free(m);
		return ret;
	}

	m->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	m->bytes = reserve(size_bytes, &m->reserved_bytes);
	if (m->bytes == NULL) {
		free(m->medium.stripes);
		free(m);
		return hf_error_set(err, -ENOMEM,
				    "a memory medium of %" PRIu64
				    " bytes: no room for it in this process",
				    size_bytes);
	}
	*out = &m->medium;
	return 0;
}
