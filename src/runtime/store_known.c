/* SPDX-License-Identifier: BSD-3-Clause */
#include "runtime/store_known.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "holdfast/keeper.h"

struct known {
	struct known *next;
	char set[HF_KEEPER_NAME_BYTES];
	char key[HF_STORE_KEY_BYTES];
};

/* One store for a process, as there is one environment that names it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct known *first;

static struct known **find(const char *set, const char *key)
{
	struct known **at = &first;

	while (*at != NULL &&
	       (strcmp((*at)->set, set) != 0 || strcmp((*at)->key, key) != 0)) {
		at = &(*at)->next;
	}
	return at;
}

int hf_store_known_add(const char *set, const char *key)
{
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (*find(set, key) == NULL) {
		struct known *known = calloc(1, sizeof(*known));

		if (known != NULL) {
			snprintf(known->set, sizeof(known->set), "%s", set);
			snprintf(known->key, sizeof(known->key), "%s", key);
			known->next = first;
			first = known;
		} else {
			rc = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void hf_store_known_forget(const char *set, const char *key)
{
	pthread_mutex_lock(&lock);
	struct known **at = find(set, key);
	struct known *found = *at;
	if (found != NULL) {
		*at = found->next;
		free(found);
	}
	pthread_mutex_unlock(&lock);
}

static bool has_name(const char *key, const char *name)
{
	size_t len = strlen(name);

	return strncmp(key, name, len) == 0 && key[len] == '.' &&
	       strchr(key + len + 1, '.') == NULL;
}

bool hf_store_known_find(const char *set, const char *name, const char *id,
			 char key[HF_STORE_KEY_BYTES])
{
	const struct known *found = NULL;
	bool is_named = false;

	pthread_mutex_lock(&lock);
	for (const struct known *at = first; at != NULL && !is_named;
	     at = at->next) {
		if (strcmp(at->set, set) != 0 ||
		    strcmp(hf_store_key_id(at->key), id) != 0) {
			continue;
		}
		is_named = has_name(at->key, name);
		if (is_named || !hf_store_id_is_shared(id)) {
			found = at;
		}
	}
	if (found != NULL) {
		memcpy(key, found->key, HF_STORE_KEY_BYTES);
	}
	pthread_mutex_unlock(&lock);
	return found != NULL;
}

bool hf_store_known_named(const char *set, const char *name,
			  char key[HF_STORE_KEY_BYTES])
{
	bool found = false;

	pthread_mutex_lock(&lock);
	for (const struct known *at = first; at != NULL && !found;
	     at = at->next) {
		found = strcmp(at->set, set) == 0 && has_name(at->key, name);
		if (found) {
			memcpy(key, at->key, HF_STORE_KEY_BYTES);
		}
	}
	pthread_mutex_unlock(&lock);
	return found;
}

bool hf_store_known_stale(const char *set, const struct hf_store_list *list,
			  char key[HF_STORE_KEY_BYTES])
{
	bool found = false;

	pthread_mutex_lock(&lock);
	for (const struct known *at = first; at != NULL && !found;
	     at = at->next) {
		found = strcmp(at->set, set) == 0 &&
			(list == NULL || !hf_store_list_has(list, at->key));
		if (found) {
			memcpy(key, at->key, HF_STORE_KEY_BYTES);
		}
	}
	pthread_mutex_unlock(&lock);
	return found;
}

uint32_t hf_store_known_count(void)
{
	uint32_t count = 0;

	pthread_mutex_lock(&lock);
	for (const struct known *at = first; at != NULL; at = at->next) {
		bool is_new = true;

		for (const struct known *before = first; before != at;
		     before = before->next) {
			is_new = is_new && strcmp(before->set, at->set) != 0;
		}
		count += is_new ? 2 : 1;
	}
	pthread_mutex_unlock(&lock);
	return count;
}
