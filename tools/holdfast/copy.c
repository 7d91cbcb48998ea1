/* SPDX-License-Identifier: BSD-3-Clause */
/* From any address, file or pipe to any other. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "copier.h"
#include "interrupted.h"
#include "output.h"
#include "progress.h"
#include "verbs.h"

struct copy_options {
	uint64_t size;
	uint64_t skip;
	uint64_t seek;
	uint64_t chunk;
	uint64_t depth;
	bool verify;
	bool dense;
};

#define COPY(field) offsetof(struct copy_options, field)

static const struct args_option copy_options[] = {
	{.name = "verify",
	 .kind = ARGS_SWITCH,
	 .help = "read the destination back and compare",
	 .offset = COPY(verify)},
	{.name = "size",
	 .letter = 's',
	 .kind = ARGS_NUMBER,
	 .value = "BYTES",
	 .help = "copy so much; the whole source by default",
	 .offset = COPY(size),
	 .min = 1,
	 .max = INT64_MAX},
	{.name = "skip",
	 .kind = ARGS_NUMBER,
	 .value = "BYTES",
	 .help = "begin there in the source",
	 .offset = COPY(skip),
	 .max = INT64_MAX},
	{.name = "seek",
	 .kind = ARGS_NUMBER,
	 .value = "BYTES",
	 .help = "begin there in the destination; a file is not emptied then",
	 .offset = COPY(seek),
	 .max = INT64_MAX},
	{.name = "dense",
	 .kind = ARGS_SWITCH,
	 .help = "write zeroes as data, instead of making holes of them",
	 .offset = COPY(dense)},
	{.name = "chunk",
	 .kind = ARGS_NUMBER,
	 .value = "BYTES",
	 .help = "size of a piece, a power of two; 256K by default",
	 .offset = COPY(chunk),
	 .min = 4096,
	 .max = 16 << 20},
	{.name = "depth",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "pieces that are under way at a time; 32 by default",
	 .offset = COPY(depth),
	 .min = 1,
	 .max = TARGET_DEPTH_MAX},
	{0},
};

struct copy {
	struct args *args;
	struct copy_options opt;
	struct target source;
	struct target dest;
	struct copier copier;
};

/* ---------------------------------------------------- before all is begun */

static int check_words(struct copy *copy)
{
	struct args *args = copy->args;
	uint64_t chunk = copy->opt.chunk;

	if ((chunk & (chunk - 1)) != 0) {
		return cli_usage(args,
				 "--chunk takes a power of two from 4K to "
				 "16M, not %" PRIu64,
				 chunk);
	}
	if (args->shared.nsid && conn_is_address(args->operands[0]) &&
	    conn_is_address(args->operands[1])) {
		return cli_usage(args, "--namespace does not say of which "
				       "address; ADDRESS#N is accepted for "
				       "each");
	}
	return CLI_OK;
}

/* A namespace is copied from and to in whole blocks. */
static int check_begin(const struct copy *copy, struct target *target,
		       const char *option, uint64_t begin)
{
	if (begin % target->block_bytes) {
		return cli_usage(copy->args,
				 "--%s takes a multiple of %" PRIu32
				 ", the block size of %s, not %" PRIu64,
				 option, target->block_bytes, target->name,
				 begin);
	}
	if (target->kind == TARGET_STREAM && begin) {
		return cli_usage(copy->args,
				 "%s is a stream; --%s is not accepted for it",
				 target->name, option);
	}
	if (target->size_bytes != TARGET_SIZE_UNKNOWN &&
	    begin > target->size_bytes) {
		return cli_usage(copy->args,
				 "--%s takes at most %" PRIu64
				 ", the size of %s, not %" PRIu64,
				 option, target->size_bytes, target->name,
				 begin);
	}
	target->begin_bytes = begin;
	return CLI_OK;
}

static int check_source(struct copy *copy)
{
	struct copier *copier = &copy->copier;
	const struct target *source = &copy->source;
	uint64_t there = TARGET_SIZE_UNKNOWN;

	if (source->size_bytes != TARGET_SIZE_UNKNOWN) {
		there = source->size_bytes - source->begin_bytes;
	}
	copier->len_bytes = copy->opt.size ? copy->opt.size : there;
	if (there != TARGET_SIZE_UNKNOWN && copier->len_bytes > there) {
		return cli_fail(copy->args,
				"--size %" PRIu64 " is more than the %" PRIu64
				" bytes that %s holds from byte %" PRIu64 " on",
				copier->len_bytes, there, source->name,
				source->begin_bytes);
	}
	if (copier->len_bytes != TARGET_SIZE_UNKNOWN &&
	    copier->len_bytes % source->block_bytes) {
		return cli_usage(copy->args,
				 "--size takes a multiple of %" PRIu32
				 ", the block size of %s, not %" PRIu64,
				 source->block_bytes, source->name,
				 copier->len_bytes);
	}
	return CLI_OK;
}

static int check_room(struct copy *copy)
{
	struct copier *copier = &copy->copier;
	const struct target *dest = &copy->dest;

	copier->room_bytes = TARGET_SIZE_UNKNOWN;
	if (dest->size_bytes == TARGET_SIZE_UNKNOWN) {
		return CLI_OK;
	}
	copier->room_bytes = dest->size_bytes - dest->begin_bytes;
	if (copier->len_bytes != TARGET_SIZE_UNKNOWN &&
	    copier->len_bytes > copier->room_bytes) {
		return cli_fail(copy->args,
				"%" PRIu64 " bytes are to be copied; %s has "
				"room for %" PRIu64 " from byte %" PRIu64 " on",
				copier->len_bytes, dest->name,
				copier->room_bytes, dest->begin_bytes);
	}
	return CLI_OK;
}

static int check_pieces(struct copy *copy)
{
	uint64_t chunk = copy->opt.chunk;

	if (chunk % copy->source.block_bytes ||
	    chunk % copy->dest.block_bytes) {
		return cli_usage(copy->args,
				 "--chunk takes a multiple of the block sizes, "
				 "%" PRIu32 " and %" PRIu32 ", not %" PRIu64,
				 copy->source.block_bytes,
				 copy->dest.block_bytes, chunk);
	}
	if (copy->dest.kind == TARGET_NAMESPACE &&
	    copy->dest.conn.info.read_only) {
		return cli_fail(copy->args, "%s is write-protected",
				copy->dest.name);
	}
	if (copy->opt.verify && copy->dest.kind == TARGET_STREAM) {
		return cli_usage(copy->args,
				 "%s cannot be read back; --verify accepts an "
				 "address or a file as destination",
				 copy->dest.name);
	}
	return CLI_OK;
}

static int check_all(struct copy *copy)
{
	int code = check_begin(copy, &copy->source, "skip", copy->opt.skip);

	if (code == CLI_OK) {
		code = check_begin(copy, &copy->dest, "seek", copy->opt.seek);
	}
	if (code == CLI_OK) {
		code = check_source(copy);
	}
	if (code == CLI_OK) {
		code = check_room(copy);
	}
	if (code == CLI_OK) {
		code = check_pieces(copy);
	}
	return code;
}

/* ----------------------------------------------------------------- the copy */

static void print_summary(struct copy *copy, uint64_t took_ns)
{
	struct json_object *tree;
	double seconds = (double)took_ns / 1e9;

	/* Standard output may be the destination. */
	if (copy->dest.fd == 1) {
		return;
	}
	tree = out_object();
	out_text(tree, "source", copy->source.name);
	out_text(tree, "destination", copy->dest.name);
	out_bytes(tree, "bytes", copy->copier.len_bytes);
	out_bytes(tree, "hole_bytes", copy->copier.hole_bytes);
	out_real(tree, "seconds", seconds);
	out_real(tree, "mib_per_second",
		 seconds > 0
			 ? (double)copy->copier.len_bytes / seconds / 1048576
			 : 0);
	out_bool(tree, "verified", copy->opt.verify);
	out_print(copy->args, tree);
}

static int transfer(struct copy *copy)
{
	struct copier *copier = &copy->copier;
	uint64_t began = progress_now_ns();
	int code = copier_init(copier);

	if (code == CLI_OK) {
		code = copier_run(copier);
	}
	if (code == CLI_OK) {
		/* What a stream held is known now. */
		copier->len_bytes = copier->done_bytes;
		code = target_finish_destination(&copy->dest,
						 copier->len_bytes);
	}

	uint64_t took = progress_now_ns() - began;
	if (code == CLI_OK && copy->opt.verify) {
		code = copier_verify(copier);
	}
	copier_fini(copier);
	if (code == CLI_OK) {
		print_summary(copy, took);
	}
	return code;
}

static int copy_opened(struct copy *copy)
{
	struct copier *copier = &copy->copier;
	int code = check_all(copy);

	*copier = (struct copier){
		.args = copy->args,
		.source = &copy->source,
		.dest = &copy->dest,
		.len_bytes = copier->len_bytes,
		.room_bytes = copier->room_bytes,
		.chunk_bytes = copy->opt.chunk,
		.depth = (uint32_t)copy->opt.depth,
		.sparse = !copy->opt.dense,
		.keep_extents = copy->opt.verify,
	};
	if (code == CLI_OK) {
		code = target_open_queue(&copy->source, NULL);
	}
	if (code == CLI_OK) {
		code = target_open_queue(&copy->dest, &copy->source);
	}
	if (code == CLI_OK) {
		code = target_prepare_destination(&copy->dest,
						  copier->len_bytes);
	}
	if (code == CLI_OK) {
		interrupted_catch();
		code = transfer(copy);
	}
	return code;
}

static int copy_run(struct args *args)
{
	static struct copy copy;

	copy = (struct copy){
		.args = args,
		.opt = {.chunk = 256 << 10, .depth = 32},
	};
	if (!args_parse(args, &copy.opt)) {
		return args->exit_code;
	}

	int code = check_words(&copy);
	if (code != CLI_OK) {
		return code;
	}
	code = target_open_source(&copy.source, args, args->operands[0]);
	if (code == CLI_OK) {
		code = target_probe_destination(
			&copy.dest, args, args->operands[1], &copy.source);
	}
	if (code == CLI_OK) {
		code = copy_opened(&copy);
	}
	code = target_close(&copy.dest, code);
	return target_close(&copy.source, code);
}

const struct verb verb_copy = {
	.name = "copy",
	.summary = "copy between addresses, files and pipes",
	.operands = "SOURCE DESTINATION",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = copy_options,
	.description =
		"Each end is an address (ADDRESS#N for one of several "
		"namespaces), a file, or - for standard input or output. "
		"Everything is checked before the first byte is written. Holes "
		"in a file and pieces of zeroes become holes again: "
		"deallocated or zeroed on a namespace, left out of a file, so "
		"that the destination reads the same. The last block of a "
		"namespace is filled up with zeroes. A word that begins like "
		"an address and is a file is written ./WORD.",
	.example = "holdfast copy disk.img 0000:01:00.0 --verify\n"
		   "holdfast copy vfio-user:/run/nvme.sock#2 - | zstd > x.zst\n"
		   "holdfast copy 0000:01:00.0#1 0000:02:00.0#1",
	.run = copy_run,
};
