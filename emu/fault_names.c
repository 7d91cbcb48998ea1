/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of commands and registers. */
#include <nvme/types.h>

#include "emu/fault_words.h"

const struct hf_fault_name hf_fault_admin_names[] = {
	{"delete-iosq", nvme_admin_delete_sq},
	{"create-iosq", nvme_admin_create_sq},
	{"get-log-page", nvme_admin_get_log_page},
	{"delete-iocq", nvme_admin_delete_cq},
	{"create-iocq", nvme_admin_create_cq},
	{"identify", nvme_admin_identify},
	{"abort", nvme_admin_abort_cmd},
	{"set-features", nvme_admin_set_features},
	{"get-features", nvme_admin_get_features},
	{"async-event", nvme_admin_async_event},
	{"ns-mgmt", nvme_admin_ns_mgmt},
	{"fw-commit", nvme_admin_fw_commit},
	{"fw-download", nvme_admin_fw_download},
	{"self-test", nvme_admin_dev_self_test},
	{"ns-attach", nvme_admin_ns_attach},
	{"keep-alive", nvme_admin_keep_alive},
	{"dbbuf", nvme_admin_dbbuf},
	{"format", nvme_admin_format_nvm},
	{"security-send", nvme_admin_security_send},
	{"security-recv", nvme_admin_security_recv},
	{"sanitize", nvme_admin_sanitize_nvm},
	{NULL, 0},
};

const struct hf_fault_name hf_fault_io_names[] = {
	{"flush", nvme_cmd_flush},
	{"write", nvme_cmd_write},
	{"read", nvme_cmd_read},
	{"write-uncor", nvme_cmd_write_uncor},
	{"compare", nvme_cmd_compare},
	{"write-zeroes", nvme_cmd_write_zeroes},
	{"dsm", nvme_cmd_dsm},
	{"verify", nvme_cmd_verify},
	{"resv-register", nvme_cmd_resv_register},
	{"resv-report", nvme_cmd_resv_report},
	{"resv-acquire", nvme_cmd_resv_acquire},
	{"resv-release", nvme_cmd_resv_release},
	{"copy", nvme_cmd_copy},
	{NULL, 0},
};

const struct hf_fault_name hf_fault_register_names[] = {
	{"cap", 0x00},    {"vs", 0x08},   {"intms", 0x0c},  {"intmc", 0x10},
	{"cc", 0x14},     {"csts", 0x1c}, {"nssr", 0x20},   {"aqa", 0x24},
	{"asq", 0x28},    {"acq", 0x30},  {"cmbloc", 0x38}, {"cmbsz", 0x3c},
	{"bpinfo", 0x40}, {"crto", 0x68}, {NULL, 0},
};
