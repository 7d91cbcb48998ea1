/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks in, blocks out, and blocks compared: a few at a time. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <holdfast/io.h>

#include "conn.h"
#include "file.h"
#include "output.h"
#include "verbs.h"

/* One call moves at most so much: big enough for every MDTS, small enough to
 * say where an error is. */
#define PIECE_BYTES (UINT64_C(1) << 20)

/* Input is read whole before the first block is written. */
#define INPUT_MAX_BYTES (UINT64_C(1) << 30)

#define NVME_COMPARE_FAILURE 0x285

static uint64_t piece_blocks(const struct conn *conn)
{
	uint64_t blocks = PIECE_BYTES / conn->info.block_bytes;

	return blocks ? blocks : 1;
}

/* Memory that is not copied on its way; freed with the driver's call. */
static void *piece_alloc(struct conn *conn)
{
	struct hf_error err = {.message = ""};
	uint64_t len = piece_blocks(conn) * conn->info.block_bytes;
	void *memory = hf_dma_alloc(conn->drv, len, &err);

	if (!memory) {
		cli_fail(conn->args, "%s", err.message);
	}
	return memory;
}

static void print_summary(const struct conn *conn, const char *verb,
			  uint64_t lba, uint64_t blocks)
{
	struct json_object *tree = out_object();

	out_text(tree, "done", verb);
	out_number(tree, "nsid", conn->nsid);
	out_number(tree, "lba", lba);
	out_number(tree, "blocks", blocks);
	out_bytes(tree, "bytes", blocks * conn->info.block_bytes);
	out_print(conn->args, tree);
}

static int partly(const struct conn *conn, const char *what, uint64_t lba,
		  uint64_t done, uint64_t blocks, int result)
{
	char text[160];

	return cli_fail(conn->args,
			"%s stopped after %" PRIu64 " of %" PRIu64
			" blocks, at LBA %" PRIu64 ": %s",
			what, done, blocks, lba + done,
			hf_result_text(result, text, sizeof(text)));
}

/* ------------------------------------------------------------------- read */

struct read_options {
	uint64_t lba;
	uint64_t blocks;
	const char *file;
	bool raw;
};

#define READ(field) offsetof(struct read_options, field)

static const struct args_option read_options[] = {
	{.name = "lba",
	 .letter = 'l',
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "first block; 0 by default",
	 .offset = READ(lba)},
	{.name = "blocks",
	 .letter = 'b',
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "how many; 1 by default",
	 .offset = READ(blocks),
	 .min = 1},
	{.name = "output-file",
	 .letter = 'f',
	 .kind = ARGS_TEXT,
	 .value = "FILE",
	 .help = "write the data there; - is standard output",
	 .offset = READ(file)},
	{.name = "raw",
	 .letter = 'r',
	 .kind = ARGS_SWITCH,
	 .help = "write the data to standard output as it is",
	 .offset = READ(raw)},
	{0},
};

/* Where blocks that were read go: a file, the hex dump, the JSON string. */
struct read_sink {
	int fd; /* -1 for none */
	uint8_t *kept;
	uint64_t kept_bytes;
};

static int sink_take(const struct conn *conn, struct read_sink *sink,
		     const uint8_t *data, uint64_t len_bytes, uint64_t offset)
{
	if (sink->fd >= 0) {
		int error = file_write_all(sink->fd, data, len_bytes);

		if (error) {
			return cli_fail(conn->args,
					"cannot write what was read, %" PRIu64
					" bytes came through: %s",
					offset, strerror(error));
		}
	} else if (sink->kept) {
		memcpy(sink->kept + sink->kept_bytes, data, len_bytes);
		sink->kept_bytes += len_bytes;
	} else {
		out_hexdump(data, len_bytes, offset);
	}
	return CLI_OK;
}

static int read_blocks(struct conn *conn, const struct read_options *opt,
		       struct read_sink *sink)
{
	uint64_t block_bytes = conn->info.block_bytes;
	uint8_t *piece = piece_alloc(conn);
	int code = CLI_OK;

	if (!piece) {
		return CLI_FAILED;
	}
	for (uint64_t done = 0; done < opt->blocks && code == CLI_OK;) {
		uint64_t count = piece_blocks(conn);

		if (count > opt->blocks - done) {
			count = opt->blocks - done;
		}

		int result = hf_read(conn->ns, opt->lba + done, count, piece);
		if (result) {
			code = partly(conn, "reading", opt->lba, done,
				      opt->blocks, result);
			break;
		}
		code = sink_take(conn, sink, piece, count * block_bytes,
				 done * block_bytes);
		done += count;
	}
	hf_dma_free(conn->drv, piece);
	return code;
}

static int read_to_json(struct conn *conn, const struct read_options *opt)
{
	struct read_sink sink = {.fd = -1};
	uint64_t bytes = opt->blocks * conn->info.block_bytes;

	if (bytes > 64 * PIECE_BYTES) {
		return cli_fail(conn->args,
				"%" PRIu64 " blocks are too many for JSON; "
				"--output-file accepts any number",
				opt->blocks);
	}
	sink.kept = malloc(bytes);
	if (!sink.kept) {
		return cli_fail(conn->args, "out of memory");
	}

	int code = read_blocks(conn, opt, &sink);
	if (code == CLI_OK) {
		struct json_object *tree = out_object();

		out_number(tree, "nsid", conn->nsid);
		out_number(tree, "lba", opt->lba);
		out_number(tree, "blocks", opt->blocks);
		out_bytes(tree, "bytes", bytes);
		out_digits(tree, "data", sink.kept, bytes);
		out_print(conn->args, tree);
	}
	free(sink.kept);
	return code;
}

static int read_checked(struct conn *conn, const struct read_options *opt)
{
	struct read_sink sink = {.fd = -1};

	int code = conn_check_range(conn, opt->lba, opt->blocks);
	if (code != CLI_OK) {
		return code;
	}
	if (!opt->file && !opt->raw) {
		return conn->args->shared.output == OUT_JSON
			       ? read_to_json(conn, opt)
			       : read_blocks(conn, opt, &sink);
	}

	const char *name = opt->file ? opt->file : "-";
	fflush(stdout);
	sink.fd = file_create(conn->args, name);
	if (sink.fd < 0) {
		return CLI_FAILED;
	}
	code = read_blocks(conn, opt, &sink);

	int closed = file_close(conn->args, name, sink.fd);
	code = code == CLI_OK ? closed : code;
	if (code == CLI_OK && sink.fd != STDOUT_FILENO) {
		print_summary(conn, "read", opt->lba, opt->blocks);
	}
	return code;
}

static int read_run(struct args *args)
{
	struct read_options opt = {.blocks = 1};
	struct conn conn;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}
	if (opt.raw && opt.file) {
		return cli_usage(args, "--raw and --output-file exclude each "
				       "other");
	}

	int code = conn_begin(&conn, args, args->operands[0], true);
	if (code != CLI_OK) {
		return code;
	}
	return conn_end(&conn, read_checked(&conn, &opt));
}

const struct verb verb_read = {
	.name = "read",
	.summary = "read blocks: to a file, or as a hex dump",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = read_options,
	.description = "For whole images, \"copy\" is faster.",
	.example = "holdfast read 0000:01:00.0 --lba 0 --blocks 8\n"
		   "holdfast read 0000:01:00.0 --lba 1M --blocks 2K "
		   "--output-file part.img",
	.run = read_run,
};

/* ------------------------------------------------------ write and compare */

struct write_options {
	uint64_t lba;
	uint64_t blocks;
	const char *input;
	bool fua;
};

#define WRITE(field) offsetof(struct write_options, field)

#define WRITE_OPTIONS                                                          \
	{.name = "lba",                                                        \
	 .letter = 'l',                                                        \
	 .kind = ARGS_NUMBER,                                                  \
	 .value = "N",                                                         \
	 .help = "first block; 0 by default",                                  \
	 .offset = WRITE(lba)},                                                \
		{.name = "blocks",                                             \
		 .letter = 'b',                                                \
		 .kind = ARGS_NUMBER,                                          \
		 .value = "N",                                                 \
		 .help = "how many; as many as the input holds by default",    \
		 .offset = WRITE(blocks),                                      \
		 .min = 1},                                                    \
	{                                                                      \
		.name = "input", .letter = 'i', .kind = ARGS_TEXT,             \
		.value = "FILE",                                               \
		.help = "where the data comes from; - is standard input",      \
		.offset = WRITE(input), .required = true                       \
	}

static const struct args_option write_options[] = {
	WRITE_OPTIONS,
	{.name = "fua",
	 .kind = ARGS_SWITCH,
	 .help = "on the medium before it is reported done",
	 .offset = WRITE(fua)},
	{0},
};

static const struct args_option compare_options[] = {
	WRITE_OPTIONS,
	{0},
};

/* Whole blocks, enough of them, and room for them in the namespace. */
static int check_input(struct conn *conn, struct write_options *opt,
		       const struct file_data *data)
{
	uint64_t block_bytes = conn->info.block_bytes;

	if (!opt->blocks) {
		if (data->len_bytes == 0 || data->len_bytes % block_bytes) {
			return cli_fail(conn->args,
					"%s holds %" PRIu64
					" bytes; whole blocks of %" PRIu64
					" bytes are accepted",
					opt->input, data->len_bytes,
					block_bytes);
		}
		opt->blocks = data->len_bytes / block_bytes;
	}
	if (opt->blocks > data->len_bytes / block_bytes) {
		return cli_fail(conn->args,
				"%s holds %" PRIu64 " bytes, less than "
				"%" PRIu64 " blocks of %" PRIu64 " bytes",
				opt->input, data->len_bytes, opt->blocks,
				block_bytes);
	}
	return conn_check_range(conn, opt->lba, opt->blocks);
}

static int write_piece(struct conn *conn, const struct write_options *opt,
		       uint64_t lba, uint64_t blocks, void *piece)
{
	struct hf_io io;

	hf_io_prep_write(&io, conn->ns, lba, blocks, piece);
	if (opt->fua) {
		io.flags |= HF_IO_FUA;
	}
	return hf_io_wait(&io);
}

static int write_blocks(struct conn *conn, const struct write_options *opt,
			const struct file_data *data)
{
	uint64_t block_bytes = conn->info.block_bytes;
	uint8_t *piece = piece_alloc(conn);

	if (!piece) {
		return CLI_FAILED;
	}
	for (uint64_t done = 0; done < opt->blocks;) {
		uint64_t count = piece_blocks(conn);

		if (count > opt->blocks - done) {
			count = opt->blocks - done;
		}
		memcpy(piece, data->bytes + done * block_bytes,
		       count * block_bytes);

		int result =
			write_piece(conn, opt, opt->lba + done, count, piece);
		if (result) {
			hf_dma_free(conn->drv, piece);
			return partly(conn, "writing", opt->lba, done,
				      opt->blocks, result);
		}
		done += count;
	}
	hf_dma_free(conn->drv, piece);
	print_summary(conn, "write", opt->lba, opt->blocks);
	return CLI_OK;
}

/* Which of the blocks it is, since the controller only says that one is. */
static int name_difference(struct conn *conn, const struct write_options *opt,
			   const struct file_data *data, uint64_t from,
			   uint64_t count, uint8_t *piece)
{
	uint64_t block_bytes = conn->info.block_bytes;

	if (hf_read(conn->ns, opt->lba + from, count, piece) == 0) {
		for (uint64_t i = 0; i < count; i++) {
			if (memcmp(piece + i * block_bytes,
				   data->bytes + (from + i) * block_bytes,
				   block_bytes) != 0) {
				return cli_fail(conn->args,
						"LBA %" PRIu64 " differs from "
						"block %" PRIu64 " of %s",
						opt->lba + from + i, from + i,
						opt->input);
			}
		}
	}
	return cli_fail(
		conn->args,
		"a block from LBA %" PRIu64 " to %" PRIu64 " differs from %s",
		opt->lba + from, opt->lba + from + count - 1, opt->input);
}

static int compare_blocks(struct conn *conn, const struct write_options *opt,
			  const struct file_data *data)
{
	uint64_t block_bytes = conn->info.block_bytes;
	uint8_t *piece = piece_alloc(conn);
	int code = CLI_OK;

	if (!piece) {
		return CLI_FAILED;
	}
	for (uint64_t done = 0; done < opt->blocks && code == CLI_OK;) {
		uint64_t count = piece_blocks(conn);

		if (count > opt->blocks - done) {
			count = opt->blocks - done;
		}
		memcpy(piece, data->bytes + done * block_bytes,
		       count * block_bytes);

		int result =
			hf_compare(conn->ns, opt->lba + done, count, piece);
		if (result > 0 && (result & 0x7ff) == NVME_COMPARE_FAILURE) {
			code = name_difference(conn, opt, data, done, count,
					       piece);
		} else if (result) {
			code = partly(conn, "comparing", opt->lba, done,
				      opt->blocks, result);
		}
		done += count;
	}
	hf_dma_free(conn->drv, piece);
	if (code == CLI_OK) {
		print_summary(conn, "compare", opt->lba, opt->blocks);
	}
	return code;
}

static int with_input(struct args *args,
		      int (*work)(struct conn *conn,
				  const struct write_options *opt,
				  const struct file_data *data))
{
	struct write_options opt = {0};
	struct file_data data;
	struct conn conn;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	int code = conn_parse(&conn, args, args->operands[0]);
	if (code != CLI_OK) {
		return code;
	}
	code = file_load(args, opt.input, INPUT_MAX_BYTES, &data);
	if (code != CLI_OK) {
		return code;
	}
	code = conn_begin(&conn, args, args->operands[0], true);
	if (code == CLI_OK) {
		code = check_input(&conn, &opt, &data);
		if (code == CLI_OK) {
			code = work(&conn, &opt, &data);
		}
		code = conn_end(&conn, code);
	}
	free(data.bytes);
	return code;
}

static int write_run(struct args *args)
{
	return with_input(args, write_blocks);
}

const struct verb verb_write = {
	.name = "write",
	.summary = "write blocks from a file",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = write_options,
	.description = "The input, at most 1 GiB, is read whole and checked "
		       "before the first block is written. For whole images, "
		       "\"copy\" is faster.",
	.example = "holdfast write 0000:01:00.0 --lba 0 --input boot.bin",
	.run = write_run,
};

static int compare_run(struct args *args)
{
	return with_input(args, compare_blocks);
}

const struct verb verb_compare = {
	.name = "compare",
	.summary = "compare blocks with a file, in the controller",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = compare_options,
	.description = "Ends with status 1, and names the first block that "
		       "differs, when they are not the same.",
	.example = "holdfast compare 0000:01:00.0 --lba 0 --input boot.bin",
	.run = compare_run,
};
