/* SPDX-License-Identifier: BSD-3-Clause */
#include "output.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "size.h"

/* How a number is shown for reading; hung on it as its user data. */
enum style {
	STYLE_PLAIN,
	STYLE_HEX,
	STYLE_BYTES,
	STYLE_NS,
};

/* Only the addresses of these are used. */
static char style_marks[4];

static struct json_object *must(struct json_object *object)
{
	if (!object) {
		fprintf(stderr, "holdfast: out of memory\n");
		exit(CLI_FAILED);
	}
	return object;
}

struct json_object *out_object(void)
{
	return must(json_object_new_object());
}

struct json_object *out_array(void)
{
	return must(json_object_new_array());
}

void out_add(struct json_object *parent, const char *name,
	     struct json_object *member)
{
	if (json_object_object_add(parent, name, member) != 0) {
		must(NULL);
	}
}

void out_push(struct json_object *array, struct json_object *member)
{
	if (json_object_array_add(array, member) != 0) {
		must(NULL);
	}
}

static void add_styled(struct json_object *parent, const char *name,
		       uint64_t value, enum style style)
{
	struct json_object *number = must(json_object_new_uint64(value));

	json_object_set_userdata(number, &style_marks[style], NULL);
	out_add(parent, name, number);
}

void out_number(struct json_object *parent, const char *name, uint64_t value)
{
	add_styled(parent, name, value, STYLE_PLAIN);
}

void out_hex(struct json_object *parent, const char *name, uint64_t value)
{
	add_styled(parent, name, value, STYLE_HEX);
}

void out_bytes(struct json_object *parent, const char *name, uint64_t value)
{
	add_styled(parent, name, value, STYLE_BYTES);
}

void out_ns(struct json_object *parent, const char *name, uint64_t value)
{
	add_styled(parent, name, value, STYLE_NS);
}

void out_real(struct json_object *parent, const char *name, double value)
{
	char text[48];

	snprintf(text, sizeof(text), "%.3f", value);
	out_add(parent, name, must(json_object_new_double_s(value, text)));
}

void out_bool(struct json_object *parent, const char *name, bool value)
{
	out_add(parent, name, must(json_object_new_boolean(value)));
}

void out_text(struct json_object *parent, const char *name, const char *value)
{
	out_add(parent, name, must(json_object_new_string(value)));
}

void out_chars(struct json_object *parent, const char *name, const char *field,
	       size_t len_bytes)
{
	char text[260];

	if (len_bytes >= sizeof(text)) {
		len_bytes = sizeof(text) - 1;
	}
	len_bytes = strnlen(field, len_bytes);
	for (size_t i = 0; i < len_bytes; i++) {
		text[i] = (char)(field[i] >= ' ' && field[i] <= '~' ? field[i]
								    : '.');
	}
	while (len_bytes > 0 && text[len_bytes - 1] == ' ') {
		len_bytes--;
	}
	text[len_bytes] = '\0';
	out_text(parent, name, text);
}

void out_digits(struct json_object *parent, const char *name,
		const uint8_t *bytes, size_t len_bytes)
{
	char *text = malloc(2 * len_bytes + 1);

	if (!text) {
		must(NULL);
		return;
	}
	for (size_t i = 0; i < len_bytes; i++) {
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	}
	text[2 * len_bytes] = '\0';
	out_text(parent, name, text);
	free(text);
}

void out_u128(struct json_object *parent, const char *name,
	      const uint8_t bytes[16])
{
	unsigned __int128 value = 0;
	char text[48];
	char *at = text + sizeof(text);

	for (int i = 15; i >= 0; i--) {
		value = value << 8 | bytes[i];
	}
	if (value >> 64 == 0) {
		out_number(parent, name, (uint64_t)value);
		return;
	}
	*--at = '\0';
	while (value != 0) {
		*--at = (char)('0' + (int)(value % 10));
		value /= 10;
	}
	out_text(parent, name, at);
}

/* ------------------------------------------------------------ for reading */

static const char *scalar_text(struct json_object *value, char *buf,
			       size_t len_bytes)
{
	const char *mark = json_object_get_userdata(value);
	uint64_t number;
	char human[32];

	switch (json_object_get_type(value)) {
	case json_type_boolean:
		return json_object_get_boolean(value) ? "yes" : "no";
	case json_type_int:
		number = json_object_get_uint64(value);
		if (mark == &style_marks[STYLE_HEX]) {
			snprintf(buf, len_bytes, "0x%" PRIx64, number);
		} else if (mark == &style_marks[STYLE_BYTES] &&
			   number >= 1024) {
			snprintf(buf, len_bytes, "%" PRIu64 " (%s)", number,
				 size_text(number, human, sizeof(human)));
		} else if (mark == &style_marks[STYLE_NS]) {
			time_text(number, buf, len_bytes);
		} else {
			snprintf(buf, len_bytes, "%s",
				 json_object_get_string(value));
		}
		return buf;
	case json_type_string:
		return json_object_get_string(value);
	case json_type_null:
		return "-";
	case json_type_double:
	case json_type_object:
	case json_type_array:
		snprintf(buf, len_bytes, "%s", json_object_get_string(value));
		return buf;
	}
	return "";
}

static bool is_scalar(struct json_object *value)
{
	return !json_object_is_type(value, json_type_object) &&
	       !json_object_is_type(value, json_type_array);
}

/* "model_number" as "model number", "size_bytes" and "p99_ns" without the
 * unit that the value shows. */
static const char *label(const char *name, struct json_object *value, char *buf,
			 size_t len_bytes)
{
	const char *mark = value ? json_object_get_userdata(value) : NULL;
	size_t len = (size_t)snprintf(buf, len_bytes, "%s", name);

	if (mark == &style_marks[STYLE_NS] && len > 3 &&
	    strcmp(buf + len - 3, "_ns") == 0) {
		buf[len - 3] = '\0';
	}
	for (char *at = buf; *at; at++) {
		if (*at == '_') {
			*at = ' ';
		}
	}
	return buf;
}

static void print_tree(struct json_object *tree, int indent);

/* Rows of a table need the same scalar members; others print one by one. */
static bool is_table(struct json_object *array)
{
	size_t count = json_object_array_length(array);

	if (count == 0) {
		return false;
	}

	struct json_object *first = json_object_array_get_idx(array, 0);
	for (size_t i = 0; i < count; i++) {
		struct json_object *row = json_object_array_get_idx(array, i);

		if (!json_object_is_type(row, json_type_object) ||
		    json_object_object_length(row) !=
			    json_object_object_length(first)) {
			return false;
		}
		json_object_object_foreach(row, name, value)
		{
			if (!is_scalar(value) ||
			    !json_object_object_get_ex(first, name, NULL)) {
				return false;
			}
		}
	}
	return true;
}

static int column_width(struct json_object *array, const char *name)
{
	int width = (int)strlen(name);
	char buf[512];

	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *value = NULL;

		json_object_object_get_ex(json_object_array_get_idx(array, i),
					  name, &value);
		int len = (int)strlen(scalar_text(value, buf, sizeof(buf)));
		width = len > width ? len : width;
	}
	return width;
}

static void print_table(struct json_object *array, int indent)
{
	struct json_object *first = json_object_array_get_idx(array, 0);
	char buf[512];

	const char *between = "";
	int gap = 0;

	/* A column's padding is printed with the next, not at a line's end. */
	printf("%*s", indent, "");
	json_object_object_foreach(first, title, unused)
	{
		const char *text = label(title, unused, buf, sizeof(buf));

		printf("%s%*s%s", between, gap, "", text);
		gap = column_width(array, title) - (int)strlen(text);
		between = "  ";
	}
	putchar('\n');
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *row = json_object_array_get_idx(array, i);

		printf("%*s", indent, "");
		between = "";
		gap = 0;
		json_object_object_foreach(first, name, ignored)
		{
			struct json_object *value = NULL;

			(void)ignored;
			json_object_object_get_ex(row, name, &value);

			const char *text = scalar_text(value, buf, sizeof(buf));
			printf("%s%*s%s", between, gap, "", text);
			gap = column_width(array, name) - (int)strlen(text);
			between = "  ";
		}
		putchar('\n');
	}
}

static void print_array(struct json_object *array, int indent)
{
	char buf[512];

	if (is_table(array)) {
		print_table(array, indent);
		return;
	}
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *item = json_object_array_get_idx(array, i);

		if (is_scalar(item)) {
			printf("%*s%s\n", indent, "",
			       scalar_text(item, buf, sizeof(buf)));
			continue;
		}
		if (i > 0) {
			putchar('\n');
		}
		print_tree(item, indent);
	}
	if (json_object_array_length(array) == 0) {
		printf("%*snone\n", indent, "");
	}
}

static void print_object(struct json_object *object, int indent)
{
	int width = 0;
	char name_buf[128];
	char buf[512];

	json_object_object_foreach(object, name, value)
	{
		if (is_scalar(value)) {
			int len = (int)strlen(
				label(name, value, name_buf, sizeof(name_buf)));
			width = len > width ? len : width;
		}
	}
	json_object_object_foreach(object, key, member)
	{
		label(key, member, name_buf, sizeof(name_buf));
		if (is_scalar(member)) {
			printf("%*s%-*s  %s\n", indent, "", width, name_buf,
			       scalar_text(member, buf, sizeof(buf)));
		} else {
			printf("%*s%s:\n", indent, "", name_buf);
			print_tree(member, indent + 2);
		}
	}
}

/* As deep as our own trees are, which is a few levels. */
static void print_tree(struct json_object *tree, int indent)
{
	if (json_object_is_type(tree, json_type_array)) {
		print_array(tree, indent);
	} else {
		print_object(tree, indent);
	}
}

int out_print(const struct args *args, struct json_object *tree)
{
	if (args->shared.output == OUT_JSON) {
		puts(json_object_to_json_string_ext(
			tree, JSON_C_TO_STRING_PRETTY |
				      JSON_C_TO_STRING_NOSLASHESCAPE |
				      JSON_C_TO_STRING_SPACED));
	} else {
		print_tree(tree, 0);
	}
	json_object_put(tree);
	return CLI_OK;
}

void out_line(struct json_object *tree)
{
	puts(json_object_to_json_string_ext(
		tree, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stdout);
	json_object_put(tree);
}

void out_hexdump(const uint8_t *data, uint64_t len_bytes, uint64_t offset)
{
	bool repeating = false;

	for (uint64_t at = 0; at < len_bytes; at += 16) {
		uint64_t row = len_bytes - at < 16 ? len_bytes - at : 16;

		if (at > 0 && row == 16 && at + 16 < len_bytes &&
		    memcmp(data + at, data + at - 16, 16) == 0) {
			if (!repeating) {
				puts("*");
			}
			repeating = true;
			continue;
		}
		repeating = false;
		printf("%08" PRIx64 " ", offset + at);
		for (uint64_t i = 0; i < 16; i++) {
			if (i % 8 == 0) {
				putchar(' ');
			}
			if (i < row) {
				printf("%02x ", data[at + i]);
			} else {
				printf("   ");
			}
		}
		printf(" |");
		for (uint64_t i = 0; i < row; i++) {
			uint8_t c = data[at + i];

			putchar(c >= ' ' && c <= '~' ? c : '.');
		}
		puts("|");
	}
}
