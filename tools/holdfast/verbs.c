/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs.h"

#include <string.h>

/* In the order of the help. */
static const struct verb *const verbs[] = {
	&verb_list,
	&verb_emulate,
	&verb_emulate_ctl,
	&verb_help,
};

size_t verb_count(void)
{
	return sizeof(verbs) / sizeof(verbs[0]);
}

const struct verb *verb_at(size_t i)
{
	return verbs[i];
}

const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < verb_count(); i++) {
		if (strcmp(verbs[i]->name, name) == 0) {
			return verbs[i];
		}
	}
	return NULL;
}
