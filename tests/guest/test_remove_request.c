/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: when the kernel wants the device back, the user is told, what is in
 *       flight ends once, and letting go lets the device go.
 * Method: QEMU's monitor takes the function away; the shell that runs this
 *         then sees it disappear.
 */
#include "any_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void removal_is_announced_and_granted(void **state)
{
	struct hf_driver *drv = any_open(ANY_PLAIN, NULL);
	struct hf_namespace *ns = any_namespace(drv, 1);
	FILE *console = fopen("/dev/console", "w");
	struct hf_event event;
	void *data = malloc(4096);
	int rc;

	(void)state;
	assert_non_null(console);
	assert_non_null(data);
	assert_int_equal(hf_read(ns, 0, 1, data), 0);
	fprintf(console,
		"\nRIG-QMP {\"execute\":\"device_del\","
		"\"arguments\":{\"id\":\"%s\"}}\n",
		getenv("HOLDFAST_TEST_QEMU_ID"));
	fclose(console);

	assert_true(any_event(drv, HF_EVENT_REMOVE_REQUESTED, &event));
	/* It is a request: the device still answers, or is given up. */
	rc = hf_read(ns, 0, 1, data);
	assert_true(rc == 0 || rc < 0);

	hf_namespace_close(ns);
	(void)!hf_driver_close(drv, NULL);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(removal_is_announced_and_granted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
