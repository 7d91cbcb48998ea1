/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/reservation.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "base/bytes.h"
#include "emu/core.h"

/* Hosts per namespace: what a host may make us remember is bounded. */
#define MAX_REGISTRANTS 128

#define ACTION(cdw10) ((cdw10)&0x7u)
#define IEKEY(cdw10)  (((cdw10) >> 3) & 1u)
#define RTYPE(cdw10)  ((uint8_t)(((cdw10) >> 8) & 0xffu))
#define CPTPL(cdw10)  ((cdw10) >> 30)

#define INVALID_FIELD HF_STATUS_DNR(NVME_SC_INVALID_FIELD)
#define CONFLICT      HF_STATUS_DNR(NVME_SC_RESERVATION_CONFLICT)

struct registration {
	struct hf_registrant who;
	uint64_t key;
};

struct hf_reservations {
	pthread_mutex_t lock;
	uint32_t generation;
	bool persist;
	uint8_t type;    /* atomic: 0 when nobody holds it */
	uint32_t holder; /* in registrants[]; nothing for the all-registrants
			  * types */
	uint32_t count;
	struct registration registrants[MAX_REGISTRANTS];
};

int hf_reservations_create(struct hf_reservations **out)
{
	struct hf_reservations *all = calloc(1, sizeof(*all));

	if (all == NULL) {
		return -ENOMEM;
	}
	pthread_mutex_init(&all->lock, NULL);
	*out = all;
	return 0;
}

void hf_reservations_destroy(struct hf_reservations *all)
{
	if (all != NULL) {
		pthread_mutex_destroy(&all->lock);
		free(all);
	}
}

/* Not inline: with its null checks in between, gcc 12 takes the store for one
 * to address 0 and refuses it. */
__attribute__((noinline)) static void set_type(struct hf_reservations *all,
					       uint8_t type)
{
	__atomic_store_n(&all->type, type, __ATOMIC_RELEASE);
}

bool hf_reservations_held(const struct hf_reservations *all)
{
	return __atomic_load_n(&all->type, __ATOMIC_ACQUIRE) != 0;
}

static bool is_all_registrants(uint8_t type)
{
	return type == NVME_RESERVATION_RTYPE_WEAR ||
	       type == NVME_RESERVATION_RTYPE_EAAR;
}

static struct registration *find(struct hf_reservations *all,
				 const uint8_t *host_id)
{
	for (uint32_t i = 0; i < all->count; i++) {
		if (memcmp(all->registrants[i].who.host_id, host_id,
			   HF_HOST_ID_BYTES) == 0) {
			return &all->registrants[i];
		}
	}
	return NULL;
}

static bool is_holder(const struct hf_reservations *all,
		      const struct registration *reg)
{
	return all->type != 0 && (is_all_registrants(all->type) ||
				  reg == &all->registrants[all->holder]);
}

/* The last one takes its place. A holder that goes leaves the namespace free,
 * where all registrants hold it the last of them does. */
static void forget(struct hf_reservations *all, uint32_t index)
{
	assert(index < all->count);

	uint32_t last = all->count - 1;
	bool holds = all->type != 0 && !is_all_registrants(all->type) &&
		     index == all->holder;

	all->registrants[index] = all->registrants[last];
	if (all->holder == last) {
		all->holder = index;
	}
	all->count = last;
	if (holds || all->count == 0) {
		set_type(all, 0);
	}
}

/* All that have @key. Returns how many. */
static uint32_t forget_key(struct hf_reservations *all, uint64_t key)
{
	uint32_t gone = 0;

	for (uint32_t i = all->count; i > 0; i--) {
		if (all->registrants[i - 1].key == key) {
			forget(all, i - 1);
			gone++;
		}
	}
	return gone;
}

static uint16_t add(struct hf_reservations *all,
		    const struct hf_registrant *who, uint64_t key)
{
	if (all->count == MAX_REGISTRANTS) {
		return HF_STATUS_DNR(NVME_SC_CAP_EXCEEDED);
	}
	all->registrants[all->count].who = *who;
	all->registrants[all->count].key = key;
	all->count++;
	return 0;
}

static uint16_t register_key(struct hf_reservations *all,
			     const struct hf_registrant *who, uint64_t new_key)
{
	struct registration *reg = find(all, who->host_id);

	if (new_key == 0) {
		return INVALID_FIELD;
	}
	if (reg == NULL) {
		return add(all, who, new_key);
	}
	return reg->key == new_key ? 0 : CONFLICT;
}

static uint16_t replace_key(struct hf_reservations *all,
			    const struct hf_registrant *who, bool ignore,
			    uint64_t current_key, uint64_t new_key)
{
	struct registration *reg = find(all, who->host_id);

	if (new_key == 0) {
		return INVALID_FIELD;
	}
	if (reg == NULL) {
		return ignore ? add(all, who, new_key) : CONFLICT;
	}
	if (!ignore && reg->key != current_key) {
		return CONFLICT;
	}
	reg->key = new_key;
	return 0;
}

static uint16_t unregister(struct hf_reservations *all,
			   const struct hf_registrant *who, bool ignore,
			   uint64_t current_key)
{
	struct registration *reg = find(all, who->host_id);

	if (reg == NULL || (!ignore && reg->key != current_key)) {
		return CONFLICT;
	}
	forget(all, (uint32_t)(reg - all->registrants));
	return 0;
}

uint16_t hf_reservations_register(struct hf_reservations *all,
				  const struct hf_registrant *who,
				  uint32_t cdw10, uint64_t current_key,
				  uint64_t new_key)
{
	uint16_t status = INVALID_FIELD;

	if (CPTPL(cdw10) == 1) {
		return INVALID_FIELD;
	}

	pthread_mutex_lock(&all->lock);
	switch (ACTION(cdw10)) {
	case NVME_RESERVATION_RREGA_REGISTER_KEY:
		status = register_key(all, who, new_key);
		break;
	case NVME_RESERVATION_RREGA_UNREGISTER_KEY:
		status = unregister(all, who, IEKEY(cdw10), current_key);
		break;
	case NVME_RESERVATION_RREGA_REPLACE_KEY:
		status = replace_key(all, who, IEKEY(cdw10), current_key,
				     new_key);
		break;
	}
	if (status == 0) {
		all->generation++;
		if (CPTPL(cdw10) != NVME_RESERVATION_CPTPL_NO_CHANGE) {
			all->persist =
				CPTPL(cdw10) == NVME_RESERVATION_CPTPL_PERSIST;
		}
	}
	pthread_mutex_unlock(&all->lock);
	return status;
}

static void hold(struct hf_reservations *all, const uint8_t *host_id,
		 uint8_t type)
{
	const struct registration *reg = find(all, host_id);

	/* Whoever preempts by its own key is gone with it. */
	if (reg != NULL) {
		all->holder = (uint32_t)(reg - all->registrants);
		set_type(all, type);
	}
}

static uint16_t acquire(struct hf_reservations *all,
			const struct hf_registrant *who, uint8_t type)
{
	const struct registration *reg = find(all, who->host_id);

	if (all->type == 0) {
		hold(all, who->host_id, type);
		return 0;
	}
	return is_holder(all, reg) && all->type == type ? 0 : CONFLICT;
}

static uint16_t preempt_all_registrants(struct hf_reservations *all,
					const struct hf_registrant *who,
					uint8_t type, uint64_t preempt_key)
{
	if (preempt_key != 0) {
		return forget_key(all, preempt_key) != 0 ? 0 : CONFLICT;
	}

	for (uint32_t i = all->count; i > 0; i--) {
		if (memcmp(all->registrants[i - 1].who.host_id, who->host_id,
			   HF_HOST_ID_BYTES) != 0) {
			forget(all, i - 1);
		}
	}
	hold(all, who->host_id, type);
	return 0;
}

static uint16_t preempt(struct hf_reservations *all,
			const struct hf_registrant *who, uint8_t type,
			uint64_t preempt_key)
{
	if (is_all_registrants(all->type)) {
		return preempt_all_registrants(all, who, type, preempt_key);
	}
	if (preempt_key == 0) {
		return INVALID_FIELD;
	}
	if (all->type == 0 ||
	    all->registrants[all->holder].key != preempt_key) {
		return forget_key(all, preempt_key) != 0 ? 0 : CONFLICT;
	}

	/* The holder's own preemption of itself only changes the type. */
	const struct registration *reg = find(all, who->host_id);
	if (reg != &all->registrants[all->holder]) {
		forget(all, all->holder);
		forget_key(all, preempt_key);
	}
	hold(all, who->host_id, type);
	return 0;
}

uint16_t hf_reservations_acquire(struct hf_reservations *all,
				 const struct hf_registrant *who,
				 uint32_t cdw10, uint64_t current_key,
				 uint64_t preempt_key)
{
	uint8_t type = RTYPE(cdw10);
	uint16_t status = INVALID_FIELD;

	if (IEKEY(cdw10) != 0 || type < NVME_RESERVATION_RTYPE_WE ||
	    type > NVME_RESERVATION_RTYPE_EAAR) {
		return INVALID_FIELD;
	}

	pthread_mutex_lock(&all->lock);
	const struct registration *reg = find(all, who->host_id);
	if (reg == NULL || reg->key != current_key) {
		pthread_mutex_unlock(&all->lock);
		return CONFLICT;
	}
	switch (ACTION(cdw10)) {
	case NVME_RESERVATION_RACQA_ACQUIRE:
		status = acquire(all, who, type);
		break;
	case NVME_RESERVATION_RACQA_PREEMPT:
	case NVME_RESERVATION_RACQA_PREEMPT_AND_ABORT:
		/* Commands of the other host are not told apart from ours:
		 * there is nothing of theirs to abort. */
		status = preempt(all, who, type, preempt_key);
		if (status == 0) {
			all->generation++;
		}
		break;
	}
	pthread_mutex_unlock(&all->lock);
	return status;
}

uint16_t hf_reservations_release(struct hf_reservations *all,
				 const struct hf_registrant *who,
				 uint32_t cdw10, uint64_t current_key)
{
	uint16_t status = 0;

	if (IEKEY(cdw10) != 0 || ACTION(cdw10) > NVME_RESERVATION_RRELA_CLEAR) {
		return INVALID_FIELD;
	}

	pthread_mutex_lock(&all->lock);
	const struct registration *reg = find(all, who->host_id);
	if (reg == NULL || reg->key != current_key) {
		status = CONFLICT;
	} else if (ACTION(cdw10) == NVME_RESERVATION_RRELA_CLEAR) {
		set_type(all, 0);
		all->count = 0;
		all->generation++;
	} else if (is_holder(all, reg)) {
		if (RTYPE(cdw10) == all->type) {
			set_type(all, 0);
		} else {
			status = INVALID_FIELD;
		}
	}
	pthread_mutex_unlock(&all->lock);
	return status;
}

static void report_one(const struct hf_reservations *all, uint32_t i,
		       bool extended, struct nvme_resv_status *report)
{
	const struct registration *reg = &all->registrants[i];
	uint8_t status = is_holder(all, reg) ? 1 : 0;

	if (extended) {
		struct nvme_registered_ctrl_ext *to = &report->regctl_eds[i];

		hf_put_le16(&to->cntlid, reg->who.cntlid);
		to->rcsts = status;
		hf_put_le64(&to->rkey, reg->key);
		memcpy(to->hostid, reg->who.host_id, HF_HOST_ID_BYTES);
		return;
	}

	struct nvme_registered_ctrl *to = &report->regctl_ds[i];
	hf_put_le16(&to->cntlid, reg->who.cntlid);
	to->rcsts = status;
	memcpy(&to->hostid, reg->who.host_id, sizeof(to->hostid));
	hf_put_le64(&to->rkey, reg->key);
}

/* A 128-bit identifier does not fit the short form. */
static bool fits_short(const struct hf_reservations *all)
{
	static const uint8_t zeroes[HF_HOST_ID_BYTES / 2];

	for (uint32_t i = 0; i < all->count; i++) {
		if (memcmp(all->registrants[i].who.host_id + sizeof(zeroes),
			   zeroes, sizeof(zeroes)) != 0) {
			return false;
		}
	}
	return true;
}

static uint16_t report_locked(struct hf_reservations *all, bool extended,
			      void **out, size_t *len_bytes)
{
	size_t one = extended ? sizeof(struct nvme_registered_ctrl_ext)
			      : sizeof(struct nvme_registered_ctrl);
	size_t head = extended ? offsetof(struct nvme_resv_status, regctl_eds)
			       : offsetof(struct nvme_resv_status, regctl_ds);

	if (!extended && !fits_short(all)) {
		return HF_STATUS_DNR(NVME_SC_HOSTID_FORMAT);
	}

	size_t len = head + all->count * one;
	if (len < sizeof(struct nvme_resv_status)) {
		len = sizeof(struct nvme_resv_status);
	}

	struct nvme_resv_status *report = calloc(1, len);
	if (report == NULL) {
		return NVME_SC_INTERNAL;
	}
	hf_put_le32(&report->gen, all->generation);
	report->rtype = all->type;
	hf_put_le16(report->regctl, (uint16_t)all->count);
	report->ptpls = all->persist ? 1 : 0;
	for (uint32_t i = 0; i < all->count; i++) {
		report_one(all, i, extended, report);
	}
	*out = report;
	*len_bytes = head + all->count * one;
	return 0;
}

uint16_t hf_reservations_report(struct hf_reservations *all, bool extended,
				void **out, size_t *len_bytes)
{
	pthread_mutex_lock(&all->lock);
	uint16_t status = report_locked(all, extended, out, len_bytes);
	pthread_mutex_unlock(&all->lock);
	return status;
}

bool hf_reservations_conflict(struct hf_reservations *all,
			      const uint8_t host_id[HF_HOST_ID_BYTES],
			      bool write)
{
	bool allowed = true;

	pthread_mutex_lock(&all->lock);
	const struct registration *reg = find(all, host_id);
	switch (all->type) {
	case NVME_RESERVATION_RTYPE_WE:
		allowed = !write || (reg != NULL && is_holder(all, reg));
		break;
	case NVME_RESERVATION_RTYPE_EA:
		allowed = reg != NULL && is_holder(all, reg);
		break;
	case NVME_RESERVATION_RTYPE_WERO:
	case NVME_RESERVATION_RTYPE_WEAR:
		allowed = !write || reg != NULL;
		break;
	case NVME_RESERVATION_RTYPE_EARO:
	case NVME_RESERVATION_RTYPE_EAAR:
		allowed = reg != NULL;
		break;
	}
	pthread_mutex_unlock(&all->lock);
	return !allowed;
}

void hf_reservations_power_fail(struct hf_reservations *all)
{
	pthread_mutex_lock(&all->lock);
	if (!all->persist) {
		set_type(all, 0);
		all->count = 0;
	}
	pthread_mutex_unlock(&all->lock);
}

void hf_reservations_reset(struct hf_reservations *all)
{
	static const uint8_t nobody[HF_HOST_ID_BYTES];

	pthread_mutex_lock(&all->lock);
	const struct registration *reg = find(all, nobody);
	if (reg != NULL) {
		forget(all, (uint32_t)(reg - all->registrants));
	}
	pthread_mutex_unlock(&all->lock);
}
