/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: no bytes that are given as a saved state do more than be refused.
 * Method: the input is the message; the ledger is the one that the golden
 * states were saved of.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../servicing/fixed_ledger.h"
#include "state/saved.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	static struct hf_ledger ledger;
	struct hf_error err;

	if (ledger.header == NULL && fixed_ledger_create(&ledger) != 0) {
		abort();
	}
	(void)!hf_saved_verify(data, len_bytes, &ledger, &err);
	return 0;
}
