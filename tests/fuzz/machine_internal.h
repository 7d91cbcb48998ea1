/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the machine share. */
#pragma once

#include "machine.h"

/* This side's view of lent memory, or NULL where that is not all lent. */
uint8_t *machine_at(struct machine *machine, uint64_t iova, uint64_t len_bytes);

/* Executes one command honestly. Return: false when nothing is to be posted,
 * now or ever (an event request that is held). */
bool machine_execute(struct machine *machine, const struct nvme_sqe *sqe,
		     struct machine_answer *answer);

/* Posts the answer, or whatever the bytes make of it. */
void machine_answer(struct machine *machine,
		    const struct machine_answer *answer);
