/* SPDX-License-Identifier: BSD-3-Clause */
/* Reservations: who may write to a namespace that several hosts share. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "output.h"
#include "verbs.h"

/* In the order of RTYPE, which counts from 1. */
static const char *const type_words[] = {
	"write-exclusive",
	"exclusive-access",
	"write-exclusive-registrants",
	"exclusive-access-registrants",
	"write-exclusive-all",
	"exclusive-access-all",
	NULL,
};

struct reservation_options {
	uint64_t key;
	uint64_t new_key;
	uint64_t preempt_key;
	int type;
	bool ignore_key;
	bool abort;
};

#define RSV(field) offsetof(struct reservation_options, field)

static const struct args_option reservation_options[] = {
	{.name = "key",
	 .letter = 'k',
	 .kind = ARGS_NUMBER,
	 .value = "KEY",
	 .help = "this host's key, as it is registered",
	 .offset = RSV(key)},
	{.name = "new-key",
	 .letter = 'K',
	 .kind = ARGS_NUMBER,
	 .value = "KEY",
	 .help = "the key to register",
	 .offset = RSV(new_key)},
	{.name = "preempt-key",
	 .letter = 'p',
	 .kind = ARGS_NUMBER,
	 .value = "KEY",
	 .help = "the key of the host to preempt",
	 .offset = RSV(preempt_key)},
	{.name = "type",
	 .letter = 't',
	 .kind = ARGS_CHOICE,
	 .value = "TYPE",
	 .help = "write-exclusive, exclusive-access, either of them with "
		 "-registrants or -all",
	 .offset = RSV(type),
	 .choices = type_words},
	{.name = "ignore-key",
	 .letter = 'i',
	 .kind = ARGS_SWITCH,
	 .help = "do not check --key",
	 .offset = RSV(ignore_key)},
	{.name = "abort",
	 .letter = 'a',
	 .kind = ARGS_SWITCH,
	 .help = "with preempt: abort the commands of the preempted host",
	 .offset = RSV(abort)},
	{0},
};

static enum hf_reservation_type type_of(const struct reservation_options *opt)
{
	return (enum hf_reservation_type)(opt->type +
					  HF_RESERVATION_WRITE_EXCLUSIVE);
}

/* ------------------------------------------------------------ the actions */

static int do_register(struct conn *conn, const struct reservation_options *o)
{
	return hf_reservation_register(conn->ns, HF_RESERVATION_REGISTER,
				       o->key, o->new_key, o->ignore_key);
}

static int do_replace(struct conn *conn, const struct reservation_options *o)
{
	return hf_reservation_register(conn->ns, HF_RESERVATION_REPLACE, o->key,
				       o->new_key, o->ignore_key);
}

static int do_unregister(struct conn *conn, const struct reservation_options *o)
{
	return hf_reservation_register(conn->ns, HF_RESERVATION_UNREGISTER,
				       o->key, 0, o->ignore_key);
}

static int do_acquire(struct conn *conn, const struct reservation_options *o)
{
	return hf_reservation_acquire(conn->ns, HF_RESERVATION_ACQUIRE,
				      type_of(o), o->key, 0);
}

static int do_preempt(struct conn *conn, const struct reservation_options *o)
{
	return hf_reservation_acquire(conn->ns,
				      o->abort
					      ? HF_RESERVATION_PREEMPT_AND_ABORT
					      : HF_RESERVATION_PREEMPT,
				      type_of(o), o->key, o->preempt_key);
}

static int do_release(struct conn *conn, const struct reservation_options *o)
{
	return hf_reservation_release(conn->ns, HF_RESERVATION_RELEASE,
				      type_of(o), o->key);
}

static int do_clear(struct conn *conn, const struct reservation_options *o)
{
	return hf_reservation_release(conn->ns, HF_RESERVATION_CLEAR,
				      HF_RESERVATION_WRITE_EXCLUSIVE, o->key);
}

static const struct action {
	const char *name;
	const char *needs[3]; /* options that it cannot do without */
	int (*work)(struct conn *conn, const struct reservation_options *o);
} actions[] = {
	{"report", {NULL}, NULL},
	{"register", {"new-key"}, do_register},
	{"replace", {"new-key"}, do_replace},
	{"unregister", {NULL}, do_unregister},
	{"acquire", {"key", "type"}, do_acquire},
	{"preempt", {"key", "type", "preempt-key"}, do_preempt},
	{"release", {"key", "type"}, do_release},
	{"clear", {"key"}, do_clear},
};

static const struct action *find_action(struct args *args)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(actions[i].name, args->operands[0]) == 0) {
			return &actions[i];
		}
	}
	args->exit_code = cli_usage(args,
				    "no action '%s'; accepted are report, "
				    "register, replace, unregister, acquire, "
				    "preempt, release and clear",
				    args->operands[0]);
	return NULL;
}

/* ------------------------------------------------------------- the report */

static struct json_object *registrant_row(const struct hf_registrant *host)
{
	struct json_object *row = out_object();
	size_t len = host->host_id_bytes;

	out_hex(row, "controller", host->controller);
	out_bool(row, "holds_reservation", host->holds_reservation);
	out_hex(row, "key", host->key);
	out_digits(row, "host_id", host->host_id,
		   len <= sizeof(host->host_id) ? len : sizeof(host->host_id));
	return row;
}

#define REGISTRANTS_MAX 4096

static int report(struct conn *conn)
{
	struct hf_registrant *hosts = calloc(REGISTRANTS_MAX, sizeof(*hosts));
	struct hf_reservation_report head;

	if (!hosts) {
		return cli_fail(conn->args, "out of memory");
	}

	int result = hf_reservation_get_report(conn->ns, &head, hosts,
					       REGISTRANTS_MAX);
	if (result) {
		free(hosts);
		return conn_fail(conn, "the report failed", result);
	}

	struct json_object *tree = out_object();
	struct json_object *rows = out_array();
	out_number(tree, "generation", head.generation);
	out_text(tree, "type",
		 head.type >= 1 && head.type <= 6 ? type_words[head.type - 1]
						  : "none");
	out_bool(tree, "persists_power_loss", head.persists_power_loss);
	for (uint32_t i = 0; i < head.registrants && i < REGISTRANTS_MAX; i++) {
		out_push(rows, registrant_row(&hosts[i]));
	}
	out_add(tree, "registrants", rows);
	out_print(conn->args, tree);
	free(hosts);
	return CLI_OK;
}

/* --------------------------------------------------------------- the verb */

static int act(struct conn *conn, const struct action *action,
	       const struct reservation_options *opt)
{
	if (!action->work) {
		return report(conn);
	}

	int result = action->work(conn, opt);
	if (result) {
		char what[64];

		snprintf(what, sizeof(what), "%s failed", action->name);
		return conn_fail(conn, what, result);
	}

	struct json_object *tree = out_object();
	out_text(tree, "done", action->name);
	out_number(tree, "nsid", conn->nsid);
	out_print(conn->args, tree);
	return CLI_OK;
}

static int reservation_run(struct args *args)
{
	struct reservation_options opt = {0};
	struct conn conn;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	const struct action *action = find_action(args);
	if (!action) {
		return args->exit_code;
	}
	for (size_t i = 0; i < 3 && action->needs[i]; i++) {
		if (!args_given(args, action->needs[i])) {
			return cli_usage(args, "%s needs --%s", action->name,
					 action->needs[i]);
		}
	}

	int code = conn_begin(&conn, args, args->operands[1], true);
	if (code != CLI_OK) {
		return code;
	}
	return conn_end(&conn, act(&conn, action, &opt));
}

const struct verb verb_reservation = {
	.name = "reservation",
	.summary = "show or change who may write to a shared namespace",
	.operands = "ACTION ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = reservation_options,
	.description =
		"ACTION is report, register (--new-key), replace (--key, "
		"--new-key), unregister (--key), acquire (--key, --type), "
		"preempt (--key, --type, --preempt-key), release (--key, "
		"--type) or clear (--key).",
	.example =
		"holdfast reservation report 0000:01:00.0\n"
		"holdfast reservation register 0000:01:00.0 --new-key 0xfeed\n"
		"holdfast reservation acquire 0000:01:00.0 --key 0xfeed "
		"--type write-exclusive",
	.run = reservation_run,
};
