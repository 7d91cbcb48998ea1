/* SPDX-License-Identifier: BSD-3-Clause */
/* The ledger: every command of every queue, in a memfd that the device cannot
 * reach and that outlives the process. A layout; knows no driver type. */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "holdfast/error.h"
#include "spec/entries.h"

#define HF_LEDGER_MAGIC UINT64_C(0x3152454744454c48) /* "HLEDGER1" */

enum {
	HF_LEDGER_VERSION = 1,
	HF_LEDGER_NAMESPACES_MAX = 256,
	HF_LEDGER_SLOTS_MAX = 4096, /* leaves 4 bits of a CID to the lap */
	HF_LEDGER_PAGES_MAX = 65534,
	HF_LEDGER_NONE = 0xffff, /* no page, no record */
	HF_LEDGER_AERS = 8,
};

/*
 * A slot is the driver's own entry for a command, not a copy of one. The
 * stores of its life, in order: the fields; TAKEN; the ring entry; the
 * queue's sq_recorded; the doorbell; sq_rung; the completion's fields; DONE;
 * the queue's cq_head; the caller's callback; FREE. From DONE a slot may go
 * to RETRY, and, once its fields are those of the next try, to TAKEN again.
 */
enum hf_slot_state {
	HF_SLOT_FREE = 0,
	HF_SLOT_TAKEN = 1, /* sent, once sq_recorded counts it */
	HF_SLOT_DONE = 2,  /* completed, the caller not told for certain */
	HF_SLOT_RETRY = 3, /* completed with an error, to be sent again: the
			    * controller does not have it */
};

enum hf_slot_kind {
	HF_SLOT_IO = 1,     /* of the caller's, with a cookie */
	HF_SLOT_ADMIN = 2,  /* of the driver's own, or passed through */
	HF_SLOT_AER = 3,    /* Asynchronous Event Request */
	HF_SLOT_FILLER = 4, /* issued to make certain that a tail was rung */
};

enum hf_slot_flags {
	HF_SLOT_BOUNCED = 1 << 0,   /* the data is in the slot's pages */
	HF_SLOT_TO_DEVICE = 1 << 1, /* direction of the data */
	HF_SLOT_REPEATABLE = 1 << 2,
};

struct hf_ledger_slot {
	struct nvme_sqe sqe;
	uint64_t cookie;
	uint32_t len_bytes;
	uint32_t tick; /* the driver's coarse clock at submission */
	uint32_t dw0;
	uint32_t dw1;
	uint16_t status;     /* status word of the completion */
	uint16_t lap;        /* above the slot's number in the CID */
	uint16_t record;     /* of the I/O it is a part of, or none */
	uint16_t first_page; /* chain of pool pages that it owns, or none */
	uint16_t page_count; /* length of that chain */
	uint16_t list_pages; /* of which so many, at the front, hold PRPs */
	uint8_t state;       /* enum hf_slot_state */
	uint8_t kind;
	uint8_t flags;
	uint8_t op;             /* enum hf_op of the caller */
	uint32_t position;      /* ring index of the entry */
	uint32_t timeout_ticks; /* 0: never due */
	uint64_t reserved[2];
};
static_assert(sizeof(struct hf_ledger_slot) == 128, "layout is kept");

enum hf_record_state {
	HF_RECORD_FREE = 0,
	HF_RECORD_OPEN = 1,
	HF_RECORD_TOLD = 2, /* the caller was told, or nobody wants to be;
			     * free once no slot names it */
};

/*
 * An I/O that takes more than one command: what the caller submitted, before
 * any part of it is issued. Which parts are under way is told by the slots
 * that name the record.
 */
struct hf_ledger_record {
	uint64_t cookie;
	uint64_t lba;
	uint64_t blocks;
	uint64_t issued_blocks; /* parts up to here have a slot, or had */
	uint64_t iova; /* of the data, HF_IOVA_NONE where it has none */
	uint32_t nsid;
	int32_t result; /* of the first part that failed */
	uint8_t in_use; /* enum hf_record_state */
	uint8_t op;
	uint8_t flags; /* enum hf_slot_flags */
	uint8_t reserved[13];
};
static_assert(sizeof(struct hf_ledger_record) == 64, "layout is kept");

enum hf_ledger_queue_state {
	HF_QUEUE_FREE = 0,
	HF_QUEUE_CREATING = 1, /* the controller may or may not have it */
	HF_QUEUE_LIVE = 2,
	HF_QUEUE_DELETING = 3,
};

#define HF_LEDGER_PHASE (UINT32_C(1) << 31)

/* Followed by slots, records, and the links of the pool's pages. */
struct hf_ledger_queue {
	uint32_t state;
	uint16_t qid;
	uint16_t vector;
	uint32_t cpu;
	uint32_t entries; /* of the SQ and of the CQ */
	uint32_t slot_count;
	uint32_t record_count;
	uint32_t page_count;
	uint32_t sq_head; /* as the controller last told */
	/* Entries ever put into the ring, in the high half, and the tail that
	 * makes, in the low: recorded before the doorbell is rung, and again,
	 * for certain, after. */
	uint64_t sq_recorded;
	uint64_t sq_rung;
	uint32_t cq_head; /* index, and the phase expected there in bit 31 */
	uint32_t cq_rung; /* the same, once the doorbell was rung */
	uint64_t iova;    /* of the queue's DMA block */
	uint64_t len_bytes;
	uint8_t reserved[184];
};
static_assert(sizeof(struct hf_ledger_queue) == 256, "layout is kept");

struct hf_ledger_namespace {
	uint32_t nsid; /* 0: free */
	uint32_t open;
	uint8_t nguid[16];
	uint8_t eui64[8];
	uint8_t uuid[16];
	uint8_t identify[4096]; /* as the controller last gave it */
	uint8_t reserved[208];
};

struct hf_ledger_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_bytes;
	uint64_t total_bytes;
	uint32_t queues_max; /* the admin queue is the first */
	uint32_t slots_max;  /* of each queue */
	uint32_t records_max;
	uint32_t pages_max;
	uint64_t queue_bytes; /* from one queue to the next */
	uint64_t queues_offset;

	uint32_t ready; /* brought up: from here on there is what to restore */
	uint32_t cpu_count;
	uint32_t io_queues_max;
	uint32_t queue_entries;
	uint32_t bounce;
	uint32_t version_register;
	uint64_t capabilities;
	uint64_t fillers;  /* commands that a successor issued for itself */
	uint32_t restores; /* how many successors there were */
	uint32_t has_identify_nvm;
	char device_id[128];
	uint8_t identify[4096];   /* Identify Controller */
	uint8_t identify_nvm[64]; /* its NVM command set part, the front */
	struct {
		uint32_t came; /* its log page has not been read */
		uint32_t dw0;
	} aers[HF_LEDGER_AERS]; /* asynchronous events not yet handled */
	uint64_t shadow_iova;  /* of the shadow doorbells' two pages; 0: none */
	uint32_t resetting;    /* from a reset's begin until all queues are
				* there again */
	uint32_t device_class; /* of enum hf_device_class; 0: unknown */
	uint8_t reserved[3728];
	struct hf_ledger_namespace namespaces[HF_LEDGER_NAMESPACES_MAX];
};

/* How large a ledger is made; each at least 1. */
struct hf_ledger_geometry {
	uint32_t queues_max;
	uint32_t slots_max;
	uint32_t records_max;
	uint32_t pages_max;
};

struct hf_ledger {
	int fd;
	struct hf_ledger_header *header; /* shared mapping of all of it */
	uint64_t len_bytes;              /* of the mapping */
};

/* The parts of one queue. */
struct hf_ledger_view {
	struct hf_ledger_queue *queue;
	struct hf_ledger_slot *slots;
	struct hf_ledger_record *records;
	uint16_t *page_next;
};

HF_MUST_CHECK int hf_ledger_create(struct hf_ledger *ledger,
				   const struct hf_ledger_geometry *geometry,
				   struct hf_error *err);
/* Maps one that a predecessor left; the descriptor then belongs to @ledger.
 * Sizes and offsets are checked, contents are for the verifier. */
HF_MUST_CHECK int hf_ledger_adopt(struct hf_ledger *ledger, int fd,
				  struct hf_error *err);
/* The same where all of it is mapped already: at @ahead, which becomes the
 * ledger's in any case. NULL: it is not. */
HF_MUST_CHECK int hf_ledger_adopt_at(struct hf_ledger *ledger, int fd,
				     void *ahead, struct hf_error *err);
/* What hf_ledger_adopt() would map. */
uint64_t hf_ledger_file_bytes(int fd);
/*
 * Two processes never drive one device: the owner holds a lock on the ledger
 * that the kernel drops when it dies. A process that closes any descriptor of
 * the ledger drops it too, so only hf_ledger_close() may.
 * Return: 0, or -EBUSY with the owner's process in @err.
 */
HF_MUST_CHECK int hf_ledger_lock(const struct hf_ledger *ledger,
				 struct hf_error *err);
/* Who holds that lock on a ledger's descriptor; 0: nobody but this process. */
int hf_ledger_owner(int fd);
void hf_ledger_unlock(const struct hf_ledger *ledger);
void hf_ledger_close(struct hf_ledger *ledger);
/* @index below queues_max. */
struct hf_ledger_view hf_ledger_queue_view(const struct hf_ledger *ledger,
					   uint32_t index);
/* Does each queue say that it has no more slots, records and pages than there
 * is room for? Whoever walks a queue of a predecessor's asks first. */
HF_MUST_CHECK int hf_ledger_check_counts(const struct hf_ledger *ledger,
					 struct hf_error *err);
