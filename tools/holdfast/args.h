/* SPDX-License-Identifier: BSD-3-Clause */
/* One verb's command line: from its tables come the parser, the help, the
 * completion and the check of the man page. Knows no controller. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
};

enum args_kind {
	ARGS_SWITCH,   /* bool */
	ARGS_NUMBER,   /* uint64_t: decimal or 0x, with K, M, G or T */
	ARGS_TEXT,     /* const char * */
	ARGS_CHOICE,   /* int: index into @choices */
	ARGS_DURATION, /* uint64_t, milliseconds: "5", "5s", "200ms", "2m" */
	ARGS_CPUS,     /* struct args_cpus: "0-3,6" */
};

/**
 * struct args_option - one option of a verb
 * @name: without the dashes
 * @letter: short form, 0 for none
 * @kind: what its value is, and what is stored
 * @value: the word for the value in the help; NULL for a switch
 * @help: one sentence, no capital, no full stop; NULL hides the option
 * @offset: where in the verb's struct the value goes
 * @min: least number that is accepted
 * @max: greatest number that is accepted; 0 for any
 * @required: the verb cannot do without
 * @choices: accepted words, ended by NULL
 */
struct args_option {
	const char *name;
	char letter;
	enum args_kind kind;
	const char *value;
	const char *help;
	size_t offset;
	uint64_t min;
	uint64_t max;
	bool required;
	const char *const *choices;
};

#define ARGS_CPUS_MAX 1024

struct args_cpus {
	uint32_t count;
	uint16_t cpu[ARGS_CPUS_MAX];
};

/* Groups of options that many verbs share. */
#define VERB_OUTPUT (1u << 0) /* --output */
#define VERB_DRIVER                                                            \
	(1u << 1) /* --verbose, --bounce, --retries, ...: opens a controller   \
		   */
#define VERB_NAMESPACE (1u << 2) /* --namespace */
#define VERB_HIDDEN    (1u << 3) /* left out of lists */

enum out_format {
	OUT_TEXT,
	OUT_JSON,
};

struct args_shared {
	int output; /* enum out_format */
	bool verbose;
	bool bounce;
	uint64_t nsid; /* 0 when not given */
	uint64_t retries;
	int device_class; /* enum hf_device_class */
};

#define ARGS_OPTIONS_MAX  56
#define ARGS_OPERANDS_MAX 64

struct verb;

/**
 * struct args - a command line being worked on
 * @verb: whose it is
 * @argc: of the verb's own words, the verb's name first
 * @argv: the verb's own words
 * @shared: values of the shared options
 * @operands: what is not an option, after args_parse()
 * @operand_count: entries in @operands
 * @exit_code: what to end with when args_parse() says to end
 * @given: by position in the verb's table, then in the shared one
 */
struct args {
	const struct verb *verb;
	int argc;
	char **argv;
	struct args_shared shared;
	const char *operands[ARGS_OPERANDS_MAX];
	int operand_count;
	int exit_code;
	bool given[ARGS_OPTIONS_MAX];
};

/**
 * struct verb - what "holdfast NAME" does
 * @name: the word
 * @summary: one line, no capital, no full stop
 * @operands: "ADDRESS [FILE]": names in order; "[X]" may be left out,
 *            "[X...]" may repeat; "" for none
 * @shared: VERB_*
 * @options: its own options, ended by one without a name; NULL for none
 * @description: what the summary does not say; may be NULL
 * @example: whole command lines, one a line
 * @run: calls args_parse() first, returns an exit code
 */
struct verb {
	const char *name;
	const char *summary;
	const char *operands;
	unsigned int shared;
	const struct args_option *options;
	const char *description;
	const char *example;
	int (*run)(struct args *args);
};

/**
 * args_parse() - check every word of a command line
 * @args: with verb, argc and argv set
 * @values: the verb's struct, holding the defaults; may be NULL
 *
 * Return: true to go on; false when help was shown or a word was refused,
 * with @args->exit_code set.
 */
bool args_parse(struct args *args, void *values);

/* Whether an option stood on the command line. */
bool args_given(const struct args *args, const char *name);

/* "holdfast VERB: sentence" on stderr; the first returns CLI_FAILED, the
 * second CLI_USAGE. */
int cli_fail(const struct args *args, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int cli_usage(const struct args *args, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* To stderr; for what is worth knowing and no failure. */
void cli_note(const struct args *args, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The verb's help, made from its tables. */
void args_help(const struct verb *verb);

/* Calls @each for every option of a verb, its own and the shared ones. */
void args_each_option(const struct verb *verb,
		      void (*each)(void *user,
				   const struct args_option *option),
		      void *user);
