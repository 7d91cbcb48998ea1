/* SPDX-License-Identifier: BSD-3-Clause */
/* Any admin or I/O command, given as numbers. */
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

/* One command's data, at most: more than any MDTS allows in practice. */
#define DATA_MAX_BYTES (UINT64_C(64) << 20)

struct passthru_options {
	uint64_t opcode;
	uint64_t cdw2;
	uint64_t cdw3;
	uint64_t cdw10;
	uint64_t cdw11;
	uint64_t cdw12;
	uint64_t cdw13;
	uint64_t cdw14;
	uint64_t cdw15;
	uint64_t data_len;
	uint64_t timeout_ms;
	const char *input;
	const char *output_file;
	bool read;
	bool write;
	bool raw;
	bool show;
	bool dry_run;
};

/* Kept behind the options: --namespace-id takes what --namespace does not. */
struct passthru_values {
	struct passthru_options opt;
	uint64_t namespace_id;
};

#define PASS(field) offsetof(struct passthru_options, field)

#define DWORD(word, short_form, field)                                         \
	{                                                                      \
		.name = word, .letter = short_form, .kind = ARGS_NUMBER,       \
		.value = "N", .help = "that command dword; 0 by default",      \
		.offset = PASS(field), .max = UINT32_MAX                       \
	}

static const struct args_option passthru_options[] = {
	{.name = "opcode",
	 .letter = 'O',
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "the command's opcode",
	 .offset = PASS(opcode),
	 .max = 255,
	 .required = true},
	{.name = "namespace-id",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "the same as --namespace; 0 and 0xffffffff are accepted",
	 .offset = offsetof(struct passthru_values, namespace_id),
	 .max = UINT32_MAX},
	DWORD("cdw2", '2', cdw2),
	DWORD("cdw3", '3', cdw3),
	DWORD("cdw10", '4', cdw10),
	DWORD("cdw11", '5', cdw11),
	DWORD("cdw12", '6', cdw12),
	DWORD("cdw13", '7', cdw13),
	DWORD("cdw14", '8', cdw14),
	DWORD("cdw15", '9', cdw15),
	{.name = "data-len",
	 .letter = 'l',
	 .kind = ARGS_NUMBER,
	 .value = "BYTES",
	 .help = "the command moves so much data, with --read or --write",
	 .offset = PASS(data_len),
	 .max = DATA_MAX_BYTES},
	{.name = "read",
	 .letter = 'r',
	 .kind = ARGS_SWITCH,
	 .help = "the data comes from the controller",
	 .offset = PASS(read)},
	{.name = "write",
	 .letter = 'w',
	 .kind = ARGS_SWITCH,
	 .help = "the data goes to the controller",
	 .offset = PASS(write)},
	{.name = "input-file",
	 .letter = 'i',
	 .kind = ARGS_TEXT,
	 .value = "FILE",
	 .help = "the data to send; - is standard input",
	 .offset = PASS(input)},
	{.name = "output-file",
	 .letter = 'f',
	 .kind = ARGS_TEXT,
	 .value = "FILE",
	 .help = "write the data that came there; - is standard output",
	 .offset = PASS(output_file)},
	{.name = "raw-binary",
	 .letter = 'b',
	 .kind = ARGS_SWITCH,
	 .help = "write the data that came to standard output as it is",
	 .offset = PASS(raw)},
	{.name = "timeout",
	 .letter = 't',
	 .kind = ARGS_DURATION,
	 .value = "TIME",
	 .help = "give up after this time: 5, 5s, 200ms, 2m",
	 .offset = PASS(timeout_ms),
	 .min = 1,
	 .max = 86400000},
	{.name = "show-command",
	 .letter = 's',
	 .kind = ARGS_SWITCH,
	 .help = "show the command's fields on standard error first",
	 .offset = PASS(show)},
	{.name = "dry-run",
	 .letter = 'd',
	 .kind = ARGS_SWITCH,
	 .help = "check everything and send nothing",
	 .offset = PASS(dry_run)},
	{0},
};

/* Directions, lengths and files that fit each other. */
static int check(struct args *args, const struct passthru_options *opt)
{
	if (opt->read && opt->write) {
		return cli_usage(args, "--read and --write exclude each other");
	}
	if (opt->data_len && !opt->read && !opt->write) {
		return cli_usage(args, "--data-len needs --read or --write");
	}
	if ((opt->read || opt->write) && !opt->data_len) {
		return cli_usage(args, "--%s needs --data-len",
				 opt->read ? "read" : "write");
	}
	if (opt->input && !opt->write) {
		return cli_usage(args, "--input-file needs --write");
	}
	if ((opt->output_file || opt->raw) && !opt->read) {
		return cli_usage(args, "--%s needs --read",
				 opt->raw ? "raw-binary" : "output-file");
	}
	if (opt->output_file && opt->raw) {
		return cli_usage(args, "--output-file and --raw-binary exclude "
				       "each other");
	}
	/* Bits 1:0 of an opcode are its transfer direction. */
	unsigned int direction = opt->opcode & 3;
	if ((direction == 1 && opt->read) || (direction == 2 && opt->write)) {
		return cli_usage(args,
				 "opcode 0x%02" PRIx64
				 " moves data the other way: --%s is accepted",
				 opt->opcode,
				 direction == 1 ? "write" : "read");
	}
	return CLI_OK;
}

static void show_command(const struct hf_command *command)
{
	fprintf(stderr,
		"opcode   %02x\nnsid     %08" PRIx32 "\ncdw2     %08" PRIx32
		"\ncdw3     %08" PRIx32 "\n",
		command->opcode, command->nsid, command->cdw2, command->cdw3);
	fprintf(stderr,
		"cdw10    %08" PRIx32 "\ncdw11    %08" PRIx32
		"\ncdw12    %08" PRIx32 "\ncdw13    %08" PRIx32
		"\ncdw14    %08" PRIx32 "\ncdw15    %08" PRIx32 "\n",
		command->cdw10, command->cdw11, command->cdw12, command->cdw13,
		command->cdw14, command->cdw15);
	fprintf(stderr, "data_len %" PRIu32 "\n", command->data_len_bytes);
}

static void fill(struct hf_command *command, const struct args *args,
		 const struct passthru_options *opt)
{
	*command = (struct hf_command){
		.opcode = (uint8_t)opt->opcode,
		.nsid = (uint32_t)args->shared.nsid,
		.cdw2 = (uint32_t)opt->cdw2,
		.cdw3 = (uint32_t)opt->cdw3,
		.cdw10 = (uint32_t)opt->cdw10,
		.cdw11 = (uint32_t)opt->cdw11,
		.cdw12 = (uint32_t)opt->cdw12,
		.cdw13 = (uint32_t)opt->cdw13,
		.cdw14 = (uint32_t)opt->cdw14,
		.cdw15 = (uint32_t)opt->cdw15,
		.data_len_bytes = (uint32_t)opt->data_len,
		.to_device = opt->write,
		.timeout_ms = (uint32_t)opt->timeout_ms,
	};
}

/* ------------------------------------------------------------- the output */

static int print_data(struct args *args, const struct passthru_options *opt,
		      const struct hf_command *command)
{
	const char *name = opt->output_file ? opt->output_file : "-";

	fflush(stdout);
	int fd = file_create(args, name);
	if (fd < 0) {
		return CLI_FAILED;
	}

	int error = file_write_all(fd, command->data, command->data_len_bytes);
	int code = file_close(args, name, fd);
	if (error) {
		return cli_fail(args, "cannot write %s: %s", name,
				strerror(error));
	}
	return code;
}

static int print_result(struct args *args, const struct passthru_options *opt,
			const struct hf_command *command)
{
	bool to_stdout = opt->raw ||
			 (opt->output_file && !strcmp(opt->output_file, "-"));
	bool json = args->shared.output == OUT_JSON;

	if (opt->raw || opt->output_file) {
		int code = print_data(args, opt, command);

		if (code != CLI_OK || to_stdout) {
			return code;
		}
	}

	struct json_object *tree = out_object();
	out_hex(tree, "opcode", command->opcode);
	out_hex(tree, "nsid", command->nsid);
	out_hex(tree, "result", command->result);
	out_hex(tree, "result_hi", command->result_hi);
	bool shown = opt->read && !opt->output_file;
	if (shown && json) {
		out_digits(tree, "data", command->data,
			   command->data_len_bytes);
	}
	out_print(args, tree);
	if (shown && !json) {
		out_hexdump(command->data, command->data_len_bytes, 0);
	}
	return CLI_OK;
}

/* --------------------------------------------------------------- the work */

static int send(struct conn *conn, struct hf_command *command, bool admin)
{
	struct hf_error err = {.message = ""};

	if (admin) {
		if (hf_admin_command(conn->drv, command, &err)) {
			return cli_fail(conn->args, "%s", err.message);
		}
		return CLI_OK;
	}

	int result = hf_io_command(conn->drv, command);
	if (result) {
		return conn_fail(conn, "the command failed", result);
	}
	return CLI_OK;
}

static int execute(struct args *args, const struct passthru_options *opt,
		   struct hf_command *command, bool admin)
{
	struct conn conn;
	int code = conn_parse(&conn, args, args->operands[0]);

	if (code != CLI_OK) {
		return code;
	}
	/* An address may name the namespace, too. */
	if (conn.nsid) {
		command->nsid = conn.nsid;
	}
	if (opt->show || opt->dry_run) {
		show_command(command);
	}
	code = conn_open(&conn, NULL);
	if (code == CLI_OK && !opt->dry_run) {
		code = send(&conn, command, admin);
		if (code == CLI_OK) {
			code = print_result(args, opt, command);
		}
	}
	return conn_end(&conn, code);
}

/* The buffer, filled from the input where the command sends data. */
static int prepare_data(struct args *args, const struct passthru_options *opt,
			struct hf_command *command)
{
	struct file_data input = {0};

	if (!opt->data_len) {
		return CLI_OK;
	}
	command->data = calloc(1, opt->data_len);
	if (!command->data) {
		return cli_fail(args, "out of memory");
	}
	if (!opt->write) {
		return CLI_OK;
	}

	int code = file_load(args, opt->input ? opt->input : "-",
			     DATA_MAX_BYTES, &input);
	if (code == CLI_OK && input.len_bytes < opt->data_len) {
		code = cli_fail(args,
				"the input holds %" PRIu64
				" bytes; --data-len says %" PRIu64,
				input.len_bytes, opt->data_len);
	} else if (code == CLI_OK) {
		memcpy(command->data, input.bytes, opt->data_len);
	}
	free(input.bytes);
	return code;
}

static int run(struct args *args, bool admin)
{
	struct passthru_values values = {0};
	struct hf_command command;

	if (!args_parse(args, &values)) {
		return args->exit_code;
	}
	if (args_given(args, "namespace-id")) {
		args->shared.nsid = values.namespace_id;
	}

	int code = check(args, &values.opt);
	if (code != CLI_OK) {
		return code;
	}
	fill(&command, args, &values.opt);
	code = prepare_data(args, &values.opt, &command);
	if (code == CLI_OK) {
		code = execute(args, &values.opt, &command, admin);
	}
	free(command.data);
	return code;
}

static int admin_run(struct args *args)
{
	return run(args, true);
}

#define PASSTHRU_DESCRIPTION                                                   \
	"Data that comes is shown as a hex dump, in JSON as digits, unless "   \
	"--raw-binary or --output-file is given. Data to send is read from "   \
	"--input-file, else from standard input."

const struct verb verb_admin_passthru = {
	.name = "admin-passthru",
	.summary = "send any admin command",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = passthru_options,
	.description = PASSTHRU_DESCRIPTION
	" Commands that would pull the rug from under the driver are refused: "
	"creating and deleting queues, Asynchronous Event Request, Doorbell "
	"Buffer Config, Controller Data Queue, Abort of the admin queue's "
	"commands, and setting Number of Queues, Keep Alive Timer or Host "
	"Memory Buffer.",
	.example = "holdfast admin-passthru 0000:01:00.0 --opcode 6 "
		   "--cdw10 1 --data-len 4096 --read",
	.run = admin_run,
};

static int io_run(struct args *args)
{
	return run(args, false);
}

const struct verb verb_io_passthru = {
	.name = "io-passthru",
	.summary = "send any I/O command",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = passthru_options,
	.description = PASSTHRU_DESCRIPTION,
	.example = "holdfast io-passthru 0000:01:00.0 --opcode 2 "
		   "--namespace 1 --cdw10 0 --cdw12 7 --data-len 4096 --read",
	.run = io_run,
};
