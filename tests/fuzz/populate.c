/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared memory with all its pages at once: one by one they cost a fuzzer half
 * of its time. */
#include <sys/mman.h>

/* The names that the linker gives to what it wraps. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_mmap64(void *at, size_t len_bytes, int prot, int flags, int fd,
		    off_t offset);
void *__wrap_mmap64(void *at, size_t len_bytes, int prot, int flags, int fd,
		    off_t offset);
/* NOLINTEND(bugprone-reserved-identifier) */

void *__wrap_mmap64(void *at, size_t len_bytes, int prot, int flags, int fd,
		    off_t offset)
{
	if ((flags & MAP_SHARED) != 0) {
		flags |= MAP_POPULATE;
	}
	return __real_mmap64(at, len_bytes, prot, flags, fd, offset);
}
