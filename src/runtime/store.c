/* SPDX-License-Identifier: BSD-3-Clause */
/* systemd's descriptor store as a keeper. Each descriptor is stored under
 * "SET.DESCRIPTOR"; the text in a memfd beside them. */
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

static int store_one(const char *set, const char *name, int fd)
{
	char words[256];

	snprintf(words, sizeof(words), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s.%s", set,
		 name);
	int rc = sd_pid_notify_with_fds(0, 0, words, &fd, 1);
	return rc > 0 ? 0 : rc == 0 ? -ENOTSUP : rc;
}

/* Those of an older set of that name. */
static int remove_one(const char *set, const char *name)
{
	char words[256];

	snprintf(words, sizeof(words), "FDSTOREREMOVE=1\nFDNAME=%s.%s", set,
		 name);
	int rc = sd_notify(0, words);
	return rc > 0 ? 0 : rc == 0 ? -ENOTSUP : rc;
}

static int store_text(const struct hf_carry *carry, const char *name)
{
	size_t len = strnlen(carry->set.text, HF_FDSET_TEXT_BYTES - 1);
	HF_AUTO_CLOSE int memory = memfd_create("holdfast-carry", MFD_CLOEXEC);

	if (memory < 0 ||
	    pwrite(memory, carry->set.text, len, 0) != (ssize_t)len) {
		return -errno;
	}
	return store_one(name, HF_CARRY_TEXT, memory);
}

int hf_store_put(const struct hf_carry *carry, const char *name,
		 struct hf_error *err)
{
	int rc = hf_carry_name_is_valid(name, HF_KEEPER_NAME_BYTES) &&
				 strchr(name, '.') == NULL
			 ? 0
			 : -EINVAL;

	for (uint32_t i = 0; rc == 0 && i < carry->set.count; i++) {
		rc = remove_one(name, carry->set.entries[i].name);
		if (rc == 0) {
			rc = store_one(name, carry->set.entries[i].name,
				       carry->set.entries[i].fd);
		}
	}
	if (rc == 0) {
		rc = remove_one(name, HF_CARRY_TEXT);
	}
	if (rc == 0) {
		rc = store_text(carry, name);
	}
	/* The store has them once this is answered. */
	if (rc == 0) {
		rc = sd_notify_barrier(0, UINT64_C(5000000));
		rc = rc < 0 ? rc : 0;
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
			rc = hf_carry_add(carry, names[i] + len + 1,
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

int hf_store_get(const char *name, struct hf_carry **carry,
		 struct hf_error *err)
{
	(void)name;
	(void)carry;
	return is_missing(err);
}

#endif
