/* SPDX-License-Identifier: BSD-3-Clause */
/* Values in the tree that inspect gives. Knows JSON and no driver. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

static inline void put_u64(struct json_object *into, const char *key,
			   uint64_t value)
{
	json_object_object_add(into, key, json_object_new_uint64(value));
}

static inline void put_text(struct json_object *into, const char *key,
			    const char *value)
{
	json_object_object_add(into, key, json_object_new_string(value));
}

static inline void put_bool(struct json_object *into, const char *key,
			    bool value)
{
	json_object_object_add(into, key, json_object_new_boolean(value));
}
