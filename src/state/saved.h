/* SPDX-License-Identifier: BSD-3-Clause */
/* The saved state as a message: made from the ledger, and checked against it.
 * No driver types. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "holdfast/error.h"
#include "state/ledger.h"

enum {
	HF_SAVED_FORMAT = 1,
	HF_SAVED_MAX_BYTES = 64 << 20, /* no driver saves more */
};

/**
 * hf_saved_encode() - the message that says what the ledger says
 * @ledger: of a driver that issues and reaps nothing meanwhile
 * @bytes: receives the message, for free()
 * @len_bytes: receives its length
 * @err: what went wrong
 *
 * Return: 0 or -ENOMEM.
 */
HF_MUST_CHECK int hf_saved_encode(const struct hf_ledger *ledger,
				  uint8_t **bytes, size_t *len_bytes,
				  struct hf_error *err);

/**
 * hf_saved_verify() - may this message and this ledger be restored?
 * @bytes: a message from anywhere
 * @len_bytes: its length
 * @ledger: the ledger that came with it; its geometry was checked
 * @err: the first thing that cannot be, in words
 *
 * Nothing is changed. The message must describe the ledger as it is: identity,
 * queues, positions, commands.
 *
 * Return: 0; -EINVAL; -EPROTONOSUPPORT for a version from the future; -ESTALE
 * for one that a successor has restored from since: the ledger tells all.
 */
HF_MUST_CHECK int hf_saved_verify(const uint8_t *bytes, size_t len_bytes,
				  const struct hf_ledger *ledger,
				  struct hf_error *err);
