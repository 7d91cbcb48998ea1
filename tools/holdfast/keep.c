/* SPDX-License-Identifier: BSD-3-Clause */
/* A process that does nothing else than hold descriptors. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <holdfast/keeper.h>

#include "conn.h"
#include "output.h"
#include "verbs.h"

#define LISTED_MAX 256

struct keep_options {
	bool list;
	const char *drop;
};

static const struct args_option keep_options[] = {
	{.name = "list",
	 .letter = 'l',
	 .kind = ARGS_SWITCH,
	 .help = "show what the keeper there holds, and end",
	 .offset = offsetof(struct keep_options, list)},
	{.name = "drop",
	 .kind = ARGS_TEXT,
	 .value = "NAME",
	 .help = "have the keeper there let go of a set, and end: its device "
		 "is reset if nobody else holds it",
	 .offset = offsetof(struct keep_options, drop)},
	{0},
};

static int show_list(struct args *args)
{
	static struct hf_keeper_entry entries[LISTED_MAX];
	struct hf_error err = {.message = ""};
	struct json_object *tree = out_object();
	struct json_object *sets = out_array();
	uint32_t count = 0;

	if (hf_keeper_list(args->operands[0], entries, LISTED_MAX, &count,
			   &err) != 0) {
		return cli_fail(args, "%s", err.message);
	}
	for (uint32_t i = 0; i < count && i < LISTED_MAX; i++) {
		struct json_object *set = out_object();

		out_text(set, "name", entries[i].name);
		out_number(set, "descriptors", entries[i].descriptors);
		out_number(set, "pid", (uint64_t)entries[i].pid);
		out_push(sets, set);
	}
	out_add(tree, "sets", sets);
	return out_print(args, tree);
}

/* Many sets of many descriptors. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int keep(struct args *args, int signals)
{
	struct hf_log log = {0};
	struct hf_error err = {.message = ""};
	struct hf_keeper *keeper;

	conn_set_log(args, &log);
	if (hf_keeper_open(&keeper, args->operands[0], &log, &err) != 0) {
		return cli_fail(args, "%s", err.message);
	}
	printf("keeping at %s\n", args->operands[0]);
	fflush(stdout);

	struct pollfd fds[2] = {
		{.fd = signals, .events = POLLIN},
		{.fd = hf_keeper_fd(keeper), .events = POLLIN},
	};
	while (fds[0].revents == 0) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR) {
			break;
		}
		if (fds[1].revents != 0) {
			hf_keeper_process(keeper);
		}
	}
	hf_keeper_close(keeper);
	return CLI_OK;
}

static int keep_run(struct args *args)
{
	struct keep_options opt = {0};
	struct hf_error err = {.message = ""};
	sigset_t signals;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}
	if (opt.list) {
		return show_list(args);
	}
	if (opt.drop) {
		return hf_keeper_drop(args->operands[0], opt.drop, &err) == 0
			       ? CLI_OK
			       : cli_fail(args, "%s", err.message);
	}
	raise_limit();
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	int fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (fd < 0) {
		return cli_fail(args, "signalfd: %s", strerror(errno));
	}
	int code = keep(args, fd);
	close(fd);
	return code;
}

const struct verb verb_keep = {
	.name = "keep",
	.summary = "hold descriptors for processes that may die",
	.operands = "SOCKET",
	.shared = VERB_OUTPUT,
	.options = keep_options,
	.description = "Runs until SIGTERM or SIGINT, and does nothing else: "
		       "a controller whose descriptors are held here lives on "
		       "when the process that drives it does not.",
	.example = "holdfast keep /run/holdfast/keeper.sock\n"
		   "holdfast keep /run/holdfast/keeper.sock --list",
	.run = keep_run,
};
