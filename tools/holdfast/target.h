/* SPDX-License-Identifier: BSD-3-Clause */
/* One end of a copy: a namespace, a file or a stream. Knows sizes and how to
 * move one piece; not in which order pieces go. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include <holdfast/io.h>

#include "conn.h"

enum target_kind {
	TARGET_NAMESPACE,
	TARGET_FILE,   /* a regular file or a block device: any order */
	TARGET_STREAM, /* a pipe, a terminal, a socket: in order */
};

#define TARGET_SIZE_UNKNOWN UINT64_MAX
#define TARGET_DEPTH_MAX    1024u

/**
 * struct target - one end
 * @kind: what it is
 * @word: as it was given
 * @name: for messages
 * @begin_bytes: where in it the copy begins
 * @size_bytes: all of it, or TARGET_SIZE_UNKNOWN
 * @block_bytes: begin and pieces are multiples of it
 * @conn: with TARGET_NAMESPACE; the driver may be the other end's
 * @conn_borrowed: the driver is the other end's
 * @queue: with TARGET_NAMESPACE; may be the other end's
 * @queued: I/Os for the next batch
 * @fd: of the others
 * @fresh: what was not written reads as zeroes
 * @stat: of a file that exists
 */
struct target {
	enum target_kind kind;
	const char *word;
	const char *name;
	uint64_t begin_bytes;
	uint64_t size_bytes;
	uint32_t block_bytes;
	struct conn conn;
	bool conn_borrowed;
	struct hf_queue *queue;
	struct hf_io *queued[TARGET_DEPTH_MAX];
	uint32_t queued_count;
	int fd;
	bool fresh;
	struct stat stat;
};

/* Opens a source. Returns an exit code; a failure has been explained. */
int target_open_source(struct target *target, const struct args *args,
		       const char *word);

/**
 * target_probe_destination() - learn of a destination without touching it
 * @target: filled; closed by target_close()
 * @args: for messages
 * @word: as given
 * @source: whose driver is used where both are on one controller
 *
 * Return: an exit code; refused where both ends are the same.
 */
int target_probe_destination(struct target *target, const struct args *args,
			     const char *word, struct target *source);

/**
 * target_prepare_destination() - open and make ready, after all is checked
 * @target: probed
 * @len_bytes: what will be written, or TARGET_SIZE_UNKNOWN
 *
 * A file is made, and emptied when the copy begins at its start.
 */
int target_prepare_destination(struct target *target, uint64_t len_bytes);

/* A file that was made ends where the copy ended, also in a hole. */
int target_finish_destination(struct target *target, uint64_t len_bytes);

/* The queue to the controller; both ends of one controller share it. */
int target_open_queue(struct target *target, struct target *other);

/* Closes everything; @code is returned, or CLI_FAILED if that failed. */
int target_close(struct target *target, int code);

/* Hands the queued I/Os over in one batch; those that are refused end with
 * the reason at once. */
void target_submit(struct target *target);

/**
 * target_next_extent() - is there data or a hole?
 * @target: a source
 * @offset: from the copy's beginning
 * @len_bytes: in: most that is asked for; out: how much is alike
 *
 * Return: true for a hole: zeroes that need not be read.
 */
bool target_next_extent(const struct target *target, uint64_t offset,
			uint64_t *len_bytes);

/* Moves a piece of a file or stream; 0 or an errno. The first sets @got to
 * less than @len_bytes at the end. */
int target_read_now(struct target *target, uint64_t offset, void *buf,
		    uint64_t len_bytes, uint64_t *got);
int target_write_now(struct target *target, uint64_t offset, const void *buf,
		     uint64_t len_bytes);

/* Makes a range of a file read as zeroes; 0 or an errno. */
int target_zero_now(struct target *target, uint64_t offset, uint64_t len_bytes);
