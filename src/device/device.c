/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/device.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "device/emulated.h"
#include "device/vfio.h"
#include "device/vfio_user.h"

#define DOORBELLS_OFFSET 0x1000u

void hf_device_options_init(struct hf_device_options *options)
{
	*options = (struct hf_device_options){
		.size = sizeof(*options),
		.huge_pages = HF_HUGE_PAGES_AUTO,
		.timeout_ms = 5000,
	};
}

/* "0000:01:00.0" or "01:00.0". */
static bool is_pci_address(const char *text)
{
	unsigned int domain, bus, slot, function;
	int end = 0;

	if (sscanf(text, "%8x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function,
		   &end) == 4 &&
	    end > 0) {
		return text[end] == '\0' || text[end] == ',';
	}
	end = 0;
	return sscanf(text, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) ==
		       3 &&
	       end > 0 && (text[end] == '\0' || text[end] == ',');
}

static const struct {
	const char *prefix;
	int (*open)(struct hf_device **device, const char *rest,
		    const struct hf_device_options *options,
		    struct hf_error *err);
} backings[] = {
	{"emulated:", hf_emulated_open},
	{"vfio:", hf_vfio_open},
	{"vfio-user:", hf_vfio_user_open},
};

int hf_device_open(struct hf_device **device, const char *address,
		   const struct hf_device_options *options,
		   struct hf_error *err)
{
	struct hf_device_options defaults;
	char with_prefix[256];

	hf_device_options_init(&defaults);
	if (options != NULL && options->size != sizeof(*options)) {
		return hf_error_set(err, -EINVAL,
				    "device options of %zu bytes: initialise "
				    "them with hf_device_options_init()",
				    options->size);
	}
	if (is_pci_address(address)) {
		snprintf(with_prefix, sizeof(with_prefix), "vfio:%s", address);
		address = with_prefix;
	}

	for (size_t i = 0; i < HF_ARRAY_LEN(backings); i++) {
		size_t len = strlen(backings[i].prefix);

		if (strncmp(address, backings[i].prefix, len) == 0) {
			return backings[i].open(
				device, address + len,
				options != NULL ? options : &defaults, err);
		}
	}
	return hf_error_set(err, -EINVAL,
			    "'%s' is no address of a controller: use "
			    "vfio:DDDD:BB:DD.F, vfio-user:SOCKET, or emulated: "
			    "with options",
			    address);
}

void hf_device_close(struct hf_device *device)
{
	if (device != NULL) {
		hf_device_release(device, HF_RELEASE_RESET);
	}
}

const char *hf_device_id(const struct hf_device *device)
{
	return device->id;
}

int hf_device_init(struct hf_device *dev, struct hf_error *err)
{
	if (dev->bar0_bytes < HF_BAR0_MIN_BYTES) {
		return hf_error_set(err, -ENODEV,
				    "%s: BAR 0 of %#llx bytes is too small for "
				    "an NVMe controller",
				    dev->id,
				    (unsigned long long)dev->bar0_bytes);
	}
	return hf_dma_init(&dev->dma, dev, err);
}

void hf_device_fini(struct hf_device *dev, enum hf_release how)
{
	hf_dma_fini(&dev->dma, how == HF_RELEASE_RESET);
}

void hf_device_release(struct hf_device *dev, enum hf_release how)
{
	if (how == HF_RELEASE_RESET) {
		dev->ops->irq_unmap_all(dev);
	}
	struct hf_ledger inherited = dev->inherited;

	hf_spare_free(dev->spare);
	dev->ops->destroy(dev, how);
	/* Its lock goes last: until then nobody takes over what is being
	 * stopped and unmapped here. */
	hf_ledger_close(&inherited);
}

/* Closed first: from then on, a new descriptor may have its number. */
void hf_device_close_fd(struct hf_device *dev, int fd)
{
	close(fd);
	__atomic_fetch_add(&dev->fds_changes, 1, __ATOMIC_RELEASE);
}

void hf_device_fd_added(struct hf_device *dev)
{
	__atomic_fetch_add(&dev->fds_changes, 1, __ATOMIC_RELEASE);
}

uint64_t hf_device_fds_changes(const struct hf_device *dev)
{
	return __atomic_load_n(&dev->fds_changes, __ATOMIC_ACQUIRE);
}

static int reg_check(const struct hf_device *dev, uint32_t offset,
		     uint32_t size_bytes)
{
	bool inside = hf_range_within(offset, size_bytes, dev->bar0_bytes);

	assert(hf_is_aligned(offset, size_bytes));
	return inside ? 0 : -ERANGE;
}

int hf_reg_read32(struct hf_device *dev, uint32_t offset, uint32_t *value)
{
	uint64_t wide = 0;

	int rc = reg_check(dev, offset, 4);
	if (rc == 0) {
		rc = dev->ops->reg_read(dev, offset, 4, &wide);
	}
	*value = (uint32_t)wide;
	return rc;
}

int hf_reg_read64(struct hf_device *dev, uint32_t offset, uint64_t *value)
{
	*value = 0;
	int rc = reg_check(dev, offset, 8);
	return rc != 0 ? rc : dev->ops->reg_read(dev, offset, 8, value);
}

int hf_reg_read_many(struct hf_device *dev, struct hf_reg_read *reads,
		     uint32_t count)
{
	int rc = 0;

	assert(count <= HF_REG_READS_MAX);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		reads[i].value = 0;
		rc = reg_check(dev, reads[i].offset, reads[i].size_bytes);
	}
	if (rc == 0 && dev->ops->reg_read_many != NULL) {
		return dev->ops->reg_read_many(dev, reads, count);
	}
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		rc = dev->ops->reg_read(dev, reads[i].offset,
					reads[i].size_bytes, &reads[i].value);
	}
	return rc;
}

void hf_reg_read_ahead(struct hf_device *dev, const struct hf_reg_read *reads,
		       uint32_t count)
{
	assert(count <= HF_REG_READS_MAX);
	if (dev->ops->reg_read_ahead != NULL) {
		dev->ops->reg_read_ahead(dev, reads, count);
	}
}

int hf_reg_write32(struct hf_device *dev, uint32_t offset, uint32_t value)
{
	int rc = reg_check(dev, offset, 4);

	return rc != 0 ? rc : dev->ops->reg_write(dev, offset, 4, value);
}

int hf_reg_write64(struct hf_device *dev, uint32_t offset, uint64_t value)
{
	int rc = reg_check(dev, offset, 8);

	return rc != 0 ? rc : dev->ops->reg_write(dev, offset, 8, value);
}

int hf_doorbell_init(struct hf_doorbell *doorbell, struct hf_device *dev,
		     uint32_t offset, struct hf_error *err)
{
	if (offset < DOORBELLS_OFFSET || reg_check(dev, offset, 4) != 0) {
		return hf_error_set(err, -ERANGE,
				    "%s: a doorbell at %#x lies outside BAR 0, "
				    "which has %#llx bytes",
				    dev->id, offset,
				    (unsigned long long)dev->bar0_bytes);
	}

	*doorbell = (struct hf_doorbell){.dev = dev, .offset = offset};
	if (dev->doorbells != NULL &&
	    hf_range_within(offset - DOORBELLS_OFFSET, 4,
			    dev->doorbells_bytes)) {
		volatile uint8_t *at =
			dev->doorbells + (offset - DOORBELLS_OFFSET);
		doorbell->word = (volatile uint32_t *)(volatile void *)at;
	}
	return 0;
}

void hf_doorbell_shadow(struct hf_doorbell *doorbell, uint32_t *shadow,
			const uint32_t *event)
{
	doorbell->shadow = shadow;
	doorbell->event = event;
	doorbell->certain = true;
}

/* Is the event index in (old, value], on a ring of any size? */
static bool passes(uint32_t old, uint32_t value, uint32_t event)
{
	return (uint16_t)(value - event - 1) < (uint16_t)(value - old);
}

bool hf_doorbell_store(struct hf_doorbell *doorbell, uint32_t value)
{
	uint32_t old = doorbell->shadowed;

	__atomic_store_n(doorbell->shadow, htole32(value), __ATOMIC_RELEASE);
	/*
	 * The device stores its event index, then looks at the shadow once
	 * more before it goes to sleep. Were our load to pass our store, each
	 * could miss the other's.
	 */
	hf_dma_mb();
	uint32_t event =
		le32toh(__atomic_load_n(doorbell->event, __ATOMIC_RELAXED));
	bool wanted = doorbell->certain || passes(old, value, event);

	doorbell->shadowed = value;
	doorbell->certain = false;
	doorbell->spared += wanted ? 0 : 1;
	return wanted;
}
