/* SPDX-License-Identifier: BSD-3-Clause */
/* What the measuring programs share: time, a null medium, an end on errors. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <holdfast/holdfast.h>

static inline void check(int result, const char *call,
			 const struct hf_error *err)
{
	char text[160];

	if (result == 0) {
		return;
	}
	fprintf(stderr, "%s: %s\n", call,
		err != NULL ? err->message
			    : hf_result_text(result, text, sizeof(text)));
	exit(1);
}

static inline uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A controller of this process whose namespace 1 forgets all. */
static inline struct hf_emu *perf_null_controller(void)
{
	struct hf_emu_namespace_options ns_options;
	struct hf_emu *emu;
	struct hf_error err;

	check(hf_emu_create(&emu, NULL, &err), "hf_emu_create", &err);
	hf_emu_namespace_options_init(&ns_options);
	ns_options.media = HF_EMU_MEDIA_NULL;
	ns_options.size_bytes = UINT64_C(1) << 30;
	check(hf_emu_namespace_add(emu, &ns_options, NULL, &err),
	      "hf_emu_namespace_add", &err);
	return emu;
}

static inline struct hf_driver *
perf_open(struct hf_emu *emu, const struct hf_driver_options *options)
{
	struct hf_device *device;
	struct hf_driver *drv;
	struct hf_error err;

	check(hf_device_open_emulated(&device, emu, NULL, &err),
	      "hf_device_open_emulated", &err);
	check(hf_driver_start(&drv, device, options, &err), "hf_driver_start",
	      &err);
	check(hf_driver_ready_wait(drv, &err), "hf_driver_ready_wait", &err);
	return drv;
}
