/* SPDX-License-Identifier: BSD-3-Clause */
/* A verb's controller and namespace: addresses, opening, closing, and what
 * went wrong in words. Moves no data. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/driver.h>
#include <holdfast/namespace.h>

#include "args.h"

/* What a verb wants of the driver; zero for the default. */
struct conn_wish {
	uint32_t cpu_count;
	uint32_t io_queues;
	uint32_t queue_entries;
	uint32_t shadow_doorbells; /* enum hf_shadow_doorbells */
};

struct conn {
	const struct args *args;
	char address[4096]; /* without the namespace */
	uint32_t nsid;      /* from "#N" or --namespace; 0 when neither */
	struct hf_driver *drv;
	struct hf_namespace *ns;
	struct hf_namespace_info info;
};

/* Whether a word is an address, rather than a file's name. */
bool conn_is_address(const char *word);

/**
 * conn_parse() - take an address apart, opening nothing
 * @conn: filled
 * @args: for messages, and --namespace
 * @word: "ADDRESS" or "ADDRESS#N"
 *
 * Return: an exit code; CLI_USAGE has been explained.
 */
int conn_parse(struct conn *conn, const struct args *args, const char *word);

/**
 * conn_open() - bring a parsed address's controller up
 * @conn: from conn_parse()
 * @wish: may be NULL
 *
 * Return: an exit code; a failure has been explained, and nothing is open.
 */
int conn_open(struct conn *conn, const struct conn_wish *wish);

/* Log lines go to standard error, all of them with --verbose. */
void conn_set_log(const struct args *args, struct hf_log *log);

/* Opens the namespace that was named, or the only one. Return as above; the
 * controller stays open. */
int conn_open_namespace(struct conn *conn);

/* conn_parse(), conn_open() and, if @with_namespace, the namespace. */
int conn_begin(struct conn *conn, const struct args *args, const char *word,
	       bool with_namespace);

/**
 * conn_end() - close everything
 * @conn: open, half open or closed
 * @code: what the verb came to
 *
 * Return: @code, or CLI_FAILED when the shutdown failed.
 */
int conn_end(struct conn *conn, int code);

/* Do blocks [@lba, @lba + @blocks) exist? If not, says so: CLI_FAILED. */
int conn_check_range(const struct conn *conn, uint64_t lba, uint64_t blocks);

/* "WHAT: the result in words" on stderr; CLI_FAILED. */
int conn_fail(const struct conn *conn, const char *what, int result);
