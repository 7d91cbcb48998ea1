/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/policy.h"

#include <errno.h>
#include <stddef.h>

#include "base/checked.h"
#include "base/error.h"
#include "driver/holdfast_config.h"

/* Functions that do not take all that the specification allows while drivers
 * follow one another. */
static const struct {
	uint16_t vendor;
	uint16_t device;
	enum hf_device_class device_class;
} known[] = {
	/* Remote storage of a hypervisor: lost commands when a successor sent
	 * admin commands. */
	{0x1414, 0xb111, HF_DEVICE_CLASS_QUIET},
};

enum hf_device_class hf_policy_class(const struct hf_device *dev,
				     uint32_t asked)
{
	if (asked != HF_DEVICE_CLASS_AUTO) {
		return (enum hf_device_class)asked;
	}
	if (dev->pci_vendor == 0 || dev->pci_vendor == UINT16_MAX) {
		return HF_DEVICE_CLASS_AUTO;
	}
	for (size_t i = 0; i < HF_ARRAY_LEN(known); i++) {
		if (dev->pci_vendor == known[i].vendor &&
		    dev->pci_device == known[i].device) {
			return known[i].device_class;
		}
	}
	return HF_DEVICE_CLASS_ORDINARY;
}

void hf_policy_inherit(struct hf_driver *drv)
{
	uint32_t left = drv->ledger.header->device_class;

	drv->is_quiet = left == HF_DEVICE_CLASS_QUIET;
	if (drv->device_class == HF_DEVICE_CLASS_AUTO &&
	    left <= HF_DEVICE_CLASS_FORBIDDEN) {
		drv->device_class = (enum hf_device_class)left;
	}
}

void hf_policy_record(struct hf_driver *drv)
{
	drv->ledger.header->device_class =
		drv->is_quiet ? HF_DEVICE_CLASS_QUIET : drv->device_class;
}

const char *hf_policy_class_name(enum hf_device_class device_class)
{
	switch (device_class) {
	case HF_DEVICE_CLASS_AUTO:
		return "unknown";
	case HF_DEVICE_CLASS_ORDINARY:
		return "ordinary";
	case HF_DEVICE_CLASS_QUIET:
		return "quiet";
	case HF_DEVICE_CLASS_FORBIDDEN:
		return "forbidden";
	}
	return "unknown";
}

const char *hf_policy_forbids_keepalive(const struct hf_driver *drv)
{
	if (!HF_KEEPALIVE) {
		return "this holdfast was built without it";
	}
	if (!__atomic_load_n(&drv->keepalive, __ATOMIC_RELAXED)) {
		return "it is switched off for this driver";
	}
	if (drv->device_class == HF_DEVICE_CLASS_FORBIDDEN) {
		return "controllers of its class do not take it";
	}
	if (drv->device_class == HF_DEVICE_CLASS_AUTO) {
		return "its PCI vendor and device cannot be read, so that "
		       "nothing is known of it; the driver option device_class "
		       "says that it takes it";
	}
	return NULL;
}

const char *hf_policy_rules_out_keepalive(const struct hf_driver *drv)
{
	const char *why = hf_policy_forbids_keepalive(drv);

	if (why == NULL && drv->dev->ops->carry == NULL) {
		why = "the controller lives in this process and ends with it; "
		      "run it with 'holdfast emulate' to keep it";
	}
	return why;
}

int hf_policy_check_keepalive(const struct hf_driver *drv, struct hf_error *err)
{
	const char *why = hf_policy_forbids_keepalive(drv);

	if (why != NULL) {
		return hf_error_set(err, -EPERM,
				    "%s: the controller is not to outlive its "
				    "driver: %s",
				    drv->dev->id, why);
	}
	if (drv->dev->ops->carry == NULL) {
		return hf_error_set(err, -ENOTSUP, "%s: %s", drv->dev->id,
				    hf_policy_rules_out_keepalive(drv));
	}
	return 0;
}
