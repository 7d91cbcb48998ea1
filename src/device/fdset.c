/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/fdset.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

void hf_fdset_init(struct hf_fdset *set)
{
	set->count = 0;
	set->text[0] = '\0';
	set->maps = NULL;
	set->map_count = 0;
	set->iova_map = NULL;
}

int hf_fdset_add(struct hf_fdset *set, int fd, struct hf_error *err,
		 const char *name_format, ...)
{
	if (set->count == HF_FDSET_MAX) {
		return hf_error_set(err, -ENOSPC,
				    "a successor can be handed %d descriptors, "
				    "and this driver has more",
				    HF_FDSET_MAX);
	}

	va_list args;
	va_start(args, name_format);
	vsnprintf(set->entries[set->count].name, HF_FDSET_NAME_BYTES,
		  name_format, args);
	va_end(args);
	set->entries[set->count].fd = fd;
	set->count++;
	return 0;
}

static uint32_t index_of(const struct hf_fdset *set, const char *name_format,
			 va_list args)
{
	char name[HF_FDSET_NAME_BYTES];

	vsnprintf(name, sizeof(name), name_format, args);
	for (uint32_t i = 0; i < set->count; i++) {
		if (strcmp(set->entries[i].name, name) == 0) {
			return i;
		}
	}
	return set->count;
}

int hf_fdset_find(const struct hf_fdset *set, const char *name_format, ...)
{
	va_list args;

	va_start(args, name_format);
	uint32_t i = index_of(set, name_format, args);
	va_end(args);
	return i < set->count ? set->entries[i].fd : -1;
}

int hf_fdset_take(struct hf_fdset *set, const char *name_format, ...)
{
	va_list args;

	va_start(args, name_format);
	uint32_t i = index_of(set, name_format, args);
	va_end(args);
	if (i == set->count) {
		return -1;
	}

	int fd = set->entries[i].fd;
	set->count--;
	set->entries[i] = set->entries[set->count];
	return fd;
}

int hf_fdset_put_text(struct hf_fdset *set, struct hf_error *err,
		      const char *key, const char *value_format, ...)
{
	size_t used = strnlen(set->text, sizeof(set->text) - 1);
	size_t room = sizeof(set->text) - used;
	char value[512];

	va_list args;
	va_start(args, value_format);
	vsnprintf(value, sizeof(value), value_format, args);
	va_end(args);

	int len = snprintf(set->text + used, room, "%s=%s\n", key, value);
	if (len < 0 || (size_t)len >= room) {
		set->text[used] = '\0';
		return hf_error_set(err, -ENOSPC,
				    "no room to tell a successor of '%s'", key);
	}
	return 0;
}

int hf_fdset_get_text(const struct hf_fdset *set, const char *key, char *buf,
		      uint32_t len_bytes)
{
	size_t key_len = strlen(key);
	const char *line = set->text;

	while (*line != '\0') {
		size_t len = strcspn(line, "\n");

		if (len > key_len && memcmp(line, key, key_len) == 0 &&
		    line[key_len] == '=') {
			size_t value_len = len - key_len - 1;
			if (value_len >= len_bytes) {
				return -ENOBUFS;
			}
			memcpy(buf, line + key_len + 1, value_len);
			buf[value_len] = '\0';
			return 0;
		}
		line += len;
		line += *line == '\n';
	}
	return -ENOENT;
}

int hf_fdset_get_u64(const struct hf_fdset *set, const char *key,
		     uint64_t *value)
{
	char text[32];

	int rc = hf_fdset_get_text(set, key, text, sizeof(text));
	if (rc != 0) {
		return rc;
	}
	if (text[0] < '0' || text[0] > '9') {
		return -EINVAL;
	}

	char *end;
	errno = 0;
	*value = strtoull(text, &end, 0);
	return *end == '\0' && errno == 0 ? 0 : -EINVAL;
}

void hf_fdset_close(struct hf_fdset *set)
{
	for (uint32_t i = 0; i < set->count; i++) {
		close(set->entries[i].fd);
	}
	set->count = 0;
}
