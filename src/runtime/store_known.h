/* SPDX-License-Identifier: BSD-3-Clause */
/* What this process knows to be in its store: the keys of each set. The store
 * cannot be asked. Knows no descriptors. */
#pragma once

#include <stdbool.h>

#include "runtime/store_list.h"

/* 0, -ENOMEM. One that is known already is allowed. */
HF_MUST_CHECK int hf_store_known_add(const char *set, const char *key);
void hf_store_known_forget(const char *set, const char *key);
/* The key that a file of this identity has, called @name if there are several
 * of it. False: none is known. */
bool hf_store_known_find(const char *set, const char *name, const char *id,
			 char key[HF_STORE_KEY_BYTES]);
/* A key of the set that a descriptor of that name was stored under. */
bool hf_store_known_named(const char *set, const char *name,
			  char key[HF_STORE_KEY_BYTES]);
/* A key of the set that @list, NULL for an empty one, does not have. */
bool hf_store_known_stale(const char *set, const struct hf_store_list *list,
			  char key[HF_STORE_KEY_BYTES]);
/* Files of all sets, and the text of each. */
uint32_t hf_store_known_count(void);
