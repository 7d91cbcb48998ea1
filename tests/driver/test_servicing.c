/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whenever a driver is saved or killed, its successor goes on: the
 *       controller is not reset and not asked anything, queues and memory are
 *       found again; and it does so only where that is allowed.
 * Method: drivers follow one another on one emulated controller that counts
 *         commands. Each test runs with a saved and with a killed predecessor.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nvme/types.h>

#include "heir_load.h"
#include "keepalive.h"

static void the_device_lives_through_restarts(struct rig *rig, bool planned)
{
	uint8_t block[512];
	uint8_t back[512];

	heirs_open(rig);
	rig_fill(block, 512, 1);
	assert_int_equal(hf_write(rig->ns, 7, 1, block), 0);
	for (uint32_t i = 0; i < 4; i++) {
		struct hf_emu_stats before = rig_stats(rig);

		heirs_replace(rig, planned);
		rig_turn(rig, 20);
		struct hf_emu_stats after = rig_stats(rig);
		heirs_assert_left_alone(&before, &after);
		assert_int_equal(hf_read(rig->ns, 7, 1, back), 0);
		assert_memory_equal(block, back, 512);
	}
	assert_int_equal(rig_stats(rig).enables, 1);
}

/* No Identify is believed, since none is sent. */
static void what_identify_would_say_is_not_asked(struct rig *rig, bool planned)
{
	struct hf_namespace_info before;
	struct hf_namespace_info after;

	heirs_open(rig);
	hf_namespace_get_info(rig->ns, &before);
	uint32_t identify =
		rig_rule(rig, "admin-identify:patch=0/0001000000000000");
	uint32_t create = rig_rule(rig, "admin-create-iocq:note");
	uint32_t event = rig_rule(rig, "aer:note");
	heirs_replace(rig, planned);
	rig_turn(rig, 20);
	hf_namespace_get_info(rig->ns, &after);
	assert_int_equal(before.blocks, after.blocks);
	assert_int_equal(rig_hits(rig, identify), 0);
	assert_int_equal(rig_hits(rig, create), 0);
	assert_int_equal(rig_hits(rig, event), 0);
}

static void the_callers_memory_is_found_again(struct rig *rig, bool planned)
{
	uint32_t cursor = 0;
	uint64_t len = 0;
	void *memory = NULL;

	heirs_open(rig);
	uint8_t *first = hf_dma_alloc(rig->drv, 4096, &rig->err);
	uint8_t *second = hf_dma_alloc(rig->drv, 3 * 4096, &rig->err);
	memset(first, 0x11, 4096);
	memset(second, 0x22, 3 * 4096);
	heirs_replace(rig, planned);
	assert_int_equal(hf_dma_next(rig->drv, &cursor, &memory, &len), 1);
	assert_int_equal(len, 4096);
	assert_int_equal(*(uint8_t *)memory, 0x11);
	assert_int_equal(hf_dma_next(rig->drv, &cursor, &memory, &len), 1);
	assert_int_equal(len, 3 * 4096);
	assert_int_equal(*(uint8_t *)memory, 0x22);
	assert_int_equal(hf_dma_next(rig->drv, &cursor, &memory, &len), 0);
	/* What nobody asked about stays in use. */
	uint8_t *third = hf_dma_alloc(rig->drv, 4096, &rig->err);
	assert_int_equal(*third, 0);
	assert_int_equal(*(uint8_t *)memory, 0x22);
}

static void only_queues_with_commands_come_at_once(struct rig *rig,
						   bool planned)
{
	rig->options.cpu_count = 4;
	rig->options.io_queues = 4;
	heirs_open(rig);
	struct load *load = NULL;
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	for (uint32_t cpu = 0; cpu < 4; cpu++) {
		struct load *each = load_of(rig, cpu);

		load_put(rig, each, 0, HF_OP_READ, 0, 1, data);
		assert_int_equal(rig_finish(rig, each->queue, &each->work[0]),
				 0);
		if (cpu == 2) {
			load = each;
		} else {
			load_drop(each);
		}
	}
	uint32_t rule = rig_rule(rig, "io-write:hold");
	load_put(rig, load, 1, HF_OP_WRITE, 0, 1, data);
	heirs_until_hit(rig, rule, 1);
	hf_queue_close(load->queue);
	struct hf_emu_stats before = rig_stats(rig);
	heirs_replace(rig, planned);
	assert_non_null(rig->drv->io[0]);
	assert_null(rig->drv->io[1]);
	assert_non_null(rig->drv->io[2]);
	assert_null(rig->drv->io[3]);
	assert_int_equal(load_attach(rig, load, NULL), 1);
	load_reopen(rig, load, 3);
	load_put(rig, load, 2, HF_OP_READ, 0, 1, data);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[2]), 0);
	assert_non_null(rig->drv->io[3]);
	struct hf_emu_stats after = rig_stats(rig);
	heirs_assert_left_alone(&before, &after);
	(void)hf_emu_fault_remove(rig->emu, rule);
	hf_queue_close(load->queue);
	load_reopen(rig, load, 2);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[1]), 0);
	load_drop(load);
}

static void a_queue_made_after_a_restore_has_its_own_number(struct rig *rig,
							    bool planned)
{
	rig->options.cpu_count = 4;
	rig->options.io_queues = 4;
	heirs_open(rig);
	uint8_t *data = malloc(512);
	for (uint32_t cycle = 0; cycle < 3; cycle++) {
		struct load *load;

		heirs_replace(rig, planned);
		load = load_of(rig, cycle + 1);
		load_put(rig, load, 0, HF_OP_READ, 0, 1, data);
		assert_int_equal(rig_finish(rig, load->queue, &load->work[0]),
				 0);
		assert_int_equal(rig->drv->io[cycle + 1]->qid, cycle + 2);
		assert_int_equal(
			rig_stats(rig).admin_commands[nvme_admin_create_sq],
			cycle + 2);
		load_drop(load);
	}
	assert_int_equal(rig_stats(rig).errors, 0);
	free(data);
}

static void closing_after_a_restore_shuts_down(struct rig *rig, bool planned)
{
	heirs_open(rig);
	heirs_replace(rig, planned);
	uint32_t shutdown =
		rig_rule(rig, "reg-cc,write,value=0x4001/0xc001:note");
	uint32_t disable = rig_rule(rig, "reg-cc,write,value=0/1:note");
	hf_namespace_close(rig->ns);
	rig->ns = NULL;
	assert_int_equal(hf_driver_close(rig->drv, &rig->err), 0);
	rig->drv = NULL;
	assert_int_equal(rig_hits(rig, shutdown), 1);
	assert_int_equal(rig_hits(rig, disable), 1);
}

static void who_does_not_want_the_state_clears_the_device(struct rig *rig,
							  bool planned)
{
	heirs_open(rig);
	uint32_t disable = rig_rule(rig, "reg-cc,write,value=0/1:note");
	assert_int_equal(heirs_let_go(rig, planned), 0);
	assert_int_equal(heirs_adopt(rig), 0);
	assert_int_equal(hf_device_clear(rig->heirs->dev, &rig->err), 0);
	rig->heirs->dev = NULL;
	assert_int_equal(rig_hits(rig, disable), 1);
}

BOTH(the_device_lives_through_restarts)
BOTH(what_identify_would_say_is_not_asked)
BOTH(the_callers_memory_is_found_again)
BOTH(only_queues_with_commands_come_at_once)
BOTH(a_queue_made_after_a_restore_has_its_own_number)
BOTH(closing_after_a_restore_shuts_down)
BOTH(who_does_not_want_the_state_clears_the_device)

static int count_sets(struct hf_driver *drv, struct hf_carry *carry, void *user,
		      struct hf_error *err)
{
	(void)drv;
	(void)carry;
	(void)err;
	++*(uint32_t *)user;
	return 0;
}

/* Nobody is given what a successor would need. */
static void assert_carries_nothing(struct rig *rig)
{
	struct hf_carry *carry = NULL;
	uint32_t sets = 0;

	assert_int_equal(hf_driver_carry(rig->drv, &carry, &rig->err), -EPERM);
	assert_non_null(strstr(rig->err.message, "not to outlive"));
	assert_int_equal(
		hf_driver_keep_with(rig->drv, count_sets, &sets, &rig->err),
		-EPERM);
	assert_non_null(strstr(rig->err.message, "not to outlive"));
	assert_int_equal(hf_driver_keep_with(rig->drv, NULL, NULL, NULL), 0);
	assert_int_equal(sets, 0);
}

static void keeping_alive_is_switched_off_at_run_time(void **state)
{
	struct rig *rig = *state;

	RETURN_WITHOUT_KEEPALIVE();
	heirs_open(rig);
	hf_driver_set_keepalive(rig->drv, false);
	assert_int_equal(heirs_let_go(rig, true), -EPERM);
	assert_non_null(strstr(rig->err.message, "not to outlive"));
	assert_carries_nothing(rig);
	/* It runs on, and closing it resets the controller. */
	uint8_t block[512];
	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
	hf_driver_set_keepalive(rig->drv, true);
	heirs_replace(rig, true);
	heirs_end(rig);
}

static void a_build_without_it_refuses_to_save(void **state)
{
	struct rig *rig = *state;
	uint8_t block[512];

	if (HF_KEEPALIVE) {
		print_message("# left out: this holdfast saves\n");
		return;
	}
	heirs_open(rig);
	hf_driver_set_keepalive(rig->drv, true);
	assert_int_equal(heirs_let_go(rig, true), -EPERM);
	assert_non_null(strstr(rig->err.message, "not to outlive"));
	assert_non_null(strstr(rig->err.message, "was built without it"));
	assert_carries_nothing(rig);
	assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
	heirs_end(rig);
}

static void keeping_alive_is_off_from_the_start_if_asked(void **state)
{
	struct rig *rig = *state;

	rig->options.keepalive = false;
	heirs_open(rig);
	assert_int_equal(heirs_let_go(rig, true), -EPERM);
	heirs_end(rig);
}

/* And memory is had as where nothing keeps. */
static void what_is_switched_off_is_not_kept(void **state)
{
	const uint64_t len = UINT64_C(24)
			     << 20; /* fits no pool that there is */
	struct rig *rig = *state;
	uint32_t sets = 0;

	RETURN_WITHOUT_KEEPALIVE();
	heirs_open(rig);
	assert_int_equal(
		hf_driver_keep_with(rig->drv, count_sets, &sets, &rig->err), 0);
	assert_int_equal(hf_driver_keep_now(rig->drv, &rig->err), 0);
	assert_int_equal(sets, 1);

	hf_driver_set_keepalive(rig->drv, false);
	assert_non_null(hf_dma_alloc(rig->drv, len, &rig->err));
	assert_int_equal(hf_driver_keep_now(rig->drv, &rig->err), -EPERM);
	assert_non_null(strstr(rig->err.message, "not to outlive"));
	assert_int_equal(sets, 1);

	hf_driver_set_keepalive(rig->drv, true);
	assert_int_equal(hf_driver_keep_now(rig->drv, &rig->err), 0);
	assert_int_equal(sets, 2);
	assert_non_null(hf_dma_alloc(rig->drv, 2 * len, &rig->err));
	assert_int_equal(sets, 3);
	assert_int_equal(hf_driver_keep_with(rig->drv, NULL, NULL, NULL), 0);
	heirs_replace(rig, true);
	heirs_end(rig);
}

static void a_saved_driver_goes_on_when_nobody_comes(void **state)
{
	struct rig *rig = *state;
	uint8_t *bytes;
	size_t len;

	RETURN_WITHOUT_KEEPALIVE();
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	uint32_t rule = rig_rule(rig, "io-write:hold");
	load_put(rig, load, 0, HF_OP_WRITE, 0, 1, data);
	heirs_until_hit(rig, rule, 1);
	assert_int_equal(hf_driver_save(rig->drv, &bytes, &len, &rig->err), 0);
	assert_int_equal(hf_driver_resume(rig->drv, &rig->err), 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	free(bytes);
	load_drop(load);
	heirs_end(rig);
}

static uint32_t asked_ahead;

static void count_asking(struct hf_device *dev, const struct hf_reg_read *reads,
			 uint32_t count)
{
	(void)dev;
	assert_true(count > 0 && reads[0].offset == NVME_REG_CAP);
	asked_ahead++;
}

/* One that is saved has a successor, which may be at work. */
static void only_a_driver_that_works_asks_for_its_successor(void **state)
{
	struct rig *rig = *state;
	uint8_t *bytes;
	size_t len;

	RETURN_WITHOUT_KEEPALIVE();
	heirs_open(rig);
	rig->ops.reg_read_ahead = count_asking;
	asked_ahead = 0;
	hf_driver_prepare_save(rig->drv);
	assert_int_equal(asked_ahead, 1);
	assert_int_equal(hf_driver_save(rig->drv, &bytes, &len, &rig->err), 0);
	free(bytes);
	hf_driver_prepare_save(rig->drv);
	assert_int_equal(asked_ahead, 1);
	assert_int_equal(hf_driver_resume(rig->drv, &rig->err), 0);
	hf_driver_prepare_save(rig->drv);
	assert_int_equal(asked_ahead, 2);
	heirs_end(rig);
}

/* One that is made while I/O goes on is as good as one that is made after. */
static void a_set_holds_until_a_descriptor_comes_or_goes(void **state)
{
	struct rig *rig = *state;
	const size_t len = (size_t)32 << 20;
	struct hf_carry *carry;
	void *memory;

	RETURN_WITHOUT_KEEPALIVE();
	heirs_open(rig);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(hf_driver_carry(rig->drv, &carry, &rig->err),
				 0);
		assert_true(hf_driver_carry_holds(rig->drv, carry));
		if (i == 0) {
			memory = hf_dma_alloc(rig->drv, len, &rig->err);
			assert_non_null(memory);
		} else if (i == 1) {
			int fd = memfd_create("test", MFD_CLOEXEC);

			assert_int_equal(ftruncate(fd, 4096), 0);
			memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				      MAP_SHARED, fd, 0);
			assert_int_equal(hf_dma_register(rig->drv, memory, 4096,
							 fd, 0, &rig->err),
					 0);
			close(fd);
		} else {
			assert_int_equal(
				hf_dma_unregister(rig->drv, memory, &rig->err),
				0);
			assert_int_equal(munmap(memory, 4096), 0);
		}
		assert_false(hf_driver_carry_holds(rig->drv, carry));
		hf_carry_free(carry);
	}
	heirs_end(rig);
}

static void many_controllers_are_replaced_side_by_side(void **state)
{
	void *each[4];
	uint8_t block[512];

	RETURN_WITHOUT_KEEPALIVE();
	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(rig_setup(&each[i]), 0);
		heirs_open(each[i]);
	}
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 4; i++) {
			assert_int_equal(
				heirs_let_go(each[i], (i + round) % 2 == 0), 0);
		}
		for (uint32_t i = 0; i < 4; i++) {
			struct rig *rig = each[i];

			assert_int_equal(heirs_restore(rig), 0);
			assert_int_equal(hf_namespace_open(&rig->ns, rig->drv,
							   1, &rig->err),
					 0);
			assert_int_equal(hf_read(rig->ns, 0, 1, block), 0);
		}
	}
	for (uint32_t i = 0; i < 4; i++) {
		heirs_end(each[i]);
		assert_int_equal(rig_teardown(&each[i]), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIST(the_device_lives_through_restarts),
		LIST(what_identify_would_say_is_not_asked),
		LIST(the_callers_memory_is_found_again),
		LIST(only_queues_with_commands_come_at_once),
		LIST(a_queue_made_after_a_restore_has_its_own_number),
		LIST(closing_after_a_restore_shuts_down),
		LIST(who_does_not_want_the_state_clears_the_device),
		rig_test(keeping_alive_is_switched_off_at_run_time),
		rig_test(a_build_without_it_refuses_to_save),
		rig_test(keeping_alive_is_off_from_the_start_if_asked),
		rig_test(what_is_switched_off_is_not_kept),
		rig_test(a_saved_driver_goes_on_when_nobody_comes),
		rig_test(only_a_driver_that_works_asks_for_its_successor),
		rig_test(a_set_holds_until_a_descriptor_comes_or_goes),
		cmocka_unit_test(many_controllers_are_replaced_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
