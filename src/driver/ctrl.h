/* SPDX-License-Identifier: BSD-3-Clause */
/* A controller's registers: what it can do, enabling, disabling, shutting
 * down. Waits for nothing: each step is asked again whether it is done. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"

struct hf_ctrl {
	struct hf_device *dev;
	uint64_t cap;
	uint32_t vs;
	uint32_t queue_entries_max; /* CAP.MQES + 1 */
	uint32_t stride_bytes;      /* between doorbells */
	uint32_t ready_timeout_ms;  /* CAP.TO, or CRTO where there is one */
};

/* What a step that takes time answers until it is done. No status word and no
 * errno has this value. */
#define HF_STEP_WAIT (1 << 30)
/* The job goes back to its first step. */
#define HF_STEP_RESTART (HF_STEP_WAIT + 1)

/**
 * hf_ctrl_probe() - read what the controller can do, and refuse what cannot be
 * @ctrl: to fill
 * @dev: its device
 * @err: says what is wrong with it
 *
 * Return: 0; -ENODEV when it reads as all ones; -ENOTSUP; -EPROTO.
 */
HF_MUST_CHECK int hf_ctrl_probe(struct hf_ctrl *ctrl, struct hf_device *dev,
				struct hf_error *err);

/* What a controller that somebody else brought up is set to. */
struct hf_ctrl_live {
	uint32_t cc;
	uint32_t csts;
	uint32_t aqa;
	uint64_t asq;
	uint64_t acq;
};

enum {
	HF_CTRL_LIVE_READS = 8,
};

/* What hf_ctrl_probe_live() is going to read, for those who can ask for it
 * ahead. @cap: CAP as its last driver saw it. Return: how many. */
uint32_t hf_ctrl_live_reads(struct hf_reg_read reads[HF_CTRL_LIVE_READS],
			    uint64_t cap);

/* Has them read for a successor that probes soon. */
void hf_ctrl_read_ahead(const struct hf_ctrl *ctrl);

/* As if these had been read just now. Return: as hf_ctrl_probe(). */
HF_MUST_CHECK int hf_ctrl_assume(struct hf_ctrl *ctrl, struct hf_device *dev,
				 uint64_t cap, uint32_t vs,
				 struct hf_error *err);

/**
 * hf_ctrl_probe_live() - the same, and how it is set, in one turn
 * @ctrl: to fill
 * @dev: its device
 * @cap: CAP as its last driver saw it; says which registers there are
 * @live: to fill
 * @err: says what is wrong with it
 *
 * Return: as hf_ctrl_probe().
 */
HF_MUST_CHECK int hf_ctrl_probe_live(struct hf_ctrl *ctrl,
				     struct hf_device *dev, uint64_t cap,
				     struct hf_ctrl_live *live,
				     struct hf_error *err);

/* CSTS; -ENODEV when it reads as all ones. */
HF_MUST_CHECK int hf_ctrl_status(const struct hf_ctrl *ctrl, uint32_t *csts,
				 struct hf_error *err);

/* Is it enabled, or still on its way in or out? */
HF_MUST_CHECK int hf_ctrl_is_enabled(const struct hf_ctrl *ctrl, bool *enabled,
				     struct hf_error *err);

/* CC.EN = 0; then ask hf_ctrl_disabled(). */
HF_MUST_CHECK int hf_ctrl_disable(const struct hf_ctrl *ctrl,
				  struct hf_error *err);
/* 0 once RDY is 0, HF_STEP_WAIT, or an error. */
HF_MUST_CHECK int hf_ctrl_disabled(const struct hf_ctrl *ctrl,
				   struct hf_error *err);

/* AQA, ASQ, ACQ and CC.EN = 1; then ask hf_ctrl_enabled(). */
HF_MUST_CHECK int hf_ctrl_enable(const struct hf_ctrl *ctrl, uint64_t asq_iova,
				 uint64_t acq_iova, uint32_t entries,
				 struct hf_error *err);
/* 0 once RDY is 1, HF_STEP_WAIT, or an error (CSTS.CFS: -EIO). */
HF_MUST_CHECK int hf_ctrl_enabled(const struct hf_ctrl *ctrl,
				  struct hf_error *err);

/* CC.SHN = normal; then ask hf_ctrl_is_shut_down(). */
HF_MUST_CHECK int hf_ctrl_shut_down(const struct hf_ctrl *ctrl,
				    struct hf_error *err);
HF_MUST_CHECK int hf_ctrl_is_shut_down(const struct hf_ctrl *ctrl,
				       struct hf_error *err);
