/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/pci_config.h"

#include <assert.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "base/bytes.h"
#include "base/checked.h"

#define EXP_CAP_BYTES 0x3cu

static void set8(struct hf_pci_config *config, uint32_t at, uint8_t value,
		 uint8_t writable)
{
	config->initial[at] = value;
	config->writable[at] = writable;
}

static void set16(struct hf_pci_config *config, uint32_t at, uint16_t value,
		  uint16_t writable)
{
	hf_put_le16(config->initial + at, value);
	hf_put_le16(config->writable + at, writable);
}

static void set32(struct hf_pci_config *config, uint32_t at, uint32_t value,
		  uint32_t writable)
{
	hf_put_le32(config->initial + at, value);
	hf_put_le32(config->writable + at, writable);
}

/* A BAR tells its size by the address bits that cannot be written. */
static void set_bars(struct hf_pci_config *config,
		     const struct hf_pci_identity *identity)
{
	uint64_t mask = ~(identity->bar0_bytes - 1);

	set32(config, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_TYPE_64,
	      (uint32_t)mask);
	set32(config, PCI_BASE_ADDRESS_1, 0, (uint32_t)(mask >> 32));
	set32(config, PCI_BASE_ADDRESS_4, PCI_BASE_ADDRESS_MEM_TYPE_32,
	      ~(identity->msix_bar_bytes - 1));
}

static void set_header(struct hf_pci_config *config,
		       const struct hf_pci_identity *identity)
{
	set16(config, PCI_VENDOR_ID, identity->vid, 0);
	set16(config, PCI_DEVICE_ID, identity->did, 0);
	set16(config, PCI_COMMAND, 0,
	      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
		      PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	set16(config, PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
	set8(config, PCI_REVISION_ID, 1, 0);
	/* Mass storage, non-volatile memory, NVM Express. */
	set8(config, PCI_CLASS_PROG, 0x02, 0);
	set16(config, PCI_CLASS_DEVICE, 0x0108, 0);
	set8(config, PCI_CACHE_LINE_SIZE, 0, 0xff);
	set_bars(config, identity);
	set16(config, PCI_SUBSYSTEM_VENDOR_ID, identity->ssvid, 0);
	set16(config, PCI_SUBSYSTEM_ID, identity->ssid, 0);
	set8(config, PCI_CAPABILITY_LIST, HF_PCI_CAP_PM, 0);
	set8(config, PCI_INTERRUPT_LINE, 0, 0xff);
	set8(config, PCI_INTERRUPT_PIN, 1, 0);
}

static void set_power(struct hf_pci_config *config)
{
	uint32_t at = HF_PCI_CAP_PM;

	set8(config, at, PCI_CAP_ID_PM, 0);
	set8(config, at + PCI_CAP_LIST_NEXT, HF_PCI_CAP_MSIX, 0);
	set16(config, at + PCI_PM_PMC, 3, 0);
	/* Leaving D3 loses nothing. */
	set16(config, at + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET,
	      PCI_PM_CTRL_STATE_MASK);
}

static void set_msix(struct hf_pci_config *config,
		     const struct hf_pci_identity *identity)
{
	uint32_t at = HF_PCI_CAP_MSIX;

	set8(config, at, PCI_CAP_ID_MSIX, 0);
	set8(config, at + PCI_CAP_LIST_NEXT, HF_PCI_CAP_EXP, 0);
	set16(config, at + PCI_MSIX_FLAGS, (uint16_t)(identity->vectors - 1),
	      PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	set32(config, at + PCI_MSIX_TABLE, HF_PCI_MSIX_BAR, 0);
	set32(config, at + PCI_MSIX_PBA, identity->pba_offset | HF_PCI_MSIX_BAR,
	      0);
}

static void set_express(struct hf_pci_config *config)
{
	uint32_t at = HF_PCI_CAP_EXP;

	set8(config, at, PCI_CAP_ID_EXP, 0);
	set8(config, at + PCI_CAP_LIST_NEXT, 0, 0);
	set16(config, at + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ENDPOINT << 4, 0);
	set32(config, at + PCI_EXP_DEVCAP,
	      PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR, 0);
	/* All of Device Control but the bit that resets, which reads as 0. */
	set16(config, at + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_READRQ_512B, 0x7fff);
	set32(config, at + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_SLS_8_0GB | 4u << 4,
	      0);
	set16(config, at + PCI_EXP_LNKCTL, 0,
	      PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES);
	set16(config, at + PCI_EXP_LNKSTA,
	      PCI_EXP_LNKSTA_CLS_8_0GB | PCI_EXP_LNKSTA_NLW_X4, 0);
	set32(config, at + PCI_EXP_DEVCAP2, PCI_EXP_DEVCAP2_COMP_TMOUT_DIS, 0);
	set16(config, at + PCI_EXP_DEVCTL2, 0,
	      PCI_EXP_DEVCTL2_COMP_TIMEOUT | PCI_EXP_DEVCTL2_COMP_TMOUT_DIS);
	set16(config, at + PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS_8_0GT,
	      PCI_EXP_LNKCTL2_TLS);
	static_assert(HF_PCI_CAP_EXP + EXP_CAP_BYTES <= 0x100,
		      "the capabilities lie in the first 256 bytes");
}

void hf_pci_config_init(struct hf_pci_config *config,
			const struct hf_pci_identity *identity)
{
	assert((identity->bar0_bytes & (identity->bar0_bytes - 1)) == 0);
	assert((identity->msix_bar_bytes & (identity->msix_bar_bytes - 1)) ==
	       0);

	/* No extended capability: the first one's header reads as 0. */
	memset(config, 0, sizeof(*config));
	set_header(config, identity);
	set_power(config);
	set_msix(config, identity);
	set_express(config);
	hf_pci_config_reset(config);
}

void hf_pci_config_reset(struct hf_pci_config *config)
{
	memcpy(config->bytes, config->initial, sizeof(config->bytes));
}

void hf_pci_config_read(const struct hf_pci_config *config, uint32_t offset,
			uint32_t len_bytes, bool intx, void *out)
{
	assert(hf_range_within(offset, len_bytes, HF_PCI_CONFIG_BYTES));

	memcpy(out, config->bytes + offset, len_bytes);
	if (intx && offset <= PCI_STATUS && len_bytes > PCI_STATUS - offset) {
		((uint8_t *)out)[PCI_STATUS - offset] |= PCI_STATUS_INTERRUPT;
	}
}

static uint32_t irq_bits(const struct hf_pci_config *config)
{
	return (uint32_t)hf_pci_intx_disabled(config) |
	       (uint32_t)hf_pci_msix_enabled(config) << 1 |
	       (uint32_t)hf_pci_msix_masked(config) << 2;
}

unsigned int hf_pci_config_write(struct hf_pci_config *config, uint32_t offset,
				 uint32_t len_bytes, const void *in)
{
	/* Initiate Function Level Reset is bit 15: bit 7 of the upper byte. */
	const uint32_t flr_at = HF_PCI_CAP_EXP + PCI_EXP_DEVCTL + 1;
	const uint8_t *bytes = in;
	uint32_t before = irq_bits(config);
	unsigned int effects = 0;

	assert(hf_range_within(offset, len_bytes, HF_PCI_CONFIG_BYTES));

	for (uint32_t i = 0; i < len_bytes; i++) {
		uint32_t at = offset + i;
		uint8_t mask = config->writable[at];

		config->bytes[at] = (uint8_t)((config->bytes[at] & ~mask) |
					      (bytes[i] & mask));
		if (at == flr_at && (bytes[i] & 0x80) != 0) {
			effects |= HF_PCI_FLR;
		}
	}
	if (irq_bits(config) != before) {
		effects |= HF_PCI_IRQ_CHANGED;
	}
	return effects;
}

bool hf_pci_intx_disabled(const struct hf_pci_config *config)
{
	return (hf_get_le16(config->bytes + PCI_COMMAND) &
		PCI_COMMAND_INTX_DISABLE) != 0;
}

static uint16_t msix_flags(const struct hf_pci_config *config)
{
	return hf_get_le16(config->bytes + HF_PCI_CAP_MSIX + PCI_MSIX_FLAGS);
}

bool hf_pci_msix_enabled(const struct hf_pci_config *config)
{
	return (msix_flags(config) & PCI_MSIX_FLAGS_ENABLE) != 0;
}

bool hf_pci_msix_masked(const struct hf_pci_config *config)
{
	return (msix_flags(config) & PCI_MSIX_FLAGS_MASKALL) != 0;
}
