/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers, sizes, times and lists as people write them, both ways. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct args_cpus;

/**
 * size_parse() - a number, with a unit or without
 * @text: "4096", "0x1000", "4K", "4KiB", "1G"; K, M, G, T and P are powers of
 *        1024 and may be small letters
 * @value: receives the number
 *
 * Return: false for anything else, and for what does not fit into 64 bits.
 */
bool size_parse(const char *text, uint64_t *value);

/* "5" and "5s" are seconds; ms, m and h are known too. */
bool duration_parse(const char *text, uint64_t *ms);

/* "0-3,6": ascending or not, none twice. */
bool cpus_parse(const char *text, struct args_cpus *cpus);

/* "1.5 GiB"; exact powers without a fraction. Returns @buf. */
char *size_text(uint64_t bytes, char *buf, size_t len_bytes);

/* "12.3 us": nanoseconds in the unit that suits. Returns @buf. */
char *time_text(uint64_t ns, char *buf, size_t len_bytes);
