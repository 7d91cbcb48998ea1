/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: the controller's threads serve several queues at once, sleep when there
 * is nothing to do, and let go of memory and namespaces in time.
 * Method: hosts in threads of their own, over real rings; meant to run under
 * ThreadSanitizer too.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "cmocka_all.h"
#include "host.h"

#define QUEUES   4
#define COMMANDS 2000
#define DEPTH    16
#define BLOCK    4096u

static void start(struct host *host, struct hf_emu_options *options)
{
	hf_emu_options_init(options);
	options->io_workers = 2;
	host_open(host, options);
	host_add_namespace(host, 8 << 20, 512);
	host_enable(host);
}

struct client {
	struct host *host;
	uint16_t qid;
	uint8_t *data;
	uint64_t data_iova;
	uint64_t errors;
};

static void fill(uint8_t *block, uint64_t seed)
{
	for (uint32_t i = 0; i < BLOCK; i += 8) {
		hf_put_le64(block + i, seed * 0x9e3779b97f4a7c15u + i);
	}
}

static bool wait_one(struct client *c, struct nvme_cqe *cqe)
{
	uint64_t deadline = hf_deadline_ms(20000);

	while (!host_reap(c->host, c->qid, cqe)) {
		if (hf_deadline_passed(deadline)) {
			c->errors += 1000000;
			return false;
		}
		sched_yield();
	}
	if (host_status(cqe) != 0) {
		c->errors++;
	}
	return true;
}

/* Rounds of DEPTH writes with one doorbell, then reads of the same. */
static void *client_main(void *arg)
{
	struct client *c = arg;
	uint64_t base = (c->qid - 1u) * DEPTH * 8u;
	struct nvme_cqe cqe;

	for (uint32_t n = 0; n < COMMANDS / DEPTH / 2; n++) {
		for (uint32_t pass = 0; pass < 2; pass++) {
			for (uint32_t i = 0; i < DEPTH; i++) {
				uint8_t *block = c->data + i * BLOCK;
				uint64_t seed = n * DEPTH + i + c->qid * 7919u;

				if (pass == 0) {
					fill(block, seed);
				} else {
					memset(block, 0, BLOCK);
				}
				struct nvme_sqe sqe =
					host_rw(pass == 0 ? nvme_cmd_write
							  : nvme_cmd_read,
						base + i * 8, 8,
						c->data_iova + i * BLOCK);
				host_push(c->host, c->qid, &sqe);
			}
			host_ring(c->host, c->qid);
			for (uint32_t i = 0; i < DEPTH; i++) {
				if (!wait_one(c, &cqe)) {
					return NULL;
				}
			}
		}
		for (uint32_t i = 0; i < DEPTH; i++) {
			uint8_t wanted[BLOCK];

			fill(wanted, n * DEPTH + i + c->qid * 7919u);
			if (memcmp(wanted, c->data + i * BLOCK, BLOCK) != 0) {
				c->errors++;
			}
		}
	}
	return NULL;
}

static void several_queues_are_served_in_parallel(void **state)
{
	struct hf_emu_options options;
	struct client clients[QUEUES];
	pthread_t threads[QUEUES];
	struct host host;
	(void)state;

	start(&host, &options);
	for (uint16_t i = 0; i < QUEUES; i++) {
		host_create_queue(&host, (uint16_t)(i + 1), 64, i);
		clients[i] = (struct client){.host = &host};
		clients[i].qid = (uint16_t)(i + 1);
		clients[i].data =
			host_alloc(&host, DEPTH * BLOCK, &clients[i].data_iova);
	}

	for (int i = 0; i < QUEUES; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, client_main,
						&clients[i]),
				 0);
	}
	for (int i = 0; i < QUEUES; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(clients[i].errors, 0);
	}

	struct hf_emu_stats stats = {.size = sizeof(stats)};
	hf_emu_stats(host.emu, &stats);
	assert_int_equal(stats.io_commands[nvme_cmd_write],
			 QUEUES * (COMMANDS / DEPTH / 2) * DEPTH);
	assert_int_equal(stats.errors, 0);
	assert_int_equal(stats.outstanding, 0);
	host_close(&host);
}

static void an_interrupt_wakes_who_waits(void **state)
{
	struct hf_emu_options options;
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	(void)state;

	start(&host, &options);
	host_create_queue(&host, 1, 16, 3);
	host_alloc(&host, BLOCK, &iova);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(hf_emu_irq_set(host.emu, 3, fd, NULL), 0);

	for (int i = 0; i < 200; i++) {
		struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 8, iova);
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		uint64_t count;

		host_push(&host, 1, &sqe);
		host_ring(&host, 1);
		assert_int_equal(poll(&pfd, 1, 20000), 1);
		assert_int_equal(read(fd, &count, sizeof(count)),
				 sizeof(count));
		assert_true(host_reap(&host, 1, &cqe));
	}
	close(fd);
	host_close(&host);
}

/* Unmaps its data again and again while commands run; no command may end with
 * anything but success or Data Transfer Error, and nothing may crash. */
static void *unmapper_main(void *arg)
{
	struct host *host = arg;

	for (int i = 0; i < 200; i++) {
		uint8_t *page = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (hf_emu_dma_map(host->emu, 0x5000, page, BLOCK,
				   HF_EMU_DMA_READ | HF_EMU_DMA_WRITE,
				   NULL) != 0) {
			abort();
		}
		sched_yield();
		if (hf_emu_dma_unmap(host->emu, 0x5000, BLOCK, NULL) != 0) {
			abort();
		}
		munmap(page, BLOCK);
	}
	return NULL;
}

static void unmapping_waits_for_who_uses_the_memory(void **state)
{
	struct hf_emu_options options;
	struct host host;
	struct nvme_cqe cqe;
	pthread_t thread;
	(void)state;

	start(&host, &options);
	host_create_queue(&host, 1, 16, 0);
	assert_int_equal(pthread_create(&thread, NULL, unmapper_main, &host),
			 0);

	for (int i = 0; i < 2000; i++) {
		struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 8, 0x5000);
		uint16_t status = host_command(&host, 1, &sqe, &cqe);

		assert_true(status == 0 || status == NVME_SC_DATA_XFER_ERROR);
	}
	pthread_join(thread, NULL);
	host_close(&host);
}

static void *resizer_main(void *arg)
{
	struct host *host = arg;
	struct hf_emu_namespace_options options;

	hf_emu_namespace_options_init(&options);
	options.nsid = 2;
	options.size_bytes = 1 << 20;
	for (int i = 0; i < 100; i++) {
		if (hf_emu_namespace_add(host->emu, &options, NULL, NULL) !=
			    0 ||
		    hf_emu_namespace_resize(host->emu, 2, 2 << 20, NULL) != 0 ||
		    hf_emu_namespace_swap(host->emu, 2, &options, NULL) != 0 ||
		    hf_emu_namespace_remove(host->emu, 2, NULL) != 0) {
			abort();
		}
	}
	return NULL;
}

static void namespaces_come_and_go_under_load(void **state)
{
	struct hf_emu_options options;
	struct host host;
	struct nvme_cqe cqe;
	pthread_t thread;
	uint64_t iova;
	(void)state;

	start(&host, &options);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, BLOCK, &iova);
	assert_int_equal(pthread_create(&thread, NULL, resizer_main, &host), 0);

	for (int i = 0; i < 2000; i++) {
		struct nvme_sqe sqe = host_rw(
			i % 2 ? nvme_cmd_read : nvme_cmd_write, 0, 8, iova);
		sqe.nsid = 2;
		uint16_t status = host_command(&host, 1, &sqe, &cqe);

		assert_true(status == 0 || status == NVME_SC_INVALID_NS ||
			    status == NVME_SC_INVALID_FIELD);
	}
	pthread_join(thread, NULL);
	host_close(&host);
}

static void resets_at_any_time_are_survived(void **state)
{
	struct hf_emu_options options;
	struct host host;
	uint64_t iova;
	(void)state;

	start(&host, &options);
	for (int n = 0; n < 30; n++) {
		host_create_queue(&host, 1, 64, 0);
		host_alloc(&host, BLOCK, &iova);
		for (int i = 0; i < 40; i++) {
			struct nvme_sqe sqe =
				host_rw(nvme_cmd_write, 0, 8, iova);

			host_push(&host, 1, &sqe);
		}
		host_ring(&host, 1);
		if (n % 3 == 0) {
			hf_emu_reset(host.emu);
			memset(host.queues, 0, sizeof(host.queues));
		} else {
			host_disable(&host);
		}
		host_enable(&host);
	}
	host_close(&host);
}

/* How often threads other than this one went to sleep or were made to. */
static uint64_t switches_of_others(void)
{
	struct rusage all;
	struct rusage mine;

	assert_int_equal(getrusage(RUSAGE_SELF, &all), 0);
	assert_int_equal(getrusage(RUSAGE_THREAD, &mine), 0);
	return (uint64_t)(all.ru_nvcsw + all.ru_nivcsw - mine.ru_nvcsw -
			  mine.ru_nivcsw);
}

/* However slow the machine: whoever naps wakes within a fifth of a second. */
static void no_thread_wakes_while_there_is_nothing_to_do(void **state)
{
	struct hf_emu_options options;
	struct host host;
	struct timespec silence = {.tv_nsec = 200000000};
	uint64_t deadline = hf_deadline_ms(20000);
	uint64_t before;
	(void)state;

#ifdef __SANITIZE_THREAD__
	/* It has a thread of its own that wakes ten times a second. */
	return;
#endif
	start(&host, &options);
	host_create_queue(&host, 1, 16, 0);
	do {
		assert_false(hf_deadline_passed(deadline));
		before = switches_of_others();
		nanosleep(&silence, NULL);
	} while (switches_of_others() != before);
	host_close(&host);
}

static void shared_doorbells_are_seen(void **state)
{
	struct hf_emu_options options;
	struct hf_error err = {0};
	struct host host;
	uint64_t len;
	uint64_t iova;
	(void)state;

#ifdef __SANITIZE_THREAD__
	/* One memory at two addresses is two memories to ThreadSanitizer: it
	 * does not see what the doorbells order. */
	return;
#endif
	hf_emu_options_init(&options);
	host_open(&host, &options);
	int fd = hf_emu_doorbell_share(host.emu, &len, &err);
	assert_true(fd >= 0);
	uint8_t *page =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
	assert_ptr_not_equal(page, MAP_FAILED);
	host_add_namespace(&host, 1 << 20, 512);
	host_enable(&host);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, BLOCK, &iova);

	struct host_queue *q = &host.queues[1];
	for (int i = 0; i < 500; i++) {
		uint64_t deadline = hf_deadline_ms(20000);
		struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 8, iova);

		host_push(&host, 1, &sqe);
		hf_store_le32_release((uint32_t *)(void *)(page + 8), q->tail);
		while (!host_peek(&host, 1)) {
			assert_false(hf_deadline_passed(deadline));
			sched_yield();
		}
		q->head = (q->head + 1) % q->entries;
		q->phase ^= q->head == 0;
		hf_store_le32_release((uint32_t *)(void *)(page + 12), q->head);
	}
	munmap(page, len);
	host_close(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(several_queues_are_served_in_parallel),
		cmocka_unit_test(an_interrupt_wakes_who_waits),
		cmocka_unit_test(unmapping_waits_for_who_uses_the_memory),
		cmocka_unit_test(namespaces_come_and_go_under_load),
		cmocka_unit_test(resets_at_any_time_are_survived),
		cmocka_unit_test(no_thread_wakes_while_there_is_nothing_to_do),
		cmocka_unit_test(shared_doorbells_are_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
