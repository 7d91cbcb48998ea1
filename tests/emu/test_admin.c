/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: Identify, features, log pages, Abort and asynchronous events answer as
 * the specification says, and bad data pointers get their status.
 * Method: a host of the test's own on a controller served by hand.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cmocka_all.h"
#include "host.h"

static void add_fault(struct host *host, const char *text)
{
	struct hf_error err = {0};

	if (hf_emu_fault_add(host->emu, text, NULL, &err) != 0) {
		fail_msg("%s", err.message);
	}
}

static uint16_t set_feature(struct host *host, uint32_t fid, uint32_t value)
{
	return host_admin(host, nvme_admin_set_features, 0, fid, value, 0,
			  NULL);
}

static uint16_t get_feature(struct host *host, uint32_t fid, uint32_t cdw11,
			    uint32_t *value)
{
	return host_admin(host, nvme_admin_get_features, 0, fid, cdw11, 0,
			  value);
}

static void add_nsid(struct host *host, uint32_t nsid)
{
	struct hf_emu_namespace_options options;

	hf_emu_namespace_options_init(&options);
	options.nsid = nsid;
	options.size_bytes = 1 << 20;
	assert_int_equal(hf_emu_namespace_add(host->emu, &options, NULL, NULL),
			 0);
}

static void request_event(struct host *host)
{
	struct nvme_sqe sqe = {.opcode = nvme_admin_async_event};

	host_send(host, 0, &sqe);
}

static bool take_event(struct host *host, uint32_t *dw0)
{
	struct nvme_cqe cqe;

	host_run(host);
	if (!host_reap(host, 0, &cqe)) {
		return false;
	}
	assert_int_equal(host_status(&cqe), 0);
	*dw0 = cqe.dw0;
	return true;
}

static void send_identify(void **state)
{
	struct hf_emu_options options;
	struct nvme_id_ctrl id;
	struct host host;
	(void)state;

	host_options(&options);
	options.serial = "S123";
	options.mdts = 7;
	host_start_with(&host, &options);

	assert_int_equal(host_identify(&host, NVME_IDENTIFY_CNS_CTRL, 0, &id),
			 0);

	assert_memory_equal(id.sn, "S123                ", 20);
	assert_int_equal(id.mdts, 7);
	assert_int_equal(id.ver, 0x20000);
	assert_int_equal(id.sqes, 0x66);
	assert_int_equal(id.cqes, 0x44);
	assert_int_equal(id.vwc & 1, 1);
	host_close(&host);
}

static void send_identify_with_sq_fault(void **state)
{
	struct nvme_id_ctrl id;
	struct host host;
	(void)state;

	host_start(&host);
	add_fault(&host, "admin-identify,nth=2:status=generic/006h");

	assert_int_equal(host_identify(&host, NVME_IDENTIFY_CNS_CTRL, 0, &id),
			 0);
	assert_int_equal(host_identify(&host, NVME_IDENTIFY_CNS_CTRL, 0, &id),
			 NVME_SC_INTERNAL);
	assert_int_equal(host_identify(&host, NVME_IDENTIFY_CNS_CTRL, 0, &id),
			 0);
	host_close(&host);
}

static void identify_reports_fixed_nn(void **state)
{
	struct nvme_id_ctrl before;
	struct nvme_id_ctrl after;
	struct host host;
	(void)state;

	host_start(&host);
	host_identify(&host, NVME_IDENTIFY_CNS_CTRL, 0, &before);
	add_nsid(&host, 200);
	host_identify(&host, NVME_IDENTIFY_CNS_CTRL, 0, &after);

	assert_int_equal(before.nn, 256);
	assert_int_equal(after.nn, 256);
	host_close(&host);
}

static void identify_namespace_tells_active_inactive_and_invalid(void **state)
{
	struct nvme_id_ns id;
	struct nvme_id_ns zero = {0};
	struct host host;
	(void)state;

	host_start(&host);

	assert_int_equal(host_identify(&host, NVME_IDENTIFY_CNS_NS, 1, &id), 0);
	assert_int_equal(id.nsze, (1 << 20) / 512);
	assert_int_equal(host_identify(&host, NVME_IDENTIFY_CNS_NS, 2, &id), 0);
	assert_memory_equal(&id, &zero, sizeof(id));
	assert_int_equal(host_identify(&host, NVME_IDENTIFY_CNS_NS, 0, &id),
			 NVME_SC_INVALID_NS);
	assert_int_equal(host_identify(&host, NVME_IDENTIFY_CNS_NS, 257, &id),
			 NVME_SC_INVALID_NS);
	host_close(&host);
}

static void active_list_starts_above_the_nsid(void **state)
{
	uint32_t list[1024];
	struct host host;
	(void)state;

	host_start(&host);
	add_nsid(&host, 7);
	add_nsid(&host, 100);

	assert_int_equal(host_identify(&host, 2, 0, list), 0);
	assert_int_equal(list[0], 1);
	assert_int_equal(list[1], 7);
	assert_int_equal(list[2], 100);
	assert_int_equal(list[3], 0);
	assert_int_equal(host_identify(&host, 2, 7, list), 0);
	assert_int_equal(list[0], 100);
	assert_int_equal(list[1], 0);
	assert_int_equal(host_identify(&host, 2, 0xfffffffe, list),
			 NVME_SC_INVALID_NS);
	host_close(&host);
}

static void descriptors_name_the_namespace(void **state)
{
	uint8_t list[4096];
	struct nvme_id_ns id;
	struct host host;
	(void)state;

	host_start(&host);
	assert_int_equal(host_identify(&host, NVME_IDENTIFY_CNS_NS, 1, &id), 0);

	assert_int_equal(host_identify(&host, 3, 1, list), 0);
	assert_int_equal(list[0], NVME_NIDT_EUI64);
	assert_int_equal(list[1], 8);
	assert_memory_equal(list + 4, id.eui64, 8);
	assert_int_equal(list[12], NVME_NIDT_NGUID);
	assert_memory_equal(list + 16, id.nguid, 16);
	assert_int_equal(host_identify(&host, 3, 2, list),
			 NVME_SC_INVALID_FIELD);
	host_close(&host);
}

static void identify_io_command_set_specific_controller(void **state)
{
	struct hf_emu_options options;
	struct nvme_id_ctrl_nvm id;
	uint8_t sets[4096];
	struct host host;
	uint64_t iova;
	(void)state;

	host_options(&options);
	options.dmrl = 16;
	options.dmrsl = 1000;
	host_start_with(&host, &options);
	host_alloc(&host, 4096, &iova);

	assert_int_equal(host_identify(&host, 6, 0, &id), 0);
	assert_int_equal(id.dmrl, 16);
	assert_int_equal(id.dmrsl, 1000);
	assert_int_equal(host_admin(&host, nvme_admin_identify, 0, 6, 2u << 24,
				    iova, NULL),
			 NVME_SC_INVALID_FIELD);
	assert_int_equal(host_identify(&host, 0x1c, 0, sets),
			 NVME_SC_INVALID_FIELD); /* cntlid 0 is not this one */
	assert_int_equal(host_admin(&host, nvme_admin_identify, 0,
				    0x1cu | 0xffffu << 16, 0, iova, NULL),
			 0);
	assert_int_equal(*(uint8_t *)host_at(&host, iova), 1);
	assert_int_equal(host_identify(&host, 0xcc, 0, sets),
			 NVME_SC_INVALID_FIELD);
	host_close(&host);
}

static void unknown_admin_opcodes_are_invalid(void **state)
{
	struct host host;
	(void)state;

	host_start(&host);
	for (uint32_t opcode = 0xc0; opcode < 0x100; opcode++) {
		assert_int_equal(
			host_admin(&host, (uint8_t)opcode, 0, 0, 0, 0, NULL),
			NVME_SC_INVALID_OPCODE);
	}
	host_close(&host);
}

static void mandatory_features_roundtrip(void **state)
{
	const struct {
		uint8_t fid;
		uint32_t value;
	} features[] = {
		{NVME_FEAT_FID_ARBITRATION, 0x01020304},
		{NVME_FEAT_FID_POWER_MGMT, 0},
		{NVME_FEAT_FID_ERR_RECOVERY, 0x1234},
		{NVME_FEAT_FID_VOLATILE_WC, 0},
		{NVME_FEAT_FID_IRQ_COALESCE, 0x0a05},
		{NVME_FEAT_FID_WRITE_ATOMIC, 1},
		{NVME_FEAT_FID_ASYNC_EVENT, 0x0100},
	};
	struct host host;
	uint32_t value;
	(void)state;

	host_start(&host);
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		assert_int_equal(
			set_feature(&host, features[i].fid, features[i].value),
			0);
		assert_int_equal(get_feature(&host, features[i].fid, 0, &value),
				 0);
		assert_int_equal(value, features[i].value);
	}
	assert_int_equal(set_feature(&host, 0x7b, 0), NVME_SC_INVALID_FIELD);
	assert_int_equal(get_feature(&host, 0x7b, 0, &value),
			 NVME_SC_INVALID_FIELD);
	host_close(&host);
}

static void features_have_current_default_and_saved_values(void **state)
{
	struct host host;
	uint32_t value;
	(void)state;

	host_start(&host);
	assert_int_equal(
		set_feature(&host, NVME_FEAT_FID_ERR_RECOVERY | 1u << 31, 7),
		0);
	assert_int_equal(set_feature(&host, NVME_FEAT_FID_ERR_RECOVERY, 9), 0);

	get_feature(&host, NVME_FEAT_FID_ERR_RECOVERY, 0, &value);
	assert_int_equal(value, 9);
	get_feature(&host, NVME_FEAT_FID_ERR_RECOVERY | 1 << 8, 0, &value);
	assert_int_equal(value, 0);
	get_feature(&host, NVME_FEAT_FID_ERR_RECOVERY | 2 << 8, 0, &value);
	assert_int_equal(value, 7);
	get_feature(&host, NVME_FEAT_FID_ERR_RECOVERY | 3 << 8, 0, &value);
	assert_int_equal(value, 5); /* saveable, changeable */
	host_disable(&host);
	host_enable(&host);
	get_feature(&host, NVME_FEAT_FID_ERR_RECOVERY, 0, &value);
	assert_int_equal(value, 7);
	assert_int_equal(
		set_feature(&host, NVME_FEAT_FID_NUM_QUEUES | 1u << 31, 0),
		ST_CMD(NVME_SC_FEATURE_NOT_SAVEABLE));
	assert_int_equal(host_admin(&host, nvme_admin_set_features, 1,
				    NVME_FEAT_FID_ERR_RECOVERY, 0, 0, NULL),
			 ST_CMD(NVME_SC_FEATURE_NOT_PER_NS));
	host_close(&host);
}

static void number_of_queues_is_set_once_and_bounded(void **state)
{
	struct hf_emu_options options;
	struct host host;
	uint64_t iova;
	uint32_t value;
	(void)state;

	host_options(&options);
	options.max_sqs = 4;
	options.max_cqs = 6;
	host_start_with(&host, &options);
	host_alloc(&host, 4096, &iova);

	assert_int_equal(set_feature(&host, NVME_FEAT_FID_NUM_QUEUES, 0xffff),
			 NVME_SC_INVALID_FIELD);
	assert_int_equal(host_admin(&host, nvme_admin_set_features, 0,
				    NVME_FEAT_FID_NUM_QUEUES, 9 | 2 << 16, 0,
				    &value),
			 0);
	assert_int_equal(value, 3 | 2 << 16);
	assert_int_equal(set_feature(&host, NVME_FEAT_FID_NUM_QUEUES, 0),
			 NVME_SC_CMD_SEQ_ERROR);
	get_feature(&host, NVME_FEAT_FID_NUM_QUEUES, 0, &value);
	assert_int_equal(value, 3 | 2 << 16);
	/* More CQs than granted cannot be made. */
	assert_int_equal(host_admin(&host, nvme_admin_create_cq, 0, 4 | 7 << 16,
				    1, iova, NULL),
			 ST_CMD(NVME_SC_QID_INVALID));
	assert_int_equal(host_admin(&host, nvme_admin_create_cq, 0, 3 | 7 << 16,
				    1, iova, NULL),
			 0);
	host_close(&host);
}

static void host_identifier_and_timestamp_are_kept(void **state)
{
	struct host host;
	uint64_t iova;
	(void)state;

	host_start(&host);
	uint8_t *page = host_alloc(&host, 4096, &iova);
	memset(page, 0x5a, 16);
	assert_int_equal(host_admin(&host, nvme_admin_set_features, 0,
				    NVME_FEAT_FID_HOST_ID, 1, iova, NULL),
			 0);
	memset(page, 0, 16);
	assert_int_equal(host_admin(&host, nvme_admin_get_features, 0,
				    NVME_FEAT_FID_HOST_ID, 1, iova, NULL),
			 0);
	assert_int_equal(page[0], 0x5a);
	assert_int_equal(page[15], 0x5a);

	hf_put_le64(page, 1000000);
	assert_int_equal(host_admin(&host, nvme_admin_set_features, 0,
				    NVME_FEAT_FID_TIMESTAMP, 0, iova, NULL),
			 0);
	hf_emu_advance(host.emu, UINT64_C(5000000));
	assert_int_equal(host_admin(&host, nvme_admin_get_features, 0,
				    NVME_FEAT_FID_TIMESTAMP, 0, iova, NULL),
			 0);
	assert_int_equal(hf_get_le64(page) & 0xffffffffffff, 1000005);
	host_close(&host);
}

static void temperature_thresholds_raise_the_event(void **state)
{
	struct nvme_smart_log smart;
	struct host host;
	uint32_t dw0;
	(void)state;

	host_start(&host);
	set_feature(&host, NVME_FEAT_FID_ASYNC_EVENT, 0x02);
	request_event(&host);
	assert_int_equal(set_feature(&host, NVME_FEAT_FID_TEMP_THRESH, 320), 0);
	assert_false(take_event(&host, &dw0));

	hf_emu_temperature_set(host.emu, 321);

	assert_true(take_event(&host, &dw0));
	assert_int_equal(dw0,
			 NVME_AER_SMART | 1 << 8 | NVME_LOG_LID_SMART << 16);
	assert_int_equal(host_log(&host, NVME_LOG_LID_SMART, false, &smart,
				  sizeof(smart)),
			 0);
	assert_int_equal(smart.critical_warning, 2);
	assert_int_equal(hf_get_le16(smart.temperature), 321);
	host_close(&host);
}

static void set_get_features_async_event_config(void **state)
{
	struct host host;
	uint32_t value;
	(void)state;

	host_start(&host);
	get_feature(&host, NVME_FEAT_FID_ASYNC_EVENT, 0, &value);
	assert_int_equal(value, 0);
	assert_int_equal(set_feature(&host, NVME_FEAT_FID_ASYNC_EVENT, 0x100),
			 0);
	get_feature(&host, NVME_FEAT_FID_ASYNC_EVENT, 0, &value);
	assert_int_equal(value, 0x100);
	host_disable(&host);
	host_enable(&host);
	get_feature(&host, NVME_FEAT_FID_ASYNC_EVENT, 0, &value);
	assert_int_equal(value, 0);
	host_close(&host);
}

static void async_event_config_masks_namespace_aen(void **state)
{
	struct host host;
	uint32_t list[1024];
	uint32_t dw0;
	(void)state;

	host_start(&host);
	request_event(&host);
	add_nsid(&host, 2);
	assert_false(take_event(&host, &dw0));

	set_feature(&host, NVME_FEAT_FID_ASYNC_EVENT, 0x100);
	add_nsid(&host, 3);
	assert_true(take_event(&host, &dw0));
	assert_int_equal(dw0, NVME_AER_NOTICE | NVME_LOG_LID_CHANGED_NS << 16);

	/* Masked until the page is read; then the next one is told. */
	request_event(&host);
	add_nsid(&host, 4);
	assert_false(take_event(&host, &dw0));
	assert_int_equal(host_log(&host, NVME_LOG_LID_CHANGED_NS, true, list,
				  sizeof(list)),
			 0);
	assert_int_equal(list[0], 2);
	assert_false(take_event(&host, &dw0));
	struct nvme_sqe sqe = {
		.opcode = nvme_admin_get_log_page,
		.cdw10 = NVME_LOG_LID_CHANGED_NS | 1023u << 16,
	};
	host_alloc(&host, 4096, &sqe.prp1);
	host_send(&host, 0, &sqe);
	assert_true(take_event(&host, &dw0)); /* the log page's own entry */
	assert_true(take_event(&host, &dw0));
	assert_int_equal(dw0 & 7, NVME_AER_NOTICE);
	host_close(&host);
}

static void no_more_events_are_requested_than_aerl_allows(void **state)
{
	struct hf_emu_options options;
	struct host host;
	struct nvme_cqe cqe;
	(void)state;

	host_options(&options);
	options.aerl_z = 2;
	host_start_with(&host, &options);
	for (int i = 0; i < 3; i++) {
		request_event(&host);
	}
	assert_false(host_peek(&host, 0));

	request_event(&host);

	assert_true(host_reap(&host, 0, &cqe));
	assert_int_equal(host_status(&cqe), ST_CMD(NVME_SC_ASYNC_LIMIT));
	host_close(&host);
}

static void each_changed_namespace_is_listed_once(void **state)
{
	struct hf_emu_options options;
	struct host host;
	uint32_t list[1024];
	(void)state;

	host_options(&options);
	options.nn = 1024;
	host_start_with(&host, &options);
	for (uint32_t nsid = 2; nsid <= 1024; nsid++) {
		hf_emu_event(host.emu, 7, 0, 0xc0);
		add_nsid(&host, nsid);
	}
	assert_int_equal(hf_emu_namespace_remove(host.emu, 1, NULL), 0);
	assert_int_equal(host_log(&host, NVME_LOG_LID_CHANGED_NS, false, list,
				  sizeof(list)),
			 0);
	assert_int_equal(list[0], 1);
	assert_int_equal(list[1023], 1024);

	assert_int_equal(host_log(&host, NVME_LOG_LID_CHANGED_NS, false, list,
				  sizeof(list)),
			 0);
	assert_int_equal(list[0], 0);
	host_close(&host);
}

static void get_supported_log_pages(void **state)
{
	uint32_t page[256];
	struct host host;
	(void)state;

	host_start(&host);
	assert_int_equal(host_log(&host, 0, false, page, sizeof(page)), 0);

	for (uint32_t i = 0; i < 256; i++) {
		uint8_t data[512];
		uint16_t status =
			host_log(&host, (uint8_t)i, true, data, sizeof(data));

		if ((page[i] & 1) != 0) {
			assert_int_equal(status, 0);
		} else {
			assert_int_equal(status,
					 ST_CMD(NVME_SC_INVALID_LOG_PAGE));
		}
	}
	host_close(&host);
}

static void log_pages_can_be_read_in_parts(void **state)
{
	struct nvme_smart_log whole;
	struct host host;
	uint64_t iova;
	(void)state;

	host_start(&host);
	uint8_t *page = host_alloc(&host, 4096, &iova);
	assert_int_equal(
		host_log(&host, NVME_LOG_LID_FW_SLOT, true, &whole, 512), 0);

	struct nvme_cqe cqe;
	struct nvme_sqe sqe = {
		.opcode = nvme_admin_get_log_page,
		.prp1 = iova,
		.cdw10 = NVME_LOG_LID_FW_SLOT | 1u << 16,
		.cdw12 = 8,
	};
	assert_int_equal(host_command(&host, 0, &sqe, &cqe), 0);
	assert_memory_equal(page, (uint8_t *)&whole + 8, 8);
	sqe.cdw12 = 6;
	assert_int_equal(host_command(&host, 0, &sqe, &cqe),
			 NVME_SC_INVALID_FIELD);
	sqe.cdw12 = 0;
	sqe.cdw13 = 1; /* 4 GiB into it */
	assert_int_equal(host_command(&host, 0, &sqe, &cqe),
			 NVME_SC_INVALID_FIELD);
	host_close(&host);
}

static void errors_are_logged_newest_first(void **state)
{
	struct nvme_error_log_page log[64];
	struct host host;
	(void)state;

	host_start(&host);
	set_feature(&host, 0x7b, 0);
	host_admin(&host, 0xff, 5, 0, 0, 0, NULL);

	assert_int_equal(
		host_log(&host, NVME_LOG_LID_ERROR, false, log, sizeof(log)),
		0);
	assert_int_equal(log[0].error_count, 2);
	assert_int_equal(log[0].nsid, 5);
	assert_int_equal(log[0].status_field >> 1 & 0xff,
			 NVME_SC_INVALID_OPCODE);
	assert_int_equal(log[1].error_count, 1);
	assert_int_equal(log[2].error_count, 0);
	host_close(&host);
}

static void inspect_shows_the_queues(void **state)
{
	struct host host;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 3, 16, 2);

	char *text = hf_emu_inspect(host.emu);

	assert_non_null(text);
	assert_non_null(strstr(text, "\"state\":\"ready\""));
	assert_non_null(strstr(text, "\"qid\":3"));
	free(text);
	host_close(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(send_identify),
		cmocka_unit_test(send_identify_with_sq_fault),
		cmocka_unit_test(identify_reports_fixed_nn),
		cmocka_unit_test(
			identify_namespace_tells_active_inactive_and_invalid),
		cmocka_unit_test(active_list_starts_above_the_nsid),
		cmocka_unit_test(descriptors_name_the_namespace),
		cmocka_unit_test(identify_io_command_set_specific_controller),
		cmocka_unit_test(unknown_admin_opcodes_are_invalid),
		cmocka_unit_test(mandatory_features_roundtrip),
		cmocka_unit_test(
			features_have_current_default_and_saved_values),
		cmocka_unit_test(number_of_queues_is_set_once_and_bounded),
		cmocka_unit_test(host_identifier_and_timestamp_are_kept),
		cmocka_unit_test(temperature_thresholds_raise_the_event),
		cmocka_unit_test(set_get_features_async_event_config),
		cmocka_unit_test(async_event_config_masks_namespace_aen),
		cmocka_unit_test(no_more_events_are_requested_than_aerl_allows),
		cmocka_unit_test(each_changed_namespace_is_listed_once),
		cmocka_unit_test(get_supported_log_pages),
		cmocka_unit_test(log_pages_can_be_read_in_parts),
		cmocka_unit_test(errors_are_logged_newest_first),
		cmocka_unit_test(inspect_shows_the_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
