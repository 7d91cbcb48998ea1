/* SPDX-License-Identifier: BSD-3-Clause */
/* The Identify Controller page and what the driver makes of the controller. */
#include <endian.h>
#include <stddef.h>
#include <stdio.h>

#include <nvme/types.h>

#include "conn.h"
#include "output.h"
#include "verbs.h"

struct id_ctrl_options {
	bool raw;
};

static const struct args_option id_ctrl_options[] = {
	{.name = "raw",
	 .kind = ARGS_SWITCH,
	 .help = "write the page's 4096 bytes to standard output",
	 .offset = offsetof(struct id_ctrl_options, raw)},
	{0},
};

static void add_identity(struct json_object *tree,
			 const struct nvme_id_ctrl *id)
{
	char version[32];
	uint32_t ver = le32toh(id->ver);

	out_hex(tree, "vid", le16toh(id->vid));
	out_hex(tree, "ssvid", le16toh(id->ssvid));
	out_chars(tree, "serial", id->sn, sizeof(id->sn));
	out_chars(tree, "model", id->mn, sizeof(id->mn));
	out_chars(tree, "firmware", id->fr, sizeof(id->fr));
	out_digits(tree, "ieee_oui",
		   (uint8_t[]){id->ieee[2], id->ieee[1], id->ieee[0]}, 3);
	out_number(tree, "cntlid", le16toh(id->cntlid));
	out_number(tree, "cntrltype", id->cntrltype);
	snprintf(version, sizeof(version), "%u.%u.%u", ver >> 16,
		 ver >> 8 & 0xff, ver & 0xff);
	out_text(tree, "version", version);
	out_chars(tree, "subnqn", id->subnqn, sizeof(id->subnqn));
	out_u128(tree, "tnvmcap_bytes", id->tnvmcap);
	out_u128(tree, "unvmcap_bytes", id->unvmcap);
}

static void add_abilities(struct json_object *tree,
			  const struct nvme_id_ctrl *id)
{
	out_number(tree, "rab", id->rab);
	out_hex(tree, "cmic", id->cmic);
	out_number(tree, "mdts", id->mdts);
	out_number(tree, "rtd3r_us", le32toh(id->rtd3r));
	out_number(tree, "rtd3e_us", le32toh(id->rtd3e));
	out_hex(tree, "oaes", le32toh(id->oaes));
	out_hex(tree, "ctratt", le32toh(id->ctratt));
	out_number(tree, "crdt1_100ms", le16toh(id->crdt1));
	out_number(tree, "crdt2_100ms", le16toh(id->crdt2));
	out_number(tree, "crdt3_100ms", le16toh(id->crdt3));
	out_hex(tree, "oacs", le16toh(id->oacs));
	out_number(tree, "acl", id->acl);
	out_number(tree, "aerl", id->aerl);
	out_hex(tree, "frmw", id->frmw);
	out_hex(tree, "lpa", id->lpa);
	out_number(tree, "elpe", id->elpe);
	out_number(tree, "npss", id->npss);
	out_number(tree, "wctemp_kelvin", le16toh(id->wctemp));
	out_number(tree, "cctemp_kelvin", le16toh(id->cctemp));
	out_number(tree, "kas_100ms", le16toh(id->kas));
	out_hex(tree, "sanicap", le32toh(id->sanicap));
	out_hex(tree, "anacap", id->anacap);
	out_hex(tree, "sqes", id->sqes);
	out_hex(tree, "cqes", id->cqes);
	out_number(tree, "maxcmd", le16toh(id->maxcmd));
	out_number(tree, "nn", le32toh(id->nn));
	out_hex(tree, "oncs", le16toh(id->oncs));
	out_hex(tree, "fuses", le16toh(id->fuses));
	out_hex(tree, "fna", id->fna);
	out_hex(tree, "vwc", id->vwc);
	out_number(tree, "awun", le16toh(id->awun));
	out_number(tree, "awupf", le16toh(id->awupf));
	out_number(tree, "acwu", le16toh(id->acwu));
	out_hex(tree, "sgls", le32toh(id->sgls));
	out_number(tree, "mnan", le32toh(id->mnan));
}

static struct json_object *driver_tree(struct conn *conn)
{
	struct json_object *tree = out_object();
	struct hf_driver_info info;
	char version[32];

	hf_driver_get_info(conn->drv, &info);
	out_text(tree, "device", hf_device_id(hf_driver_device(conn->drv)));
	snprintf(version, sizeof(version), "%u.%u.%u", info.version >> 16,
		 info.version >> 8 & 0xff, info.version & 0xff);
	out_text(tree, "vs", version);
	out_hex(tree, "cap", info.capabilities);
	out_number(tree, "cpus", info.cpu_count);
	out_number(tree, "io_queues_max", info.io_queues_max);
	out_number(tree, "io_queues", info.io_queues);
	out_number(tree, "fallback_cpus", info.fallback_cpus);
	out_number(tree, "queue_entries", info.queue_entries);
	out_bytes(tree, "max_transfer_bytes", info.max_transfer_bytes);
	return tree;
}

static int id_ctrl_run(struct args *args)
{
	struct id_ctrl_options opt = {0};
	struct conn conn;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	int code = conn_begin(&conn, args, args->operands[0], false);
	if (code != CLI_OK) {
		return code;
	}

	const struct nvme_id_ctrl *id = hf_driver_identify(conn.drv);
	if (opt.raw) {
		fwrite(id, sizeof(*id), 1, stdout);
		return conn_end(&conn, CLI_OK);
	}

	struct json_object *tree = out_object();
	add_identity(tree, id);
	add_abilities(tree, id);
	out_add(tree, "driver", driver_tree(&conn));
	out_print(args, tree);
	return conn_end(&conn, CLI_OK);
}

const struct verb verb_id_ctrl = {
	.name = "id-ctrl",
	.summary = "show what a controller says it is",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER,
	.options = id_ctrl_options,
	.description =
		"The fields of Identify Controller by the names that the "
		"specification gives them, and what the driver makes of "
		"the controller: queues, CPUs, largest transfer.",
	.example = "holdfast id-ctrl 0000:01:00.0\n"
		   "holdfast id-ctrl emulated:size=1G --output json",
	.run = id_ctrl_run,
};
