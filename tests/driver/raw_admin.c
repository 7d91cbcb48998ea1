/* SPDX-License-Identifier: BSD-3-Clause */
#include "raw_admin.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>

#include <nvme/types.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"

/* Few, so that the rings wrap in a test. */
#define ENTRIES 8u

static int wait_ready(struct hf_device *dev, uint32_t ready)
{
	uint64_t deadline = hf_deadline_ms(10000);
	uint32_t csts = 0;
	int rc;

	do {
		rc = hf_reg_read32(dev, NVME_REG_CSTS, &csts);
		if (rc != 0 || (csts & 1) == ready) {
			return rc;
		}
	} while (!hf_deadline_passed(deadline));
	return -ETIMEDOUT;
}

static int enable(struct raw_admin *admin)
{
	struct hf_device *dev = admin->dev;
	int rc = hf_reg_write32(dev, NVME_REG_CC, 0);

	if (rc == 0) {
		rc = wait_ready(dev, 0);
	}
	if (rc == 0) {
		rc = hf_reg_write32(dev, NVME_REG_AQA,
				    (ENTRIES - 1) << 16 | (ENTRIES - 1));
	}
	if (rc == 0) {
		rc = hf_reg_write64(dev, NVME_REG_ASQ, admin->sq.iova);
	}
	if (rc == 0) {
		rc = hf_reg_write64(dev, NVME_REG_ACQ, admin->cq.iova);
	}
	if (rc == 0) {
		/* Entries of 16 and 64 bytes, pages of 4 KiB, enabled. */
		rc = hf_reg_write32(dev, NVME_REG_CC, 4u << 20 | 6u << 16 | 1);
	}
	return rc == 0 ? wait_ready(dev, 1) : rc;
}

int raw_admin_start(struct raw_admin *admin, struct hf_device *dev,
		    struct hf_error *err)
{
	struct hf_dma_block *blocks[] = {&admin->sq, &admin->cq, &admin->data};
	int rc;

	memset(admin, 0, sizeof(*admin));
	admin->dev = dev;
	for (uint32_t i = 0; i < 3; i++) {
		rc = hf_dma_block_alloc(&dev->dma, 4096, HF_DMA_OWNER_CALLER, i,
					blocks[i], err);
		if (rc != 0) {
			return rc;
		}
	}
	rc = dev->ops->irq_map(dev, 0, 0, &admin->eventfd, err);
	if (rc != 0) {
		return rc;
	}
	rc = enable(admin);
	return rc == 0 ? 0
		       : hf_error_set(err, rc, "the controller does not start");
}

void raw_admin_stop(struct raw_admin *admin)
{
	(void)!hf_reg_write32(admin->dev, NVME_REG_CC, 0);
	(void)!wait_ready(admin->dev, 0);
	admin->dev->ops->irq_unmap_all(admin->dev);
	hf_dma_block_free(&admin->dev->dma, &admin->sq);
	hf_dma_block_free(&admin->dev->dma, &admin->cq);
	hf_dma_block_free(&admin->dev->dma, &admin->data);
}

/* The completion's status, once it is there; phase is its lap's. */
static int reap(struct raw_admin *admin, uint32_t slot, uint32_t phase)
{
	const uint32_t *dw3 =
		(const uint32_t *)(admin->cq.vaddr + 16 * slot + 12);
	uint64_t deadline = hf_deadline_ms(5000);

	while ((hf_load_le32_acquire(dw3) >> 16 & 1) != phase) {
		if (hf_deadline_passed(deadline)) {
			return -ETIMEDOUT;
		}
		hf_cpu_relax();
	}
	return (int)(hf_load_le32_acquire(dw3) >> 17);
}

int raw_admin_identify(struct raw_admin *admin, uint64_t iova)
{
	uint32_t slot = admin->issued % ENTRIES;
	uint32_t phase = (admin->issued / ENTRIES + 1) & 1;
	uint8_t *sqe = admin->sq.vaddr + 64 * slot;
	int status;

	memset(sqe, 0, 64);
	hf_put_le32(sqe, nvme_admin_identify | admin->issued % 65535 << 16);
	hf_put_le64(sqe + 24, iova);
	hf_put_le32(sqe + 40, NVME_IDENTIFY_CNS_CTRL);
	admin->issued++;
	hf_dma_wmb();
	if (hf_reg_write32(admin->dev, 0x1000, admin->issued % ENTRIES) != 0) {
		return -ENODEV;
	}
	status = reap(admin, slot, phase);
	if (status >= 0 &&
	    hf_reg_write32(admin->dev, 0x1004, admin->issued % ENTRIES) != 0) {
		return -ENODEV;
	}
	return status;
}

bool raw_admin_interrupted(struct raw_admin *admin)
{
	struct pollfd waiting = {.fd = admin->eventfd, .events = POLLIN};

	return poll(&waiting, 1, 1000) == 1;
}
