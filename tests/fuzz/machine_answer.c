/* SPDX-License-Identifier: BSD-3-Clause */
/* Completions, true and false, in time and late. */
#include <endian.h>
#include <string.h>

#include "base/checked.h"
#include "machine_internal.h"

#define CSTS_CFS 2u

static void put_entry(struct machine *machine, uint32_t cqid,
		      const struct nvme_cqe *entry, bool interrupts)
{
	struct machine_queue *cq = &machine->cqs[cqid % MACHINE_QUEUES];
	uint8_t *at;

	if (!cq->live) {
		return;
	}
	at = machine_at(machine, cq->base + (uint64_t)cq->at * sizeof(*entry),
			sizeof(*entry));
	if (at != NULL) {
		memcpy(at, entry, sizeof(*entry));
	}
	cq->at++;
	if (cq->at >= cq->entries) {
		cq->at = 0;
		cq->phase = !cq->phase;
	}
	if (interrupts) {
		machine_interrupt(machine, cq->vector);
	}
}

static struct nvme_cqe entry_of(const struct machine *machine,
				const struct machine_answer *answer)
{
	const struct machine_queue *sq =
		&machine->sqs[answer->sqid % MACHINE_QUEUES];
	const struct machine_queue *cq = &machine->cqs[sq->cq % MACHINE_QUEUES];

	return (struct nvme_cqe){
		.dw0 = htole32(answer->dw0),
		.dw2 = htole32(sq->at | (uint32_t)answer->sqid << 16),
		.dw3 = htole32(
			answer->cid | (cq->phase ? NVME_CQE_DW3_PHASE : 0) |
			(uint32_t)answer->status << NVME_CQE_DW3_STATUS_SHIFT),
	};
}

static void post(struct machine *machine, const struct machine_answer *answer,
		 bool interrupts)
{
	const struct nvme_cqe entry = entry_of(machine, answer);

	put_entry(machine, machine->sqs[answer->sqid % MACHINE_QUEUES].cq,
		  &entry, interrupts);
}

/* A device may write whatever was lent to it, whenever it likes. */
static void scribble(struct machine *machine)
{
	const struct machine_window *window =
		&machine->windows[stream_u8(machine->lies) % 4];
	uint32_t offset = stream_u32(machine->lies);
	uint32_t count = stream_u8(machine->lies) % 32;

	if (window->vaddr == NULL) {
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		window->vaddr[(offset + i) % window->len_bytes] =
			stream_u8(machine->lies);
	}
}

/* The same in the pages of a command, of this one or of one that is over. */
static void spoil_data(struct machine *machine, uint64_t iova)
{
	uint32_t count = stream_u8(machine->lies) % 16;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t offset = stream_u16(machine->lies) % NVME_PAGE_BYTES;
		uint8_t *at = machine_at(machine,
					 (iova & ~UINT64_C(0xfff)) + offset, 1);

		if (at != NULL) {
			*at = stream_u8(machine->lies);
		}
	}
}

static void fill_data(struct machine *machine, uint64_t iova)
{
	uint8_t *at =
		machine_at(machine, iova & ~UINT64_C(0xfff), NVME_PAGE_BYTES);

	if (at != NULL) {
		memset(at, stream_u8(machine->lies), NVME_PAGE_BYTES);
	}
}

static void hold_back(struct machine *machine,
		      const struct machine_answer *answer)
{
	if (machine->late_count < MACHINE_LATE) {
		machine->late[machine->late_count] = *answer;
		machine->late_count++;
	}
}

static void flood(struct machine *machine, struct machine_answer answer)
{
	uint32_t count = stream_u8(machine->lies);
	uint16_t step = stream_u8(machine->lies);

	for (uint32_t i = 0; i < count; i++) {
		post(machine, &answer, true);
		answer.cid = (uint16_t)(answer.cid + step);
	}
}

static void post_elsewhere(struct machine *machine,
			   const struct machine_answer *answer)
{
	const struct nvme_cqe entry = entry_of(machine, answer);

	put_entry(machine, stream_u8(machine->lies), &entry, true);
}

/* The entry but for its phase, and the rest of it when the bytes say so. */
static void post_torn(struct machine *machine,
		      const struct machine_answer *answer)
{
	struct machine_answer torn = *answer;

	torn.cid = stream_u16(machine->lies);
	torn.status = stream_u16(machine->lies) & 0x7fff;
	post(machine, &torn, true);
}

/* What becomes of the completion's fields; false: nothing of that kind. */
static bool lie_in_fields(struct machine *machine, uint8_t choice,
			  struct machine_answer *answer)
{
	struct nvme_cqe entry;

	switch (choice % 32) {
	case 0:
		answer->cid ^= stream_u16(machine->lies);
		break;
	case 1:
		entry = entry_of(machine, answer);
		entry.dw2 = htole32((le32toh(entry.dw2) & 0xffff) |
				    (uint32_t)stream_u8(machine->lies) << 16);
		put_entry(machine, answer->sqid, &entry, true);
		return true;
	case 2:
		entry = entry_of(machine, answer);
		entry.dw2 = htole32(stream_u16(machine->lies) |
				    (uint32_t)answer->sqid << 16);
		put_entry(machine, answer->sqid, &entry, true);
		return true;
	case 3:
		answer->status = stream_u16(machine->lies) & 0x7fff;
		break;
	case 4:
		entry = entry_of(machine, answer);
		entry.dw3 ^= htole32(NVME_CQE_DW3_PHASE);
		put_entry(machine, answer->sqid, &entry, true);
		return true;
	case 5:
		answer->dw0 = stream_u32(machine->lies);
		break;
	default:
		return false;
	}
	post(machine, answer, true);
	return true;
}

static void lie_in_deeds(struct machine *machine, uint8_t choice,
			 const struct machine_answer *answer)
{
	switch (choice % 32) {
	case 6: /* never */
		return;
	case 7:
	case 8:
		hold_back(machine, answer);
		return;
	case 9:
		post(machine, answer, false);
		return;
	case 10:
		scribble(machine);
		break;
	case 11:
		post(machine, answer, true);
		scribble(machine);
		return;
	case 12:
		post(machine, answer, true);
		break; /* twice */
	case 13:
		flood(machine, *answer);
		return;
	case 14:
		machine->csts |= CSTS_CFS;
		break;
	case 15:
		fill_data(machine, answer->prp1);
		break;
	case 16:
		machine->gone_reads = stream_u8(machine->lies);
		break;
	case 17:
		post_elsewhere(machine, answer);
		return;
	case 18:
		post_torn(machine, answer);
		return;
	case 19:
		machine_event(machine, stream_u32(machine->lies));
		break;
	default:
		spoil_data(machine, answer->prp1);
		break;
	}
	post(machine, answer, true);
}

void machine_answer(struct machine *machine,
		    const struct machine_answer *answer)
{
	struct machine_answer mine = *answer;
	uint8_t choice = stream_u8(machine->lies);

	if (choice < 0xc0) {
		post(machine, &mine, true);
	} else if (!lie_in_fields(machine, choice, &mine)) {
		lie_in_deeds(machine, choice, &mine);
	}
}

/* One that was held back ends; its data is written again, late. */
static void end_late(struct machine *machine, uint32_t number)
{
	struct machine_answer answer = machine->late[number];

	machine->late_count--;
	machine->late[number] = machine->late[machine->late_count];
	spoil_data(machine, answer.prp1);
	post(machine, &answer, true);
}

void machine_turn(struct machine *machine)
{
	uint8_t choice = stream_u8(machine->lies);

	if (choice >= 0xe0 && machine->touched_count > 0) {
		spoil_data(machine,
			   machine->touched[choice % machine->touched_count]);
	}
	if (choice >= 0xc0 && choice < 0xe0) {
		scribble(machine);
	}
	if (machine->late_count > 0 && choice < 0x80) {
		end_late(machine, choice % machine->late_count);
	}
}

void machine_event(struct machine *machine, uint32_t dw0)
{
	struct machine_answer answer = {.dw0 = dw0};

	if (machine->aer_count > 0) {
		machine->aer_count--;
		answer.cid = machine->aers[machine->aer_count];
		post(machine, &answer, true);
	}
}
