/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of namespaces, for the two modules that look into it. */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "emu/ns.h"

/*
 * A lookup takes no lock: an entry is an atomic pointer, and what it pointed to
 * is freed only after hf_emu_synchronize(). The lock is for those who change
 * the table or look at it from outside of a command.
 */
struct hf_namespaces {
	pthread_mutex_t lock;
	uint32_t nn;
	uint32_t highest; /* atomic: the largest nsid that was ever in use */
	uint32_t swaps;   /* what makes a swapped one's identity another */
	struct hf_emu_ns **table; /* atomic pointers, by nsid; nn + 1 */
};

static inline struct hf_emu_ns *
hf_namespaces_get(const struct hf_namespaces *all, uint32_t nsid)
{
	if (nsid == 0 || nsid > all->nn) {
		return NULL;
	}
	/* Acquire: what it points to was filled before it was published. */
	return __atomic_load_n(&all->table[nsid], __ATOMIC_ACQUIRE);
}
