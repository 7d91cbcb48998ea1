/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a server's own requests, for memory that it cannot map, are answered
 * while a reply is waited for, and reach nothing but that memory.
 * Method: a scripted server puts a request in front of a reply.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "device/vfio_user.h"
#include "vfu_fixture.h"

#define PAGE       UINT64_C(4096)
#define OPEN_STEPS 7 /* replies that opening waits for */

/* Puts a command of the server in front of reply @nth. */
struct request {
	uint32_t nth;
	uint16_t command;
	uint32_t flags;
	uint64_t iova;
	uint64_t count;
	uint32_t data_bytes;
	uint32_t repeat;
};

static void ask_first(struct scripted_server *server,
		      struct scripted_reply *reply, uint32_t nth)
{
	const struct request *request = server->user;
	const struct vfu_dma_access access = {request->iova, request->count};
	struct vfu_header header = {
		.id = 0x7777,
		.command = request->command,
		.flags = request->flags,
		.size = 32 + request->data_bytes,
	};

	if (nth != request->nth) {
		return;
	}
	for (uint32_t i = 0; i < request->repeat; i++) {
		uint8_t *at = reply->before + reply->before_bytes;

		memcpy(at, &header, sizeof(header));
		memcpy(at + 16, &access, sizeof(access));
		memset(at + 32, 0xab, request->data_bytes);
		reply->before_bytes += header.size;
	}
}

/* Opens, gives the server one page, and reads a register with @request in
 * front of the reply. */
static struct hf_dma_block serve_request(struct vfu_fixture *f,
					 struct request *request)
{
	struct hf_dma_block block;
	uint64_t value;

	request->nth = OPEN_STEPS + 1;
	f->server.spoil = ask_first;
	f->server.user = request;
	vfu_opened(f);
	assert_int_equal(hf_dma_block_alloc(&f->dev->dma, 2 * PAGE,
					    HF_DMA_OWNER_CALLER, 0, &block,
					    &f->err),
			 0);
	memset(block.vaddr, 0x5a, 2 * PAGE);
	pthread_mutex_lock(&f->server.lock);
	request->iova += block.iova;
	pthread_mutex_unlock(&f->server.lock);
	assert_int_equal(hf_reg_read64(f->dev, 0, &value), 0);
	/* The answer stands in front of whatever is asked next. */
	assert_int_equal(hf_reg_read64(f->dev, 0, &value), 0);
	return block;
}

static void a_server_may_read_memory_by_message(void **state)
{
	struct vfu_fixture *f = *state;
	struct request request = {.command = VFU_DMA_READ,
				  .iova = 4000,
				  .count = 200,
				  .repeat = 1};

	serve_request(f, &request);

	assert_int_equal(f->server.answers, 1);
	assert_int_equal(f->server.answer.id, 0x7777);
	assert_int_equal(f->server.answer.flags, VFU_FLAG_TYPE_REPLY);
	assert_int_equal(f->server.answer_bytes, 216);
	assert_int_equal(f->server.answer_payload[16], 0x5a);
	assert_int_equal(f->server.answer_payload[215], 0x5a);
}

static void a_server_may_write_memory_by_message(void **state)
{
	struct vfu_fixture *f = *state;
	struct request request = {.command = VFU_DMA_WRITE,
				  .iova = 100,
				  .count = 50,
				  .data_bytes = 50,
				  .repeat = 3};

	struct hf_dma_block block = serve_request(f, &request);

	assert_int_equal(f->server.answers, 3);
	assert_int_equal(f->server.answer.flags, VFU_FLAG_TYPE_REPLY);
	assert_int_equal(block.vaddr[99], 0x5a);
	assert_int_equal(block.vaddr[100], 0xab);
	assert_int_equal(block.vaddr[149], 0xab);
	assert_int_equal(block.vaddr[150], 0x5a);
}

static const struct request_row {
	const char *name;
	struct request request;
	uint32_t error;
} request_rows[] = {
	{"beyond the memory",
	 {.command = VFU_DMA_READ, .iova = 1u << 30, .count = 8},
	 EFAULT},
	{"across its end",
	 {.command = VFU_DMA_READ, .iova = (2u << 20) - 4, .count = 8},
	 EFAULT},
	{"too much", {.command = VFU_DMA_READ, .count = UINT64_MAX}, EINVAL},
	{"less data than said",
	 {.command = VFU_DMA_WRITE, .count = 8, .data_bytes = 4},
	 EINVAL},
	{"more data than said",
	 {.command = VFU_DMA_WRITE, .count = 4, .data_bytes = 8},
	 EINVAL},
	{"unknown", {.command = 99}, EOPNOTSUPP},
	{"our own command", {.command = VFU_DEVICE_RESET}, EOPNOTSUPP},
};

static void requests_that_cannot_be_served_get_an_error_reply(void **state)
{
	(void)state;

	for (uint32_t i = 0; i < HF_ARRAY_LEN(request_rows); i++) {
		struct request request = request_rows[i].request;
		void *each;

		vfu_setup(&each);
		struct vfu_fixture *f = each;
		request.repeat = 1;
		serve_request(f, &request);
		if (f->server.answer.error != request_rows[i].error ||
		    f->server.answer_bytes != 0) {
			fail_msg("%s: error %u", request_rows[i].name,
				 f->server.answer.error);
		}
		assert_int_equal(f->server.answer.flags,
				 VFU_FLAG_TYPE_REPLY | VFU_FLAG_ERROR);
		assert_int_equal(vfu_teardown(&each), 0);
	}
}

static void a_request_that_wants_no_reply_gets_none(void **state)
{
	struct vfu_fixture *f = *state;
	struct request request = {.command = VFU_DMA_READ,
				  .flags = VFU_FLAG_NO_REPLY,
				  .count = 8,
				  .repeat = 1};

	serve_request(f, &request);
	assert_int_equal(f->server.answers, 0);
	assert_int_equal(vfu_inspect_number(f, "requests_served"), 1);
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, vfu_setup, vfu_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_server_may_read_memory_by_message),
		TEST(a_server_may_write_memory_by_message),
		cmocka_unit_test(
			requests_that_cannot_be_served_get_an_error_reply),
		TEST(a_request_that_wants_no_reply_gets_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
