/* SPDX-License-Identifier: BSD-3-Clause */
/* A saved state as a tree, in memory that is bounded by its length. Believes
 * nothing of it but that it parses. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "saved.pb-c.h"
#include "state/arena.h"

/* @arena: initialised here; the tree is in it, so that the caller gives back
 * both with hf_arena_fini(), also when it is NULL: it does not parse. */
Holdfast__Saved__Driver *
hf_saved_unpack(struct hf_arena *arena, const uint8_t *bytes, size_t len_bytes);
