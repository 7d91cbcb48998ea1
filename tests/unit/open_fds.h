/* SPDX-License-Identifier: BSD-3-Clause */
/* How many descriptors this process has, for tests that nothing leaks. After
 * <cmocka.h>. */
#pragma once

#include <dirent.h>
#include <stdint.h>

static inline uint32_t open_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	uint32_t count = 0;

	assert_non_null(directory);
	while (readdir(directory) != NULL) {
		count++;
	}
	closedir(directory);
	return count;
}
