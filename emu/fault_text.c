/* SPDX-License-Identifier: BSD-3-Clause */
/* Fault rules from text and to text. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "emu/fault_words.h"

/* How much of a wrong word an error repeats. */
#define SHOWN 40

void hf_emu_fault_init(struct hf_emu_fault *fault, enum hf_emu_fault_site site)
{
	memset(fault, 0, sizeof(*fault));
	fault->size = sizeof(*fault);
	fault->site = site;
}

static unsigned int place_of(enum hf_emu_fault_site site)
{
	switch (site) {
	case HF_EMU_FAULT_ADMIN:
	case HF_EMU_FAULT_IO:
		return HF_WORD_COMMAND;
	case HF_EMU_FAULT_REGISTER:
		return HF_WORD_REGISTER;
	case HF_EMU_FAULT_INTERRUPT:
		return HF_WORD_INTERRUPT;
	case HF_EMU_FAULT_NOW:
		return HF_WORD_NOW;
	}
	return 0;
}

static const char *place_text(unsigned int place)
{
	switch (place) {
	case HF_WORD_COMMAND:
		return "a command";
	case HF_WORD_REGISTER:
		return "a register";
	case HF_WORD_INTERRUPT:
		return "an interrupt";
	}
	return "now";
}

static int say_words(struct hf_error *err, const struct hf_fault_word *words,
		     unsigned int place, const char *got, const char *what)
{
	char list[360];
	struct hf_word_out out = {.buf = list, .len_bytes = sizeof(list)};

	list[0] = '\0';
	for (; words->word != NULL; words++) {
		if ((words->places & place) != 0) {
			hf_word_print(&out, "%s%s", out.used != 0 ? ", " : "",
				      words->word);
		}
	}
	return hf_error_set(err, -EINVAL,
			    "fault rule: \"%.*s\" is no %s of %s; accepted: %s",
			    SHOWN, got, what, place_text(place), list);
}

static int say_names(struct hf_error *err, const struct hf_fault_name *names,
		     const char *got, const char *what)
{
	char list[360];
	struct hf_word_out out = {.buf = list, .len_bytes = sizeof(list)};

	list[0] = '\0';
	for (; names->name != NULL; names++) {
		hf_word_print(&out, "%s, ", names->name);
	}
	return hf_error_set(err, -EINVAL,
			    "fault rule: \"%.*s\" is no %s; accepted: %sor a "
			    "number",
			    SHOWN, got, what, list);
}

static const struct hf_fault_word *find_word(const struct hf_fault_word *words,
					     unsigned int place,
					     const char *text)
{
	for (; words->word != NULL; words++) {
		if ((words->places & place) != 0 &&
		    strcmp(words->word, text) == 0) {
			return words;
		}
	}
	return NULL;
}

static void store(struct hf_emu_fault *fault, const struct hf_fault_word *word,
		  uint64_t value)
{
	char *field = (char *)fault + word->offset;

	/* The fields are in this machine's order, which the low bytes of a
	 * wider number need not lead. */
	switch (word->bytes) {
	case 1:
		*(uint8_t *)field = (uint8_t)value;
		break;
	case 2:
		*(uint16_t *)(void *)field = (uint16_t)value;
		break;
	case 4:
		*(uint32_t *)(void *)field = (uint32_t)value;
		break;
	default:
		*(uint64_t *)(void *)field = value;
		break;
	}
}

static uint64_t load(const struct hf_emu_fault *fault,
		     const struct hf_fault_word *word)
{
	const char *field = (const char *)fault + word->offset;

	switch (word->bytes) {
	case 1:
		return *(const uint8_t *)field;
	case 2:
		return *(const uint16_t *)(const void *)field;
	case 4:
		return *(const uint32_t *)(const void *)field;
	}
	return *(const uint64_t *)(const void *)field;
}

/* @arg is NULL where there was no equals sign. */
static bool take_word(struct hf_emu_fault *fault,
		      const struct hf_fault_word *word, const char *arg)
{
	uint64_t value = word->otherwise;

	switch (word->kind) {
	case HF_WORD_FLAG:
		return arg == NULL;
	case HF_WORD_NUMBER:
		if (arg == NULL || !hf_word_number(arg, word->max, &value)) {
			return false;
		}
		break;
	case HF_WORD_OPTIONAL:
		if (arg != NULL && !hf_word_number(arg, word->max, &value)) {
			return false;
		}
		break;
	case HF_WORD_TIME:
		if (arg == NULL || !hf_word_time(arg, &value)) {
			return false;
		}
		break;
	case HF_WORD_OWN:
		return word->parse(fault, word->word, arg != NULL ? arg : "");
	}
	store(fault, word, value);
	return true;
}

static int parse_one(struct hf_emu_fault *fault,
		     const struct hf_fault_word *words, char *item,
		     const char *what, struct hf_error *err)
{
	unsigned int place = place_of(fault->site);
	char *arg = strchr(item, '=');

	if (arg != NULL) {
		*arg = '\0';
		arg++;
	}

	const struct hf_fault_word *word = find_word(words, place, item);
	if (word == NULL) {
		return say_words(err, words, place, item, what);
	}
	if (!take_word(fault, word, arg)) {
		return hf_error_set(
			err, -EINVAL, "fault rule: \"%s%s%.*s\": %s takes %s",
			item, arg != NULL ? "=" : "", SHOWN,
			arg != NULL ? arg : "", item,
			word->takes != NULL ? word->takes : "nothing");
	}
	if (words == hf_fault_conditions) {
		fault->match |= (uint32_t)word->bit;
	} else {
		fault->actions |= word->bit;
	}
	return 0;
}

static bool find_name(const struct hf_fault_name *names, const char *text,
		      uint64_t max, uint64_t *value)
{
	for (; names->name != NULL; names++) {
		if (strcmp(names->name, text) == 0) {
			*value = names->value;
			return true;
		}
	}
	return hf_word_number(text, max, value);
}

static int parse_command(struct hf_emu_fault *fault, const char *name,
			 const struct hf_fault_name *names,
			 struct hf_error *err)
{
	uint64_t opcode;

	if (name == NULL) {
		return 0; /* any */
	}
	if (!find_name(names, name, UINT8_MAX, &opcode)) {
		return say_names(err, names, name, "command");
	}
	fault->opcode = (uint8_t)opcode;
	fault->match |= HF_EMU_FAULT_MATCH_OPCODE;
	return 0;
}

static int parse_register(struct hf_emu_fault *fault, const char *name,
			  struct hf_error *err)
{
	uint64_t offset;

	if (name == NULL) {
		return 0;
	}
	if (!find_name(hf_fault_register_names, name, 0xfff, &offset)) {
		return say_names(err, hf_fault_register_names, name,
				 "register");
	}
	fault->register_offset = (uint32_t)offset;
	fault->match |= HF_EMU_FAULT_MATCH_REGISTER;
	return 0;
}

static int parse_site(struct hf_emu_fault *fault, char *text,
		      struct hf_error *err)
{
	char *name = strchr(text, '-');

	if (name != NULL) {
		*name = '\0';
		name++;
	}
	if (strcmp(text, "admin") == 0) {
		fault->site = HF_EMU_FAULT_ADMIN;
		return parse_command(fault, name, hf_fault_admin_names, err);
	}
	if (strcmp(text, "io") == 0) {
		fault->site = HF_EMU_FAULT_IO;
		return parse_command(fault, name, hf_fault_io_names, err);
	}
	if (strcmp(text, "reg") == 0) {
		fault->site = HF_EMU_FAULT_REGISTER;
		return parse_register(fault, name, err);
	}
	if (strcmp(text, "irq") == 0 && name == NULL) {
		fault->site = HF_EMU_FAULT_INTERRUPT;
		return 0;
	}
	if (strcmp(text, "now") == 0 && name == NULL) {
		fault->site = HF_EMU_FAULT_NOW;
		return 0;
	}
	if (strcmp(text, "aer") == 0 && name == NULL) {
		char event[] = "async-event";

		fault->site = HF_EMU_FAULT_ADMIN;
		return parse_command(fault, event, hf_fault_admin_names, err);
	}
	return hf_error_set(err, -EINVAL,
			    "fault rule: \"%.*s%s%.*s\" is no place for a "
			    "fault; accepted: admin, admin-COMMAND, io, "
			    "io-COMMAND, aer, reg, reg-REGISTER, irq, now",
			    SHOWN, text, name != NULL ? "-" : "", SHOWN,
			    name != NULL ? name : "");
}

static int parse_rule(struct hf_emu_fault *fault, char *text,
		      struct hf_error *err)
{
	char *actions = strchr(text, ':');

	if (actions == NULL || actions[1] == '\0') {
		return hf_error_set(err, -EINVAL,
				    "fault rule: \"%.*s\" says not what "
				    "happens; a rule is PLACE[,CONDITION...]:"
				    "ACTION[,ACTION...]",
				    SHOWN, text);
	}
	*actions = '\0';
	actions++;

	char *item = strsep(&text, ",");
	int ret = parse_site(fault, item, err);
	while (ret == 0 && text != NULL) {
		item = strsep(&text, ",");
		ret = parse_one(fault, hf_fault_conditions, item, "condition",
				err);
	}
	while (ret == 0 && actions != NULL) {
		item = strsep(&actions, ",");
		ret = parse_one(fault, hf_fault_actions, item, "action", err);
	}
	return ret;
}

static int check_meaning(const struct hf_emu_fault *fault, struct hf_error *err)
{
	if (((fault->match & HF_EMU_FAULT_MATCH_NTH) != 0 && fault->nth == 0) ||
	    ((fault->match & HF_EMU_FAULT_MATCH_EVERY) != 0 &&
	     fault->every == 0)) {
		return hf_error_set(err, -EINVAL,
				    "fault rule: nth and every count from 1");
	}
	return 0;
}

int hf_emu_fault_parse(struct hf_emu_fault *fault, const char *text,
		       struct hf_error *err)
{
	char copy[HF_EMU_FAULT_TEXT_BYTES];
	size_t len = strnlen(text, sizeof(copy));

	if (len == sizeof(copy)) {
		return hf_error_set(err, -EINVAL,
				    "fault rule: longer than %zu characters",
				    sizeof(copy) - 1);
	}
	memcpy(copy, text, len + 1);
	hf_emu_fault_init(fault, HF_EMU_FAULT_IO);

	int ret = parse_rule(fault, copy, err);
	return ret != 0 ? ret : check_meaning(fault, err);
}

static void print_name(struct hf_word_out *out, const char *place,
		       const struct hf_fault_name *names, bool any,
		       uint32_t value)
{
	hf_word_print(out, "%s", place);
	if (any) {
		return;
	}
	for (; names->name != NULL; names++) {
		if (names->value == value) {
			hf_word_print(out, "-%s", names->name);
			return;
		}
	}
	hf_word_print(out, "-0x%" PRIx32, value);
}

static void print_site(const struct hf_emu_fault *fault,
		       struct hf_word_out *out)
{
	bool any = (fault->match & HF_EMU_FAULT_MATCH_OPCODE) == 0;

	switch (fault->site) {
	case HF_EMU_FAULT_ADMIN:
		print_name(out, "admin", hf_fault_admin_names, any,
			   fault->opcode);
		break;
	case HF_EMU_FAULT_IO:
		print_name(out, "io", hf_fault_io_names, any, fault->opcode);
		break;
	case HF_EMU_FAULT_REGISTER:
		any = (fault->match & HF_EMU_FAULT_MATCH_REGISTER) == 0;
		print_name(out, "reg", hf_fault_register_names, any,
			   fault->register_offset);
		break;
	case HF_EMU_FAULT_INTERRUPT:
		hf_word_print(out, "irq");
		break;
	case HF_EMU_FAULT_NOW:
		hf_word_print(out, "now");
		break;
	}
}

/* In whole nanoseconds, microseconds, milliseconds or seconds. */
static void print_time(struct hf_word_out *out, uint64_t ns)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	unsigned int i = 0;

	while (i < 3 && ns != 0 && ns % 1000 == 0) {
		ns /= 1000;
		i++;
	}
	hf_word_print(out, "%" PRIu64 "%s", ns, units[i]);
}

static void print_words(const struct hf_emu_fault *fault,
			const struct hf_fault_word *words, uint64_t bits,
			struct hf_word_out *out)
{
	unsigned int place = place_of(fault->site);

	for (; words->word != NULL; words++) {
		if ((words->places & place) == 0 || (words->bit & bits) == 0) {
			continue;
		}
		if (words->kind == HF_WORD_OWN) {
			words->format(fault, out);
			continue;
		}
		hf_word_print(out, ",%s", words->word);
		if (words->kind == HF_WORD_TIME) {
			hf_word_print(out, "=");
			print_time(out, load(fault, words));
		} else if (words->kind != HF_WORD_FLAG) {
			hf_word_print(out, "=%" PRIu64, load(fault, words));
		}
	}
}

char *hf_emu_fault_format(const struct hf_emu_fault *fault, char *buf,
			  size_t len_bytes)
{
	struct hf_word_out out = {.buf = buf, .len_bytes = len_bytes};

	if (len_bytes == 0) {
		return buf;
	}
	buf[0] = '\0';
	print_site(fault, &out);
	print_words(fault, hf_fault_conditions, fault->match, &out);

	/* The comma in front of the first action is the colon. */
	size_t colon = out.used;
	print_words(fault, hf_fault_actions, fault->actions, &out);
	if (out.used > colon) {
		buf[colon] = ':';
	}
	return buf;
}
