/* SPDX-License-Identifier: BSD-3-Clause */
/* systemd's descriptor store as a keeper. Each descriptor is stored under
 * "SET.DESCRIPTOR"; the text in a memfd beside them. A file that the store has
 * already is not stored again, whatever it is called: so a set that is put
 * once more is there all the time, also for one that is killed meanwhile. */
#include "holdfast/keeper.h"

#include <errno.h>

#include "base/error.h"
#include "runtime/carry.h"

#ifdef HF_HAVE_SYSTEMD

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"

/* The text while the one before it is replaced: one of both is always there. */
#define TEXT_TOO HF_CARRY_TEXT ".new"

#define STATE_NAME "state"

static int store_one(const char *set, const char *name, int fd)
{
	char words[256];

	snprintf(words, sizeof(words), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s.%s", set,
		 name);
	int rc = sd_pid_notify_with_fds(0, 0, words, &fd, 1);
	return rc > 0 ? 0 : rc == 0 ? -ENOTSUP : rc;
}

static int remove_one(const char *set, const char *name)
{
	char words[256];

	snprintf(words, sizeof(words), "FDSTOREREMOVE=1\nFDNAME=%s.%s", set,
		 name);
	int rc = sd_notify(0, words);
	return rc > 0 ? 0 : rc == 0 ? -ENOTSUP : rc;
}

static int replace(const char *set, const char *name, int fd)
{
	int rc = remove_one(set, name);

	return rc == 0 ? store_one(set, name, fd) : rc;
}

static int store_text(const struct hf_carry *carry, const char *name)
{
	size_t len = strnlen(carry->set.text, HF_FDSET_TEXT_BYTES - 1);
	HF_AUTO_CLOSE int one = memfd_create("holdfast-carry", MFD_CLOEXEC);
	HF_AUTO_CLOSE int other = memfd_create("holdfast-carry", MFD_CLOEXEC);

	if (one < 0 || other < 0) {
		return -errno;
	}
	if (pwrite(one, carry->set.text, len, 0) != (ssize_t)len ||
	    pwrite(other, carry->set.text, len, 0) != (ssize_t)len) {
		return -EIO;
	}
	int rc = store_one(name, TEXT_TOO, one);
	if (rc == 0) {
		rc = replace(name, HF_CARRY_TEXT, other);
	}
	return rc == 0 ? remove_one(name, TEXT_TOO) : rc;
}

static int check_name(const char *name)
{
	return hf_carry_name_is_valid(name, HF_KEEPER_NAME_BYTES) &&
			       strchr(name, '.') == NULL
		       ? 0
		       : -EINVAL;
}

/* The store has heard it all once this is answered. */
static int wait_for_store(void)
{
	int rc = sd_notify_barrier(0, UINT64_C(5000000));

	return rc < 0 ? rc : 0;
}

int hf_store_put(const struct hf_carry *carry, const char *name,
		 struct hf_error *err)
{
	int rc = check_name(name);

	/* One that was saved is not what the next one finds after a crash. */
	if (rc == 0) {
		rc = remove_one(name, STATE_NAME);
	}
	for (uint32_t i = 0; rc == 0 && i < carry->set.count; i++) {
		rc = store_one(name, carry->set.entries[i].name,
			       carry->set.entries[i].fd);
	}
	if (rc == 0) {
		rc = store_text(carry, name);
	}
	if (rc == 0) {
		rc = wait_for_store();
	}
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "systemd's descriptor store did not take "
				    "'%s': %s; the service needs "
				    "FileDescriptorStoreMax=",
				    name, strerror(-rc));
	}
	return 0;
}

int hf_store_drop(const struct hf_carry *carry, const char *name,
		  struct hf_error *err)
{
	int rc = check_name(name);

	for (uint32_t i = 0; rc == 0 && i < carry->set.count; i++) {
		rc = remove_one(name, carry->set.entries[i].name);
	}
	if (rc == 0) {
		rc = remove_one(name, STATE_NAME);
	}
	if (rc == 0) {
		rc = remove_one(name, TEXT_TOO);
	}
	if (rc == 0) {
		rc = remove_one(name, HF_CARRY_TEXT);
	}
	if (rc == 0) {
		rc = wait_for_store();
	}
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "systemd's descriptor store did not let go "
				    "of '%s': %s",
				    name, strerror(-rc));
	}
	return 0;
}

/* The same text may be there twice, from one that was killed while it put. */
static int take_one(struct hf_carry *carry, const char *name, int fd,
		    struct hf_error *err)
{
	if (strcmp(name, TEXT_TOO) == 0) {
		name = HF_CARRY_TEXT;
	}
	if (strcmp(name, HF_CARRY_TEXT) == 0 &&
	    hf_carry_find(carry, name) >= 0) {
		close(fd);
		return 0;
	}
	return hf_carry_add(carry, name, fd, err);
}

/* The text comes last of a set: one without is of a process that was killed
 * while it put, before it issued anything. */
static int forget_half(const struct hf_carry *carry, const char *name,
		       struct hf_error *err)
{
	for (uint32_t i = 0; i < carry->set.count; i++) {
		(void)remove_one(name, carry->set.entries[i].name);
	}
	(void)wait_for_store();
	return hf_error_set(err, -ENOENT,
			    "systemd's store holds nothing whole of the name "
			    "'%s'",
			    name);
}

int hf_store_get(const char *name, struct hf_carry **out, struct hf_error *err)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(0, &names);
	struct hf_carry *carry = hf_carry_new(true);
	size_t len = strlen(name);
	int rc = 0;

	if (count < 0 || carry == NULL) {
		hf_carry_free(carry);
		return hf_error_set(err, count < 0 ? count : -ENOMEM,
				    "systemd's descriptors cannot be counted");
	}
	for (int i = 0; i < count; i++) {
		if (rc == 0 && strncmp(names[i], name, len) == 0 &&
		    names[i][len] == '.') {
			rc = take_one(carry, names[i] + len + 1,
				      SD_LISTEN_FDS_START + i, err);
		}
		free(names[i]);
	}
	free(names);
	if (rc == 0 && carry->set.count == 0) {
		rc = hf_error_set(err, -ENOENT,
				  "systemd's store holds nothing of the name "
				  "'%s'",
				  name);
	} else if (rc == 0 && hf_carry_find(carry, HF_CARRY_TEXT) < 0) {
		rc = forget_half(carry, name, err);
	}
	if (rc == 0) {
		rc = hf_carry_take_text(carry, "come out of systemd's store",
					err);
	}
	if (rc != 0) {
		hf_carry_free(carry);
		return rc;
	}
	*out = carry;
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

int hf_store_get(const char *name, struct hf_carry **carry,
		 struct hf_error *err)
{
	(void)name;
	(void)carry;
	return is_missing(err);
}

#endif
