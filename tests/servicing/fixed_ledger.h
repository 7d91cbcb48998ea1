/* SPDX-License-Identifier: BSD-3-Clause */
/* A ledger that is the same each time: what the golden states were saved of. */
#pragma once

#include "state/ledger.h"

/* An admin queue, two I/O queues, three commands under way, a namespace. */
int fixed_ledger_create(struct hf_ledger *ledger);
