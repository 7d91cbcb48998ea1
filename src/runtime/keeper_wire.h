/* SPDX-License-Identifier: BSD-3-Clause */
/* What is said to a keeper and by it: layouts. A set follows a PUT and the
 * answer to a GET; a table follows the answer to a LIST. */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "device/fdset.h"
#include "holdfast/keeper.h"

#define HF_KEEPER_MAGIC UINT64_C(0x3150454546444848) /* "HHDFEEP1" */

enum {
	HF_KEEPER_VERSION = 1,
	HF_KEEPER_SETS_MAX = 256,
	HF_KEEPER_TIMEOUT_MS = 5000,
};

enum hf_keeper_op {
	HF_KEEPER_PUT = 1,
	HF_KEEPER_GET = 2,
	HF_KEEPER_DROP = 3,
	HF_KEEPER_LIST = 4,
	HF_KEEPER_PREVIEW = 5, /* as GET, but a live owner goes on */
	/* As GET of a live owner, on the connection of a preview: what that
	 * showed need not be sent again. */
	HF_KEEPER_GET_REST = 6,
};

struct hf_keeper_request {
	uint64_t magic;
	uint32_t version;
	uint32_t op; /* enum hf_keeper_op */
	char name[HF_KEEPER_NAME_BYTES];
};
static_assert(sizeof(struct hf_keeper_request) == 64, "layout is kept");

struct hf_keeper_answer {
	uint64_t magic;
	uint32_t version;
	int32_t result; /* 0 or a negative errno */
	uint32_t count; /* entries of a list, in the next message */
	uint32_t reserved;
};
static_assert(sizeof(struct hf_keeper_answer) == 24, "layout is kept");
