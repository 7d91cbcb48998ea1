/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever is in the files and the text that a successor is given, taking
 * the device over does nothing worse than fail, and leaves nothing behind.
 * Method: a set as a vfio-user device leaves it, whose ledger, registry of
 * memory, journal and text the input changes; the rest of the input is all
 * that the server has to say. Ready at once: a server that says no more has
 * hung up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../servicing/fixed_ledger.h"
#include "base/checked.h"
#include "device/vfio_user_conn.h"
#include "holdfast/keeper.h"
#include "holdfast/servicing.h"
#include "runtime/carry.h"
#include "state/registry.h"
#include "stream.h"
#include "wire_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

enum {
	PAGE = 4096,
	REGION_PAGES = 16,
	CHANGES_MAX = 24,
	REPLY_BYTES = 4096,
	TIMEOUT_MS = 20,
};

static const char text[] = "kind=vfio-user\n"
			   "vfu-path=/run/golden.sock\n"
			   "vfu-max-fds=8\n"
			   "vfu-max-xfer=4096\n"
			   "vfu-max-maps=64\n"
			   "vfu-page-sizes=4096\n"
			   "vfu-can-reset=1\n"
			   "vfu-bar0-bytes=16384\n"
			   "vfu-doorbells-at=0\n"
			   "vfu-doorbells-bytes=4096\n"
			   "vfu-vectors=4\n"
			   "vfu-msix-at=64\n"
			   "vfu-msix-control=3\n"
			   "vfio.mode=group\n"
			   "vfio.address=0000:01:00.0\n"
			   "vfio.ioas=1\n"
			   "vfio.vectors=2\n"
			   "vfio.pci-id=0x1b360010\n"
			   "vfio.bar0=16384\n";

/* What the input changes. */
enum file {
	LEDGER,
	REGISTRY,
	JOURNAL,
	FILES,
};

static const char *const names[FILES] = {"ledger", "dma-registry",
					 "vfu-journal"};

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void add(struct hf_carry *carry, const char *name, int fd)
{
	if (fd < 0 || hf_carry_add(carry, name, fd, NULL) != 0) {
		fail(name);
	}
}

static int memory(const void *bytes, size_t len_bytes, off_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, size) != 0 ||
	    pwrite(fd, bytes, len_bytes, 0) != (ssize_t)len_bytes ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
		fail("no memfd");
	}
	return fd;
}

static int make_ledger(void)
{
	struct hf_ledger ledger = {0};

	if (fixed_ledger_create(&ledger) != 0) {
		fail("no ledger");
	}
	int fd = fcntl(ledger.fd, F_DUPFD_CLOEXEC, 0);
	hf_ledger_close(&ledger);
	return fd;
}

/* Two pools with blocks, a caller's file and a caller's private memory; one
 * mapping was under way. */
static int make_registry(void)
{
	static struct hf_dma_registry registry;

	registry = (struct hf_dma_registry){
		.magic = HF_REGISTRY_MAGIC,
		.version = HF_REGISTRY_VERSION,
		.header_bytes = sizeof(registry),
		.regions_max = HF_REGISTRY_REGIONS_MAX,
		.blocks_max = HF_REGISTRY_BLOCKS_MAX,
	};
	for (uint32_t i = 0; i < 5; i++) {
		registry.regions[i] = (struct hf_registry_region){
			.state = i < 4 ? HF_REGION_MAPPED : HF_REGION_MAPPING,
			.kind = i < 3 ? HF_REGION_POOL + i / 2
				      : HF_REGION_PRIVATE,
			.iova = (i + 1) * UINT64_C(0x100000),
			.len_bytes = REGION_PAGES * PAGE,
		};
	}
	for (uint32_t i = 0; i < 6; i++) {
		registry.blocks[i] = (struct hf_registry_block){
			.owner = i % 3 + 1,
			.owner_id = i / 2,
			.region = i % 2,
			.offset = i * UINT64_C(2) * PAGE,
			.len_bytes = 2 * PAGE,
		};
	}
	return memory(&registry, sizeof(registry), sizeof(registry));
}

static int make_journal(void)
{
	const struct hf_vfu_journal journal = {
		.magic = HF_VFU_JOURNAL_MAGIC,
		.version = HF_VFU_JOURNAL_VERSION,
		.next_id = 8,
		.pending = HF_VFU_PENDING | UINT64_C(9) << 16 | 7,
		.oldest_id = 7,
		.irq_wired = 2,
	};

	return memory(&journal, sizeof(journal), HF_VFU_JOURNAL_BYTES);
}

static struct hf_carry *make_set(int server)
{
	struct hf_carry *carry = hf_carry_new(true);

	add(carry, names[LEDGER], make_ledger());
	add(carry, names[REGISTRY], make_registry());
	add(carry, names[JOURNAL], make_journal());
	add(carry, "vfu-socket", server);
	add(carry, "vfu-bar0", memory("", 0, PAGE));
	add(carry, "vfu-request", eventfd(0, EFD_CLOEXEC));
	add(carry, "vfu-irq-0", eventfd(0, EFD_CLOEXEC));
	add(carry, "vfu-irq-1", eventfd(0, EFD_CLOEXEC));
	for (uint32_t i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "dma-%u", i);
		add(carry, name, memory("", 0, REGION_PAGES * PAGE));
	}
	/* What the kind vfio would look for: no device of that kind. */
	add(carry, "vfio-device", eventfd(0, EFD_CLOEXEC));
	add(carry, "vfio-container", eventfd(0, EFD_CLOEXEC));
	add(carry, "vfio-irq-0", eventfd(0, EFD_CLOEXEC));
	add(carry, "vfio-irq-1", eventfd(0, EFD_CLOEXEC));
	memcpy(carry->set.text, text, sizeof(text));
	return carry;
}

/* A word, where there are some that mean something: not all are zeroes. */
static void change_file(int fd, struct stream *bytes)
{
	static const uint64_t values[] = {
		0, 1, PAGE, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 63};
	uint8_t choice = stream_u8(bytes);
	off_t at = stream_u16(bytes) % 4096 * 4;
	uint64_t value = 0;
	size_t size = (choice & 1) != 0 ? 8 : 4;

	/* Behind the regions there are blocks. */
	if ((choice & 2) != 0) {
		at += (off_t)offsetof(struct hf_dma_registry, blocks);
	}
	(void)!pread(fd, &value, size, at);
	switch (choice >> 2 & 3) {
	case 0:
		value = stream_u32(bytes);
		break;
	case 1:
		value ^= UINT64_C(1) << stream_u8(bytes) % 64;
		break;
	case 2:
		value += (uint64_t)(int64_t)(int8_t)stream_u8(bytes);
		break;
	default:
		value = values[stream_u8(bytes) % HF_ARRAY_LEN(values)];
		break;
	}
	/* Beyond its end there is nothing: it keeps its size. */
	(void)!pwrite(fd, &value, size, at);
}

static void change_text(struct hf_fdset *set, struct stream *bytes)
{
	char *at = set->text + stream_u16(bytes) % sizeof(text);
	uint8_t count = stream_u8(bytes) % 32;

	for (uint32_t i = 0; i < count; i++) {
		char byte = (char)stream_u8(bytes);

		/* As every way in would have it: hf_carry_text_is_valid(). */
		at[i] = byte == '\n' || (uint8_t)byte >= ' ' ? byte : '0';
	}
}

static void change_set(struct hf_fdset *set, struct stream *bytes)
{
	uint32_t i = stream_u8(bytes) % set->count;
	uint32_t other = stream_u8(bytes) % set->count;

	if (other % 4 == 0) {
		/* Is missing. */
		close(set->entries[i].fd);
		set->entries[i] = set->entries[--set->count];
		return;
	}
	int fd = set->entries[i].fd;
	set->entries[i].fd = set->entries[other].fd;
	set->entries[other].fd = fd;
}

static void change(struct hf_carry *carry, struct stream *bytes)
{
	uint32_t count = stream_u8(bytes) % CHANGES_MAX;

	for (uint32_t i = 0; i < count; i++) {
		uint8_t what = stream_u8(bytes) % 8;

		if (what < 6) {
			int fd = hf_carry_find(carry, names[what % FILES]);

			if (fd >= 0) {
				change_file(fd, bytes);
			}
		} else if (what == 6) {
			change_text(&carry->set, bytes);
		} else {
			change_set(&carry->set, bytes);
		}
	}
}

/* Replies as they would be to a stale request and to the successor's own, then
 * whatever the input has. */
static void say(int fd, struct stream *bytes)
{
	uint8_t said[REPLY_BYTES];
	size_t len = HF_MIN(bytes->len_bytes - bytes->at, sizeof(said));

	memcpy(said, bytes->data + bytes->at, len);
	(void)!send(fd, said, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
}

static void tell(const struct hf_error *err)
{
	if (getenv("HOLDFAST_FUZZ_LOG") != NULL) {
		fprintf(stderr, "%s\n", err->message);
	}
}

static void take_over(struct hf_carry *carry)
{
	struct hf_device_options options;
	struct hf_driver_options driver;
	struct hf_device *dev;
	struct hf_driver *drv;
	struct hf_error err;

	hf_device_options_init(&options);
	options.timeout_ms = TIMEOUT_MS;
	if (hf_device_adopt(&dev, carry, &options, &err) != 0) {
		tell(&err);
		return;
	}
	hf_driver_options_init(&driver);
	driver.runtime = false;
	driver.cpu_count = 2;
	if (hf_driver_restore(&drv, dev, NULL, 0, &driver, &err) == 0) {
		hf_driver_leave(drv);
	} else {
		tell(&err);
		if (hf_device_clear(dev, &err) == -EBUSY) {
			hf_device_close(dev); /* it is in here */
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct stream bytes = {.data = data, .len_bytes = len_bytes};
	uint32_t before = wire_open_descriptors();
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
		fail("no sockets");
	}
	struct hf_carry *carry = make_set(ends[0]);
	uint8_t how = stream_u8(&bytes);

	if ((how & 1) != 0) {
		hf_carry_prepare(carry);
	}
	if ((how & 2) != 0) {
		memcpy(carry->set.text, "kind=vfio\nx=y.\n", 15);
	}
	change(carry, &bytes);
	say(ends[1], &bytes);
	take_over(carry);
	hf_carry_free(carry);
	close(ends[1]);
	if (wire_open_descriptors() != before) {
		fail("a descriptor was not closed");
	}
	return 0;
}
