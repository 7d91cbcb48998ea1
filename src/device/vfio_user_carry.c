/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/vfio_user_carry.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"

#define SOCKET_NAME  "vfu-socket"
#define JOURNAL_NAME "vfu-journal"
#define BAR0_NAME    "vfu-bar0"
#define REQUEST_NAME "vfu-request"
#define IRQ_NAME     "vfu-irq-%u"
#define PCI_ID_KEY   "vfu-pci-id"

/* Each number that is carried: its key, and what it may be. */
struct fact {
	const char *key;
	uint64_t value;
	uint64_t min;
	uint64_t max;
};

enum {
	FACT_MAX_FDS,
	FACT_MAX_XFER,
	FACT_MAX_MAPS,
	FACT_PAGE_SIZES,
	FACT_CAN_RESET,
	FACT_BAR0_BYTES,
	FACT_DOORBELLS_AT,
	FACT_DOORBELLS_BYTES,
	FACT_VECTORS,
	FACT_MSIX_AT,
	FACT_MSIX_CONTROL,
	FACT_COUNT,
};

static void describe_facts(const struct hf_vfu_facts *facts, struct fact *list)
{
	const struct fact all[FACT_COUNT] = {
		{"vfu-max-fds", facts->max_fds, 1, VFU_MAX_FDS},
		{"vfu-max-xfer", facts->max_xfer_bytes, 8,
		 HF_VFU_OUR_MAX_XFER_BYTES},
		{"vfu-max-maps", facts->max_dma_maps, 0, UINT32_MAX},
		{"vfu-page-sizes", facts->page_sizes, 1, UINT64_MAX},
		{"vfu-can-reset", facts->can_reset, 0, 1},
		{"vfu-bar0-bytes", facts->bar0_bytes, HF_BAR0_MIN_BYTES,
		 UINT64_C(1) << 32},
		{"vfu-doorbells-at", facts->doorbells_file_offset, 0,
		 INT64_MAX},
		{"vfu-doorbells-bytes", facts->doorbells_bytes, 0,
		 UINT64_C(1) << 32},
		{"vfu-vectors", facts->vectors, 1, HF_VFU_VECTORS_MAX},
		{"vfu-msix-at", facts->msix_offset, PCI_STD_HEADER_SIZEOF,
		 256 - PCI_CAP_MSIX_SIZEOF},
		{"vfu-msix-control", facts->msix_control, 0, UINT16_MAX},
	};

	memcpy(list, all, sizeof(all));
}

int hf_vfu_carry_out(struct hf_vfio_user *vu, struct hf_fdset *set,
		     struct hf_error *err)
{
	uint32_t said =
		__atomic_load_n(&vu->conn.journal->irq_wired, __ATOMIC_RELAXED);
	uint32_t wired = HF_MIN(said, vu->facts.vectors);
	struct fact facts[FACT_COUNT];

	int rc = hf_fdset_add(set, vu->conn.fd, err, SOCKET_NAME);
	if (rc == 0) {
		rc = hf_fdset_add(set, vu->conn.journal_fd, err, JOURNAL_NAME);
	}
	if (rc == 0 && vu->bar0_fd >= 0) {
		rc = hf_fdset_add(set, vu->bar0_fd, err, BAR0_NAME);
	}
	if (rc == 0 && vu->request_fd >= 0) {
		rc = hf_fdset_add(set, vu->request_fd, err, REQUEST_NAME);
	}
	for (uint32_t i = 0; rc == 0 && i < wired; i++) {
		rc = hf_fdset_add(set, vu->eventfds[i], err, IRQ_NAME, i);
	}
	if (rc == 0) {
		rc = hf_fdset_put_text(set, err, "vfu-path", "%s", vu->path);
	}
	if (rc == 0) {
		rc = hf_fdset_put_text(set, err, PCI_ID_KEY, "%u",
				       (uint32_t)vu->dev.pci_vendor << 16 |
					       vu->dev.pci_device);
	}
	describe_facts(&vu->facts, facts);
	for (uint32_t i = 0; rc == 0 && i < FACT_COUNT; i++) {
		rc = hf_fdset_put_text(set, err, facts[i].key, "%llu",
				       (unsigned long long)facts[i].value);
	}
	return rc;
}

/* Zeroes, where they were not carried: nothing is known of such a function. */
static void carry_pci_id(struct hf_vfio_user *vu, const struct hf_fdset *set)
{
	uint64_t id = 0;

	if (hf_fdset_get_u64(set, PCI_ID_KEY, &id) == 0 && id <= UINT32_MAX) {
		vu->dev.pci_vendor = (uint16_t)(id >> 16);
		vu->dev.pci_device = (uint16_t)id;
	}
}

int hf_vfu_carry_facts(struct hf_vfio_user *vu, const struct hf_fdset *set,
		       struct hf_error *err)
{
	struct fact facts[FACT_COUNT];

	int rc = hf_fdset_get_text(set, "vfu-path", vu->path, sizeof(vu->path));
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "what was handed over names no vfio-user "
				    "socket");
	}
	snprintf(vu->dev.id, sizeof(vu->dev.id), "vfio-user:%s", vu->path);
	describe_facts(&vu->facts, facts);
	for (uint32_t i = 0; i < FACT_COUNT; i++) {
		rc = hf_fdset_get_u64(set, facts[i].key, &facts[i].value);
		if (rc == 0 && (facts[i].value < facts[i].min ||
				facts[i].value > facts[i].max)) {
			rc = -EINVAL;
		}
		if (rc != 0) {
			return hf_error_set(err, rc,
					    "%s: '%s' is missing or wrong in "
					    "what was handed over",
					    vu->dev.id, facts[i].key);
		}
	}

	vu->facts = (struct hf_vfu_facts){
		.max_fds = (uint32_t)facts[FACT_MAX_FDS].value,
		.max_xfer_bytes = (uint32_t)facts[FACT_MAX_XFER].value,
		.max_dma_maps = (uint32_t)facts[FACT_MAX_MAPS].value,
		.page_sizes = facts[FACT_PAGE_SIZES].value,
		.can_reset = facts[FACT_CAN_RESET].value != 0,
		.bar0_bytes = facts[FACT_BAR0_BYTES].value,
		.doorbells_file_offset = facts[FACT_DOORBELLS_AT].value,
		.doorbells_bytes = facts[FACT_DOORBELLS_BYTES].value,
		.vectors = (uint32_t)facts[FACT_VECTORS].value,
		.msix_offset = (uint32_t)facts[FACT_MSIX_AT].value,
		.msix_control = (uint16_t)facts[FACT_MSIX_CONTROL].value,
	};
	vu->dev.bar0_bytes = vu->facts.bar0_bytes;
	carry_pci_id(vu, set);
	return 0;
}

static int carry_conn(struct hf_vfio_user *vu, struct hf_fdset *set,
		      struct hf_error *err)
{
	int sock = hf_fdset_find(set, SOCKET_NAME);
	int journal = hf_fdset_find(set, JOURNAL_NAME);

	if (sock < 0 || journal < 0) {
		return hf_error_set(err, -EINVAL,
				    "%s: the connection is missing in what was "
				    "handed over",
				    vu->dev.id);
	}
	return hf_vfu_conn_resume(
		&vu->conn, sock, journal,
		hf_fdset_take_map(set, journal, HF_VFU_JOURNAL_BYTES), err);
}

/* Of those that were never carried, none is in use. One that was and cannot be
 * had here would be missed: its completions raise it. */
static void carry_irqs(struct hf_vfio_user *vu, const struct hf_fdset *set)
{
	uint32_t said =
		__atomic_load_n(&vu->conn.journal->irq_wired, __ATOMIC_RELAXED);
	uint32_t wired = HF_MIN(said, vu->facts.vectors);
	uint32_t carried = 0;

	while (carried < wired) {
		int fd = hf_fdset_find(set, IRQ_NAME, carried);

		if (fd < 0) {
			break;
		}
		vu->eventfds[carried++] = fd;
	}
	vu->conn.journal->irq_wired = carried;
	vu->msix_enabled = carried > 0;
}

int hf_vfu_carry_fds(struct hf_vfio_user *vu, struct hf_fdset *set,
		     struct hf_error *err)
{
	int rc = carry_conn(vu, set, err);

	if (rc != 0) {
		return rc;
	}
	vu->bar0_fd = hf_fdset_find(set, BAR0_NAME);
	vu->request_fd = hf_fdset_find(set, REQUEST_NAME);
	carry_irqs(vu, set);
	return vu->request_fd >= 0
		       ? hf_vfu_conn_watch(&vu->conn, vu->request_fd, err)
		       : 0;
}

/* The numbers are the same: they are only no longer the set's. */
void hf_vfu_carry_done(struct hf_fdset *set)
{
	(void)hf_fdset_take(set, SOCKET_NAME);
	(void)hf_fdset_take(set, JOURNAL_NAME);
	(void)hf_fdset_take(set, BAR0_NAME);
	(void)hf_fdset_take(set, REQUEST_NAME);
	for (uint32_t i = 0; i < HF_VFU_VECTORS_MAX; i++) {
		if (hf_fdset_take(set, IRQ_NAME, i) < 0) {
			break;
		}
	}
}

void hf_vfu_carry_undo(struct hf_vfio_user *vu)
{
	vu->conn.fd = -1;
	vu->conn.journal_fd = -1;
	vu->bar0_fd = -1;
	vu->request_fd = -1;
	for (uint32_t i = 0; vu->eventfds != NULL && i < vu->facts.vectors;
	     i++) {
		vu->eventfds[i] = -1;
	}
}
