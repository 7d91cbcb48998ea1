/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/vfio_user_region.h"

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "emu/vfio_user_device.h"

uint64_t hf_vfus_region_bytes(const struct hf_vfus_device *device,
			      uint32_t index)
{
	switch (index) {
	case VFIO_PCI_BAR0_REGION_INDEX:
		return device->bar0_bytes;
	case VFIO_PCI_BAR4_REGION_INDEX:
		return device->msix_bar_bytes;
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return HF_PCI_CONFIG_BYTES;
	default: /* not there, or a number from the client */
		return 0;
	}
}

void hf_vfus_irq_refresh(struct hf_vfus_device *device)
{
	hf_vfus_irq_mode(&device->irq, hf_pci_msix_enabled(&device->pci),
			 hf_pci_msix_masked(&device->pci),
			 !hf_pci_intx_disabled(&device->pci));
}

void hf_vfus_function_reset(struct hf_vfus_device *device)
{
	hf_emu_reset(device->emu);
	hf_pci_config_reset(&device->pci);
	hf_vfus_irq_refresh(device);
}

/* --------------------------------------------------------------- registers */

/* Reads of any width and alignment, made of aligned words. */
static void bar0_read(struct hf_vfus_device *device, uint64_t offset,
		      uint32_t len_bytes, uint8_t *out)
{
	if (len_bytes == 8 && hf_is_aligned(offset, 4)) {
		hf_put_le64(out, hf_emu_reg_read(device->emu, offset, 8));
		return;
	}

	while (len_bytes > 0) {
		uint32_t skip = (uint32_t)(offset & 3);
		uint32_t take = HF_MIN(4 - skip, len_bytes);
		uint8_t word[4];

		hf_put_le32(word, (uint32_t)hf_emu_reg_read(device->emu,
							    offset - skip, 4));
		memcpy(out, word + skip, take);
		out += take;
		offset += take;
		len_bytes -= take;
	}
}

/* Writes are whole registers: there is no telling what half of one means. */
static int bar0_write(struct hf_vfus_device *device, uint64_t offset,
		      uint32_t len_bytes, const uint8_t *in)
{
	if (!hf_is_aligned(offset, 4)) {
		return -EINVAL;
	}
	if (len_bytes == 8) {
		hf_emu_reg_write(device->emu, offset, 8, hf_get_le64(in));
	} else if (len_bytes == 4) {
		hf_emu_reg_write(device->emu, offset, 4, hf_get_le32(in));
	} else {
		return -EINVAL;
	}
	return 0;
}

/* -------------------------------------------------------------- MSI-X's BAR */

static uint64_t table_bytes(const struct hf_vfus_device *device)
{
	return (uint64_t)device->irq.vectors * PCI_MSIX_ENTRY_SIZE;
}

static void bar4_read(struct hf_vfus_device *device, uint64_t offset,
		      uint32_t len_bytes, uint8_t *out)
{
	uint64_t table = table_bytes(device);

	memset(out, 0, len_bytes);
	if (offset < table) {
		uint64_t take = HF_MIN(table - offset, (uint64_t)len_bytes);

		hf_vfus_irq_table_read(&device->irq, (uint32_t)offset,
				       (uint32_t)take, out);
	}
	for (uint32_t i = 0; i < len_bytes; i++) {
		uint64_t at = offset + i;

		if (at >= device->pba_offset) {
			out[i] = hf_vfus_irq_pending(
				&device->irq,
				(uint32_t)(at - device->pba_offset));
		}
	}
}

/* Only the table can be written. */
static void bar4_write(struct hf_vfus_device *device, uint64_t offset,
		       uint32_t len_bytes, const uint8_t *in)
{
	uint64_t table = table_bytes(device);

	if (offset < table) {
		uint64_t take = HF_MIN(table - offset, (uint64_t)len_bytes);

		hf_vfus_irq_table_write(&device->irq, (uint32_t)offset,
					(uint32_t)take, in);
	}
}

/* ------------------------------------------------------------- all of them */

int hf_vfus_region_read(struct hf_vfus_device *device, uint32_t index,
			uint64_t offset, uint32_t len_bytes, uint8_t *out)
{
	if (len_bytes == 0 ||
	    !hf_range_within(offset, len_bytes,
			     hf_vfus_region_bytes(device, index))) {
		return -EINVAL;
	}

	if (index == VFIO_PCI_BAR0_REGION_INDEX) {
		bar0_read(device, offset, len_bytes, out);
	} else if (index == VFIO_PCI_BAR4_REGION_INDEX) {
		bar4_read(device, offset, len_bytes, out);
	} else {
		hf_pci_config_read(&device->pci, (uint32_t)offset, len_bytes,
				   hf_emu_intx_level(device->emu), out);
	}
	return 0;
}

int hf_vfus_region_write(struct hf_vfus_device *device, uint32_t index,
			 uint64_t offset, uint32_t len_bytes, const uint8_t *in)
{
	if (len_bytes == 0 ||
	    !hf_range_within(offset, len_bytes,
			     hf_vfus_region_bytes(device, index))) {
		return -EINVAL;
	}

	if (index == VFIO_PCI_BAR0_REGION_INDEX) {
		return bar0_write(device, offset, len_bytes, in);
	}
	if (index == VFIO_PCI_BAR4_REGION_INDEX) {
		bar4_write(device, offset, len_bytes, in);
		return 0;
	}

	unsigned int effects = hf_pci_config_write(
		&device->pci, (uint32_t)offset, len_bytes, in);
	if ((effects & HF_PCI_FLR) != 0) {
		hf_vfus_function_reset(device);
	} else if ((effects & HF_PCI_IRQ_CHANGED) != 0) {
		hf_vfus_irq_refresh(device);
	}
	return 0;
}
