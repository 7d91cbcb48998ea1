/* SPDX-License-Identifier: BSD-3-Clause */
/* Namespaces: the list of them, and the Identify Namespace page of one. */
#include <endian.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include <holdfast/io.h>

#include "conn.h"
#include "namespaces.h"
#include "output.h"
#include "verbs.h"

struct id_ns_options {
	bool raw;
};

static const struct args_option id_ns_options[] = {
	{.name = "raw",
	 .kind = ARGS_SWITCH,
	 .help = "write the page's 4096 bytes to standard output",
	 .offset = offsetof(struct id_ns_options, raw)},
	{0},
};

static void add_sizes(struct json_object *tree, const struct nvme_id_ns *id)
{
	out_number(tree, "nsze_blocks", le64toh(id->nsze));
	out_number(tree, "ncap_blocks", le64toh(id->ncap));
	out_number(tree, "nuse_blocks", le64toh(id->nuse));
	out_hex(tree, "nsfeat", id->nsfeat);
	out_number(tree, "nlbaf", id->nlbaf);
	out_hex(tree, "flbas", id->flbas);
	out_hex(tree, "mc", id->mc);
	out_hex(tree, "dpc", id->dpc);
	out_hex(tree, "dps", id->dps);
	out_hex(tree, "nmic", id->nmic);
	out_hex(tree, "rescap", id->rescap);
	out_hex(tree, "dlfeat", id->dlfeat);
	out_number(tree, "nawun", le16toh(id->nawun));
	out_number(tree, "nawupf", le16toh(id->nawupf));
	out_number(tree, "nacwu", le16toh(id->nacwu));
	out_number(tree, "noiob_blocks", le16toh(id->noiob));
	out_u128(tree, "nvmcap_bytes", id->nvmcap);
	out_number(tree, "npwg", le16toh(id->npwg));
	out_number(tree, "npwa", le16toh(id->npwa));
	out_number(tree, "npdg", le16toh(id->npdg));
	out_number(tree, "npda", le16toh(id->npda));
	out_number(tree, "nows", le16toh(id->nows));
	out_hex(tree, "nsattr", id->nsattr);
	out_digits(tree, "nguid", id->nguid, sizeof(id->nguid));
	out_digits(tree, "eui64", id->eui64, sizeof(id->eui64));
}

static void add_formats(struct json_object *tree, const struct nvme_id_ns *id)
{
	struct json_object *formats = out_array();
	unsigned int in_use = (id->flbas & 0xfu) | (id->flbas >> 1 & 0x30u);

	for (unsigned int i = 0; i <= id->nlbaf && i < 64; i++) {
		struct json_object *row = out_object();
		unsigned int shift = id->lbaf[i].ds;

		out_number(row, "format", i);
		out_number(row, "block_bytes",
			   shift < 64 ? UINT64_C(1) << shift : 0);
		out_number(row, "metadata_bytes", le16toh(id->lbaf[i].ms));
		out_number(row, "relative_performance", id->lbaf[i].rp & 3u);
		out_bool(row, "in_use", i == in_use);
		out_push(formats, row);
	}
	out_add(tree, "formats", formats);
}

/* The page as the controller gives it now. */
static int fetch(struct conn *conn, struct nvme_id_ns *id)
{
	struct hf_error err = {.message = ""};
	struct hf_command command = {
		.opcode = nvme_admin_identify,
		.nsid = conn->nsid,
		.cdw10 = NVME_IDENTIFY_CNS_NS,
		.data = id,
		.data_len_bytes = sizeof(*id),
	};

	if (hf_admin_command(conn->drv, &command, &err)) {
		return cli_fail(conn->args, "%s", err.message);
	}
	return CLI_OK;
}

static int id_ns_run(struct args *args)
{
	struct id_ns_options opt = {0};
	struct nvme_id_ns id;
	struct conn conn;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	/* Opening finds the only one, and refuses one that is not there. */
	int code = conn_begin(&conn, args, args->operands[0], true);
	if (code == CLI_OK) {
		code = fetch(&conn, &id);
	}
	if (code != CLI_OK) {
		return conn_end(&conn, code);
	}
	if (opt.raw) {
		fwrite(&id, sizeof(id), 1, stdout);
		return conn_end(&conn, CLI_OK);
	}

	struct json_object *tree = out_object();
	out_number(tree, "nsid", conn.nsid);
	add_sizes(tree, &id);
	add_formats(tree, &id);
	out_print(args, tree);
	return conn_end(&conn, CLI_OK);
}

const struct verb verb_id_ns = {
	.name = "id-ns",
	.summary = "show what a controller says of a namespace",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = id_ns_options,
	.description = "The fields of Identify Namespace by the names that the "
		       "specification gives them, and the block formats.",
	.example = "holdfast id-ns vfio-user:/run/nvme.sock --namespace 2",
	.run = id_ns_run,
};

/* ---------------------------------------------------------------- list-ns */

static bool any(const uint8_t *bytes, size_t len_bytes)
{
	for (size_t i = 0; i < len_bytes; i++) {
		if (bytes[i]) {
			return true;
		}
	}
	return false;
}

/* All of them for programs; for reading, the one that fits on a line. */
static void add_identifiers(const struct conn *conn, struct json_object *row,
			    const struct hf_namespace_info *info)
{
	if (conn->args->shared.output == OUT_JSON) {
		out_digits(row, "uuid", info->uuid,
			   any(info->uuid, sizeof(info->uuid))
				   ? sizeof(info->uuid)
				   : 0);
		out_digits(row, "eui64", info->eui64,
			   any(info->eui64, sizeof(info->eui64))
				   ? sizeof(info->eui64)
				   : 0);
	}
	out_digits(row, "nguid", info->nguid,
		   any(info->nguid, sizeof(info->nguid)) ? sizeof(info->nguid)
							 : 0);
}

static int add_row(struct conn *conn, struct json_object *rows, uint32_t nsid)
{
	struct hf_namespace_info info;
	struct hf_namespace *ns;
	struct hf_error err;

	if (hf_namespace_open(&ns, conn->drv, nsid, &err)) {
		cli_note(conn->args, "%s", err.message);
		return CLI_FAILED;
	}
	hf_namespace_get_info(ns, &info);
	hf_namespace_close(ns);

	struct json_object *row = out_object();
	out_number(row, "nsid", nsid);
	out_bytes(row, "size_bytes", info.blocks * info.block_bytes);
	out_number(row, "blocks", info.blocks);
	out_number(row, "block_bytes", info.block_bytes);
	out_number(row, "metadata_bytes", info.metadata_bytes);
	out_number(row, "used_blocks", info.used_blocks);
	out_bool(row, "read_only", info.read_only);
	add_identifiers(conn, row, &info);
	out_push(rows, row);
	return CLI_OK;
}

int namespaces_list(struct conn *conn, struct json_object *rows)
{
	struct hf_error err = {.message = ""};
	uint32_t count = 0;
	int code = CLI_OK;

	if (hf_namespace_list(conn->drv, NULL, 0, &count, &err)) {
		return cli_fail(conn->args, "%s", err.message);
	}

	uint32_t max = count;
	uint32_t *nsids = calloc(max ? max : 1, sizeof(*nsids));
	if (!nsids) {
		return cli_fail(conn->args, "out of memory");
	}
	if (hf_namespace_list(conn->drv, nsids, max, &count, &err)) {
		free(nsids);
		return cli_fail(conn->args, "%s", err.message);
	}
	for (uint32_t i = 0; i < count && i < max; i++) {
		if (add_row(conn, rows, nsids[i]) != CLI_OK) {
			code = CLI_FAILED;
		}
	}
	free(nsids);
	return code;
}

static int list_ns_run(struct args *args)
{
	struct conn conn;

	if (!args_parse(args, NULL)) {
		return args->exit_code;
	}

	int code = conn_begin(&conn, args, args->operands[0], false);
	if (code != CLI_OK) {
		return code;
	}

	struct json_object *tree = out_object();
	struct json_object *rows = out_array();
	code = namespaces_list(&conn, rows);
	out_add(tree, "namespaces", rows);
	out_print(args, tree);
	return conn_end(&conn, code);
}

const struct verb verb_list_ns = {
	.name = "list-ns",
	.summary = "list a controller's active namespaces",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER,
	.description = "Size, block format and identifiers of each. One that "
		       "cannot be used is named on standard error.",
	.example = "holdfast list-ns emulated:size=1G,namespaces=2",
	.run = list_ns_run,
};
