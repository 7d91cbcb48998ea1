/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: the vfio-user client does what a controller on the other side needs,
 * in few messages, and stays within what the server can take.
 * Method: a scripted server in a thread, which plays one kind of server after
 * the other; the test looks at what it was told.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "device/vfio_user.h"
#include "vfu_fixture.h"

#define PAGE UINT64_C(4096)

static void opens_and_tells_what_it_found(void **state)
{
	struct vfu_fixture *f = *state;

	vfu_opened(f);

	assert_non_null(strstr(hf_device_id(f->dev), "vfio-user:/tmp/"));
	assert_int_equal(f->dev->bar0_bytes, SCRIPT_BAR0_BYTES);
	assert_int_equal(f->dev->ops->irq_count(f->dev), SCRIPT_VECTORS);
	assert_false(f->dev->dma.limits.private_memory);
	assert_string_equal(f->dev->ops->kind, "vfio-user");
}

static void opens_the_directory_that_holds_cntrl(void **state)
{
	struct vfu_fixture *f = *state;

	scripted_server_start(&f->server);
	assert_int_equal(hf_vfio_user_open(&f->dev, f->server.directory,
					   &f->options, &f->err),
			 0);
}

static void opens_a_path_longer_than_a_socket_address(void **state)
{
	struct vfu_fixture *f = *state;
	char path[300];

	scripted_server_start(&f->server);
	int len = snprintf(path, sizeof(path), "%s", f->server.directory);
	while (len < 200) {
		len += snprintf(path + len, sizeof(path) - (size_t)len, "/.");
	}
	snprintf(path + len, sizeof(path) - (size_t)len, "/cntrl");
	assert_int_equal(hf_vfio_user_open(&f->dev, path, &f->options, &f->err),
			 0);
}

static void opens_without_options_and_by_address(void **state)
{
	struct vfu_fixture *f = *state;
	char address[300];

	scripted_server_start(&f->server);
	snprintf(address, sizeof(address), "vfio-user:%s", f->server.path);
	assert_int_equal(hf_device_open(&f->dev, address, NULL, &f->err), 0);
}

static void doorbells_are_rung_through_the_mapping(void **state)
{
	struct vfu_fixture *f = *state;
	struct hf_doorbell doorbell;

	vfu_opened(f);
	uint32_t before = vfu_messages(f);
	assert_int_equal(hf_doorbell_init(&doorbell, f->dev, 0x1008, &f->err),
			 0);
	hf_doorbell_ring(&doorbell, 77);

	assert_int_equal(scripted_server_doorbell(&f->server, 0x1008), 77);
	assert_int_equal(vfu_messages(f), before);
	assert_int_equal(f->dev->doorbells_bytes, 0x1000);
}

static void doorbells_go_by_message_where_none_can_be_mapped(void **state)
{
	struct vfu_fixture *f = *state;
	struct hf_doorbell doorbell;
	uint64_t value;

	f->server.region_flags =
		VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	f->server.sparse = false;
	f->server.bar0_fd = false;
	vfu_opened(f);
	assert_null(f->dev->doorbells);
	assert_int_equal(hf_doorbell_init(&doorbell, f->dev, 0x1008, &f->err),
			 0);
	hf_doorbell_ring(&doorbell, 78);
	hf_doorbell_ring(&doorbell, 79);
	/* Asked after them, answered after them. */
	assert_int_equal(f->dev->ops->reg_read(f->dev, 0x1008, 4, &value), 0);

	assert_int_equal(value, 79);
	assert_int_equal(vfu_count(f, VFU_REGION_WRITE), 3);
	assert_int_equal(f->server.no_reply, 2);
}

/* What a server may say of BAR 0's mapping, and where the doorbells end up. */
static const struct mapping_row {
	const char *name;
	uint32_t extra_flags;
	bool sparse;
	uint64_t offset;
	uint64_t bytes;
	bool fd;
	uint64_t file_bytes;
	uint64_t mapped;
} mapping_rows[] = {
	{"one area", 0xc, true, 0x1000, 0x1000, true, 0x2000, 0x1000},
	{"larger area", 0xc, true, 0x1000, 0x3000, true, 0x4000, 0x3000},
	{"area that begins before", 0xc, true, 0, 0x2000, true, 0x2000, 0x1000},
	{"all of BAR 0", 0x4, false, 0, 0, true, 0x4000, 0x3000},
	{"area elsewhere", 0xc, true, 0x2000, 0x1000, true, 0x4000, 0},
	{"area smaller than a page", 0xc, true, 0x1000, 8, true, 0x2000, 0},
	{"no descriptor", 0xc, true, 0x1000, 0x1000, false, 0x2000, 0},
	{"file too short", 0xc, true, 0x1000, 0x1000, true, 0x1800, 0},
	{"descriptor without the flag", 0, false, 0, 0, true, 0x4000, 0},
};

static void maps_what_can_be_mapped_and_no_more(void **state)
{
	struct vfu_fixture *f;
	(void)state;

	for (size_t i = 0; i < HF_ARRAY_LEN(mapping_rows); i++) {
		const struct mapping_row *row = &mapping_rows[i];
		void *each;

		vfu_setup(&each);
		f = each;
		f->server.region_flags = 3 | row->extra_flags;
		f->server.sparse = row->sparse;
		f->server.sparse_offset = row->offset;
		f->server.sparse_bytes = row->bytes;
		f->server.bar0_fd = row->fd;
		f->server.bar0_file_bytes = row->file_bytes;
		vfu_opened(f);
		if (f->dev->doorbells_bytes != row->mapped) {
			fail_msg("%s: %llu bytes", row->name,
				 (unsigned long long)f->dev->doorbells_bytes);
		}
		assert_int_equal(f->dev->doorbells != NULL, row->mapped != 0);
		assert_int_equal(vfu_teardown(&each), 0);
	}
}

static void asks_again_when_a_region_needs_more_room(void **state)
{
	struct vfu_fixture *f = *state;

	f->server.region_argsz = 1000;
	vfu_opened(f);

	assert_int_equal(vfu_count(f, VFU_DEVICE_GET_REGION_INFO), 2);
	assert_non_null(f->dev->doorbells);
}

static void registers_are_read_and_written_whole(void **state)
{
	struct vfu_fixture *f = *state;
	uint64_t wide;
	uint32_t narrow;

	vfu_opened(f);
	assert_int_equal(
		hf_reg_write64(f->dev, 0x28, UINT64_C(0x1122334455667788)), 0);
	assert_int_equal(hf_reg_read64(f->dev, 0x28, &wide), 0);
	assert_int_equal(hf_reg_read32(f->dev, 0x2c, &narrow), 0);

	assert_int_equal(wide, UINT64_C(0x1122334455667788));
	assert_int_equal(narrow, 0x11223344);
	assert_int_equal(hf_reg_write32(f->dev, 0x14, 0x460001), 0);
	assert_int_equal(hf_get_le32(f->server.regs + 0x14), 0x460001);
}

static void bus_master_is_on_and_intx_off(void **state)
{
	struct vfu_fixture *f = *state;

	vfu_opened(f);

	uint16_t command = hf_get_le16(f->server.config + PCI_COMMAND);
	assert_true((command & PCI_COMMAND_MASTER) != 0);
	assert_true((command & PCI_COMMAND_MEMORY) != 0);
	assert_true((command & PCI_COMMAND_INTX_DISABLE) != 0);
}

static void config_space_is_read_in_pieces_the_server_takes(void **state)
{
	struct vfu_fixture *f = *state;

	f->server.version_json =
		"{\"capabilities\":{\"max_data_xfer_size\":64}}";
	vfu_opened(f);

	assert_int_equal(vfu_count(f, VFU_REGION_READ), 4);
}

static void an_interrupt_reaches_its_eventfd(void **state)
{
	struct vfu_fixture *f = *state;
	uint64_t count = 0;
	int fd = -1;
	int again = -1;

	vfu_opened(f);
	assert_int_equal(f->dev->ops->irq_map(f->dev, 3, 0, &fd, &f->err), 0);
	assert_int_equal(f->dev->ops->irq_map(f->dev, 3, 1, &again, &f->err),
			 0);
	assert_int_equal(fd, again);
	uint16_t control =
		hf_get_le16(f->server.config + SCRIPT_MSIX_AT + PCI_MSIX_FLAGS);
	assert_true((control & PCI_MSIX_FLAGS_ENABLE) != 0);
	assert_int_equal(eventfd_write(vfu_irq_fd(f, 3), 5), 0);
	assert_int_equal(eventfd_read(fd, &count), 0);
	assert_int_equal(count, 5);
}

static void many_vectors_take_few_messages(void **state)
{
	struct vfu_fixture *f = *state;
	int fd;

	vfu_opened(f);
	uint32_t before = vfu_messages(f);
	for (uint32_t i = 0; i < SCRIPT_VECTORS; i++) {
		assert_int_equal(
			f->dev->ops->irq_map(f->dev, i, 0, &fd, &f->err), 0);
	}

	/* One of them is for the request to give the device back. */
	assert_int_equal(vfu_count(f, VFU_DEVICE_SET_IRQS), 5);
	assert_int_equal(f->server.irqs_most_at_once, 8);
	assert_int_equal(vfu_messages(f) - before, 5);
	assert_int_equal(
		f->dev->ops->irq_map(f->dev, SCRIPT_VECTORS, 0, &fd, &f->err),
		-EINVAL);
	vfu_says(f, "there is no interrupt 32");
}

static void one_descriptor_a_message_where_the_server_says_no_more(void **state)
{
	struct vfu_fixture *f = *state;
	int fd;

	f->server.version_json = NULL;
	vfu_opened(f);
	assert_int_equal(f->dev->ops->irq_map(f->dev, 1, 0, &fd, &f->err), 0);

	assert_int_equal(f->server.irqs_most_at_once, 1);
	assert_int_equal(vfu_count(f, VFU_DEVICE_SET_IRQS), 3);
}

static void interrupts_can_be_given_back(void **state)
{
	struct vfu_fixture *f = *state;
	int fd;

	vfu_opened(f);
	assert_int_equal(f->dev->ops->irq_map(f->dev, 0, 0, &fd, &f->err), 0);
	f->dev->ops->irq_unmap_all(f->dev);
	assert_int_equal(vfu_irq_fd(f, 0), -1);
	assert_int_equal(hf_get_le16(f->server.config + SCRIPT_MSIX_AT +
				     PCI_MSIX_FLAGS) &
				 PCI_MSIX_FLAGS_ENABLE,
			 0);
	assert_int_equal(f->dev->ops->irq_map(f->dev, 0, 0, &fd, &f->err), 0);
	assert_true(vfu_irq_fd(f, 0) >= 0);
}

/* Opening, an admin queue and N I/O queues: nothing that grows with registers
 * read or vectors in between. */
static void opening_and_queues_cost_a_bounded_number_of_messages(void **state)
{
	struct vfu_fixture *f = *state;
	struct hf_dma_block block;
	int fd;

	vfu_opened(f);
	assert_true(vfu_messages(f) <= 7);
	assert_int_equal(vfu_inspect_number(f, "round_trips_to_open"), 7);
	for (uint32_t queue = 0; queue < 8; queue++) {
		assert_int_equal(hf_dma_block_alloc(&f->dev->dma, 16 * PAGE,
						    HF_DMA_OWNER_IO_QUEUE,
						    queue, &block, &f->err),
				 0);
		assert_int_equal(
			f->dev->ops->irq_map(f->dev, queue, 0, &fd, &f->err),
			0);
	}

	/* One mapping, one SET_IRQS, one write of MSI-X Enable. */
	assert_int_equal(vfu_messages(f), 10);
	assert_int_equal(vfu_inspect_number(f, "round_trips"), 10);
}

static void memory_is_handed_over_by_descriptor(void **state)
{
	struct vfu_fixture *f = *state;
	struct hf_dma_block block;
	char seen[8];

	vfu_opened(f);
	assert_int_equal(hf_dma_block_alloc(&f->dev->dma, PAGE,
					    HF_DMA_OWNER_CALLER, 0, &block,
					    &f->err),
			 0);
	memcpy(block.vaddr, "written", 8);

	const struct vfu_dma_map *map = &f->server.maps[0];
	assert_int_equal(vfu_map_count(f), 1);
	assert_int_equal(map->argsz, 32);
	assert_int_equal(map->flags, 3);
	assert_int_equal(pread(f->server.map_fds[0], seen, sizeof(seen),
			       (off_t)(map->offset + block.iova - map->iova)),
			 sizeof(seen));
	assert_string_equal(seen, "written");
}

static int shared_file(uint64_t bytes)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

/* Registers the pages of @fd one by one, until one is refused. */
static uint32_t register_pages(struct vfu_fixture *f, uint8_t *memory, int fd,
			       uint32_t count, int *rc)
{
	for (uint32_t i = 0; i < count; i++) {
		*rc = hf_dma_register_range(&f->dev->dma, memory + i * PAGE,
					    PAGE, fd, i * PAGE, &f->err);
		if (*rc != 0) {
			return i;
		}
	}
	return count;
}

static void the_servers_limit_of_mappings_is_a_clear_error(void **state)
{
	struct vfu_fixture *f = *state;
	int fd = shared_file(70 * PAGE);
	int rc = 0;

	vfu_opened(f);
	uint8_t *memory = mmap(NULL, 70 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED, fd, 0);
	assert_int_equal(register_pages(f, memory, fd, 70, &rc), 64);
	assert_int_equal(rc, -ENOSPC);
	vfu_says(f, "DMA mapping number 65");
	uint32_t asked = vfu_count(f, VFU_DMA_MAP);

	/* Learnt: nobody is asked again, until there is room. */
	assert_int_equal(hf_dma_register_range(&f->dev->dma, memory + 65 * PAGE,
					       PAGE, fd, 65 * PAGE, &f->err),
			 -ENOSPC);
	assert_int_equal(vfu_count(f, VFU_DMA_MAP), asked);
	assert_int_equal(hf_dma_unregister_range(&f->dev->dma, memory, &f->err),
			 0);
	assert_int_equal(hf_dma_register_range(&f->dev->dma, memory + 65 * PAGE,
					       PAGE, fd, 65 * PAGE, &f->err),
			 0);
	close(fd);
	vfu_close(f);
	munmap(memory, 70 * PAGE);
}

static void a_limit_that_the_server_names_is_not_tried(void **state)
{
	struct vfu_fixture *f = *state;
	int fd = shared_file(4 * PAGE);
	int rc = 0;

	f->server.version_json = "{\"capabilities\":{\"max_dma_maps\":3}}";
	vfu_opened(f);
	uint8_t *memory =
		mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_int_equal(register_pages(f, memory, fd, 4, &rc), 3);
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(vfu_count(f, VFU_DMA_MAP), 3);
	close(fd);
	vfu_close(f);
	munmap(memory, 4 * PAGE);
}

static void refusing_the_first_mapping_is_no_limit(void **state)
{
	struct vfu_fixture *f = *state;
	struct hf_dma_block block;

	f->server.max_maps = 0;
	vfu_opened(f);
	assert_int_equal(hf_dma_block_alloc(&f->dev->dma, PAGE,
					    HF_DMA_OWNER_CALLER, 0, &block,
					    &f->err),
			 -EINVAL);
	vfu_says(f, "refused DMA_MAP");
}

static void private_memory_is_refused_unasked(void **state)
{
	struct vfu_fixture *f = *state;
	static uint8_t page[4096] __attribute__((aligned(4096)));
	const struct hf_dma_mapping map = {
		.iova = PAGE, .vaddr = page, .len_bytes = PAGE, .fd = -1};

	vfu_opened(f);
	assert_int_equal(f->dev->ops->dma_map(f->dev, &map, &f->err), -ENOTSUP);
	vfu_says(f, "shared");
	assert_int_equal(vfu_count(f, VFU_DMA_MAP), 0);
}

static void memory_of_half_pages_of_the_server_is_refused(void **state)
{
	struct vfu_fixture *f = *state;
	int fd = shared_file(PAGE);
	const struct hf_dma_mapping map = {
		.iova = PAGE, .len_bytes = PAGE, .fd = fd};

	f->server.version_json = "{\"capabilities\":{\"pgsizes\":2097152}}";
	vfu_opened(f);
	assert_int_equal(f->dev->ops->dma_map(f->dev, &map, &f->err), -EINVAL);
	vfu_says(f, "2097152");
	close(fd);
}

static void unmapping_matches_exactly_what_was_mapped(void **state)
{
	struct vfu_fixture *f = *state;
	int fd = shared_file(PAGE);
	struct hf_dma_mapping map = {
		.iova = PAGE, .len_bytes = PAGE, .fd = fd, .vaddr = state};

	vfu_opened(f);
	assert_int_equal(f->dev->ops->dma_map(f->dev, &map, &f->err), 0);
	map.iova = 2 * PAGE;
	assert_int_equal(f->dev->ops->dma_unmap(f->dev, &map, &f->err),
			 -ENOENT);
	map.iova = PAGE;
	assert_int_equal(f->dev->ops->dma_unmap(f->dev, &map, &f->err), 0);
	assert_int_equal(vfu_map_count(f), 0);
	close(fd);
}

static bool asked_to_let_go(struct hf_device *dev)
{
	struct pollfd entry = {.fd = dev->ops->remove_request_fd(dev),
			       .events = POLLIN};

	return poll(&entry, 1, 0) == 1;
}

static void a_server_can_ask_for_the_device_back(void **state)
{
	struct vfu_fixture *f = *state;

	vfu_opened(f);
	assert_false(asked_to_let_go(f->dev));
	assert_int_equal(eventfd_write(f->server.request_fd, 1), 0);
	assert_true(asked_to_let_go(f->dev));
}

static void a_server_need_not_know_how_to_ask(void **state)
{
	struct vfu_fixture *f = *state;

	f->server.has_request = false;
	vfu_opened(f);
	assert_false(asked_to_let_go(f->dev));
}

static void reset_is_a_message_where_the_server_has_it(void **state)
{
	struct vfu_fixture *f = *state;

	vfu_opened(f);
	assert_int_equal(f->dev->ops->reset(f->dev, &f->err), 0);
	assert_int_equal(vfu_count(f, VFU_DEVICE_RESET), 1);
}

static void reset_is_not_supported_where_it_has_not(void **state)
{
	struct vfu_fixture *f = *state;

	f->server.device_flags = VFIO_DEVICE_FLAGS_PCI;
	vfu_opened(f);
	assert_int_equal(f->dev->ops->reset(f->dev, &f->err), -ENOTSUP);
	assert_int_equal(vfu_count(f, VFU_DEVICE_RESET), 0);
}

static void closing_stops_the_device_then_takes_its_memory(void **state)
{
	struct vfu_fixture *f = *state;
	struct hf_dma_block block;

	vfu_opened(f);
	assert_int_equal(hf_dma_block_alloc(&f->dev->dma, PAGE,
					    HF_DMA_OWNER_CALLER, 0, &block,
					    &f->err),
			 0);
	vfu_close(f);

	assert_int_equal(vfu_count(f, VFU_DEVICE_RESET), 1);
	assert_int_equal(vfu_count(f, VFU_DMA_UNMAP), 1);
}

static void letting_go_with_keep_tells_the_server_nothing(void **state)
{
	struct vfu_fixture *f = *state;
	struct hf_fdset *set = calloc(1, sizeof(*set));
	int fd;

	vfu_opened(f);
	assert_int_equal(f->dev->ops->irq_map(f->dev, 0, 0, &fd, &f->err), 0);
	uint32_t before = vfu_messages(f);
	hf_fdset_init(set);
	assert_int_equal(f->dev->ops->carry(f->dev, set, &f->err), 0);
	int held = dup(hf_fdset_find(set, "vfu-socket"));
	hf_device_release(f->dev, HF_RELEASE_KEEP);
	f->dev = NULL;

	/* Somebody else holds the connection: it lives. */
	struct pollfd entry = {.fd = held, .events = POLLRDHUP};
	assert_int_equal(poll(&entry, 1, 0), 0);
	assert_int_equal(vfu_messages(f), before);
	close(held);
	free(set);
}

struct reader {
	struct vfu_fixture *f;
	uint32_t offset;
	uint32_t bad;
};

static void *read_often(void *arg)
{
	struct reader *reader = arg;

	for (uint32_t i = 0; i < 200; i++) {
		uint32_t value = 0;
		int rc = hf_reg_write32(reader->f->dev, reader->offset, i);

		if (rc == 0) {
			rc = hf_reg_read32(reader->f->dev, reader->offset,
					   &value);
		}
		reader->bad += rc != 0 || value != i ? 1 : 0;
	}
	return NULL;
}

static void any_thread_may_use_registers(void **state)
{
	struct vfu_fixture *f = *state;
	struct reader readers[4];
	pthread_t threads[4];

	vfu_opened(f);
	for (uint32_t i = 0; i < 4; i++) {
		readers[i] = (struct reader){.f = f, .offset = 0x100 + 4 * i};
		pthread_create(&threads[i], NULL, read_often, &readers[i]);
	}
	for (uint32_t i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(readers[i].bad, 0);
	}
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, vfu_setup, vfu_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(opens_and_tells_what_it_found),
		TEST(opens_the_directory_that_holds_cntrl),
		TEST(opens_a_path_longer_than_a_socket_address),
		TEST(opens_without_options_and_by_address),
		TEST(doorbells_are_rung_through_the_mapping),
		TEST(doorbells_go_by_message_where_none_can_be_mapped),
		cmocka_unit_test(maps_what_can_be_mapped_and_no_more),
		TEST(asks_again_when_a_region_needs_more_room),
		TEST(registers_are_read_and_written_whole),
		TEST(bus_master_is_on_and_intx_off),
		TEST(config_space_is_read_in_pieces_the_server_takes),
		TEST(an_interrupt_reaches_its_eventfd),
		TEST(many_vectors_take_few_messages),
		TEST(one_descriptor_a_message_where_the_server_says_no_more),
		TEST(interrupts_can_be_given_back),
		TEST(opening_and_queues_cost_a_bounded_number_of_messages),
		TEST(memory_is_handed_over_by_descriptor),
		TEST(the_servers_limit_of_mappings_is_a_clear_error),
		TEST(a_limit_that_the_server_names_is_not_tried),
		TEST(refusing_the_first_mapping_is_no_limit),
		TEST(private_memory_is_refused_unasked),
		TEST(memory_of_half_pages_of_the_server_is_refused),
		TEST(unmapping_matches_exactly_what_was_mapped),
		TEST(a_server_can_ask_for_the_device_back),
		TEST(a_server_need_not_know_how_to_ask),
		TEST(reset_is_a_message_where_the_server_has_it),
		TEST(reset_is_not_supported_where_it_has_not),
		TEST(closing_stops_the_device_then_takes_its_memory),
		TEST(letting_go_with_keep_tells_the_server_nothing),
		TEST(any_thread_may_use_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
