/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: interrupts reach the descriptors that a vfio-user client gave for
 * them, by MSI-X and by INTx, and by nothing else.
 * Method: a client by hand sets them, and runs the controller's admin queue.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "vfu_fixture.h"

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

/* As KVM does when the guest has dealt with the interrupt. */
static void an_event_unmasks_the_pin(void **state)
{
	struct fixture *f = *state;
	int unmask = eventfd(0, EFD_CLOEXEC);
	uint64_t one = 1;

	assert_int_equal(map_all(f), 0);
	assert_int_equal(client_set_irqs(&f->client, EVENTFD_TRIGGER, INTX, 0,
					 1, &f->event, 1),
			 0);
	assert_int_equal(client_set_irqs(&f->client,
					 VFIO_IRQ_SET_DATA_EVENTFD |
						 VFIO_IRQ_SET_ACTION_UNMASK,
					 INTX, 0, 1, &unmask, 1),
			 0);
	admin_enable(&f->client);
	admin_identify(&f->client, f->memory, 0);
	assert_true(event_comes(f->event));

	assert_int_equal(write(unmask, &one, sizeof(one)), sizeof(one));
	assert_true(event_comes(f->event));

	/* Taken back: nobody looks at it any more. */
	assert_int_equal(client_set_irqs(&f->client,
					 VFIO_IRQ_SET_DATA_EVENTFD |
						 VFIO_IRQ_SET_ACTION_UNMASK,
					 INTX, 0, 1, NULL, 0),
			 0);
	assert_int_equal(write(unmask, &one, sizeof(one)), sizeof(one));
	client_reg32(&f->client, 8);
	assert_false(event_pending(f->event));
	assert_true(event_pending(unmask));
	admin_disable(&f->client);
	close(unmask);
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
		{0x0c, INTX, 0, 1, 1}, /* events of masking: not there */
		{0x14, MSIX, 0, 1, 1}, /* of unmasking: for the pin alone */
		{0x14, INTX, 0, 1, 2},
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
	return fixture_open_with(state, be_strict);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(completions_interrupt_by_msix),
		TEST(msix_waits_for_its_enable_bit),
		TEST(intx_is_a_level),
		TEST(an_event_unmasks_the_pin),
		TEST(vectors_are_set_in_ranges),
		TEST(bad_interrupt_settings_are_refused),
		TEST(a_masked_vector_is_pending),
		TEST(a_masked_function_is_pending),
		TEST(the_client_can_be_asked_to_let_go),
		TEST_ON(an_interrupt_that_nobody_expects_is_fatal,
			setup_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
