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

int raw_admin_submit(struct raw_admin *admin, uint64_t iova)
{
	uint8_t *sqe = admin->sq.vaddr + 64 * (admin->issued % ENTRIES);

	memset(sqe, 0, 64);
	hf_put_le32(sqe, nvme_admin_identify | admin->issued % 65535 << 16);
	hf_put_le64(sqe + 24, iova);
	hf_put_le32(sqe + 40, NVME_IDENTIFY_CNS_CTRL);
	admin->issued++;
	hf_dma_wmb();
	return hf_reg_write32(admin->dev, 0x1000, admin->issued % ENTRIES);
}

int raw_admin_reap(struct raw_admin *admin)
{
	uint32_t slot = admin->reaped % ENTRIES;
	uint32_t phase = (admin->reaped / ENTRIES + 1) & 1;
	const uint32_t *dw3 =
		(const uint32_t *)(admin->cq.vaddr + 16 * slot + 12);
	uint64_t deadline = hf_deadline_ms(5000);
	int rc;

	while ((hf_load_le32_acquire(dw3) >> 16 & 1) != phase) {
		if (hf_deadline_passed(deadline)) {
			return -ETIMEDOUT;
		}
		hf_cpu_relax();
	}
	admin->reaped++;
	rc = hf_reg_write32(admin->dev, 0x1004, admin->reaped % ENTRIES);
	return rc != 0 ? rc : (int)(hf_load_le32_acquire(dw3) >> 17);
}

int raw_admin_identify(struct raw_admin *admin, uint64_t iova)
{
	int rc = raw_admin_submit(admin, iova);

	return rc != 0 ? rc : raw_admin_reap(admin);
}

int raw_admin_claim(struct raw_admin *admin, struct hf_device *dev,
		    uint32_t issued, uint32_t reaped, struct hf_error *err)
{
	struct hf_dma_block *blocks[] = {&admin->sq, &admin->cq, &admin->data};
	int rc;

	memset(admin, 0, sizeof(*admin));
	admin->dev = dev;
	admin->issued = issued;
	admin->reaped = reaped;
	for (uint32_t i = 0; i < 3; i++) {
		rc = hf_dma_block_claim(&dev->dma, HF_DMA_OWNER_CALLER, i,
					blocks[i]);
		if (rc != 0) {
			return hf_error_set(err, rc, "block %u is lost", i);
		}
	}
	return dev->ops->irq_map(dev, 0, 0, &admin->eventfd, err);
}

bool raw_admin_interrupted(struct raw_admin *admin)
{
	struct pollfd waiting = {.fd = admin->eventfd, .events = POLLIN};

	return poll(&waiting, 1, 1000) == 1;
}
