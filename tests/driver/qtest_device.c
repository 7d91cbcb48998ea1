/* SPDX-License-Identifier: BSD-3-Clause */
#include "qtest_device.h"

#include <errno.h>
#include <json-c/json.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"

#define DISK_BYTES  (UINT64_C(256) << 20)
#define VECTORS_MAX 64u
#define BAR0_IOVA   UINT64_C(0xe0000000)
#define CLASS_NVME  0x010802u
/* Where messages land: the words of page 1 MiB. DMA memory lies above. */
#define MSI_ADDRESS UINT64_C(0x100000)
#define DMA_FIRST   UINT64_C(0x200000)
#define MSI_DATA    0x4d530001u
#define POLL_NS     20000

struct qtest_device {
	struct hf_device dev; /* first */
	struct hf_qtest_machine machine;
	uint8_t devfn;
	uint8_t msix; /* offset of the capability */
	uint64_t msix_table;
	uint32_t vectors;
	int eventfds[VECTORS_MAX]; /* -1: not mapped; under the control lock */
	bool mapped[VECTORS_MAX];  /* atomic: eventfds[i] may be written to */
	pthread_t poller;
	bool polling; /* the thread exists */
	bool stop;    /* atomic */
};

/* What the machines of this process have complained of. */
static char *complaints;

static struct qtest_device *from_dev(struct hf_device *dev)
{
	return (struct qtest_device *)dev;
}

static int reg_read(struct hf_device *dev, uint32_t offset, uint32_t size_bytes,
		    uint64_t *value)
{
	return hf_qtest_read(&from_dev(dev)->machine, BAR0_IOVA + offset,
			     size_bytes, value);
}

static int reg_write(struct hf_device *dev, uint32_t offset,
		     uint32_t size_bytes, uint64_t value)
{
	return hf_qtest_write(&from_dev(dev)->machine, BAR0_IOVA + offset,
			      size_bytes, value);
}

static uint32_t irq_count(struct hf_device *dev)
{
	return from_dev(dev)->vectors;
}

static uint32_t *msi_word(struct qtest_device *q, uint32_t vector)
{
	return (uint32_t *)(q->machine.ram + MSI_ADDRESS) + vector;
}

/* A message is a word that appears in memory: its arrival is looked for. */
static void *poll_messages(void *arg)
{
	struct qtest_device *q = arg;
	const struct timespec pause = {.tv_nsec = POLL_NS};
	const uint64_t one = 1;

	while (!__atomic_load_n(&q->stop, __ATOMIC_ACQUIRE)) {
		for (uint32_t i = 0; i < q->vectors; i++) {
			if (!__atomic_load_n(&q->mapped[i], __ATOMIC_ACQUIRE)) {
				continue;
			}
			/* Cleared first: a message that comes in between is
			 * found the next time round. */
			if (__atomic_exchange_n(msi_word(q, i), 0,
						__ATOMIC_ACQ_REL) != 0) {
				(void)!write(q->eventfds[i], &one, sizeof(one));
			}
		}
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* One entry of the MSI-X table: address, data, mask. */
static int set_vector(struct qtest_device *q, uint32_t vector, bool masked)
{
	uint64_t entry = q->msix_table + vector * PCI_MSIX_ENTRY_SIZE;
	int rc =
		hf_qtest_write(&q->machine, entry, 4, MSI_ADDRESS + 4 * vector);

	if (rc == 0) {
		rc = hf_qtest_write(&q->machine, entry + 4, 4, 0);
	}
	if (rc == 0) {
		rc = hf_qtest_write(&q->machine, entry + 8, 4, MSI_DATA);
	}
	if (rc == 0) {
		rc = hf_qtest_write(&q->machine, entry + 12, 4, masked);
	}
	return rc;
}

static int irq_map(struct hf_device *dev, uint32_t vector, uint32_t cpu,
		   int *eventfd_out, struct hf_error *err)
{
	struct qtest_device *q = from_dev(dev);
	int rc;

	(void)cpu; /* there is no CPU to deliver to */
	if (vector >= q->vectors) {
		return hf_error_set(err, -EINVAL,
				    "%s: there is no interrupt %u", dev->id,
				    vector);
	}
	if (q->eventfds[vector] < 0) {
		q->eventfds[vector] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->eventfds[vector] < 0) {
			return hf_error_set(err, -errno, "no eventfd");
		}
		__atomic_store_n(&q->mapped[vector], true, __ATOMIC_RELEASE);
		rc = set_vector(q, vector, false);
		if (rc != 0) {
			return hf_error_set(err, rc, "%s: QEMU is gone",
					    dev->id);
		}
	}
	*eventfd_out = q->eventfds[vector];
	return 0;
}

static void stop_polling(struct qtest_device *q)
{
	if (q->polling) {
		__atomic_store_n(&q->stop, true, __ATOMIC_RELEASE);
		pthread_join(q->poller, NULL);
		q->polling = false;
		q->stop = false;
	}
}

static int start_polling(struct qtest_device *q)
{
	int rc = pthread_create(&q->poller, NULL, poll_messages, q);

	q->polling = rc == 0;
	return -rc;
}

static void irq_unmap_all(struct hf_device *dev)
{
	struct qtest_device *q = from_dev(dev);
	bool polled = q->polling;

	/* Nobody may write to a descriptor whose number is given away. */
	stop_polling(q);
	for (uint32_t i = 0; i < q->vectors; i++) {
		if (q->eventfds[i] >= 0) {
			(void)!set_vector(q, i, true);
			close(q->eventfds[i]);
			q->eventfds[i] = -1;
			q->mapped[i] = false;
		}
	}
	if (polled) {
		(void)!start_polling(q);
	}
}

/*
 * The device reaches guest memory and nothing else. So mapping memory means
 * that its pages here are replaced by guest memory with the same content; a
 * second view of the same file does not follow. By system call, because the
 * sanitizers' checks know only one owner of an address.
 */
static int dma_map(struct hf_device *dev, const struct hf_dma_mapping *map,
		   struct hf_error *err)
{
	struct qtest_device *q = from_dev(dev);
	void *seen;

	if (!hf_range_within(map->iova, map->len_bytes, HF_QTEST_RAM_BYTES)) {
		return hf_error_set(err, -EINVAL,
				    "%s: 0x%llx is outside guest memory",
				    dev->id, (unsigned long long)map->iova);
	}
	if (syscall(SYS_pwrite64, q->machine.ram_fd, map->vaddr, map->len_bytes,
		    map->iova) != (long)map->len_bytes) {
		return hf_error_set(err, -ENOMEM, "%s: no guest memory",
				    dev->id);
	}
	seen = mmap(map->vaddr, map->len_bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, q->machine.ram_fd,
		    (off_t)map->iova);
	if (seen == MAP_FAILED) {
		return hf_error_set(err, -errno, "%s: no mapping", dev->id);
	}
	return 0;
}

static int dma_unmap(struct hf_device *dev, const struct hf_dma_mapping *map,
		     struct hf_error *err)
{
	struct qtest_device *q = from_dev(dev);
	int flags = map->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	void *own = mmap(NULL, map->len_bytes, PROT_READ | PROT_WRITE, flags,
			 map->fd, map->fd >= 0 ? (off_t)map->fd_offset : 0);

	if (own == MAP_FAILED) {
		return hf_error_set(err, -errno, "%s: no mapping", dev->id);
	}
	if (syscall(SYS_pread64, q->machine.ram_fd, own, map->len_bytes,
		    map->iova) != (long)map->len_bytes ||
	    mremap(own, map->len_bytes, map->len_bytes,
		   MREMAP_MAYMOVE | MREMAP_FIXED, map->vaddr) == MAP_FAILED) {
		munmap(own, map->len_bytes);
		return hf_error_set(err, -EIO,
				    "%s: memory cannot be given back", dev->id);
	}
	return 0;
}

static int reset(struct hf_device *dev, struct hf_error *err)
{
	return hf_error_set(err, -ENOTSUP, "%s: no function-level reset",
			    dev->id);
}

static void inspect(struct hf_device *dev, struct json_object *into)
{
	struct qtest_device *q = from_dev(dev);

	json_object_object_add(
		into, "requests",
		json_object_new_int64((int64_t)q->machine.requests));
}

static void keep_complaints(struct hf_qtest_machine *machine)
{
	char *said = hf_qtest_said(machine);
	char *both = NULL;

	if (said == NULL ||
	    asprintf(&both, "%s%s", complaints ? complaints : "", said) < 0) {
		both = NULL;
	}
	free(said);
	if (both != NULL) {
		free(complaints);
		complaints = both;
	}
}

static void destroy(struct hf_device *dev, enum hf_release how)
{
	struct qtest_device *q = from_dev(dev);

	irq_unmap_all(dev);
	stop_polling(q);
	hf_device_fini(dev, how);
	if (q->machine.pid > 0) {
		keep_complaints(&q->machine);
	}
	hf_qtest_machine_stop(&q->machine);
	free(q);
}

static const struct hf_device_ops qtest_ops = {
	.kind = "qtest",
	.reg_read = reg_read,
	.reg_write = reg_write,
	.irq_count = irq_count,
	.irq_map = irq_map,
	.irq_unmap_all = irq_unmap_all,
	.dma_map = dma_map,
	.dma_unmap = dma_unmap,
	.reset = reset,
	.inspect = inspect,
	.destroy = destroy,
};

static uint32_t config32(struct qtest_device *q, uint32_t offset)
{
	uint32_t value = UINT32_MAX;

	(void)!hf_qtest_config_read(&q->machine, q->devfn, (uint8_t)offset, 4,
				    &value);
	return value;
}

static int find_function(struct qtest_device *q, struct hf_error *err)
{
	for (uint32_t devfn = 0; devfn < 256; devfn += 8) {
		q->devfn = (uint8_t)devfn;
		if (config32(q, PCI_CLASS_REVISION) >> 8 == CLASS_NVME) {
			return 0;
		}
	}
	return hf_error_set(err, -ENODEV, "QEMU has no NVMe function");
}

/* Sizes BAR 0, puts it where nothing else is, and lets the function work. */
static int place_bar(struct qtest_device *q, struct hf_error *err)
{
	struct hf_qtest_machine *m = &q->machine;
	int rc = hf_qtest_config_write(m, q->devfn, PCI_BASE_ADDRESS_0, 4,
				       UINT32_MAX);

	q->dev.doorbells_trap = true;
	q->dev.bar0_bytes =
		(~(config32(q, PCI_BASE_ADDRESS_0) & ~0xfu) & UINT32_MAX) + 1u;
	if (rc == 0) {
		rc = hf_qtest_config_write(m, q->devfn, PCI_BASE_ADDRESS_0, 4,
					   (uint32_t)BAR0_IOVA);
	}
	if (rc == 0) {
		rc = hf_qtest_config_write(m, q->devfn, PCI_BASE_ADDRESS_1, 4,
					   0);
	}
	if (rc == 0) {
		rc = hf_qtest_config_write(m, q->devfn, PCI_COMMAND, 2,
					   PCI_COMMAND_MEMORY |
						   PCI_COMMAND_MASTER |
						   PCI_COMMAND_INTX_DISABLE);
	}
	if (rc == 0 && q->dev.bar0_bytes < HF_BAR0_MIN_BYTES) {
		rc = -ENODEV;
	}
	return rc == 0 ? 0 : hf_error_set(err, rc, "BAR 0 cannot be placed");
}

static int enable_msix(struct qtest_device *q, struct hf_error *err)
{
	uint32_t at = config32(q, PCI_CAPABILITY_LIST) & 0xfcu;
	uint32_t head = 0;

	for (uint32_t i = 0; i < 48 && at != 0; i++) {
		head = config32(q, at);
		if ((head & 0xff) == PCI_CAP_ID_MSIX) {
			break;
		}
		at = head >> 8 & 0xfc;
	}
	if (at == 0) {
		return hf_error_set(err, -ENODEV, "no MSI-X capability");
	}
	q->msix = (uint8_t)at;
	q->vectors =
		HF_MIN((head >> 16 & PCI_MSIX_FLAGS_QSIZE) + 1, VECTORS_MAX);
	/* QEMU has the table in BAR 0. */
	q->msix_table =
		BAR0_IOVA + (config32(q, at + PCI_MSIX_TABLE) & ~UINT32_C(7));
	return hf_qtest_config_write(&q->machine, q->devfn,
				     (uint8_t)(at + PCI_MSIX_FLAGS), 2,
				     PCI_MSIX_FLAGS_ENABLE);
}

static int start_machine(struct qtest_device *q,
			 const struct hf_qtest_config *config,
			 struct hf_error *err)
{
	char nvme[256];
	char ns[256];
	const char *args[32] = {
		"-drive",
		config->drive != NULL
			? config->drive
			: "id=d0,if=none,format=raw,cache=unsafe,"
			  "file.locking=off,file.filename=" HF_QTEST_DISK,
		"-device",
		"nvme-subsys,id=subsys0,nqn=subsys0",
		"-device",
		nvme,
		"-device",
		ns,
	};

	snprintf(nvme, sizeof(nvme),
		 "nvme,id=nvme0,serial=qtest0,addr=3.0,subsys=subsys0,%s",
		 config->controller != NULL ? config->controller
					    : "max_ioqpairs=8,msix_qsize=9");
	snprintf(ns, sizeof(ns), "nvme-ns,drive=d0,bus=nvme0,nsid=1,%s",
		 config->ns != NULL
			 ? config->ns
			 : "logical_block_size=4096,physical_block_size=4096");
	for (uint32_t i = 8; config->more != NULL && i < 31; i++) {
		args[i] = config->more[i - 8];
		if (args[i] == NULL) {
			break;
		}
	}
	return hf_qtest_machine_start(&q->machine, DISK_BYTES, args, err);
}

int hf_qtest_open(struct hf_device **dev, const struct hf_qtest_config *config,
		  const struct hf_device_options *options, struct hf_error *err)
{
	static const struct hf_qtest_config defaults;
	struct qtest_device *q = calloc(1, sizeof(*q));
	int rc;

	if (q == NULL) {
		return hf_error_set(err, -ENOMEM, "no memory");
	}
	q->dev.ops = &qtest_ops;
	snprintf(q->dev.id, sizeof(q->dev.id), "qtest:nvme0");
	for (uint32_t i = 0; i < VECTORS_MAX; i++) {
		q->eventfds[i] = -1;
	}
	if (options != NULL) {
		q->dev.options = *options;
	} else {
		hf_device_options_init(&q->dev.options);
	}
	/* Guest memory is made of small pages. */
	q->dev.options.huge_pages = HF_HUGE_PAGES_OFF;
	rc = start_machine(q, config != NULL ? config : &defaults, err);
	if (rc != 0) {
		free(q);
		return rc;
	}
	rc = find_function(q, err);
	if (rc == 0) {
		rc = place_bar(q, err);
	}
	if (rc == 0) {
		rc = enable_msix(q, err);
	}
	if (rc == 0) {
		rc = start_polling(q);
	}
	if (rc == 0) {
		q->dev.dma.limits.range_count = 1;
		q->dev.dma.limits.ranges[0].first = DMA_FIRST;
		q->dev.dma.limits.ranges[0].last = HF_QTEST_RAM_BYTES - 1;
		q->dev.dma.limits.private_memory = true;
		rc = hf_device_init(&q->dev, err);
	}
	if (rc != 0) {
		destroy(&q->dev, HF_RELEASE_RESET);
		return rc;
	}
	*dev = &q->dev;
	return 0;
}

struct hf_qtest_machine *hf_qtest_machine(struct hf_device *dev)
{
	return dev->ops == &qtest_ops ? &from_dev(dev)->machine : NULL;
}

uint32_t hf_qtest_mistakes(const char *allowed)
{
	char *line = complaints;
	uint32_t count = 0;

	while (line != NULL && *line != '\0') {
		char *end = strchrnul(line, '\n');
		char *next = *end == '\0' ? end : end + 1;

		*end = '\0';
		if ((strstr(line, "pci_nvme_ub") != NULL ||
		     strstr(line, "pci_nvme_err") != NULL) &&
		    (allowed == NULL || strstr(line, allowed) == NULL)) {
			fprintf(stderr, "QEMU: %s\n", line);
			count++;
		}
		line = next;
	}
	free(complaints);
	complaints = NULL;
	return count;
}
