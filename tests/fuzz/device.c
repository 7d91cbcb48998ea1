/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever a device answers, posts and writes, and whatever became of
 * the memory that a dead process left, the driver keeps its promises: each I/O
 * ends once, nothing outside is touched, no call waits for ever, and at the end
 * everything is given back.
 * Method: the input is two streams. One chooses what the program does (open,
 * I/O, time, save, restore, crash, close), the other what the controller does
 * (machine.h). Time is virtual, nothing runs beside the one thread, so that an
 * input does the same each time. What a process leaves is handed to a
 * successor in the same program, with bytes of it changed at will.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "driver/bring_up.h"
#include "driver/driver.h"
#include "holdfast/holdfast.h"
#include "machine_device.h"
#include "program.h"
#include "virtual_time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

enum {
	ACTIONS_MAX = 200,
};

/* No call may take longer, with every retry and back-off in it. */
#define HANG_NS (UINT64_C(72) * 3600 * HF_NS_PER_S)

struct program f;

void program_fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void waited(void *ctx)
{
	(void)ctx;
	machine_turn(&f.machine);
}

static void do_time(void)
{
	virtual_time_pass(stream_u8(&f.actions) * UINT64_C(250) * HF_NS_PER_MS);
	machine_turn(&f.machine);
	(void)hf_driver_process(f.drv);
}

static void do_look(void)
{
	struct hf_driver_info info;
	struct hf_event event;

	free(hf_driver_inspect(f.drv));
	hf_driver_get_info(f.drv, &info);
	for (uint32_t i = 0; i < 64 && hf_event_next(f.drv, &event) == 1; i++) {
	}
}

static void do_reset(void)
{
	pthread_mutex_lock(&f.drv->control);
	if (hf_driver_state(f.drv) == HF_DRIVER_READY) {
		hf_bring_up_again(f.drv, "the fuzzer wants it");
	}
	pthread_mutex_unlock(&f.drv->control);
	hf_driver_kick(f.drv);
	(void)hf_driver_process(f.drv);
}

static void do_device(void)
{
	uint8_t choice = stream_u8(&f.actions);

	if (choice < 0x40) {
		machine_interrupt(&f.machine, choice % MACHINE_VECTORS);
	} else if (choice < 0xc0) {
		/* A notice of changed namespaces, or something like it. */
		machine_event(&f.machine, 0x040002 ^ stream_u8(&f.lies));
	} else {
		machine_turn(&f.machine);
	}
}

void program_forget(void)
{
	memset(f.ns, 0, sizeof(f.ns));
	memset(f.queues, 0, sizeof(f.queues));
	f.inherits = false;
	f.memory = NULL;
	f.drv = NULL;
}

void program_close(void)
{
	if (f.drv == NULL) {
		return;
	}
	/* Its port never fails to unmap, so that it can always be closed. */
	if (hf_driver_close(f.drv, &f.err) != 0) {
		program_fail(f.err.message);
	}
	program_forget();
	for (uint32_t i = 0; i < f.work_count; i++) {
		if (f.works[i].lent && !f.works[i].dead &&
		    f.works[i].calls != 1) {
			program_fail("the driver is closed, and an I/O has not "
				     "ended");
		}
	}
	if (machine_has_memory(&f.machine)) {
		program_fail(
			"the driver is closed, and memory is still mapped");
	}
}

static void open_driver(void)
{
	struct hf_device *dev = machine_device_open(&f.machine, &f.lies);

	if (dev == NULL) {
		return;
	}
	if (hf_driver_start(&f.drv, dev, &f.options, &f.err) != 0) {
		hf_device_close(dev);
		f.drv = NULL;
		return;
	}
	if (hf_driver_ready_wait(f.drv, &f.err) != 0) {
		program_close();
	}
}

static void do_close(void)
{
	if (stream_u8(&f.actions) < 0x80) {
		program_close();
	}
}

static void (*const actions[])(void) = {
	do_time,
	program_submit,
	program_submit,
	program_submit,
	program_reap,
	program_reap,
	do_time,
	program_open_queue,
	program_blocking,
	program_command,
	program_open_namespace,
	do_look,
	do_reset,
	program_memory,
	do_device,
	program_crash,
	program_save,
	program_attach,
	do_device,
	do_close,
};

static void log_line(void *user, enum hf_log_level level, const char *line)
{
	(void)user;
	(void)level;
	fprintf(stderr, "%s\n", line);
}

static void choose_options(void)
{
	uint8_t choice = stream_u8(&f.actions);

	hf_driver_options_init(&f.options);
	if (getenv("HOLDFAST_FUZZ_LOG") != NULL) {
		f.options.log.write = log_line;
		f.options.log.max_level = HF_LOG_DEBUG;
	}
	f.options.runtime = false;
	f.options.cpu_count = PROGRAM_CPUS;
	f.options.io_queues = PROGRAM_CPUS;
	f.options.queue_entries = 2u << (choice & 7);
	f.options.pool_pages = 64;
	f.options.bounce = (choice & 8) != 0;
	f.options.io_timeout_ms = 1000;
	f.options.long_timeout_ms = 2000;
	f.options.admin_timeout_ms = 2000;
	machine_init(&f.machine, &f.lies, (choice & 16) != 0 ? 12 : 9,
		     (choice & 0x60) == 0x60 ? stream_u8(&f.lies) : 0);
}

static void begin(const uint8_t *data, size_t len_bytes)
{
	size_t split = data[0] * (size_t)4 + 1;

	split = HF_MIN(split, len_bytes);
	memset(&f, 0, sizeof(f));
	f.actions = (struct stream){.data = data + 1, .len_bytes = split - 1};
	f.lies = (struct stream){.data = data + split,
				 .len_bytes = len_bytes - split};
	virtual_time_start(waited, NULL);
	choose_options();
}

/* The usual beginning, which no input has to find out. */
static void open_all(void)
{
	open_driver();
	if (f.drv == NULL) {
		return;
	}
	if (hf_namespace_open(&f.ns[0], f.drv, 1, &f.err) != 0) {
		f.ns[0] = NULL;
	}
	if (hf_queue_open(&f.queues[0], f.drv, 0, HF_POLL, &f.err) != 0) {
		f.queues[0] = NULL;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	int lowest;

	if (len_bytes < 2) {
		return 0;
	}
	lowest = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	close(lowest);
	begin(data, len_bytes);
	for (uint32_t i = 0; i < ACTIONS_MAX; i++) {
		virtual_time_limit(HANG_NS);
		if (f.drv == NULL) {
			open_all();
		}
		if (f.actions.at >= f.actions.len_bytes || f.drv == NULL) {
			break;
		}
		actions[stream_u8(&f.actions) % HF_ARRAY_LEN(actions)]();
	}
	virtual_time_limit(HANG_NS);
	program_close();
	for (uint32_t i = 0; i < f.work_count; i++) {
		free(f.works[i].buf);
	}
	machine_fini(&f.machine);
	int now = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	close(now);
	if (now != lowest) {
		program_fail("a descriptor was not closed");
	}
	return 0;
}
