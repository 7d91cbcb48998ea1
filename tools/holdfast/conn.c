/* SPDX-License-Identifier: BSD-3-Clause */
#include "conn.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <holdfast/device.h>

/* 0000:01:00.0, or 01:00.0. */
static bool is_bdf(const char *word)
{
	unsigned int domain;
	unsigned int bus;
	unsigned int device;
	unsigned int function;
	int used = 0;

	if (sscanf(word, "%4x:%2x:%2x.%1x%n", &domain, &bus, &device, &function,
		   &used) == 4 &&
	    word[used] == '\0') {
		return true;
	}
	used = 0;
	return sscanf(word, "%2x:%2x.%1x%n", &bus, &device, &function, &used) ==
		       3 &&
	       word[used] == '\0';
}

/* The "#N" at the end of a word, or its end; N may be any digits. */
static const char *find_suffix(const char *word)
{
	const char *hash = strrchr(word, '#');

	if (!hash || hash[1] == '\0') {
		return word + strlen(word);
	}
	for (const char *at = hash + 1; *at; at++) {
		if (!isdigit((unsigned char)*at)) {
			return word + strlen(word);
		}
	}
	return hash;
}

bool conn_is_address(const char *word)
{
	static const char *const schemes[] = {
		"vfio:", "vfio-user:", "emulated:"};
	char bdf[16];
	size_t len = (size_t)(find_suffix(word) - word);

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (strncmp(word, schemes[i], strlen(schemes[i])) == 0) {
			return true;
		}
	}
	if (len >= sizeof(bdf)) {
		return false;
	}
	memcpy(bdf, word, len);
	bdf[len] = '\0';
	return is_bdf(bdf);
}

int conn_parse(struct conn *conn, const struct args *args, const char *word)
{
	const char *suffix = find_suffix(word);
	size_t len = (size_t)(suffix - word);

	*conn = (struct conn){.args = args,
			      .nsid = (uint32_t)args->shared.nsid};
	if (!conn_is_address(word)) {
		return cli_usage(args,
				 "'%s' is no address; accepted are "
				 "vfio:0000:01:00.0 (or 0000:01:00.0), "
				 "vfio-user:SOCKET and emulated:OPTIONS",
				 word);
	}
	if (len >= sizeof(conn->address)) {
		return cli_usage(args, "the address is longer than %zu bytes",
				 sizeof(conn->address) - 1);
	}
	memcpy(conn->address, word, len);
	conn->address[len] = '\0';
	if (*suffix == '\0') {
		return CLI_OK;
	}

	char *end;
	errno = 0;
	unsigned long long nsid = strtoull(suffix + 1, &end, 10);
	if (errno != 0 || nsid == 0 || nsid > UINT32_MAX) {
		return cli_usage(args,
				 "'%s' names no namespace; a number from 1 to "
				 "4294967295 is accepted after the #",
				 suffix);
	}
	if (conn->nsid != 0 && conn->nsid != nsid) {
		return cli_usage(args,
				 "'%s' and --namespace %" PRIu32
				 " name two namespaces; one is accepted",
				 suffix, conn->nsid);
	}
	conn->nsid = (uint32_t)nsid;
	return CLI_OK;
}

static void log_line(void *user, enum hf_log_level level, const char *line)
{
	static const char *const names[] = {"error", "warning", "info",
					    "debug"};

	(void)user;
	fprintf(stderr, "%s: %s\n",
		(unsigned int)level < 4 ? names[level] : "?", line);
}

void conn_set_log(const struct args *args, struct hf_log *log)
{
	log->write = log_line;
	log->max_level = args->shared.verbose ? HF_LOG_DEBUG : HF_LOG_WARNING;
}

/* An address that is not understood is the user's word; the rest is not. */
static int open_failed(const struct conn *conn, int result,
		       const struct hf_error *err)
{
	if (result == -EINVAL) {
		return cli_usage(conn->args, "%s", err->message);
	}
	return cli_fail(conn->args, "%s", err->message);
}

int conn_open(struct conn *conn, const struct conn_wish *wish)
{
	struct hf_error err = {.message = ""};
	struct hf_driver_options options;
	struct hf_device *device;

	hf_driver_options_init(&options);
	conn_set_log(conn->args, &options.log);
	options.device.log = options.log;
	options.bounce = conn->args->shared.bounce;
	options.device_class = (uint32_t)conn->args->shared.device_class;
	if (args_given(conn->args, "retries")) {
		options.retries = (uint32_t)conn->args->shared.retries;
	}
	if (wish && wish->cpu_count) {
		options.cpu_count = wish->cpu_count;
	}
	if (wish && wish->io_queues) {
		options.io_queues = wish->io_queues;
	}
	if (wish && wish->queue_entries) {
		options.queue_entries = wish->queue_entries;
	}
	if (wish) {
		options.shadow_doorbells = wish->shadow_doorbells;
	}

	int result =
		hf_device_open(&device, conn->address, &options.device, &err);
	if (result) {
		return open_failed(conn, result, &err);
	}
	result = hf_driver_start(&conn->drv, device, &options, &err);
	if (result) {
		conn->drv = NULL;
		hf_device_close(device);
		return cli_fail(conn->args, "%s", err.message);
	}
	result = hf_driver_ready_wait(conn->drv, &err);
	if (result) {
		cli_fail(conn->args, "%s", err.message);
		hf_driver_close(conn->drv, NULL);
		conn->drv = NULL;
		return CLI_FAILED;
	}
	return CLI_OK;
}

#define NSIDS_SHOWN 16

/* The one namespace there is, where none was named. */
static int choose_namespace(struct conn *conn)
{
	uint32_t nsids[NSIDS_SHOWN];
	struct hf_error err;
	uint32_t count = 0;
	char list[NSIDS_SHOWN * 12] = "";
	size_t used = 0;

	if (hf_namespace_list(conn->drv, nsids, NSIDS_SHOWN, &count, &err)) {
		return cli_fail(conn->args, "%s", err.message);
	}
	if (count == 1) {
		conn->nsid = nsids[0];
		return CLI_OK;
	}
	if (count == 0) {
		return cli_fail(conn->args, "%s has no namespace",
				conn->address);
	}
	for (uint32_t i = 0; i < count && i < NSIDS_SHOWN; i++) {
		used += (size_t)snprintf(list + used, sizeof(list) - used,
					 "%s%" PRIu32, i ? ", " : "", nsids[i]);
	}
	return cli_usage(
		conn->args,
		"%s has %" PRIu32 " namespaces; --namespace accepts %s%s",
		conn->address, count, list, count > NSIDS_SHOWN ? ", ..." : "");
}

int conn_open_namespace(struct conn *conn)
{
	struct hf_error err = {.message = ""};

	if (conn->nsid == 0) {
		int code = choose_namespace(conn);

		if (code != CLI_OK) {
			return code;
		}
	}
	if (hf_namespace_open(&conn->ns, conn->drv, conn->nsid, &err)) {
		conn->ns = NULL;
		return cli_fail(conn->args, "%s", err.message);
	}
	hf_namespace_get_info(conn->ns, &conn->info);
	return CLI_OK;
}

int conn_begin(struct conn *conn, const struct args *args, const char *word,
	       bool with_namespace)
{
	int code = conn_parse(conn, args, word);

	if (code == CLI_OK) {
		code = conn_open(conn, NULL);
	}
	if (code == CLI_OK && with_namespace) {
		code = conn_open_namespace(conn);
	}
	if (code != CLI_OK) {
		return conn_end(conn, code);
	}
	return CLI_OK;
}

int conn_end(struct conn *conn, int code)
{
	struct hf_error err = {.message = ""};

	hf_namespace_close(conn->ns);
	conn->ns = NULL;
	if (conn->drv && hf_driver_close(conn->drv, &err) != 0 &&
	    code == CLI_OK) {
		code = cli_fail(conn->args, "%s", err.message);
	}
	conn->drv = NULL;
	return code;
}

int conn_check_range(const struct conn *conn, uint64_t lba, uint64_t blocks)
{
	if (lba <= conn->info.blocks && blocks <= conn->info.blocks - lba) {
		return CLI_OK;
	}
	return cli_fail(conn->args,
			"%" PRIu64 " blocks from LBA %" PRIu64
			" on are beyond namespace %" PRIu32
			", which has LBA 0 to %" PRIu64,
			blocks, lba, conn->nsid,
			conn->info.blocks ? conn->info.blocks - 1 : 0);
}

int conn_fail(const struct conn *conn, const char *what, int result)
{
	char text[160];

	return cli_fail(conn->args, "%s: %s", what,
			hf_result_text(result, text, sizeof(text)));
}
