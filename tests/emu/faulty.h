/* SPDX-License-Identifier: BSD-3-Clause */
/* A host before a controller that is told to misbehave. */
#pragma once

#include "host.h"

#define FAULTY_MS UINT64_C(1000000)

struct faulty {
	struct host host;
	uint8_t *data; /* two pages, whose addresses follow each other */
	uint64_t data_iova;
	int irqs[3]; /* eventfds of vectors 0 to 2 */
};

int faulty_setup(void **state);
int faulty_teardown(void **state);

/* Adds a rule; asserts that it is understood. */
uint32_t faulty_rule(struct faulty *f, const char *text);
/* A read or write of one block at the data; queue 1. Returns its identifier. */
uint16_t faulty_send(struct faulty *f, uint8_t opcode, uint64_t lba);
/* The same, and its status; asserts that it completes. */
uint16_t faulty_do(struct faulty *f, uint8_t opcode, uint64_t lba);
/* Fills a block of namespace 1 with a value, by a write. */
void faulty_fill(struct faulty *f, uint64_t lba, uint8_t value);
/* Time passes, and the controller does what is due. */
void faulty_pass(struct faulty *f, uint64_t ns);
/* Interrupts of a vector since the last call. */
uint64_t faulty_interrupts(struct faulty *f, uint32_t vector);
