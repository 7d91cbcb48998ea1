/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what a foreign controller tells by itself reaches the user, decoded,
 *       and it can tell again.
 * Method: QEMU's monitor sets a SMART warning; Namespace Attachment brings and
 *       takes a namespace.
 */
#include "any_device.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nvme/types.h>

static void smart_warning_arrives_each_time(void **state)
{
	struct hf_driver *drv = any_open(ANY_PLAIN, NULL);
	struct hf_event event;

	(void)state;
	/* The second shows that the log was read, which arms it again. */
	for (int i = 0; i < 2; i++) {
		any_set(drv, ANY_PLAIN, "smart_critical_warning", "4");
		assert_true(any_event(drv, HF_EVENT_ASYNC, &event));
		assert_int_equal(event.async_type, NVME_AER_SMART);
		assert_int_equal(event.log_page, NVME_LOG_LID_SMART);
		any_set(drv, ANY_PLAIN, "smart_critical_warning", "0");
	}
	assert_int_equal(hf_driver_close(drv, NULL), 0);
}

/* Namespace Attachment of namespace 2 to this controller. */
static int attachment(struct hf_driver *drv, uint32_t select)
{
	struct nvme_ctrl_list *list = aligned_alloc(4096, 4096);
	struct hf_command command = {
		.opcode = nvme_admin_ns_attach,
		.nsid = 2,
		.cdw10 = select,
		.data = list,
		.data_len_bytes = 4096,
		.to_device = 1,
	};
	struct hf_error err = {0};
	int rc;

	assert_non_null(list);
	memset(list, 0, 4096);
	list->num = htole16(1);
	list->identifier[0] = hf_driver_identify(drv)->cntlid;
	rc = hf_admin_command(drv, &command, &err);
	if (rc != 0) {
		print_message("%s\n", err.message);
	}
	free(list);
	return rc;
}

static void namespace_comes_and_goes(void **state)
{
	struct hf_driver *drv = any_open(ANY_ATTACH, NULL);
	struct hf_namespace *ns = NULL;
	struct hf_namespace *first = any_namespace(drv, 1);
	struct hf_namespace_info info;
	struct hf_event event;
	uint8_t *data = aligned_alloc(4096, 4096);

	(void)state;
	assert_non_null(data);
	assert_int_equal(hf_namespace_open(&ns, drv, 2, NULL), -ENODEV);

	assert_int_equal(attachment(drv, NVME_NS_ATTACH_SEL_CTRL_ATTACH), 0);
	assert_true(any_event(drv, HF_EVENT_NAMESPACE_ADDED, &event));
	assert_int_equal(event.nsid, 2);
	ns = any_namespace(drv, 2);
	assert_int_equal(hf_read(ns, 0, 1, data), 0);

	assert_int_equal(attachment(drv, NVME_NS_ATTACH_SEL_CTRL_DEATTACH), 0);
	assert_true(any_event(drv, HF_EVENT_NAMESPACE_REMOVED, &event));
	assert_int_equal(event.nsid, 2);
	hf_namespace_get_info(ns, &info);
	assert_true(info.removed);
	assert_int_equal(hf_read(ns, 0, 1, data), -ENODEV);
	assert_int_equal(hf_read(first, 0, 1, data), 0);

	hf_namespace_close(ns);
	hf_namespace_close(first);
	free(data);
	assert_int_equal(hf_driver_close(drv, NULL), 0);
}

static int teardown(void **state)
{
	(void)state;
	return any_no_mistakes(NULL);
}

int main(void)
{
	int absent = any_absent(ANY_PLAIN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smart_warning_arrives_each_time),
		cmocka_unit_test(namespace_comes_and_goes),
	};

	if (absent >= 0) {
		return absent;
	}
	return cmocka_run_group_tests(tests, NULL, teardown);
}
