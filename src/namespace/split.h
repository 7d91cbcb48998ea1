/* SPDX-License-Identifier: BSD-3-Clause */
/* Cuts an I/O into commands that the controller takes. Knows no queue state. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "namespace/io.h"

/* One command of an I/O. */
struct hf_split {
	struct hf_request request;
	uint64_t blocks;       /* that it moves the I/O on by */
	uint32_t range;        /* deallocate: first range behind it */
	uint64_t range_blocks; /* and how much of that one is in it */
	bool is_all;           /* the I/O is this one command */
	struct iovec dsm_iov;
	uint8_t dsm[4096]; /* the ranges, as the command carries them */
};

/* Is every part issued? */
bool hf_split_is_done(const struct hf_io *io, const struct hf_io_state *state);

/* The next part: everything but record, done and ctx of its request. */
void hf_split_next(struct hf_split *split, struct hf_io *io,
		   struct hf_io_state *state);

/* The part was issued. */
void hf_split_advance(struct hf_io_state *state, const struct hf_split *split);

/* HF_SLOT_TO_DEVICE, HF_SLOT_REPEATABLE as the I/O asks. */
uint8_t hf_split_slot_flags(const struct hf_io *io);
