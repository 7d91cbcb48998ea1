/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver on a controller that somebody else made: QEMU's by its test socket,
 * or the ones that the environment names. Knows no command. */
#pragma once

#include "holdfast/driver.h"
#include "holdfast/io.h"
#include "holdfast/namespace.h"

/* What a test needs of its controller. Each has namespace 1. */
enum any_role {
	ANY_PLAIN,  /* 256 MiB of memory; part of a subsystem */
	ANY_ATTACH, /* the same, and namespace 2 is there, but detached */
	ANY_LATE,   /* each read and write takes 300 ms */
	ANY_BROKEN, /* each read fails on the medium */
};

/*
 * For main(): the exit status of a program whose controller cannot be had, -1
 * where it can. A controller is at the address in HOLDFAST_TEST_PLAIN, _ATTACH,
 * _LATE or _BROKEN, or in a QEMU of the test's own.
 */
int any_absent(enum any_role role);

/* Opens the controller of a role; the test fails when it cannot be opened. */
struct hf_driver *any_open(enum any_role role,
			   const struct hf_driver_options *options);
/* The same, before a driver runs it. */
struct hf_device *any_open_device(enum any_role role,
				  const struct hf_device_options *options);
struct hf_namespace *any_namespace(struct hf_driver *drv, uint32_t nsid);

/* Tells QEMU's monitor to set a property of the controller of a role. */
void any_set(struct hf_driver *drv, enum any_role role, const char *property,
	     const char *value);

/* The controller's name in the machine of a guest. */
const char *any_qemu_id(enum any_role role);

/* Takes events until one is of @kind, which is copied to @event. False when
 * there was none for ten seconds. */
bool any_event(struct hf_driver *drv, enum hf_event_kind kind,
	       struct hf_event *event);

/* Every byte of a block tells its block and @seed. */
void any_fill(void *buf, uint64_t lba, uint64_t blocks, uint32_t block_bytes,
	      uint32_t seed);
void any_check(const void *buf, uint64_t lba, uint64_t blocks,
	       uint32_t block_bytes, uint32_t seed);

/*
 * A teardown for a group: fails where QEMU complained of its driver in
 * anything but what begins with @allowed (may be NULL).
 */
int any_no_mistakes(const char *allowed);
