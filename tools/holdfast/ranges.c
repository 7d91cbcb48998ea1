/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands on blocks that move no data: flush, write-zeroes, deallocate,
 * verify. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <holdfast/io.h>

#include "conn.h"
#include "output.h"
#include "verbs.h"

struct range_options {
	uint64_t lba;
	uint64_t blocks;
	bool fua;
	bool may_deallocate;
};

#define RANGE(field) offsetof(struct range_options, field)

#define RANGE_OPTIONS                                                          \
	{.name = "lba",                                                        \
	 .letter = 'l',                                                        \
	 .kind = ARGS_NUMBER,                                                  \
	 .value = "N",                                                         \
	 .help = "first block",                                                \
	 .offset = RANGE(lba),                                                 \
	 .required = true},                                                    \
	{                                                                      \
		.name = "blocks", .letter = 'b', .kind = ARGS_NUMBER,          \
		.value = "N", .help = "how many", .offset = RANGE(blocks),     \
		.min = 1, .required = true                                     \
	}

static const struct args_option plain_options[] = {
	RANGE_OPTIONS,
	{0},
};

static const struct args_option zero_options[] = {
	RANGE_OPTIONS,
	{.name = "fua",
	 .kind = ARGS_SWITCH,
	 .help = "on the medium before it is reported done",
	 .offset = RANGE(fua)},
	{.name = "deallocate",
	 .kind = ARGS_SWITCH,
	 .help = "the blocks may be deallocated; they read as zeroes all the "
		 "same",
	 .offset = RANGE(may_deallocate)},
	{0},
};

static int do_flush(struct conn *conn, const struct range_options *opt)
{
	(void)opt;
	return hf_flush(conn->ns);
}

static int do_zeroes(struct conn *conn, const struct range_options *opt)
{
	uint32_t flags = 0;

	if (opt->fua) {
		flags |= HF_IO_FUA;
	}
	if (opt->may_deallocate) {
		flags |= HF_IO_MAY_DEALLOCATE;
	}
	return hf_write_zeroes(conn->ns, opt->lba, opt->blocks, flags);
}

static int do_deallocate(struct conn *conn, const struct range_options *opt)
{
	struct hf_range range = {.lba = opt->lba, .blocks = opt->blocks};

	return hf_deallocate(conn->ns, &range, 1);
}

static int do_verify(struct conn *conn, const struct range_options *opt)
{
	return hf_verify(conn->ns, opt->lba, opt->blocks);
}

static void print_done(const struct conn *conn, const struct range_options *opt)
{
	struct json_object *tree = out_object();

	out_text(tree, "done", conn->args->verb->name);
	out_number(tree, "nsid", conn->nsid);
	if (opt->blocks) {
		out_number(tree, "lba", opt->lba);
		out_number(tree, "blocks", opt->blocks);
		out_bytes(tree, "bytes", opt->blocks * conn->info.block_bytes);
	}
	out_print(conn->args, tree);
}

static int run(struct args *args,
	       int (*work)(struct conn *conn, const struct range_options *opt))
{
	struct range_options opt = {0};
	struct conn conn;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	int code = conn_begin(&conn, args, args->operands[0], true);
	if (code != CLI_OK) {
		return code;
	}
	if (opt.blocks) {
		code = conn_check_range(&conn, opt.lba, opt.blocks);
	}
	if (code == CLI_OK) {
		int result = work(&conn, &opt);

		if (result) {
			code = conn_fail(&conn, "the command failed", result);
		} else {
			print_done(&conn, &opt);
		}
	}
	return conn_end(&conn, code);
}

static int flush_run(struct args *args)
{
	return run(args, do_flush);
}

const struct verb verb_flush = {
	.name = "flush",
	.summary = "make completed writes durable",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.example = "holdfast flush vfio-user:/run/nvme.sock",
	.run = flush_run,
};

static int zeroes_run(struct args *args)
{
	return run(args, do_zeroes);
}

const struct verb verb_write_zeroes = {
	.name = "write-zeroes",
	.summary = "zero blocks without sending zeroes",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = zero_options,
	.example = "holdfast write-zeroes 0000:01:00.0 --lba 0 --blocks 1M",
	.run = zeroes_run,
};

static int deallocate_run(struct args *args)
{
	return run(args, do_deallocate);
}

const struct verb verb_deallocate = {
	.name = "deallocate",
	.summary = "say that blocks are no longer needed",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = plain_options,
	.description = "What the blocks read as afterwards is the controller's "
		       "choice; \"write-zeroes --deallocate\" makes it zeroes.",
	.example = "holdfast deallocate 0000:01:00.0 --lba 1M --blocks 64K",
	.run = deallocate_run,
};

static int verify_run(struct args *args)
{
	return run(args, do_verify);
}

const struct verb verb_verify = {
	.name = "verify",
	.summary = "have the controller read blocks and check them",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = plain_options,
	.example = "holdfast verify 0000:01:00.0 --lba 0 --blocks 1M",
	.run = verify_run,
};
