/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs as a part of the manual page. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "help.h"
#include "verbs.h"

/* Text lines: no request at a line's start, no escape by accident; a sentence
 * ends its line. */
static void man_text(const char *text)
{
	bool begins = true;

	for (; *text; text++) {
		if (begins && (*text == '.' || *text == '\'')) {
			printf("\\&");
		}
		begins = false;
		if (*text == '\\') {
			printf("\\e");
		} else if (*text == '-') {
			printf("\\-");
		} else if (*text == '.' && text[1] == ' ') {
			printf(".\n");
			begins = true;
			text++;
		} else {
			putchar(*text);
		}
	}
	putchar('\n');
}

static void man_sentence(const char *text)
{
	char line[256];

	snprintf(line, sizeof(line), "%c%s.", toupper((unsigned char)*text),
		 text + 1);
	man_text(line);
}

static void man_option(void *user, const struct args_option *option)
{
	(void)user;
	if (!option->help) {
		return;
	}
	printf(".It ");
	if (option->letter) {
		printf("Fl %c , ", option->letter);
	}
	printf("Fl -%s", option->name);
	if (option->value) {
		printf(" Ar %s", option->value);
	}
	putchar('\n');
	man_sentence(option->help);
}

static void man_examples(const char *example)
{
	printf(".Pp\n");
	while (*example) {
		size_t line = strcspn(example, "\n");

		printf(".Dl $ %.*s\n", (int)line, example);
		example += line;
		example += *example == '\n';
	}
}

static void man_verb(const struct verb *verb)
{
	struct verb own = *verb;

	printf(".Ss %s%s%s\n", verb->name, *verb->operands ? " " : "",
	       verb->operands);
	man_sentence(verb->summary);
	if (verb->description) {
		man_text(verb->description);
	}
	own.shared = 0;
	if (own.options && own.options->name) {
		printf(".Bl -tag -width Ds\n");
		args_each_option(&own, man_option, NULL);
		printf(".El\n");
	}
	man_examples(verb->example);
}

void help_man(void)
{
	static const struct verb common = {
		.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	};

	printf(".Sh COMMON OPTIONS\n"
	       "Those of them that a verb takes are in its\n"
	       ".Fl -help .\n"
	       ".Bl -tag -width Ds\n"
	       ".It Fl h , Fl -help\n"
	       "Show what the verb does, its options and an example.\n");
	args_each_option(&common, man_option, NULL);
	printf(".El\n.Sh VERBS\n");
	for (size_t i = 0; i < verb_count(); i++) {
		if (!(verb_at(i)->shared & VERB_HIDDEN)) {
			man_verb(verb_at(i));
		}
	}
}
