/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include <nvme/types.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "driver/driver.h"
#include "holdfast/io.h"
#include "holdfast/namespace.h"

#define REPORT_HEADER_BYTES 24u
#define REGISTRANT_BYTES    24u
#define EXTENDED_HEADER     64u
#define EXTENDED_BYTES      64u
#define REPORT_MAX_BYTES    4096u
#define EDS                 1u /* CDW11 of Reservation Report */

static bool can_reserve(const struct hf_namespace *ns)
{
	return (ns->limits->oncs & NVME_CTRL_ONCS_RESERVATIONS) != 0;
}

static int send_keys(struct hf_namespace *ns, uint8_t opcode, uint32_t cdw10,
		     uint64_t first, uint64_t second, uint32_t len_bytes)
{
	uint8_t keys[16];
	struct hf_command command = {
		.opcode = opcode,
		.nsid = ns->nsid,
		.cdw10 = cdw10,
		.data = keys,
		.data_len_bytes = len_bytes,
		.to_device = 1,
	};

	if (!can_reserve(ns)) {
		return -ENOTSUP;
	}
	hf_put_le64(keys, first);
	hf_put_le64(keys + 8, second);
	return hf_io_command(ns->owner, &command);
}

int hf_reservation_register(struct hf_namespace *ns,
			    enum hf_reservation_register_action action,
			    uint64_t current_key, uint64_t new_key,
			    bool ignore_key)
{
	return send_keys(ns, nvme_cmd_resv_register,
			 (uint32_t)action | (ignore_key ? 1u << 3 : 0),
			 current_key, new_key, 16);
}

int hf_reservation_acquire(struct hf_namespace *ns,
			   enum hf_reservation_acquire_action action,
			   enum hf_reservation_type type, uint64_t current_key,
			   uint64_t preempt_key)
{
	return send_keys(ns, nvme_cmd_resv_acquire,
			 (uint32_t)action | (uint32_t)type << 8, current_key,
			 preempt_key, 16);
}

int hf_reservation_release(struct hf_namespace *ns,
			   enum hf_reservation_release_action action,
			   enum hf_reservation_type type, uint64_t current_key)
{
	return send_keys(ns, nvme_cmd_resv_release,
			 (uint32_t)action | (uint32_t)type << 8, current_key, 0,
			 8);
}

static int get_report(struct hf_namespace *ns, uint8_t *data, bool extended)
{
	struct hf_command command = {
		.opcode = nvme_cmd_resv_report,
		.nsid = ns->nsid,
		.cdw10 = REPORT_MAX_BYTES / 4 - 1,
		.cdw11 = extended ? EDS : 0,
		.data = data,
		.data_len_bytes = REPORT_MAX_BYTES,
	};

	return hf_io_command(ns->owner, &command);
}

static void read_registrant(struct hf_registrant *registrant, const uint8_t *at,
			    bool extended)
{
	*registrant = (struct hf_registrant){
		.controller = hf_get_le16(at),
		.holds_reservation = (at[2] & 1) != 0,
	};
	if (extended) {
		registrant->key = hf_get_le64(at + 8);
		memcpy(registrant->host_id, at + 16, 16);
		registrant->host_id_bytes = 16;
	} else {
		memcpy(registrant->host_id, at + 8, 8);
		registrant->host_id_bytes = 8;
		registrant->key = hf_get_le64(at + 16);
	}
}

int hf_reservation_get_report(struct hf_namespace *ns,
			      struct hf_reservation_report *report,
			      struct hf_registrant *registrants, uint32_t max)
{
	uint8_t data[REPORT_MAX_BYTES] = {0};
	bool extended = false;

	if (!can_reserve(ns)) {
		return -ENOTSUP;
	}
	int rc = get_report(ns, data, extended);
	if (rc > 0 && (rc & 0x7ff) == NVME_SC_HOSTID_FORMAT) {
		/* The host has a 128-bit identifier: the other format. */
		extended = true;
		rc = get_report(ns, data, extended);
	}
	if (rc != 0) {
		return rc;
	}

	*report = (struct hf_reservation_report){
		.generation = hf_get_le32(data),
		.type = data[4],
		.registrants = hf_get_le16(data + 5),
		.persists_power_loss = data[9] != 0,
	};
	if (report->type > HF_RESERVATION_EXCLUSIVE_ACCESS_ALL) {
		return -EPROTO;
	}
	uint32_t header = extended ? EXTENDED_HEADER : REPORT_HEADER_BYTES;
	uint32_t each = extended ? EXTENDED_BYTES : REGISTRANT_BYTES;
	uint32_t fit = (REPORT_MAX_BYTES - header) / each;
	uint32_t count = HF_MIN(HF_MIN(report->registrants, fit), max);
	for (uint32_t i = 0; i < count; i++) {
		read_registrant(&registrants[i],
				data + header + (size_t)i * each, extended);
	}
	return 0;
}
