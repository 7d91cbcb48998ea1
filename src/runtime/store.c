/* SPDX-License-Identifier: BSD-3-Clause */
/* systemd's descriptor store as a keeper. Each file is stored under a key of
 * its own, "SET.DESCRIPTOR.IDENTITY", and beside them a text in a memfd, which
 * says of what files the set is made. The text is what changes hands: until it
 * is replaced, the files of the set before it are there, and from then on those
 * of the new one. Only then do those go that it does not name. A file that the
 * store has already is not stored again, whatever it is called. */
#include "holdfast/keeper.h"

#include <errno.h>

#include "base/error.h"
#include "runtime/carry.h"

#ifdef HF_HAVE_SYSTEMD

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "runtime/store_internal.h"
#include "runtime/store_known.h"
#include "runtime/store_list.h"

static int store_one(const char *set, const char *key, int fd)
{
	char words[256];

	snprintf(words, sizeof(words), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s.%s", set,
		 key);
	int rc = sd_pid_notify_with_fds(0, 0, words, &fd, 1);
	return rc > 0 ? 0 : rc == 0 ? -ENOTSUP : rc;
}

int hf_store_remove(const char *set, const char *key)
{
	char words[256];

	snprintf(words, sizeof(words), "FDSTOREREMOVE=1\nFDNAME=%s.%s", set,
		 key);
	int rc = sd_notify(0, words);
	return rc > 0 ? 0 : rc == 0 ? -ENOTSUP : rc;
}

int hf_store_check_name(const char *name)
{
	return hf_carry_name_is_valid(name, HF_KEEPER_NAME_BYTES) &&
			       strchr(name, '.') == NULL
		       ? 0
		       : -EINVAL;
}

int hf_store_wait(void)
{
	int rc = sd_notify_barrier(0, UINT64_C(5000000));

	return rc < 0 ? rc : 0;
}

/* ----------------------------------------------------------------- putting */

static int make_list(const struct hf_carry *carry, const char *set,
		     struct hf_store_list *list)
{
	list->made_ns = hf_now_ns();
	list->count = carry->set.count;
	for (uint32_t i = 0; i < carry->set.count; i++) {
		struct hf_store_file *file = &list->files[i];
		const char *name = carry->set.entries[i].name;
		char id[HF_STORE_ID_BYTES];
		int rc = hf_store_identify(carry->set.entries[i].fd, id);

		if (rc != 0) {
			return rc;
		}
		snprintf(file->name, sizeof(file->name), "%s", name);
		if (!hf_store_known_find(set, name, id, file->key)) {
			snprintf(file->key, sizeof(file->key), "%s.%s", name,
				 id);
			rc = hf_store_known_add(set, file->key);
		}
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

/* A store that is full says nothing of it. Since version 254 systemd tells a
 * service beforehand how much there is room for. */
static int check_room(void)
{
	const char *room = getenv("FDSTORE");

	/* While a text is replaced, there is one more. */
	return room != NULL && strtoul(room, NULL, 10) <
				       (unsigned long)hf_store_known_count() + 1
		       ? -ENOSPC
		       : 0;
}

/* One that was saved is not what the next one finds after a crash. */
static int remove_old_state(const char *set, const struct hf_store_list *list)
{
	char key[HF_STORE_KEY_BYTES];

	/* The state is in a memfd of its own, each time. */
	for (uint32_t i = 0; i < list->count; i++) {
		if (strcmp(list->files[i].name, HF_STORE_STATE) == 0) {
			return 0;
		}
	}
	while (hf_store_known_named(set, HF_STORE_STATE, key)) {
		int rc = hf_store_remove(set, key);

		if (rc != 0) {
			return rc;
		}
		hf_store_known_forget(set, key);
	}
	return 0;
}

/* What @list does not have; all that is known, where that is NULL. */
static int remove_stale(const char *set, const struct hf_store_list *list)
{
	char key[HF_STORE_KEY_BYTES];

	while (hf_store_known_stale(set, list, key)) {
		int rc = hf_store_remove(set, key);

		if (rc != 0) {
			return rc;
		}
		hf_store_known_forget(set, key);
	}
	return 0;
}

static int store_text(const char *set, const struct hf_store_list *list,
		      const char *text)
{
	HF_AUTO_CLOSE int one = hf_store_list_write(list, text);
	HF_AUTO_CLOSE int other = hf_store_list_write(list, text);

	if (one < 0 || other < 0) {
		return one < 0 ? one : other;
	}
	int rc = store_one(set, HF_STORE_TEXT_TOO, one);
	if (rc == 0) {
		rc = hf_store_remove(set, HF_CARRY_TEXT);
	}
	if (rc == 0) {
		rc = store_one(set, HF_CARRY_TEXT, other);
	}
	return rc == 0 ? hf_store_remove(set, HF_STORE_TEXT_TOO) : rc;
}

static int put_list(const struct hf_carry *carry, const char *set,
		    const struct hf_store_list *list)
{
	int rc = check_room();

	if (rc == 0) {
		rc = remove_old_state(set, list);
	}
	for (uint32_t i = 0; rc == 0 && i < list->count; i++) {
		rc = store_one(set, list->files[i].key,
			       carry->set.entries[i].fd);
	}
	if (rc == 0) {
		rc = store_text(set, list, carry->set.text);
	}
	if (rc == 0) {
		rc = remove_stale(set, list);
	}
	return rc == 0 ? hf_store_wait() : rc;
}

int hf_store_put(const struct hf_carry *carry, const char *name,
		 struct hf_error *err)
{
	HF_AUTO_FREE struct hf_store_list *list = malloc(sizeof(*list));
	int rc = list == NULL ? -ENOMEM : hf_store_check_name(name);

	if (rc == 0) {
		rc = make_list(carry, name, list);
	}
	if (rc == 0) {
		rc = put_list(carry, name, list);
	}
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "systemd's descriptor store did not take "
				    "'%s': %s; the service needs a "
				    "FileDescriptorStoreMax= that the old and "
				    "the new descriptors fit in",
				    name, strerror(-rc));
	}
	return 0;
}

/* Those that are open still, of a process that came by exec. */
static int remove_carried(const struct hf_carry *carry, const char *set)
{
	char key[HF_STORE_KEY_BYTES];
	char id[HF_STORE_ID_BYTES];
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < carry->set.count; i++) {
		if (hf_store_identify(carry->set.entries[i].fd, id) == 0) {
			snprintf(key, sizeof(key), "%s.%s",
				 carry->set.entries[i].name, id);
			rc = hf_store_remove(set, key);
		}
	}
	return rc;
}

int hf_store_drop(const struct hf_carry *carry, const char *name,
		  struct hf_error *err)
{
	int rc = hf_store_check_name(name);

	/* First: without it, the rest is no set. */
	if (rc == 0) {
		rc = hf_store_remove(name, HF_STORE_TEXT_TOO);
	}
	if (rc == 0) {
		rc = hf_store_remove(name, HF_CARRY_TEXT);
	}
	if (rc == 0) {
		rc = remove_stale(name, NULL);
	}
	if (rc == 0 && carry != NULL) {
		rc = remove_carried(carry, name);
	}
	if (rc == 0) {
		rc = hf_store_wait();
	}
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "systemd's descriptor store did not let go "
				    "of '%s': %s",
				    name, strerror(-rc));
	}
	return 0;
}

#else

static int is_missing(struct hf_error *err)
{
	return hf_error_set(err, -ENOTSUP,
			    "this holdfast was built without libsystemd "
			    "(meson -Dsystemd=enabled)");
}

int hf_store_put(const struct hf_carry *carry, const char *name,
		 struct hf_error *err)
{
	(void)carry;
	(void)name;
	return is_missing(err);
}

int hf_store_drop(const struct hf_carry *carry, const char *name,
		  struct hf_error *err)
{
	(void)carry;
	(void)name;
	return is_missing(err);
}

#endif
