/* SPDX-License-Identifier: BSD-3-Clause */
/* What the controller's core offers to namespaces, media and faults. They see
 * no queue, no register and no thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <nvme/types.h>

#include "holdfast/emu.h"

struct hf_emu;
struct hf_namespaces; /* emu/namespace.h */
struct hf_faults;     /* emu/fault.h */

/* Status words: generic ones are the bare NVME_SC_ value. */
#define HF_STATUS_CMD(sc)   ((uint16_t)((NVME_SCT_CMD_SPECIFIC << 8) | (sc)))
#define HF_STATUS_MEDIA(sc) ((uint16_t)((NVME_SCT_MEDIA << 8) | (sc)))
#define HF_STATUS_DNR(st)   ((uint16_t)((st) | NVME_SC_DNR))

/* The options as given, with what was left out filled in; constant. */
const struct hf_emu_options *hf_emu_options_of(const struct hf_emu *emu);
struct hf_namespaces *hf_emu_namespaces_of(struct hf_emu *emu);
struct hf_faults *hf_emu_faults_of(struct hf_emu *emu);

/* The controller's clock: monotonic, or virtual in HF_EMU_MANUAL. */
uint64_t hf_emu_now_ns(const struct hf_emu *emu);

/*
 * Returns when every command that was in execution at the call has left it:
 * the grace period after something that workers look up without a lock was
 * unpublished. Not from within a command, nor with a lock held that a command
 * in execution may want.
 */
void hf_emu_synchronize(struct hf_emu *emu);

/* Puts @nsid on the Changed Namespace List and raises the notice. Any thread,
 * also from within a command. */
void hf_emu_ns_changed(struct hf_emu *emu, uint32_t nsid);

/* Feature 06h: is the volatile write cache in use now? */
bool hf_emu_vwc_enabled(const struct hf_emu *emu);

/* Feature 81h: the host identifier, zeroes when none was set. */
void hf_emu_host_id(struct hf_emu *emu, uint8_t id[16]);

/* Lets commands go on that fault rule @rule holds (0: all of them). Any
 * thread. Returns how many. */
uint32_t hf_emu_release_held(struct hf_emu *emu, uint32_t rule);

/* CSTS.CFS = 1 until the next reset. Any thread. */
void hf_emu_fatal(struct hf_emu *emu, const char *why);

/* Every register reads as all ones until hf_emu_reset(), and nothing is
 * executed. Any thread. */
void hf_emu_gone(struct hf_emu *emu);
