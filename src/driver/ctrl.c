/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/ctrl.h"

#include <errno.h>
#include <string.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/error.h"

#define CRTO_OFFSET 0x68u
/* CAP.TO counts half seconds, and so does CRTO. */
#define TIMEOUT_UNIT_MS 500u
/* CC: 64-byte submission and 16-byte completion entries, as powers of two. */
#define CC_ENTRY_SIZES (6u << 16 | 4u << 20)
#define CC_ENABLE      1u
#define CC_SHN_MASK    (3u << 14)
#define CC_SHN_NORMAL  (1u << 14)
#define CSTS_RDY       1u
#define CSTS_CFS       2u
#define CSTS_SHST_MASK (3u << 2)
#define CSTS_SHST_DONE (2u << 2)
/* CAP.CRMS: "with media" and "independent of media" are told apart in CRTO. */
#define CAP_CRMS_SHIFT 59

static int gone(const struct hf_ctrl *ctrl, const char *what,
		struct hf_error *err)
{
	return hf_error_set(err, -ENODEV,
			    "%s: %s reads as all ones: the device is gone",
			    ctrl->dev->id, what);
}

static int unreadable(const struct hf_ctrl *ctrl, int rc, const char *what,
		      struct hf_error *err)
{
	return hf_error_set(err, rc, "%s: %s cannot be accessed: %s",
			    ctrl->dev->id, what, strerrordesc_np(-rc));
}

static int read_reg32(const struct hf_ctrl *ctrl, uint32_t offset,
		      const char *name, uint32_t *value, struct hf_error *err)
{
	int rc = hf_reg_read32(ctrl->dev, offset, value);

	if (rc != 0) {
		return unreadable(ctrl, rc, name, err);
	}
	return *value == UINT32_MAX ? gone(ctrl, name, err) : 0;
}

static int write_reg32(const struct hf_ctrl *ctrl, uint32_t offset,
		       const char *name, uint32_t value, struct hf_error *err)
{
	int rc = hf_reg_write32(ctrl->dev, offset, value);

	return rc != 0 ? unreadable(ctrl, rc, name, err) : 0;
}

/* CRTO counts where CAP.CRMS says that there is one. */
static bool has_crto(uint64_t cap)
{
	return (cap >> CAP_CRMS_SHIFT & 3) != 0;
}

static uint32_t ready_timeout_ms(uint64_t cap, uint32_t crto)
{
	uint32_t units = (uint32_t)NVME_CAP_TO(cap);

	if (crto != UINT32_MAX) {
		units = HF_MAX(units, crto & 0xffffu);
	}
	/* Some controllers say 0 and mean "soon". */
	return HF_MAX(units, 2u) * TIMEOUT_UNIT_MS;
}

static int check_capabilities(const struct hf_ctrl *ctrl, struct hf_error *err)
{
	const char *id = ctrl->dev->id;

	if (NVME_CAP_MPSMIN(ctrl->cap) != 0) {
		return hf_error_set(err, -ENOTSUP,
				    "%s: the smallest page of the controller "
				    "is of %u bytes, and only 4096 can be used",
				    id, 4096u << NVME_CAP_MPSMIN(ctrl->cap));
	}
	if (NVME_CAP_MQES(ctrl->cap) == 0) {
		return hf_error_set(err, -EPROTO,
				    "%s: CAP.MQES is 0: a queue of one entry "
				    "cannot hold a command",
				    id);
	}
	/* Bit 0: the NVM command set; bit 6: one or more I/O command sets. */
	if ((NVME_CAP_CSS(ctrl->cap) & 0x41) == 0) {
		return hf_error_set(err, -ENOTSUP,
				    "%s: the controller has no NVM command set "
				    "(CAP.CSS is %#x)",
				    id, (unsigned int)NVME_CAP_CSS(ctrl->cap));
	}
	return 0;
}

static int take_capabilities(struct hf_ctrl *ctrl, uint32_t crto,
			     struct hf_error *err)
{
	if (ctrl->cap == UINT64_MAX) {
		return gone(ctrl, "CAP", err);
	}
	if (ctrl->vs == UINT32_MAX) {
		return gone(ctrl, "VS", err);
	}
	int rc = check_capabilities(ctrl, err);
	if (rc != 0) {
		return rc;
	}

	ctrl->queue_entries_max = (uint32_t)NVME_CAP_MQES(ctrl->cap) + 1;
	ctrl->stride_bytes = 4u << NVME_CAP_DSTRD(ctrl->cap);
	ctrl->ready_timeout_ms = ready_timeout_ms(ctrl->cap, crto);
	return 0;
}

int hf_ctrl_probe(struct hf_ctrl *ctrl, struct hf_device *dev,
		  struct hf_error *err)
{
	uint32_t crto = UINT32_MAX;

	ctrl->dev = dev;
	int rc = hf_reg_read64(dev, NVME_REG_CAP, &ctrl->cap);
	if (rc != 0) {
		return unreadable(ctrl, rc, "CAP", err);
	}
	if (ctrl->cap == UINT64_MAX) {
		return gone(ctrl, "CAP", err);
	}
	rc = read_reg32(ctrl, NVME_REG_VS, "VS", &ctrl->vs, err);
	if (rc != 0) {
		return rc;
	}
	if (has_crto(ctrl->cap) && hf_reg_read32(dev, CRTO_OFFSET, &crto)) {
		crto = UINT32_MAX;
	}
	return take_capabilities(ctrl, crto, err);
}

int hf_ctrl_assume(struct hf_ctrl *ctrl, struct hf_device *dev, uint64_t cap,
		   uint32_t vs, struct hf_error *err)
{
	*ctrl = (struct hf_ctrl){.dev = dev, .cap = cap, .vs = vs};
	return take_capabilities(ctrl, UINT32_MAX, err);
}

uint32_t hf_ctrl_live_reads(struct hf_reg_read reads[HF_CTRL_LIVE_READS],
			    uint64_t cap)
{
	const struct hf_reg_read all[HF_CTRL_LIVE_READS] = {
		{.offset = NVME_REG_CAP, .size_bytes = 8},
		{.offset = NVME_REG_VS, .size_bytes = 4},
		{.offset = NVME_REG_CC, .size_bytes = 4},
		{.offset = NVME_REG_CSTS, .size_bytes = 4},
		{.offset = NVME_REG_AQA, .size_bytes = 4},
		{.offset = NVME_REG_ASQ, .size_bytes = 8},
		{.offset = NVME_REG_ACQ, .size_bytes = 8},
		{.offset = CRTO_OFFSET, .size_bytes = 4},
	};

	memcpy(reads, all, sizeof(all));
	return HF_CTRL_LIVE_READS - (has_crto(cap) ? 0 : 1);
}

void hf_ctrl_read_ahead(const struct hf_ctrl *ctrl)
{
	struct hf_reg_read reads[HF_CTRL_LIVE_READS];

	hf_reg_read_ahead(ctrl->dev, reads,
			  hf_ctrl_live_reads(reads, ctrl->cap));
}

int hf_ctrl_probe_live(struct hf_ctrl *ctrl, struct hf_device *dev,
		       uint64_t cap, struct hf_ctrl_live *live,
		       struct hf_error *err)
{
	struct hf_reg_read reads[HF_CTRL_LIVE_READS];
	uint32_t count = hf_ctrl_live_reads(reads, cap);

	ctrl->dev = dev;
	int rc = hf_reg_read_many(dev, reads, count);
	if (rc != 0) {
		return unreadable(ctrl, rc, "CAP", err);
	}
	ctrl->cap = reads[0].value;
	ctrl->vs = (uint32_t)reads[1].value;
	*live = (struct hf_ctrl_live){
		.cc = (uint32_t)reads[2].value,
		.csts = (uint32_t)reads[3].value,
		.aqa = (uint32_t)reads[4].value,
		.asq = reads[5].value,
		.acq = reads[6].value,
	};
	rc = take_capabilities(
		ctrl, has_crto(cap) ? (uint32_t)reads[7].value : UINT32_MAX,
		err);
	if (rc == 0 && live->csts == UINT32_MAX) {
		rc = gone(ctrl, "CSTS", err);
	}
	return rc;
}

int hf_ctrl_status(const struct hf_ctrl *ctrl, uint32_t *csts,
		   struct hf_error *err)
{
	return read_reg32(ctrl, NVME_REG_CSTS, "CSTS", csts, err);
}

int hf_ctrl_is_enabled(const struct hf_ctrl *ctrl, bool *enabled,
		       struct hf_error *err)
{
	uint32_t cc;
	uint32_t csts;

	int rc = read_reg32(ctrl, NVME_REG_CC, "CC", &cc, err);
	if (rc == 0) {
		rc = hf_ctrl_status(ctrl, &csts, err);
	}
	if (rc == 0) {
		*enabled = (cc & CC_ENABLE) != 0 || (csts & CSTS_RDY) != 0;
	}
	return rc;
}

int hf_ctrl_disable(const struct hf_ctrl *ctrl, struct hf_error *err)
{
	uint32_t cc;

	int rc = read_reg32(ctrl, NVME_REG_CC, "CC", &cc, err);
	if (rc != 0) {
		return rc;
	}
	return write_reg32(ctrl, NVME_REG_CC, "CC",
			   cc & ~(CC_ENABLE | CC_SHN_MASK), err);
}

int hf_ctrl_disabled(const struct hf_ctrl *ctrl, struct hf_error *err)
{
	uint32_t csts;

	int rc = hf_ctrl_status(ctrl, &csts, err);
	if (rc != 0) {
		return rc;
	}
	return (csts & CSTS_RDY) != 0 ? HF_STEP_WAIT : 0;
}

int hf_ctrl_enable(const struct hf_ctrl *ctrl, uint64_t asq_iova,
		   uint64_t acq_iova, uint32_t entries, struct hf_error *err)
{
	uint32_t aqa = (entries - 1) << 16 | (entries - 1);

	int rc = write_reg32(ctrl, NVME_REG_AQA, "AQA", aqa, err);
	if (rc != 0) {
		return rc;
	}
	rc = hf_reg_write64(ctrl->dev, NVME_REG_ASQ, asq_iova);
	if (rc != 0) {
		return unreadable(ctrl, rc, "ASQ", err);
	}
	rc = hf_reg_write64(ctrl->dev, NVME_REG_ACQ, acq_iova);
	if (rc != 0) {
		return unreadable(ctrl, rc, "ACQ", err);
	}
	/* CC.CSS: all supported command sets (6) where there are several. */
	uint32_t css = (NVME_CAP_CSS(ctrl->cap) & 0x1) == 0 ? 6u << 4 : 0;
	return write_reg32(ctrl, NVME_REG_CC, "CC",
			   CC_ENTRY_SIZES | css | CC_ENABLE, err);
}

int hf_ctrl_enabled(const struct hf_ctrl *ctrl, struct hf_error *err)
{
	uint32_t csts;

	int rc = hf_ctrl_status(ctrl, &csts, err);
	if (rc != 0) {
		return rc;
	}
	if ((csts & CSTS_CFS) != 0) {
		return hf_error_set(err, -EIO,
				    "%s: the controller failed while it was "
				    "being enabled (CSTS %#x, fatal status)",
				    ctrl->dev->id, csts);
	}
	return (csts & CSTS_RDY) != 0 ? 0 : HF_STEP_WAIT;
}

int hf_ctrl_shut_down(const struct hf_ctrl *ctrl, struct hf_error *err)
{
	uint32_t cc;

	int rc = read_reg32(ctrl, NVME_REG_CC, "CC", &cc, err);
	if (rc != 0) {
		return rc;
	}
	return write_reg32(ctrl, NVME_REG_CC, "CC",
			   (cc & ~CC_SHN_MASK) | CC_SHN_NORMAL, err);
}

int hf_ctrl_is_shut_down(const struct hf_ctrl *ctrl, struct hf_error *err)
{
	uint32_t csts;

	int rc = hf_ctrl_status(ctrl, &csts, err);
	if (rc != 0) {
		return rc;
	}
	if ((csts & CSTS_CFS) != 0) {
		return hf_error_set(err, -EIO,
				    "%s: the controller failed while it was "
				    "being shut down (CSTS %#x, fatal status)",
				    ctrl->dev->id, csts);
	}
	return (csts & CSTS_SHST_MASK) == CSTS_SHST_DONE ? 0 : HF_STEP_WAIT;
}
