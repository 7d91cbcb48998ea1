/* SPDX-License-Identifier: BSD-3-Clause */
/* A set out of what systemd gave this process when it was started: what the
 * latest whole text names. All else is of one that was killed while it put, and
 * goes. */
#include "holdfast/keeper.h"

#include <errno.h>

#include "base/error.h"
#include "runtime/carry.h"

#ifdef HF_HAVE_SYSTEMD

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/store_internal.h"
#include "runtime/store_known.h"
#include "runtime/store_list.h"

/* What stands in LISTEN_FDNAMES for a descriptor that was taken. */
#define TAKEN "taken"

enum {
	FIRST_FD = 3,
	GIVEN_MAX = 65536, /* no service is given more */
};

/* What systemd gave this process of one set. */
struct arrivals {
	uint32_t count;
	struct arrival {
		int fd;
		bool used;        /* the store is to go on having it */
		uint64_t made_ns; /* of a text; 0: it is none */
		char key[HF_STORE_KEY_BYTES];
		char id[HF_STORE_ID_BYTES];
	} each[];
};

static void close_arrivals(struct arrivals *arrived)
{
	for (uint32_t i = 0; i < arrived->count; i++) {
		close(arrived->each[i].fd);
	}
	free(arrived);
}

static bool is_of_set(const char *listed, const char *set)
{
	size_t len = strlen(set);

	return strncmp(listed, set, len) == 0 && listed[len] == '.' &&
	       strlen(listed + len + 1) < HF_STORE_KEY_BYTES;
}

static long number_in(const char *variable)
{
	const char *value = getenv(variable);
	char *end;

	if (value == NULL || value[0] < '0' || value[0] > '9') {
		return -1;
	}
	long number = strtol(value, &end, 10);
	return *end == '\0' ? number : -1;
}

/*
 * The names of what systemd gave this process, from descriptor 3 on; NULL:
 * nothing. libsystemd is not asked: it takes them for closed once one of them
 * is, as of a set that was taken before.
 */
static const char *given(long *count)
{
	const char *names = getenv("LISTEN_FDNAMES");

	*count = number_in("LISTEN_FDS");
	return *count > 0 && *count <= GIVEN_MAX &&
			       number_in("LISTEN_PID") == getpid()
		       ? names
		       : NULL;
}

/* Descriptors are taken once: their numbers will be others' in this process,
 * and in one that it executes. */
static int mark_taken(const char *names, const char *set)
{
	HF_AUTO_FREE char *copy = strdup(names);
	/* What is replaced is a letter, a dot and what follows at least. */
	size_t room = 3 * strlen(names) + sizeof(TAKEN);
	HF_AUTO_FREE char *list = calloc(1, room);
	char *rest = copy;
	const char *name;
	size_t used = 0;

	if (copy == NULL || list == NULL) {
		return -ENOMEM;
	}
	while ((name = strsep(&rest, ":")) != NULL) {
		used += (size_t)snprintf(list + used, room - used, "%s%s",
					 name > copy ? ":" : "",
					 is_of_set(name, set) ? TAKEN : name);
	}
	return setenv("LISTEN_FDNAMES", list, 1) == 0 ? 0 : -errno;
}

static struct arrivals *collect(const char *set)
{
	long count;
	const char *names = given(&count);
	struct arrivals *arrived = calloc(
		1, sizeof(*arrived) + (size_t)(names == NULL ? 0 : count) *
					      sizeof(arrived->each[0]));
	HF_AUTO_FREE char *copy = names == NULL ? NULL : strdup(names);
	char *rest = copy;
	const char *name;
	int fd = FIRST_FD;

	if (arrived == NULL || names == NULL) {
		return arrived;
	}
	if (copy == NULL || mark_taken(names, set) != 0) {
		free(arrived);
		return NULL;
	}
	while ((name = strsep(&rest, ":")) != NULL) {
		struct arrival *one = &arrived->each[arrived->count];

		if (fd < FIRST_FD + count && is_of_set(name, set) &&
		    hf_store_identify(fd, one->id) == 0) {
			one->fd = fd;
			snprintf(one->key, sizeof(one->key), "%s",
				 name + strlen(set) + 1);
			arrived->count++;
		}
		fd++;
	}
	return arrived;
}

/* The file of the list's entry: the one of its key, or else the same one that
 * was stored as another descriptor before. NULL: there is none, or there are
 * several that nothing tells apart. */
static struct arrival *find_file(struct arrivals *arrived,
				 const struct hf_store_file *file)
{
	const char *id = hf_store_key_id(file->key);
	bool is_shared = hf_store_id_is_shared(id);
	struct arrival *same = NULL;
	struct arrival *exact = NULL;

	for (uint32_t i = 0; i < arrived->count; i++) {
		struct arrival *one = &arrived->each[i];

		if (strcmp(one->id, id) != 0) {
			continue;
		}
		same = one;
		if (strcmp(one->key, file->key) == 0) {
			if (exact != NULL && is_shared) {
				return NULL;
			}
			exact = one;
		}
	}
	return exact != NULL || is_shared ? exact : same;
}

static bool is_whole(struct arrivals *arrived, const struct hf_store_list *list,
		     const char **missing)
{
	for (uint32_t i = 0; i < list->count; i++) {
		*missing = list->files[i].name;
		if (strcmp(*missing, HF_STORE_STATE) != 0 &&
		    find_file(arrived, &list->files[i]) == NULL) {
			return false;
		}
	}
	return true;
}

static void date_texts(struct arrivals *arrived, struct hf_store_list *list,
		       char *text)
{
	for (uint32_t i = 0; i < arrived->count; i++) {
		struct arrival *one = &arrived->each[i];

		if ((strcmp(one->key, HF_CARRY_TEXT) == 0 ||
		     strcmp(one->key, HF_STORE_TEXT_TOO) == 0) &&
		    hf_store_list_read(one->fd, list, text) == 0) {
			one->made_ns = list->made_ns;
		}
	}
}

static struct arrival *latest_text(struct arrivals *arrived)
{
	struct arrival *latest = NULL;

	for (uint32_t i = 0; i < arrived->count; i++) {
		struct arrival *one = &arrived->each[i];

		if (one->made_ns != 0 &&
		    (latest == NULL || one->made_ns > latest->made_ns)) {
			latest = one;
		}
	}
	return latest;
}

static bool has_text(const struct arrivals *arrived)
{
	for (uint32_t i = 0; i < arrived->count; i++) {
		if (strcmp(arrived->each[i].key, HF_CARRY_TEXT) == 0 ||
		    strcmp(arrived->each[i].key, HF_STORE_TEXT_TOO) == 0) {
			return true;
		}
	}
	return false;
}

/* The latest text of those whose files are all there. */
static int choose(struct arrivals *arrived, const char *set,
		  struct hf_store_list *list, char *text, struct hf_error *err)
{
	const char *missing = HF_CARRY_TEXT;
	struct arrival *latest;

	date_texts(arrived, list, text);
	while ((latest = latest_text(arrived)) != NULL) {
		if (hf_store_list_read(latest->fd, list, text) == 0 &&
		    is_whole(arrived, list, &missing)) {
			latest->used = true;
			return 0;
		}
		latest->made_ns = 0;
	}
	return hf_error_set(err, -EPROTO,
			    "the set '%s' did not come out of systemd's store "
			    "whole: '%s' is not there, or there are two of it; "
			    "was FileDescriptorStoreMax= large enough?",
			    set, missing);
}

static int take_files(struct arrivals *arrived,
		      const struct hf_store_list *list, struct hf_carry *carry,
		      struct hf_error *err)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < list->count; i++) {
		struct arrival *one = find_file(arrived, &list->files[i]);

		if (one == NULL) {
			continue; /* the state */
		}
		/* The same file may have several names. */
		HF_AUTO_CLOSE int fd = fcntl(one->fd, F_DUPFD_CLOEXEC, 0);

		/* The ledger tells the same, and goes on to. */
		one->used = strcmp(list->files[i].name, HF_STORE_STATE) != 0;
		rc = fd < 0 ? hf_error_set(err, -errno,
					   "a descriptor from systemd's store "
					   "cannot be duplicated: %s",
					   strerror(errno))
			    : hf_carry_add(carry, list->files[i].name, fd, err);
		if (rc == 0) {
			hf_take_fd(&fd);
		}
	}
	return rc;
}

static bool is_kept(const struct arrivals *arrived, const char *key)
{
	for (uint32_t i = 0; i < arrived->count; i++) {
		if (arrived->each[i].used &&
		    strcmp(arrived->each[i].key, key) == 0) {
			return true;
		}
	}
	return false;
}

/* Best effort: what stays is in the way of nobody, and goes the next time. */
static void remove_rest(const struct arrivals *arrived, const char *set)
{
	for (uint32_t i = 0; i < arrived->count; i++) {
		if (!is_kept(arrived, arrived->each[i].key)) {
			(void)!hf_store_remove(set, arrived->each[i].key);
		}
	}
}

static int know_kept(const struct arrivals *arrived, const char *set,
		     struct hf_error *err)
{
	char key[HF_STORE_KEY_BYTES];

	while (hf_store_known_stale(set, NULL, key)) {
		hf_store_known_forget(set, key);
	}
	for (uint32_t i = 0; i < arrived->count; i++) {
		const struct arrival *one = &arrived->each[i];

		if (one->used && one->made_ns == 0 &&
		    hf_store_known_add(set, one->key) != 0) {
			return hf_error_set(err, -ENOMEM,
					    "no memory to keep track of what "
					    "systemd's store holds");
		}
	}
	return 0;
}

/* The text comes last of a set: one without is of a process that was killed
 * while it put, before it issued anything. */
static int forget_half(const struct arrivals *arrived, const char *set,
		       struct hf_error *err)
{
	remove_rest(arrived, set);
	(void)!hf_store_wait();
	return hf_error_set(err, -ENOENT,
			    "systemd's store holds nothing whole of the name "
			    "'%s'",
			    set);
}

static int take_set(struct arrivals *arrived, const char *set,
		    struct hf_carry *carry, struct hf_error *err)
{
	HF_AUTO_FREE struct hf_store_list *list = malloc(sizeof(*list));

	if (list == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "no memory for a list of descriptors");
	}
	if (arrived->count == 0) {
		return hf_error_set(err, -ENOENT,
				    "systemd's store holds nothing of the name "
				    "'%s'",
				    set);
	}
	if (!has_text(arrived)) {
		return forget_half(arrived, set, err);
	}
	int rc = choose(arrived, set, list, carry->set.text, err);
	if (rc == 0) {
		rc = take_files(arrived, list, carry, err);
	}
	if (rc == 0) {
		rc = know_kept(arrived, set, err);
	}
	if (rc == 0) {
		remove_rest(arrived, set);
	}
	return rc;
}

int hf_store_get(const char *name, struct hf_carry **out, struct hf_error *err)
{
	int rc = hf_store_check_name(name);

	if (rc != 0) {
		return hf_error_set(err, rc,
				    "a set in systemd's store cannot be called "
				    "'%.60s': letters, digits and '-' are "
				    "accepted, %d at most",
				    name, HF_KEEPER_NAME_BYTES - 1);
	}
	struct hf_carry *carry = hf_carry_new(true);
	struct arrivals *arrived = collect(name);
	if (carry == NULL || arrived == NULL) {
		rc = hf_error_set(err, -ENOMEM,
				  "no memory for a set of descriptors");
	} else {
		rc = take_set(arrived, name, carry, err);
	}
	if (arrived != NULL) {
		close_arrivals(arrived);
	}
	if (rc != 0) {
		hf_carry_free(carry);
		return rc;
	}
	*out = carry;
	return 0;
}

#else

int hf_store_get(const char *name, struct hf_carry **carry,
		 struct hf_error *err)
{
	(void)name;
	(void)carry;
	return hf_error_set(err, -ENOTSUP,
			    "this holdfast was built without libsystemd "
			    "(meson -Dsystemd=enabled)");
}

#endif
