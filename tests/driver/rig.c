/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"

#define PATIENCE_MS 20000u
#define DOORBELLS   0x1000u

static struct rig *rig_of(struct hf_device *dev)
{
	return hf_container_of(dev->ops, struct rig, ops);
}

static void pump(struct rig *rig)
{
	/* Bounded: a controller that has something to do for ever is wrong. */
	for (uint32_t i = 0; i < 10000; i++) {
		if (hf_emu_process(rig->emu, 1000) == 0) {
			return;
		}
	}
	fail_msg("the controller is never idle");
}

static int wrapped_reg_write(struct hf_device *dev, uint32_t offset,
			     uint32_t size_bytes, uint64_t value)
{
	struct rig *rig = rig_of(dev);

	int rc = rig->real->reg_write(dev, offset, size_bytes, value);
	if (rig->pump && offset >= DOORBELLS) {
		pump(rig);
	}
	return rc;
}

static uint32_t wrapped_irq_count(struct hf_device *dev)
{
	struct rig *rig = rig_of(dev);

	return rig->vectors != 0 ? rig->vectors : rig->real->irq_count(dev);
}

static uint32_t no_irq_count(struct hf_device *dev)
{
	(void)dev;
	return 0;
}

static int wrapped_irq_map(struct hf_device *dev, uint32_t vector, uint32_t cpu,
			   int *eventfd, struct hf_error *err)
{
	struct rig *rig = rig_of(dev);

	rig->irq_maps++;
	if (rig->irq_order_count < HF_ARRAY_LEN(rig->irq_order)) {
		rig->irq_order[rig->irq_order_count] = vector;
		rig->irq_order_count++;
	}
	if (rig->fail_irq_map_at != 0 &&
	    rig->irq_maps >= rig->fail_irq_map_at) {
		return hf_error_set(err, -EMFILE, "the test fails irq_map");
	}
	return rig->real->irq_map(dev, vector, cpu, eventfd, err);
}

static int wrapped_dma_map(struct hf_device *dev,
			   const struct hf_dma_mapping *map,
			   struct hf_error *err)
{
	struct rig *rig = rig_of(dev);

	rig->dma_maps++;
	if (rig->fail_dma_map_at != 0 &&
	    rig->dma_maps >= rig->fail_dma_map_at &&
	    (rig->fail_dma_map_max == 0 ||
	     rig->dma_maps < rig->fail_dma_map_at + rig->fail_dma_map_max)) {
		return hf_error_set(err, -ENOMEM, "the test fails dma_map");
	}
	return rig->real->dma_map(dev, map, err);
}

static int wrapped_dma_unmap(struct hf_device *dev,
			     const struct hf_dma_mapping *map,
			     struct hf_error *err)
{
	struct rig *rig = rig_of(dev);

	if (rig->fail_dma_unmap) {
		return hf_error_set(err, -EIO, "the test fails dma_unmap");
	}
	return rig->real->dma_unmap(dev, map, err);
}

static int wrapped_reset(struct hf_device *dev, struct hf_error *err)
{
	struct rig *rig = rig_of(dev);

	if (rig->fail_reset) {
		return hf_error_set(err, -ENOTSUP, "the test fails reset");
	}
	return rig->real->reset(dev, err);
}

static void wrapped_destroy(struct hf_device *dev, enum hf_release how)
{
	struct rig *rig = rig_of(dev);

	rig->is_released = true;
	rig->real->destroy(dev, how);
}

static void log_write(void *user, enum hf_log_level level, const char *line)
{
	struct rig *rig = user;
	size_t len = strlen(line);

	(void)level;
	pthread_mutex_lock(&rig->log_lock);
	if (rig->log_used + len + 2 <= RIG_LOG_BYTES) {
		memcpy(rig->log + rig->log_used, line, len);
		rig->log_used += len;
		rig->log[rig->log_used++] = '\n';
		rig->log[rig->log_used] = '\0';
	}
	pthread_mutex_unlock(&rig->log_lock);
}

bool rig_logged(struct rig *rig, const char *text)
{
	pthread_mutex_lock(&rig->log_lock);
	bool found = strstr(rig->log, text) != NULL;
	pthread_mutex_unlock(&rig->log_lock);
	return found;
}

int rig_setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	hf_emu_options_init(&rig->emu_options);
	rig->emu_options.io_workers = 1;
	hf_emu_namespace_options_init(&rig->ns_options);
	rig->ns_options.size_bytes = 16 << 20;
	hf_driver_options_init(&rig->options);
	rig->options.runtime = false;
	rig->options.cpu_count = 2;
	rig->options.io_queues = 2;
	rig->options.queue_entries = 32;
	rig->options.pool_pages = 64;
	rig->options.log = (struct hf_log){
		.write = log_write,
		.user = rig,
		.max_level = HF_LOG_DEBUG,
	};
	pthread_mutex_init(&rig->log_lock, NULL);
	*state = rig;
	return 0;
}

static void wrap(struct rig *rig)
{
	rig->real = rig->dev->ops;
	rig->ops = *rig->real;
	rig->ops.reg_write = wrapped_reg_write;
	rig->ops.irq_count =
		rig->vectors == UINT32_MAX ? no_irq_count : wrapped_irq_count;
	rig->ops.irq_map = wrapped_irq_map;
	rig->ops.dma_map = wrapped_dma_map;
	rig->ops.dma_unmap = wrapped_dma_unmap;
	rig->ops.reset = wrapped_reset;
	rig->ops.destroy = wrapped_destroy;
	rig->dev->ops = &rig->ops;
}

void rig_make(struct rig *rig)
{
	if (rig->emu == NULL) {
		assert_int_equal(
			hf_emu_create(&rig->emu, &rig->emu_options, &rig->err),
			0);
		if (rig->ns_options.size_bytes != 0) {
			assert_int_equal(hf_emu_namespace_add(rig->emu,
							      &rig->ns_options,
							      NULL, &rig->err),
					 0);
		}
		rig->pump = rig->emu_options.serve == HF_EMU_MANUAL;
	}
	if (rig->dev == NULL) {
		assert_int_equal(hf_device_open_emulated(&rig->dev, rig->emu,
							 &rig->options.device,
							 &rig->err),
				 0);
		rig->is_released = false;
		wrap(rig);
	}
}

int rig_start(struct rig *rig)
{
	rig_make(rig);
	int rc = hf_driver_start(&rig->drv, rig->dev, &rig->options, &rig->err);
	if (rc != 0) {
		rig->drv = NULL;
		return rc;
	}
	rig->dev = NULL;
	return hf_driver_ready_wait(rig->drv, &rig->err);
}

void rig_open(struct rig *rig)
{
	if (rig_start(rig) != 0 ||
	    hf_namespace_open(&rig->ns, rig->drv, 1, &rig->err) != 0) {
		fail_msg("%s", rig->err.message);
	}
}

void rig_close(struct rig *rig)
{
	hf_namespace_close(rig->ns);
	rig->ns = NULL;
	if (rig->drv != NULL) {
		assert_int_equal(hf_driver_close(rig->drv, &rig->err), 0);
		rig->drv = NULL;
		assert_true(rig->is_released);
	}
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;

	if (rig->emu != NULL) {
		hf_emu_fault_clear(rig->emu);
	}
	rig_close(rig);
	hf_device_close(rig->dev);
	hf_emu_destroy(rig->emu);
	pthread_mutex_destroy(&rig->log_lock);
	free(rig);
	return 0;
}

uint32_t rig_rule(struct rig *rig, const char *text)
{
	uint32_t id;

	if (hf_emu_fault_add(rig->emu, text, &id, &rig->err) != 0) {
		fail_msg("%s: %s", text, rig->err.message);
	}
	return id;
}

uint64_t rig_hits(struct rig *rig, uint32_t rule)
{
	return hf_emu_fault_hits(rig->emu, rule);
}

struct hf_emu_stats rig_stats(struct rig *rig)
{
	struct hf_emu_stats stats = {.size = sizeof(stats)};

	hf_emu_stats(rig->emu, &stats);
	return stats;
}

/* One look at everything, and a short sleep when there was nothing. */
static void turn_once(struct rig *rig)
{
	struct pollfd pfd = {.fd = hf_driver_fd(rig->drv), .events = POLLIN};

	if (rig->pump) {
		pump(rig);
	}
	(void)!poll(&pfd, 1, 1);
	if (!rig->options.runtime) {
		(void)hf_driver_process(rig->drv);
	}
}

void rig_until(struct rig *rig, bool (*reached)(void *arg), void *arg)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

	while (!reached(arg)) {
		if (hf_deadline_passed(deadline)) {
			print_error("%s", rig->log);
			fail_msg("what was waited for did not come");
		}
		turn_once(rig);
	}
}

void rig_turn(struct rig *rig, uint32_t ms)
{
	uint64_t deadline = hf_deadline_ms(ms);

	do {
		turn_once(rig);
	} while (!hf_deadline_passed(deadline));
}

void rig_io_done(struct hf_io *io, int result)
{
	struct rig_io *work = io->user;

	work->result = result;
	__atomic_add_fetch(&work->calls, 1, __ATOMIC_RELEASE);
}

void rig_prep(struct rig_io *work, struct hf_namespace *ns, enum hf_op op,
	      uint64_t lba, uint64_t blocks, void *buf)
{
	work->calls = 0;
	work->result = INT32_MIN;
	hf_io_prep(&work->io, ns, op, lba, blocks);
	work->io.buf = buf;
	work->io.user = work;
	work->io.done = rig_io_done;
}

struct finish {
	struct rig *rig;
	struct hf_queue *queue;
	const struct rig_io *work;
};

static bool has_finished(void *arg)
{
	const struct finish *finish = arg;

	(void)hf_reap(finish->queue, 64);
	return __atomic_load_n(&finish->work->calls, __ATOMIC_ACQUIRE) != 0;
}

int rig_finish(struct rig *rig, struct hf_queue *queue, struct rig_io *work)
{
	struct finish finish = {.rig = rig, .queue = queue, .work = work};

	rig_until(rig, has_finished, &finish);
	assert_int_equal(work->calls, 1);
	return work->result;
}

struct seen {
	struct rig *rig;
	enum hf_event_kind kind;
	struct hf_event event;
};

static bool event_came(void *arg)
{
	struct seen *seen = arg;

	while (hf_event_next(seen->rig->drv, &seen->event) == 1) {
		if (seen->event.kind == seen->kind) {
			return true;
		}
	}
	return false;
}

struct hf_event rig_event(struct rig *rig, enum hf_event_kind kind)
{
	struct seen seen = {.rig = rig, .kind = kind};

	rig_until(rig, event_came, &seen);
	return seen.event;
}

static uint64_t word_of(uint64_t seed, size_t at)
{
	return (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) + at;
}

void rig_fill(void *buf, size_t len, uint64_t seed)
{
	uint8_t *bytes = buf;

	for (size_t at = 0; at < len; at++) {
		uint64_t word = word_of(seed, at / 8);

		bytes[at] = (uint8_t)(word >> (at % 8 * 8));
	}
}

bool rig_is_filled(const void *buf, size_t len, uint64_t seed)
{
	const uint8_t *bytes = buf;

	for (size_t at = 0; at < len; at++) {
		uint64_t word = word_of(seed, at / 8);

		if (bytes[at] != (uint8_t)(word >> (at % 8 * 8))) {
			return false;
		}
	}
	return true;
}
