/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "emu/admin.h"
#include "emu/ctrl.h"
#include "emu/namespace.h"

#define IDENTIFY_BYTES 4096u
#define LIST_ENTRIES   (IDENTIFY_BYTES / 4)
#define CSI_NVM        0u
#define BURST_RAB      6u

static uint16_t send(struct hf_emu_cmd *cmd, const void *data)
{
	uint16_t status = hf_emu_cmd_map(cmd, IDENTIFY_BYTES, HF_EMU_TO_HOST);

	if (status == 0) {
		hf_emu_cmd_to_host(cmd, 0, data, IDENTIFY_BYTES);
	}
	return status;
}

/* ASCII, padded with spaces, not terminated. */
static void set_text(char *field, size_t len, const char *text)
{
	size_t used = strnlen(text, len);

	memset(field, ' ', len);
	memcpy(field, text, used);
}

static void identify_limits(const struct hf_emu *emu, struct nvme_id_ctrl *id)
{
	const struct hf_emu_options *o = &emu->options;

	id->mdts = o->mdts;
	id->oacs = htole16(o->oacs);
	id->acl = o->acl_z;
	id->aerl = o->aerl_z;
	id->frmw = 0x03; /* one slot, read-only */
	id->lpa = NVME_CTRL_LPA_CMD_EFFECTS | NVME_CTRL_LPA_EXTENDED;
	id->elpe = HF_EMU_ERROR_ENTRIES - 1;
	id->wctemp = htole16(343);
	id->cctemp = htole16(353);
	id->sqes = 0x66;
	id->cqes = 0x44;
	id->nn = htole32(o->nn);
	id->mnan = htole32(o->nn);
	id->oncs = htole16(o->oncs);
	id->vwc = o->vwc ? 0x07 : 0x00; /* Flush takes FFFFFFFFh too */
	id->sgls = htole32(o->sgls);
	id->crdt1 = htole16(o->crdt_100ms[0]);
	id->crdt2 = htole16(o->crdt_100ms[1]);
	id->crdt3 = htole16(o->crdt_100ms[2]);
}

static uint16_t identify_ctrl(struct hf_emu_cmd *cmd)
{
	const struct hf_emu *emu = cmd->emu;
	const struct hf_emu_options *o = &emu->options;
	struct nvme_id_ctrl id = {
		.vid = htole16(o->vid),
		.ssvid = htole16(o->ssvid),
		.rab = BURST_RAB,
		.cntlid = htole16(o->cntlid),
		.ver = htole32(o->version),
		.rtd3r = htole32(1000000),
		.rtd3e = htole32(o->rtd3e_us),
		.oaes = htole32(NVME_CTRL_OAES_NA),
		.ctratt = htole32(NVME_CTRL_CTRATT_128_ID),
		.cntrltype = 1,
	};

	set_text(id.sn, sizeof(id.sn), emu->serial);
	set_text(id.mn, sizeof(id.mn), emu->model);
	set_text(id.fr, sizeof(id.fr), emu->firmware);
	snprintf(id.subnqn, sizeof(id.subnqn), "%s", emu->subnqn);
	identify_limits(emu, &id);
	id.psd[0].mp = htole16(900); /* hundredths of a watt */
	return send(cmd, &id);
}

static uint16_t identify_ns(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint32_t nsid = cmd->sqe.nsid;
	struct nvme_id_ns id = {0};

	/* FFFFFFFFh asks for what all namespaces share: without Namespace
	 * Management there is no such thing. */
	if (nsid == 0 || nsid > emu->options.nn) {
		return HF_STATUS_DNR(NVME_SC_INVALID_NS);
	}
	const struct hf_emu_ns *ns = hf_emu_ns_find(emu, nsid);
	if (ns != NULL) {
		hf_emu_ns_identify(ns, &id);
	}
	return send(cmd, &id);
}

static uint16_t active_list(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint8_t list[IDENTIFY_BYTES] = {0};
	uint32_t nsid = cmd->sqe.nsid;

	if (nsid >= 0xfffffffe) {
		return HF_STATUS_DNR(NVME_SC_INVALID_NS);
	}
	for (uint32_t i = 0; i < LIST_ENTRIES; i++) {
		nsid = hf_emu_ns_next(emu, nsid);
		if (nsid == 0) {
			break;
		}
		hf_put_le32(list + 4 * i, nsid);
	}
	return send(cmd, list);
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != 0) {
			return false;
		}
	}
	return true;
}

static size_t add_desc(uint8_t *list, size_t at, uint8_t type,
		       const uint8_t *id, uint8_t len)
{
	if (all_zero(id, len) && type != NVME_NIDT_CSI) {
		return at;
	}
	list[at] = type;
	list[at + 1] = len;
	memcpy(list + at + 4, id, len);
	return at + 4 + len;
}

static uint16_t desc_list(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint8_t list[IDENTIFY_BYTES] = {0};
	struct hf_emu_ns_ids ids = {0};
	const uint8_t csi = CSI_NVM;
	size_t at = 0;

	if (cmd->sqe.nsid == 0 || cmd->sqe.nsid > emu->options.nn) {
		return HF_STATUS_DNR(NVME_SC_INVALID_NS);
	}
	const struct hf_emu_ns *ns = hf_emu_ns_find(emu, cmd->sqe.nsid);
	if (ns == NULL) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	hf_emu_ns_ids(ns, &ids);
	at = add_desc(list, at, NVME_NIDT_EUI64, ids.eui64, 8);
	at = add_desc(list, at, NVME_NIDT_NGUID, ids.nguid, 16);
	at = add_desc(list, at, NVME_NIDT_UUID, ids.uuid, 16);
	add_desc(list, at, NVME_NIDT_CSI, &csi, 1);
	return send(cmd, list);
}

static uint16_t csi_ns(struct hf_emu_cmd *cmd)
{
	uint8_t id[IDENTIFY_BYTES] = {0};

	if (cmd->sqe.nsid == 0 || cmd->sqe.nsid > cmd->emu->options.nn) {
		return HF_STATUS_DNR(NVME_SC_INVALID_NS);
	}
	return send(cmd, id);
}

static uint16_t csi_ctrl(struct hf_emu_cmd *cmd)
{
	const struct hf_emu_options *o = &cmd->emu->options;
	struct nvme_id_ctrl_nvm id = {
		.dmrl = o->dmrl,
		.dmrsl = htole32(o->dmrsl),
		.dmsl = htole64(o->dmsl),
	};

	return send(cmd, &id);
}

static uint16_t independent_ns(struct hf_emu_cmd *cmd)
{
	struct hf_emu *emu = cmd->emu;
	uint8_t id[IDENTIFY_BYTES] = {0};
	struct nvme_id_ns legacy = {0};

	if (cmd->sqe.nsid == 0 || cmd->sqe.nsid > emu->options.nn) {
		return HF_STATUS_DNR(NVME_SC_INVALID_NS);
	}
	const struct hf_emu_ns *ns = hf_emu_ns_find(emu, cmd->sqe.nsid);
	if (ns != NULL) {
		hf_emu_ns_identify(ns, &legacy);
		id[1] = legacy.nmic;
		id[2] = legacy.rescap;
		id[3] = legacy.fpi;
		memcpy(id + 4, &legacy.anagrpid, 4);
		id[8] = legacy.nsattr;
		id[14] = 0x01; /* ready */
	}
	return send(cmd, id);
}

static uint16_t controller_list(struct hf_emu_cmd *cmd, bool of_namespace)
{
	struct hf_emu *emu = cmd->emu;
	uint16_t first = (uint16_t)(cmd->sqe.cdw10 >> 16);
	uint8_t list[IDENTIFY_BYTES] = {0};

	if (of_namespace &&
	    (cmd->sqe.nsid == 0 || cmd->sqe.nsid > emu->options.nn)) {
		return HF_STATUS_DNR(NVME_SC_INVALID_NS);
	}
	bool attached =
		!of_namespace || hf_emu_ns_find(emu, cmd->sqe.nsid) != NULL;
	if (attached && emu->options.cntlid >= first) {
		hf_put_le16(list, 1);
		hf_put_le16(list + 2, emu->options.cntlid);
	}
	return send(cmd, list);
}

static uint16_t command_sets(struct hf_emu_cmd *cmd)
{
	uint8_t sets[IDENTIFY_BYTES] = {0};
	uint16_t cntlid = (uint16_t)(cmd->sqe.cdw10 >> 16);

	if (cntlid != 0xffff && cntlid != cmd->emu->options.cntlid) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	sets[0] = 0x01; /* one combination: the NVM command set */
	return send(cmd, sets);
}

/* The data structures of one I/O command set: only NVM's are here. */
static uint16_t identify_csi(struct hf_emu_cmd *cmd, uint8_t cns)
{
	uint32_t csi = cmd->sqe.cdw11 >> 24;

	if (csi != CSI_NVM) {
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
	switch (cns) {
	case NVME_IDENTIFY_CNS_CSI_NS:
		return csi_ns(cmd);
	case NVME_IDENTIFY_CNS_CSI_CTRL:
		return csi_ctrl(cmd);
	default:
		return active_list(cmd);
	}
}

uint16_t hf_emu_identify(struct hf_emu_cmd *cmd)
{
	uint8_t cns = (uint8_t)cmd->sqe.cdw10;

	switch (cns) {
	case NVME_IDENTIFY_CNS_NS:
		return identify_ns(cmd);
	case NVME_IDENTIFY_CNS_CTRL:
		return identify_ctrl(cmd);
	case NVME_IDENTIFY_CNS_NS_ACTIVE_LIST:
		return active_list(cmd);
	case NVME_IDENTIFY_CNS_NS_DESC_LIST:
		return desc_list(cmd);
	case NVME_IDENTIFY_CNS_CSI_NS:
	case NVME_IDENTIFY_CNS_CSI_CTRL:
	case NVME_IDENTIFY_CNS_CSI_NS_ACTIVE_LIST:
		return identify_csi(cmd, cns);
	case NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS:
		return independent_ns(cmd);
	case NVME_IDENTIFY_CNS_NS_CTRL_LIST:
		return controller_list(cmd, true);
	case NVME_IDENTIFY_CNS_CTRL_LIST:
		return controller_list(cmd, false);
	case NVME_IDENTIFY_CNS_COMMAND_SET_STRUCTURE:
		return command_sets(cmd);
	default:
		return HF_STATUS_DNR(NVME_SC_INVALID_FIELD);
	}
}
