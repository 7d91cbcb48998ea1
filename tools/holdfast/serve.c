/* SPDX-License-Identifier: BSD-3-Clause */
/* A process that owns a controller, and hands it on: the front of it, signals
 * and questions. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "serve_owner.h"
#include "verbs.h"

/* What a successor says when it has the device. */
#define RESTORED "restored"

/* A successor that is not done after so long is given up. */
#define SUCCESSOR_MS 10000

/* A hundredth of a second each. */
#define DYING_TRIES 200

struct serve_options {
	const char *name;
	const char *keeper;
	const char *runtime_dir;
	uint64_t depth;
	uint64_t io_bytes;
	uint64_t size_bytes;
	uint64_t queues;
	uint64_t read_percent;
	bool no_load;
	bool standby;
	bool successor;
};

#define AT(field) offsetof(struct serve_options, field)

static const struct args_option serve_options[] = {
	{.name = "name",
	 .kind = ARGS_TEXT,
	 .value = "NAME",
	 .help = "what upgrade, status, inspect and stop call it",
	 .offset = AT(name),
	 .required = true},
	{.name = "keeper",
	 .kind = ARGS_TEXT,
	 .value = "SOCKET",
	 .help = "have this keeper hold what a successor needs; what it holds "
		 "of that name already is gone on with",
	 .offset = AT(keeper)},
	{.name = "standby",
	 .kind = ARGS_SWITCH,
	 .help = "wait for the death of the process that serves, and take "
		 "over from the keeper",
	 .offset = AT(standby)},
	{.name = "runtime-dir",
	 .kind = ARGS_TEXT,
	 .value = "DIRECTORY",
	 .help = "where its socket is; /run/holdfast, or holdfast under "
		 "$XDG_RUNTIME_DIR",
	 .offset = AT(runtime_dir)},
	{.name = "no-load",
	 .kind = ARGS_SWITCH,
	 .help = "issue nothing: own the controller, no more",
	 .offset = AT(no_load)},
	{.name = "depth",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "commands that the load has under way on each CPU; 128",
	 .offset = AT(depth),
	 .min = 1,
	 .max = 4096},
	{.name = "bs",
	 .kind = ARGS_NUMBER,
	 .value = "SIZE",
	 .help = "bytes of each; 4K",
	 .offset = AT(io_bytes),
	 .min = 512,
	 .max = 1 << 20},
	{.name = "size",
	 .kind = ARGS_NUMBER,
	 .value = "SIZE",
	 .help = "the load overwrites so much of the namespace; 64M",
	 .offset = AT(size_bytes),
	 .min = 4096},
	{.name = "read-percent",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "reads in a hundred commands; 50",
	 .offset = AT(read_percent),
	 .max = 100},
	{.name = "queues",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "queue pairs to ask the controller for; one for each CPU",
	 .offset = AT(queues),
	 .min = 1,
	 .max = 65535},
	{.name = "successor",
	 .kind = ARGS_SWITCH,
	 .help = NULL,
	 .offset = AT(successor)},
	{0},
};

struct serve {
	struct args *args;
	struct serve_options opt;
	struct serve_owner owner;
	char path[CONTROL_PATH_BYTES];
	char program[4096];
	int listener;
	int signals;
	bool done;
	int code;
};

/* ------------------------------------------------------------- taking over */

static int become_owner(struct serve *serve)
{
	serve->listener = control_listen(serve->args, serve->path, true);
	if (serve->listener < 0) {
		return CLI_FAILED;
	}
	int code = serve_owner_secure(&serve->owner);
	if (code == CLI_OK) {
		printf("serving %s\n", serve->opt.name);
		fflush(stdout);
	}
	return code;
}

static int take_from_owner(struct serve *serve)
{
	struct hf_error err = {.message = ""};
	struct hf_carry *carry;
	int socket = hf_keeper_connect(serve->path, &err);

	if (socket < 0 ||
	    hf_keeper_get_on(socket, serve->opt.name, &carry, &err) != 0) {
		return cli_fail(serve->args, "%s", err.message);
	}
	serve_owner_log_there(carry);
	int code = serve_owner_take(&serve->owner, carry);
	if (code == CLI_USAGE) {
		code = cli_fail(serve->args, "%s", serve->owner.busy);
	}
	if (code == CLI_OK) {
		serve->listener =
			control_listen(serve->args, serve->path, true);
		code = serve->listener < 0 ? CLI_FAILED : CLI_OK;
	}
	if (code == CLI_OK &&
	    send(socket, RESTORED, strlen(RESTORED), MSG_NOSIGNAL) < 0) {
		code = cli_fail(serve->args, "the last owner is gone: %s",
				strerror(errno));
	}
	close(socket);
	if (code == CLI_OK) {
		code = serve_owner_secure(&serve->owner);
	}
	if (code == CLI_OK) {
		printf("serving %s\n", serve->opt.name);
		fflush(stdout);
	}
	return code;
}

/* @found: whether the keeper had something. */
static int take_from_keeper(struct serve *serve, bool *found)
{
	struct hf_error err = {.message = ""};
	struct hf_carry *carry;
	int result =
		hf_keeper_get(serve->opt.keeper, serve->opt.name, &carry, &err);

	*found = result == 0;
	if (result == -ENOENT) {
		return CLI_OK;
	}
	if (result) {
		return cli_fail(serve->args, "%s", err.message);
	}
	return serve_owner_take(&serve->owner, carry);
}

static int take_from_exec(struct serve *serve, bool *found)
{
	struct hf_error err = {.message = ""};
	struct hf_carry *carry;
	int result = hf_carry_from_exec(&carry, &err);

	*found = result == 0;
	if (result == -ENOENT) {
		return CLI_OK;
	}
	if (result == 0) {
		result = serve_owner_take(&serve->owner, carry);
	} else {
		result = cli_fail(serve->args, "%s", err.message);
	}
	/* This process is the owner: nobody can be alive. */
	return result == CLI_USAGE
		       ? cli_fail(serve->args, "%s", serve->owner.busy)
		       : result;
}

/* Until the process that listens at @path has ended. */
static void wait_for_death(const char *path)
{
	int pid = control_owner(path);

	if (pid <= 0) {
		return;
	}
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0) {
		return;
	}
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	while (poll(&wait, 1, -1) < 0 && errno == EINTR) {
	}
	close(fd);
}

static int stand_by(struct serve *serve)
{
	const struct timespec pause = {.tv_nsec = 2000000};
	bool found;

	printf("waiting for the end of %s\n", serve->opt.name);
	fflush(stdout);
	for (;;) {
		wait_for_death(serve->path);
		int code = take_from_keeper(serve, &found);

		if (!found && code == CLI_OK) {
			cli_note(serve->args, "'%s' ended in order",
				 serve->opt.name);
			serve->done = true;
			return CLI_OK;
		}
		if (code != CLI_USAGE) {
			return code;
		}
		nanosleep(&pause, NULL); /* another one was faster */
	}
}

/* A process that was killed takes a moment to be gone. */
static bool is_served(const struct serve *serve)
{
	const struct timespec pause = {.tv_nsec = 10000000};

	for (int i = 0; i < DYING_TRIES; i++) {
		if (!control_is_live(serve->path)) {
			return false;
		}
		nanosleep(&pause, NULL);
	}
	return true;
}

static int take_from_dying(struct serve *serve, bool *found)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	int code = take_from_keeper(serve, found);

	for (int i = 0; i < DYING_TRIES && code == CLI_USAGE; i++) {
		nanosleep(&pause, NULL);
		code = take_from_keeper(serve, found);
	}
	return code == CLI_USAGE
		       ? cli_fail(serve->args, "%s", serve->owner.busy)
		       : code;
}

/* A controller that nobody drives: from the beginning, or from the keeper. */
static int begin_alone(struct serve *serve)
{
	const struct serve_options *opt = &serve->opt;
	const struct serve_plan plan = {
		.address = serve->args->operands[0],
		.keeper = opt->keeper,
		.depth = opt->depth,
		.io_bytes = opt->io_bytes,
		.size_bytes = opt->size_bytes,
		.queues = opt->queues,
		.read_percent = opt->read_percent,
		.no_load = opt->no_load,
	};
	bool found = false;
	int code = CLI_OK;

	if (is_served(serve)) {
		return cli_fail(serve->args,
				"a process serves '%s' already; 'holdfast "
				"upgrade %s' replaces it",
				opt->name, opt->name);
	}
	if (opt->keeper) {
		code = take_from_dying(serve, &found);
	}
	if (code != CLI_OK || found) {
		return code;
	}
	if (serve->args->operand_count == 0) {
		return cli_fail(serve->args,
				"no keeper holds '%s': name the controller's "
				"address for a fresh start",
				opt->name);
	}
	return serve_owner_open(&serve->owner, &plan);
}

static int begin(struct serve *serve)
{
	bool found = false;
	int code = take_from_exec(serve, &found);

	if (code == CLI_OK && !found) {
		if (serve->opt.successor) {
			return take_from_owner(serve);
		}
		code = serve->opt.standby ? stand_by(serve)
					  : begin_alone(serve);
	}
	if (code != CLI_OK || serve->done) {
		return code;
	}
	return become_owner(serve);
}

/* -------------------------------------------------------------- going over */

static bool successor_is_done(int client)
{
	struct pollfd wait = {.fd = client, .events = POLLIN};
	char word[16];

	return poll(&wait, 1, SUCCESSOR_MS) == 1 &&
	       recv(client, word, sizeof(word), 0) ==
		       (ssize_t)strlen(RESTORED) &&
	       memcmp(word, RESTORED, strlen(RESTORED)) == 0;
}

/* It did not come: the device is this process's again. */
static int take_back(struct serve *serve, struct hf_carry *carry)
{
	cli_note(serve->args, "the successor did not take over; going on");
	int code = serve_owner_take(&serve->owner, carry);
	if (code == CLI_OK) {
		code = serve_owner_secure(&serve->owner);
	}
	return code;
}

static void hand_over(struct serve *serve, int client)
{
	struct hf_carry *carry = NULL;
	int code = serve_owner_leave(&serve->owner, SERVE_UPGRADED, &carry);

	if (code != CLI_OK) {
		(void)!hf_handover_give(client, NULL, -EBUSY, NULL);
		return;
	}
	if (hf_handover_give(client, carry, 0, NULL) == 0 &&
	    successor_is_done(client)) {
		hf_carry_free(carry);
		serve->done = true;
		return;
	}
	code = take_back(serve, carry);
	if (code != CLI_OK) {
		serve->done = true;
		serve->code = code;
	}
}

/* The same words again, by the program that now has this one's name. */
static void execute(struct serve *serve)
{
	struct hf_carry *carry = NULL;
	struct hf_error err = {.message = ""};
	const char *const words[] = {
		"holdfast",
		"serve",
		"--name",
		serve->opt.name,
		serve->opt.runtime_dir ? "--runtime-dir" : NULL,
		serve->opt.runtime_dir,
		NULL,
	};

	if (serve_owner_leave(&serve->owner, SERVE_EXECUTED, &carry) !=
	    CLI_OK) {
		return;
	}
	if (hf_carry_to_exec(carry, &err) == 0) {
		execv(serve->program, (char *const *)words);
		cli_note(serve->args, "%s: %s", serve->program,
			 strerror(errno));
		unsetenv("HOLDFAST_CARRY");
	} else {
		cli_note(serve->args, "%s", err.message);
	}
	int code = take_back(serve, carry);
	if (code != CLI_OK) {
		serve->done = true;
		serve->code = code;
	}
}

/* ---------------------------------------------------------------- questions */

static void answer_status(struct serve *serve, int client)
{
	struct json_object *tree = serve_owner_status(&serve->owner);

	control_answer(client, true, json_object_to_json_string(tree));
	json_object_put(tree);
}

static void answer_inspect(struct serve *serve, int client)
{
	char *tree = hf_driver_inspect(serve->owner.conn.drv);

	control_answer(client, tree != NULL, tree ? tree : "out of memory");
	free(tree);
}

static void stop(struct serve *serve, int client)
{
	int code = serve_owner_end_load(&serve->owner);
	struct json_object *tree = serve_owner_status(&serve->owner);

	if (serve_owner_close(&serve->owner) != CLI_OK) {
		code = CLI_FAILED;
	}
	unlink(serve->path);
	if (client >= 0) {
		control_answer(client, true, json_object_to_json_string(tree));
	}
	json_object_put(tree);
	serve->done = true;
	serve->code = code;
}

/* The keeper has it all, the saved state too: whoever serves next goes on. */
static void stop_keeping(struct serve *serve, int client)
{
	struct hf_carry *carry = NULL;
	struct hf_error err = {.message = ""};
	struct json_object *tree = serve_owner_status(&serve->owner);
	char keeper[sizeof(serve->owner.shared->keeper)];
	bool left = false;

	snprintf(keeper, sizeof(keeper), "%s", serve->owner.shared->keeper);
	if (keeper[0] == '\0') {
		control_answer(client, false,
			       "nobody holds the descriptors: the controller "
			       "outlives this process with --keeper only");
	} else {
		left = serve_owner_leave(&serve->owner, SERVE_UPGRADED,
					 &carry) == CLI_OK;
	}
	if (left) {
		serve_owner_log_here(carry);
	} else if (keeper[0] != '\0') {
		control_answer(client, false, "the driver cannot be saved");
	}
	if (left && hf_keeper_put(keeper, serve->opt.name, carry, &err) != 0) {
		control_answer(client, false, err.message);
		serve->code = take_back(serve, carry);
		serve->done = serve->code != CLI_OK;
	} else if (left) {
		hf_carry_free(carry);
		unlink(serve->path);
		control_answer(client, true, json_object_to_json_string(tree));
		serve->done = true;
	}
	json_object_put(tree);
}

static bool is_trusted(int client)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static void answer(struct serve *serve, int client)
{
	struct pollfd wait = {.fd = client, .events = POLLIN};
	char question[256];
	ssize_t len = -1;

	if (is_trusted(client) && poll(&wait, 1, 1000) == 1) {
		len = recv(client, question, sizeof(question) - 1, 0);
	}
	if (len <= 0) {
		return;
	}
	question[len] = '\0';
	if (hf_handover_asked(question, (size_t)len)) {
		hand_over(serve, client);
	} else if (strcmp(question, "status") == 0) {
		answer_status(serve, client);
	} else if (strcmp(question, "inspect") == 0) {
		answer_inspect(serve, client);
	} else if (strcmp(question, "stop") == 0) {
		stop(serve, client);
	} else if (strcmp(question, "stop --keepalive") == 0) {
		stop_keeping(serve, client);
	} else {
		control_answer(client, false,
			       "the question is not understood: status, "
			       "inspect, stop or stop --keepalive");
	}
}

static void take_signal(struct serve *serve)
{
	struct signalfd_siginfo info;

	if (read(serve->signals, &info, sizeof(info)) !=
	    (ssize_t)sizeof(info)) {
		return;
	}
	if (info.ssi_signo == SIGHUP) {
		execute(serve);
	} else {
		stop(serve, -1);
	}
}

static void run(struct serve *serve)
{
	while (!serve->done) {
		struct pollfd fds[2] = {
			{.fd = serve->signals, .events = POLLIN},
			{.fd = serve->listener, .events = POLLIN},
		};

		if (poll(fds, 2, -1) < 0) {
			continue;
		}
		if (fds[0].revents != 0) {
			take_signal(serve);
		}
		if (!serve->done && fds[1].revents != 0) {
			int client = accept4(serve->listener, NULL, NULL,
					     SOCK_CLOEXEC);

			if (client >= 0) {
				answer(serve, client);
				close(client);
			}
		}
	}
}

/* Sets of descriptors, and memory that is pinned. */
static void raise_limits(void)
{
	static const int kinds[] = {RLIMIT_NOFILE, RLIMIT_MEMLOCK};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct rlimit limit;

		if (getrlimit(kinds[i], &limit) == 0) {
			limit.rlim_cur = limit.rlim_max;
			setrlimit(kinds[i], &limit);
		}
	}
}

static int catch_signals(void)
{
	sigset_t signals;

	signal(SIGPIPE, SIG_IGN);
	/* Blocked before there is a thread: all of them inherit it. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static int serve_run(struct args *args)
{
	struct serve serve = {
		.args = args,
		.opt = {.depth = 128,
			.io_bytes = 4096,
			.size_bytes = 64 << 20,
			.read_percent = 50},
		.owner = {.shared_fd = -1, .table_fd = -1},
		.listener = -1,
	};

	if (!args_parse(args, &serve.opt)) {
		return args->exit_code;
	}
	if (serve.opt.standby && !serve.opt.keeper) {
		return cli_usage(args, "--standby takes over from a keeper: "
				       "name it with --keeper");
	}
	serve.owner.args = args;
	serve.owner.name = serve.opt.name;
	int code = control_path(args, serve.opt.runtime_dir, serve.opt.name,
				serve.path);
	if (code == CLI_OK) {
		code = control_make_dir(args, serve.path);
	}
	if (code != CLI_OK) {
		return code;
	}
	/* Now: the file may be another one when it is needed. */
	if (readlink("/proc/self/exe", serve.program,
		     sizeof(serve.program) - 1) < 0) {
		return cli_fail(args, "/proc/self/exe: %s", strerror(errno));
	}
	raise_limits();
	serve.signals = catch_signals();
	code = begin(&serve);
	if (code == CLI_OK) {
		run(&serve);
		code = serve.code;
	}
	return code;
}

const struct verb verb_serve = {
	.name = "serve",
	.summary = "own a controller, and hand it on",
	.operands = "[ADDRESS]",
	.shared = VERB_DRIVER | VERB_NAMESPACE,
	.options = serve_options,
	.description =
		"Carries a load that knows what each block must read as, and "
		"overwrites the namespace with it. The process can be upgraded "
		"('holdfast upgrade NAME', or SIGHUP for an exec in place), "
		"stopped, or killed: its successor goes on with the commands "
		"that are under way. Without an address, it goes on with what "
		"the keeper holds.",
	.example = "holdfast serve vfio-user:/run/nvme.sock --name disk0 "
		   "--keeper /run/keeper.sock\n"
		   "holdfast serve --name disk0 --keeper /run/keeper.sock "
		   "--standby",
	.run = serve_run,
};
