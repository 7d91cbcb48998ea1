/* SPDX-License-Identifier: BSD-3-Clause */
/* Which commands that ended with an error are sent again, when, and how often.
 * Knows statuses and times; no ring and no caller. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Why a command is sent again; the names stand in inspect. */
enum hf_retry_kind {
	HF_RETRY_ASKED,       /* the controller said when (CRD) */
	HF_RETRY_NOT_READY,   /* namespace, media or access are not there yet */
	HF_RETRY_ABORTED,     /* by the controller; nobody had asked */
	HF_RETRY_INTERRUPTED, /* Command Interrupted */
	HF_RETRY_TRANSPORT,   /* data or path: on the way, not at the media */
	HF_RETRY_INTERNAL,    /* Internal Error */
	HF_RETRY_KINDS,
	HF_RETRY_NONE = HF_RETRY_KINDS,
};

/* One for all queues of a driver. */
struct hf_retry_policy {
	uint32_t max; /* times that a command is sent again; 0: off */
	uint32_t
		data_limit_ms; /* reads, writes, compares: all tries; 0: 30 s */
	uint32_t long_limit_ms; /* the others */
	bool acre;              /* atomic: CRD means something */
	uint32_t crdt_100ms[3]; /* atomic: Command Retry Delay Times */
};

/**
 * hf_retry_kind_of() - does the controller say that another try may succeed?
 * @status: the status word, not 0
 * @acre: Advanced Command Retry was enabled
 *
 * Statuses that say that the media is bad, that the command is wrong, or that
 * are a result (a comparison that differs) are not retried, unless the
 * controller itself gives a delay.
 *
 * Return: HF_RETRY_NONE, or why.
 */
enum hf_retry_kind hf_retry_kind_of(uint16_t status, bool acre);

/**
 * hf_retry_delay_ms() - how long to wait before the next try
 * @policy: the controller's delays
 * @kind: not HF_RETRY_NONE
 * @status: the status word
 * @tries: how often it was sent again already
 *
 * The controller's own delay where it gives one; else none for the first try,
 * then twice as long each time. What is not ready gets more time.
 */
uint64_t hf_retry_delay_ms(const struct hf_retry_policy *policy,
			   enum hf_retry_kind kind, uint16_t status,
			   uint32_t tries);

/* "asked", "not_ready", ... */
const char *hf_retry_kind_name(enum hf_retry_kind kind);
