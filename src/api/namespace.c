/* SPDX-License-Identifier: BSD-3-Clause */
#include "holdfast/namespace.h"

#include <errno.h>
#include <string.h>

#include <nvme/types.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "driver/driver.h"
#include "driver/scan.h"
#include "namespace/namespace.h"

#define LIST_ENTRIES 1024u

static int list_page(struct hf_driver *drv, uint32_t after, uint8_t *page,
		     struct hf_error *err)
{
	struct hf_command command = {
		.opcode = nvme_admin_identify,
		.nsid = after,
		.cdw10 = NVME_IDENTIFY_CNS_NS_ACTIVE_LIST,
		.data = page,
		.data_len_bytes = NVME_IDENTIFY_DATA_SIZE,
	};

	return hf_admin_command(drv, &command, err);
}

int hf_namespace_list(struct hf_driver *drv, uint32_t *nsids, uint32_t max,
		      uint32_t *count, struct hf_error *err)
{
	uint8_t page[NVME_IDENTIFY_DATA_SIZE];
	uint32_t last = 0;

	*count = 0;
	if (drv->is_quiet) {
		*count = hf_scan_known(drv, nsids, max);
		return 0;
	}
	for (;;) {
		int rc = list_page(drv, last, page, err);
		if (rc != 0) {
			return rc;
		}
		for (uint32_t i = 0; i < LIST_ENTRIES; i++) {
			uint32_t nsid = hf_get_le32(page + (size_t)4 * i);

			if (nsid == 0) {
				return 0;
			}
			/* Ascending, or the walk would have no end. */
			if (nsid <= last) {
				return hf_error_set(
					err, -EPROTO,
					"%s: the list of active namespaces "
					"does not ascend: %u after %u",
					hf_device_id(hf_driver_device(drv)),
					nsid, last);
			}
			if (*count < max) {
				nsids[*count] = nsid;
			}
			(*count)++;
			last = nsid;
		}
	}
}

int hf_namespace_open(struct hf_namespace **ns, struct hf_driver *drv,
		      uint32_t nsid, struct hf_error *err)
{
	return hf_scan_open_wait(drv, nsid, ns, err);
}

void hf_namespace_close(struct hf_namespace *ns)
{
	if (ns != NULL) {
		hf_scan_close(ns->owner, ns);
	}
}

int hf_namespace_rescan(struct hf_namespace *ns, struct hf_error *err)
{
	return hf_scan_again_wait(ns->owner, ns, err);
}

void hf_namespace_get_info(struct hf_namespace *ns,
			   struct hf_namespace_info *info)
{
	const struct hf_io_limits *limits = ns->limits;

	pthread_mutex_lock(&ns->lock);
	*info = (struct hf_namespace_info){
		.nsid = ns->nsid,
		.blocks = ns->geometry.blocks,
		.capacity_blocks = ns->geometry.capacity_blocks,
		.used_blocks = ns->geometry.used_blocks,
		.block_bytes = 1u << ns->block_shift,
		.metadata_bytes = ns->geometry.metadata_bytes,
		.max_transfer_blocks = ns->max_blocks,
		.optimal_boundary_blocks = ns->noiob_blocks,
		.read_only = ns->geometry.read_only,
		.removed = ns->removed,
		.can_deallocate = (limits->oncs & NVME_CTRL_ONCS_DSM) != 0,
		.can_write_zeroes =
			(limits->oncs & NVME_CTRL_ONCS_WRITE_ZEROES) != 0,
		.can_compare = (limits->oncs & NVME_CTRL_ONCS_COMPARE) != 0,
		.can_verify = (limits->oncs & NVME_CTRL_ONCS_VERIFY) != 0,
		.can_reserve =
			(limits->oncs & NVME_CTRL_ONCS_RESERVATIONS) != 0 &&
			ns->geometry.can_reserve,
		.volatile_write_cache = limits->volatile_write_cache,
	};
	memcpy(info->nguid, ns->identity.nguid, sizeof(info->nguid));
	memcpy(info->eui64, ns->identity.eui64, sizeof(info->eui64));
	memcpy(info->uuid, ns->identity.uuid, sizeof(info->uuid));
	pthread_mutex_unlock(&ns->lock);
}

struct change {
	const struct hf_namespace *ns;
	uint64_t blocks;
};

static bool has_changed(const void *arg)
{
	const struct change *change = arg;

	return __atomic_load_n(&change->ns->removed, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&change->ns->blocks, __ATOMIC_RELAXED) !=
		       change->blocks;
}

int hf_namespace_change_wait(struct hf_namespace *ns, uint64_t blocks,
			     uint32_t timeout_ms)
{
	const struct change change = {.ns = ns, .blocks = blocks};

	int rc = hf_control_wait(ns->owner, has_changed, &change,
				 hf_deadline_ms(timeout_ms));
	if (rc == 0 && __atomic_load_n(&ns->removed, __ATOMIC_RELAXED)) {
		return -ENODEV;
	}
	return rc;
}
