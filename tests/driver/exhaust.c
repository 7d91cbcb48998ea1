/* SPDX-License-Identifier: BSD-3-Clause */
#include "exhaust.h"

#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

enum {
	WHERE_DEPTH = 12,
};

static __thread struct {
	bool armed;
	bool spared;
	enum exhaust_mode mode;
	uint32_t nth;
	uint32_t calls;
	const char *failed;
	void *where[WHERE_DEPTH];
	int where_depth;
} state;

void exhaust_arm(uint32_t nth, enum exhaust_mode mode)
{
	state.armed = true;
	state.spared = false;
	state.mode = mode;
	state.nth = nth;
	state.calls = 0;
	state.failed = NULL;
}

void exhaust_spare(bool spared)
{
	state.spared = spared;
}

const char *exhaust_disarm(void)
{
	state.armed = false;
	return state.failed;
}

void exhaust_tell_where(void)
{
	backtrace_symbols_fd(state.where, state.where_depth, STDERR_FILENO);
}

static bool fails(const char *name, int error)
{
	if (!state.armed || state.spared) {
		return false;
	}
	state.calls++;
	if (state.calls < state.nth ||
	    (state.mode == EXHAUST_ONE && state.calls > state.nth)) {
		return false;
	}
	if (state.failed == NULL) {
		state.failed = name;
		state.spared = true;
		state.where_depth = backtrace(state.where, WHERE_DEPTH);
		state.spared = false;
	}
	errno = error;
	return true;
}

static uint32_t entries_of(const char *path)
{
	DIR *directory = opendir(path);
	uint32_t count = 0;

	while (directory != NULL && readdir(directory) != NULL) {
		count++;
	}
	if (directory != NULL) {
		closedir(directory);
	}
	return count;
}

uint32_t exhaust_descriptors(void)
{
	return entries_of("/proc/self/fd");
}

uint32_t exhaust_threads(void)
{
	return entries_of("/proc/self/task");
}

/* The names that the linker gives to what it wraps. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
#define WRAP(type, name, error, nothing, parameters, arguments)                \
	type __real_##name parameters;                                         \
	type __wrap_##name parameters;                                         \
	type __wrap_##name parameters                                          \
	{                                                                      \
		return fails(#name, error) ? (nothing)                         \
					   : __real_##name arguments;          \
	}

WRAP(void *, malloc, ENOMEM, NULL, (size_t bytes), (bytes))
WRAP(void *, calloc, ENOMEM, NULL, (size_t count, size_t bytes), (count, bytes))
WRAP(void *, realloc, ENOMEM, NULL, (void *old, size_t bytes), (old, bytes))
WRAP(void *, reallocarray, ENOMEM, NULL,
     (void *old, size_t count, size_t bytes), (old, count, bytes))
WRAP(void *, aligned_alloc, ENOMEM, NULL, (size_t align, size_t bytes),
     (align, bytes))
WRAP(char *, strdup, ENOMEM, NULL, (const char *text), (text))
WRAP(int, ftruncate64, ENOSPC, -1, (int fd, off64_t bytes), (fd, bytes))
WRAP(int, memfd_create, EMFILE, -1, (const char *name, unsigned int flags),
     (name, flags))
WRAP(int, eventfd, EMFILE, -1, (unsigned int value, int flags), (value, flags))
WRAP(int, epoll_create1, EMFILE, -1, (int flags), (flags))
WRAP(int, epoll_ctl, ENOSPC, -1,
     (int set, int op, int fd, struct epoll_event *event), (set, op, fd, event))
WRAP(int, timerfd_create, EMFILE, -1, (int clock, int flags), (clock, flags))
WRAP(int, socket, EMFILE, -1, (int domain, int type, int protocol),
     (domain, type, protocol))
WRAP(int, pthread_create, 0, EAGAIN,
     (pthread_t * thread, const pthread_attr_t *attr, void *(*start)(void *),
      void *arg),
     (thread, attr, start, arg))

void *__real_mmap64(void *at, size_t bytes, int prot, int flags, int fd,
		    off64_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd,
		    off64_t offset);

/* Not where address space is asked for that there may or may not be: the
 * emulated medium asks for less, then, and nothing is the worse for it. */
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd,
		    off64_t offset)
{
	bool tries = (flags & MAP_NORESERVE) != 0 && bytes > 1u << 30;

	return !tries && fails("mmap", ENOMEM)
		       ? MAP_FAILED
		       : __real_mmap64(at, bytes, prot, flags, fd, offset);
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);

/* Only one that makes a descriptor can run out of them. */
int __wrap_fcntl64(int fd, int command, ...)
{
	va_list arguments;

	va_start(arguments, command);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) &&
	    fails("fcntl(F_DUPFD)", EMFILE)) {
		return -1;
	}
	return __real_fcntl64(fd, command, argument);
}
/* NOLINTEND(bugprone-reserved-identifier) */
