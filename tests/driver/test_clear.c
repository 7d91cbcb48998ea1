/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a device whose state is not to be used is stopped before its memory is
 *       unmapped and freed; what cannot be proven stopped keeps its memory.
 * Method: a driver is killed, its device adopted and cleared, while the test
 *         stands in the port and sees registers and unmapping in their order;
 *         the controller does not stop, the port not reset, in each
 *         combination.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/error.h"
#include "heir_load.h"

/* What the test saw in between. */
static struct {
	int (*reg_read)(struct hf_device *dev, uint32_t offset,
			uint32_t size_bytes, uint64_t *value);
	int (*dma_unmap)(struct hf_device *dev,
			 const struct hf_dma_mapping *map,
			 struct hf_error *err);
	uint32_t unmaps;
	uint32_t unmaps_while_ready; /* CC.EN or CSTS.RDY was 1 */
	uint32_t unmaps_unlocked;    /* another process could have adopted */
	uint32_t status_reads;
	int ledger_fd;
	int (*reset)(struct hf_device *dev, struct hf_error *err);
	uint32_t resets; /* of the function, that worked */
} seen;

static int seen_reg_read(struct hf_device *dev, uint32_t offset,
			 uint32_t size_bytes, uint64_t *value)
{
	seen.status_reads += offset == NVME_REG_CSTS ? 1 : 0;
	return seen.reg_read(dev, offset, size_bytes, value);
}

/* As another process sees it: one's own locks are not told. */
static bool is_locked(void)
{
	int status = 0;
	pid_t other = fork();

	assert_true(other >= 0);
	if (other == 0) {
		_exit(hf_ledger_owner(seen.ledger_fd) != 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(other, &status, 0), other);
	return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static int seen_dma_unmap(struct hf_device *dev,
			  const struct hf_dma_mapping *map,
			  struct hf_error *err)
{
	uint64_t csts = 1;
	uint64_t cc = 1;

	assert_int_equal(seen.reg_read(dev, NVME_REG_CC, 4, &cc), 0);
	assert_int_equal(seen.reg_read(dev, NVME_REG_CSTS, 4, &csts), 0);
	seen.unmaps++;
	seen.unmaps_unlocked += is_locked() ? 0 : 1;
	seen.unmaps_while_ready += ((cc | csts) & 1) != 0 ? 1 : 0;
	return seen.dma_unmap(dev, map, err);
}

static int seen_reset(struct hf_device *dev, struct hf_error *err)
{
	int rc = seen.reset(dev, err);

	seen.resets += rc == 0 ? 1 : 0;
	return rc;
}

/* A driver that was killed, and its device adopted. */
static void leave_and_adopt(struct rig *rig)
{
	rig->emu_options.timeout_500ms = 2;
	heirs_open(rig);
	assert_int_equal(heirs_let_go(rig, false), 0);
	assert_int_equal(heirs_adopt(rig), 0);
	assert_int_equal(hf_ledger_lock(&rig->heirs->dev->inherited, &rig->err),
			 0);
	memset(&seen, 0, sizeof(seen));
	seen.ledger_fd = rig->heirs->ledger_fd;
	seen.reg_read = rig->ops.reg_read;
	seen.dma_unmap = rig->ops.dma_unmap;
	rig->ops.reg_read = seen_reg_read;
	rig->ops.dma_unmap = seen_dma_unmap;
	seen.reset = rig->ops.reset;
	rig->ops.reset = seen_reset;
	rig->is_released = false;
}

/* Clears it, and checks that it was let go of, or was not. */
static void clear(struct rig *rig, int expected, bool released)
{
	rig->err.message[0] = '\0';
	int rc = hf_device_clear(rig->heirs->dev, &rig->err);

	if (rc != expected) {
		fail_msg("%d, '%s', and not %d", rc, rig->err.message,
			 expected);
	}
	assert_int_equal(rig->is_released, released);
	if (released) {
		rig->heirs->dev = NULL;
	}
}

static void end(struct rig *rig)
{
	hf_emu_fault_clear(rig->emu);
	heirs_end(rig);
}

static void it_has_stopped_before_its_memory_goes(void **state)
{
	struct rig *rig = *state;

	leave_and_adopt(rig);
	uint32_t disable = rig_rule(rig, "reg-cc,write,value=0/1:note");
	clear(rig, 0, true);

	assert_int_equal(rig_hits(rig, disable), 1);
	assert_true(seen.unmaps > 0);
	assert_int_equal(seen.unmaps_while_ready, 0);
	assert_int_equal(seen.unmaps_unlocked, 0);
	assert_false(is_locked());
	assert_int_equal(seen.resets, 0);
	end(rig);
}

static void one_that_does_not_stop_is_reset_as_a_function(void **state)
{
	struct rig *rig = *state;

	leave_and_adopt(rig);
	(void)rig_rule(rig, "reg-csts,read:rdy-stuck=1");
	clear(rig, 0, true);

	assert_int_equal(seen.resets, 1);
	assert_true(seen.unmaps > 0);
	end(rig);
}

/* Its own limit is a second: no more looks than milliseconds. */
static void there_is_a_pause_between_looks(void **state)
{
	struct rig *rig = *state;

	leave_and_adopt(rig);
	(void)rig_rule(rig, "reg-csts,read:rdy-stuck=1");
	clear(rig, 0, true);

	assert_in_range(seen.status_reads, 2, 1002);
	end(rig);
}

static void one_that_cannot_be_reset_loses_its_memory(void **state)
{
	struct rig *rig = *state;

	leave_and_adopt(rig);
	(void)rig_rule(rig, "reg-csts,read:rdy-stuck=1");
	rig->fail_reset = true;
	clear(rig, -EIO, true);

	assert_non_null(strstr(rig->err.message, "did not stop within 1000"));
	assert_non_null(strstr(rig->err.message, "taken away"));
	assert_true(seen.unmaps > 0);
	end(rig);
}

static void memory_of_one_that_cannot_be_stopped_is_kept(void **state)
{
	struct rig *rig = *state;

	leave_and_adopt(rig);
	(void)rig_rule(rig, "reg-csts,read:rdy-stuck=1");
	rig->fail_reset = true;
	rig->fail_dma_unmap = true;
	clear(rig, -EBUSY, false);

	assert_non_null(strstr(rig->err.message, "is kept"));
	const struct hf_device *dev = rig->heirs->dev;
	assert_non_null(dev->inherited.header);
	*(volatile uint8_t *)dev->dma.regions[0].map.vaddr = 0; /* there */

	/* Once that is over, it is cleared after all. */
	rig->fail_dma_unmap = false;
	hf_emu_fault_clear(rig->emu);
	seen.unmaps = 0;
	seen.unmaps_while_ready = 0;
	clear(rig, 0, true);
	assert_true(seen.unmaps > 0);
	assert_int_equal(seen.unmaps_while_ready, 0);
	end(rig);
}

/* Nothing but a stopped controller is a proof there. */
static void without_an_iommu_unmapping_proves_nothing(void **state)
{
	struct rig *rig = *state;

	leave_and_adopt(rig);
	(void)rig_rule(rig, "reg-csts,read:rdy-stuck=1");
	rig->fail_reset = true;
	rig->heirs->dev->dma.limits.physical = true;
	clear(rig, -EBUSY, false);

	assert_non_null(strstr(rig->err.message, "without an IOMMU"));
	assert_int_equal(seen.unmaps, 0);
	hf_emu_fault_clear(rig->emu);
	clear(rig, 0, true);
	assert_int_equal(seen.unmaps_while_ready, 0);
	end(rig);
}

static void one_that_seems_gone_loses_its_memory_too(void **state)
{
	struct rig *rig = *state;

	leave_and_adopt(rig);
	(void)rig_rule(rig, "reg-csts,read:all-ones");
	rig->fail_reset = true;
	clear(rig, -ENODEV, true);

	assert_non_null(strstr(rig->err.message, "gone"));
	assert_non_null(strstr(rig->err.message, "taken away"));
	end(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(it_has_stopped_before_its_memory_goes),
		rig_test(one_that_does_not_stop_is_reset_as_a_function),
		rig_test(there_is_a_pause_between_looks),
		rig_test(one_that_cannot_be_reset_loses_its_memory),
		rig_test(memory_of_one_that_cannot_be_stopped_is_kept),
		rig_test(without_an_iommu_unmapping_proves_nothing),
		rig_test(one_that_seems_gone_loses_its_memory_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
