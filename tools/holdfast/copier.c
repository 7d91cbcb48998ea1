/* SPDX-License-Identifier: BSD-3-Clause */
#include "copier.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "interrupted.h"
#include "progress.h"
#include "stamp.h"

/* A hole is written by one command of at most so much. */
#define HOLE_MAX_BYTES (UINT64_C(256) << 20)

enum slot_state {
	SLOT_READING,
	SLOT_LANDED, /* the data is in the buffer, or it is a hole */
	SLOT_WRITING,
	SLOT_DONE,
};

struct copier_slot {
	struct copier *copier;
	enum slot_state state;
	bool hole;
	bool failed;
	uint64_t offset;
	uint64_t len_bytes;    /* of the source */
	uint64_t padded_bytes; /* whole blocks of the destination */
	uint64_t hash;
	uint8_t *buf;
	struct hf_io io;
};

/* What differs between copying and reading back. */
struct pass {
	const char *doing;
	bool in_order;
	/* Sets up the next piece and begins to read it; false at the end. */
	bool (*begin)(struct copier *copier, struct copier_slot *slot);
	/* Does what is to be done with a piece that has landed. */
	void (*land)(struct copier *copier, struct copier_slot *slot);
};

__attribute__((format(printf, 2, 3))) static void fail(struct copier *copier,
						       const char *format, ...)
{
	va_list list;

	if (copier->failed) {
		return; /* the first reason is the one to tell */
	}
	copier->failed = true;
	va_start(list, format);
	vsnprintf(copier->reason, sizeof(copier->reason), format, list);
	va_end(list);
}

static void slot_fail(struct copier_slot *slot, const char *what, int result)
{
	struct copier *copier = slot->copier;
	char text[160];

	slot->failed = true;
	slot->state = SLOT_DONE;
	fail(copier, "%s at byte %" PRIu64 ": %s", what, slot->offset,
	     hf_result_text(result, text, sizeof(text)));
}

/* ------------------------------------------------------------------ memory */

/* Two controllers reach one memory: a memfd that is registered with both.
 * Where that is refused, the driver copies, which is slower and no less
 * right. */
static int share_memory(struct copier *copier, uint64_t len_bytes)
{
	int fd = memfd_create("holdfast-copy", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)len_bytes) != 0) {
		if (fd >= 0) {
			close(fd);
		}
		return cli_fail(copier->args, "out of memory");
	}
	copier->memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd, 0);
	if (copier->memory == MAP_FAILED) {
		copier->memory = NULL;
		close(fd);
		return cli_fail(copier->args, "out of memory");
	}
	copier->memory_shared = true;
	if (hf_dma_register(copier->source->conn.drv, copier->memory, len_bytes,
			    fd, 0, NULL) != 0 ||
	    hf_dma_register(copier->dest->conn.drv, copier->memory, len_bytes,
			    fd, 0, NULL) != 0) {
		cli_note(copier->args, "the two controllers share no memory; "
				       "data is copied on its way");
	}
	close(fd);
	return CLI_OK;
}

static int get_memory(struct copier *copier)
{
	uint64_t len = copier->chunk_bytes * copier->depth;
	struct hf_driver *from = copier->source->conn.drv;
	struct hf_driver *to = copier->dest->conn.drv;
	struct hf_error err = {.message = ""};

	if (from && to && from != to) {
		return share_memory(copier, len);
	}
	copier->memory_owner = from ? from : to;
	if (!copier->memory_owner) {
		copier->memory = aligned_alloc(4096, len);
		return copier->memory ? CLI_OK
				      : cli_fail(copier->args, "out of memory");
	}
	copier->memory = hf_dma_alloc(copier->memory_owner, len, &err);
	return copier->memory ? CLI_OK
			      : cli_fail(copier->args, "%s", err.message);
}

int copier_init(struct copier *copier)
{
	copier->slots = calloc(copier->depth, sizeof(*copier->slots));
	if (!copier->slots) {
		return cli_fail(copier->args, "out of memory");
	}

	int code = get_memory(copier);
	for (uint32_t i = 0; i < copier->depth && code == CLI_OK; i++) {
		copier->slots[i].copier = copier;
		copier->slots[i].buf = copier->memory + i * copier->chunk_bytes;
	}
	return code;
}

void copier_fini(struct copier *copier)
{
	uint64_t len = copier->chunk_bytes * copier->depth;

	if (copier->memory_shared && copier->memory) {
		/* -ENOENT where it was refused to register it. */
		int from = hf_dma_unregister(copier->source->conn.drv,
					     copier->memory, NULL);
		int to = hf_dma_unregister(copier->dest->conn.drv,
					   copier->memory, NULL);

		(void)from;
		(void)to;
		munmap(copier->memory, len);
	} else if (copier->memory_owner) {
		hf_dma_free(copier->memory_owner, copier->memory);
	} else {
		free(copier->memory);
	}
	copier->memory = NULL;
	free(copier->slots);
	free(copier->extents);
}

/* ----------------------------------------------------------------- I/O */

static void read_done(struct hf_io *io, int result)
{
	struct copier_slot *slot = io->user;

	if (result) {
		slot_fail(slot, "reading", result);
	} else {
		slot->state = SLOT_LANDED;
	}
}

static void write_done(struct hf_io *io, int result)
{
	struct copier_slot *slot = io->user;

	if (result) {
		slot_fail(slot, "writing", result);
	} else {
		slot->state = SLOT_DONE;
	}
}

static void queue_io(struct target *target, struct copier_slot *slot,
		     void (*done)(struct hf_io *io, int result))
{
	slot->io.done = done;
	slot->io.user = slot;
	slot->io.cookie = slot->offset;
	target->queued[target->queued_count++] = &slot->io;
}

static uint64_t lba_of(const struct target *target, uint64_t offset)
{
	return (target->begin_bytes + offset) / target->block_bytes;
}

static void read_piece(struct target *target, struct copier_slot *slot,
		       uint64_t len_bytes)
{
	slot->state = SLOT_READING;
	if (target->kind == TARGET_NAMESPACE) {
		hf_io_prep_read(&slot->io, target->conn.ns,
				lba_of(target, slot->offset),
				len_bytes / target->block_bytes, slot->buf);
		queue_io(target, slot, read_done);
		return;
	}

	uint64_t got;
	int error = target_read_now(target, slot->offset, slot->buf, len_bytes,
				    &got);
	if (error) {
		slot_fail(slot, "reading", -error);
		return;
	}
	slot->len_bytes = got;
	slot->state = SLOT_LANDED;
}

/* ------------------------------------------------------------- copying */

static void remember(struct copier *copier, const struct copier_slot *slot)
{
	if (copier->extent_count == copier->extent_room) {
		uint64_t room =
			copier->extent_room ? copier->extent_room * 2 : 1024;
		void *grown = realloc(copier->extents,
				      room * sizeof(*copier->extents));

		if (!grown) {
			fail(copier, "out of memory");
			return;
		}
		copier->extents = grown;
		copier->extent_room = room;
	}
	copier->extents[copier->extent_count++] = (struct copier_extent){
		.offset = slot->offset,
		.len_bytes = slot->padded_bytes,
		.hash = slot->hash,
		.hole = slot->hole,
	};
}

/* A hole as large as can be skipped in whole blocks, or 0. */
static uint64_t hole_ahead(struct copier *copier, uint64_t want,
			   uint64_t *data_bytes)
{
	uint64_t len = want < HOLE_MAX_BYTES ? want : HOLE_MAX_BYTES;
	uint64_t unit = copier->dest->block_bytes;
	bool can = copier->dest->kind != TARGET_NAMESPACE ||
		   copier->dest->conn.info.can_write_zeroes;

	if (!copier->sparse || !can) {
		return 0;
	}
	if (target_next_extent(copier->source, copier->next_offset, &len)) {
		/* At the end, a part of a block is as good as a whole one. */
		return len == want ? len : len - len % unit;
	}
	if (len < *data_bytes) {
		/* Up to the hole, in whole pages, so that it stays one. */
		uint64_t whole = len + (4096 - len % 4096) % 4096;

		*data_bytes = whole < *data_bytes ? whole : *data_bytes;
	}
	return 0;
}

static uint64_t pad(const struct copier *copier, uint64_t len_bytes)
{
	uint64_t unit = copier->dest->block_bytes;

	return len_bytes + (unit - len_bytes % unit) % unit;
}

static bool copy_begin(struct copier *copier, struct copier_slot *slot)
{
	uint64_t want = copier->len_bytes - copier->next_offset;
	uint64_t data = want < copier->chunk_bytes ? want : copier->chunk_bytes;

	if (want == 0) {
		return false;
	}
	slot->offset = copier->next_offset;
	slot->failed = false;

	uint64_t hole = hole_ahead(copier, want, &data);
	slot->hole = hole != 0;
	slot->len_bytes = hole ? hole : data;
	if (hole) {
		slot->state = SLOT_LANDED;
	} else {
		read_piece(copier->source, slot, data);
	}
	if (slot->state == SLOT_LANDED && slot->len_bytes < data && !hole) {
		copier->ended = true;
		if (copier->len_bytes != TARGET_SIZE_UNKNOWN) {
			fail(copier, "%s ended at byte %" PRIu64,
			     copier->source->name,
			     slot->offset + slot->len_bytes);
		}
		if (slot->len_bytes == 0) {
			return false;
		}
	}
	copier->next_offset += slot->len_bytes;
	if (copier->next_offset > copier->room_bytes) {
		fail(copier, "%s has room for %" PRIu64 " bytes only",
		     copier->dest->name, copier->room_bytes);
		return false;
	}
	return true;
}

static void write_hole(struct copier *copier, struct copier_slot *slot)
{
	struct target *dest = copier->dest;

	if (dest->kind == TARGET_NAMESPACE) {
		hf_io_prep(&slot->io, dest->conn.ns, HF_OP_WRITE_ZEROES,
			   lba_of(dest, slot->offset),
			   slot->padded_bytes / dest->block_bytes);
		slot->io.flags |= HF_IO_MAY_DEALLOCATE;
		slot->state = SLOT_WRITING;
		queue_io(dest, slot, write_done);
		return;
	}

	int error = target_zero_now(dest, slot->offset, slot->padded_bytes);
	if (error) {
		slot_fail(slot, "writing", -error);
	} else {
		slot->state = SLOT_DONE;
	}
}

static void write_data(struct copier *copier, struct copier_slot *slot)
{
	struct target *dest = copier->dest;

	if (dest->kind == TARGET_NAMESPACE) {
		hf_io_prep_write(
			&slot->io, dest->conn.ns, lba_of(dest, slot->offset),
			slot->padded_bytes / dest->block_bytes, slot->buf);
		slot->state = SLOT_WRITING;
		queue_io(dest, slot, write_done);
		return;
	}

	int error = target_write_now(dest, slot->offset, slot->buf,
				     slot->padded_bytes);
	if (error) {
		slot_fail(slot, "writing", -error);
	} else {
		slot->state = SLOT_DONE;
	}
}

static void copy_land(struct copier *copier, struct copier_slot *slot)
{
	slot->padded_bytes = pad(copier, slot->len_bytes);
	if (!slot->hole) {
		memset(slot->buf + slot->len_bytes, 0,
		       slot->padded_bytes - slot->len_bytes);
		bool can = copier->dest->kind == TARGET_FILE ||
			   (copier->dest->kind == TARGET_NAMESPACE &&
			    copier->dest->conn.info.can_write_zeroes);
		slot->hole = copier->sparse && can &&
			     stamp_is_zero(slot->buf, slot->padded_bytes);
	}
	if (copier->keep_extents && !slot->hole) {
		slot->hash = stamp_hash(slot->buf, slot->padded_bytes, 0);
	}
	if (slot->hole) {
		write_hole(copier, slot);
	} else {
		write_data(copier, slot);
	}
}

/* --------------------------------------------------------- reading back */

static bool verify_begin(struct copier *copier, struct copier_slot *slot)
{
	if (copier->extent_next == copier->extent_count) {
		return false;
	}

	const struct copier_extent *extent =
		&copier->extents[copier->extent_next];
	uint64_t left = extent->len_bytes - copier->extent_done;
	uint64_t len = left < copier->chunk_bytes ? left : copier->chunk_bytes;

	slot->offset = extent->offset + copier->extent_done;
	slot->len_bytes = len;
	slot->padded_bytes = len;
	slot->hole = extent->hole;
	slot->hash = extent->hash;
	slot->failed = false;
	copier->extent_done += len;
	if (copier->extent_done == extent->len_bytes) {
		copier->extent_next++;
		copier->extent_done = 0;
	}
	read_piece(copier->dest, slot, len);
	return true;
}

static void verify_land(struct copier *copier, struct copier_slot *slot)
{
	bool good = slot->len_bytes == slot->padded_bytes;

	if (good && slot->hole) {
		good = stamp_is_zero(slot->buf, slot->len_bytes);
	} else if (good) {
		good = stamp_hash(slot->buf, slot->len_bytes, 0) == slot->hash;
	}
	if (!good) {
		slot->failed = true;
		fail(copier,
		     "%s reads differently from what was written, between "
		     "bytes %" PRIu64 " and %" PRIu64,
		     copier->dest->name,
		     copier->dest->begin_bytes + slot->offset,
		     copier->dest->begin_bytes + slot->offset +
			     slot->padded_bytes);
	}
	slot->state = SLOT_DONE;
}

/* ---------------------------------------------------------- the pipeline */

static struct copier_slot *slot_at(struct copier *copier, uint64_t sequence)
{
	return &copier->slots[sequence % copier->depth];
}

static bool begin_pieces(struct copier *copier, const struct pass *pass)
{
	bool moved = false;

	while (!copier->ended && !copier->failed &&
	       copier->next - copier->tail < copier->depth) {
		if (interrupted()) {
			fail(copier, "interrupted");
			break;
		}
		if (!pass->begin(copier, slot_at(copier, copier->next))) {
			copier->ended = true;
			break;
		}
		copier->next++;
		moved = true;
	}
	return moved;
}

static bool land_pieces(struct copier *copier, const struct pass *pass)
{
	bool moved = false;

	for (uint64_t i = copier->tail; i < copier->next; i++) {
		struct copier_slot *slot = slot_at(copier, i);

		if (slot->state != SLOT_LANDED) {
			if (pass->in_order && slot->state != SLOT_DONE) {
				break;
			}
			continue;
		}
		if (copier->failed) {
			slot->failed = true;
			slot->state = SLOT_DONE;
		} else {
			pass->land(copier, slot);
		}
		moved = true;
	}
	return moved;
}

/* Counts what is done without a gap; the first failure ends the counting. */
static bool retire_pieces(struct copier *copier, bool copying)
{
	bool moved = false;

	while (copier->tail < copier->next) {
		struct copier_slot *slot = slot_at(copier, copier->tail);

		if (slot->state != SLOT_DONE) {
			break;
		}
		if (slot->failed) {
			copier->failed = true;
		} else if (!copier->failed ||
			   slot->offset == copier->done_bytes) {
			copier->done_bytes += slot->len_bytes;
			if (copying) {
				copier->hole_bytes +=
					slot->hole ? slot->len_bytes : 0;
			}
			if (copying && copier->keep_extents) {
				remember(copier, slot);
			}
		}
		copier->tail++;
		moved = true;
	}
	return moved;
}

static int reap(struct copier *copier)
{
	struct hf_queue *from = copier->source->queue;
	struct hf_queue *to = copier->dest->queue;
	int count = 0;

	if (from) {
		count += hf_reap(from, copier->depth);
	}
	if (to && to != from) {
		count += hf_reap(to, copier->depth);
	}
	return count;
}

static void wait_io(struct copier *copier)
{
	struct hf_queue *from = copier->source->queue;
	struct hf_queue *to = copier->dest->queue;
	struct hf_queue *one = from ? from : to;
	int result;

	if (from && to && from != to) {
		struct pollfd fds[2] = {
			{.fd = hf_queue_fd(from), .events = POLLIN},
			{.fd = hf_queue_fd(to), .events = POLLIN},
		};

		poll(fds, 2, 100);
		return;
	}
	if (one) {
		/* A timeout is as good: the caller looks again. */
		result = hf_queue_wait(one, 100);
		(void)result;
	}
}

static int run_pass(struct copier *copier, const struct pass *pass)
{
	struct progress progress;
	bool copying = pass->begin == copy_begin;
	bool known = copier->len_bytes != TARGET_SIZE_UNKNOWN;
	char total[48] = "";

	copier->next = 0;
	copier->tail = 0;
	copier->ended = false;
	copier->done_bytes = 0;
	progress_begin(&progress, pass->doing, known ? copier->len_bytes : 0);
	/* Ends: each piece ends, bounded by the driver's deadlines. */
	while (!copier->ended || copier->tail < copier->next) {
		bool moved = begin_pieces(copier, pass);

		moved |= land_pieces(copier, pass);
		target_submit(copier->source);
		target_submit(copier->dest);
		moved |= reap(copier) > 0;
		moved |= retire_pieces(copier, copying);
		progress_update(&progress, copier->done_bytes);
		copier->ended |= copier->failed;
		if (!moved && copier->tail < copier->next) {
			wait_io(copier);
		}
	}
	progress_end(&progress);
	if (!copier->failed) {
		return CLI_OK;
	}
	if (known) {
		snprintf(total, sizeof(total), " of %" PRIu64,
			 copier->len_bytes);
	}
	return cli_fail(copier->args,
			"%s stopped after %" PRIu64 "%s bytes: %s", pass->doing,
			copier->done_bytes, total, copier->reason);
}

int copier_run(struct copier *copier)
{
	const struct pass pass = {
		.doing = "copying",
		.in_order = copier->dest->kind == TARGET_STREAM,
		.begin = copy_begin,
		.land = copy_land,
	};

	return run_pass(copier, &pass);
}

int copier_verify(struct copier *copier)
{
	const struct pass pass = {
		.doing = "verifying",
		.begin = verify_begin,
		.land = verify_land,
	};

	copier->extent_next = 0;
	copier->extent_done = 0;
	return run_pass(copier, &pass);
}
