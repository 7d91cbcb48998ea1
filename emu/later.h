/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker has put off, by the time when it is due. */
#pragma once

#include "emu/worker.h"

/* NULL without memory, or when far too much was put off already. */
struct hf_emu_later *hf_emu_later_new(struct hf_emu_worker *worker,
				      uint64_t delay_ns);
void hf_emu_later_add(struct hf_emu_worker *worker, struct hf_emu_later *later);

/* emu/post.c: what follows from it being due, and the entry of a command. */
void hf_emu_post(struct hf_emu_worker *worker, struct hf_emu_cmd *cmd,
		 uint16_t status);
void hf_emu_post_swapped(struct hf_emu_worker *worker, uint16_t cqid);
void hf_emu_post_rest(struct hf_emu_worker *worker,
		      const struct hf_emu_later *later);

/* emu/run.c: executes a command; completes it, or only moves its data. */
void hf_emu_run_now(struct hf_emu_cmd *cmd, bool complete);
