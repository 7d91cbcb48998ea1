/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: the driver runs a controller that this project did not write, and
 *       every byte comes back as it went.
 * Method: the public calls, on QEMU's controller or whatever the environment
 *       names; patterns that tell each block from each other.
 */
#include "any_device.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>
#include <nvme/types.h>

#include "base/clock.h"

#define PAGE 4096u

static void *pages(uint64_t count)
{
	void *memory = aligned_alloc(PAGE, count * PAGE);

	assert_non_null(memory);
	memset(memory, 0, count * PAGE);
	return memory;
}

static void close_all(struct hf_namespace *ns, struct hf_driver *drv)
{
	struct hf_error err = {0};

	hf_namespace_close(ns);
	if (hf_driver_close(drv, &err) != 0) {
		fail_msg("%s", err.message);
	}
}

static uint32_t block_bytes(struct hf_namespace *ns)
{
	struct hf_namespace_info info;

	hf_namespace_get_info(ns, &info);
	return info.block_bytes;
}

static void controller_identifies_itself(void **state)
{
	struct hf_driver *drv = any_open(ANY_PLAIN, NULL);
	const struct nvme_id_ctrl *id = hf_driver_identify(drv);
	struct hf_driver_info info;
	char *tree;

	(void)state;
	hf_driver_get_info(drv, &info);
	tree = hf_driver_inspect(drv);

	assert_int_equal(id->sqes, 0x66);
	assert_int_equal(id->cqes, 0x44);
	assert_true(le32toh(id->nn) >= 1);
	assert_true(info.io_queues_max >= 1);
	assert_int_equal(info.version, le32toh(id->ver));
	assert_non_null(tree);
	free(tree);
	close_all(NULL, drv);
}

static void namespace_is_listed_and_opens_once(void **state)
{
	struct hf_driver *drv = any_open(ANY_PLAIN, NULL);
	struct hf_namespace *ns = any_namespace(drv, 1);
	struct hf_namespace *again = NULL;
	struct hf_namespace_info info;
	uint32_t nsids[4];
	uint32_t count = 0;

	(void)state;
	assert_int_equal(hf_namespace_list(drv, nsids, 4, &count, NULL), 0);
	assert_int_equal(count, 1);
	assert_int_equal(nsids[0], 1);
	assert_int_equal(hf_namespace_open(&again, drv, 1, NULL), -EBUSY);
	assert_int_equal(hf_namespace_open(&again, drv, 77, NULL), -ENODEV);
	hf_namespace_get_info(ns, &info);
	assert_true(info.blocks > 0);
	close_all(ns, drv);
}

/* One block, two pages, three, a PRP list, and more than one command. */
static void transfers_of_all_sizes_come_back(void **state)
{
	static const uint32_t sizes[] = {1, 2, 3, 16, 127, 128, 129, 600};
	struct hf_driver *drv = any_open(ANY_PLAIN, NULL);
	struct hf_namespace *ns = any_namespace(drv, 1);
	uint32_t bytes = block_bytes(ns);
	uint8_t *written = malloc(600 * (size_t)bytes);
	uint8_t *read = malloc(600 * (size_t)bytes);

	(void)state;
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t lba = 1000 * i + 7;

		any_fill(written, lba, sizes[i], bytes, i);
		memset(read, 0xee, sizes[i] * (size_t)bytes);
		assert_int_equal(hf_write(ns, lba, sizes[i], written), 0);
		assert_int_equal(hf_read(ns, lba, sizes[i], read), 0);
		any_check(read, lba, sizes[i], bytes, i);
	}
	free(written);
	free(read);
	close_all(ns, drv);
}

static void write_and_read(struct hf_namespace *ns, uint8_t *memory,
			   uint32_t seed)
{
	uint32_t bytes = block_bytes(ns);
	uint32_t blocks = 32 * PAGE / bytes;

	any_fill(memory, 50, blocks, bytes, seed);
	assert_int_equal(hf_write(ns, 50, blocks, memory), 0);
	memset(memory, 0xee, 32 * PAGE);
	assert_int_equal(hf_read(ns, 50, blocks, memory), 0);
	any_check(memory, 50, blocks, bytes, seed);
}

static void allocated_and_registered_memory_is_reached(void **state)
{
	struct hf_driver *drv = any_open(ANY_PLAIN, NULL);
	struct hf_namespace *ns = any_namespace(drv, 1);
	struct hf_error err = {0};
	uint8_t *own = hf_dma_alloc(drv, 32 * PAGE, &err);
	uint8_t *mine = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	(void)state;
	assert_non_null(own);
	assert_ptr_not_equal(mine, MAP_FAILED);
	write_and_read(ns, own, 1);
	rc = hf_dma_register(drv, mine, 32 * PAGE, -1, 0, &err);
	assert_true(rc == 0 || rc == -ENOTSUP);
	write_and_read(ns, mine, 2);
	if (rc == 0) {
		assert_int_equal(hf_dma_unregister(drv, mine, &err), 0);
	}
	write_and_read(ns, mine, 3);
	hf_dma_free(drv, own);
	munmap(mine, 32 * PAGE);
	close_all(ns, drv);
}

static void bouncing_everything_gives_the_same_data(void **state)
{
	struct hf_driver_options options;
	struct hf_driver *drv;
	struct hf_namespace *ns;
	uint8_t *own;

	(void)state;
	hf_driver_options_init(&options);
	options.bounce = true;
	drv = any_open(ANY_PLAIN, &options);
	ns = any_namespace(drv, 1);
	own = hf_dma_alloc(drv, 32 * PAGE, NULL);
	assert_non_null(own);
	write_and_read(ns, own, 4);
	hf_dma_free(drv, own);
	close_all(ns, drv);
}

struct batch {
	struct hf_io io[200];
	struct hf_io *list[200];
	uint32_t ended;
	uint32_t failed;
};

static void count_end(struct hf_io *io, int result)
{
	struct batch *batch = io->user;

	batch->ended++;
	batch->failed += result != 0;
}

/* Submits 200 single blocks, more than there are slots, and reaps them. */
static void run_batch(struct hf_queue *queue, struct batch *batch, bool wait)
{
	uint64_t deadline = hf_deadline_ms(20000);
	uint32_t submitted = 0;

	batch->ended = 0;
	batch->failed = 0;
	while (batch->ended < 200 && !hf_deadline_passed(deadline)) {
		if (submitted < 200) {
			int taken = hf_submit(queue, batch->list + submitted,
					      200 - submitted);

			assert_true(taken >= 0 || taken == -EAGAIN);
			submitted += taken > 0 ? (uint32_t)taken : 0;
		}
		if (hf_reap(queue, 64) == 0 && wait) {
			(void)!hf_queue_wait(queue, 1000);
		}
	}
	assert_int_equal(batch->ended, 200);
	assert_int_equal(batch->failed, 0);
}

static void prepare(struct batch *batch, struct hf_namespace *ns, bool write,
		    uint8_t *memory)
{
	uint32_t bytes = block_bytes(ns);

	for (uint32_t i = 0; i < 200; i++) {
		uint64_t lba = 4000 + 3 * i;
		uint8_t *at = memory + i * (size_t)bytes;

		if (write) {
			hf_io_prep_write(&batch->io[i], ns, lba, 1, at);
		} else {
			hf_io_prep_read(&batch->io[i], ns, lba, 1, at);
		}
		batch->io[i].done = count_end;
		batch->io[i].user = batch;
		batch->list[i] = &batch->io[i];
	}
}

static void batches_complete(enum hf_queue_mode mode)
{
	struct hf_driver *drv = any_open(ANY_PLAIN, NULL);
	struct hf_namespace *ns = any_namespace(drv, 1);
	struct hf_driver_info info;
	struct batch *batch = calloc(1, sizeof(*batch));
	uint32_t bytes = block_bytes(ns);
	uint8_t *memory = hf_dma_alloc(drv, 200 * (uint64_t)bytes, NULL);

	assert_non_null(batch);
	assert_non_null(memory);
	hf_driver_get_info(drv, &info);
	/* Each CPU: queue N has interrupt N - 1, and all of them must work. */
	for (uint32_t cpu = 0; cpu < info.cpu_count && cpu < 8; cpu++) {
		struct hf_queue *queue = NULL;

		assert_int_equal(hf_queue_open(&queue, drv, cpu, mode, NULL),
				 0);
		for (uint32_t i = 0; i < 200; i++) {
			any_fill(memory + i * (size_t)bytes, 4000 + 3 * i, 1,
				 bytes, cpu);
		}
		prepare(batch, ns, true, memory);
		run_batch(queue, batch, mode == HF_EVENT);
		memset(memory, 0xee, 200 * (size_t)bytes);
		prepare(batch, ns, false, memory);
		run_batch(queue, batch, mode == HF_EVENT);
		for (uint32_t i = 0; i < 200; i++) {
			any_check(memory + i * (size_t)bytes, 4000 + 3 * i, 1,
				  bytes, cpu);
		}
		hf_queue_close(queue);
	}
	hf_dma_free(drv, memory);
	free(batch);
	close_all(ns, drv);
}

static void batches_complete_by_polling(void **state)
{
	(void)state;
	batches_complete(HF_POLL);
}

static void batches_complete_by_interrupt(void **state)
{
	(void)state;
	batches_complete(HF_EVENT);
}

static void other_commands_do_what_they_say(void **state)
{
	struct hf_driver *drv = any_open(ANY_PLAIN, NULL);
	struct hf_namespace *ns = any_namespace(drv, 1);
	const struct hf_range range = {.lba = 300, .blocks = 8};
	struct hf_namespace_info info;
	uint8_t *data;

	(void)state;
	hf_namespace_get_info(ns, &info);
	data = pages(8 * info.block_bytes / PAGE + 1);
	any_fill(data, 300, 8, info.block_bytes, 9);
	assert_int_equal(hf_write(ns, 300, 8, data), 0);
	assert_int_equal(hf_flush(ns), 0);
	if (info.can_compare) {
		assert_int_equal(hf_compare(ns, 300, 8, data), 0);
	}
	if (info.can_verify) {
		assert_int_equal(hf_verify(ns, 300, 8), 0);
	}
	if (info.can_write_zeroes) {
		assert_int_equal(hf_write_zeroes(ns, 302, 4, 0), 0);
		assert_int_equal(hf_read(ns, 300, 8, data), 0);
		any_check(data, 300, 2, info.block_bytes, 9);
		for (uint32_t i = 0; i < 4 * info.block_bytes; i++) {
			assert_int_equal(data[2 * info.block_bytes + i], 0);
		}
	}
	if (info.can_deallocate) {
		assert_int_equal(hf_deallocate(ns, &range, 1), 0);
	}
	free(data);
	close_all(ns, drv);
}

static void admin_commands_pass_through(void **state)
{
	struct hf_driver *drv = any_open(ANY_PLAIN, NULL);
	struct nvme_smart_log *smart = pages(1);
	struct hf_command command = {
		.opcode = nvme_admin_get_log_page,
		.nsid = NVME_NSID_ALL,
		.cdw10 = (sizeof(*smart) / 4 - 1) << 16 | NVME_LOG_LID_SMART,
		.data = smart,
		.data_len_bytes = sizeof(*smart),
	};
	struct hf_command create = {.opcode = nvme_admin_create_cq};

	(void)state;
	assert_int_equal(hf_admin_command(drv, &command, NULL), 0);
	/* In kelvin: between freezing and boiling. */
	assert_in_range(smart->temperature[0] | smart->temperature[1] << 8, 273,
			373);
	assert_int_equal(hf_admin_command(drv, &create, NULL), -EPERM);
	free(smart);
	close_all(NULL, drv);
}

static void reading_past_the_end_is_refused(void **state)
{
	struct hf_driver *drv = any_open(ANY_PLAIN, NULL);
	struct hf_namespace *ns = any_namespace(drv, 1);
	struct hf_namespace_info info;
	uint8_t *data;

	(void)state;
	hf_namespace_get_info(ns, &info);
	data = pages(2 * info.block_bytes / PAGE + 1);
	assert_int_equal(hf_read(ns, info.blocks - 1, 1, data), 0);
	assert_int_equal(hf_read(ns, info.blocks - 1, 2, data), -ERANGE);
	assert_int_equal(hf_read(ns, UINT64_MAX, 1, data), -ERANGE);
	free(data);
	close_all(ns, drv);
}

static void one_queue_serves_every_cpu(void **state)
{
	struct hf_driver_options options;
	struct hf_driver_info info;
	struct hf_driver *drv;
	struct hf_namespace *ns;
	uint8_t *own;

	(void)state;
	hf_driver_options_init(&options);
	options.io_queues = 1;
	options.queue_entries = 2;
	drv = any_open(ANY_PLAIN, &options);
	ns = any_namespace(drv, 1);
	own = hf_dma_alloc(drv, 32 * PAGE, NULL);
	assert_non_null(own);
	write_and_read(ns, own, 5);
	hf_driver_get_info(drv, &info);
	assert_int_equal(info.io_queues_max, 1);
	hf_dma_free(drv, own);
	close_all(ns, drv);
}

static int teardown(void **state)
{
	(void)state;
	return any_no_mistakes(NULL);
}

int main(void)
{
	int absent = any_absent(ANY_PLAIN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(controller_identifies_itself),
		cmocka_unit_test(namespace_is_listed_and_opens_once),
		cmocka_unit_test(transfers_of_all_sizes_come_back),
		cmocka_unit_test(allocated_and_registered_memory_is_reached),
		cmocka_unit_test(bouncing_everything_gives_the_same_data),
		cmocka_unit_test(batches_complete_by_polling),
		cmocka_unit_test(batches_complete_by_interrupt),
		cmocka_unit_test(other_commands_do_what_they_say),
		cmocka_unit_test(admin_commands_pass_through),
		cmocka_unit_test(reading_past_the_end_is_refused),
		cmocka_unit_test(one_queue_serves_every_cpu),
	};

	if (absent >= 0) {
		return absent;
	}
	return cmocka_run_group_tests(tests, NULL, teardown);
}
