/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules in force: which there are, and asking each of them in turn. */
#include "emu/fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "emu/fault_match.h"
#include "emu/faults.h"

int hf_faults_create(struct hf_faults **faults)
{
	struct hf_faults *all = calloc(1, sizeof(*all));

	if (all == NULL) {
		return -ENOMEM;
	}
	pthread_mutex_init(&all->lock, NULL);
	all->next_id = 1;
	*faults = all;
	return 0;
}

void hf_faults_destroy(struct hf_faults *faults)
{
	if (faults == NULL) {
		return;
	}
	pthread_mutex_destroy(&faults->lock);
	free(faults->rules);
	free(faults);
}

uint32_t hf_faults_armed(const struct hf_faults *faults)
{
	/* Relaxed: a rule takes effect some time soon, and its fields are
	 * read under the lock. */
	return __atomic_load_n(&faults->armed, __ATOMIC_RELAXED);
}

void hf_faults_rearm(struct hf_faults *faults)
{
	uint32_t armed = 0;

	for (uint32_t i = 0; i < faults->count; i++) {
		switch (faults->rules[i].fault.site) {
		case HF_EMU_FAULT_ADMIN:
		case HF_EMU_FAULT_IO:
			armed |= HF_FAULT_SITE_COMMAND;
			break;
		case HF_EMU_FAULT_REGISTER:
			armed |= HF_FAULT_SITE_REGISTER;
			break;
		case HF_EMU_FAULT_INTERRUPT:
			armed |= HF_FAULT_SITE_INTERRUPT;
			break;
		case HF_EMU_FAULT_NOW:
			break;
		}
	}
	__atomic_store_n(&faults->armed, armed, __ATOMIC_RELAXED);
}

bool hf_fault_command(struct hf_faults *faults, const struct hf_emu_cmd *cmd,
		      struct hf_fault_verdict *verdict)
{
	memset(verdict, 0, sizeof(*verdict));
	pthread_mutex_lock(&faults->lock);
	for (uint32_t i = 0; i < faults->count; i++) {
		struct hf_fault_rule *rule = &faults->rules[i];

		if (hf_fault_rule_command(rule, cmd)) {
			hf_fault_rule_add_to(rule, verdict);
		}
	}
	pthread_mutex_unlock(&faults->lock);
	return verdict->actions != 0;
}

bool hf_fault_register(struct hf_faults *faults, uint64_t offset,
		       uint32_t len_bytes, bool write, uint64_t value,
		       struct hf_fault_register_verdict *verdict)
{
	memset(verdict, 0, sizeof(*verdict));
	pthread_mutex_lock(&faults->lock);
	for (uint32_t i = 0; i < faults->count; i++) {
		struct hf_fault_rule *rule = &faults->rules[i];

		if (hf_fault_rule_register(rule, offset, len_bytes, write,
					   value)) {
			hf_fault_rule_add_to_register(rule, offset, verdict);
		}
	}
	pthread_mutex_unlock(&faults->lock);
	if (len_bytes < sizeof(verdict->mask)) {
		verdict->mask &= UINT32_MAX;
		verdict->bits &= UINT32_MAX;
	}
	return verdict->actions != 0;
}

bool hf_fault_interrupt(struct hf_faults *faults, uint16_t vector,
			struct hf_fault_interrupt_verdict *verdict)
{
	memset(verdict, 0, sizeof(*verdict));
	pthread_mutex_lock(&faults->lock);
	for (uint32_t i = 0; i < faults->count; i++) {
		struct hf_fault_rule *rule = &faults->rules[i];

		if (hf_fault_rule_interrupt(rule, vector)) {
			hf_fault_rule_add_to_interrupt(rule, verdict);
		}
	}
	pthread_mutex_unlock(&faults->lock);
	return verdict->actions != 0;
}
