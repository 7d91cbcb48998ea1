/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration space of a PCI Express function that is an NVMe controller:
 * header, BARs, capabilities. Knows no bus, no socket and no register. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HF_PCI_CONFIG_BYTES 4096u

/* Where the capabilities are. */
#define HF_PCI_CAP_PM   0x40u
#define HF_PCI_CAP_MSIX 0x50u
#define HF_PCI_CAP_EXP  0x60u

#define HF_PCI_MSIX_BAR 4u

struct hf_pci_identity {
	uint16_t vid;
	uint16_t did;
	uint16_t ssvid;
	uint16_t ssid;
	uint64_t bar0_bytes;     /* a power of two, 4096 or more */
	uint32_t msix_bar_bytes; /* the same */
	uint32_t vectors;        /* 1 to 2048 */
	uint32_t pba_offset;     /* in BAR 4, as the table is, at 0 */
};

struct hf_pci_config {
	uint8_t bytes[HF_PCI_CONFIG_BYTES];
	uint8_t writable[HF_PCI_CONFIG_BYTES];
	uint8_t initial[HF_PCI_CONFIG_BYTES];
};

/* What a write asks its owner to do. */
enum {
	HF_PCI_IRQ_CHANGED = 1 << 0, /* INTx Disable, MSI-X Enable or Mask */
	HF_PCI_FLR = 1 << 1,         /* function-level reset */
};

void hf_pci_config_init(struct hf_pci_config *config,
			const struct hf_pci_identity *identity);

/* As after power-on. */
void hf_pci_config_reset(struct hf_pci_config *config);

/* Both take any offset, width and alignment within the space; @intx is the
 * level of the pin, which the Status register shows. What cannot be written
 * is left alone. */
void hf_pci_config_read(const struct hf_pci_config *config, uint32_t offset,
			uint32_t len_bytes, bool intx, void *out);
unsigned int hf_pci_config_write(struct hf_pci_config *config, uint32_t offset,
				 uint32_t len_bytes, const void *in);

bool hf_pci_intx_disabled(const struct hf_pci_config *config);
bool hf_pci_msix_enabled(const struct hf_pci_config *config);
/* The Function Mask bit. */
bool hf_pci_msix_masked(const struct hf_pci_config *config);
