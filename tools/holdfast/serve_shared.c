/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve_shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <holdfast/error.h>

#include "progress.h"

#define SERVE_MAGIC   UINT64_C(0x31455652455346) /* "FSERVE1" */
#define SERVE_VERSION 3

static struct serve_shared *map_shared(int fd)
{
	void *memory = mmap(NULL, sizeof(struct serve_shared),
			    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int serve_shared_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0
		       ? 0
		       : -errno;
}

int serve_shared_create(struct serve_shared **shared, int *fd)
{
	int memory =
		memfd_create("holdfast-serve", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (memory < 0) {
		return -errno;
	}
	*shared = ftruncate(memory, sizeof(**shared)) == 0 &&
				  serve_shared_seal(memory) == 0
			  ? map_shared(memory)
			  : NULL;
	if (!*shared) {
		close(memory);
		return -ENOMEM;
	}
	(*shared)->magic = SERVE_MAGIC;
	(*shared)->version = SERVE_VERSION;
	(*shared)->way = SERVE_KILLED;
	*fd = memory;
	return 0;
}

static bool ends(const char *text, size_t room)
{
	return strnlen(text, room) < room;
}

static bool steps_end(const struct serve_shared *shared)
{
	for (uint32_t i = 0; i < SERVE_STEPS_MAX; i++) {
		if (!ends(shared->steps[i].name,
			  sizeof(shared->steps[i].name))) {
			return false;
		}
	}
	return true;
}

int serve_shared_attach(struct serve_shared **shared, int fd, void *memory)
{
	struct stat st;

	if (fstat(fd, &st) != 0) {
		return -errno;
	}
	if (st.st_size != (off_t)sizeof(**shared)) {
		return -EBADMSG;
	}
	struct serve_shared *found = memory ? memory : map_shared(fd);
	if (!found) {
		return -ENOMEM;
	}
	if (found->magic != SERVE_MAGIC || found->version != SERVE_VERSION ||
	    found->workers > 1024 || found->depth > 65536 ||
	    found->read_percent > 100 || found->way >= SERVE_WAYS ||
	    found->step_count > SERVE_STEPS_MAX || !steps_end(found) ||
	    !ends(found->address, sizeof(found->address)) ||
	    !ends(found->keeper, sizeof(found->keeper)) ||
	    !ends(found->fault, sizeof(found->fault))) {
		serve_shared_close(found);
		return -EBADMSG;
	}
	*shared = found;
	return 0;
}

void serve_shared_close(struct serve_shared *shared)
{
	if (shared) {
		munmap(shared, sizeof(*shared));
	}
}

void serve_shared_gap(struct serve_shared *shared, enum serve_way way,
		      uint64_t ns)
{
	struct serve_gaps *gaps = &shared->gaps[way];

	gaps->ns[gaps->count % SERVE_GAPS_MAX] = ns;
	gaps->count++;
}

void serve_shared_step(struct serve_shared *shared, const char *name,
		       uint64_t ended_ns)
{
	if (shared->step_count >= SERVE_STEPS_MAX) {
		return;
	}
	struct serve_step *step = &shared->steps[shared->step_count++];
	snprintf(step->name, sizeof(step->name), "%s", name);
	step->pid = (int32_t)getpid();
	step->ended_ns = ended_ns;
}

void serve_shared_note(struct serve_shared *shared, const char *name)
{
	serve_shared_step(shared, name, progress_now_ns());
}

void serve_shared_begin(struct serve_shared *shared, const char *name,
			uint64_t ended_ns)
{
	shared->step_count = 0;
	serve_shared_step(shared, name, ended_ns);
}

void serve_shared_show_steps(const struct serve_shared *shared,
			     struct json_object *tree)
{
	struct json_object *list = out_array();
	uint64_t began_ns = shared->step_count ? shared->steps[0].ended_ns : 0;
	uint64_t last_ns = began_ns;

	for (uint32_t i = 0; i < shared->step_count; i++) {
		const struct serve_step *step = &shared->steps[i];
		struct json_object *entry = out_object();

		out_text(entry, "step", step->name);
		out_number(entry, "pid", (uint64_t)step->pid);
		out_ns(entry, "took_ns", step->ended_ns - last_ns);
		out_ns(entry, "at_ns", step->ended_ns - began_ns);
		out_push(list, entry);
		last_ns = step->ended_ns;
	}
	out_add(tree, "handover", list);
}

void serve_shared_end(struct serve_shared *shared, int result)
{
	for (uint32_t i = 0; i < SERVE_ENDS_MAX; i++) {
		struct serve_end *end = &shared->ends[i];
		int32_t found = 0;

		/* Whoever comes first takes the place for its result. */
		if (__atomic_compare_exchange_n(&end->result, &found, result,
						false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED) ||
		    found == result) {
			__atomic_fetch_add(&end->count, 1, __ATOMIC_RELAXED);
			return;
		}
	}
	__atomic_fetch_add(&shared->other_ends, 1, __ATOMIC_RELAXED);
}

void serve_shared_show_ends(const struct serve_shared *shared,
			    struct json_object *tree)
{
	struct json_object *list = out_array();

	for (uint32_t i = 0; i < SERVE_ENDS_MAX; i++) {
		const struct serve_end *end = &shared->ends[i];
		struct json_object *entry;
		char words[160];

		if (end->result == 0) {
			break;
		}
		entry = out_object();
		out_number(entry, "count", end->count);
		out_text(entry, "result",
			 hf_result_text(end->result, words, sizeof(words)));
		out_push(list, entry);
	}
	out_add(tree, "ends", list);
	out_number(tree, "other_ends", shared->other_ends);
}

void serve_shared_fault(struct serve_shared *shared, const char *text)
{
	static atomic_flag taken = ATOMIC_FLAG_INIT;

	if (shared->fault[0] == '\0' && !atomic_flag_test_and_set(&taken)) {
		snprintf(shared->fault, sizeof(shared->fault), "%s", text);
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void show_way(const struct serve_gaps *gaps, struct json_object *tree,
		     const char *name)
{
	uint64_t sorted[SERVE_GAPS_MAX];
	size_t count = gaps->count < SERVE_GAPS_MAX ? (size_t)gaps->count
						    : SERVE_GAPS_MAX;
	struct json_object *way = out_object();

	memcpy(sorted, gaps->ns, count * sizeof(sorted[0]));
	qsort(sorted, count, sizeof(sorted[0]), compare);
	out_number(way, "count", gaps->count);
	if (count > 0) {
		/* The value that so many in a hundred do not exceed. */
		out_ns(way, "p50_ns", sorted[(count * 50 + 99) / 100 - 1]);
		out_ns(way, "p99_ns", sorted[(count * 99 + 99) / 100 - 1]);
		out_ns(way, "max_ns", sorted[count - 1]);
	}
	out_add(tree, name, way);
}

void serve_shared_show_gaps(const struct serve_shared *shared,
			    struct json_object *tree)
{
	struct json_object *gaps = out_object();

	show_way(&shared->gaps[SERVE_UPGRADED], gaps, "upgraded");
	show_way(&shared->gaps[SERVE_EXECUTED], gaps, "executed");
	show_way(&shared->gaps[SERVE_KILLED], gaps, "killed");
	out_add(tree, "gaps", gaps);
}
