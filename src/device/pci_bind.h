/* SPDX-License-Identifier: BSD-3-Clause */
/* What giving a function away and diagnosing it share. Knows sysfs only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "holdfast/pci.h"

/* NULL becomes the defaults; refuses options of another size. */
HF_MUST_CHECK int hf_pci_options_check(const struct hf_pci_options **options,
				       struct hf_error *err);
/* The driver that bind took a function from; "" without a note. */
void hf_pci_note_read(const char *root, const char *bdf, char *buf,
		      size_t len_bytes);
/* Can vfio-pci be given functions that no IOMMU guards? */
bool hf_pci_noiommu_allowed(const char *root);
/* Who has the function open through VFIO; false if nobody is seen. */
bool hf_pci_vfio_opened(const char *root, const char *bdf, char *buf,
			size_t len_bytes);
