/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts: vectors as eventfds with mask and pending bit, and the level of
 * a pin. Knows completion queues only by "is there something in it". */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "holdfast/emu.h"

struct hf_emu_vector {
	pthread_mutex_t lock;
	int eventfd;
	bool masked;
	bool pending;
};

struct hf_emu_irq {
	uint32_t mode;   /* atomic: enum hf_emu_irq_mode */
	uint32_t intms;  /* atomic: INTMS, bit per vector */
	uint64_t raised; /* atomic */
	uint32_t count;
	struct hf_emu_vector *vectors;
	pthread_mutex_t pin_lock;
	bool pin_high;
	void (*level)(void *user, bool high);
	void *user;
};

int hf_emu_irq_init(struct hf_emu_irq *irq, uint32_t vectors);
void hf_emu_irq_fini(struct hf_emu_irq *irq);

/* Something was posted that @vector tells of. Fault rules have had their say.
 */
void hf_emu_irq_raise(struct hf_emu *emu, uint16_t vector);
/* The level of the pin may have changed: a queue was filled or emptied, or a
 * mask was written. Cheap unless the pin is in use. */
void hf_emu_irq_update_pin(struct hf_emu *emu);
/* Controller reset: pending bits go. */
void hf_emu_irq_reset(struct hf_emu *emu);
