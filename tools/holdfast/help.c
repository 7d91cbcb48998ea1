/* SPDX-License-Identifier: BSD-3-Clause */
/* Help for people, and the tables in a form for programs. */
#include "help.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "verbs.h"

#define HELP_WIDTH 80

/* Words of @text from @column on, broken before the right edge. */
static void print_wrapped(const char *text, int indent, int column)
{
	while (*text) {
		size_t word = strcspn(text, " \n");

		if (column > indent && column + 1 + (int)word > HELP_WIDTH) {
			printf("\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			putchar(' ');
			column++;
		}
		printf("%.*s", (int)word, text);
		column += (int)word;
		text += word;
		if (*text == '\n') {
			printf("\n%*s", indent, "");
			column = indent;
		}
		text += *text != '\0';
	}
	putchar('\n');
}

static void print_option(void *user, const struct args_option *option)
{
	char head[80];
	int column = 28;

	(void)user;
	if (!option->help) {
		return;
	}

	char letter[5] = "    ";
	if (option->letter) {
		snprintf(letter, sizeof(letter), "-%c, ", option->letter);
	}
	snprintf(head, sizeof(head), "  %s--%s%s%s", letter, option->name,
		 option->value ? " " : "", option->value ? option->value : "");
	printf("%-*s", column, head);
	if ((int)strlen(head) >= column) {
		printf("\n%*s", column, "");
	}
	print_wrapped(option->help, column, column);
}

static void print_examples(const char *example)
{
	while (*example) {
		size_t line = strcspn(example, "\n");

		printf("  %.*s\n", (int)line, example);
		example += line;
		example += *example == '\n';
	}
}

void args_help(const struct verb *verb)
{
	printf("usage: holdfast %s%s%s [OPTION...]\n\n", verb->name,
	       *verb->operands ? " " : "", verb->operands);
	putchar(toupper((unsigned char)verb->summary[0]));
	printf("%s.\n", verb->summary + 1);
	if (verb->description) {
		putchar('\n');
		print_wrapped(verb->description, 0, 0);
	}
	printf("\nOptions:\n");
	args_each_option(verb, print_option, NULL);
	printf("%-28sthis text\n\nExample:\n", "  -h, --help");
	print_examples(verb->example);
}

void help_overview(void)
{
	printf("usage: holdfast VERB [ADDRESS] [OPTION...]\n"
	       "       holdfast VERB --help\n\n"
	       "A user-space NVMe driver that survives its own restart.\n\n"
	       "Addresses:\n"
	       "  vfio:0000:01:00.0       a controller of this machine that is "
	       "bound to vfio-pci\n"
	       "  vfio-user:/run/x.sock   a vfio-user server\n"
	       "  emulated:disk.img       a controller in this process; "
	       "emulated:size=1G,lba=4096\n"
	       "  ADDRESS#N               namespace N of it\n\n"
	       "Verbs:\n");
	for (size_t i = 0; i < verb_count(); i++) {
		const struct verb *verb = verb_at(i);

		if (!(verb->shared & VERB_HIDDEN)) {
			printf("  %-15s %s\n", verb->name, verb->summary);
		}
	}
	printf("\nExit status: 0 done, 1 failed, 2 not understood.\n");
}

/* --------------------------------------------------- for other programs */

static void print_table_row(void *user, const struct args_option *option)
{
	const struct verb *verb = user;

	if (option->help) {
		printf("%s --%s %s\n", verb->name, option->name,
		       option->value ? option->value : "");
	}
}

void help_table(void)
{
	for (size_t i = 0; i < verb_count(); i++) {
		const struct verb *verb = verb_at(i);

		if (verb->shared & VERB_HIDDEN) {
			continue;
		}
		printf("%s\n", verb->name);
		args_each_option(verb, print_table_row, (void *)verb);
	}
}

static void print_word(void *user, const struct args_option *option)
{
	(void)user;
	if (option->help) {
		printf(" --%s", option->name);
	}
}

static void print_choices(void *user, const struct args_option *option)
{
	const struct verb *verb = user;

	if (!option->help || option->kind != ARGS_CHOICE) {
		return;
	}
	printf("\t%s:--%s) words='", verb->name, option->name);
	for (int i = 0; option->choices[i]; i++) {
		printf("%s%s", i ? " " : "", option->choices[i]);
	}
	printf("' ;;\n");
}

void help_completion(void)
{
	printf("# Completion of holdfast's command line for bash.\n"
	       "# Made by \"holdfast help --completion\" from the program's "
	       "own tables.\n\n"
	       "_holdfast()\n{\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n"
	       "\tlocal prev=${COMP_WORDS[COMP_CWORD-1]}\n\n"
	       "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
	       "\t\twords='--help --version");
	for (size_t i = 0; i < verb_count(); i++) {
		if (!(verb_at(i)->shared & VERB_HIDDEN)) {
			printf(" %s", verb_at(i)->name);
		}
	}
	printf("'\n"
	       "\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
	       "\"$cur\")\n\t\treturn\n\tfi\n\n"
	       "\tcase ${COMP_WORDS[1]}:$prev in\n");
	for (size_t i = 0; i < verb_count(); i++) {
		if (!(verb_at(i)->shared & VERB_HIDDEN)) {
			args_each_option(verb_at(i), print_choices,
					 (void *)verb_at(i));
		}
	}
	printf("\tesac\n"
	       "\tif [ -z \"$words\" ] && [[ $cur == -* ]]; then\n"
	       "\t\tcase ${COMP_WORDS[1]} in\n");
	for (size_t i = 0; i < verb_count(); i++) {
		if (!(verb_at(i)->shared & VERB_HIDDEN)) {
			printf("\t\t%s) words='--help", verb_at(i)->name);
			args_each_option(verb_at(i), print_word, NULL);
			printf("' ;;\n");
		}
	}
	printf("\t\tesac\n\tfi\n"
	       "\tif [ -n \"$words\" ]; then\n"
	       "\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
	       "\"$cur\")\n"
	       "\telse\n"
	       "\t\tmapfile -t COMPREPLY < <(compgen -f -W "
	       "'emulated: vfio: vfio-user:' -- \"$cur\")\n"
	       "\tfi\n}\n\n"
	       "complete -o filenames -o nospace -F _holdfast holdfast\n");
}
