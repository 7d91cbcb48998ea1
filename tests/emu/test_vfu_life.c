/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a vfio-user server has one client at a time, and what becomes of the
 * controller when it goes is what the server was told.
 * Method: clients by hand come, go, and wait.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "vfu_fixture.h"

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
	return fixture_open_with(state, keep);
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
	return fixture_open_with(state, ignore_second);
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
	return fixture_open_with(state, be_slow);
}

static void slow_messages_wait_for_their_time(void **state)
{
	struct fixture *f = *state;
	uint64_t start = hf_now_ns();

	/* Each waits for a tick of 10 ms; the first tick may come late, and
	 * the others then seem early. */
	for (int i = 0; i < 20; i++) {
		client_reg32(&f->client, 8);
	}
	assert_true(hf_now_ns() - start > 50 * HF_NS_PER_MS);
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
	return fixture_open_with(state, be_message_only);
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
	assert_int_equal(map_all(f), 0);
	admin_enable(&f->client);
	admin_identify(&f->client, f->memory, 0);
	assert_true(admin_completed(f->memory, 0));
	admin_disable(&f->client);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
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

	return cmocka_run_group_tests(tests, NULL, NULL);
}
