/* SPDX-License-Identifier: BSD-3-Clause */
/* Get Features and Set Features, by name or number. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include <holdfast/io.h>

#include "conn.h"
#include "file.h"
#include "output.h"
#include "size.h"
#include "verbs.h"

/* Names for people; what has data says how much. */
static const struct feature {
	const char *name;
	uint8_t id;
	uint16_t data_bytes;
} features[] = {
	{"arbitration", NVME_FEAT_FID_ARBITRATION, 0},
	{"power-management", NVME_FEAT_FID_POWER_MGMT, 0},
	{"lba-range", NVME_FEAT_FID_LBA_RANGE, 4096},
	{"temperature-threshold", NVME_FEAT_FID_TEMP_THRESH, 0},
	{"error-recovery", NVME_FEAT_FID_ERR_RECOVERY, 0},
	{"volatile-write-cache", NVME_FEAT_FID_VOLATILE_WC, 0},
	{"number-of-queues", NVME_FEAT_FID_NUM_QUEUES, 0},
	{"interrupt-coalescing", NVME_FEAT_FID_IRQ_COALESCE, 0},
	{"interrupt-vector", NVME_FEAT_FID_IRQ_CONFIG, 0},
	{"write-atomicity", NVME_FEAT_FID_WRITE_ATOMIC, 0},
	{"async-event", NVME_FEAT_FID_ASYNC_EVENT, 0},
	{"autonomous-power", NVME_FEAT_FID_AUTO_PST, 256},
	{"timestamp", NVME_FEAT_FID_TIMESTAMP, 8},
	{"host-behavior", NVME_FEAT_FID_HOST_BEHAVIOR, 512},
	{"software-progress", NVME_FEAT_FID_SW_PROGRESS, 0},
	{"host-id", NVME_FEAT_FID_HOST_ID, 8},
	{"reservation-mask", NVME_FEAT_FID_RESV_MASK, 0},
	{"reservation-persistence", NVME_FEAT_FID_RESV_PERSIST, 0},
	{"write-protection", NVME_FEAT_FID_WRITE_PROTECT, 0},
};

#define FEATURE_COUNT (sizeof(features) / sizeof(features[0]))

#define FEATURE_HELP                                                           \
	"its number, or a name such as arbitration, power-management, "        \
	"temperature-threshold, error-recovery, volatile-write-cache, "        \
	"number-of-queues, interrupt-coalescing, interrupt-vector, "           \
	"write-atomicity, async-event, timestamp, host-id"

/* A known name, or a number from 1 to 255. */
static int find_feature(struct args *args, const char *word,
			struct feature *feature)
{
	uint64_t number;

	for (size_t i = 0; i < FEATURE_COUNT; i++) {
		if (strcmp(features[i].name, word) == 0) {
			*feature = features[i];
			return CLI_OK;
		}
	}
	if (!size_parse(word, &number) || number < 1 || number > 255) {
		return cli_usage(args,
				 "--feature takes a number from 1 to 255 or a "
				 "name such as %s, not '%s'",
				 features[5].name, word);
	}
	*feature = (struct feature){.name = "", .id = (uint8_t)number};
	for (size_t i = 0; i < FEATURE_COUNT; i++) {
		if (features[i].id == number) {
			*feature = features[i];
		}
	}
	return CLI_OK;
}

static struct json_object *feature_tree(const struct feature *feature,
					uint32_t nsid, uint32_t value)
{
	struct json_object *tree = out_object();

	out_hex(tree, "feature", feature->id);
	out_text(tree, "name", feature->name);
	if (nsid) {
		out_number(tree, "nsid", nsid);
	}
	out_hex(tree, "value", value);
	return tree;
}

/* ------------------------------------------------------------ get-feature */

static const char *const select_words[] = {"current", "default", "saved",
					   "supported", NULL};

struct get_options {
	const char *feature;
	int select;
	uint64_t cdw11;
	uint64_t data_len;
};

#define GET(field) offsetof(struct get_options, field)

static const struct args_option get_options[] = {
	{.name = "feature",
	 .letter = 'f',
	 .kind = ARGS_TEXT,
	 .value = "F",
	 .help = FEATURE_HELP,
	 .offset = GET(feature),
	 .required = true},
	{.name = "select",
	 .letter = 's',
	 .kind = ARGS_CHOICE,
	 .value = "WHICH",
	 .help = "current (the default), default, saved or supported",
	 .offset = GET(select),
	 .choices = select_words},
	{.name = "cdw11",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "command dword 11, for features that take one",
	 .offset = GET(cdw11),
	 .max = UINT32_MAX},
	{.name = "data-len",
	 .letter = 'l',
	 .kind = ARGS_NUMBER,
	 .value = "BYTES",
	 .help = "the feature has so much data; known for named features",
	 .offset = GET(data_len),
	 .max = 4096},
	{0},
};

static int get_feature(struct conn *conn, const struct feature *feature,
		       const struct get_options *opt)
{
	struct hf_error err = {.message = ""};
	uint8_t data[4096] = {0};
	struct hf_command command = {
		.opcode = nvme_admin_get_features,
		.nsid = conn->nsid,
		.cdw10 = feature->id | (uint32_t)opt->select << 8,
		.cdw11 = (uint32_t)opt->cdw11,
	};
	uint32_t len = args_given(conn->args, "data-len")
			       ? (uint32_t)opt->data_len
			       : feature->data_bytes;

	/* "supported" tells abilities in the completion, and has no data. */
	if (opt->select == 3) {
		len = 0;
	}
	if (len > 0) {
		command.data = data;
		command.data_len_bytes = len;
	}
	if (hf_admin_command(conn->drv, &command, &err)) {
		return cli_fail(conn->args, "%s", err.message);
	}

	struct json_object *tree =
		feature_tree(feature, conn->nsid, command.result);
	out_text(tree, "select", select_words[opt->select]);
	if (len > 0) {
		out_digits(tree, "data", data, len);
	}
	return out_print(conn->args, tree);
}

static int get_run(struct args *args)
{
	struct get_options opt = {0};
	struct feature feature;
	struct conn conn;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	int code = find_feature(args, opt.feature, &feature);
	if (code == CLI_OK) {
		code = conn_begin(&conn, args, args->operands[0], false);
	}
	if (code != CLI_OK) {
		return code;
	}
	return conn_end(&conn, get_feature(&conn, &feature, &opt));
}

const struct verb verb_get_feature = {
	.name = "get-feature",
	.summary = "show a feature's value",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = get_options,
	.description = "The value is dword 0 of the completion.",
	.example = "holdfast get-feature 0000:01:00.0 --feature "
		   "temperature-threshold\n"
		   "holdfast get-feature 0000:01:00.0 --feature 6 "
		   "--select default",
	.run = get_run,
};

/* ------------------------------------------------------------ set-feature */

struct set_options {
	const char *feature;
	uint64_t value;
	uint64_t cdw12;
	bool save;
	const char *input;
};

#define SET(field) offsetof(struct set_options, field)

static const struct args_option set_options[] = {
	{.name = "feature",
	 .letter = 'f',
	 .kind = ARGS_TEXT,
	 .value = "F",
	 .help = FEATURE_HELP,
	 .offset = SET(feature),
	 .required = true},
	{.name = "value",
	 .letter = 'V',
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "the new value: command dword 11",
	 .offset = SET(value),
	 .max = UINT32_MAX},
	{.name = "cdw12",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "command dword 12, for features that take one",
	 .offset = SET(cdw12),
	 .max = UINT32_MAX},
	{.name = "save",
	 .letter = 's',
	 .kind = ARGS_SWITCH,
	 .help = "keep the value over a power cycle",
	 .offset = SET(save)},
	{.name = "input",
	 .letter = 'i',
	 .kind = ARGS_TEXT,
	 .value = "FILE",
	 .help = "the feature's data; - is standard input",
	 .offset = SET(input)},
	{0},
};

static int set_feature(struct conn *conn, const struct feature *feature,
		       const struct set_options *opt,
		       const struct file_data *data)
{
	struct hf_error err = {.message = ""};
	struct hf_command command = {
		.opcode = nvme_admin_set_features,
		.nsid = conn->nsid,
		.cdw10 = feature->id | (uint32_t)opt->save << 31,
		.cdw11 = (uint32_t)opt->value,
		.cdw12 = (uint32_t)opt->cdw12,
		.data = data->len_bytes ? data->bytes : NULL,
		.data_len_bytes = (uint32_t)data->len_bytes,
		.to_device = data->len_bytes != 0,
	};

	if (hf_admin_command(conn->drv, &command, &err)) {
		return cli_fail(conn->args, "%s", err.message);
	}

	struct json_object *tree =
		feature_tree(feature, conn->nsid, (uint32_t)opt->value);
	out_hex(tree, "result", command.result);
	return out_print(conn->args, tree);
}

static int set_run(struct args *args)
{
	struct set_options opt = {0};
	struct file_data data = {0};
	struct feature feature;
	struct conn conn;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}
	if (!args_given(args, "value") && !opt.input) {
		return cli_usage(args, "needs --value N or --input FILE");
	}

	int code = find_feature(args, opt.feature, &feature);
	if (code == CLI_OK && opt.input) {
		code = file_load(args, opt.input, 4096, &data);
		if (code == CLI_OK && feature.data_bytes &&
		    data.len_bytes != feature.data_bytes) {
			code = cli_fail(args,
					"%s holds %" PRIu64
					" bytes; feature %s takes %u",
					opt.input, data.len_bytes, feature.name,
					feature.data_bytes);
		}
	}
	if (code == CLI_OK) {
		code = conn_begin(&conn, args, args->operands[0], false);
		if (code == CLI_OK) {
			code = conn_end(&conn, set_feature(&conn, &feature,
							   &opt, &data));
		}
	}
	free(data.bytes);
	return code;
}

const struct verb verb_set_feature = {
	.name = "set-feature",
	.summary = "change a feature's value",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = set_options,
	.description = "The driver keeps number-of-queues to itself. Other "
		       "values last until the controller is reset, which the "
		       "next start of a driver does, unless --save is given "
		       "and the controller can.",
	.example = "holdfast set-feature 0000:01:00.0 --feature "
		   "volatile-write-cache --value 0 --save",
	.run = set_run,
};
