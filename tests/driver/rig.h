/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver on an emulated controller, with a hand on both: faults in the
 * controller, failures in the port between them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/device.h"
#include "driver/driver.h"
#include "holdfast/emu.h"
#include "holdfast/holdfast.h"

#define RIG_LOG_BYTES 32768

struct rig {
	/* Change these before rig_start(). */
	struct hf_emu_options emu_options;
	struct hf_emu_namespace_options ns_options; /* size_bytes 0: none */
	struct hf_driver_options options;

	struct hf_emu *emu;
	struct hf_device *dev; /* NULL once the driver has it */
	struct hf_driver *drv;
	struct hf_namespace *ns;
	struct hf_error err; /* of the last call that failed */

	/* The port, with the rig in between. */
	struct hf_device_ops ops;
	const struct hf_device_ops *real;
	/* With HF_EMU_MANUAL: what is rung is executed at once. */
	bool pump;
	uint32_t vectors;          /* what irq_count says, unless 0 */
	uint64_t dma_maps;         /* calls so far */
	uint64_t fail_dma_map_at;  /* this call fails, and those after it */
	uint64_t fail_dma_map_max; /* but no more than so many; 0: all */
	uint64_t irq_maps;
	uint64_t fail_irq_map_at;
	uint32_t irq_order[16]; /* vectors of the first calls since the test */
	uint32_t irq_order_count; /* has set this to 0 */
	bool fail_dma_unmap;
	bool fail_reset;
	bool is_released;    /* the driver has let go of the device */
	struct heirs *heirs; /* of heir.h */

	pthread_mutex_t log_lock;
	char log[RIG_LOG_BYTES];
	size_t log_used;
};

/* An I/O of a test, and how it ended. */
struct rig_io {
	struct hf_io io;
	uint32_t calls; /* of the callback */
	int result;
};

/* cmocka's setup and teardown: a rig with the defaults, not started. The
 * driver has no runtime, serves two CPUs, and has small queues. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* Makes the controller and a device that reaches it. */
void rig_make(struct rig *rig);
/* The same, and brings it up. Return: what hf_driver_ready_wait() does. */
int rig_start(struct rig *rig);
/* The same, and opens namespace 1; none of it may fail. */
void rig_open(struct rig *rig);
/* Closes the driver, and checks that this worked. */
void rig_close(struct rig *rig);

/* Adds a fault; returns its number. */
uint32_t rig_rule(struct rig *rig, const char *text);
uint64_t rig_hits(struct rig *rig, uint32_t rule);
struct hf_emu_stats rig_stats(struct rig *rig);

/* Does control work, and the controller's with HF_EMU_MANUAL, until the
 * condition holds; fails the test after 20 seconds. */
void rig_until(struct rig *rig, bool (*reached)(void *arg), void *arg);
/* Control work that is due now, again and again for so long. */
void rig_turn(struct rig *rig, uint32_t ms);

/* Is there such a text in what was logged? */
bool rig_logged(struct rig *rig, const char *text);

/* The callback that fills a struct rig_io. */
void rig_io_done(struct hf_io *io, int result);
/* Sets up a read or write with that callback. */
void rig_prep(struct rig_io *work, struct hf_namespace *ns, enum hf_op op,
	      uint64_t lba, uint64_t blocks, void *buf);
/* Reaps the queue until it has ended; returns its result. */
int rig_finish(struct rig *rig, struct hf_queue *queue, struct rig_io *work);
/* The next event of a kind; others are dropped. Fails after 20 seconds. */
struct hf_event rig_event(struct rig *rig, enum hf_event_kind kind);

/* Bytes that tell where they belong. */
void rig_fill(void *buf, size_t len, uint64_t seed);
bool rig_is_filled(const void *buf, size_t len, uint64_t seed);

#define rig_test(name)                                                         \
	cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
