/* SPDX-License-Identifier: BSD-3-Clause */
#include "runtime/carry.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "holdfast/keeper.h"

#define STATE_NAME "state"

/* No driver saves more. */
#define STATE_MAX_BYTES (64 << 20)

struct hf_carry *hf_carry_new(bool owns)
{
	struct hf_carry *carry = calloc(1, sizeof(*carry));

	if (carry != NULL) {
		hf_fdset_init(&carry->set);
		carry->owns = owns;
	}
	return carry;
}

void hf_carry_free(struct hf_carry *carry)
{
	if (carry == NULL) {
		return;
	}
	hf_fdset_unmap(&carry->set);
	if (carry->owns) {
		hf_fdset_close(&carry->set);
	}
	free(carry);
}

/* Descriptors of the program's own are not looked at: it may have closed one,
 * and have another of the same number. */
uint32_t hf_carry_same(const struct hf_carry *carry,
		       const struct hf_carry *shown)
{
	uint32_t same = 0;

	if (shown == NULL || shown->fds_changes != carry->fds_changes) {
		return 0;
	}
	while (same < carry->of_device && same < shown->of_device &&
	       carry->set.entries[same].fd == shown->set.entries[same].fd &&
	       strcmp(carry->set.entries[same].name,
		      shown->set.entries[same].name) == 0) {
		same++;
	}
	return same;
}

bool hf_carry_name_is_valid(const char *name, uint32_t room)
{
	size_t len = strnlen(name, room);

	if (len == 0 || len == room) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) && name[i] != '-' &&
		    name[i] != '.') {
			return false;
		}
	}
	return true;
}

bool hf_carry_text_is_valid(const char *text, uint32_t len_bytes)
{
	for (uint32_t i = 0; i < len_bytes; i++) {
		if (text[i] != '\n' && (unsigned char)text[i] < ' ') {
			return false;
		}
	}
	return len_bytes == 0 || text[len_bytes - 1] == '\n';
}

int hf_carry_add(struct hf_carry *carry, const char *name, int fd,
		 struct hf_error *err)
{
	if (!hf_carry_name_is_valid(name, HF_FDSET_NAME_BYTES)) {
		return hf_error_set(err, -EINVAL,
				    "a descriptor cannot be called '%.60s': "
				    "letters, digits, '-' and '.' are "
				    "accepted, %d at most",
				    name, HF_FDSET_NAME_BYTES - 1);
	}
	if (hf_fdset_find(&carry->set, "%s", name) >= 0) {
		return hf_error_set(err, -EEXIST,
				    "there is a descriptor '%s' in the set",
				    name);
	}
	return hf_fdset_add(&carry->set, fd, err, "%s", name);
}

int hf_carry_find(const struct hf_carry *carry, const char *name)
{
	return hf_fdset_find(&carry->set, "%s", name);
}

int hf_carry_take(struct hf_carry *carry, const char *name)
{
	return hf_fdset_take(&carry->set, "%s", name);
}

void hf_carry_map_ahead(struct hf_carry *carry)
{
	hf_fdset_map_ahead(&carry->set);
}

void *hf_carry_take_memory(struct hf_carry *carry, const char *name,
			   uint64_t len_bytes)
{
	int fd = hf_fdset_find(&carry->set, "%s", name);

	return fd < 0 ? NULL : hf_fdset_take_map(&carry->set, fd, len_bytes);
}

void hf_carry_use_maps(struct hf_carry *carry, struct hf_carry *early)
{
	hf_fdset_move_maps(&carry->set, 0, &early->set);
	/* Now: closed later, the ledger's descriptor would take the lock with
	 * it that says who drives the device. */
	hf_carry_free(early);
}

uint32_t hf_carry_count(const struct hf_carry *carry)
{
	return carry->set.count;
}

static int write_all(int fd, const uint8_t *bytes, size_t len_bytes)
{
	size_t done = 0;

	while (done < len_bytes) {
		ssize_t part =
			pwrite(fd, bytes + done, len_bytes - done, (off_t)done);

		if (part < 0 && errno != EINTR) {
			return -errno;
		}
		done += part > 0 ? (size_t)part : 0;
	}
	return 0;
}

static int read_all(int fd, uint8_t *bytes, size_t len_bytes)
{
	size_t done = 0;

	while (done < len_bytes) {
		ssize_t part =
			pread(fd, bytes + done, len_bytes - done, (off_t)done);

		if (part == 0) {
			return -EPROTO; /* it became shorter meanwhile */
		}
		if (part < 0 && errno != EINTR) {
			return -errno;
		}
		done += part > 0 ? (size_t)part : 0;
	}
	return 0;
}

int hf_carry_state_room(size_t len_bytes)
{
	HF_AUTO_CLOSE int memory = memfd_create("holdfast-state", MFD_CLOEXEC);

	if (memory < 0 || fallocate(memory, 0, 0, (off_t)len_bytes) != 0) {
		return -errno;
	}
	return hf_take_fd(&memory);
}

int hf_carry_fill_state(struct hf_carry *carry, int room, const uint8_t *bytes,
			size_t len_bytes, struct hf_error *err)
{
	int rc = write_all(room, bytes, len_bytes);

	if (rc == 0 && ftruncate(room, (off_t)len_bytes) != 0) {
		rc = -errno;
	}
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "the saved state of %zu bytes cannot be "
				    "put into a memfd: %s",
				    len_bytes, strerror(-rc));
	}
	return hf_carry_add(carry, STATE_NAME, room, err);
}

int hf_carry_add_state(struct hf_carry *carry, const uint8_t *bytes,
		       size_t len_bytes, int *fd, struct hf_error *err)
{
	HF_AUTO_CLOSE int memory = hf_carry_state_room(len_bytes);

	*fd = -1;
	if (memory < 0) {
		return hf_error_set(err, memory,
				    "there is no memfd for a saved state of "
				    "%zu bytes: %s",
				    len_bytes, strerror(-memory));
	}
	int rc = hf_carry_fill_state(carry, memory, bytes, len_bytes, err);
	if (rc != 0) {
		return rc;
	}
	int added = hf_take_fd(&memory);
	if (!carry->owns) {
		*fd = added;
	}
	return 0;
}

int hf_carry_state(const struct hf_carry *carry, uint8_t **bytes,
		   size_t *len_bytes, struct hf_error *err)
{
	HF_AUTO_FREE uint8_t *copy = NULL;
	int fd = hf_carry_find(carry, STATE_NAME);
	struct stat st;

	if (fd < 0) {
		return hf_error_set(err, -ENOENT,
				    "no saved state came with the descriptors: "
				    "their owner died");
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    st.st_size > STATE_MAX_BYTES) {
		return hf_error_set(err, -EPROTO,
				    "what came as saved state is no file of 1 "
				    "to %d bytes",
				    STATE_MAX_BYTES);
	}
	copy = malloc((size_t)st.st_size);
	int rc =
		copy == NULL ? -ENOMEM : read_all(fd, copy, (size_t)st.st_size);
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "the saved state cannot be read: %s",
				    strerror(-rc));
	}
	*bytes = copy;
	*len_bytes = (size_t)st.st_size;
	copy = NULL;
	return 0;
}

int hf_carry_copy(struct hf_carry **copy, const struct hf_carry *carry,
		  struct hf_error *err)
{
	struct hf_carry *made = hf_carry_new(true);

	if (made == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "no memory for a set of descriptors");
	}
	memcpy(made->set.text, carry->set.text, sizeof(made->set.text));
	for (uint32_t i = 0; i < carry->set.count; i++) {
		const char *name = carry->set.entries[i].name;
		int fd = fcntl(carry->set.entries[i].fd, F_DUPFD_CLOEXEC, 0);
		int rc = fd < 0 ? hf_error_set(err, -errno,
					       "descriptor '%s' cannot be "
					       "duplicated: %s",
					       name, strerror(errno))
				: hf_fdset_add(&made->set, fd, err, "%s", name);
		if (rc != 0) {
			if (fd >= 0) {
				close(fd);
			}
			hf_carry_free(made);
			return rc;
		}
	}
	*copy = made;
	return 0;
}

int hf_carry_take_text(struct hf_carry *carry, const char *what,
		       struct hf_error *err)
{
	HF_AUTO_CLOSE int fd = hf_carry_take(carry, HF_CARRY_TEXT);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < 0 ||
	    st.st_size >= HF_FDSET_TEXT_BYTES ||
	    pread(fd, carry->set.text, (size_t)st.st_size, 0) != st.st_size ||
	    !hf_carry_text_is_valid(carry->set.text, (uint32_t)st.st_size)) {
		return hf_error_set(err, -EPROTO,
				    "the text that belongs to the descriptors "
				    "did not %s",
				    what);
	}
	carry->set.text[st.st_size] = '\0';
	return 0;
}
