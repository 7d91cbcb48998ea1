/* SPDX-License-Identifier: BSD-3-Clause */
/* Log pages: health, errors, firmware slots. */
#include <endian.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include <holdfast/io.h>

#include "conn.h"
#include "output.h"
#include "verbs.h"

/* What the specification lets every controller answer for the whole. */
#define NSID_ALL UINT32_C(0xffffffff)

static int fetch_log(struct conn *conn, uint8_t log_id, uint32_t nsid,
		     void *data, uint32_t len_bytes)
{
	struct hf_error err = {.message = ""};
	uint32_t numd_z = len_bytes / 4 - 1;
	struct hf_command command = {
		.opcode = nvme_admin_get_log_page,
		.nsid = nsid,
		.cdw10 = log_id | (numd_z & 0xffff) << 16,
		.cdw11 = numd_z >> 16,
		.data = data,
		.data_len_bytes = len_bytes,
	};

	if (hf_admin_command(conn->drv, &command, &err)) {
		return cli_fail(conn->args, "%s", err.message);
	}
	return CLI_OK;
}

/* -------------------------------------------------------------- smart-log */

struct smart_options {
	bool raw;
};

static const struct args_option smart_options[] = {
	{.name = "raw",
	 .kind = ARGS_SWITCH,
	 .help = "write the page's 512 bytes to standard output",
	 .offset = offsetof(struct smart_options, raw)},
	{0},
};

static void add_warnings(struct json_object *tree, uint8_t warning)
{
	static const char *const names[] = {
		"spare_low",       "temperature",   "reliability_degraded",
		"media_read_only", "backup_failed", "pmr_unreliable",
	};
	struct json_object *warnings = out_object();

	out_hex(tree, "critical_warning", warning);
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		out_bool(warnings, names[i], warning >> i & 1);
	}
	out_add(tree, "warnings", warnings);
}

static struct json_object *smart_tree(const struct nvme_smart_log *log)
{
	struct json_object *tree = out_object();
	unsigned int kelvin =
		log->temperature[0] | (unsigned int)log->temperature[1] << 8;
	struct json_object *sensors = out_array();

	add_warnings(tree, log->critical_warning);
	out_number(tree, "temperature_kelvin", kelvin);
	out_add(tree, "temperature_celsius",
		json_object_new_int((int)kelvin - 273));
	out_number(tree, "available_spare_percent", log->avail_spare);
	out_number(tree, "spare_threshold_percent", log->spare_thresh);
	out_number(tree, "used_percent", log->percent_used);
	out_u128(tree, "data_units_read", log->data_units_read);
	out_u128(tree, "data_units_written", log->data_units_written);
	out_u128(tree, "host_reads", log->host_reads);
	out_u128(tree, "host_writes", log->host_writes);
	out_u128(tree, "busy_minutes", log->ctrl_busy_time);
	out_u128(tree, "power_cycles", log->power_cycles);
	out_u128(tree, "power_on_hours", log->power_on_hours);
	out_u128(tree, "unsafe_shutdowns", log->unsafe_shutdowns);
	out_u128(tree, "media_errors", log->media_errors);
	out_u128(tree, "error_log_entries", log->num_err_log_entries);
	out_number(tree, "warning_temperature_minutes",
		   le32toh(log->warning_temp_time));
	out_number(tree, "critical_temperature_minutes",
		   le32toh(log->critical_comp_time));
	for (int i = 0; i < 8; i++) {
		unsigned int sensor = le16toh(log->temp_sensor[i]);

		if (sensor) {
			struct json_object *row = out_object();

			out_number(row, "sensor", (uint64_t)i + 1);
			out_number(row, "kelvin", sensor);
			out_push(sensors, row);
		}
	}
	out_add(tree, "sensors", sensors);
	return tree;
}

static int smart_run(struct args *args)
{
	struct smart_options opt = {0};
	struct nvme_smart_log log;
	struct conn conn;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	int code = conn_begin(&conn, args, args->operands[0], false);
	if (code != CLI_OK) {
		return code;
	}
	code = fetch_log(&conn, NVME_LOG_LID_SMART,
			 conn.nsid ? conn.nsid : NSID_ALL, &log, sizeof(log));
	if (code == CLI_OK && opt.raw) {
		fwrite(&log, sizeof(log), 1, stdout);
	} else if (code == CLI_OK) {
		out_print(args, smart_tree(&log));
	}
	return conn_end(&conn, code);
}

const struct verb verb_smart_log = {
	.name = "smart-log",
	.summary = "show a controller's health",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = smart_options,
	.description = "The SMART / Health Information log page, of the whole "
		       "controller unless a namespace is named. A data unit "
		       "is 1000 times 512 bytes.",
	.example = "holdfast smart-log 0000:01:00.0",
	.run = smart_run,
};

/* -------------------------------------------------------------- error-log */

struct error_options {
	uint64_t entries;
};

static const struct args_option error_options[] = {
	{.name = "entries",
	 .letter = 'e',
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "at most so many, newest first; all by default",
	 .offset = offsetof(struct error_options, entries),
	 .min = 1,
	 .max = 256},
	{0},
};

static void add_error(struct json_object *rows,
		      const struct nvme_error_log_page *entry)
{
	struct json_object *row = out_object();
	uint16_t status = (uint16_t)(le16toh(entry->status_field) >> 1);
	char text[160];

	out_number(row, "error_count", le64toh(entry->error_count));
	out_number(row, "sqid", le16toh(entry->sqid));
	out_hex(row, "cid", le16toh(entry->cmdid));
	out_hex(row, "status", status);
	out_text(row, "status_text",
		 hf_status_text(status, text, sizeof(text)));
	out_hex(row, "parameter_location", le16toh(entry->parm_error_location));
	out_number(row, "lba", le64toh(entry->lba));
	out_hex(row, "nsid", le32toh(entry->nsid));
	out_push(rows, row);
}

static int show_errors(struct conn *conn, uint64_t wanted)
{
	const struct nvme_id_ctrl *id = hf_driver_identify(conn->drv);
	uint64_t count = (uint64_t)id->elpe + 1;

	if (wanted && wanted < count) {
		count = wanted;
	}

	struct nvme_error_log_page *log = calloc(count, sizeof(*log));
	if (!log) {
		return cli_fail(conn->args, "out of memory");
	}

	int code = fetch_log(conn, NVME_LOG_LID_ERROR, NSID_ALL, log,
			     (uint32_t)(count * sizeof(*log)));
	if (code == CLI_OK) {
		struct json_object *tree = out_object();
		struct json_object *rows = out_array();

		for (uint64_t i = 0; i < count; i++) {
			/* An entry that was never used counts zero. */
			if (le64toh(log[i].error_count) != 0) {
				add_error(rows, &log[i]);
			}
		}
		out_add(tree, "errors", rows);
		out_print(conn->args, tree);
	}
	free(log);
	return code;
}

static int error_run(struct args *args)
{
	struct error_options opt = {0};
	struct conn conn;

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}

	int code = conn_begin(&conn, args, args->operands[0], false);
	if (code != CLI_OK) {
		return code;
	}
	return conn_end(&conn, show_errors(&conn, opt.entries));
}

const struct verb verb_error_log = {
	.name = "error-log",
	.summary = "show the errors that a controller remembers",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER,
	.options = error_options,
	.description = "The Error Information log page, newest first. Entries "
		       "that were never used are left out.",
	.example = "holdfast error-log 0000:01:00.0 --entries 4",
	.run = error_run,
};

/* ----------------------------------------------------------------- fw-log */

static int fw_run(struct args *args)
{
	struct nvme_firmware_slot log;
	struct conn conn;

	if (!args_parse(args, NULL)) {
		return args->exit_code;
	}

	int code = conn_begin(&conn, args, args->operands[0], false);
	if (code != CLI_OK) {
		return code;
	}
	code = fetch_log(&conn, NVME_LOG_LID_FW_SLOT, NSID_ALL, &log,
			 sizeof(log));
	if (code != CLI_OK) {
		return conn_end(&conn, code);
	}

	struct json_object *tree = out_object();
	struct json_object *slots = out_array();
	out_number(tree, "active_slot", log.afi & 7u);
	out_number(tree, "next_slot", log.afi >> 4 & 7u);
	for (unsigned int i = 0; i < 7; i++) {
		struct json_object *row = out_object();

		if (log.frs[i][0] == '\0') {
			json_object_put(row);
			continue;
		}
		out_number(row, "slot", i + 1);
		out_chars(row, "firmware", log.frs[i], sizeof(log.frs[i]));
		out_push(slots, row);
	}
	out_add(tree, "slots", slots);
	out_print(args, tree);
	return conn_end(&conn, CLI_OK);
}

const struct verb verb_fw_log = {
	.name = "fw-log",
	.summary = "show a controller's firmware slots",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER,
	.description = "The Firmware Slot Information log page. Slot 0 as the "
		       "next one means that no change is due.",
	.example = "holdfast fw-log 0000:01:00.0",
	.run = fw_run,
};
