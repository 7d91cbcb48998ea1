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
#include <unistd.h>

#include "control.h"
#include "serve.h"
#include "serve_keep.h"
#include "serve_secure.h"
#include "turns.h"
#include "verbs.h"

/* A successor that is not done after so long is given up. */
#define SUCCESSOR_MS 10000

/* Of what the main loop waits for. */
#define FIRST_CLIENT 5

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
		 "of that name already is gone on with; 'systemd:' is the "
		 "service manager's store",
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
	{.name = "timeout",
	 .kind = ARGS_NUMBER,
	 .value = "MS",
	 .help = "deadline of each of the load's commands; the driver's",
	 .offset = AT(timeout_ms),
	 .min = 1,
	 .max = 3600000},
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

/* -------------------------------------------------------------- going over */

/* Started as a service? Shells of a session are not, though they have been told
 * as much as services are. */
static bool is_managed(void)
{
	const char *pid = getenv("SYSTEMD_EXEC_PID");

	return getenv("NOTIFY_SOCKET") ||
	       (pid && strtol(pid, NULL, 10) == getpid());
}

static bool successor_is_done(int client)
{
	struct pollfd wait = {.fd = client, .events = POLLIN};
	char word[16];

	return poll(&wait, 1, SUCCESSOR_MS) == 1 &&
	       recv(client, word, sizeof(word), 0) ==
		       (ssize_t)strlen(RESTORED) &&
	       memcmp(word, RESTORED, strlen(RESTORED)) == 0;
}

/* It did not come: the device is this process's again, by another driver than
 * the one whose descriptors others were shown. */
static void take_back(struct serve *serve)
{
	for (uint32_t i = 0; i < serve->client_count; i++) {
		hf_carry_free(serve->clients[i].shown);
		serve->clients[i].shown = NULL;
	}
	cli_note(serve->args, "the successor did not take over; going on");
	int code = serve_owner_return(&serve->owner);
	if (code != CLI_OK) {
		serve->done = true;
		serve->code = code;
	}
}

static void hand_over(struct serve *serve, int client,
		      const struct hf_carry *shown)
{
	const struct hf_carry *carry = NULL;

	/* It could not have it held in its turn; or it would not be the process
	 * that the service manager looks after. */
	if (serve_keep_is_store(serve->owner.shared->keeper) || is_managed()) {
		(void)!hf_handover_give(client, NULL, -EOPNOTSUPP, NULL);
		return;
	}
	int code =
		serve_owner_prepare_offer(&serve->owner, shown ? client : -1);
	turns_hurry(true);
	if (code == CLI_OK) {
		code = serve_owner_offer(&serve->owner, SERVE_UPGRADED, &carry);
	}
	int result = carry ? hf_handover_give_rest(client, carry, shown, NULL)
			   : hf_handover_give(client, NULL, -EBUSY, NULL);
	turns_hurry(false);
	if (code != CLI_OK) {
		return;
	}
	if (result == 0 && successor_is_done(client)) {
		serve_owner_depart(&serve->owner);
		serve->done = true;
		return;
	}
	take_back(serve);
}

/* The same words again, by the program that now has this one's name. */
static void execute(struct serve *serve)
{
	const struct hf_carry *offered = NULL;
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

	int code = serve_owner_prepare_offer(&serve->owner, -1);
	turns_hurry(true);
	if (code == CLI_OK) {
		code = serve_owner_offer(&serve->owner, SERVE_EXECUTED,
					 &offered);
	}
	if (code != CLI_OK) {
		turns_hurry(false);
		return;
	}
	if (hf_carry_copy(&carry, offered, &err) == 0 &&
	    hf_carry_to_exec(carry, &err) == 0) {
		execv(serve->program, (char *const *)words);
		cli_note(serve->args, "%s: %s", serve->program,
			 strerror(errno));
		hf_carry_undo_exec(carry);
	} else {
		cli_note(serve->args, "%s", err.message);
	}
	turns_hurry(false);
	hf_carry_free(carry);
	take_back(serve);
}

/* ---------------------------------------------------------------- questions */

static void answer_status(struct serve *serve, int client)
{
	struct json_object *tree = serve_owner_status(&serve->owner);

	out_text(tree, "manager", is_managed() ? "systemd" : "");
	control_answer(client, true, json_object_to_json_string(tree));
	json_object_put(tree);
	/* For whoever looks again; and for the log. */
	serve_secure_look(&serve->owner);
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

/* The keeper is to have it all, the saved state too: whoever serves next goes
 * on. Messages of that one go where its own go. */
static int leave_to_keeper(struct serve *serve, struct hf_error *err)
{
	const struct hf_carry *offered = NULL;
	struct hf_carry *carry = NULL;

	if (serve_owner_prepare_offer(&serve->owner, -1) != CLI_OK ||
	    serve_owner_offer(&serve->owner, SERVE_UPGRADED, &offered) !=
		    CLI_OK) {
		snprintf(err->message, sizeof(err->message),
			 "the driver cannot be saved");
		return CLI_FAILED;
	}
	int result = hf_carry_copy(&carry, offered, err);
	if (result == 0) {
		int log = serve_owner_take_log(carry);

		if (log >= 0) {
			close(log);
		}
		result = serve_keep_put(serve->owner.shared->keeper,
					serve->opt.name, carry, err);
	}
	hf_carry_free(carry);
	if (result) {
		take_back(serve);
		return CLI_FAILED;
	}
	serve_owner_depart(&serve->owner);
	return CLI_OK;
}

static void stop_keeping(struct serve *serve, int client)
{
	struct hf_error err = {.message = ""};

	if (serve->owner.shared->keeper[0] == '\0') {
		control_answer(client, false,
			       "nobody holds the descriptors: the controller "
			       "outlives this process with --keeper only");
		return;
	}
	if (atomic_load(&serve->owner.watch.silent)) {
		control_answer(client, false,
			       "the keeper does not answer, and would not take "
			       "the saved state: is its process stopped?");
		return;
	}
	struct json_object *tree = serve_owner_status(&serve->owner);
	if (leave_to_keeper(serve, &err) == CLI_OK) {
		unlink(serve->path);
		control_answer(client, true, json_object_to_json_string(tree));
		serve->done = true;
	} else {
		control_answer(client, false, err.message);
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

/* It is going to ask for the rest over the same connection. */
static bool show(struct serve *serve, struct serve_client *client)
{
	struct hf_carry *carry = NULL;

	if (serve_owner_show(&serve->owner, &carry) != CLI_OK) {
		(void)!hf_handover_give(client->fd, NULL, -EIO, NULL);
		return false;
	}
	hf_carry_free(client->shown);
	client->shown = carry;
	return hf_handover_give(client->fd, carry, 0, NULL) == 0;
}

/* Return: whether it may ask again. */
static bool answer(struct serve *serve, struct serve_client *asking)
{
	char question[256];
	int client = asking->fd;
	ssize_t len =
		recv(client, question, sizeof(question) - 1, MSG_DONTWAIT);

	if (len <= 0) {
		return false;
	}
	question[len] = '\0';
	if (hf_handover_preview_asked(question, (size_t)len)) {
		return show(serve, asking);
	}
	if (hf_handover_asked(question, (size_t)len)) {
		bool rest = hf_handover_rest_asked(question, (size_t)len);

		hand_over(serve, client, rest ? asking->shown : NULL);
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
	return false;
}

static struct serve_client take_out(struct serve *serve, uint32_t i)
{
	struct serve_client client = serve->clients[i];

	serve->client_count--;
	memmove(&serve->clients[i], &serve->clients[i + 1],
		(serve->client_count - i) * sizeof(serve->clients[0]));
	return client;
}

static void forget(struct serve_client *client)
{
	hf_carry_free(client->shown);
	close(client->fd);
}

static void add_client(struct serve *serve, struct serve_client client)
{
	serve->clients[serve->client_count++] = client;
}

/*
 * Whoever has connected may take its time to ask: on a busy machine it may be
 * a second before it runs again, and nobody else waits for it meanwhile. Those
 * that never ask make room when there are too many.
 */
static void take_in(struct serve *serve)
{
	int client = accept4(serve->listener, NULL, NULL, SOCK_CLOEXEC);

	if (client < 0) {
		return;
	}
	if (!is_trusted(client)) {
		close(client);
		return;
	}
	if (serve->client_count == CLIENTS_MAX) {
		struct serve_client oldest = take_out(serve, 0);

		forget(&oldest);
	}
	add_client(serve, (struct serve_client){.fd = client});
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

/* One at a time: after it, there may be another owner. */
static void answer_first(struct serve *serve, const struct pollfd *fds)
{
	for (uint32_t i = 0; i < serve->client_count; i++) {
		if (fds[i].revents != 0) {
			struct serve_client client = take_out(serve, i);

			if (answer(serve, &client)) {
				add_client(serve, client);
			} else {
				forget(&client);
			}
			return;
		}
	}
}

static void look_after_keeper(struct serve *serve, const struct pollfd *fds)
{
	if (fds[2].revents != 0) {
		serve_secure_keeper_ended(&serve->owner);
	}
	if (fds[3].revents != 0) {
		serve_secure_keeper_is_silent(&serve->owner);
	}
	if (fds[4].revents != 0) {
		serve_secure_keeper_answered(&serve->owner);
	}
	if (serve_watch_is_due(&serve->owner.watch)) {
		serve_secure_keeper_again(&serve->owner);
	}
}

static void run(struct serve *serve)
{
	while (!serve->done) {
		struct serve_watch *watch = &serve->owner.watch;
		struct pollfd fds[FIRST_CLIENT + CLIENTS_MAX] = {
			{.fd = serve->signals, .events = POLLIN},
			{.fd = serve->listener, .events = POLLIN},
			{.fd = watch->fd, .events = POLLIN},
			{.fd = watch->alarm, .events = POLLIN},
			{.fd = watch->asked, .events = POLLIN},
		};

		for (uint32_t i = 0; i < serve->client_count; i++) {
			fds[FIRST_CLIENT + i] = (struct pollfd){
				.fd = serve->clients[i].fd, .events = POLLIN};
		}
		if (poll(fds, FIRST_CLIENT + serve->client_count,
			 serve_watch_timeout_ms(watch)) < 0) {
			continue;
		}
		look_after_keeper(serve, fds);
		if (fds[0].revents != 0) {
			take_signal(serve);
			continue;
		}
		answer_first(serve, &fds[FIRST_CLIENT]);
		if (!serve->done && fds[1].revents != 0) {
			take_in(serve);
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
		.owner = {.shared_fd = -1, .table_fd = -1, .state_fd = -1},
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
	serve_watch_init(&serve.owner.watch);
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
	serve_owner_prepare(&serve.owner);
	serve.signals = catch_signals();
	code = serve_begin(&serve);
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
