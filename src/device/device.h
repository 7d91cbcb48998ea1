/* SPDX-License-Identifier: BSD-3-Clause */
/* The port: BAR 0, interrupts, DMA, and what outlives a process. Knows no
 * NVMe. */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/barrier.h"
#include "base/log.h"
#include "base/spare.h"
#include "base/steps.h"
#include "device/dma.h"
#include "device/fdset.h"
#include "holdfast/device.h"
#include "state/ledger.h"

struct hf_device;
struct json_object;

/* How hf_device_release() leaves the function behind. */
enum hf_release {
	HF_RELEASE_RESET, /* as found: reset, unmapped, closed */
	HF_RELEASE_KEEP,  /* enabled: only this process lets go of it */
};

/* Register offsets lie below this on every backing. */
#define HF_BAR0_MIN_BYTES 0x1008u

/* One of several registers that are read together. */
struct hf_reg_read {
	uint32_t offset;
	uint32_t size_bytes; /* 4 or 8; offset is aligned to it */
	uint64_t value;      /* receives it */
};

enum {
	HF_REG_READS_MAX = 16,
};

/*
 * One backing. The functions are called with the control lock of the driver
 * held, except reg_read and reg_write, which any thread may call.
 */
struct hf_device_ops {
	const char *kind; /* "vfio", "vfio-user", "emulated" */

	/* BAR 0; size_bytes is 4 or 8, offset is aligned to it and was checked
	 * against bar0_bytes. -ENODEV when the device is known to be gone. */
	int (*reg_read)(struct hf_device *dev, uint32_t offset,
			uint32_t size_bytes, uint64_t *value);
	int (*reg_write)(struct hf_device *dev, uint32_t offset,
			 uint32_t size_bytes, uint64_t value);

	/* Several reads in one turn, in order, each as reg_read. NULL where one
	 * after the other is as good. */
	int (*reg_read_many)(struct hf_device *dev, struct hf_reg_read *reads,
			     uint32_t count);
	/* Has what a successor is going to read together ready for it, and
	 * waits a moment for that. Best effort. NULL where there is nothing to
	 * be gained. */
	void (*reg_read_ahead)(struct hf_device *dev,
			       const struct hf_reg_read *reads, uint32_t count);

	/* How many vectors there are; 1 or more on a device that works. */
	uint32_t (*irq_count)(struct hf_device *dev);
	/* Routes vector to an eventfd, for the CPU if that can be had. Asked
	 * for twice, it answers with the same one. The descriptor stays the
	 * device's and is never read: who waits uses an edge-triggered epoll
	 * set of its own, so that several can wait for one vector. */
	int (*irq_map)(struct hf_device *dev, uint32_t vector, uint32_t cpu,
		       int *eventfd, struct hf_error *err);
	void (*irq_unmap_all)(struct hf_device *dev);

	/* Lets the device reach [vaddr, vaddr + len) at iova. Whole 4 KiB
	 * pages. fd is -1 for private memory: -ENOTSUP where that cannot be.
	 * -ENOSPC at a limit of mappings, -ENOMEM at one of locked memory. */
	int (*dma_map)(struct hf_device *dev, const struct hf_dma_mapping *map,
		       struct hf_error *err);
	/* Sets map->iova, where dma.limits.physical is set. */
	int (*dma_iova)(struct hf_device *dev, struct hf_dma_mapping *map,
			struct hf_error *err);
	/* Exactly as mapped. Returns once the device cannot reach it. */
	int (*dma_unmap)(struct hf_device *dev,
			 const struct hf_dma_mapping *map,
			 struct hf_error *err);

	/* Function-level reset, where the backing has one; else -ENOTSUP. */
	int (*reset)(struct hf_device *dev, struct hf_error *err);
	/* Adds every descriptor that a successor needs, and what it has to
	 * know about them, by name. NULL: cannot outlive the process. */
	int (*carry)(struct hf_device *dev, struct hf_fdset *set,
		     struct hf_error *err);
	/* Has the system asked for the device back? NULL: it never does. */
	int (*remove_request_fd)(struct hf_device *dev);
	/* Facts for inspect: a JSON object's members, or NULL. */
	void (*inspect)(struct hf_device *dev, struct json_object *into);
	/* Frees the backing's own part; dev itself too. */
	void (*destroy)(struct hf_device *dev, enum hf_release how);
};

/* Embedded at the start of each backing's own struct. */
struct hf_device {
	const struct hf_device_ops *ops;
	char id[128]; /* "vfio:0000:01:00.0" */
	struct hf_device_options options;
	uint64_t bar0_bytes;
	/* BAR 0's doorbells from 0x1000 on, mapped; NULL: by reg_write. */
	volatile uint8_t *doorbells;
	uint64_t doorbells_bytes;
	/* Each doorbell costs a message, or an exit of a virtual machine. */
	bool doorbells_trap;
	struct hf_dma dma;
	/* Of a device that was taken over: what its driver left. */
	struct hf_ledger inherited;
	struct hf_steps steps;  /* of taking it over, and of restoring */
	struct hf_spare *spare; /* for its driver's control thread, or NULL */
	/* How often descriptors came that ops->carry shows, or went: the number
	 * of one may be another's by now. Atomic. */
	uint64_t fds_changes;
	uint16_t pci_vendor; /* 0 where it is not known */
	uint16_t pci_device;
};

/*
 * What a backing calls when its connection is up and bar0_bytes, id and
 * options are set: prepares @dev->dma, for which the caller has filled in
 * @dev->dma.limits.
 */
HF_MUST_CHECK int hf_device_init(struct hf_device *dev, struct hf_error *err);

/* Undoes hf_device_init(): unmaps and frees all DMA memory (HF_RELEASE_RESET)
 * or just this process's view of it (HF_RELEASE_KEEP). */
void hf_device_fini(struct hf_device *dev, enum hf_release how);

/* Frees a device in any state. */
void hf_device_release(struct hf_device *dev, enum hf_release how);

/* Closes a descriptor that ops->carry may have shown to somebody. */
void hf_device_close_fd(struct hf_device *dev, int fd);
/* There is one more that it shows from now on. */
void hf_device_fd_added(struct hf_device *dev);
uint64_t hf_device_fds_changes(const struct hf_device *dev);

/* Registers. Each checks the offset against BAR 0. A read of all ones is
 * given as it is: the caller knows which registers cannot hold that. */
HF_MUST_CHECK int hf_reg_read32(struct hf_device *dev, uint32_t offset,
				uint32_t *value);
HF_MUST_CHECK int hf_reg_read64(struct hf_device *dev, uint32_t offset,
				uint64_t *value);
/* @count up to HF_REG_READS_MAX. */
HF_MUST_CHECK int hf_reg_read_many(struct hf_device *dev,
				   struct hf_reg_read *reads, uint32_t count);
/* See reg_read_ahead. */
void hf_reg_read_ahead(struct hf_device *dev, const struct hf_reg_read *reads,
		       uint32_t count);
HF_MUST_CHECK int hf_reg_write32(struct hf_device *dev, uint32_t offset,
				 uint32_t value);
HF_MUST_CHECK int hf_reg_write64(struct hf_device *dev, uint32_t offset,
				 uint64_t value);

/* A doorbell: a mapped word, or a register behind a message. With a shadow,
 * memory is written first, and the doorbell only when the device asks. */
struct hf_doorbell {
	volatile uint32_t *word; /* NULL: by reg_write */
	uint32_t *shadow;        /* NULL: none */
	struct hf_device *dev;
	uint32_t offset;
	bool certain;          /* the next one goes to the register, too */
	const uint32_t *event; /* the device: tell me once it is past this */
	uint32_t shadowed;     /* as last stored */
	uint64_t spared;       /* register writes that were not needed */
};

/* @offset is checked against BAR 0 here, once. */
HF_MUST_CHECK int hf_doorbell_init(struct hf_doorbell *doorbell,
				   struct hf_device *dev, uint32_t offset,
				   struct hf_error *err);

/* Lets @shadow and @event, which the device knows of, stand for the register.
 * They are words of DMA memory. */
void hf_doorbell_shadow(struct hf_doorbell *doorbell, uint32_t *shadow,
			const uint32_t *event);

/* Stores @value into the shadow. Return: whether the device wants the register
 * written, too. */
bool hf_doorbell_store(struct hf_doorbell *doorbell, uint32_t value);

/* Rings. What was stored before is visible to the device first. */
static inline void hf_doorbell_ring(struct hf_doorbell *doorbell,
				    uint32_t value)
{
	/*
	 * The entries that the new value tells of must reach memory before
	 * it, or the device fetches a stale command.
	 */
	hf_dma_wmb();
	if (doorbell->shadow != NULL && !hf_doorbell_store(doorbell, value)) {
		return;
	}
	if (doorbell->word != NULL) {
		hf_mmio_write32(doorbell->word, htole32(value));
	} else {
		/* A device that cannot be reached any more is noticed by the
		 * deadline of what was submitted. */
		(void)!doorbell->dev->ops->reg_write(
			doorbell->dev, doorbell->offset, 4, value);
	}
}
