/* SPDX-License-Identifier: BSD-3-Clause */
/* Events of a controller as they come. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conn.h"
#include "interrupted.h"
#include "output.h"
#include "verbs.h"

struct watch_options {
	uint64_t count;
	uint64_t timeout_ms;
};

#define WATCH(field) offsetof(struct watch_options, field)

static const struct args_option watch_options[] = {
	{.name = "count",
	 .letter = 'c',
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "end after so many events",
	 .offset = WATCH(count),
	 .min = 1},
	{.name = "timeout",
	 .letter = 't',
	 .kind = ARGS_DURATION,
	 .value = "TIME",
	 .help = "end after this time: 5, 5s, 200ms, 2m",
	 .offset = WATCH(timeout_ms),
	 .min = 1},
	{0},
};

/* Changes are told of open namespaces, so all of them are held open. */
struct held {
	struct hf_namespace **ns;
	uint32_t *nsid;
	uint32_t count;
	uint32_t room;
};

static void hold(struct conn *conn, struct held *held, uint32_t nsid)
{
	struct hf_error err;

	if (held->count == held->room) {
		uint32_t room = held->room ? held->room * 2 : 16;
		void *ns = realloc(held->ns, room * sizeof(*held->ns));
		if (!ns) {
			return;
		}
		held->ns = ns;
		void *ids = realloc(held->nsid, room * sizeof(*held->nsid));
		if (!ids) {
			return;
		}
		held->nsid = ids;
		held->room = room;
	}
	if (hf_namespace_open(&held->ns[held->count], conn->drv, nsid, &err)) {
		cli_note(conn->args, "%s", err.message);
		return;
	}
	held->nsid[held->count++] = nsid;
}

static void let_go(struct held *held, uint32_t nsid)
{
	for (uint32_t i = 0; i < held->count; i++) {
		if (held->nsid[i] == nsid) {
			hf_namespace_close(held->ns[i]);
			held->count--;
			held->ns[i] = held->ns[held->count];
			held->nsid[i] = held->nsid[held->count];
			return;
		}
	}
}

static int hold_all(struct conn *conn, struct held *held)
{
	struct hf_error err = {.message = ""};
	uint32_t nsids[1024];
	uint32_t count = 0;

	if (hf_namespace_list(conn->drv, nsids, 1024, &count, &err)) {
		return cli_fail(conn->args, "%s", err.message);
	}
	for (uint32_t i = 0; i < count && i < 1024; i++) {
		hold(conn, held, nsids[i]);
	}
	return CLI_OK;
}

static const char *kind_word(enum hf_event_kind kind)
{
	switch (kind) {
	case HF_EVENT_NAMESPACE_CHANGED:
		return "namespace-changed";
	case HF_EVENT_NAMESPACE_REMOVED:
		return "namespace-removed";
	case HF_EVENT_NAMESPACE_ADDED:
		return "namespace-added";
	case HF_EVENT_ASYNC:
		return "async";
	case HF_EVENT_CONTROLLER_RESET:
		return "controller-reset";
	case HF_EVENT_CONTROLLER_LOST:
		return "controller-lost";
	case HF_EVENT_REMOVE_REQUESTED:
		return "remove-requested";
	}
	return "unknown";
}

static void add_size(struct json_object *tree, const struct held *held,
		     uint32_t nsid)
{
	for (uint32_t i = 0; i < held->count; i++) {
		if (held->nsid[i] == nsid) {
			struct hf_namespace_info info;

			hf_namespace_get_info(held->ns[i], &info);
			out_number(tree, "blocks", info.blocks);
			out_number(tree, "block_bytes", info.block_bytes);
		}
	}
}

static void print_event(const struct args *args, const struct hf_event *event,
			const struct held *held)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (args->shared.output == OUT_TEXT) {
		struct tm tm;
		char stamp[32];

		localtime_r(&now.tv_sec, &tm);
		strftime(stamp, sizeof(stamp), "%H:%M:%S", &tm);
		printf("%s.%03ld  %-18s %s\n", stamp, now.tv_nsec / 1000000,
		       kind_word(event->kind), event->text);
		fflush(stdout);
		return;
	}

	struct json_object *tree = out_object();
	out_real(tree, "time", (double)now.tv_sec + (double)now.tv_nsec / 1e9);
	out_text(tree, "kind", kind_word(event->kind));
	if (event->kind == HF_EVENT_ASYNC) {
		out_number(tree, "async_type", event->async_type);
		out_number(tree, "async_info", event->async_info);
		out_number(tree, "log_page", event->log_page);
	} else if (event->nsid) {
		out_number(tree, "nsid", event->nsid);
		add_size(tree, held, event->nsid);
	}
	out_number(tree, "lost", event->lost);
	out_text(tree, "text", event->text);
	out_line(tree);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Sleeps for events; false when it is time to end. */
static bool wait_event(struct conn *conn, uint64_t end_ms)
{
	uint64_t now = now_ms();
	struct pollfd fd = {.fd = hf_event_fd(conn->drv), .events = POLLIN};

	if (interrupted() || now >= end_ms) {
		return false;
	}

	/* Woken now and then, in case a signal came just before poll(). */
	uint64_t left = end_ms - now < 500 ? end_ms - now : 500;
	poll(&fd, 1, (int)left);
	return true;
}

static int watch(struct conn *conn, const struct watch_options *opt,
		 struct held *held)
{
	uint64_t end_ms =
		opt->timeout_ms ? now_ms() + opt->timeout_ms : UINT64_MAX;
	uint64_t seen = 0;

	for (;;) {
		struct hf_event event;

		if (hf_event_next(conn->drv, &event) == 0) {
			if (!wait_event(conn, end_ms)) {
				return CLI_OK;
			}
			continue;
		}
		if (event.kind == HF_EVENT_NAMESPACE_ADDED) {
			hold(conn, held, event.nsid);
		}
		print_event(conn->args, &event, held);
		if (event.kind == HF_EVENT_NAMESPACE_REMOVED) {
			let_go(held, event.nsid);
		}
		if (ferror(stdout)) {
			return CLI_OK; /* main() says so */
		}
		if (event.kind == HF_EVENT_CONTROLLER_LOST) {
			return cli_fail(conn->args, "%s", event.text);
		}
		if (++seen == opt->count) {
			return CLI_OK;
		}
	}
}

static int watch_run(struct args *args)
{
	struct watch_options opt = {0};
	struct held held = {0};
	struct conn conn;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	int code = conn_begin(&conn, args, args->operands[0], false);
	if (code != CLI_OK) {
		return code;
	}
	interrupted_catch();
	code = hold_all(&conn, &held);
	if (code == CLI_OK && args->shared.verbose) {
		cli_note(args, "watching, with %" PRIu32 " namespaces open",
			 held.count);
	}
	if (code == CLI_OK) {
		code = watch(&conn, &opt, &held);
	}
	for (uint32_t i = 0; i < held.count; i++) {
		hf_namespace_close(held.ns[i]);
	}
	free(held.ns);
	free(held.nsid);
	return conn_end(&conn, code);
}

const struct verb verb_watch = {
	.name = "watch",
	.summary = "show asynchronous events and namespace changes",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER,
	.options = watch_options,
	.description = "Ends on an interrupt (^C), after --count or --timeout, "
		       "or when the controller is lost. In JSON, each event is "
		       "an object on a line of its own.",
	.example = "holdfast watch vfio-user:/run/nvme.sock --timeout 1m",
	.run = watch_run,
};
