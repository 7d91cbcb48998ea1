/* SPDX-License-Identifier: BSD-3-Clause */
/* Reaching a controller, with and without an address. */
#include <stdio.h>

#include <holdfast/holdfast.h>

#include "example.h"

static void say(void *user, enum hf_log_level level, const char *line)
{
	(void)user;
	fprintf(stderr, "%s%s\n", level == HF_LOG_ERROR ? "error: " : "", line);
}

int main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "emulated:size=64M";
	struct hf_device_options options;
	struct hf_device *device;
	struct hf_error err;

	hf_device_options_init(&options);
	options.log.write = say;
	options.log.max_level = HF_LOG_INFO;
	options.timeout_ms = 2000;

	check(hf_device_open(&device, address, &options, &err),
	      "hf_device_open", &err);
	printf("reached %s\n", hf_device_id(device));
	/* A driver would take the device over: see driver.c. */
	hf_device_close(device);

	/* A program that wants a hand on its emulated controller makes it. */
	struct hf_emu *emu;

	check(hf_emu_create(&emu, NULL, &err), "hf_emu_create", &err);
	check(hf_device_open_emulated(&device, emu, NULL, &err),
	      "hf_device_open_emulated", &err);
	printf("reached %s\n", hf_device_id(device));
	hf_device_close(device);
	hf_emu_destroy(emu);
	return 0;
}
