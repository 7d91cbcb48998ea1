/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/media_stripes.h"

#include <assert.h>
#include <sched.h>

#include "base/barrier.h"

#define SPINS_BEFORE_YIELD 128

static_assert(HF_EMU_STRIPE_RANGE_MAX <= HF_EMU_STRIPES,
	      "a range must not come around to its own first stripe");

static void stripe_lock(uint32_t *sequence)
{
	for (unsigned int spins = 0;; spins++) {
		uint32_t seen = __atomic_load_n(sequence, __ATOMIC_RELAXED);

		/* Acquire: our stores come after the last holder's. */
		if ((seen & 1) == 0 &&
		    __atomic_compare_exchange_n(sequence, &seen, seen + 1, true,
						__ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED)) {
			return;
		}
		/* The holder only copies, or makes one system call. */
		if (spins % SPINS_BEFORE_YIELD == SPINS_BEFORE_YIELD - 1) {
			sched_yield();
		} else {
			hf_cpu_relax();
		}
	}
}

void hf_emu_stripes_lock(struct hf_emu_stripes *stripes, uint64_t block,
			 uint32_t count)
{
	uint32_t first = (uint32_t)(block % HF_EMU_STRIPES);

	assert(count > 0 && count <= HF_EMU_STRIPE_RANGE_MAX);

	/*
	 * In the order of the table, whichever block comes first, so that two
	 * writers cannot wait for each other.
	 */
	uint32_t wrapped = first + count > HF_EMU_STRIPES
				   ? first + count - HF_EMU_STRIPES
				   : 0;
	for (uint32_t i = 0; i < wrapped; i++) {
		stripe_lock(&stripes->sequence[i]);
	}
	for (uint32_t i = first; i < first + count - wrapped; i++) {
		stripe_lock(&stripes->sequence[i]);
	}
}

void hf_emu_stripes_unlock(struct hf_emu_stripes *stripes, uint64_t block,
			   uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t *sequence =
			&stripes->sequence[(block + i) % HF_EMU_STRIPES];

		/* Release: who sees the even count sees the stores. */
		__atomic_fetch_add(sequence, 1, __ATOMIC_RELEASE);
	}
}

bool hf_emu_stripes_read_begin(const struct hf_emu_stripes *stripes,
			       uint64_t block, uint32_t count, uint32_t *seen)
{
	for (uint32_t i = 0; i < count; i++) {
		seen[i] = __atomic_load_n(
			&stripes->sequence[(block + i) % HF_EMU_STRIPES],
			__ATOMIC_ACQUIRE);
		if ((seen[i] & 1) != 0) {
			return false;
		}
	}
	return true;
}

bool hf_emu_stripes_read_whole(const struct hf_emu_stripes *stripes,
			       uint64_t block, uint32_t count,
			       const uint32_t *seen)
{
	/*
	 * The counts must be loaded after the data. An acquire load does not
	 * order what came before it, so the barrier for loads stands here.
	 */
	hf_dma_rmb();

	for (uint32_t i = 0; i < count; i++) {
		if (__atomic_load_n(
			    &stripes->sequence[(block + i) % HF_EMU_STRIPES],
			    __ATOMIC_RELAXED) != seen[i]) {
			return false;
		}
	}
	return true;
}
