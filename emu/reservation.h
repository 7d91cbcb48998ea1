/* SPDX-License-Identifier: BSD-3-Clause */
/* Who has registered with a namespace, and who holds it. Knows hosts and keys,
 * no command entry and no queue. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_reservations;

#define HF_HOST_ID_BYTES 16

/* Who asks. */
struct hf_registrant {
	uint8_t host_id[HF_HOST_ID_BYTES];
	uint16_t cntlid;
};

int hf_reservations_create(struct hf_reservations **out);
void hf_reservations_destroy(struct hf_reservations *all);

/*
 * Base Specification, "Reservations". Each takes command dword 10 as sent and
 * returns 0 or the NVMe status. Any thread.
 */
uint16_t hf_reservations_register(struct hf_reservations *all,
				  const struct hf_registrant *who,
				  uint32_t cdw10, uint64_t current_key,
				  uint64_t new_key);
uint16_t hf_reservations_acquire(struct hf_reservations *all,
				 const struct hf_registrant *who,
				 uint32_t cdw10, uint64_t current_key,
				 uint64_t preempt_key);
uint16_t hf_reservations_release(struct hf_reservations *all,
				 const struct hf_registrant *who,
				 uint32_t cdw10, uint64_t current_key);

/**
 * hf_reservations_report() - the Reservation Status data structure
 * @all: of which namespace
 * @extended: 64 bytes for each registrant and 128-bit host identifiers
 * @out: receives it for free(), as in memory: little-endian
 * @len_bytes: receives its length
 *
 * Return: 0 or the NVMe status.
 */
uint16_t hf_reservations_report(struct hf_reservations *all, bool extended,
				void **out, size_t *len_bytes);

/* May any host be kept out now? One load, for the path of each command. */
bool hf_reservations_held(const struct hf_reservations *all);

/* May @host_id not read, or not write? */
bool hf_reservations_conflict(struct hf_reservations *all,
			      const uint8_t host_id[HF_HOST_ID_BYTES],
			      bool write);

/* Power was lost: what was not to persist is gone. */
void hf_reservations_power_fail(struct hf_reservations *all);

/* Hosts without an identifier do not come back after a controller reset. */
void hf_reservations_reset(struct hf_reservations *all);
