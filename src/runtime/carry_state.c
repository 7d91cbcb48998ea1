/* SPDX-License-Identifier: BSD-3-Clause */
/* The message of a saved driver in a set of descriptors: in a file of its own,
 * or in room that was made ahead. Knows not what it says. */
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
#include "runtime/carry.h"

#define STATE_NAME "state"

/* Of room, the text says how much is in use. */
#define ROOM_NAME "state-room"
#define ROOM_KEY  "state-bytes"

/* No driver saves more. */
#define STATE_MAX_BYTES (64 << 20)

struct hf_state_room {
	int fd;
	int spare_fd; /* of a message that did not fit; -1 */
	uint8_t *memory;
	size_t len_bytes;
};

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

/* ----------------------------------------------------------- made ahead */

int hf_state_room_open(struct hf_state_room **out, size_t len_bytes,
		       struct hf_error *err)
{
	struct hf_state_room *room = calloc(1, sizeof(*room));

	if (room == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "no memory for room for a saved state");
	}
	room->spare_fd = -1;
	room->len_bytes = len_bytes;
	room->fd =
		memfd_create("holdfast-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* A successor maps nothing that could shrink. */
	if (room->fd < 0 || ftruncate(room->fd, (off_t)len_bytes) != 0 ||
	    fcntl(room->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
		int rc = -errno;

		hf_state_room_close(room);
		return hf_error_set(err, rc,
				    "there is no room for a saved state of %zu "
				    "bytes: %s",
				    len_bytes, strerror(-rc));
	}
	void *memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_POPULATE, room->fd, 0);
	if (memory == MAP_FAILED) {
		hf_state_room_close(room);
		return hf_error_set(err, -ENOMEM,
				    "room for a saved state cannot be mapped");
	}
	room->memory = memory;
	*out = room;
	return 0;
}

void hf_state_room_close(struct hf_state_room *room)
{
	if (room == NULL) {
		return;
	}
	if (room->memory != NULL) {
		munmap(room->memory, room->len_bytes);
	}
	if (room->fd >= 0) {
		close(room->fd);
	}
	if (room->spare_fd >= 0) {
		close(room->spare_fd);
	}
	free(room);
}

int hf_carry_add_room(struct hf_carry *carry, struct hf_state_room *room,
		      struct hf_error *err)
{
	return hf_carry_add(carry, ROOM_NAME, room->fd, err);
}

int hf_carry_fill_room(struct hf_carry *carry, struct hf_state_room *room,
		       const uint8_t *bytes, size_t len_bytes,
		       struct hf_error *err)
{
	if (len_bytes > room->len_bytes) {
		if (room->spare_fd >= 0) {
			close(room->spare_fd);
		}
		return hf_carry_add_state(carry, bytes, len_bytes,
					  &room->spare_fd, err);
	}
	memcpy(room->memory, bytes, len_bytes);
	return hf_fdset_put_text(&carry->set, err, ROOM_KEY, "%zu", len_bytes);
}

/* ------------------------------------------------------------------ a file */

int hf_carry_add_state(struct hf_carry *carry, const uint8_t *bytes,
		       size_t len_bytes, int *fd, struct hf_error *err)
{
	HF_AUTO_CLOSE int memory = memfd_create("holdfast-state", MFD_CLOEXEC);

	*fd = -1;
	int rc = memory < 0 ? -errno : write_all(memory, bytes, len_bytes);
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "the saved state of %zu bytes cannot be "
				    "put into a memfd: %s",
				    len_bytes, strerror(-rc));
	}
	rc = hf_carry_add(carry, STATE_NAME, memory, err);
	if (rc != 0) {
		return rc;
	}
	int added = hf_take_fd(&memory);
	if (!carry->owns) {
		*fd = added;
	}
	return 0;
}

/* ----------------------------------------------------------------- reading */

/* Where it is, and how long: -ENOENT, or -EPROTO for what cannot be. */
static int find_state(const struct hf_carry *carry, int *fd, uint64_t *len)
{
	struct stat st;

	int rc = hf_fdset_get_u64(&carry->set, ROOM_KEY, len);
	if (rc != 0 && rc != -ENOENT) {
		return -EPROTO;
	}
	*fd = hf_carry_find(carry, rc == 0 ? ROOM_NAME : STATE_NAME);
	if (*fd < 0) {
		return -ENOENT;
	}
	if (rc == 0 && *len > 0 &&
	    hf_fdset_peek_map(&carry->set, *fd, *len) != NULL) {
		return 0;
	}
	if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    (rc == 0 && (*len == 0 || *len > (uint64_t)st.st_size))) {
		return -EPROTO;
	}
	if (rc != 0) {
		*len = (uint64_t)st.st_size;
	}
	return *len <= STATE_MAX_BYTES ? 0 : -EPROTO;
}

/* A copy: whoever has the file as well may change it. */
static int read_state(const struct hf_carry *carry, int fd, uint8_t *copy,
		      size_t len)
{
	const void *memory = hf_fdset_peek_map(&carry->set, fd, len);

	if (memory == NULL) {
		return read_all(fd, copy, len);
	}
	memcpy(copy, memory, len);
	return 0;
}

int hf_carry_state(const struct hf_carry *carry, uint8_t **bytes,
		   size_t *len_bytes, struct hf_error *err)
{
	uint64_t len = 0;
	int fd;

	int rc = find_state(carry, &fd, &len);
	if (rc == -ENOENT) {
		return hf_error_set(err, rc,
				    "no saved state came with the descriptors: "
				    "their owner died");
	}
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "what came as saved state is no file of 1 "
				    "to %d bytes",
				    STATE_MAX_BYTES);
	}
	HF_AUTO_FREE uint8_t *copy = malloc(len);
	rc = copy == NULL ? -ENOMEM : read_state(carry, fd, copy, len);
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "the saved state cannot be read: %s",
				    strerror(-rc));
	}
	*bytes = copy;
	*len_bytes = len;
	copy = NULL;
	return 0;
}
