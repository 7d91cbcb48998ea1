/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs that speak to a serving process by its name. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "output.h"
#include "verbs.h"

/* A successor that says nothing for so long does not come. */
#define START_MS 30000

struct ctl_options {
	const char *runtime_dir;
	const char *program;
	bool keepalive;
};

#define RUNTIME_DIR                                                            \
	{                                                                      \
		.name = "runtime-dir", .kind = ARGS_TEXT,                      \
		.value = "DIRECTORY",                                          \
		.help = "where its socket is; /run/holdfast, or holdfast "     \
			"under $XDG_RUNTIME_DIR",                              \
		.offset = offsetof(struct ctl_options, runtime_dir)            \
	}

static const struct args_option status_options[] = {RUNTIME_DIR, {0}};

static const struct args_option stop_options[] = {
	{.name = "keepalive",
	 .kind = ARGS_SWITCH,
	 .help = "leave the controller running, with its keeper: whoever "
		 "serves next goes on",
	 .offset = offsetof(struct ctl_options, keepalive)},
	RUNTIME_DIR,
	{0},
};

static const struct args_option upgrade_options[] = {
	{.name = "program",
	 .kind = ARGS_TEXT,
	 .value = "FILE",
	 .help = "the new version; the file that this program was run from",
	 .offset = offsetof(struct ctl_options, program)},
	RUNTIME_DIR,
	{0},
};

static int show(const struct args *args, char *text)
{
	struct json_object *tree = json_tokener_parse(text);

	free(text);
	if (!tree) {
		return cli_fail(args, "the answer is not JSON");
	}
	return out_print(args, tree);
}

static int ask_and_show(struct args *args, const struct ctl_options *opt,
			const char *question)
{
	char path[CONTROL_PATH_BYTES];
	char *answer = NULL;
	int code =
		control_path(args, opt->runtime_dir, args->operands[0], path);

	if (code == CLI_OK) {
		code = control_ask(args, path, question, &answer);
	}
	return code == CLI_OK ? show(args, answer) : code;
}

static int status_run(struct args *args)
{
	struct ctl_options opt = {0};

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}
	return ask_and_show(args, &opt, "status");
}

static int stop_run(struct args *args)
{
	struct ctl_options opt = {0};

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}
	return ask_and_show(args, &opt,
			    opt.keepalive ? "stop --keepalive" : "stop");
}

/* ------------------------------------------------------------- the upgrade */

static void become_successor(const struct args *args,
			     const struct ctl_options *opt, const char *program,
			     int output)
{
	const char *const words[] = {
		"holdfast",       "serve",
		"--name",         args->operands[0],
		"--successor",    opt->runtime_dir ? "--runtime-dir" : NULL,
		opt->runtime_dir, NULL,
	};

	/* It outlives the terminal that this was typed on. */
	setsid();
	dup2(output, STDOUT_FILENO);
	execv(program, (char *const *)words);
	cli_fail(args, "%s: %s", program, strerror(errno));
	_exit(CLI_FAILED);
}

/* One line says that it has the device; the end of its output, that it has
 * not. */
static int wait_until_serving(const struct args *args, int input)
{
	struct pollfd wait = {.fd = input, .events = POLLIN};
	char line[128];

	if (poll(&wait, 1, START_MS) != 1) {
		return cli_fail(args, "the successor did not take over within "
				      "30 seconds");
	}
	return read(input, line, sizeof(line)) > 0
		       ? CLI_OK
		       : cli_fail(args,
				  "the successor did not take over; the old "
				  "process goes on");
}

static int start_successor(struct args *args, const struct ctl_options *opt)
{
	char program[4096] = "";
	int ends[2];

	if (opt->program) {
		snprintf(program, sizeof(program), "%s", opt->program);
	} else if (readlink("/proc/self/exe", program, sizeof(program) - 1) <
		   0) {
		return cli_fail(args, "/proc/self/exe: %s", strerror(errno));
	}
	if (pipe(ends) != 0) {
		return cli_fail(args, "pipe: %s", strerror(errno));
	}
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		become_successor(args, opt, program, ends[1]);
	}
	close(ends[1]);
	int code = pid < 0 ? cli_fail(args, "fork: %s", strerror(errno))
			   : wait_until_serving(args, ends[0]);
	close(ends[0]);
	if (pid > 0 && code != CLI_OK) {
		waitpid(pid, NULL, WNOHANG);
	}
	return code;
}

/* A successor that is no child of the service manager would be one too many:
 * the manager would start another one when it sees the old one end. */
static int refuse_managed(struct args *args, const char *path)
{
	struct json_object *manager = NULL;
	char *answer = NULL;
	int code = control_ask(args, path, "status", &answer);

	if (code != CLI_OK) {
		return code;
	}
	struct json_object *tree = json_tokener_parse(answer);
	/* An older version says nothing of it. */
	if (json_object_object_get_ex(tree, "manager", &manager) &&
	    json_object_is_type(manager, json_type_string) &&
	    strcmp(json_object_get_string(manager), "systemd") == 0) {
		code = cli_fail(args,
				"'%s' is a service of systemd, which would not "
				"know its successor: 'systemctl reload' of its "
				"unit (SIGHUP) has it execute the new version "
				"in place",
				args->operands[0]);
	}
	json_object_put(tree);
	free(answer);
	return code;
}

static int upgrade_run(struct args *args)
{
	struct ctl_options opt = {0};
	char path[CONTROL_PATH_BYTES];

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}
	int code = control_path(args, opt.runtime_dir, args->operands[0], path);
	if (code == CLI_OK && !control_is_live(path)) {
		code = cli_fail(args, "%s: nobody serves '%s'", path,
				args->operands[0]);
	}
	if (code == CLI_OK) {
		code = refuse_managed(args, path);
	}
	if (code == CLI_OK) {
		code = start_successor(args, &opt);
	}
	return code == CLI_OK ? ask_and_show(args, &opt, "status") : code;
}

const struct verb verb_upgrade = {
	.name = "upgrade",
	.summary = "replace a serving process by a new one",
	.operands = "NAME",
	.shared = VERB_OUTPUT,
	.options = upgrade_options,
	.description =
		"Starts the new process, and when it is ready to restore, has "
		"the old one hand over. Commands that are under way stay so, "
		"and end in the new process. Where the new one does not make "
		"it, the old one goes on. A service of systemd is upgraded by "
		"'systemctl reload' in place of this.",
	.example = "holdfast upgrade disk0",
	.run = upgrade_run,
};

const struct verb verb_status = {
	.name = "status",
	.summary = "how a serving process and its load stand",
	.operands = "NAME",
	.shared = VERB_OUTPUT,
	.options = status_options,
	.example = "holdfast status disk0 --output json",
	.run = status_run,
};

const struct verb verb_stop = {
	.name = "stop",
	.summary = "end a serving process",
	.operands = "NAME",
	.shared = VERB_OUTPUT,
	.options = stop_options,
	.description =
		"Waits for what is under way, reads everything that was "
		"written once more, shuts the controller down, and shows how "
		"the load ended. With --keepalive, the controller is left "
		"running, and what is under way stays under way.",
	.example = "holdfast stop disk0",
	.run = stop_run,
};
