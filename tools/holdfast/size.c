/* SPDX-License-Identifier: BSD-3-Clause */
#include "size.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "args.h"

static const char unit_letters[] = "KMGTP";

/* Digits with an optional 0x; no sign, no blank, unlike strtoull(). */
static bool digits_parse(const char *text, const char **end, uint64_t *value)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	unsigned char first = (unsigned char)*digits;

	if (hex ? !isxdigit(first) : !isdigit(first)) {
		return false;
	}

	char *stop;
	errno = 0;
	*value = strtoull(digits, &stop, hex ? 16 : 10);
	*end = stop;
	return errno == 0;
}

bool size_parse(const char *text, uint64_t *value)
{
	const char *end;

	if (!digits_parse(text, &end, value)) {
		return false;
	}
	if (*end == '\0') {
		return true;
	}

	const char *unit = strchr(unit_letters, toupper((unsigned char)*end));
	if (!unit) {
		return false;
	}
	if (end[1] != '\0' && strcasecmp(end + 1, "iB") != 0) {
		return false;
	}

	unsigned int shift = 10 * (unsigned int)(unit - unit_letters + 1);
	if (*value > UINT64_MAX >> shift) {
		return false;
	}
	*value <<= shift;
	return true;
}

bool duration_parse(const char *text, uint64_t *ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {
		{"", 1000},   {"s", 1000},    {"ms", 1},
		{"m", 60000}, {"h", 3600000},
	};
	char *end;

	if (!isdigit((unsigned char)text[0])) {
		return false;
	}
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		return false;
	}

	double number = strtod(text, &end);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) == 0) {
			double result = number * (double)units[i].ms;

			/* A thousand years is nobody's wish. */
			if (!(result <= 3.2e13)) {
				return false;
			}
			*ms = (uint64_t)result;
			return true;
		}
	}
	return false;
}

static bool cpus_add(struct args_cpus *cpus, uint64_t cpu)
{
	for (uint32_t i = 0; i < cpus->count; i++) {
		if (cpus->cpu[i] == cpu) {
			return false;
		}
	}
	if (cpus->count == ARGS_CPUS_MAX) {
		return false;
	}
	cpus->cpu[cpus->count++] = (uint16_t)cpu;
	return true;
}

bool cpus_parse(const char *text, struct args_cpus *cpus)
{
	const char *at = text;

	cpus->count = 0;
	for (;;) {
		uint64_t first;
		uint64_t last;

		if (!digits_parse(at, &at, &first)) {
			return false;
		}
		last = first;
		if (*at == '-' && !digits_parse(at + 1, &at, &last)) {
			return false;
		}
		if (first > last || last >= ARGS_CPUS_MAX) {
			return false;
		}
		for (uint64_t cpu = first; cpu <= last; cpu++) {
			if (!cpus_add(cpus, cpu)) {
				return false;
			}
		}
		if (*at == '\0') {
			return true;
		}
		if (*at != ',') {
			return false;
		}
		at++;
	}
}

char *size_text(uint64_t bytes, char *buf, size_t len_bytes)
{
	unsigned int unit = 0;
	double number = (double)bytes;

	while (number >= 1024 && unit < strlen(unit_letters)) {
		number /= 1024;
		unit++;
	}
	if (unit == 0) {
		snprintf(buf, len_bytes, "%" PRIu64 " B", bytes);
	} else if (bytes % (UINT64_C(1) << (10 * unit)) == 0) {
		snprintf(buf, len_bytes, "%.0f %ciB", number,
			 unit_letters[unit - 1]);
	} else {
		snprintf(buf, len_bytes, "%.2f %ciB", number,
			 unit_letters[unit - 1]);
	}
	return buf;
}

char *time_text(uint64_t ns, char *buf, size_t len_bytes)
{
	double number = (double)ns;

	if (ns < 1000) {
		snprintf(buf, len_bytes, "%" PRIu64 " ns", ns);
	} else if (ns < 1000000) {
		snprintf(buf, len_bytes, "%.2f us", number / 1e3);
	} else if (ns < 1000000000) {
		snprintf(buf, len_bytes, "%.2f ms", number / 1e6);
	} else {
		snprintf(buf, len_bytes, "%.2f s", number / 1e9);
	}
	return buf;
}
