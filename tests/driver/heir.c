/* SPDX-License-Identifier: BSD-3-Clause */
#include "heir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"

/* A device of its own with a predecessor's memory; the controller is reached
 * through the first one, which it knows. */
struct heir {
	struct hf_device dev;
	struct heirs *heirs;
};

static struct heirs *heirs_of(struct hf_device *dev)
{
	return ((struct heir *)(void *)dev)->heirs;
}

static int heir_reg_read(struct hf_device *dev, uint32_t offset,
			 uint32_t size_bytes, uint64_t *value)
{
	struct heirs *heirs = heirs_of(dev);

	return heirs->emulated->reg_read(heirs->first, offset, size_bytes,
					 value);
}

static int heir_reg_write(struct hf_device *dev, uint32_t offset,
			  uint32_t size_bytes, uint64_t value)
{
	struct heirs *heirs = heirs_of(dev);

	return heirs->emulated->reg_write(heirs->first, offset, size_bytes,
					  value);
}

static uint32_t heir_irq_count(struct hf_device *dev)
{
	struct heirs *heirs = heirs_of(dev);

	return heirs->emulated->irq_count(heirs->first);
}

static int heir_irq_map(struct hf_device *dev, uint32_t vector, uint32_t cpu,
			int *eventfd, struct hf_error *err)
{
	struct heirs *heirs = heirs_of(dev);

	return heirs->emulated->irq_map(heirs->first, vector, cpu, eventfd,
					err);
}

static void heir_irq_unmap_all(struct hf_device *dev)
{
	struct heirs *heirs = heirs_of(dev);

	heirs->emulated->irq_unmap_all(heirs->first);
}

static int heir_dma_map(struct hf_device *dev, const struct hf_dma_mapping *map,
			struct hf_error *err)
{
	struct heirs *heirs = heirs_of(dev);

	return heirs->emulated->dma_map(heirs->first, map, err);
}

static int heir_dma_unmap(struct hf_device *dev,
			  const struct hf_dma_mapping *map,
			  struct hf_error *err)
{
	struct heirs *heirs = heirs_of(dev);

	return heirs->emulated->dma_unmap(heirs->first, map, err);
}

static int heir_reset(struct hf_device *dev, struct hf_error *err)
{
	struct heirs *heirs = heirs_of(dev);

	return heirs->emulated->reset(heirs->first, err);
}

static void heir_destroy(struct hf_device *dev, enum hf_release how)
{
	hf_device_fini(dev, how);
	free(dev);
}

static const struct hf_device_ops heir_ops = {
	.kind = "heir",
	.reg_read = heir_reg_read,
	.reg_write = heir_reg_write,
	.irq_count = heir_irq_count,
	.irq_map = heir_irq_map,
	.irq_unmap_all = heir_irq_unmap_all,
	.dma_map = heir_dma_map,
	.dma_unmap = heir_dma_unmap,
	.reset = heir_reset,
	.destroy = heir_destroy,
};

static int carry(struct hf_device *dev, struct hf_fdset *set,
		 struct hf_error *err)
{
	return hf_dma_carry(&dev->dma, set, err);
}

/* The controller reaches memory by the mapping of the process that mapped it;
 * so that of a process that is gone stays here. */
static void keep_destroy(struct hf_device *dev, enum hf_release how)
{
	struct rig *rig = hf_container_of(dev->ops, struct rig, ops);

	if (how == HF_RELEASE_RESET) {
		rig->is_released = true;
		if (dev == rig->heirs->first) {
			rig->heirs->first = NULL;
		}
		rig->real->destroy(dev, how);
		return;
	}
	assert_true(rig->heirs->kept_count < HEIRS_MAX);
	rig->heirs->kept[rig->heirs->kept_count] = dev;
	rig->heirs->kept_count++;
}

void heirs_begin(struct rig *rig)
{
	rig->heirs = calloc(1, sizeof(*rig->heirs));
	assert_non_null(rig->heirs);
	rig->heirs->ledger_fd = -1;
	rig->heirs->first = rig->drv->dev;
	rig->heirs->emulated = rig->real;
	rig->ops.destroy = keep_destroy;
	rig->ops.carry = carry;
}

static void forget_left(struct heirs *heirs)
{
	if (heirs->set != NULL) {
		hf_fdset_close(heirs->set);
		free(heirs->set);
		heirs->set = NULL;
	}
	if (heirs->ledger_fd >= 0) {
		close(heirs->ledger_fd);
		heirs->ledger_fd = -1;
	}
	free(heirs->bytes);
	heirs->bytes = NULL;
	heirs->len_bytes = 0;
}

void heirs_end(struct rig *rig)
{
	struct heirs *heirs = rig->heirs;

	if (heirs->dev != NULL) {
		hf_device_release(heirs->dev, HF_RELEASE_KEEP);
	}
	rig_close(rig);
	forget_left(heirs);
	for (uint32_t i = heirs->kept_count; i-- > 0;) {
		struct hf_device *dev = heirs->kept[i];

		if (dev == heirs->first) {
			dev->ops = heirs->emulated;
			heirs->emulated->destroy(dev, HF_RELEASE_RESET);
		} else {
			hf_device_fini(dev, HF_RELEASE_KEEP);
			free(dev);
		}
	}
	free(heirs);
	rig->heirs = NULL;
}

static void keep_descriptors(struct rig *rig)
{
	struct heirs *heirs = rig->heirs;

	forget_left(heirs);
	heirs->set = calloc(1, sizeof(*heirs->set));
	assert_non_null(heirs->set);
	hf_fdset_init(heirs->set);
	assert_int_equal(
		hf_dma_carry(&rig->drv->dev->dma, heirs->set, &rig->err), 0);
	for (uint32_t i = 0; i < heirs->set->count; i++) {
		heirs->set->entries[i].fd = dup(heirs->set->entries[i].fd);
		assert_true(heirs->set->entries[i].fd >= 0);
	}
	heirs->ledger_fd = dup(rig->drv->ledger.fd);
}

int heirs_let_go(struct rig *rig, bool planned)
{
	struct heirs *heirs = rig->heirs;
	uint8_t *bytes = NULL;
	size_t len_bytes = 0;
	int rc = 0;

	if (planned) {
		rc = hf_driver_save(rig->drv, &bytes, &len_bytes, &rig->err);
		if (rc != 0) {
			return rc;
		}
	}
	keep_descriptors(rig);
	heirs->bytes = bytes;
	heirs->len_bytes = len_bytes;
	hf_driver_leave(rig->drv);
	rig->drv = NULL;
	rig->ns = NULL;
	return 0;
}

int heirs_adopt(struct rig *rig)
{
	struct heirs *heirs = rig->heirs;
	struct heir *heir = calloc(1, sizeof(*heir));

	assert_non_null(heir);
	heir->heirs = heirs;
	heir->dev.bar0_bytes = heirs->first->bar0_bytes;
	heir->dev.pci_vendor = heirs->first->pci_vendor;
	heir->dev.pci_device = heirs->first->pci_device;
	heir->dev.dma.limits.private_memory = true;
	snprintf(heir->dev.id, sizeof(heir->dev.id), "%s", heirs->first->id);
	rig->real = &heir_ops;
	/* What the rig does not stand in between of. */
	rig->ops.reg_read = heir_reg_read;
	rig->ops.irq_unmap_all = heir_irq_unmap_all;
	rig->ops.inspect = NULL;
	rig->ops.remove_request_fd = NULL;
	heir->dev.ops = &rig->ops;
	int rc =
		hf_dma_adopt(&heir->dev.dma, &heir->dev, heirs->set, &rig->err);
	if (rc == 0) {
		rc = hf_ledger_adopt(&heir->dev.inherited,
				     dup(heirs->ledger_fd), &rig->err);
	}
	if (rc != 0) {
		hf_dma_fini(&heir->dev.dma, false);
		free(heir);
		return rc;
	}
	heirs->dev = &heir->dev;
	return 0;
}

int heirs_restore(struct rig *rig)
{
	struct heirs *heirs = rig->heirs;
	int rc = heirs->dev != NULL ? 0 : heirs_adopt(rig);

	if (rc == 0) {
		rc = hf_driver_restore(&rig->drv, heirs->dev, heirs->bytes,
				       heirs->len_bytes, &rig->options,
				       &rig->err);
	}
	if (rc == 0) {
		heirs->dev = NULL;
	} else {
		rig->drv = NULL;
	}
	return rc;
}

void heirs_replace(struct rig *rig, bool planned)
{
	if (heirs_let_go(rig, planned) != 0 || heirs_restore(rig) != 0 ||
	    hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err) != 0) {
		fail_msg("%s", rig->err.message);
	}
}
