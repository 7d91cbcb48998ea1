/* SPDX-License-Identifier: BSD-3-Clause */
/* What a verb found out, as a tree with stable names: printed as JSON, or for
 * reading. Knows nothing of NVMe. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "args.h"

/* A new object or array; running out of memory ends the program. */
struct json_object *out_object(void);
struct json_object *out_array(void);

/* The member is owned by @parent afterwards. */
void out_add(struct json_object *parent, const char *name,
	     struct json_object *member);
void out_push(struct json_object *array, struct json_object *member);

void out_number(struct json_object *parent, const char *name, uint64_t value);

/* A number in JSON, hexadecimal for reading: identifiers and bit fields. */
void out_hex(struct json_object *parent, const char *name, uint64_t value);

/* A number in JSON, with K, M, G for reading as well. */
void out_bytes(struct json_object *parent, const char *name, uint64_t value);

/* A number of nanoseconds in JSON, with the unit that suits for reading. */
void out_ns(struct json_object *parent, const char *name, uint64_t value);

void out_real(struct json_object *parent, const char *name, double value);
void out_bool(struct json_object *parent, const char *name, bool value);
void out_text(struct json_object *parent, const char *name, const char *value);

/* A field of an identify page: not terminated, padded, not to be trusted. */
void out_chars(struct json_object *parent, const char *name, const char *field,
	       size_t len_bytes);

/* Bytes as hexadecimal digits, in memory order. */
void out_digits(struct json_object *parent, const char *name,
		const uint8_t *bytes, size_t len_bytes);

/* 128 bits, little-endian: a number where 64 bits hold it, else a string. */
void out_u128(struct json_object *parent, const char *name,
	      const uint8_t bytes[16]);

/**
 * out_print() - print the tree and let go of it
 * @args: says in which format
 * @tree: gone afterwards
 *
 * Return: CLI_OK; main() finds out whether standard output took it.
 */
int out_print(const struct args *args, struct json_object *tree);

/* One JSON object on a line of its own, flushed: for streams of them. */
void out_line(struct json_object *tree);

/* Offset, 16 bytes, their characters; repeated lines as one "*". */
void out_hexdump(const uint8_t *data, uint64_t len_bytes, uint64_t offset);
