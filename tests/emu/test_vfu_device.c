/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: memory and interrupts lent over vfio-user work, are checked, and end
 * with their client or outlive it, as the server was told.
 * Method: a client by hand runs the controller's admin queue.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/clock.h"
#include "emu/guard.h"
#include "vfu_client.h"

#define MEMORY_BYTES 65536u

#define EVENTFD_TRIGGER                                                        \
	(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)
#define NONE_TRIGGER (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)
#define NONE_MASK    (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK)
#define NONE_UNMASK  (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK)
#define INTX         VFIO_PCI_INTX_IRQ_INDEX
#define MSIX         VFIO_PCI_MSIX_IRQ_INDEX

struct fixture {
	struct served served;
	struct vfu_client client;
	struct vfu_client second;
	uint8_t *memory;
	int memory_fd;
	int event;
};

static void open_fixture(struct fixture *f,
			 const struct hf_emu_serve_options *options)
{
	served_open(&f->served, options);
	f->memory_fd = memory_create(MEMORY_BYTES, &f->memory);
	f->event = eventfd(0, EFD_CLOEXEC);
	f->second.fd = -1;
	client_open(&f->client, &f->served);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	open_fixture(f, NULL);
	*state = f;
	return 0;
}

static int setup_with(void **state,
		      void (*change)(struct hf_emu_serve_options *options))
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct hf_emu_serve_options options;

	hf_emu_serve_options_init(&options);
	change(&options);
	open_fixture(f, &options);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	client_close(&f->client);
	client_close(&f->second);
	served_close(&f->served);
	munmap(f->memory, MEMORY_BYTES);
	close(f->memory_fd);
	close(f->event);
	free(f);
	return 0;
}

static int map_all(struct fixture *f)
{
	return client_map(&f->client, 0, MEMORY_BYTES, 3, f->memory_fd, 0);
}

static struct hf_emu_serve_stats stats_of(struct fixture *f)
{
	struct hf_emu_serve_stats stats = {.size = sizeof(stats)};

	hf_emu_serve_stats(f->served.server, &stats);
	return stats;
}

/* ----------------------------------------------------------------------- DMA
 */

static void the_controller_reaches_what_is_mapped(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_all(f), 0);
	admin_enable(&f->client);
	admin_identify(&f->client, f->memory, 0);
	assert_true(admin_completed(f->memory, 0));
	assert_int_not_equal(f->memory[8192], 0);
	admin_disable(&f->client);
}

static void a_ring_may_span_regions(void **state)
{
	struct fixture *f = *state;

	/* Pages in an order of their own. */
	for (uint64_t page = 0; page < 4; page++) {
		assert_int_equal(client_map(&f->client, page * 4096, 4096, 3,
					    f->memory_fd, (3 - page) * 4096),
				 0);
	}
	client_set_reg32(&f->client, 0x24, 127u << 16 | 127u);
	client_set_reg64(&f->client, 0x28, 0);
	client_set_reg64(&f->client, 0x30, 8192);
	client_set_reg32(&f->client, 0x14, 6u << 16 | 4u << 20 | 1u);
	uint64_t deadline = hf_deadline_ms(10000);
	while ((client_reg32(&f->client, 0x1c) & 1) == 0) {
		assert_false(hf_deadline_passed(deadline));
	}
	/* Entry 65 is on the ring's second page; all are Keep Alive, which
	 * needs no data: its status is of no interest. */
	for (uint32_t i = 0; i < 66; i++) {
		uint8_t *at = f->memory + (3 - i / 64) * 4096 + i % 64 * 64;

		at[0] = 0x18;
		hf_put_le16(at + 2, (uint16_t)i);
	}
	client_set_reg32(&f->client, 0x1000, 66);

	const uint32_t *dw3 = (void *)(f->memory + 4096 + 65 * 16 + 12);
	while ((hf_load_le32_acquire(dw3) & 0x10000) == 0) {
		assert_false(hf_deadline_passed(deadline));
	}
	assert_int_equal(hf_load_le32_acquire(dw3) & 0xffff, 65);
	admin_disable(&f->client);
}

static void bad_regions_are_refused(void **state)
{
	struct fixture *f = *state;
	int fd = f->memory_fd;
	int pipes[2];
	const struct {
		uint64_t iova;
		uint64_t len_bytes;
		uint32_t flags;
		int fd;
		uint64_t offset;
		int error;
	} cases[] = {
		{0, 0, 3, fd, 0, EINVAL},
		{1, 4096, 3, fd, 0, EINVAL},
		{0, 4095, 3, fd, 0, EINVAL},
		{0, 4096, 0, fd, 0, EINVAL},
		{0, 4096, 7, fd, 0, EINVAL},
		{0, 4096, 3, fd, 1, EINVAL},
		{0, MEMORY_BYTES + 4096, 3, fd, 0, EINVAL},
		{0, 4096, 3, fd, MEMORY_BYTES, EINVAL},
		{0, 4096, 3, fd, UINT64_MAX - 4095, EINVAL},
		{UINT64_MAX - 4095, 8192, 3, fd, 0, EINVAL},
		{0, UINT64_MAX - 4095, 3, fd, 4096, EINVAL},
	};

	for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
		assert_int_equal(client_map(&f->client, cases[i].iova,
					    cases[i].len_bytes, cases[i].flags,
					    cases[i].fd, cases[i].offset),
				 cases[i].error);
	}
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(client_map(&f->client, 0, 4096, 3, pipes[0], 0),
			 EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(stats_of(f).dma_regions, 0);
}

static void read_only_memory_is_not_lent_for_writing(void **state)
{
	struct fixture *f = *state;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->memory_fd);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(client_map(&f->client, 0, 4096, 3, fd, 0), EACCES);
	assert_int_equal(client_map(&f->client, 0, 4096, 1, fd, 0), 0);
	close(fd);
}

static void overlaps_are_refused(void **state)
{
	struct fixture *f = *state;
	int fd = f->memory_fd;

	assert_int_equal(client_map(&f->client, 8192, 8192, 3, fd, 0), 0);
	assert_int_equal(client_map(&f->client, 8192, 8192, 3, fd, 0), EEXIST);
	assert_int_equal(client_map(&f->client, 4096, 8192, 3, fd, 0), EEXIST);
	assert_int_equal(client_map(&f->client, 12288, 8192, 3, fd, 0), EEXIST);
	assert_int_equal(client_map(&f->client, 0, 32768, 3, -1, 0), EEXIST);
	assert_int_equal(client_map(&f->client, 4096, 4096, 3, fd, 0), 0);
	assert_int_equal(client_map(&f->client, 16384, 4096, 3, fd, 0), 0);
	assert_int_equal(stats_of(f).dma_regions, 3);
}

static void memory_without_a_descriptor_takes_its_place(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(client_map(&f->client, 0, 4096, 1, -1, 0), 0);
	assert_int_equal(client_map(&f->client, 0, 4096, 3, f->memory_fd, 0),
			 EEXIST);
	assert_int_equal(client_unmap(&f->client, 0, 4096, 0), 0);
	assert_int_equal(map_all(f), 0);
}

static void whole_regions_are_unmapped(void **state)
{
	struct fixture *f = *state;
	int fd = f->memory_fd;

	for (uint64_t at = 0; at < 8; at++) {
		assert_int_equal(client_map(&f->client, at * 8192, 8192, 3,
					    at == 3 ? -1 : fd, at * 8192),
				 0);
	}
	assert_int_equal(client_unmap(&f->client, 4096, 8192, 0), EINVAL);
	assert_int_equal(client_unmap(&f->client, 0, 4096, 0), EINVAL);
	assert_int_equal(client_unmap(&f->client, 0, 0, 0), EINVAL);
	assert_int_equal(client_unmap(&f->client, 1 << 20, 4096, 0), ENOENT);
	assert_int_equal(client_unmap(&f->client, 0, 8192, 1), EINVAL);
	assert_int_equal(client_unmap(&f->client, 1 << 20, UINT64_MAX, 0),
			 EINVAL);
	assert_int_equal(stats_of(f).dma_regions, 8);
	assert_int_equal(client_unmap(&f->client, 0, 8192, 0), 0);
	/* Several at once, and the gap in front of them. */
	assert_int_equal(client_unmap(&f->client, 0, 40960, 0), 0);
	assert_int_equal(stats_of(f).dma_regions, 3);
	assert_int_equal(client_unmap(&f->client, 0, 4096, 2), EINVAL);
	assert_int_equal(client_unmap(&f->client, 0, 0, 2), 0);
	assert_int_equal(stats_of(f).dma_regions, 0);
	assert_int_equal(client_unmap(&f->client, 0, 0, 2), 0);
	assert_int_equal(map_all(f), 0);
	/* The whole address space, as when an IOMMU is switched over. */
	assert_int_equal(client_unmap(&f->client, 0, UINT64_MAX, 0), 0);
}

static void unmapped_memory_is_left_alone(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(client_map(&f->client, 0, 8192, 3, f->memory_fd, 0),
			 0);
	assert_int_equal(
		client_map(&f->client, 8192, 4096, 3, f->memory_fd, 8192), 0);
	admin_enable(&f->client);
	assert_int_equal(client_unmap(&f->client, 8192, 4096, 0), 0);
	admin_identify(&f->client, f->memory, 0);
	assert_false(admin_completed(f->memory, 0));
	assert_int_equal(f->memory[8192], 0);
	admin_disable(&f->client);
}

static void limit_regions(struct hf_emu_serve_options *options)
{
	options->max_dma_regions = 64;
}

static int setup_limited(void **state)
{
	return setup_with(state, limit_regions);
}

static void one_region_too_many_is_refused(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 64; i++) {
		assert_int_equal(client_map(&f->client, i * 4096, 4096, 3,
					    f->memory_fd, 0),
				 0);
	}
	assert_int_equal(
		client_map(&f->client, 1 << 20, 4096, 3, f->memory_fd, 0),
		EINVAL);
	assert_int_equal(client_unmap(&f->client, 4096, 4096, 0), 0);
	assert_int_equal(
		client_map(&f->client, 1 << 20, 4096, 3, f->memory_fd, 0), 0);
}

static void thousands_of_pages_cost_no_mappings(void **state)
{
	enum { COUNT = 8000, FLIGHT = 100 };
	struct fixture *f = *state;
	struct vfu_dma_map map = {.argsz = sizeof(map), .flags = 3};

	/* Every other page, so that none can be joined. */
	for (uint32_t i = 0; i < COUNT; i += FLIGHT) {
		for (uint32_t k = i; k < i + FLIGHT; k++) {
			map.iova = (uint64_t)k * 8192;
			map.size = 4096;
			map.offset = k % 16 * 4096;
			client_send(&f->client, VFU_DMA_MAP, &map, sizeof(map),
				    &f->memory_fd, 1);
		}
		for (uint32_t k = i; k < i + FLIGHT; k++) {
			assert_true(client_receive(&f->client));
			assert_int_equal(f->client.header.flags, 1);
		}
	}
	assert_int_equal(stats_of(f).dma_regions, COUNT);
	assert_int_equal(client_unmap(&f->client, 0, 0, 2), 0);
}

/* As the server installed it; cmocka puts its own in front of each test. */
static struct sigaction guarded;

static void memory_that_shrinks_is_let_go_of(void **state)
{
	struct fixture *f = *state;
	struct sigaction cmockas;

	sigaction(SIGBUS, &guarded, &cmockas);
	uint8_t *own;
	int fd = memory_create(8192, &own);

	/* The queues stay; what Identify writes to goes away. */
	assert_int_equal(client_map(&f->client, 0, 8192, 3, f->memory_fd, 0),
			 0);
	assert_int_equal(client_map(&f->client, 8192, 4096, 3, fd, 0), 0);
	admin_enable(&f->client);
	assert_int_equal(ftruncate(fd, 0), 0);
	admin_identify(&f->client, f->memory, 0);
	admin_completed(f->memory, 0);

	uint64_t deadline = hf_deadline_ms(10000);
	while (stats_of(f).shrunk == 0) {
		assert_false(hf_deadline_passed(deadline));
		poll(NULL, 0, 1);
	}
	sigaction(SIGBUS, &cmockas, NULL);
	assert_int_equal(stats_of(f).dma_regions, 1);
	admin_disable(&f->client);
	munmap(own, 8192);
	close(fd);
}

/* ---------------------------------------------------------------- interrupts
 */

static void completions_interrupt_by_msix(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_all(f), 0);
	client_enable_msix(&f->client);
	assert_int_equal(client_set_irqs(&f->client, EVENTFD_TRIGGER, MSIX, 0,
					 1, &f->event, 1),
			 0);
	admin_enable(&f->client);
	admin_identify(&f->client, f->memory, 0);
	assert_true(event_comes(f->event));
	assert_true(admin_completed(f->memory, 0));
	admin_disable(&f->client);
}

static void msix_waits_for_its_enable_bit(void **state)
{
	struct fixture *f = *state;
	uint16_t command = 0x0406;

	client_write(&f->client, VFIO_PCI_CONFIG_REGION_INDEX, 4, 2, &command);
	assert_int_equal(map_all(f), 0);
	assert_int_equal(client_set_irqs(&f->client, EVENTFD_TRIGGER, MSIX, 0,
					 1, &f->event, 1),
			 0);
	admin_enable(&f->client);
	admin_identify(&f->client, f->memory, 0);
	assert_true(admin_completed(f->memory, 0));
	assert_false(event_pending(f->event));
	admin_disable(&f->client);
}

static void intx_is_a_level(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_all(f), 0);
	assert_int_equal(client_set_irqs(&f->client, EVENTFD_TRIGGER, INTX, 0,
					 1, &f->event, 1),
			 0);
	admin_enable(&f->client);
	admin_identify(&f->client, f->memory, 0);
	assert_true(event_comes(f->event));

	/* Masked by its own event: a second completion is not heard. */
	admin_identify(&f->client, f->memory, 1);
	assert_true(admin_completed(f->memory, 1));
	assert_false(event_pending(f->event));
	uint16_t status;
	client_read(&f->client, VFIO_PCI_CONFIG_REGION_INDEX, 6, 2, &status);
	assert_true(status & 8);

	/* Still asserted when unmasked; not any more when all is reaped. */
	assert_int_equal(
		client_set_irqs(&f->client, NONE_UNMASK, INTX, 0, 1, NULL, 0),
		0);
	assert_true(event_comes(f->event));
	client_set_reg32(&f->client, 0x1004, 2);
	assert_int_equal(
		client_set_irqs(&f->client, NONE_UNMASK, INTX, 0, 1, NULL, 0),
		0);
	client_read(&f->client, VFIO_PCI_CONFIG_REGION_INDEX, 6, 2, &status);
	assert_false(status & 8);
	assert_false(event_pending(f->event));
	admin_identify(&f->client, f->memory, 2);
	assert_true(event_comes(f->event));
	admin_disable(&f->client);
}

static void vectors_are_set_in_ranges(void **state)
{
	struct fixture *f = *state;
	struct vfu_client *client = &f->client;
	struct {
		struct vfu_irq_set set;
		uint8_t bools[4];
	} some = {.set = {.argsz = 24,
			  .flags = VFIO_IRQ_SET_DATA_BOOL |
				   VFIO_IRQ_SET_ACTION_TRIGGER,
			  .index = MSIX,
			  .start = 2,
			  .count = 4},
		  .bools = {0, 1, 0, 1}};
	int events[4];

	client_enable_msix(client);
	for (uint32_t i = 0; i < 4; i++) {
		events[i] = eventfd(0, EFD_CLOEXEC);
	}
	assert_int_equal(
		client_set_irqs(client, EVENTFD_TRIGGER, MSIX, 2, 4, events, 4),
		0);
	assert_int_equal(
		client_call(client, VFU_DEVICE_SET_IRQS, &some, 24, NULL, 0),
		0);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(event_pending(events[i]), i % 2);
	}
	/* Unset one, then trigger all; then disable them all. */
	assert_int_equal(
		client_set_irqs(client, EVENTFD_TRIGGER, MSIX, 4, 1, NULL, 0),
		0);
	assert_int_equal(
		client_set_irqs(client, NONE_TRIGGER, MSIX, 2, 4, NULL, 0), 0);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(event_pending(events[i]), i != 2);
		if (i != 2) {
			assert_true(event_comes(events[i]));
		}
	}
	assert_int_equal(
		client_set_irqs(client, NONE_TRIGGER, MSIX, 0, 0, NULL, 0), 0);
	assert_int_equal(
		client_set_irqs(client, NONE_TRIGGER, MSIX, 2, 4, NULL, 0), 0);
	for (uint32_t i = 0; i < 4; i++) {
		assert_false(event_pending(events[i]));
		close(events[i]);
	}
}

static void bad_interrupt_settings_are_refused(void **state)
{
	struct fixture *f = *state;
	int pipes[2];
	int fds[2] = {f->event, f->event};
	const struct {
		uint32_t flags;
		uint32_t index;
		uint32_t start;
		uint32_t count;
		uint32_t fd_count;
	} cases[] = {
		{0, MSIX, 0, 1, 0},
		{0x20, MSIX, 0, 1, 0},
		{0x01, MSIX, 0, 1, 0},
		{0x25, MSIX, 0, 1, 1}, /* two kinds of data */
		{0x34, MSIX, 0, 1, 1}, /* two actions */
		{0x64, MSIX, 0, 1, 1},
		{0x80000024, MSIX, 0, 1, 1},
		{0x24, MSIX, 0, 2, 1}, /* too few descriptors */
		{0x24, MSIX, 0, 1, 2},
		{0x24, MSIX, 0, 0, 0},
		{0x24, MSIX, 8, 1, 1}, /* beyond the last */
		{0x24, MSIX, 7, 2, 2},
		{0x24, MSIX, UINT32_MAX, 2, 2},
		{0x24, MSIX, 1, UINT32_MAX, 0},
		{0x24, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, 1},
		{0x24, 5, 0, 1, 1},
		{0x24, UINT32_MAX, 0, 1, 1},
		{0x24, INTX, 1, 1, 1},
		{0x21, MSIX, 0, 1, 1}, /* a descriptor with none */
		{0x21, MSIX, 1, 0, 0},
		{0x09, MSIX, 0, 0, 0},
		{0x22, MSIX, 0, 4, 0}, /* no booleans */
		{0x14, INTX, 0, 1, 1}, /* events of masking: not there */
		{0x09, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, 0},
	};

	for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
		assert_int_equal(client_set_irqs(&f->client, cases[i].flags,
						 cases[i].index, cases[i].start,
						 cases[i].count, fds,
						 cases[i].fd_count),
				 EINVAL);
	}
	/* A pipe could make the controller wait. */
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(client_set_irqs(&f->client, EVENTFD_TRIGGER, MSIX, 0,
					 1, &pipes[1], 1),
			 EINVAL);
	close(pipes[0]);
	close(pipes[1]);
}

static void a_masked_vector_is_pending(void **state)
{
	struct fixture *f = *state;
	struct vfu_client *client = &f->client;
	uint32_t control = 1;
	uint8_t pending = 0;

	client_enable_msix(client);
	assert_int_equal(client_set_irqs(client, EVENTFD_TRIGGER, MSIX, 3, 1,
					 &f->event, 1),
			 0);
	/* Vector control of entry 3. */
	assert_int_equal(client_write(client, 4, 3 * 16 + 12, 4, &control), 0);
	assert_int_equal(
		client_set_irqs(client, NONE_TRIGGER, MSIX, 3, 1, NULL, 0), 0);
	assert_false(event_pending(f->event));
	assert_int_equal(client_read(client, 4, 0x1000, 1, &pending), 0);
	assert_int_equal(pending, 1 << 3);
	control = 0;
	assert_int_equal(client_write(client, 4, 3 * 16 + 12, 4, &control), 0);
	assert_true(event_comes(f->event));
	assert_int_equal(client_read(client, 4, 0x1000, 1, &pending), 0);
	assert_int_equal(pending, 0);
}

static void a_masked_function_is_pending(void **state)
{
	struct fixture *f = *state;
	struct vfu_client *client = &f->client;
	uint16_t control = 0xc000;

	client_enable_msix(client);
	assert_int_equal(client_set_irqs(client, EVENTFD_TRIGGER, MSIX, 0, 1,
					 &f->event, 1),
			 0);
	client_write(client, VFIO_PCI_CONFIG_REGION_INDEX, 0x52, 2, &control);
	client_set_irqs(client, NONE_TRIGGER, MSIX, 0, 1, NULL, 0);
	assert_false(event_pending(f->event));
	control = 0x8000;
	client_write(client, VFIO_PCI_CONFIG_REGION_INDEX, 0x52, 2, &control);
	assert_true(event_comes(f->event));
}

static void the_client_can_be_asked_to_let_go(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(hf_emu_serve_request_removal(f->served.server),
			 -ENOTCONN);
	assert_int_equal(client_set_irqs(&f->client, EVENTFD_TRIGGER,
					 VFIO_PCI_REQ_IRQ_INDEX, 0, 1,
					 &f->event, 1),
			 0);
	assert_int_equal(hf_emu_serve_request_removal(f->served.server), 0);
	assert_true(event_comes(f->event));
}

static void be_strict(struct hf_emu_serve_options *options)
{
	options->strict_intx = true;
}

static int setup_strict(void **state)
{
	return setup_with(state, be_strict);
}

static void an_interrupt_that_nobody_expects_is_fatal(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_all(f), 0);
	admin_enable(&f->client);
	admin_identify(&f->client, f->memory, 0);
	uint64_t deadline = hf_deadline_ms(10000);
	while ((client_reg32(&f->client, 0x1c) & 2) == 0) {
		assert_false(hf_deadline_passed(deadline));
	}
}

/* ------------------------------------------------------------ life and death
 */

static void a_client_that_goes_resets_the_controller(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_all(f), 0);
	admin_enable(&f->client);
	client_close(&f->client);
	client_open(&f->client, &f->served);
	assert_int_equal(client_reg32(&f->client, 0x14), 0);
	assert_int_equal(client_reg32(&f->client, 0x1c), 0);
	assert_int_equal(stats_of(f).dma_regions, 0);
}

static void keep(struct hf_emu_serve_options *options)
{
	options->on_disconnect = HF_EMU_DISCONNECT_KEEP;
}

static int setup_keep(void **state)
{
	return setup_with(state, keep);
}

static void a_kept_controller_goes_on_for_the_next_client(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_all(f), 0);
	client_enable_msix(&f->client);
	assert_int_equal(client_set_irqs(&f->client, EVENTFD_TRIGGER, MSIX, 0,
					 1, &f->event, 1),
			 0);
	admin_enable(&f->client);
	client_close(&f->client);

	/* The same memory is mapped again, as it was; the event is the old
	 * one. */
	client_open(&f->client, &f->served);
	assert_int_equal(client_reg32(&f->client, 0x1c), 1);
	assert_int_equal(map_all(f), 0);
	assert_int_equal(stats_of(f).dma_regions, 1);
	assert_int_equal(map_all(f), EEXIST);
	admin_identify(&f->client, f->memory, 0);
	assert_true(event_comes(f->event));
	assert_true(admin_completed(f->memory, 0));
	admin_disable(&f->client);
}

static void what_was_kept_gives_way(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(client_map(&f->client, 0, 8192, 3, f->memory_fd, 0),
			 0);
	assert_int_equal(
		client_map(&f->client, 8192, 8192, 3, f->memory_fd, 8192), 0);
	client_close(&f->client);
	client_open(&f->client, &f->served);
	assert_int_equal(stats_of(f).dma_regions, 2);
	assert_int_equal(client_map(&f->client, 4096, 8192, 3, f->memory_fd, 0),
			 0);
	assert_int_equal(stats_of(f).dma_regions, 1);
}

static void a_second_client_is_told_that_one_is_served(void **state)
{
	struct fixture *f = *state;
	uint8_t payload[4] = {0, 0, 1, 0};

	client_connect(&f->second, &f->served);
	assert_int_equal(
		client_call(&f->second, VFU_VERSION, payload, 4, NULL, 0),
		EBUSY);
	client_expect_end(&f->second);
	assert_int_equal(client_reg32(&f->client, 8), 0x00020000);
	assert_int_equal(stats_of(f).refused, 1);
}

static void ignore_second(struct hf_emu_serve_options *options)
{
	options->ignore_second = true;
}

static int setup_ignoring(void **state)
{
	return setup_with(state, ignore_second);
}

static void a_second_client_waits_for_the_first_to_go(void **state)
{
	struct fixture *f = *state;
	uint8_t payload[4] = {0, 0, 1, 0};

	client_connect(&f->second, &f->served);
	client_send(&f->second, VFU_VERSION, payload, 4, NULL, 0);
	assert_int_equal(client_reg32(&f->client, 8), 0x00020000);
	client_expect_silence(&f->second);
	client_close(&f->client);
	assert_true(client_receive(&f->second));
	assert_int_equal(client_reg32(&f->second, 8), 0x00020000);
}

static void the_client_can_be_thrown_out(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(hf_emu_serve_disconnect(f->served.server), 0);
	client_expect_end(&f->client);
	assert_int_equal(hf_emu_serve_disconnect(f->served.server), -ENOTCONN);
}

static void be_slow(struct hf_emu_serve_options *options)
{
	options->message_interval_us = 20000;
}

static int setup_slow(void **state)
{
	return setup_with(state, be_slow);
}

static void slow_messages_wait_for_their_time(void **state)
{
	struct fixture *f = *state;
	uint64_t start = hf_now_ns();

	for (int i = 0; i < 5; i++) {
		client_reg32(&f->client, 8);
	}
	assert_true(hf_now_ns() - start > 60 * HF_NS_PER_MS);
	client_close(&f->client);
	client_open(&f->client, &f->served);
}

static void be_message_only(struct hf_emu_serve_options *options)
{
	options->doorbells = HF_EMU_DOORBELLS_MESSAGES;
	options->reset_keeps_state = true;
}

static int setup_messages(void **state)
{
	return setup_with(state, be_message_only);
}

static void doorbells_may_be_messages(void **state)
{
	struct fixture *f = *state;
	struct vfu_region_info info = {.argsz = 64};

	assert_int_equal(client_call(&f->client, VFU_DEVICE_GET_REGION_INFO,
				     &info, sizeof(info), NULL, 0),
			 0);
	assert_int_equal(f->client.fd_count, 0);
	assert_int_equal(hf_get_le32(f->client.payload + 40), 0);
	the_controller_reaches_what_is_mapped(state);
}

static void a_reset_may_leave_the_controller_alone(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_all(f), 0);
	admin_enable(&f->client);
	assert_int_equal(
		client_call(&f->client, VFU_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	assert_int_equal(client_reg32(&f->client, 0x1c), 1);
	admin_disable(&f->client);
}

static void one_socket_has_one_server(void **state)
{
	struct fixture *f = *state;
	struct hf_emu_server *server;
	struct hf_emu *emu;
	struct hf_error err;

	assert_int_equal(hf_emu_create(&emu, NULL, &err), 0);
	assert_int_equal(
		hf_emu_serve_open(&server, emu, f->served.path, NULL, &err),
		-EADDRINUSE);
	assert_int_equal(
		hf_emu_serve_open(&server, emu, "/dev/null", NULL, &err),
		-EEXIST);
	assert_int_equal(
		hf_emu_serve_open(&server, emu, "/nowhere/s", NULL, &err),
		-ENOENT);
	/* A directory gets the name that others use. */
	assert_int_equal(hf_emu_serve_open(&server, emu, f->served.directory,
					   NULL, &err),
			 0);
	char path[96];
	snprintf(path, sizeof(path), "%s/cntrl", f->served.directory);
	assert_int_equal(access(path, F_OK), 0);
	hf_emu_serve_close(server);
	assert_int_not_equal(access(path, F_OK), 0);
	hf_emu_destroy(emu);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_ON(name, prepare)                                                 \
	cmocka_unit_test_setup_teardown(name, prepare, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_controller_reaches_what_is_mapped),
		TEST(a_ring_may_span_regions),
		TEST(bad_regions_are_refused),
		TEST(read_only_memory_is_not_lent_for_writing),
		TEST(overlaps_are_refused),
		TEST(memory_without_a_descriptor_takes_its_place),
		TEST(whole_regions_are_unmapped),
		TEST(unmapped_memory_is_left_alone),
		TEST_ON(one_region_too_many_is_refused, setup_limited),
		TEST(thousands_of_pages_cost_no_mappings),
		TEST(memory_that_shrinks_is_let_go_of),
		TEST(completions_interrupt_by_msix),
		TEST(msix_waits_for_its_enable_bit),
		TEST(intx_is_a_level),
		TEST(vectors_are_set_in_ranges),
		TEST(bad_interrupt_settings_are_refused),
		TEST(a_masked_vector_is_pending),
		TEST(a_masked_function_is_pending),
		TEST(the_client_can_be_asked_to_let_go),
		TEST_ON(an_interrupt_that_nobody_expects_is_fatal,
			setup_strict),
		TEST(a_client_that_goes_resets_the_controller),
		TEST_ON(a_kept_controller_goes_on_for_the_next_client,
			setup_keep),
		TEST_ON(what_was_kept_gives_way, setup_keep),
		TEST(a_second_client_is_told_that_one_is_served),
		TEST_ON(a_second_client_waits_for_the_first_to_go,
			setup_ignoring),
		TEST(the_client_can_be_thrown_out),
		TEST_ON(slow_messages_wait_for_their_time, setup_slow),
		TEST_ON(doorbells_may_be_messages, setup_messages),
		TEST_ON(a_reset_may_leave_the_controller_alone, setup_messages),
		TEST(one_socket_has_one_server),
	};

	assert_int_equal(hf_guard_install(), 0);
	sigaction(SIGBUS, NULL, &guarded);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
