/* SPDX-License-Identifier: BSD-3-Clause */
/* What has to be so before a driver goes on where another one stopped. */
#pragma once

#include "driver/ctrl.h"
#include "driver/driver.h"

/* Its driver died, or was saved, while it reset the controller: what the ledger
 * says of rings and registers holds again once that was done anew. */
static inline bool hf_restore_is_resetting(const struct hf_driver *drv)
{
	return drv->ledger.header->resetting != 0 || drv->found_failed;
}

/* Are its numbers such as a driver can have left? */
bool hf_restore_header_is_sane(const struct hf_ledger_header *header);

/* What the ledger holds, and what @bytes says of it, without a look at the
 * controller. */
HF_MUST_CHECK int hf_restore_check_state(struct hf_driver *drv,
					 const uint8_t *bytes, size_t len_bytes,
					 struct hf_error *err);

/* Is it ready, and the one that the ledger is of? Notes that it has failed. */
HF_MUST_CHECK int hf_restore_check_registers(struct hf_driver *drv,
					     const struct hf_ctrl_live *live,
					     struct hf_error *err);

/* Are its admin queues those that the driver has taken over? */
HF_MUST_CHECK int hf_restore_check_admin(const struct hf_driver *drv,
					 const struct hf_ctrl_live *live,
					 struct hf_error *err);
