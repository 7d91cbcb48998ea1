/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of fault rules, for the modules that change it and ask it. */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "emu/fault_match.h"

/* What one controller may be made to remember. */
#define HF_FAULT_RULES_MAX 1024u

struct hf_faults {
	pthread_mutex_t lock;
	uint32_t armed; /* atomic: sites with a rule */
	uint32_t next_id;
	uint32_t count;
	uint32_t room;
	struct hf_fault_rule *rules; /* in the order they were added */
};

/* With the lock held: after a rule came or went. */
void hf_faults_rearm(struct hf_faults *faults);
