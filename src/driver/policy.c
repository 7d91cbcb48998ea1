/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/policy.h"

#include <stddef.h>

#include "base/checked.h"
#include "driver/holdfast_config.h"

/* Functions that were seen to lose commands over a change of drivers. */
static const struct {
	uint16_t vendor;
	uint16_t device;
} no_keepalive[] = {
	{0x1414, 0xb111}, /* remote storage of a hypervisor */
};

const char *hf_policy_forbids_keepalive(const struct hf_driver *drv)
{
	if (!HF_KEEPALIVE) {
		return "this holdfast was built without it";
	}
	if (!__atomic_load_n(&drv->keepalive, __ATOMIC_RELAXED)) {
		return "it is switched off for this driver";
	}
	for (size_t i = 0; i < HF_ARRAY_LEN(no_keepalive); i++) {
		if (drv->dev->pci_vendor == no_keepalive[i].vendor &&
		    drv->dev->pci_device == no_keepalive[i].device) {
			return "this kind of controller is known not to take "
			       "it";
		}
	}
	return NULL;
}
