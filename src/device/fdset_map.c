/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of a set that is mapped ahead of the need. Knows no contents. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/sealed.h"
#include "device/fdset.h"

/* So many pages are looked at in one call. */
#define LOOK_PAGES 1024u

/* More than this is mapped, and not touched. */
#define TOUCH_MAX_BYTES (UINT64_C(256) << 20)

/* Two descriptors are of one file when both say the same here. */
struct hf_fdset_map {
	int fd;
	dev_t dev;
	ino_t ino;
	void *memory;
	uint64_t len_bytes;
};

/* Only pages that exist: reading one that does not would make it. */
static void touch(uint8_t *memory, uint64_t len_bytes)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned char there[LOOK_PAGES];

	for (uint64_t at = 0; at < len_bytes; at += LOOK_PAGES * page) {
		uint64_t part = HF_MIN(len_bytes - at, LOOK_PAGES * page);

		if (mincore(memory + at, part, there) != 0) {
			return;
		}
		for (uint64_t i = 0; i * page < part; i++) {
			if ((there[i] & 1) != 0) {
				(void)*(volatile uint8_t *)(memory + at +
							    i * page);
			}
		}
	}
}

static bool map_file(int fd, struct hf_fdset_map *map)
{
	struct stat st;

	if (!hf_keeps_its_size(fd) || fstat(fd, &st) != 0 || st.st_size <= 0) {
		return false;
	}
	*map = (struct hf_fdset_map){
		.fd = fd,
		.dev = st.st_dev,
		.ino = st.st_ino,
		.len_bytes = (uint64_t)st.st_size,
		.memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
			       MAP_SHARED, fd, 0),
	};
	return map->memory != MAP_FAILED;
}

/* Best effort: without it, or where it lacks something, that is made later. */
static void make_iova_map(struct hf_fdset *set)
{
	struct hf_iova_map *map = calloc(1, sizeof(*map));

	if (map == NULL || hf_iova_map_init(map) != 0) {
		free(map);
		return;
	}
	for (uint32_t i = 0; i < set->map_count; i++) {
		(void)!hf_iova_map_expect(map, set->maps[i].memory,
					  set->maps[i].len_bytes);
	}
	set->iova_map = map;
}

void hf_fdset_map_ahead(struct hf_fdset *set)
{
	uint64_t touched = 0;

	hf_fdset_unmap(set);
	set->maps = calloc(HF_MAX(set->count, 1u), sizeof(*set->maps));
	for (uint32_t i = 0; set->maps != NULL && i < set->count; i++) {
		struct hf_fdset_map *map = &set->maps[set->map_count];

		if (!map_file(set->entries[i].fd, map)) {
			continue;
		}
		set->map_count++;
		if (map->len_bytes <= TOUCH_MAX_BYTES - touched) {
			touch(map->memory, map->len_bytes);
			touched += map->len_bytes;
		}
	}
	make_iova_map(set);
}

/* The first from @kept on that is of this file; @count: there is none. */
static uint32_t find_file(const struct hf_fdset_map *maps, uint32_t kept,
			  uint32_t count, int fd)
{
	struct stat st;

	if (kept == count || fstat(fd, &st) != 0) {
		return count;
	}
	while (kept < count &&
	       (maps[kept].dev != st.st_dev || maps[kept].ino != st.st_ino)) {
		kept++;
	}
	return kept;
}

static uint32_t find_fd(const struct hf_fdset_map *maps, uint32_t kept,
			uint32_t count, int fd)
{
	while (kept < count && maps[kept].fd != fd) {
		kept++;
	}
	return kept;
}

/* In the middle of a hand-over: a descriptor that is known is not asked, nor
 * is one behind the last file. */
void hf_fdset_move_maps(struct hf_fdset *to, uint32_t same,
			struct hf_fdset *from)
{
	struct hf_fdset_map *maps = from->maps;
	uint32_t count = from->map_count;
	uint32_t kept = 0;

	hf_fdset_unmap(to);
	for (uint32_t i = 0; i < to->count; i++) {
		int fd = to->entries[i].fd;
		uint32_t found = i < same ? find_fd(maps, kept, count, fd)
					  : find_file(maps, kept, count, fd);

		if (found < count) {
			struct hf_fdset_map map = maps[found];

			map.fd = fd;
			maps[found] = maps[kept];
			maps[kept++] = map;
		}
	}
	for (uint32_t i = kept; i < count; i++) {
		munmap(maps[i].memory, maps[i].len_bytes);
	}
	to->maps = maps;
	to->map_count = kept;
	to->iova_map = from->iova_map;
	from->iova_map = NULL;
	from->maps = NULL;
	from->map_count = 0;
}

void *hf_fdset_take_map(struct hf_fdset *set, int fd, uint64_t len_bytes)
{
	for (uint32_t i = 0; i < set->map_count; i++) {
		struct hf_fdset_map map = set->maps[i];

		if (map.fd == fd && map.len_bytes == len_bytes) {
			set->maps[i] = set->maps[--set->map_count];
			return map.memory;
		}
	}
	return NULL;
}

const void *hf_fdset_peek_map(const struct hf_fdset *set, int fd,
			      uint64_t len_bytes)
{
	for (uint32_t i = 0; i < set->map_count; i++) {
		if (set->maps[i].fd == fd &&
		    set->maps[i].len_bytes >= len_bytes) {
			return set->maps[i].memory;
		}
	}
	return NULL;
}

void hf_fdset_unmap(struct hf_fdset *set)
{
	for (uint32_t i = 0; i < set->map_count; i++) {
		munmap(set->maps[i].memory, set->maps[i].len_bytes);
	}
	free(set->maps);
	set->maps = NULL;
	set->map_count = 0;
	if (set->iova_map != NULL) {
		hf_iova_map_fini(set->iova_map);
		free(set->iova_map);
		set->iova_map = NULL;
	}
}

bool hf_fdset_take_iova_map(struct hf_fdset *set, struct hf_iova_map *map)
{
	if (set->iova_map == NULL) {
		return false;
	}
	*map = *set->iova_map;
	free(set->iova_map);
	set->iova_map = NULL;
	return true;
}
