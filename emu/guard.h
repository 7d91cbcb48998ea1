/* SPDX-License-Identifier: BSD-3-Clause */
/* Mapped memory that somebody else can shrink: what would be a fatal SIGBUS
 * becomes a page of zeroes and a note. Knows no device and no protocol. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Ranges that can be guarded in one process at a time. */
#define HF_GUARD_MAX 4096

/* Installs the handler of the process, once; SIGBUS outside of guarded memory
 * goes where it went before. Returns 0 or -errno. */
int hf_guard_install(void);

/*
 * From now on a SIGBUS in the range puts zeroes under the page, trips the guard
 * and writes to the eventfd @notify_fd. Returns the guard's number, or -ENOSPC.
 */
int hf_guard_add(void *vaddr, uint64_t len_bytes, int notify_fd);
/* Nobody accesses the range any more. */
void hf_guard_remove(int guard);
/* Has the memory been missing since hf_guard_add()? */
bool hf_guard_tripped(int guard);
