/* SPDX-License-Identifier: BSD-3-Clause */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "driver/driver.h"
#include "machine_device.h"
#include "runtime/carry.h"
#include "state/registry.h"

/* What was under way in a process that is gone is not called back there. */
static void process_is_gone(void)
{
	for (uint32_t i = 0; i < f.work_count; i++) {
		if (f.works[i].lent && f.works[i].calls == 0) {
			f.works[i].dead = true;
		}
	}
	program_forget();
}

static struct hf_fdset *copy_set(void)
{
	struct hf_fdset *set = calloc(1, sizeof(*set));
	struct hf_carry *carry;

	if (set == NULL || hf_driver_carry(f.drv, &carry, &f.err) != 0) {
		free(set);
		return NULL;
	}
	*set = carry->set;
	hf_carry_free(carry);
	for (uint32_t i = 0; i < set->count; i++) {
		set->entries[i].fd =
			fcntl(set->entries[i].fd, F_DUPFD_CLOEXEC, 0);
	}
	return set;
}

/* Words of a file that are not what a driver of this version left: anywhere, in
 * its first ones, at @focus, or at what follows that. */
static void damage(int fd, uint64_t focus, uint64_t behind)
{
	uint32_t count = stream_u8(&f.actions) % 8;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint8_t choice = stream_u8(&f.actions);
		uint64_t at = stream_u16(&f.actions);
		uint32_t value = 0;

		if (choice % 4 == 1) {
			at += focus;
		} else if (choice % 4 == 2) {
			at = at % 64 * 4;
		} else if (choice % 4 == 3) {
			at = focus + at % 64 * 4;
		}
		at += (choice & 0x80) != 0 ? behind : 0;
		at = at % (uint64_t)st.st_size & ~UINT64_C(3);
		(void)!pread(fd, &value, 4, (off_t)at);
		if ((choice & 0x40) != 0) {
			value ^= 1u << (choice >> 3 & 7) * 4;
		} else {
			value = stream_u32(&f.actions);
		}
		(void)!pwrite(fd, &value, 4, (off_t)at);
	}
}

static void attach_all(void)
{
	struct hf_inflight inflight;
	uint64_t cursor = 0;

	for (uint32_t i = 0; i < PROGRAM_WORKS_MAX &&
			     hf_inflight_next(f.drv, &cursor, &inflight) == 1;
	     i++) {
		struct hf_namespace *ns = program_namespace(
			(uint8_t)(inflight.nsid + PROGRAM_NAMESPACES - 1));
		struct work *work = ns != NULL ? program_work() : NULL;

		if (work == NULL) {
			continue;
		}
		work->io.ns = ns;
		work->io.done = program_done;
		work->io.user = work;
		/* What it says may be damaged too, and is only a size here. */
		uint64_t blocks = HF_MIN(inflight.blocks, UINT64_C(70000));
		work->buf = inflight.bounced ? calloc(blocks + 1,
						      program_block_bytes(ns))
					     : NULL;
		work->io.buf = work->buf != NULL ? work->buf : inflight.buf;
		work->lent = true;
		if (hf_io_attach(&work->io, &inflight, &f.err) != 0) {
			work->lent = false;
			free(work->buf);
			work->buf = NULL;
		}
	}
}

void program_attach(void)
{
	uint8_t choice = stream_u8(&f.actions);
	uint32_t cursor = 0;
	uint64_t len_bytes;
	void *memory;

	if (choice < 0xc0) {
		attach_all();
		return;
	}
	for (uint32_t i = 0;
	     i < 16 && hf_dma_next(f.drv, &cursor, &memory, &len_bytes) == 1;
	     i++) {
		f.memory =
			len_bytes == PROGRAM_BUFFER_BYTES ? memory : f.memory;
	}
	(void)!hf_driver_drain_wait(f.drv, choice, &f.err);
}

static void succeed(struct hf_fdset *set, const uint8_t *bytes,
		    size_t len_bytes)
{
	struct hf_device *dev = machine_device_adopt(&f.machine, &f.lies, set);

	hf_fdset_close(set);
	free(set);
	if (dev == NULL) {
		machine_fini(&f.machine);
		return;
	}
	if (hf_driver_restore(&f.drv, dev, bytes, len_bytes, &f.options,
			      &f.err) != 0) {
		f.drv = NULL;
		if (hf_device_clear(dev, &f.err) == -EBUSY) {
			hf_device_close(dev); /* it is in here */
		}
		/* Regions of a damaged registry are not known to anybody. */
		machine_fini(&f.machine);
		return;
	}
	f.inherits = true;
}

static void damage_ledger(int fd)
{
	uint64_t stride = 0;
	uint64_t first = 0;

	(void)!pread(fd, &first, sizeof(first),
		     offsetof(struct hf_ledger_header, queues_offset));
	(void)!pread(fd, &stride, sizeof(stride),
		     offsetof(struct hf_ledger_header, queue_bytes));
	/* Of the admin queue and the first other one; their slots follow. */
	damage(fd, first, sizeof(struct hf_ledger_queue));
	damage(fd, first + stride, sizeof(struct hf_ledger_queue));
}

/* The process dies where it stands. */
void program_crash(void)
{
	struct hf_fdset *set = copy_set();

	if (set == NULL || !f.drv->ledger.header->ready) {
		if (set != NULL) {
			hf_fdset_close(set);
			free(set);
		}
		return;
	}
	hf_driver_leave(f.drv);
	process_is_gone();
	damage_ledger(hf_fdset_find(set, "ledger"));
	/* Its first words are of regions that exist. */
	damage(hf_fdset_find(set, "dma-registry"),
	       offsetof(struct hf_dma_registry, blocks),
	       sizeof(struct hf_registry_block));
	succeed(set, NULL, 0);
}

void program_save(void)
{
	uint8_t choice = stream_u8(&f.actions);
	uint8_t *bytes = NULL;
	size_t len_bytes = 0;

	if (hf_driver_save(f.drv, &bytes, &len_bytes, &f.err) != 0) {
		return;
	}
	if (choice < 0x40) {
		if (hf_driver_resume(f.drv, &f.err) != 0) {
			program_fail(f.err.message);
		}
	} else if (choice < 0x60) {
		program_close();
	} else {
		struct hf_fdset *set = copy_set();

		if (set == NULL) {
			program_fail(f.err.message);
		}
		hf_driver_leave(f.drv);
		process_is_gone();
		for (uint32_t i = choice >> 5; choice >= 0xc0 && i > 0; i--) {
			bytes[stream_u16(&f.actions) % len_bytes] =
				stream_u8(&f.actions);
		}
		succeed(set, bytes, len_bytes);
	}
	free(bytes);
}
