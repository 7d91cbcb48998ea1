/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads numbers and lists out of text that a user typed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* "4096", "0x1000", "4k", "1G": a number and at most one of K, M, G, T (powers
 * of 1024), all of @text. */
bool hf_text_size(const char *text, uint64_t *value);

/*
 * Takes "key=value" or "word" off the front of a list separated by commas and
 * moves *@list behind it. Both are copied, so that @list may be a constant;
 * a word alone is given as @value, with @key empty. Return: 1, 0 at the end of
 * the list, or -EINVAL for a word longer than its buffer or an empty one.
 */
int hf_text_option(const char **list, char key[32], char value[256]);
