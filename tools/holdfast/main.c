/* SPDX-License-Identifier: BSD-3-Clause */
/* holdfast VERB ...: finds the verb, and checks that its output got out. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "help.h"
#include "verbs.h"

struct help_options {
	bool table;
	bool completion;
	bool man;
};

static const struct args_option help_option_table[] = {
	{.name = "completion",
	 .kind = ARGS_SWITCH,
	 .help = "print the completion file for bash",
	 .offset = offsetof(struct help_options, completion)},
	{.name = "man",
	 .kind = ARGS_SWITCH,
	 .help = "print what the manual page says of the verbs",
	 .offset = offsetof(struct help_options, man)},
	{.name = "table",
	 .kind = ARGS_SWITCH,
	 .help = "print every verb and option, one a line",
	 .offset = offsetof(struct help_options, table)},
	{0},
};

static int help_run(struct args *args)
{
	struct help_options opt = {0};

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}
	if (opt.table) {
		help_table();
		return CLI_OK;
	}
	if (opt.man) {
		help_man();
		return CLI_OK;
	}
	if (opt.completion) {
		help_completion();
		return CLI_OK;
	}
	if (args->operand_count == 0) {
		help_overview();
		return CLI_OK;
	}

	const struct verb *verb = verb_find(args->operands[0]);
	if (!verb) {
		return cli_usage(args,
				 "no verb '%s'; 'holdfast --help' lists what "
				 "is accepted",
				 args->operands[0]);
	}
	args_help(verb);
	return CLI_OK;
}

const struct verb verb_help = {
	.name = "help",
	.summary = "show what a verb does",
	.operands = "[VERB]",
	.options = help_option_table,
	.example = "holdfast help copy",
	.run = help_run,
};

/* A full disk or a closed pipe must not look like success. */
static int finish(const struct args *args, int code)
{
	if (fflush(stdout) != 0 || ferror(stdout)) {
		int reason = errno;

		if (code == CLI_OK) {
			return cli_fail(args,
					"cannot write to standard output: %s",
					strerror(reason));
		}
	}
	return code;
}

static int run_verb(int argc, char **argv)
{
	struct args args = {.argc = argc - 1, .argv = argv + 1};

	args.verb = verb_find(argv[1]);
	if (!args.verb) {
		return cli_usage(NULL,
				 "no verb '%s'; 'holdfast --help' lists what "
				 "is accepted",
				 argv[1]);
	}
	return finish(&args, args.verb->run(&args));
}

int main(int argc, char **argv)
{
	/* A reader that went away is told by write(), not by our death. */
	signal(SIGPIPE, SIG_IGN);

	if (argc < 2) {
		return cli_usage(NULL, "needs a verb; 'holdfast --help' lists "
				       "what is accepted");
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		help_overview();
		return finish(NULL, CLI_OK);
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("holdfast " HOLDFAST_VERSION "\n");
		return finish(NULL, CLI_OK);
	}
	return run_verb(argc, argv);
}
