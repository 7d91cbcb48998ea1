/* SPDX-License-Identifier: BSD-3-Clause */
/* Walks a list of memory pieces. Knows nothing of what is in them. */
#pragma once

#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "base/checked.h"

/* A place in a list of pieces. */
struct hf_pieces {
	const struct iovec *iov;
	unsigned int left; /* pieces, the current one counted */
	size_t used;       /* bytes of the current one */
};

/* Takes up to @want bytes off the front, in at most @max pieces; *@taken says
 * how many bytes. Returns how many pieces @out got. */
static inline unsigned int hf_pieces_take(struct hf_pieces *pieces, size_t want,
					  struct iovec *out, unsigned int max,
					  size_t *taken)
{
	unsigned int count = 0;

	*taken = 0;
	while (*taken < want && pieces->left > 0 && count < max) {
		size_t rest = pieces->iov->iov_len - pieces->used;
		size_t len = HF_MIN(rest, want - *taken);

		if (len > 0) {
			out[count].iov_base =
				(char *)pieces->iov->iov_base + pieces->used;
			out[count].iov_len = len;
			count++;
			*taken += len;
			pieces->used += len;
		}
		if (pieces->used == pieces->iov->iov_len) {
			pieces->iov++;
			pieces->left--;
			pieces->used = 0;
		}
	}
	return count;
}

/* Copies @len bytes that begin @skip bytes into the pieces, out of them or
 * into them. The pieces hold at least that many. */
static inline void hf_pieces_copy(const struct iovec *iov, unsigned int count,
				  size_t skip, char *buf, size_t len,
				  int into_pieces)
{
	for (unsigned int i = 0; i < count && len > 0; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}

		char *at = (char *)iov[i].iov_base + skip;
		size_t part = HF_MIN(iov[i].iov_len - skip, len);
		memcpy(into_pieces ? at : buf, into_pieces ? buf : at, part);
		buf += part;
		len -= part;
		skip = 0;
	}
}

static inline uint64_t hf_pieces_bytes(const struct iovec *iov,
				       unsigned int count)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < count; i++) {
		total += iov[i].iov_len;
	}
	return total;
}
