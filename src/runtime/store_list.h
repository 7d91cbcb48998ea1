/* SPDX-License-Identifier: BSD-3-Clause */
/* Which files make a set that lies in systemd's store: a list, as text. Knows
 * files by what tells them apart, and not how the store is spoken to. */
#pragma once

#include <stdint.h>

#include "runtime/carry.h"

/* What tells a file from all others that exist while it does. */
#define HF_STORE_ID_BYTES 48

/* A key is what the store calls a file: the name of the descriptor that it was
 * first stored as, a dot, and its identity. No two files have one key, so that
 * one can be taken out of the store while the next one of its name stays. */
#define HF_STORE_KEY_BYTES (HF_FDSET_NAME_BYTES + HF_STORE_ID_BYTES)

/* @made_ns: of two lists, the later one counts. */
struct hf_store_list {
	uint64_t made_ns;
	uint32_t count;
	struct hf_store_file {
		char name[HF_FDSET_NAME_BYTES];
		char key[HF_STORE_KEY_BYTES];
	} files[HF_FDSET_MAX];
};

/* 0, or -errno for a descriptor that is none. */
HF_MUST_CHECK int hf_store_identify(int fd, char id[HF_STORE_ID_BYTES]);
/* The identity in a key; "" for one that has none. */
const char *hf_store_key_id(const char *key);
/* Can several files that exist have this identity? Then the name tells them
 * apart, and there may be one of it only. */
bool hf_store_id_is_shared(const char *id);

/* The list and the text of @set, in a memfd; or -errno. */
HF_MUST_CHECK int hf_store_list_write(const struct hf_store_list *list,
				      const char *text);
/* The other way. @text has room for HF_FDSET_TEXT_BYTES. 0, -EPROTO. */
HF_MUST_CHECK int hf_store_list_read(int fd, struct hf_store_list *list,
				     char *text);
/* Is a file of that key in it? */
bool hf_store_list_has(const struct hf_store_list *list, const char *key);
