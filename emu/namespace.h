/* SPDX-License-Identifier: BSD-3-Clause */
/* The namespaces of a controller: lookup, identity, life at run time. Knows no
 * queue and no register. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <nvme/types.h>

#include "emu/core.h"

struct hf_emu_cmd;
struct json_object;
struct hf_emu_ns;

int hf_namespaces_create(struct hf_namespaces **namespaces, uint32_t nn);
/* Flushes what can be flushed, and closes the media. */
void hf_namespaces_destroy(struct hf_namespaces *namespaces);

/*
 * NULL when there is none. Lock-free: valid until the execution of the command
 * that asked returns (who removes it unpublishes it, calls
 * hf_emu_synchronize() and then frees it). Takes no lock that an adder or
 * remover holds over hf_emu_synchronize().
 */
struct hf_emu_ns *hf_emu_ns_find(struct hf_emu *emu, uint32_t nsid);

/* The lowest nsid above @nsid that exists, or 0. */
uint32_t hf_emu_ns_next(struct hf_emu *emu, uint32_t nsid);

/* Identify Namespace (CNS 00h), all fields, as in memory: little-endian. */
void hf_emu_ns_identify(const struct hf_emu_ns *ns, struct nvme_id_ns *id);

struct hf_emu_ns_ids {
	uint8_t eui64[8]; /* as in Identify: big-endian; zeroes: none */
	uint8_t nguid[16];
	uint8_t uuid[16];
};

void hf_emu_ns_ids(const struct hf_emu_ns *ns, struct hf_emu_ns_ids *ids);

/* Loses what was not flushed. No command is in execution. */
void hf_namespaces_power_fail(struct hf_emu *emu);

/*
 * Flushes every namespace: from within a command, and from the control path.
 * 0, or what the first medium that failed returned.
 */
int hf_emu_ns_flush_all(struct hf_emu *emu);
int hf_namespaces_flush(struct hf_emu *emu);

/* The controller was reset: what belongs to a host without an identifier ends
 * here. No command is in execution. */
void hf_namespaces_reset(struct hf_emu *emu);

/* For hf_emu_inspect(): an array of objects, json-c's reference is the
 * caller's; NULL without memory. */
struct json_object *hf_namespaces_inspect(struct hf_emu *emu);
