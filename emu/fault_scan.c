/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers and times out of text, text into a buffer. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "emu/fault_words.h"

void hf_word_print(struct hf_word_out *out, const char *format, ...)
{
	size_t room = out->len_bytes - out->used;
	va_list args;

	if (room <= 1) {
		return;
	}
	va_start(args, format);
	int n = vsnprintf(out->buf + out->used, room, format, args);
	va_end(args);
	if (n > 0) {
		out->used += (size_t)n < room ? (size_t)n : room - 1;
	}
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	if (c >= 'A' && c <= 'F') {
		return c - 'A' + 10;
	}
	return 16;
}

static bool digits(const char *text, size_t len, unsigned int base,
		   uint64_t *value)
{
	uint64_t v = 0;

	if (len == 0) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned int digit = (unsigned int)digit_of(text[i]);

		if (digit >= base || __builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, digit, &v)) {
			return false;
		}
	}
	*value = v;
	return true;
}

bool hf_word_number(const char *text, uint64_t max, uint64_t *value)
{
	size_t len = strlen(text);
	bool good;

	if (len > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		good = digits(text + 2, len - 2, 16, value);
	} else if (len > 1 && (text[len - 1] == 'h' || text[len - 1] == 'H')) {
		good = digits(text, len - 1, 16, value);
	} else {
		good = digits(text, len, 10, value);
	}
	return good && *value <= max;
}

bool hf_word_time(const char *text, uint64_t *ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {
		{"ns", 1},
		{"us", 1000},
		{"ms", HF_NS_PER_MS},
		{"s", HF_NS_PER_S},
	};
	size_t len = strspn(text, "0123456789");
	uint64_t value;

	if (!digits(text, len, 10, &value)) {
		return false;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text + len, units[i].unit) == 0) {
			return !__builtin_mul_overflow(value, units[i].ns, ns);
		}
	}
	return false;
}

const char *hf_word_split(const char *text, char separator, char *head,
			  size_t head_bytes)
{
	const char *at = strchr(text, separator);
	size_t len = at != NULL ? (size_t)(at - text) : 0;

	if (at == NULL || len >= head_bytes) {
		return NULL;
	}
	memcpy(head, text, len);
	head[len] = '\0';
	return at + 1;
}

bool hf_word_masked(const char *text, uint64_t max, uint64_t *value,
		    uint64_t *mask)
{
	char head[32];
	const char *tail = hf_word_split(text, '/', head, sizeof(head));

	*mask = max;
	if (tail == NULL) {
		return hf_word_number(text, max, value);
	}
	return hf_word_number(head, max, value) &&
	       hf_word_number(tail, max, mask) && (*value & ~*mask) == 0 &&
	       *mask != 0;
}
