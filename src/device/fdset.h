/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors by name, with a few bytes of text each: what a process hands to
 * its successor. Knows no device. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "device/iova_map.h"
#include "holdfast/error.h"

enum {
	HF_FDSET_MAX = 512,
	HF_FDSET_NAME_BYTES = 48,
	HF_FDSET_TEXT_BYTES = 16384,
};

/*
 * Names are of letters, digits, '-' and '.', so that systemd's descriptor
 * store takes them. The text is one blob for the set ("key=value" lines).
 * Descriptors are owned by whoever the comment of each function says.
 */
struct hf_fdset {
	uint32_t count;
	struct {
		char name[HF_FDSET_NAME_BYTES];
		int fd;
	} entries[HF_FDSET_MAX];
	char text[HF_FDSET_TEXT_BYTES];
	struct hf_fdset_map *maps; /* mapped ahead; see below */
	uint32_t map_count;
	struct hf_iova_map *iova_map; /* for what they hold, or NULL */
};

void hf_fdset_init(struct hf_fdset *set);
/* Adds a descriptor, which stays the caller's. */
HF_MUST_CHECK int hf_fdset_add(struct hf_fdset *set, int fd,
			       struct hf_error *err, const char *name_format,
			       ...) __attribute__((format(printf, 4, 5)));
/* -1 when there is none of that name; else the set's own descriptor. */
int hf_fdset_find(const struct hf_fdset *set, const char *name_format, ...)
	__attribute__((format(printf, 2, 3)));
/* Takes a descriptor out of the set: the caller owns it now. -1 if absent. */
int hf_fdset_take(struct hf_fdset *set, const char *name_format, ...)
	__attribute__((format(printf, 2, 3)));
/* Appends "key=value\n"; value without newlines. */
HF_MUST_CHECK int hf_fdset_put_text(struct hf_fdset *set, struct hf_error *err,
				    const char *key, const char *value_format,
				    ...) __attribute__((format(printf, 4, 5)));
/* Copies the value of @key to @buf; -ENOENT, or -ENOBUFS. */
HF_MUST_CHECK int hf_fdset_get_text(const struct hf_fdset *set, const char *key,
				    char *buf, uint32_t len_bytes);
/* The same for an unsigned number; -EINVAL when it is none. */
HF_MUST_CHECK int hf_fdset_get_u64(const struct hf_fdset *set, const char *key,
				   uint64_t *value);
/*
 * A successor that has a copy of the set while the owner still goes on can map
 * what it will need, and touch it: page tables are what takes time then.
 * Files that do not fit, or could shrink meanwhile, are left out.
 */
void hf_fdset_map_ahead(struct hf_fdset *set);
/* The mappings of files that both sets have; the rest is unmapped. Of @to, the
 * first @same descriptors were in @from. */
void hf_fdset_move_maps(struct hf_fdset *to, uint32_t same,
			struct hf_fdset *from);
/* All of the file of @fd, which is or was in the set; the caller's now. NULL:
 * it was not mapped ahead. */
void *hf_fdset_take_map(struct hf_fdset *set, int fd, uint64_t len_bytes);
/* So much of it at least, which stays the set's, or NULL. */
const void *hf_fdset_peek_map(const struct hf_fdset *set, int fd,
			      uint64_t len_bytes);
void hf_fdset_unmap(struct hf_fdset *set);
/* An empty map, ready for the memory that was mapped ahead; the caller's now.
 * False: there is none. */
bool hf_fdset_take_iova_map(struct hf_fdset *set, struct hf_iova_map *map);

/* Closes every descriptor that is in the set: for one that was received. */
void hf_fdset_close(struct hf_fdset *set);
