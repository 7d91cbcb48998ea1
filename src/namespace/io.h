/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O on a namespace: checked, split, turned into commands, and ended once.
 * Knows no way to wait. */
#pragma once

#include "holdfast/io.h"
#include "namespace/namespace.h"

/* Lies in hf_io.private_ while the I/O is lent. */
struct hf_io_state {
	struct hf_waiter waiter;
	struct iovec single;    /* stands for hf_io.buf */
	uint64_t issued_blocks; /* parts up to here have a slot, or had */
	uint32_t range;         /* deallocate: first range not issued */
	uint32_t parts;         /* atomic: under way, and 1 while issuing */
	int first_error;        /* atomic */
	uint16_t record;
	struct hf_qpair *qp;   /* that the parts go to; NULL: none does */
	uint64_t range_blocks; /* deallocate: of that range, issued */
};
static_assert(sizeof(struct hf_io_state) <=
		      sizeof(((struct hf_io *)0)->private_),
	      "the state of an I/O fits where the caller keeps room for it");

/**
 * hf_io_submit() - hand a batch to an issuer
 * @issuer: of the CPU
 * @ios: the batch
 * @count: entries in @ios
 *
 * As hf_submit().
 */
int hf_io_submit(struct hf_issuer *issuer, struct hf_io *const *ios,
		 uint32_t count);

static inline struct hf_io_state *hf_io_state_of(struct hf_io *io)
{
	return (struct hf_io_state *)(void *)io->private_;
}

/* It is holdfast's: in line, or under way. @parts is not looked at, nor set, on
 * the short way; what waits for a queue pair has none yet. */
static inline bool hf_io_is_lent(const struct hf_io *io)
{
	const struct hf_io_state *state = (const void *)io->private_;

	return state->qp != NULL ||
	       __atomic_load_n(&state->parts, __ATOMIC_RELAXED) != 0;
}

/* Sets up the state of an I/O of which nothing is issued yet. */
void hf_io_begin(struct hf_io *io);
/* A command of an I/O has ended; the second for one whose data cannot be
 * reached any more. @ctx is the hf_io. */
void hf_io_part_done(void *ctx, const struct hf_completion *how);
void hf_io_lost_part_done(void *ctx, const struct hf_completion *how);
/* The first one counts; 0 is none. */
void hf_io_note_error(struct hf_io *io, int result);

#define HF_IO_FLAGS                                                            \
	(HF_IO_FUA | HF_IO_NOWAIT | HF_IO_MAY_DEALLOCATE | HF_IO_REPEATABLE)

/* Says where it goes and whom to tell, and nothing that is not understood. */
static inline bool hf_io_is_whole(const struct hf_io *io)
{
	return io->ns != NULL && io->done != NULL &&
	       (io->flags & ~HF_IO_FLAGS) == 0;
}

/* A buffer has a length, and the opcode's lowest bits say that it goes the way
 * that the caller says: a controller would fill what it should have read. */
static inline bool hf_command_is_sound(const struct hf_command *command)
{
	if (command->data == NULL || command->data_len_bytes == 0) {
		return command->data == NULL && command->data_len_bytes == 0;
	}
	return (command->opcode & (command->to_device != 0 ? 1 : 2)) != 0;
}

/* What hf_submit() would refuse it with, or 0. @owner: of the queue; another's
 * namespace would be read and written on the wrong controller. */
int hf_io_check(const struct hf_io *io, const void *owner);
