/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands for a running "holdfast emulate". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "output.h"
#include "size.h"
#include "verbs.h"

#define REPLY_BYTES (8u << 20)

struct ctl_options {
	uint64_t timeout_ms;
};

static const struct args_option ctl_options[] = {
	{.name = "timeout",
	 .kind = ARGS_DURATION,
	 .value = "TIME",
	 .help = "give up when there is no answer for so long",
	 .offset = offsetof(struct ctl_options, timeout_ms),
	 .min = 1},
	{0},
};

/* What the words after a command mean. */
static const struct command {
	const char *name;
	const char *words[4]; /* in order, each required, then NULL */
	bool pairs;           /* NAME=VALUE may follow */
} commands[] = {
	{.name = "status"},
	{.name = "add-namespace", .pairs = true},
	{.name = "remove-namespace", .words = {"nsid"}},
	{.name = "resize", .words = {"nsid", "size"}},
	{.name = "swap", .words = {"nsid"}, .pairs = true},
	{.name = "fault-add", .words = {"rule"}},
	{.name = "fault-remove", .words = {"id"}},
	{.name = "fault-clear"},
	{.name = "fault-release", .pairs = true},
	{.name = "power-fail"},
	{.name = "reset"},
	{.name = "flush"},
	{.name = "event", .words = {"type", "info", "log"}},
	{.name = "temperature", .words = {"kelvin"}},
	{.name = "disconnect"},
	{.name = "request-removal"},
	{.name = "quit"},
};

static const char *const text_names[] = {"rule", "path", "media"};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) == 0) {
			return &commands[i];
		}
	}
	return NULL;
}

/* Numbers are numbers, with K, M and G; true and false are flags. */
static bool add_value(struct json_object *line, const char *name,
		      const char *value)
{
	uint64_t number;

	for (size_t i = 0; i < sizeof(text_names) / sizeof(text_names[0]);
	     i++) {
		if (strcmp(text_names[i], name) == 0) {
			out_text(line, name, value);
			return true;
		}
	}
	if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
		out_bool(line, name, value[0] == 't');
		return true;
	}
	if (!size_parse(value, &number)) {
		return false;
	}
	out_number(line, name, number);
	return true;
}

static int add_words(struct args *args, const struct command *command,
		     struct json_object *line)
{
	int at = 2;

	for (size_t i = 0; i < 4 && command->words[i]; i++, at++) {
		if (at >= args->operand_count) {
			return cli_usage(args, "%s needs %s", command->name,
					 command->words[i]);
		}
		if (!add_value(line, command->words[i], args->operands[at])) {
			return cli_usage(args, "%s: '%s' is not a number",
					 command->words[i], args->operands[at]);
		}
	}
	for (; at < args->operand_count; at++) {
		const char *word = args->operands[at];
		const char *equals = strchr(word, '=');
		char name[32];

		if (!command->pairs || !equals ||
		    (size_t)(equals - word) >= sizeof(name)) {
			return cli_usage(args, "%s does not take '%s'",
					 command->name, word);
		}
		memcpy(name, word, (size_t)(equals - word));
		name[equals - word] = '\0';
		if (!add_value(line, name, equals + 1)) {
			return cli_usage(args, "%s: '%s' is not a number", name,
					 equals + 1);
		}
	}
	return CLI_OK;
}

static int connect_to(struct args *args, const struct ctl_options *opt)
{
	const char *path = args->operands[0];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {
		.tv_sec = (time_t)(opt->timeout_ms / 1000),
		.tv_usec = (suseconds_t)(opt->timeout_ms % 1000) * 1000};

	if (strlen(path) >= sizeof(address.sun_path)) {
		cli_fail(args, "socket '%s': the name is too long", path);
		return -1;
	}
	strcpy(address.sun_path, path);

	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* First: connecting may have to wait, too. */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		int reason = errno;

		if (fd >= 0) {
			close(fd);
		}
		cli_fail(args,
			 "socket '%s': %s; it is what 'holdfast emulate "
			 "--control' was given",
			 path, strerror(reason));
		return -1;
	}
	return fd;
}

/* One line out, one line in; NULL with errno set. */
static char *exchange(int fd, const char *line)
{
	size_t len = strlen(line);
	size_t used = 0;

	if (send(fd, line, len, MSG_NOSIGNAL) != (ssize_t)len ||
	    send(fd, "\n", 1, MSG_NOSIGNAL) != 1) {
		return NULL;
	}

	char *reply = malloc(REPLY_BYTES);
	while (reply && used < REPLY_BYTES - 1) {
		ssize_t got = recv(fd, reply + used, REPLY_BYTES - 1 - used, 0);

		if (got <= 0) {
			errno = got == 0 ? ECONNRESET : errno;
			break;
		}
		char *end = memchr(reply + used, '\n', (size_t)got);
		used += (size_t)got;
		if (end) {
			*end = '\0';
			return reply;
		}
	}
	free(reply);
	return NULL;
}

static int show_reply(struct args *args, const char *text)
{
	struct json_object *tree = json_tokener_parse(text);
	struct json_object *ok;
	struct json_object *error;

	if (!tree || !json_object_is_type(tree, json_type_object) ||
	    !json_object_object_get_ex(tree, "ok", &ok)) {
		json_object_put(tree);
		return cli_fail(args,
				"'%s' does not answer as 'holdfast "
				"emulate' does",
				args->operands[0]);
	}
	if (!json_object_get_boolean(ok)) {
		int code = cli_fail(
			args, "%s",
			json_object_object_get_ex(tree, "error", &error)
				? json_object_get_string(error)
				: "refused without a reason");
		json_object_put(tree);
		return code;
	}
	json_object_object_del(tree, "ok");
	if (json_object_object_length(tree) == 0 &&
	    args->shared.output == OUT_TEXT) {
		json_object_put(tree);
		return CLI_OK;
	}
	return out_print(args, tree);
}

static int ctl_run(struct args *args)
{
	struct ctl_options opt = {.timeout_ms = 60000};

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	const struct command *command = find_command(args->operands[1]);
	if (!command) {
		return cli_usage(args, "no command '%s'", args->operands[1]);
	}
	struct json_object *line = out_object();
	out_text(line, "command", command->name);
	int code = add_words(args, command, line);
	int fd = code == CLI_OK ? connect_to(args, &opt) : -1;
	if (fd < 0) {
		json_object_put(line);
		return code == CLI_OK ? CLI_FAILED : code;
	}

	char *reply = exchange(fd, json_object_to_json_string_ext(
					   line, JSON_C_TO_STRING_PLAIN));
	int reason = errno;
	close(fd);
	json_object_put(line);
	if (!reply) {
		return cli_fail(args, "socket '%s': no answer: %s",
				args->operands[0],
				reason == EAGAIN ? "it takes too long"
						 : strerror(reason));
	}
	code = show_reply(args, reply);
	free(reply);
	return code;
}

const struct verb verb_emulate_ctl = {
	.name = "emulate-ctl",
	.summary = "command a running emulated controller",
	.operands = "SOCKET COMMAND [WORD...]",
	.shared = VERB_OUTPUT,
	.options = ctl_options,
	.description =
		"Commands: status; add-namespace [NAME=VALUE...]; "
		"remove-namespace NSID; resize NSID SIZE; swap NSID "
		"[NAME=VALUE...]; fault-add RULE; fault-remove ID; "
		"fault-clear; fault-release [id=ID]; power-fail; reset; flush; "
		"event TYPE INFO LOG; temperature KELVIN; disconnect; "
		"request-removal; quit. A namespace has the names size, path, "
		"media, lba, nsid, create, read_only, reservations, noiob and "
		"eui64.",
	.example = "holdfast emulate-ctl /run/ctl.sock status --output json\n"
		   "holdfast emulate-ctl /run/ctl.sock add-namespace size=1G "
		   "lba=4096\n"
		   "holdfast emulate-ctl /run/ctl.sock resize 1 2G",
	.run = ctl_run,
};
