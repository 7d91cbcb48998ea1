/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"

struct machine_device {
	struct hf_device dev;
	struct machine *machine;
	struct stream *choices;
};

static struct machine_device *device_of(struct hf_device *dev)
{
	return (struct machine_device *)(void *)dev;
}

/* One call of the port in sixteen fails, where the bytes have it so. */
static bool fails(struct hf_device *dev)
{
	return stream_u8(device_of(dev)->choices) >= 0xf0;
}

static int reg_read(struct hf_device *dev, uint32_t offset, uint32_t size_bytes,
		    uint64_t *value)
{
	return machine_read(device_of(dev)->machine, offset, size_bytes, value);
}

static int reg_write(struct hf_device *dev, uint32_t offset,
		     uint32_t size_bytes, uint64_t value)
{
	(void)size_bytes;
	return machine_write(device_of(dev)->machine, offset, value);
}

static uint32_t irq_count(struct hf_device *dev)
{
	return fails(dev) ? stream_u8(device_of(dev)->choices) %
				    (MACHINE_VECTORS + 1)
			  : MACHINE_VECTORS;
}

static int irq_map(struct hf_device *dev, uint32_t vector, uint32_t cpu,
		   int *eventfd_out, struct hf_error *err)
{
	struct machine *machine = device_of(dev)->machine;

	(void)cpu;
	if (vector >= MACHINE_VECTORS || fails(dev)) {
		return hf_error_set(err, -ENOSPC, "no vector %u", vector);
	}
	if (machine->eventfds[vector] < 0) {
		machine->eventfds[vector] =
			eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	*eventfd_out = machine->eventfds[vector];
	return 0;
}

static void irq_unmap_all(struct hf_device *dev)
{
	struct machine *machine = device_of(dev)->machine;

	for (uint32_t i = 0; i < MACHINE_VECTORS; i++) {
		if (machine->eventfds[i] >= 0) {
			close(machine->eventfds[i]);
			machine->eventfds[i] = -1;
		}
	}
}

static int dma_map(struct hf_device *dev, const struct hf_dma_mapping *map,
		   struct hf_error *err)
{
	int rc = fails(dev) ? -ENOSPC
			    : machine_map(device_of(dev)->machine, map);

	return rc == 0 ? 0 : hf_error_set(err, rc, "no room for a mapping");
}

static int dma_unmap(struct hf_device *dev, const struct hf_dma_mapping *map,
		     struct hf_error *err)
{
	(void)err;
	machine_unmap(device_of(dev)->machine, map->iova);
	return 0;
}

static int reset(struct hf_device *dev, struct hf_error *err)
{
	if (fails(dev)) {
		return hf_error_set(err, -ENOTSUP, "it cannot be reset");
	}
	machine_reset(device_of(dev)->machine);
	return 0;
}

static int carry(struct hf_device *dev, struct hf_fdset *set,
		 struct hf_error *err)
{
	return hf_dma_carry(&dev->dma, set, err);
}

static void destroy(struct hf_device *dev, enum hf_release how)
{
	hf_device_fini(dev, how);
	free(device_of(dev));
}

static const struct hf_device_ops ops = {
	.kind = "machine",
	.reg_read = reg_read,
	.reg_write = reg_write,
	.irq_count = irq_count,
	.irq_map = irq_map,
	.irq_unmap_all = irq_unmap_all,
	.dma_map = dma_map,
	.dma_unmap = dma_unmap,
	.reset = reset,
	.carry = carry,
	.destroy = destroy,
};

static struct machine_device *make(struct machine *machine,
				   struct stream *choices)
{
	struct machine_device *mine = calloc(1, sizeof(*mine));

	if (mine == NULL) {
		abort();
	}
	mine->machine = machine;
	mine->choices = choices;
	mine->dev.ops = &ops;
	snprintf(mine->dev.id, sizeof(mine->dev.id), "machine:0");
	hf_device_options_init(&mine->dev.options);
	mine->dev.options.huge_pages = HF_HUGE_PAGES_OFF;
	mine->dev.bar0_bytes = MACHINE_BAR0_BYTES;
	mine->dev.pci_vendor = 0x1b36;
	mine->dev.pci_device = 0x0010;
	return mine;
}

struct hf_device *machine_device_open(struct machine *machine,
				      struct stream *choices)
{
	struct machine_device *mine = make(machine, choices);
	struct hf_error err;

	if (hf_device_init(&mine->dev, &err) != 0) {
		free(mine);
		return NULL;
	}
	return &mine->dev;
}

static int adopt_ledger(struct hf_ledger *ledger, struct hf_fdset *set,
			struct hf_error *err)
{
	int fd = hf_fdset_take(set, "ledger");
	int rc = fd < 0 ? -ENOENT : hf_ledger_adopt(ledger, fd, err);

	if (rc != 0 && fd >= 0) {
		close(fd);
	}
	return rc;
}

struct hf_device *machine_device_adopt(struct machine *machine,
				       struct stream *choices,
				       struct hf_fdset *set)
{
	struct machine_device *mine = make(machine, choices);
	struct hf_ledger ledger = {0};
	struct hf_error err;

	if (adopt_ledger(&ledger, set, &err) != 0) {
		free(mine);
		return NULL;
	}
	if (hf_dma_adopt(&mine->dev.dma, &mine->dev, set, &err) != 0) {
		hf_ledger_close(&ledger);
		free(mine);
		return NULL;
	}
	mine->dev.inherited = ledger;
	return &mine->dev;
}
