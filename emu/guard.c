/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/guard.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * The handler may run in any thread at any time, so the table is read without
 * a lock. Its end is stored before its start, and a start of 0 is an empty
 * entry; an entry is only emptied when nobody accesses its range any more, so
 * the handler never looks for one that is just going.
 */
struct guard {
	uintptr_t start; /* atomic */
	uintptr_t end;   /* atomic */
	int notify_fd;
	bool tripped; /* atomic */
};

static struct guard guards[HF_GUARD_MAX];
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;
static bool installed;
static struct sigaction previous;

/* Zeroes under @at: a page of the size that the mapping there is made of. */
static bool put_zeroes(uintptr_t at)
{
	static const uintptr_t pages[] = {UINT64_C(4096), UINT64_C(2) << 20,
					  UINT64_C(1) << 30};

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		uintptr_t page = at & ~(pages[i] - 1);

		if (mmap((void *)page, pages[i], PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
				 MAP_NORESERVE,
			 -1, 0) != MAP_FAILED) {
			return true;
		}
	}
	return false;
}

static bool handle(uintptr_t at)
{
	for (int i = 0; i < HF_GUARD_MAX; i++) {
		struct guard *guard = &guards[i];
		uintptr_t start =
			__atomic_load_n(&guard->start, __ATOMIC_ACQUIRE);
		uintptr_t end = __atomic_load_n(&guard->end, __ATOMIC_RELAXED);

		if (start == 0 || at < start || at >= end) {
			continue;
		}
		if (!put_zeroes(at)) {
			return false;
		}
		__atomic_store_n(&guard->tripped, true, __ATOMIC_RELEASE);

		uint64_t one = 1;
		ssize_t written = write(guard->notify_fd, &one, sizeof(one));
		(void)written; /* a full eventfd is a note as well */
		return true;
	}
	return false;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	bool handled = handle((uintptr_t)info->si_addr);

	errno = saved;
	if (handled) {
		return;
	}
	if ((previous.sa_flags & SA_SIGINFO) != 0) {
		previous.sa_sigaction(number, info, context);
	} else if (previous.sa_handler != SIG_DFL &&
		   previous.sa_handler != SIG_IGN) {
		previous.sa_handler(number);
	} else {
		/* The access is repeated, and ends the process. */
		signal(number, SIG_DFL);
	}
}

int hf_guard_install(void)
{
	int result = 0;

	pthread_mutex_lock(&guards_lock);
	if (!installed) {
		struct sigaction action = {0};

		action.sa_sigaction = on_sigbus;
		action.sa_flags = SA_SIGINFO | SA_ONSTACK;
		sigemptyset(&action.sa_mask);
		if (sigaction(SIGBUS, &action, &previous) != 0) {
			result = -errno;
		} else {
			installed = true;
		}
	}
	pthread_mutex_unlock(&guards_lock);
	return result;
}

int hf_guard_add(void *vaddr, uint64_t len_bytes, int notify_fd)
{
	int found = -ENOSPC;

	pthread_mutex_lock(&guards_lock);
	for (int i = 0; i < HF_GUARD_MAX && found < 0; i++) {
		struct guard *guard = &guards[i];

		if (guard->start != 0) {
			continue;
		}
		guard->notify_fd = notify_fd;
		__atomic_store_n(&guard->tripped, false, __ATOMIC_RELAXED);
		__atomic_store_n(&guard->end, (uintptr_t)vaddr + len_bytes,
				 __ATOMIC_RELAXED);
		/* Whoever sees the start sees the rest of the entry. */
		__atomic_store_n(&guard->start, (uintptr_t)vaddr,
				 __ATOMIC_RELEASE);
		found = i;
	}
	pthread_mutex_unlock(&guards_lock);
	return found;
}

void hf_guard_remove(int guard)
{
	assert(guard >= 0 && guard < HF_GUARD_MAX);

	pthread_mutex_lock(&guards_lock);
	__atomic_store_n(&guards[guard].start, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&guards_lock);
}

bool hf_guard_tripped(int guard)
{
	assert(guard >= 0 && guard < HF_GUARD_MAX);

	return __atomic_load_n(&guards[guard].tripped, __ATOMIC_ACQUIRE);
}
