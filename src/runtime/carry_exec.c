/* SPDX-License-Identifier: BSD-3-Clause */
/* A set that passes an exec: descriptors stay open under their numbers, which
 * one environment variable names. */
#include "runtime/carry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "holdfast/keeper.h"

/* "1:7=text,12=vfu-socket,...": a version, then numbers with names. */
#define VARIABLE     "HOLDFAST_CARRY"
#define VERSION_MARK "1:"

enum {
	ENTRY_BYTES = HF_FDSET_NAME_BYTES + 16,
	LIST_BYTES = HF_FDSET_MAX * ENTRY_BYTES,
};

static int clear_cloexec(int fd)
{
	return fcntl(fd, F_SETFD, 0) == 0 ? 0 : -errno;
}

static int put_text(const struct hf_fdset *set, int *fd)
{
	size_t len = strnlen(set->text, sizeof(set->text) - 1);
	HF_AUTO_CLOSE int memory = memfd_create("holdfast-carry", 0);

	if (memory < 0) {
		return -errno;
	}
	if (pwrite(memory, set->text, len, 0) != (ssize_t)len) {
		return -EIO;
	}
	*fd = hf_take_fd(&memory);
	return 0;
}

int hf_carry_to_exec(const struct hf_carry *carry, struct hf_error *err)
{
	HF_AUTO_FREE char *list = malloc(LIST_BYTES);
	int text = -1;
	int rc = list == NULL ? -ENOMEM : put_text(&carry->set, &text);
	size_t used = 0;

	if (rc == 0) {
		used = (size_t)snprintf(list, LIST_BYTES,
					VERSION_MARK "%d=" HF_CARRY_TEXT, text);
	}
	for (uint32_t i = 0; rc == 0 && i < carry->set.count; i++) {
		rc = clear_cloexec(carry->set.entries[i].fd);
		used += (size_t)snprintf(list + used, LIST_BYTES - used,
					 ",%d=%s", carry->set.entries[i].fd,
					 carry->set.entries[i].name);
	}
	if (rc == 0 && setenv(VARIABLE, list, 1) != 0) {
		rc = -errno;
	}
	if (rc != 0) {
		if (text >= 0) {
			close(text);
		}
		return hf_error_set(err, rc,
				    "the descriptors cannot pass an exec: %s",
				    strerror(-rc));
	}
	return 0;
}

void hf_carry_undo_exec(const struct hf_carry *carry)
{
	const char *value = getenv(VARIABLE);

	/* The text's memfd comes first, and is nobody else's. */
	if (value != NULL &&
	    strncmp(value, VERSION_MARK, strlen(VERSION_MARK)) == 0) {
		long fd = strtol(value + strlen(VERSION_MARK), NULL, 10);

		if (fd > STDERR_FILENO && fd <= INT32_MAX) {
			close((int)fd);
		}
	}
	unsetenv(VARIABLE);
	for (uint32_t i = 0; i < carry->set.count; i++) {
		(void)fcntl(carry->set.entries[i].fd, F_SETFD, FD_CLOEXEC);
	}
}

static bool is_listed(const struct hf_fdset *set, int fd)
{
	for (uint32_t i = 0; i < set->count; i++) {
		if (set->entries[i].fd == fd) {
			return true;
		}
	}
	return false;
}

/* One "number=name" of the list. */
static int take_entry(struct hf_carry *carry, const char *word,
		      struct hf_error *err)
{
	char *name;

	errno = 0;
	long fd = strtol(word, &name, 10);
	if (name == word || *name != '=' || errno != 0 || fd < 3 ||
	    fd > INT32_MAX || fcntl((int)fd, F_GETFD) < 0 ||
	    is_listed(&carry->set, (int)fd)) {
		return hf_error_set(err, -EPROTO,
				    VARIABLE " names descriptor '%.60s', which "
					     "is none, or comes twice",
				    word);
	}
	int rc = hf_carry_add(carry, name + 1, (int)fd, err);
	if (rc != 0) {
		return rc;
	}
	return fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0 ? 0 : -errno;
}

int hf_carry_from_exec(struct hf_carry **out, struct hf_error *err)
{
	const char *value = getenv(VARIABLE);
	char *next;
	char *word;

	if (value == NULL) {
		return hf_error_set(err, -ENOENT,
				    "no descriptors passed an exec into this "
				    "program");
	}
	if (strncmp(value, VERSION_MARK, strlen(VERSION_MARK)) != 0) {
		return hf_error_set(err, -EPROTO,
				    VARIABLE " is of a version that this "
					     "program does not know");
	}
	HF_AUTO_FREE char *list = strdup(value + strlen(VERSION_MARK));
	struct hf_carry *carry = hf_carry_new(true);
	int rc = list == NULL || carry == NULL
			 ? hf_error_set(err, -ENOMEM,
					"no memory for a set of descriptors")
			 : 0;
	next = list;
	while (rc == 0 && (word = strsep(&next, ",")) != NULL) {
		rc = take_entry(carry, word, err);
	}
	if (rc == 0) {
		rc = hf_carry_take_text(carry, "pass the exec", err);
	}
	unsetenv(VARIABLE);
	if (rc != 0) {
		hf_carry_free(carry);
		return rc;
	}
	*out = carry;
	return 0;
}
