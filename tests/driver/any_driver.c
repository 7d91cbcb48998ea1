/* SPDX-License-Identifier: BSD-3-Clause */
#include "any_device.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "qtest_device.h"

struct hf_driver *any_open(enum any_role role,
			   const struct hf_driver_options *options)
{
	struct hf_error err = {0};
	struct hf_driver *drv = NULL;
	struct hf_device *dev = any_open_device(
		role, options != NULL ? &options->device : NULL);

	if (hf_driver_start(&drv, dev, options, &err) != 0) {
		hf_device_close(dev);
		fail_msg("%s", err.message);
	}
	/* Without a runtime, waiting also does the work. */
	if (hf_driver_ready_wait(drv, &err) != 0) {
		(void)!hf_driver_close(drv, NULL);
		fail_msg("%s", err.message);
	}
	return drv;
}

struct hf_namespace *any_namespace(struct hf_driver *drv, uint32_t nsid)
{
	struct hf_error err = {0};
	struct hf_namespace *ns = NULL;

	if (hf_namespace_open(&ns, drv, nsid, &err) != 0) {
		fail_msg("%s", err.message);
	}
	return ns;
}

void any_set(struct hf_driver *drv, enum any_role role, const char *property,
	     const char *value)
{
	struct hf_qtest_machine *machine =
		hf_qtest_machine(hf_driver_device(drv));
	struct hf_error err = {0};
	char command[256];
	FILE *console;

	snprintf(command, sizeof(command),
		 "{\"execute\":\"qom-set\",\"arguments\":{"
		 "\"path\":\"/machine/peripheral/%s\","
		 "\"property\":\"%s\",\"value\":%s}}",
		 machine != NULL ? "nvme0" : any_qemu_id(role), property,
		 value);
	if (machine != NULL) {
		if (hf_qtest_monitor(machine, command, &err) != 0) {
			fail_msg("%s", err.message);
		}
		return;
	}
	/* In a guest, the machine outside reads the console. */
	console = fopen("/dev/console", "w");
	assert_non_null(console);
	fprintf(console, "\nRIG-QMP %s\n", command);
	fclose(console);
}

bool any_event(struct hf_driver *drv, enum hf_event_kind kind,
	       struct hf_event *event)
{
	uint64_t deadline = hf_deadline_ms(10000);

	while (!hf_deadline_passed(deadline)) {
		struct pollfd waiting = {.fd = hf_event_fd(drv),
					 .events = POLLIN};

		while (hf_event_next(drv, event) == 1) {
			print_message("# event: %s\n", event->text);
			if (event->kind == kind) {
				return true;
			}
		}
		(void)!poll(&waiting, 1, hf_deadline_poll_ms(deadline));
	}
	return false;
}
