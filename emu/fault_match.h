/* SPDX-License-Identifier: BSD-3-Clause */
/* One rule in force, with its counts. Knows no lock: its owner has one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/fault.h"
#include "holdfast/emu_fault.h"

struct hf_fault_rule {
	uint32_t id;
	struct hf_emu_fault fault;
	uint64_t matches;
	uint64_t hits;
	uint64_t random;
};

/* Each counts the match and the hit, and says whether the rule acts. */
bool hf_fault_rule_command(struct hf_fault_rule *rule,
			   const struct hf_emu_cmd *cmd);
bool hf_fault_rule_register(struct hf_fault_rule *rule, uint64_t offset,
			    uint32_t len_bytes, bool write, uint64_t value);
bool hf_fault_rule_interrupt(struct hf_fault_rule *rule, uint16_t vector);

/* Adds what the rule asks for to what earlier ones did. */
void hf_fault_rule_add_to(const struct hf_fault_rule *rule,
			  struct hf_fault_verdict *verdict);
void hf_fault_rule_add_to_register(const struct hf_fault_rule *rule,
				   uint64_t offset,
				   struct hf_fault_register_verdict *verdict);
void hf_fault_rule_add_to_interrupt(const struct hf_fault_rule *rule,
				    struct hf_fault_interrupt_verdict *verdict);
