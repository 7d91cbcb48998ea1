/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: the vfio-user server answers each message as the protocol says, and
 * whatever a client sends instead costs it its connection at most.
 * Method: a client by hand, on a server with a thread of its own.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "vfu_client.h"

struct fixture {
	struct served served;
	struct vfu_client client;
	struct vfu_client second;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	served_open(&f->served, NULL);
	f->client.fd = -1;
	f->second.fd = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	client_close(&f->client);
	client_close(&f->second);
	served_close(&f->served);
	free(f);
	return 0;
}

/* The server serves on, and the controller is as it was. */
static void assert_unharmed(struct fixture *f)
{
	struct hf_emu_namespace_info info;

	client_open(&f->second, &f->served);
	assert_int_equal(client_reg32(&f->second, 8), 0x00020000);
	assert_int_equal(hf_emu_namespace_list(f->served.emu, &info, 1), 1);
	client_close(&f->second);
}

/* ------------------------------------------------------------------- VERSION
 */

static int version(struct vfu_client *client, uint16_t major, uint16_t minor,
		   const char *json, uint32_t json_bytes)
{
	uint8_t payload[8192];

	memcpy(payload, &major, 2);
	memcpy(payload + 2, &minor, 2);
	memcpy(payload + 4, json, json_bytes);
	return client_call(client, VFU_VERSION, payload, 4 + json_bytes, NULL,
			   0);
}

static void the_lower_minor_version_is_agreed_on(void **state)
{
	static const uint16_t asked[] = {0, 1, 2, 65535};
	struct fixture *f = *state;

	for (size_t i = 0; i < HF_ARRAY_LEN(asked); i++) {
		client_connect(&f->client, &f->served);
		assert_int_equal(version(&f->client, 0, asked[i], "", 0), 0);
		assert_int_equal(hf_get_le16(f->client.payload), 0);
		assert_int_equal(hf_get_le16(f->client.payload + 2),
				 HF_MIN(asked[i], 1));
		assert_non_null(strstr((char *)f->client.payload + 4,
				       "\"max_msg_fds\":16"));
		assert_int_equal(f->client.payload[f->client.len_bytes - 1], 0);
		client_close(&f->client);
	}
}

static void a_bad_version_ends_the_connection(void **state)
{
	static const struct {
		uint16_t major;
		const char *json;
		uint32_t json_bytes;
		int error;
	} cases[] = {
		{1, "", 0, ENOTSUP},
		{0, "{}", 2, EINVAL}, /* no NUL */
		{0, "{", 2, EINVAL},
		{0, "[]", 3, EINVAL},
		{0, "1", 2, EINVAL},
		{0, "\"\"", 3, EINVAL},
		{0, "\0", 1, EINVAL},
		{0,
		 "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
		 "{\"a\":1}}}}}}}}}",
		 56, EINVAL},
	};
	static const char huge[8000];
	struct fixture *f = *state;

	for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
		client_connect(&f->client, &f->served);
		assert_int_equal(version(&f->client, cases[i].major, 1,
					 cases[i].json, cases[i].json_bytes),
				 cases[i].error);
		client_expect_end(&f->client);
		client_close(&f->client);
	}
	client_connect(&f->client, &f->served);
	assert_int_equal(version(&f->client, 0, 1, huge, sizeof(huge)), EINVAL);
	client_expect_end(&f->client);
	assert_unharmed(f);
}

static void version_comes_first_and_once(void **state)
{
	struct fixture *f = *state;
	struct vfu_device_info info = {.argsz = sizeof(info)};

	client_connect(&f->client, &f->served);
	assert_int_equal(client_call(&f->client, VFU_DEVICE_GET_INFO, &info,
				     sizeof(info), NULL, 0),
			 EINVAL);
	client_expect_end(&f->client);
	client_close(&f->client);
	client_open(&f->client, &f->served);
	assert_int_equal(version(&f->client, 0, 1, "", 0), EINVAL);
	client_expect_end(&f->client);
	assert_unharmed(f);
}

/* ------------------------------------------------------------------- garbage
 */

static void what_is_not_a_message_ends_the_connection(void **state)
{
	static const struct vfu_header bad[] = {
		{.command = 4, .size = 0},
		{.command = 4, .size = 15},
		{.command = 4, .size = 0x7fffffff},
		{.command = 4, .size = 0xffffffff},
		{.command = 4, .size = 32, .flags = 1},
		{.command = 4, .size = 32, .flags = 2},
		{.command = 4, .size = 32, .flags = 0xf},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
		client_open(&f->client, &f->served);
		client_send_raw(&f->client, &bad[i], sizeof(bad[i]), NULL, 0);
		client_expect_end(&f->client);
		client_close(&f->client);
	}
	client_connect(&f->client, &f->served);
	client_send_raw(&f->client, "GET / HTTP/1.1\r\n\r\n", 18, NULL, 0);
	client_expect_end(&f->client);
	assert_unharmed(f);
}

static void a_message_cut_anywhere_is_the_end_of_its_client(void **state)
{
	struct fixture *f = *state;
	struct {
		struct vfu_header header;
		struct vfu_dma_map map;
	} message = {
		.header = {.command = VFU_DMA_MAP, .size = sizeof(message)},
		.map = {.argsz = 32, .flags = 3, .size = 4096}};
	uint8_t *memory;
	int fd = memory_create(4096, &memory);

	for (uint32_t cut = 1; cut < sizeof(message); cut++) {
		client_open(&f->client, &f->served);
		client_send_raw(&f->client, &message, cut, &fd, 1);
		client_close(&f->client);
	}
	assert_unharmed(f);
	munmap(memory, 4096);
	close(fd);
}

static void a_message_may_come_byte_by_byte(void **state)
{
	struct fixture *f = *state;
	struct {
		struct vfu_header header;
		struct vfu_device_info info;
	} message = {.header = {.id = 9,
				.command = VFU_DEVICE_GET_INFO,
				.size = sizeof(message)},
		     .info = {.argsz = 16}};

	client_open(&f->client, &f->served);
	for (uint32_t i = 0; i < sizeof(message); i++) {
		client_send_raw(&f->client, (uint8_t *)&message + i, 1, NULL,
				0);
	}
	assert_true(client_receive(&f->client));
	assert_int_equal(f->client.header.id, 9);
	assert_int_equal(f->client.len_bytes, 16);
}

static void short_payloads_are_refused_and_no_more(void **state)
{
	static const struct {
		uint16_t command;
		uint32_t needed;
	} cases[] = {
		{VFU_DMA_MAP, 32},
		{VFU_DMA_UNMAP, 24},
		{VFU_DEVICE_GET_INFO, 16},
		{VFU_DEVICE_GET_REGION_INFO, 32},
		{VFU_DEVICE_GET_REGION_IO_FDS, 16},
		{VFU_DEVICE_GET_IRQ_INFO, 16},
		{VFU_DEVICE_SET_IRQS, 20},
		{VFU_REGION_READ, 16},
		{VFU_REGION_WRITE, 16},
	};
	struct fixture *f = *state;
	uint8_t payload[64];

	client_open(&f->client, &f->served);
	for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
		memset(payload, 0, sizeof(payload));
		hf_put_le32(payload, cases[i].needed);
		for (uint32_t len = 0; len < cases[i].needed; len++) {
			assert_int_equal(client_call(&f->client,
						     cases[i].command, payload,
						     len, NULL, 0),
					 EINVAL);
		}
	}
	assert_int_equal(client_reg32(&f->client, 8), 0x00020000);
}

static void unknown_commands_are_refused_and_no_more(void **state)
{
	static const uint16_t unknown[] = {
		0,  VFU_DMA_READ, VFU_DMA_WRITE, 14,   15, 16, 17,
		18, 19,           255,           65535};
	struct fixture *f = *state;

	client_open(&f->client, &f->served);
	for (size_t i = 0; i < HF_ARRAY_LEN(unknown); i++) {
		assert_int_equal(
			client_call(&f->client, unknown[i], NULL, 0, NULL, 0),
			ENOTSUP);
	}
	assert_int_equal(client_reg32(&f->client, 8), 0x00020000);
}

static void descriptors_where_there_are_none_are_refused(void **state)
{
	struct fixture *f = *state;
	struct vfu_device_info info = {.argsz = sizeof(info)};
	int fds[40];

	for (size_t i = 0; i < HF_ARRAY_LEN(fds); i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC);
	}
	client_open(&f->client, &f->served);
	assert_int_equal(client_call(&f->client, VFU_DEVICE_GET_INFO, &info,
				     sizeof(info), fds, 1),
			 EINVAL);
	/* More than the server said that it takes. */
	assert_int_equal(client_set_irqs(&f->client, 0x24, 2, 0, 17, fds, 17),
			 EINVAL);
	assert_int_equal(client_set_irqs(&f->client, 0x24, 2, 0, 8, fds, 40),
			 EINVAL);
	assert_int_equal(client_set_irqs(&f->client, 0x24, 2, 0, 8, fds, 8), 0);
	for (size_t i = 0; i < HF_ARRAY_LEN(fds); i++) {
		close(fds[i]);
	}
}

static void no_reply_means_none(void **state)
{
	struct fixture *f = *state;
	struct vfu_header quiet = {.id = 1,
				   .command = VFU_DEVICE_RESET,
				   .size = sizeof(quiet),
				   .flags = VFU_FLAG_NO_REPLY};

	client_open(&f->client, &f->served);
	client_send_raw(&f->client, &quiet, sizeof(quiet), NULL, 0);
	quiet.command = 99;
	client_send_raw(&f->client, &quiet, sizeof(quiet), NULL, 0);
	assert_int_equal(client_reg32(&f->client, 8), 0x00020000);
	client_expect_silence(&f->client);
}

static void many_messages_may_be_under_way(void **state)
{
	enum { COUNT = 300 };
	static struct {
		struct vfu_header header;
		struct vfu_region_access access;
	} messages[COUNT];
	struct fixture *f = *state;

	client_open(&f->client, &f->served);
	for (uint32_t i = 0; i < COUNT; i++) {
		messages[i].header.id = (uint16_t)i;
		messages[i].header.command = VFU_REGION_READ;
		messages[i].header.size = sizeof(messages[i]);
		messages[i].access.region = VFIO_PCI_CONFIG_REGION_INDEX;
		messages[i].access.count = 4096;
	}
	client_send_raw(&f->client, messages, sizeof(messages), NULL, 0);

	/* More than the socket holds: the server waits for room. */
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_true(client_receive(&f->client));
		assert_int_equal(f->client.header.id, i);
		assert_int_equal(f->client.len_bytes, 16 + 4096);
	}
}

/* --------------------------------------------------------------- information
 */

static void the_device_has_9_regions_and_5_interrupt_kinds(void **state)
{
	struct fixture *f = *state;
	struct vfu_device_info info = {.argsz = sizeof(info)};

	client_open(&f->client, &f->served);
	assert_int_equal(client_call(&f->client, VFU_DEVICE_GET_INFO, &info,
				     sizeof(info), NULL, 0),
			 0);

	memcpy(&info, f->client.payload, sizeof(info));
	assert_int_equal(info.flags,
			 VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI);
	assert_int_equal(info.num_regions, 9);
	assert_int_equal(info.num_irqs, 5);
	info.argsz = 15;
	assert_int_equal(client_call(&f->client, VFU_DEVICE_GET_INFO, &info,
				     sizeof(info), NULL, 0),
			 EINVAL);
}

static struct vfu_region_info region_info(struct vfu_client *client,
					  uint32_t index, uint32_t argsz)
{
	struct vfu_region_info info = {.argsz = argsz, .index = index};

	assert_int_equal(client_call(client, VFU_DEVICE_GET_REGION_INFO, &info,
				     sizeof(info), NULL, 0),
			 0);
	memcpy(&info, client->payload, sizeof(info));
	return info;
}

static void doorbells_are_mapped_where_the_client_has_room(void **state)
{
	struct fixture *f = *state;
	struct vfu_client *client = &f->client;

	client_open(client, &f->served);
	struct vfu_region_info info = region_info(client, 0, 32);
	assert_int_equal(client->len_bytes, 32);
	assert_int_equal(client->fd_count, 0);
	assert_int_equal(info.argsz, 64);
	assert_int_equal(info.flags, VFIO_REGION_INFO_FLAG_READ |
					     VFIO_REGION_INFO_FLAG_WRITE |
					     VFIO_REGION_INFO_FLAG_MMAP);
	info = region_info(client, 0, 64);
	assert_int_equal(client->len_bytes, 64);
	assert_int_equal(client->fd_count, 1);
	assert_int_equal(info.cap_offset, 32);
	assert_int_equal(info.size, hf_emu_bar_bytes(f->served.emu));

	struct vfu_sparse_area area;
	memcpy(&area, client->payload + 48, sizeof(area));
	assert_int_equal(area.offset, 0x1000);
	assert_int_equal(area.size % 4096, 0);
	void *page = mmap(NULL, area.size, PROT_READ | PROT_WRITE, MAP_SHARED,
			  client->fds[0], (off_t)(info.offset + area.offset));
	assert_ptr_not_equal(page, MAP_FAILED);
	/* Nobody can take it away from under the controller. */
	assert_int_not_equal(ftruncate(client->fds[0], 0), 0);
	munmap(page, area.size);
}

static void regions_are_those_of_a_pci_function(void **state)
{
	struct fixture *f = *state;
	struct vfu_region_info info = {.argsz = 32, .index = 9};

	client_open(&f->client, &f->served);
	for (uint32_t i = 1; i < 9; i++) {
		info = region_info(&f->client, i, 64);
		bool there = i == VFIO_PCI_BAR4_REGION_INDEX ||
			     i == VFIO_PCI_CONFIG_REGION_INDEX;
		assert_int_equal(info.flags, there ? 3 : 0);
		assert_int_equal(info.index, i);
		assert_int_equal(info.argsz, 32);
		assert_int_equal(info.size != 0, there);
	}
	info.index = 9;
	assert_int_equal(client_call(&f->client, VFU_DEVICE_GET_REGION_INFO,
				     &info, sizeof(info), NULL, 0),
			 EINVAL);
	info.index = 0;
	info.argsz = 31;
	assert_int_equal(client_call(&f->client, VFU_DEVICE_GET_REGION_INFO,
				     &info, sizeof(info), NULL, 0),
			 EINVAL);
}

static void interrupt_kinds_are_told(void **state)
{
	static const struct {
		uint32_t flags;
		uint32_t count;
	} expected[] = {{7, 1}, {0, 0}, {1, 8}, {9, 1}, {9, 1}};
	struct fixture *f = *state;
	struct vfu_irq_info info;

	client_open(&f->client, &f->served);
	for (uint32_t i = 0; i < 5; i++) {
		info = (struct vfu_irq_info){.argsz = sizeof(info), .index = i};
		assert_int_equal(client_call(&f->client,
					     VFU_DEVICE_GET_IRQ_INFO, &info,
					     sizeof(info), NULL, 0),
				 0);
		memcpy(&info, f->client.payload, sizeof(info));
		assert_int_equal(info.flags, expected[i].flags);
		assert_int_equal(info.count, expected[i].count);
	}
	info.index = 5;
	assert_int_equal(client_call(&f->client, VFU_DEVICE_GET_IRQ_INFO, &info,
				     sizeof(info), NULL, 0),
			 EINVAL);
}

static void no_region_has_descriptors_for_its_parts(void **state)
{
	uint32_t info[4] = {16, 0, 0, 0};
	struct fixture *f = *state;

	client_open(&f->client, &f->served);
	assert_int_equal(client_call(&f->client, VFU_DEVICE_GET_REGION_IO_FDS,
				     info, sizeof(info), NULL, 0),
			 0);
	assert_int_equal(hf_get_le32(f->client.payload + 12), 0);
	info[2] = 9;
	assert_int_equal(client_call(&f->client, VFU_DEVICE_GET_REGION_IO_FDS,
				     info, sizeof(info), NULL, 0),
			 EINVAL);
}

/* ------------------------------------------------------------------- regions
 */

static void configuration_space_is_read_in_one_piece(void **state)
{
	struct fixture *f = *state;
	uint8_t whole[4096];
	uint8_t part[8];

	client_open(&f->client, &f->served);
	assert_int_equal(client_read(&f->client, 7, 0, 4096, whole), 0);
	assert_int_equal(hf_get_le32(whole + 8) >> 8, 0x010802);
	for (uint32_t width = 1; width <= 8; width++) {
		for (uint32_t at = 0; at < 64; at++) {
			assert_int_equal(
				client_read(&f->client, 7, at, width, part), 0);
			assert_memory_equal(part, whole + at, width);
		}
	}
}

static void registers_are_read_in_any_width(void **state)
{
	struct fixture *f = *state;
	uint8_t whole[64];
	uint8_t part[64];

	client_open(&f->client, &f->served);
	assert_int_equal(client_read(&f->client, 0, 0, 64, whole), 0);
	assert_int_equal(hf_get_le32(whole + 8), 0x00020000);
	for (uint32_t width = 1; width <= 16; width++) {
		for (uint32_t at = 0; at < 32; at++) {
			assert_int_equal(
				client_read(&f->client, 0, at, width, part), 0);
			assert_memory_equal(part, whole + at, width);
		}
	}
}

static void registers_are_written_whole(void **state)
{
	struct fixture *f = *state;
	uint64_t value = 0x123456789000;
	uint8_t whole[16] = {0};

	client_open(&f->client, &f->served);
	client_set_reg64(&f->client, 0x28, value);
	assert_int_equal(client_reg32(&f->client, 0x28), 0x56789000);
	assert_int_equal(client_reg32(&f->client, 0x2c), 0x1234);
	client_set_reg32(&f->client, 0x2c, 0x99);
	assert_int_equal(client_reg32(&f->client, 0x2c), 0x99);
	assert_int_equal(client_write(&f->client, 0, 0x28, 2, &value), EINVAL);
	assert_int_equal(client_write(&f->client, 0, 0x2a, 4, &value), EINVAL);
	assert_int_equal(client_write(&f->client, 0, 0x28, 16, whole), EINVAL);
}

static void accesses_outside_of_regions_are_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t bar = hf_emu_bar_bytes(f->served.emu);
	struct {
		uint64_t offset;
		uint32_t region;
		uint32_t count;
	} cases[] = {
		{bar, 0, 4},
		{bar - 4, 0, 8},
		{UINT64_MAX, 0, 4},
		{UINT64_MAX - 3, 0, 4},
		{0, 0, 0},
		{4096, 7, 1},
		{4095, 7, 2},
		{0, 1, 4},
		{0, 6, 4},
		{0, 8, 4},
		{0, 9, 4},
		{0, UINT32_MAX, 4},
		{0, 4, (1 << 20) + 1},
		{0, 7, UINT32_MAX},
	};

	client_open(&f->client, &f->served);
	for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
		struct vfu_region_access access = {.offset = cases[i].offset,
						   .region = cases[i].region,
						   .count = cases[i].count};
		uint8_t payload[sizeof(access) + 64] = {0};

		memcpy(payload, &access, sizeof(access));
		assert_int_equal(client_call(&f->client, VFU_REGION_READ,
					     payload, sizeof(access), NULL, 0),
				 EINVAL);
		assert_int_equal(client_call(&f->client, VFU_REGION_WRITE,
					     payload,
					     (uint32_t)sizeof(access) +
						     HF_MIN(access.count, 64u),
					     NULL, 0),
				 EINVAL);
	}
}

static void a_write_brings_as_much_as_it_says(void **state)
{
	struct fixture *f = *state;
	struct vfu_region_access access = {.offset = 4, .region = 7};
	uint8_t payload[sizeof(access) + 8] = {0};

	client_open(&f->client, &f->served);
	for (uint32_t count = 0; count < 8; count++) {
		access.count = count;
		memcpy(payload, &access, sizeof(access));
		assert_int_equal(client_call(&f->client, VFU_REGION_WRITE,
					     payload, sizeof(payload), NULL, 0),
				 EINVAL);
	}
}

static void device_reset_disables_the_controller(void **state)
{
	struct fixture *f = *state;
	uint16_t command = 0x0406;

	client_open(&f->client, &f->served);
	client_set_reg32(&f->client, 0x24, 15u << 16 | 15u);
	client_write(&f->client, 7, 4, 2, &command);
	assert_int_equal(
		client_call(&f->client, VFU_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	assert_int_equal(client_reg32(&f->client, 0x24), 0);
	client_read(&f->client, 7, 4, 2, &command);
	assert_int_equal(command, 0);
}

static void function_level_reset_does_the_same(void **state)
{
	struct fixture *f = *state;
	uint16_t control = 0x8000;

	client_open(&f->client, &f->served);
	client_set_reg32(&f->client, 0x24, 15u << 16 | 15u);
	assert_int_equal(client_write(&f->client, 7, 0x68, 2, &control), 0);
	assert_int_equal(client_reg32(&f->client, 0x24), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_lower_minor_version_is_agreed_on),
		TEST(a_bad_version_ends_the_connection),
		TEST(version_comes_first_and_once),
		TEST(what_is_not_a_message_ends_the_connection),
		TEST(a_message_cut_anywhere_is_the_end_of_its_client),
		TEST(a_message_may_come_byte_by_byte),
		TEST(short_payloads_are_refused_and_no_more),
		TEST(unknown_commands_are_refused_and_no_more),
		TEST(descriptors_where_there_are_none_are_refused),
		TEST(no_reply_means_none),
		TEST(many_messages_may_be_under_way),
		TEST(the_device_has_9_regions_and_5_interrupt_kinds),
		TEST(doorbells_are_mapped_where_the_client_has_room),
		TEST(regions_are_those_of_a_pci_function),
		TEST(interrupt_kinds_are_told),
		TEST(no_region_has_descriptors_for_its_parts),
		TEST(configuration_space_is_read_in_one_piece),
		TEST(registers_are_read_in_any_width),
		TEST(registers_are_written_whole),
		TEST(accesses_outside_of_regions_are_refused),
		TEST(a_write_brings_as_much_as_it_says),
		TEST(device_reset_disables_the_controller),
		TEST(function_level_reset_does_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
