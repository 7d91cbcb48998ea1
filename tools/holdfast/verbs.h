/* SPDX-License-Identifier: BSD-3-Clause */
/* Every verb there is, each in the file of its name. A new one is declared
 * here and listed in verbs.c and meson.build. */
#pragma once

#include <stddef.h>

#include "args.h"

extern const struct verb verb_help;
extern const struct verb verb_list;

size_t verb_count(void);
const struct verb *verb_at(size_t i);

/* NULL when there is none of that name. */
const struct verb *verb_find(const char *name);
