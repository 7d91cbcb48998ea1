/* SPDX-License-Identifier: BSD-3-Clause */
#include "args.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "size.h"

static const char *const output_words[] = {"text", "json", NULL};

/* In the order of enum hf_device_class. */
static const char *const class_words[] = {"auto", "ordinary", "quiet",
					  "forbidden", NULL};

#define SHARED(field) offsetof(struct args_shared, field)

/* With the group that each belongs to; all verbs have --help. */
static const struct {
	unsigned int group;
	struct args_option option;
} shared_options[] = {
	{VERB_NAMESPACE,
	 {.name = "namespace",
	  .letter = 'n',
	  .kind = ARGS_NUMBER,
	  .value = "N",
	  .help = "namespace identifier; the only one if there is one, or "
		  "after a # in the address",
	  .offset = SHARED(nsid),
	  .min = 1,
	  .max = UINT32_MAX}},
	{VERB_OUTPUT,
	 {.name = "output",
	  .letter = 'o',
	  .kind = ARGS_CHOICE,
	  .value = "FORMAT",
	  .help = "text (the default) or json",
	  .offset = SHARED(output),
	  .choices = output_words}},
	{VERB_DRIVER,
	 {.name = "bounce",
	  .kind = ARGS_SWITCH,
	  .help = "copy all data through pages that the driver owns",
	  .offset = SHARED(bounce)}},
	{VERB_DRIVER,
	 {.name = "retries",
	  .kind = ARGS_NUMBER,
	  .value = "N",
	  .help = "send a command again at most so often when its status says "
		  "that this may help; 5 when not given, 0 for never",
	  .offset = SHARED(retries),
	  .max = 100}},
	{VERB_DRIVER,
	 {.name = "device-class",
	  .kind = ARGS_CHOICE,
	  .value = "CLASS",
	  .help = "what the controller takes while drivers follow one another: "
		  "auto (the default), ordinary, quiet or forbidden; see "
		  "holdfast-servicing(7)",
	  .offset = SHARED(device_class),
	  .choices = class_words}},
	{VERB_DRIVER,
	 {.name = "verbose",
	  .letter = 'v',
	  .kind = ARGS_SWITCH,
	  .help = "report the driver's decisions on standard error",
	  .offset = SHARED(verbose)}},
};

#define SHARED_COUNT (sizeof(shared_options) / sizeof(shared_options[0]))

static void say(const struct args *args, const char *format, va_list list)
{
	fflush(stdout);
	fprintf(stderr, "holdfast");
	if (args && args->verb) {
		fprintf(stderr, " %s", args->verb->name);
	}
	fprintf(stderr, ": ");
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
}

int cli_fail(const struct args *args, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	say(args, format, list);
	va_end(list);
	return CLI_FAILED;
}

int cli_usage(const struct args *args, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	say(args, format, list);
	va_end(list);
	return CLI_USAGE;
}

void cli_note(const struct args *args, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	say(args, format, list);
	va_end(list);
}

/* ------------------------------------------------------------ the options */

/* All that a verb accepts, in the order of its help. */
struct option_list {
	const struct args_option *option[ARGS_OPTIONS_MAX];
	bool shared[ARGS_OPTIONS_MAX];
	int count;
};

static void option_list_init(struct option_list *list, const struct verb *verb)
{
	list->count = 0;
	for (const struct args_option *option = verb->options;
	     option && option->name && list->count < ARGS_OPTIONS_MAX;
	     option++) {
		list->shared[list->count] = false;
		list->option[list->count++] = option;
	}
	for (size_t i = 0; i < SHARED_COUNT && list->count < ARGS_OPTIONS_MAX;
	     i++) {
		if (verb->shared & shared_options[i].group) {
			list->shared[list->count] = true;
			list->option[list->count++] = &shared_options[i].option;
		}
	}
}

void args_each_option(const struct verb *verb,
		      void (*each)(void *user,
				   const struct args_option *option),
		      void *user)
{
	struct option_list list;

	option_list_init(&list, verb);
	for (int i = 0; i < list.count; i++) {
		each(user, list.option[i]);
	}
}

bool args_given(const struct args *args, const char *name)
{
	struct option_list list;

	option_list_init(&list, args->verb);
	for (int i = 0; i < list.count; i++) {
		if (args->given[i] && strcmp(list.option[i]->name, name) == 0) {
			return true;
		}
	}
	return false;
}

/* ------------------------------------------------------------- the values */

static bool refuse(struct args *args, const struct args_option *option,
		   const char *text, const char *accepted)
{
	args->exit_code = cli_usage(args, "--%s takes %s, not '%s'",
				    option->name, accepted, text);
	return false;
}

static bool store_number(struct args *args, const struct args_option *option,
			 const char *text, uint64_t *value)
{
	uint64_t max = option->max ? option->max : UINT64_MAX;
	char accepted[160];
	uint64_t number;

	if (size_parse(text, &number) && number >= option->min &&
	    number <= max) {
		*value = number;
		return true;
	}
	if (option->min == 0 && max == UINT64_MAX) {
		snprintf(accepted, sizeof(accepted),
			 "a number (decimal or 0x, also with K, M, G or T)");
	} else if (max == UINT64_MAX) {
		snprintf(accepted, sizeof(accepted),
			 "a number of at least %" PRIu64
			 " (decimal or 0x, also with K, M, G or T)",
			 option->min);
	} else {
		snprintf(accepted, sizeof(accepted),
			 "a number from %" PRIu64 " to %" PRIu64
			 " (decimal or 0x, also with K, M, G or T)",
			 option->min, max);
	}
	return refuse(args, option, text, accepted);
}

static bool store_choice(struct args *args, const struct args_option *option,
			 const char *text, int *value)
{
	char accepted[400] = "";
	size_t used = 0;

	for (int i = 0; option->choices[i]; i++) {
		if (strcmp(text, option->choices[i]) == 0) {
			*value = i;
			return true;
		}
	}
	for (int i = 0; option->choices[i] && used < sizeof(accepted); i++) {
		const char *between = "";

		if (i > 0) {
			between = option->choices[i + 1] ? ", " : " or ";
		}
		used += (size_t)snprintf(accepted + used,
					 sizeof(accepted) - used, "%s%s",
					 between, option->choices[i]);
	}
	return refuse(args, option, text, accepted);
}

static bool store_duration(struct args *args, const struct args_option *option,
			   const char *text, uint64_t *value)
{
	uint64_t max = option->max ? option->max : UINT64_MAX;
	uint64_t ms;

	if (duration_parse(text, &ms) && ms >= option->min && ms <= max) {
		*value = ms;
		return true;
	}
	return refuse(args, option, text,
		      option->min ? "a time above zero such as 5, 5s, 200ms, "
				    "2m or 1h"
				  : "a time such as 5, 5s, 200ms, 2m or 1h");
}

static bool store(struct args *args, const struct args_option *option,
		  void *base, const char *text)
{
	void *at = (char *)base + option->offset;

	switch (option->kind) {
	case ARGS_SWITCH:
		*(bool *)at = true;
		return true;
	case ARGS_NUMBER:
		return store_number(args, option, text, at);
	case ARGS_TEXT:
		if (text[0] == '\0') {
			return refuse(args, option, text, "a word");
		}
		*(const char **)at = text;
		return true;
	case ARGS_CHOICE:
		return store_choice(args, option, text, at);
	case ARGS_DURATION:
		return store_duration(args, option, text, at);
	case ARGS_CPUS:
		if (cpus_parse(text, at)) {
			return true;
		}
		return refuse(args, option, text,
			      "CPUs such as 0-3,6, each once");
	}
	return false;
}

/* --------------------------------------------------------------- the words */

/* The option that a refused word was meant to be, for the message. */
static void refuse_option(struct args *args, int code,
			  const struct option_list *list, int before)
{
	const char *word = args->argv[before < args->argc ? before : 0];
	const struct args_option *option = NULL;

	for (int i = 0; i < list->count; i++) {
		/* getopt_long gives val; 256 + i is ours. */
		if (optopt == 256 + i ||
		    (optopt && optopt == list->option[i]->letter)) {
			option = list->option[i];
		}
	}
	args->exit_code = CLI_USAGE;
	if (code == ':' && option) {
		cli_usage(args, "--%s needs a value: %s", option->name,
			  option->value);
	} else if (option) {
		cli_usage(args, "--%s takes no value: '%s'", option->name,
			  word);
	} else {
		cli_usage(args,
			  "no option '%s', or not only one begins so; "
			  "'holdfast %s --help' lists what is accepted",
			  word, args->verb->name);
	}
}

/* Operands' names are words; one that may be left out is in brackets. */
static void operand_bounds(const char *operands, int *min, int *max)
{
	bool inside = false;

	*min = 0;
	*max = 0;
	for (const char *at = operands; *at; at++) {
		if (*at == ' ') {
			inside = false;
			continue;
		}
		if (!inside) {
			inside = true;
			(*max)++;
			*min += *at != '[';
		}
		if (strncmp(at, "...", 3) == 0) {
			*max = ARGS_OPERANDS_MAX;
			break;
		}
	}
}

static bool take_operands(struct args *args, int first)
{
	const char *names = args->verb->operands;
	int count = args->argc - first;
	int min;
	int max;

	operand_bounds(names, &min, &max);
	if (count < min) {
		args->exit_code = cli_usage(args, "needs %s", names);
		return false;
	}
	if (count > max) {
		args->exit_code = cli_usage(
			args, "'%s' is one word too many; accepted: %s",
			args->argv[first + max],
			*names ? names : "options only");
		return false;
	}
	for (int i = 0; i < count; i++) {
		if (args->argv[first + i][0] == '\0') {
			args->exit_code = cli_usage(
				args, "an empty word; accepted: %s", names);
			return false;
		}
		args->operands[i] = args->argv[first + i];
	}
	args->operand_count = count;
	return true;
}

static bool check_required(struct args *args, const struct option_list *list)
{
	for (int i = 0; i < list->count; i++) {
		const struct args_option *option = list->option[i];

		if (option->required && !args->given[i]) {
			args->exit_code = cli_usage(args, "needs --%s %s: %s",
						    option->name, option->value,
						    option->help);
			return false;
		}
	}
	return true;
}

static void fill_getopt(const struct option_list *list, struct option *longs,
			char *shorts)
{
	char *next = shorts;

	*next++ = ':';
	for (int i = 0; i < list->count; i++) {
		const struct args_option *option = list->option[i];

		longs[i] = (struct option){
			.name = option->name,
			.has_arg = option->kind == ARGS_SWITCH
					   ? no_argument
					   : required_argument,
			.val = 256 + i,
		};
		if (option->letter) {
			*next++ = option->letter;
			if (option->kind != ARGS_SWITCH) {
				*next++ = ':';
			}
		}
	}
	longs[list->count] = (struct option){.name = "help", .val = 'h'};
	longs[list->count + 1] = (struct option){0};
	*next++ = 'h';
	*next = '\0';
}

static int option_index(const struct option_list *list, int code)
{
	if (code >= 256) {
		return code - 256;
	}
	for (int i = 0; i < list->count; i++) {
		if (list->option[i]->letter == code) {
			return i;
		}
	}
	return -1;
}

bool args_parse(struct args *args, void *values)
{
	struct option longs[ARGS_OPTIONS_MAX + 2];
	char shorts[2 * ARGS_OPTIONS_MAX + 3];
	struct option_list list;

	option_list_init(&list, args->verb);
	fill_getopt(&list, longs, shorts);
	opterr = 0;
	optind = 0;
	for (;;) {
		int before = optind ? optind : 1;
		int code = getopt_long(args->argc, args->argv, shorts, longs,
				       NULL);

		if (code == -1) {
			break;
		}
		if (code == 'h') {
			args_help(args->verb);
			args->exit_code = CLI_OK;
			return false;
		}
		if (code == '?' || code == ':') {
			/* Operands were moved behind: the word is the last
			 * one that was looked at. */
			int word = optind > before ? optind - 1 : before;

			refuse_option(args, code, &list, word);
			return false;
		}

		int i = option_index(&list, code);
		void *base = list.shared[i] ? (void *)&args->shared : values;
		if (!store(args, list.option[i], base, optarg)) {
			return false;
		}
		args->given[i] = true;
	}
	return take_operands(args, optind) && check_required(args, &list);
}
