/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: shadow doorbells and interrupts: who is told, when, and how often.
 * Method: a host of the test's own on a controller served by hand.
 */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bytes.h"
#include "cmocka_all.h"
#include "host.h"

struct shadows {
	uint32_t *shadow;
	uint32_t *event;
	uint64_t shadow_iova;
	uint64_t event_iova;
};

static uint16_t configure(struct host *host, uint64_t shadow, uint64_t event)
{
	struct nvme_cqe cqe;
	struct nvme_sqe sqe = {
		.opcode = nvme_admin_dbbuf,
		.prp1 = shadow,
		.prp2 = event,
	};

	return host_command(host, 0, &sqe, &cqe);
}

static void setup_shadow_doorbells(struct host *host, struct shadows *s)
{
	s->shadow = host_alloc(host, 4096, &s->shadow_iova);
	s->event = host_alloc(host, 4096, &s->event_iova);
	assert_int_equal(configure(host, s->shadow_iova, s->event_iova), 0);
}

static void setup_shadow_doorbells_checks_its_pages(void **state)
{
	struct host host;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_alloc(&host, 8192, &iova);

	assert_int_equal(configure(&host, 0, iova), NVME_SC_INVALID_FIELD);
	assert_int_equal(configure(&host, iova + 8, iova),
			 NVME_SC_INVALID_FIELD);
	assert_int_equal(configure(&host, iova, 0x1000),
			 NVME_SC_DATA_XFER_ERROR);
	assert_int_equal(configure(&host, iova, iova + 4096), 0);
	host_close(&host);
}

static void setup_sq_ring_with_shadow(void **state)
{
	struct host host;
	struct nvme_cqe cqe;
	struct shadows s;
	uint64_t iova;
	(void)state;

	host_start(&host);
	setup_shadow_doorbells(&host, &s);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, 4096, &iova);
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);

	/* The value in the register does not count any more. */
	host_push(&host, 1, &sqe);
	hf_store_le32_release(&s.shadow[2], 1);
	host_write32(&host, 0x1008, 5);
	host_run(&host);

	assert_true(host_peek(&host, 1));
	assert_true(host_reap(&host, 1, &cqe));
	assert_false(host_peek(&host, 1));
	host_close(&host);
}

static void update_data_queues_with_shadow_doorbells(void **state)
{
	struct host host;
	struct shadows s;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 0); /* before the configuration */
	setup_shadow_doorbells(&host, &s);
	host_alloc(&host, 4096, &iova);

	for (uint32_t i = 0; i < 50; i++) {
		struct host_queue *q = &host.queues[1];
		struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);

		host_push(&host, 1, &sqe);
		hf_store_le32_release(&s.shadow[2], q->tail);
		host_run(&host); /* looks without being told */
		assert_true(host_peek(&host, 1));
		q->head = (q->head + 1) % q->entries;
		q->phase ^= q->head == 0;
		hf_store_le32_release(&s.shadow[3], q->head);
	}

	host_close(&host);
}

static void controller_reset_ends_shadow_doorbells(void **state)
{
	struct host host;
	struct nvme_cqe cqe;
	struct shadows s;
	uint64_t iova;
	(void)state;

	host_start(&host);
	setup_shadow_doorbells(&host, &s);
	host_disable(&host);
	host_enable(&host);
	host_create_queue(&host, 1, 16, 0);
	host_alloc(&host, 4096, &iova);
	s.shadow[2] = 7; /* nobody looks */

	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);
	assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);
	host_close(&host);
}

/* ------------------------------------------------------------- interrupts */

static uint64_t take_interrupts(int fd)
{
	uint64_t count = 0;

	if (read(fd, &count, sizeof(count)) != sizeof(count)) {
		return 0;
	}
	return count;
}

static int connect_vector(struct host *host, uint32_t vector)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	assert_int_equal(hf_emu_irq_set(host->emu, vector, fd, NULL), 0);
	return fd;
}

static void a_batch_raises_one_interrupt(void **state)
{
	struct host host;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 5);
	host_alloc(&host, 4096, &iova);
	int fd = connect_vector(&host, 5);
	for (int i = 0; i < 8; i++) {
		struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);

		host_push(&host, 1, &sqe);
	}
	host_ring(&host, 1);

	host_run(&host);

	assert_int_equal(take_interrupts(fd), 1);
	close(fd);
	host_close(&host);
}

static void masked_vectors_keep_the_interrupt_pending(void **state)
{
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 5);
	host_alloc(&host, 4096, &iova);
	int fd = connect_vector(&host, 5);
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);

	hf_emu_irq_mask(host.emu, 5, true);
	assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);
	assert_int_equal(take_interrupts(fd), 0);
	assert_true(hf_emu_irq_pending(host.emu, 5));
	hf_emu_irq_mask(host.emu, 5, false);

	assert_int_equal(take_interrupts(fd), 1);
	assert_false(hf_emu_irq_pending(host.emu, 5));
	close(fd);
	host_close(&host);
}

static void coalescing_waits_for_entries_or_time(void **state)
{
	struct host host;
	struct nvme_cqe cqe;
	uint64_t iova;
	(void)state;

	host_start(&host);
	host_create_queue(&host, 1, 16, 5);
	host_alloc(&host, 4096, &iova);
	int fd = connect_vector(&host, 5);
	/* Three entries, or 2 x 100 us. */
	assert_int_equal(host_admin(&host, nvme_admin_set_features, 0,
				    NVME_FEAT_FID_IRQ_COALESCE, 0x0202, 0,
				    NULL),
			 0);
	struct nvme_sqe sqe = host_rw(nvme_cmd_read, 0, 1, iova);

	assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);
	assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);
	assert_int_equal(take_interrupts(fd), 0);
	assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);
	assert_int_equal(take_interrupts(fd), 1);

	hf_emu_advance(host.emu, 1);
	assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);
	hf_emu_advance(host.emu, 199999);
	host_run(&host);
	assert_int_equal(take_interrupts(fd), 0);
	hf_emu_advance(host.emu, 1);
	host_run(&host);
	assert_int_equal(take_interrupts(fd), 1);

	/* Off for this vector: each batch at once. */
	assert_int_equal(host_admin(&host, nvme_admin_set_features, 0,
				    NVME_FEAT_FID_IRQ_CONFIG, 5 | 1 << 16, 0,
				    NULL),
			 0);
	assert_int_equal(host_command(&host, 1, &sqe, &cqe), 0);
	assert_int_equal(take_interrupts(fd), 1);
	close(fd);
	host_close(&host);
}

static void note_level(void *user, bool high)
{
	int *changes = user;

	changes[high ? 1 : 0]++;
}

static void the_pin_follows_queues_and_masks(void **state)
{
	struct hf_emu_options options;
	struct host host;
	struct nvme_cqe cqe;
	int changes[2] = {0, 0};
	(void)state;

	host_options(&options);
	host_open(&host, &options);
	hf_emu_irq_mode(host.emu, HF_EMU_IRQ_INTX);
	hf_emu_intx_set(host.emu, note_level, changes);
	host_enable(&host);
	struct nvme_sqe sqe = {
		.opcode = nvme_admin_get_features,
		.cdw10 = NVME_FEAT_FID_NUM_QUEUES,
	};

	host_send(&host, 0, &sqe);
	assert_true(hf_emu_intx_level(host.emu));
	host_write32(&host, NVME_REG_INTMS, 1);
	assert_false(hf_emu_intx_level(host.emu));
	host_write32(&host, NVME_REG_INTMC, 1);
	assert_true(hf_emu_intx_level(host.emu));
	assert_true(host_reap(&host, 0, &cqe));
	assert_false(hf_emu_intx_level(host.emu));

	assert_int_equal(changes[1], 2);
	assert_int_equal(changes[0], 2);
	host_close(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(setup_shadow_doorbells_checks_its_pages),
		cmocka_unit_test(setup_sq_ring_with_shadow),
		cmocka_unit_test(update_data_queues_with_shadow_doorbells),
		cmocka_unit_test(controller_reset_ends_shadow_doorbells),
		cmocka_unit_test(a_batch_raises_one_interrupt),
		cmocka_unit_test(masked_vectors_keep_the_interrupt_pending),
		cmocka_unit_test(coalescing_waits_for_entries_or_time),
		cmocka_unit_test(the_pin_follows_queues_and_masks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
