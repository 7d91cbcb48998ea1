/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/media.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int null_read(struct hf_emu_medium *medium, uint64_t offset,
		     const struct iovec *iov, unsigned int iov_count)
{
	(void)medium;
	(void)offset;
	for (unsigned int i = 0; i < iov_count; i++) {
		memset(iov[i].iov_base, 0, iov[i].iov_len);
	}
	return 0;
}

static int null_write(struct hf_emu_medium *medium, uint64_t offset,
		      const struct iovec *iov, unsigned int iov_count)
{
	(void)medium;
	(void)offset;
	(void)iov;
	(void)iov_count;
	return 0;
}

static int null_zero(struct hf_emu_medium *medium, uint64_t offset,
		     uint64_t len_bytes, bool deallocate)
{
	(void)medium;
	(void)offset;
	(void)len_bytes;
	(void)deallocate;
	return 0;
}

static int null_flush(struct hf_emu_medium *medium)
{
	(void)medium;
	return 0;
}

static int null_resize(struct hf_emu_medium *medium, uint64_t size_bytes,
		       struct hf_error *err)
{
	(void)medium;
	(void)size_bytes;
	(void)err;
	return 0;
}

static void null_close(struct hf_emu_medium *medium)
{
	free(medium);
}

static const struct hf_emu_media_ops null_ops = {
	.name = "null",
	.read = null_read,
	.write = null_write,
	.zero = null_zero,
	.flush = null_flush,
	.resize = null_resize,
	.close = null_close,
};

int hf_emu_media_null(struct hf_emu_medium **out, uint64_t size_bytes,
		      struct hf_error *err)
{
	struct hf_emu_medium *medium = calloc(1, sizeof(*medium));

	if (medium == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "no memory for a null medium");
	}

	int ret = hf_emu_media_init(medium, &null_ops, size_bytes, false, err);
	if (ret != 0) {
		free(medium);
		return ret;
	}
	*out = medium;
	return 0;
}
