/* SPDX-License-Identifier: BSD-3-Clause */
/* hf_vfio_user_adopt(), apart from opening: a successor has no conversation, it
 * goes on with one. */
#include "device/vfio_user.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/error.h"
#include "device/vfio_user_carry.h"
#include "device/vfio_user_dma.h"
#include "device/vfio_user_irq.h"
#include "device/vfio_user_registers.h"
#include "device/vfio_user_setup.h"

static int same_function(const struct hf_vfio_user *vu, const uint8_t *id,
			 struct hf_error *err)
{
	uint16_t vendor = hf_get_le16(id);
	uint16_t device = hf_get_le16(id + 2);

	if (vu->dev.pci_vendor == 0 ||
	    (vendor == vu->dev.pci_vendor && device == vu->dev.pci_device)) {
		return 0;
	}
	return hf_error_set(err, -ENODEV,
			    "%s: the server shows %04x:%04x, and the "
			    "predecessor drove %04x:%04x: it is another device",
			    vu->dev.id, vendor, device, vu->dev.pci_vendor,
			    vu->dev.pci_device);
}

/* After a crash, one request collects the replies that the predecessor left.
 * What it was doing to the interrupts is done again: either order of events
 * ends the same way. */
static int collect(struct hf_vfio_user *vu, struct hf_error *err)
{
	uint32_t interrupted = vu->conn.interrupted_command;
	uint8_t id[4];

	int rc = hf_vfu_region_read(vu, VFIO_PCI_CONFIG_REGION_INDEX, 0, id,
				    sizeof(id), err);
	if (rc == 0) {
		rc = same_function(vu, id, err);
	}
	if (rc == 0 && (interrupted == VFU_DEVICE_SET_IRQS ||
			interrupted == VFU_REGION_WRITE)) {
		rc = hf_vfu_irq_repeat(vu, err);
	}
	return rc;
}

/* After a planned hand-over nothing is under way on the connection but what the
 * predecessor asked for us: the socket tells whether the server has gone. */
static int vu_go_on(struct hf_vfio_user *vu, const struct hf_reg_read *ahead,
		    uint32_t ahead_count, struct hf_error *err)
{
	bool inherited = hf_vfu_registers_inherit(vu, ahead, ahead_count);

	int rc = vu->conn.stale_expected ? collect(vu, err)
					 : hf_vfu_conn_peer(&vu->conn, err);
	if (rc == 0 && !inherited && ahead_count > 0) {
		rc = hf_vfu_registers_ask(vu, ahead, ahead_count, err);
	}
	return rc;
}

int hf_vfio_user_adopt(struct hf_device **out, struct hf_fdset *set,
		       const struct hf_device_options *options,
		       const struct hf_reg_read *ahead, uint32_t ahead_count,
		       struct hf_error *err)
{
	struct hf_vfio_user *vu = hf_vfu_new("", options, err);

	if (vu == NULL) {
		return -ENOMEM;
	}
	int rc = hf_vfu_carry_facts(vu, set, err);
	if (rc == 0) {
		rc = hf_vfu_irq_init(vu, err);
	}
	if (rc == 0) {
		rc = hf_vfu_carry_fds(vu, set, err);
	}
	if (rc == 0) {
		hf_vfu_map_doorbells(vu);
		hf_vfu_set_limits(vu);
		hf_steps_mark(&vu->dev.steps, "take the connection");
		rc = vu_go_on(vu, ahead, ahead_count, err);
		hf_steps_mark(&vu->dev.steps, "hear from the server");
	}
	if (rc == 0) {
		vu->adopting = true;
		rc = hf_dma_adopt(&vu->dev.dma, &vu->dev, set, err);
		hf_steps_mark(&vu->dev.steps, "map the DMA memory");
	}
	if (rc != 0) {
		hf_vfu_carry_undo(vu);
		hf_vfu_free(vu);
		return rc;
	}

	hf_vfu_carry_done(set);
	rc = hf_vfu_dma_adopted(vu, err);
	if (rc != 0) {
		/* The mappings stay: whoever holds the connection owns them. */
		hf_device_release(&vu->dev, HF_RELEASE_KEEP);
		return rc;
	}
	*out = &vu->dev;
	return 0;
}
