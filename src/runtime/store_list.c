/* SPDX-License-Identifier: BSD-3-Clause */
#include "runtime/store_list.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define FIRST_LINE "holdfast-store-1 %" PRIu64 "\n"

enum {
	LINE_BYTES = HF_FDSET_NAME_BYTES + HF_STORE_KEY_BYTES + 2,
	FILE_BYTES = 64 + HF_FDSET_MAX * LINE_BYTES + HF_FDSET_TEXT_BYTES,
};

/* All eventfds share one inode; but each has a number that no other one has
 * while it lives. -1: it is none, or this kernel tells none. */
static long eventfd_number(int fd)
{
	static const char word[] = "eventfd-id:";
	char text[512];
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	HF_AUTO_CLOSE int info = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
	if (len <= 0) {
		return -1;
	}
	text[len] = '\0';
	const char *at = strstr(text, word);
	return at == NULL ? -1 : strtol(at + strlen(word), NULL, 10);
}

int hf_store_identify(int fd, char id[HF_STORE_ID_BYTES])
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;
	long number;

	if (flags < 0 || fstat(fd, &st) != 0) {
		return -errno;
	}
	/* Each open of a device is something else, and what has no type has
	 * its inode together with others. */
	bool is_device = S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode);
	bool shares = is_device || (st.st_mode & S_IFMT) == 0;
	if (shares && !is_device && (number = eventfd_number(fd)) >= 0) {
		snprintf(id, HF_STORE_ID_BYTES, "e%ld", number);
		return 0;
	}
	/* The two ends of a pipe are one inode. */
	snprintf(id, HF_STORE_ID_BYTES, "%c%" PRIx64 "-%" PRIx64 "-%x",
		 shares ? 'd' : 'f', (uint64_t)st.st_dev, (uint64_t)st.st_ino,
		 (unsigned int)flags & O_ACCMODE);
	return 0;
}

const char *hf_store_key_id(const char *key)
{
	const char *dot = strrchr(key, '.');

	return dot == NULL ? "" : dot + 1;
}

bool hf_store_id_is_shared(const char *id)
{
	return id[0] == 'd';
}

bool hf_store_list_has(const struct hf_store_list *list, const char *key)
{
	for (uint32_t i = 0; i < list->count; i++) {
		if (strcmp(list->files[i].key, key) == 0) {
			return true;
		}
	}
	return false;
}

int hf_store_list_write(const struct hf_store_list *list, const char *text)
{
	HF_AUTO_FREE char *bytes = malloc(FILE_BYTES);
	HF_AUTO_CLOSE int fd = memfd_create("holdfast-carry", MFD_CLOEXEC);

	if (bytes == NULL) {
		return -ENOMEM;
	}
	if (fd < 0) {
		return -errno;
	}
	size_t used =
		(size_t)snprintf(bytes, FILE_BYTES, FIRST_LINE, list->made_ns);
	for (uint32_t i = 0; i < list->count; i++) {
		used += (size_t)snprintf(bytes + used, FILE_BYTES - used,
					 "%s=%s\n", list->files[i].name,
					 list->files[i].key);
	}
	used += (size_t)snprintf(bytes + used, FILE_BYTES - used, "\n%.*s",
				 HF_FDSET_TEXT_BYTES - 1, text);
	ssize_t written = pwrite(fd, bytes, used, 0);
	if (written != (ssize_t)used) {
		return written < 0 ? -errno : -EIO;
	}
	return hf_take_fd(&fd);
}

/* A line without its end; moves on. NULL: none is left. */
static char *take_line(char **at)
{
	char *line = *at;
	char *end = strchr(line, '\n');

	if (end == NULL) {
		return NULL;
	}
	*end = '\0';
	*at = end + 1;
	return line;
}

static int take_file(struct hf_store_list *list, char *line)
{
	char *mark = strchr(line, '=');

	if (mark == NULL || list->count == HF_FDSET_MAX) {
		return -EPROTO;
	}
	*mark = '\0';
	if (!hf_carry_name_is_valid(line, HF_FDSET_NAME_BYTES) ||
	    !hf_carry_name_is_valid(mark + 1, HF_STORE_KEY_BYTES)) {
		return -EPROTO;
	}
	struct hf_store_file *file = &list->files[list->count++];
	snprintf(file->name, sizeof(file->name), "%s", line);
	snprintf(file->key, sizeof(file->key), "%s", mark + 1);
	return 0;
}

static int parse(char *bytes, struct hf_store_list *list, char *text)
{
	char *at = bytes;
	char *line = take_line(&at);
	int rc = 0;

	list->count = 0;
	if (line == NULL || sscanf(line, FIRST_LINE, &list->made_ns) != 1) {
		return -EPROTO;
	}
	while (rc == 0 && (line = take_line(&at)) != NULL && line[0] != '\0') {
		rc = take_file(list, line);
	}
	size_t len = strlen(at);
	if (rc != 0 || line == NULL || len >= HF_FDSET_TEXT_BYTES ||
	    !hf_carry_text_is_valid(at, (uint32_t)len)) {
		return -EPROTO;
	}
	memcpy(text, at, len + 1);
	return 0;
}

int hf_store_list_read(int fd, struct hf_store_list *list, char *text)
{
	HF_AUTO_FREE char *bytes = malloc(FILE_BYTES + 1);
	struct stat st;

	if (bytes == NULL) {
		return -ENOMEM;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    st.st_size > FILE_BYTES ||
	    pread(fd, bytes, (size_t)st.st_size, 0) != st.st_size) {
		return -EPROTO;
	}
	bytes[st.st_size] = '\0';
	return parse(bytes, list, text);
}
