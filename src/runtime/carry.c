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
	hf_spare_free(carry->spare);
	hf_fdset_unmap(&carry->set);
	if (carry->owns) {
		hf_fdset_close(&carry->set);
	}
	free(carry);
}

static bool is_same_entry(const struct hf_carry *carry,
			  const struct hf_carry *shown, uint32_t i)
{
	return i < carry->set.count && i < shown->set.count &&
	       carry->set.entries[i].fd == shown->set.entries[i].fd &&
	       strcmp(carry->set.entries[i].name, shown->set.entries[i].name) ==
		       0;
}

/* The program may have closed one, and have another of the same number. While
 * the successor has what it was shown, no other file has that one's. */
static bool is_same_file(const struct hf_carry *carry,
			 const struct hf_carry *shown, uint32_t own)
{
	return own < HF_CARRY_OWN_MAX && carry->own[own].ino != 0 &&
	       carry->own[own].ino == shown->own[own].ino &&
	       carry->own[own].dev == shown->own[own].dev;
}

uint32_t hf_carry_same(const struct hf_carry *carry,
		       const struct hf_carry *shown)
{
	uint32_t same = 0;

	if (shown == NULL || shown->fds_changes != carry->fds_changes ||
	    shown->of_device != carry->of_device) {
		return 0;
	}
	while (is_same_entry(carry, shown, same) &&
	       (same < carry->of_device ||
		is_same_file(carry, shown, same - carry->of_device))) {
		same++;
	}
	return same;
}

/* Of a kind that each have a number of their own, unlike eventfds. */
static void note_own(struct hf_carry *carry, int fd)
{
	uint32_t own = carry->set.count - carry->of_device;
	struct stat st;

	if (carry->owns || own >= HF_CARRY_OWN_MAX) {
		return;
	}
	carry->own[own] = (struct hf_carry_file){0};
	if (fstat(fd, &st) == 0 &&
	    (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode))) {
		carry->own[own] = (struct hf_carry_file){.dev = st.st_dev,
							 .ino = st.st_ino};
	}
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
	note_own(carry, fd);
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

void hf_carry_prepare(struct hf_carry *carry)
{
	hf_fdset_map_ahead(&carry->set);
	if (carry->spare == NULL) {
		carry->spare = hf_spare_new();
	}
}

void hf_carry_move_prepared(struct hf_carry *to, uint32_t same,
			    struct hf_carry *from)
{
	hf_fdset_move_maps(&to->set, same, &from->set);
	hf_spare_free(to->spare);
	to->spare = from->spare;
	from->spare = NULL;
}

void *hf_carry_take_memory(struct hf_carry *carry, const char *name,
			   uint64_t len_bytes)
{
	int fd = hf_fdset_find(&carry->set, "%s", name);

	return fd < 0 ? NULL : hf_fdset_take_map(&carry->set, fd, len_bytes);
}

void hf_carry_use_prepared(struct hf_carry *carry, struct hf_carry *early)
{
	hf_carry_move_prepared(carry, 0, early);
	/* Now: closed later, the ledger's descriptor would take the lock with
	 * it that says who drives the device. */
	hf_carry_free(early);
}

uint32_t hf_carry_count(const struct hf_carry *carry)
{
	return carry->set.count;
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
