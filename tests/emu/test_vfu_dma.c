/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: memory lent over vfio-user is reached, checked, and let go of.
 * Method: a client by hand maps, and runs the controller's admin queue.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/memfd.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/clock.h"
#include "emu/guard.h"
#include "vfu_fixture.h"

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
	return fixture_open_with(state, limit_regions);
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

/* The queues stay; what Identify writes to goes away. */
static void shrink(struct fixture *f, int fd)
{
	struct sigaction cmockas;

	sigaction(SIGBUS, &guarded, &cmockas);
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
}

static void memory_that_shrinks_is_let_go_of(void **state)
{
	uint8_t *own;
	int fd = memory_create(8192, &own);

	shrink(*state, fd);
	munmap(own, 8192);
	close(fd);
}

/* A part of a huge page is lent, and then the page is taken away. */
static void huge_pages_are_memory_too(void **state)
{
	struct fixture *f = *state;
	size_t len = 2 << 20;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	void *own = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)len) == 0) {
		own = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   0);
	}
	if (own == MAP_FAILED) {
		if (fd >= 0) {
			close(fd);
		}
		/* cmocka's word for a skipped test is a failure to meson. */
		print_message("# no huge pages here\n");
		return;
	}
	assert_int_equal(client_map(&f->client, 8192, 4096, 3, fd, 8192), 0);
	assert_int_equal(client_unmap(&f->client, 8192, 4096, 0), 0);
	shrink(f, fd);
	munmap(own, len);
	close(fd);
}

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
		TEST(huge_pages_are_memory_too),
	};

	if (hf_guard_install() != 0) {
		return 1;
	}
	sigaction(SIGBUS, NULL, &guarded);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
