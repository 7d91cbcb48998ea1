/* SPDX-License-Identifier: BSD-3-Clause */
/* What putting a set into systemd's store and getting it out of there have in
 * common. */
#pragma once

#include "holdfast/api.h"
#include "runtime/carry.h"

/* The text while the one before it is replaced: one of both is always there. */
#define HF_STORE_TEXT_TOO HF_CARRY_TEXT ".new"

/* A successor that has no saved state makes it from the ledger. */
#define HF_STORE_STATE "state"

/* Of a set; -EINVAL. */
HF_MUST_CHECK int hf_store_check_name(const char *name);
/* Asks that all of that key go; -ENOTSUP where there is no store. */
HF_MUST_CHECK int hf_store_remove(const char *set, const char *key);
/* The store has heard it all once this is answered. */
HF_MUST_CHECK int hf_store_wait(void);
