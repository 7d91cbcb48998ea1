/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve_warm.h"

#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES  4096u
#define HEAP_BYTES  (4u << 20)
#define STACK_BYTES (64u << 10)
#define THREADS_MAX 64u

/* Larger parts are of libraries of which little is used. */
#define PART_MAX_BYTES (2u << 20)

/* Reads what no object of the program's is, which a sanitizer takes for a
 * mistake. */
__attribute__((no_sanitize_address, noinline)) static void
touch(const volatile char *from, size_t len_bytes)
{
	for (size_t at = 0; at < len_bytes; at += PAGE_BYTES) {
		(void)from[at];
	}
}

/* Code, constants and data of the program and its libraries. */
static void touch_program(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	if (!maps) {
		return;
	}
	while (fgets(line, sizeof(line), maps)) {
		uintptr_t from;
		uintptr_t end;
		char rights[8];

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &end,
			   rights) == 3 &&
		    rights[0] == 'r' && rights[3] == 'p' && strchr(line, '/') &&
		    end - from <= PART_MAX_BYTES) {
			touch((const volatile char *)from, end - from);
		}
	}
	fclose(maps);
}

static void touch_heap(void)
{
	/* All of it stays one arena that is never given back. */
	mallopt(M_MMAP_THRESHOLD, HEAP_BYTES);
	mallopt(M_TRIM_THRESHOLD, 4 * HEAP_BYTES);
	mallopt(M_TOP_PAD, HEAP_BYTES);
	char *heap = malloc(HEAP_BYTES / 2);
	if (heap) {
		memset(heap, 0, HEAP_BYTES / 2);
		/* Or the compiler sees that nobody reads it. */
		touch(heap, HEAP_BYTES / 2);
		free(heap);
	}
}

__attribute__((noinline)) static void touch_own_stack(void)
{
	volatile char stack[STACK_BYTES];

	for (size_t at = 0; at < sizeof(stack); at += PAGE_BYTES) {
		stack[at] = 1;
	}
}

static void *touch_stack(void *user)
{
	touch_own_stack();
	pthread_barrier_wait(user);
	return NULL;
}

/* The C library keeps the stacks of threads that have ended for the next. */
static void touch_stacks(uint32_t count)
{
	pthread_t threads[THREADS_MAX];
	pthread_barrier_t all;
	uint32_t made = 0;

	count = count < THREADS_MAX ? count : THREADS_MAX;
	if (count == 0 || pthread_barrier_init(&all, NULL, count) != 0) {
		return;
	}
	while (made < count &&
	       pthread_create(&threads[made], NULL, touch_stack, &all) == 0) {
		made++;
	}
	if (made < count) {
		return; /* those that wait for the rest wait for ever */
	}
	for (uint32_t i = 0; i < made; i++) {
		pthread_join(threads[i], NULL);
	}
	pthread_barrier_destroy(&all);
}

void serve_warm(uint32_t threads)
{
	touch_own_stack();
	touch_program();
	touch_heap();
	touch_stacks(threads);
}
