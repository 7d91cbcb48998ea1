/* SPDX-License-Identifier: BSD-3-Clause */
/* The reservation commands: from entry and data to keys and hosts. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "emu/io_commands.h"

static void whoever_asks(struct hf_emu_cmd *cmd, struct hf_registrant *who)
{
	hf_emu_host_id(cmd->emu, who->host_id);
	who->cntlid = hf_emu_options_of(cmd->emu)->cntlid;
}

/* Takes @count keys out of the command's data. */
static uint16_t fetch_keys(struct hf_emu_cmd *cmd, const struct hf_emu_ns *ns,
			   uint64_t *keys, uint32_t count)
{
	if (ns->reserve == NULL) {
		return HF_STATUS_DNR(NVME_SC_INVALID_OPCODE);
	}

	uint64_t bytes = count * sizeof(keys[0]);
	uint16_t status = hf_emu_cmd_map(cmd, bytes, HF_EMU_FROM_HOST);
	if (status != 0) {
		return status;
	}
	hf_emu_cmd_from_host(cmd, 0, keys, bytes);
	for (uint32_t i = 0; i < count; i++) {
		keys[i] = hf_get_le64(&keys[i]);
	}
	return 0;
}

uint16_t hf_io_resv_register(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	struct hf_registrant who;
	uint64_t keys[2];
	uint16_t status = fetch_keys(cmd, ns, keys, 2);

	if (status != 0) {
		return status;
	}
	whoever_asks(cmd, &who);
	return hf_reservations_register(ns->reserve, &who, cmd->sqe.cdw10,
					keys[0], keys[1]);
}

uint16_t hf_io_resv_acquire(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	struct hf_registrant who;
	uint64_t keys[2];
	uint16_t status = fetch_keys(cmd, ns, keys, 2);

	if (status != 0) {
		return status;
	}
	whoever_asks(cmd, &who);
	return hf_reservations_acquire(ns->reserve, &who, cmd->sqe.cdw10,
				       keys[0], keys[1]);
}

uint16_t hf_io_resv_release(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	struct hf_registrant who;
	uint64_t key;
	uint16_t status = fetch_keys(cmd, ns, &key, 1);

	if (status != 0) {
		return status;
	}
	whoever_asks(cmd, &who);
	return hf_reservations_release(ns->reserve, &who, cmd->sqe.cdw10, key);
}

uint16_t hf_io_resv_report(struct hf_emu_cmd *cmd, struct hf_emu_ns *ns)
{
	uint64_t wanted = ((uint64_t)cmd->sqe.cdw10 + 1) * 4;
	void *report = NULL;
	size_t len = 0;

	if (ns->reserve == NULL) {
		return HF_STATUS_DNR(NVME_SC_INVALID_OPCODE);
	}

	uint16_t status = hf_emu_cmd_map(cmd, wanted, HF_EMU_TO_HOST);
	if (status == 0) {
		status = hf_reservations_report(
			ns->reserve, (cmd->sqe.cdw11 & 1) != 0, &report, &len);
	}
	if (status != 0) {
		return status;
	}

	/* As much as there is room for; the rest of the room is cleared. */
	len = (size_t)HF_MIN(len, wanted);
	hf_emu_cmd_to_host(cmd, 0, report, len);
	hf_emu_cmd_zero_host(cmd, len, wanted - len);
	free(report);
	return 0;
}
