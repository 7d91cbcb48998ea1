/* SPDX-License-Identifier: BSD-3-Clause */
/* The JSON of a VERSION message. Knows no socket. */
#pragma once

#include <stdint.h>

#include "holdfast/error.h"

/* What a side can take; what it does not say stands at its default. */
struct hf_vfu_capabilities {
	uint64_t max_msg_fds;
	uint64_t max_data_xfer_size;
	uint64_t max_dma_maps; /* 0: not said */
	uint64_t pgsizes;
};

/**
 * hf_vfu_json_parse() - capabilities out of a peer's text
 * @text: as it came: @len_bytes of it, with a NUL at the end; may be empty
 * @len_bytes: length with the NUL
 * @caps: receives the capabilities
 * @wrong: receives what is wrong with the text, when it is -EPROTO
 *
 * Return: 0, -EPROTO, or -ENOMEM.
 */
HF_MUST_CHECK int hf_vfu_json_parse(const char *text, uint32_t len_bytes,
				    struct hf_vfu_capabilities *caps,
				    const char **wrong);
