/* SPDX-License-Identifier: BSD-3-Clause */
/* Orders the CPU's accesses against a device's. Knows no ring and no register.
 */
#pragma once

#include <stdint.h>

/*
 * hf_dma_wmb() orders stores to DMA memory before a later store that lets the
 * device look at them (a doorbell, or a ring entry's owner field).
 * hf_dma_rmb() orders a load that found the device's mark before the loads of
 * what it marks. hf_dma_mb() also keeps a later load from passing an earlier
 * store, which shadow doorbells need: the new tail must be visible before the
 * device's event index is read.
 *
 * x86 keeps stores in order, also towards uncached memory, and loads too, so
 * the first two only hold the compiler back there.
 */
#if defined(__x86_64__)
static inline void hf_dma_wmb(void)
{
	__asm__ __volatile__("" ::: "memory");
}

static inline void hf_dma_rmb(void)
{
	__asm__ __volatile__("" ::: "memory");
}

static inline void hf_dma_mb(void)
{
	__asm__ __volatile__("mfence" ::: "memory");
}

static inline void hf_cpu_relax(void)
{
	__asm__ __volatile__("pause" ::: "memory");
}
#elif defined(__aarch64__)
static inline void hf_dma_wmb(void)
{
	__asm__ __volatile__("dmb oshst" ::: "memory");
}

static inline void hf_dma_rmb(void)
{
	__asm__ __volatile__("dmb oshld" ::: "memory");
}

static inline void hf_dma_mb(void)
{
	__asm__ __volatile__("dmb osh" ::: "memory");
}

static inline void hf_cpu_relax(void)
{
	__asm__ __volatile__("yield" ::: "memory");
}
#else
#error "holdfast has barriers for x86-64 and arm64 only"
#endif

/* One register access, neither torn, repeated nor left out. */
static inline uint32_t hf_mmio_read32(const volatile void *reg)
{
	return *(const volatile uint32_t *)reg;
}

static inline uint64_t hf_mmio_read64(const volatile void *reg)
{
	return *(const volatile uint64_t *)reg;
}

static inline void hf_mmio_write32(volatile void *reg, uint32_t value)
{
	*(volatile uint32_t *)reg = value;
}

static inline void hf_mmio_write64(volatile void *reg, uint64_t value)
{
	*(volatile uint64_t *)reg = value;
}
