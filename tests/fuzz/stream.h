/* SPDX-License-Identifier: BSD-3-Clause */
/* Choices out of a fuzzer's bytes. What is read behind their end is 0, which
 * every reader takes for "nothing special". */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct stream {
	const uint8_t *data;
	size_t len_bytes;
	size_t at;
};

static inline uint8_t stream_u8(struct stream *stream)
{
	return stream->at < stream->len_bytes ? stream->data[stream->at++] : 0;
}

static inline uint16_t stream_u16(struct stream *stream)
{
	uint16_t low = stream_u8(stream);

	return (uint16_t)(low | stream_u8(stream) << 8);
}

static inline uint32_t stream_u32(struct stream *stream)
{
	uint32_t low = stream_u16(stream);

	return low | (uint32_t)stream_u16(stream) << 16;
}
