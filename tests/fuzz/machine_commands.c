/* SPDX-License-Identifier: BSD-3-Clause */
/* What an honest controller does with a command: a little of everything that
 * the driver asks for. */
#include <endian.h>
#include <string.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "machine_internal.h"

enum {
	NAMESPACES = 2,
	BLOCKS = 4096,
	GRANTED = 3, /* I/O queues */
};

static void put_data(struct machine *machine, const struct nvme_sqe *sqe,
		     const uint8_t *data, uint32_t len_bytes)
{
	uint64_t prp1 = le64toh(sqe->prp1);
	uint32_t first =
		HF_MIN(len_bytes,
		       NVME_PAGE_BYTES - (uint32_t)(prp1 % NVME_PAGE_BYTES));
	uint8_t *at = machine_at(machine, prp1, first);

	if (at != NULL) {
		memcpy(at, data, first);
	}
	if (len_bytes > first) {
		at = machine_at(machine, le64toh(sqe->prp2), len_bytes - first);
		if (at != NULL) {
			memcpy(at, data + first, len_bytes - first);
		}
	}
}

static void fill_ctrl(struct nvme_id_ctrl *id)
{
	memcpy(id->sn, "fuzz", 4);
	memcpy(id->mn, "machine", 7);
	id->mdts = 2; /* 16 KiB: I/O is split */
	id->ver = htole32(0x00020000);
	id->oaes = htole32(0x100);
	id->aerl = 3;
	id->acl = 3;
	id->sqes = 0x66;
	id->cqes = 0x44;
	id->nn = htole32(NAMESPACES);
	id->oncs = htole16(0xff);
	id->vwc = 1;
	id->rtd3e = htole32(1000000);
}

static void fill_ns(const struct machine *machine, struct nvme_id_ns *id,
		    uint32_t nsid)
{
	id->nsze = htole64(BLOCKS);
	id->ncap = id->nsze;
	id->nuse = id->nsze;
	id->rescap = 1;
	id->noiob = htole16(nsid == 2 ? 8 : 0);
	id->lbaf[0].ds = machine->block_shift;
	memset(id->nguid, (int)nsid, sizeof(id->nguid));
}

static uint16_t identify(struct machine *machine, const struct nvme_sqe *sqe)
{
	uint8_t page[NVME_PAGE_BYTES] = {0};
	uint32_t nsid = le32toh(sqe->nsid);
	uint32_t *list = (uint32_t *)(void *)page;

	switch (le32toh(sqe->cdw10) & 0xff) {
	case NVME_IDENTIFY_CNS_NS:
		if (nsid >= 1 && nsid <= NAMESPACES) {
			fill_ns(machine, (void *)page, nsid);
		}
		break;
	case NVME_IDENTIFY_CNS_CTRL:
		fill_ctrl((void *)page);
		break;
	case NVME_IDENTIFY_CNS_NS_ACTIVE_LIST:
		for (uint32_t i = nsid; i < NAMESPACES; i++) {
			list[i - nsid] = htole32(i + 1);
		}
		break;
	case NVME_IDENTIFY_CNS_NS_DESC_LIST:
		page[0] = 3; /* a UUID */
		page[1] = 16;
		memset(page + 4, (int)(nsid + 7), 16);
		break;
	default:
		break;
	}
	put_data(machine, sqe, page, sizeof(page));
	return 0;
}

static uint16_t log_page(struct machine *machine, const struct nvme_sqe *sqe)
{
	uint8_t page[NVME_PAGE_BYTES] = {0};
	uint32_t dwords = (le32toh(sqe->cdw10) >> 16) + 1;

	if ((le32toh(sqe->cdw10) & 0xff) == NVME_LOG_LID_CHANGED_NS) {
		page[0] = 1;
	}
	put_data(machine, sqe, page,
		 HF_MIN(dwords * 4, (uint32_t)sizeof(page)));
	return 0;
}

static uint16_t create_queue(struct machine *machine,
			     const struct nvme_sqe *sqe, bool is_cq)
{
	uint32_t qid = le32toh(sqe->cdw10) & 0xffff;
	uint32_t more = le32toh(sqe->cdw11) >> 16;

	if (qid == 0 || qid >= MACHINE_QUEUES) {
		return 0x101; /* Invalid Queue Identifier */
	}
	struct machine_queue *queue =
		is_cq ? &machine->cqs[qid] : &machine->sqs[qid];
	*queue = (struct machine_queue){
		.live = true,
		.base = le64toh(sqe->prp1),
		.entries = (le32toh(sqe->cdw10) >> 16) + 1,
		.cq = (uint16_t)(is_cq ? 0 : more % MACHINE_QUEUES),
		.vector = (uint16_t)(is_cq ? more : 0),
		.phase = true,
	};
	return 0;
}

static bool hold_event(struct machine *machine, const struct nvme_sqe *sqe)
{
	if (machine->aer_count == MACHINE_AERS) {
		return false;
	}
	machine->aers[machine->aer_count] = le16toh(sqe->cid);
	machine->aer_count++;
	return true;
}

static bool execute_admin(struct machine *machine, const struct nvme_sqe *sqe,
			  struct machine_answer *answer)
{
	uint32_t cdw10 = le32toh(sqe->cdw10);

	switch (sqe->opcode) {
	case nvme_admin_identify:
		answer->status = identify(machine, sqe);
		break;
	case nvme_admin_get_log_page:
		answer->status = log_page(machine, sqe);
		break;
	case nvme_admin_create_cq:
	case nvme_admin_create_sq:
		answer->status = create_queue(
			machine, sqe, sqe->opcode == nvme_admin_create_cq);
		break;
	case nvme_admin_delete_cq:
		machine->cqs[cdw10 % MACHINE_QUEUES].live = false;
		break;
	case nvme_admin_delete_sq:
		machine->sqs[cdw10 % MACHINE_QUEUES].live = false;
		break;
	case nvme_admin_set_features:
		answer->dw0 = (GRANTED - 1) << 16 | (GRANTED - 1);
		break;
	case nvme_admin_async_event:
		if (hold_event(machine, sqe)) {
			return false;
		}
		answer->status = 0x105; /* limit exceeded */
		break;
	default:
		break;
	}
	return true;
}

static void touch(struct machine *machine, uint64_t iova)
{
	uint8_t *at = machine_at(machine, iova, 1);

	if (at != NULL) {
		*at = 0x5a;
	}
	machine->touched[machine->touched_count % MACHINE_TOUCHED] = iova;
	if (machine->touched_count < MACHINE_TOUCHED) {
		machine->touched_count++;
	}
}

bool machine_execute(struct machine *machine, const struct nvme_sqe *sqe,
		     struct machine_answer *answer)
{
	if (answer->sqid == 0) {
		return execute_admin(machine, sqe, answer);
	}
	if ((sqe->opcode & 2) != 0) { /* data to the host */
		touch(machine, le64toh(sqe->prp1));
		if (sqe->prp2 != 0) {
			touch(machine, le64toh(sqe->prp2));
		}
	}
	return true;
}
