/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

bool hf_text_size(const char *text, uint64_t *value)
{
	static const char units[] = "KMGT";
	char *end;

	if (!isdigit((unsigned char)text[0])) {
		return false;
	}
	errno = 0;
	*value = strtoull(text, &end, 0);
	if (errno != 0) {
		return false;
	}
	if (*end == '\0') {
		return true;
	}

	const char *unit = strchr(units, toupper((unsigned char)*end));
	if (unit == NULL || end[1] != '\0') {
		return false;
	}
	return hf_mul_u64(*value, UINT64_C(1024) << (10 * (unit - units)),
			  value);
}

int hf_text_option(const char **list, char key[32], char value[256])
{
	size_t len = strcspn(*list, ",");

	if (**list == '\0') {
		return 0;
	}
	size_t key_len = strcspn(*list, ",=");
	size_t value_len = key_len < len ? len - key_len - 1 : 0;
	if (len == 0 || key_len == 0) {
		return -EINVAL;
	}
	/* A word alone may be a path: it goes where there is room for one. */
	if (key_len == len) {
		value_len = len;
		key_len = 0;
	}
	if (key_len >= 32 || value_len >= 256) {
		return -EINVAL;
	}

	memcpy(key, *list, key_len);
	key[key_len] = '\0';
	memcpy(value, *list + len - value_len, value_len);
	value[value_len] = '\0';
	*list += len;
	*list += **list == ',';
	return 1;
}
