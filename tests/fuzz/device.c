/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever a device answers, posts and writes, and whatever became of
 * the memory that a dead process left, the driver keeps its promises: each I/O
 * ends once, nothing outside is touched, no call waits for ever, and at the end
 * everything is given back.
 * Method: the input is two streams. One chooses what the program does (open,
 * I/O, time, save, restore, crash, close), the other what the controller does
 * (machine.h). Time is virtual, nothing runs beside the one thread, so that an
 * input does the same each time. What a process leaves is handed to a
 * successor in the same program, with bytes of it changed at will.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "base/clock.h"
#include "driver/bring_up.h"
#include "driver/driver.h"
#include "holdfast/holdfast.h"
#include "machine_device.h"
#include "runtime/carry.h"
#include "virtual_time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

enum {
	WORKS_MAX = 96,
	NAMESPACES = 3,
	CPUS = 2,
	ACTIONS_MAX = 200,
	BUFFER_BYTES = 64 * 1024,
	BLOCKS_MAX = 12,
};

/* No call may take longer, with every retry and back-off in it. */
#define HANG_NS (UINT64_C(72) * 3600 * HF_NS_PER_S)

/* One I/O of the program's. */
struct work {
	struct hf_io io;
	struct hf_command command;
	struct hf_range range;
	struct iovec iov[2];
	uint8_t *buf;
	uint32_t calls;
	bool lent;  /* submitted, or attached to */
	bool dead;  /* its process is gone: must not be called any more */
	bool again; /* submits another from its callback */
};

static struct {
	struct stream actions;
	struct stream lies;
	struct machine machine;
	struct hf_driver *drv;
	struct hf_namespace *ns[NAMESPACES];
	struct hf_queue *queues[CPUS];
	struct work works[WORKS_MAX];
	uint32_t work_count;
	struct hf_driver_options options;
	struct hf_error err;
	void *memory;  /* of hf_dma_alloc() */
	bool inherits; /* a predecessor's I/O may hold every slot there is */
} f;

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void waited(void *ctx)
{
	(void)ctx;
	machine_turn(&f.machine);
}

static struct work *next_work(void)
{
	struct work *work;

	if (f.work_count == WORKS_MAX) {
		return NULL;
	}
	work = &f.works[f.work_count];
	f.work_count++;
	memset(work, 0, sizeof(*work));
	return work;
}

static void submit(struct hf_queue *queue, struct hf_namespace *ns,
		   uint8_t choice);

static void done(struct hf_io *io, int result)
{
	struct work *work = io->user;

	(void)result;
	work->calls++;
	if (!work->lent || work->dead || work->calls != 1) {
		fail("an I/O ended that was not under way");
	}
	free(work->buf);
	work->buf = NULL;
	if (work->again && f.queues[0] != NULL) {
		submit(f.queues[0], io->ns, (uint8_t)io->op);
	}
}

static uint32_t block_bytes(struct hf_namespace *ns)
{
	struct hf_namespace_info info;

	hf_namespace_get_info(ns, &info);
	return info.block_bytes;
}

/* Memory of exactly the size, so that ASan sees one byte too many; or the
 * driver's own, where the device writes at once. */
static void give_buffer(struct work *work, uint64_t bytes, uint8_t choice)
{
	if ((choice & 0x40) != 0 && f.memory != NULL && bytes <= BUFFER_BYTES) {
		work->io.buf = f.memory;
		return;
	}
	work->buf = calloc(1, bytes);
	if (work->buf == NULL) {
		abort();
	}
	work->io.buf = work->buf;
	if ((choice & 0x80) != 0 && bytes > 8) {
		work->iov[0] = (struct iovec){work->buf, 5};
		work->iov[1] = (struct iovec){work->buf + 5, bytes - 5};
		work->io.iov = work->iov;
		work->io.iov_count = 2;
	}
}

static void fill_io(struct work *work, struct hf_namespace *ns, uint8_t choice)
{
	uint64_t lba = stream_u16(&f.actions) % 4096;
	uint64_t blocks = stream_u8(&f.actions) % BLOCKS_MAX + 1;
	enum hf_op op = (enum hf_op)(choice % 8);
	uint8_t buffer = stream_u8(&f.actions);

	hf_io_prep(&work->io, ns, op, lba, blocks);
	work->io.done = done;
	work->io.user = work;
	work->io.cookie = f.work_count;
	work->io.flags = buffer & 0xf;
	work->again = (buffer & 0x30) == 0x30;
	switch (op) {
	case HF_OP_READ:
	case HF_OP_WRITE:
	case HF_OP_COMPARE:
		give_buffer(work, blocks * block_bytes(ns), buffer);
		break;
	case HF_OP_DEALLOCATE:
		work->range = (struct hf_range){lba, blocks};
		work->io.ranges = &work->range;
		work->io.range_count = 1;
		break;
	case HF_OP_PASSTHROUGH:
		give_buffer(work, blocks * 512, buffer & 0x3f);
		work->command = (struct hf_command){
			.opcode = stream_u8(&f.actions),
			.nsid = 1,
			.data = work->io.buf,
			.data_len_bytes = (uint32_t)blocks * 512,
			.to_device = buffer & 1,
		};
		work->io.command = &work->command;
		break;
	case HF_OP_FLUSH:
	case HF_OP_WRITE_ZEROES:
	case HF_OP_VERIFY:
		break;
	}
}

static void submit(struct hf_queue *queue, struct hf_namespace *ns,
		   uint8_t choice)
{
	struct work *work = next_work();
	struct hf_io *io;

	if (work == NULL) {
		return;
	}
	fill_io(work, ns, choice);
	io = &work->io;
	work->lent = true;
	if (hf_submit(queue, &io, 1) != 1) {
		if (work->calls != 0) {
			fail("an I/O that was refused has ended");
		}
		work->lent = false;
		free(work->buf);
		work->buf = NULL;
	}
}

static struct hf_namespace *some_namespace(uint8_t choice)
{
	return f.ns[choice % NAMESPACES];
}

static void do_submit(void)
{
	uint8_t choice = stream_u8(&f.actions);
	uint32_t cpu = choice >> 3 & 1;
	uint32_t count = (choice >> 4 & 3) + 1;
	struct hf_namespace *ns = some_namespace(choice >> 6);

	if (ns == NULL || f.queues[cpu] == NULL) {
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		submit(f.queues[cpu], ns, (uint8_t)(choice + i));
	}
}

static void do_reap(void)
{
	for (uint32_t cpu = 0; cpu < CPUS; cpu++) {
		if (f.queues[cpu] != NULL) {
			(void)hf_reap(f.queues[cpu],
				      stream_u8(&f.actions) + 1u);
		}
	}
}

/* Whoever neither attaches to inherited I/O nor drains it may wait for ever:
 * it keeps its slots. */
static bool may_block(void)
{
	if (f.inherits && hf_driver_drain_wait(f.drv, 300000, &f.err) == 0) {
		f.inherits = false;
	}
	return !f.inherits;
}

/* A blocking call: it has to come back, whatever the device does. */
static void do_blocking(void)
{
	uint8_t choice = stream_u8(&f.actions);
	struct hf_namespace *ns = some_namespace(choice >> 3);
	struct hf_reservation_report report;
	struct hf_registrant registrants[3];
	const struct hf_range range = {1, 2};

	if (ns == NULL || !may_block()) {
		return;
	}
	uint64_t blocks = stream_u8(&f.actions) % BLOCKS_MAX + 1u;
	uint8_t *buf = calloc(1, blocks * block_bytes(ns));

	virtual_time_set_cpu(choice >> 7);
	switch (choice % 8) {
	case 0:
		(void)!hf_read(ns, choice, blocks, buf);
		break;
	case 1:
		(void)!hf_write(ns, choice, blocks, buf);
		break;
	case 2:
		(void)!hf_flush(ns);
		break;
	case 3:
		(void)!hf_deallocate(ns, &range, 1);
		break;
	case 4:
		(void)!hf_write_zeroes(ns, choice, blocks, 0);
		break;
	case 5:
		(void)!hf_compare(ns, choice, blocks, buf);
		break;
	case 6:
		(void)!hf_reservation_get_report(ns, &report, registrants, 3);
		break;
	default:
		(void)!hf_namespace_rescan(ns, &f.err);
		break;
	}
	free(buf);
}

static void do_command(void)
{
	uint8_t kind = stream_u8(&f.actions);
	uint32_t bytes = kind % 3 == 0 ? 0 : stream_u16(&f.actions) % 8192 + 1u;
	uint8_t *data = bytes != 0 ? calloc(1, bytes) : NULL;
	struct hf_command command = {
		.opcode = stream_u8(&f.actions),
		.nsid = stream_u8(&f.actions),
		.cdw10 = stream_u32(&f.actions),
		.data = data,
		.data_len_bytes = bytes,
		.to_device = kind >> 7,
	};

	if ((kind & 0x40) != 0) {
		if (may_block()) {
			(void)!hf_io_command(f.drv, &command);
		}
	} else {
		(void)!hf_admin_command(f.drv, &command, &f.err);
	}
	free(data);
}

static bool is_idle(const struct hf_namespace *ns)
{
	for (uint32_t i = 0; i < f.work_count; i++) {
		const struct work *work = &f.works[i];

		if (work->lent && !work->dead && work->calls == 0 &&
		    work->io.ns == ns) {
			return false;
		}
	}
	return true;
}

static void do_namespace(void)
{
	uint8_t choice = stream_u8(&f.actions);
	struct hf_namespace **ns = &f.ns[choice % NAMESPACES];
	uint32_t nsids[4];
	uint32_t count;

	if (choice >= 0xf0) {
		(void)!hf_namespace_list(f.drv, nsids, 4, &count, &f.err);
	} else if (*ns == NULL) {
		if (hf_namespace_open(ns, f.drv, choice % NAMESPACES + 1u,
				      &f.err) != 0) {
			*ns = NULL;
		}
	} else if (is_idle(*ns)) {
		hf_namespace_close(*ns);
		*ns = NULL;
	}
}

static void do_queue(void)
{
	uint8_t choice = stream_u8(&f.actions);
	struct hf_queue **queue = &f.queues[choice % CPUS];

	if (*queue == NULL) {
		if (hf_queue_open(queue, f.drv, choice % CPUS,
				  (choice & 2) != 0 ? HF_EVENT : HF_POLL,
				  &f.err) != 0) {
			*queue = NULL;
		}
	} else if ((choice & 4) != 0) {
		hf_queue_close(*queue);
		*queue = NULL;
	} else {
		(void)!hf_queue_set_mode(
			*queue, (enum hf_queue_mode)(choice >> 3 & 3) % 3);
	}
}

static void do_time(void)
{
	virtual_time_pass(stream_u8(&f.actions) * UINT64_C(250) * HF_NS_PER_MS);
	machine_turn(&f.machine);
	(void)hf_driver_process(f.drv);
}

static void do_look(void)
{
	struct hf_driver_info info;
	struct hf_event event;

	free(hf_driver_inspect(f.drv));
	hf_driver_get_info(f.drv, &info);
	for (uint32_t i = 0; i < 64 && hf_event_next(f.drv, &event) == 1; i++) {
	}
}

static void do_reset(void)
{
	pthread_mutex_lock(&f.drv->control);
	if (hf_driver_state(f.drv) == HF_DRIVER_READY) {
		hf_bring_up_again(f.drv, "the fuzzer wants it");
	}
	pthread_mutex_unlock(&f.drv->control);
	hf_driver_kick(f.drv);
	(void)hf_driver_process(f.drv);
}

static void do_memory(void)
{
	if (f.memory == NULL) {
		f.memory = hf_dma_alloc(f.drv, BUFFER_BYTES, &f.err);
		return;
	}
	for (uint32_t i = 0; i < f.work_count; i++) {
		if (f.works[i].lent && f.works[i].calls == 0) {
			return; /* it may be in use */
		}
	}
	hf_dma_free(f.drv, f.memory);
	f.memory = NULL;
}

static void do_device(void)
{
	uint8_t choice = stream_u8(&f.actions);

	if (choice < 0x40) {
		machine_interrupt(&f.machine, choice % MACHINE_VECTORS);
	} else if (choice < 0xc0) {
		/* A notice of changed namespaces, or something like it. */
		machine_event(&f.machine, 0x040002 ^ stream_u8(&f.lies));
	} else {
		machine_turn(&f.machine);
	}
}

static void forget_handles(void)
{
	memset(f.ns, 0, sizeof(f.ns));
	memset(f.queues, 0, sizeof(f.queues));
	f.inherits = false;
	f.memory = NULL;
	f.drv = NULL;
}

static void close_driver(void)
{
	if (f.drv == NULL) {
		return;
	}
	/* Its port never fails to unmap, so that it can always be closed. */
	if (hf_driver_close(f.drv, &f.err) != 0) {
		fail(f.err.message);
	}
	forget_handles();
	for (uint32_t i = 0; i < f.work_count; i++) {
		if (f.works[i].lent && !f.works[i].dead &&
		    f.works[i].calls != 1) {
			fail("the driver is closed, and an I/O has not ended");
		}
	}
	if (machine_has_memory(&f.machine)) {
		fail("the driver is closed, and memory is still mapped");
	}
}

static void open_driver(void)
{
	struct hf_device *dev = machine_device_open(&f.machine, &f.lies);

	if (dev == NULL) {
		return;
	}
	if (hf_driver_start(&f.drv, dev, &f.options, &f.err) != 0) {
		hf_device_close(dev);
		f.drv = NULL;
		return;
	}
	if (hf_driver_ready_wait(f.drv, &f.err) != 0) {
		close_driver();
	}
}

/* What was under way in a process that is gone is not called back there. */
static void process_is_gone(void)
{
	for (uint32_t i = 0; i < f.work_count; i++) {
		if (f.works[i].lent && f.works[i].calls == 0) {
			f.works[i].dead = true;
		}
	}
	forget_handles();
}

static struct hf_fdset *copy_set(void)
{
	struct hf_fdset *set = calloc(1, sizeof(*set));
	struct hf_carry *carry;

	if (set == NULL || hf_driver_carry(f.drv, &carry, &f.err) != 0) {
		free(set);
		return NULL;
	}
	*set = carry->set;
	hf_carry_free(carry);
	for (uint32_t i = 0; i < set->count; i++) {
		set->entries[i].fd =
			fcntl(set->entries[i].fd, F_DUPFD_CLOEXEC, 0);
	}
	return set;
}

/* Words of a file that are not what a driver of this version left. */
static void damage(int fd, uint64_t focus)
{
	uint32_t count = stream_u8(&f.actions) % 8;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint8_t choice = stream_u8(&f.actions);
		uint64_t at = stream_u16(&f.actions);
		uint32_t value = 0;

		if (choice % 4 == 1) {
			at += focus;
		} else if (choice % 4 == 2) {
			at = at % 64 * 4;
		} else if (choice % 4 == 3) {
			at = focus + at % 64 * 4;
		}
		at = at % (uint64_t)st.st_size & ~UINT64_C(3);
		(void)!pread(fd, &value, 4, (off_t)at);
		if ((choice & 0x40) != 0) {
			value ^= 1u << (choice >> 3 & 7) * 4;
		} else {
			value = stream_u32(&f.actions);
		}
		(void)!pwrite(fd, &value, 4, (off_t)at);
	}
}

static void attach_all(void)
{
	struct hf_inflight inflight;
	uint64_t cursor = 0;

	for (uint32_t i = 0;
	     i < WORKS_MAX && hf_inflight_next(f.drv, &cursor, &inflight) == 1;
	     i++) {
		struct hf_namespace *ns = some_namespace(
			(uint8_t)(inflight.nsid + NAMESPACES - 1));
		struct work *work = ns != NULL ? next_work() : NULL;

		if (work == NULL) {
			continue;
		}
		work->io.ns = ns;
		work->io.done = done;
		work->io.user = work;
		/* What it says may be damaged too, and is only a size here. */
		uint64_t blocks = HF_MIN(inflight.blocks, UINT64_C(70000));
		work->buf = inflight.bounced
				    ? calloc(blocks + 1, block_bytes(ns))
				    : NULL;
		work->io.buf = work->buf != NULL ? work->buf : inflight.buf;
		work->lent = true;
		if (hf_io_attach(&work->io, &inflight, &f.err) != 0) {
			work->lent = false;
			free(work->buf);
			work->buf = NULL;
		}
	}
}

static void do_inherited(void)
{
	uint8_t choice = stream_u8(&f.actions);
	uint32_t cursor = 0;
	uint64_t len_bytes;
	void *memory;

	if (choice < 0xc0) {
		attach_all();
		return;
	}
	for (uint32_t i = 0;
	     i < 16 && hf_dma_next(f.drv, &cursor, &memory, &len_bytes) == 1;
	     i++) {
		f.memory = len_bytes == BUFFER_BYTES ? memory : f.memory;
	}
	(void)!hf_driver_drain_wait(f.drv, choice, &f.err);
}

static void succeed(struct hf_fdset *set, const uint8_t *bytes,
		    size_t len_bytes)
{
	struct hf_device *dev = machine_device_adopt(&f.machine, &f.lies, set);

	hf_fdset_close(set);
	free(set);
	if (dev == NULL) {
		machine_fini(&f.machine);
		return;
	}
	if (hf_driver_restore(&f.drv, dev, bytes, len_bytes, &f.options,
			      &f.err) != 0) {
		f.drv = NULL;
		(void)!hf_device_clear(dev, &f.err);
		/* Regions of a damaged registry are not known to anybody. */
		machine_fini(&f.machine);
		return;
	}
	f.inherits = true;
}

static void damage_ledger(int fd)
{
	uint64_t stride = 0;
	uint64_t first = 0;

	(void)!pread(fd, &first, sizeof(first),
		     offsetof(struct hf_ledger_header, queues_offset));
	(void)!pread(fd, &stride, sizeof(stride),
		     offsetof(struct hf_ledger_header, queue_bytes));
	damage(fd, first);
	damage(fd, first + stride);
}

/* The process dies where it stands. */
static void do_crash(void)
{
	struct hf_fdset *set = copy_set();

	if (set == NULL || !f.drv->ledger.header->ready) {
		if (set != NULL) {
			hf_fdset_close(set);
			free(set);
		}
		return;
	}
	hf_driver_leave(f.drv);
	process_is_gone();
	damage_ledger(hf_fdset_find(set, "ledger"));
	damage(hf_fdset_find(set, "dma-registry"), 4096);
	succeed(set, NULL, 0);
}

static void do_save(void)
{
	uint8_t choice = stream_u8(&f.actions);
	uint8_t *bytes = NULL;
	size_t len_bytes = 0;

	if (hf_driver_save(f.drv, &bytes, &len_bytes, &f.err) != 0) {
		return;
	}
	if (choice < 0x40) {
		if (hf_driver_resume(f.drv, &f.err) != 0) {
			fail(f.err.message);
		}
	} else if (choice < 0x60) {
		close_driver();
	} else {
		struct hf_fdset *set = copy_set();

		if (set == NULL) {
			fail(f.err.message);
		}
		hf_driver_leave(f.drv);
		process_is_gone();
		for (uint32_t i = choice >> 5; choice >= 0xc0 && i > 0; i--) {
			bytes[stream_u16(&f.actions) % len_bytes] =
				stream_u8(&f.actions);
		}
		succeed(set, bytes, len_bytes);
	}
	free(bytes);
}

static void do_close(void)
{
	if (stream_u8(&f.actions) < 0x80) {
		close_driver();
	}
}

static void (*const actions[])(void) = {
	do_time,      do_submit, do_submit,    do_submit,   do_reap,
	do_reap,      do_time,   do_queue,     do_blocking, do_command,
	do_namespace, do_look,   do_reset,     do_memory,   do_device,
	do_crash,     do_save,   do_inherited, do_device,   do_close,
};

static void log_line(void *user, enum hf_log_level level, const char *line)
{
	(void)user;
	(void)level;
	fprintf(stderr, "%s\n", line);
}

static void choose_options(void)
{
	uint8_t choice = stream_u8(&f.actions);

	hf_driver_options_init(&f.options);
	if (getenv("HOLDFAST_FUZZ_LOG") != NULL) {
		f.options.log.write = log_line;
		f.options.log.max_level = HF_LOG_DEBUG;
	}
	f.options.runtime = false;
	f.options.cpu_count = CPUS;
	f.options.io_queues = CPUS;
	f.options.queue_entries = 2u << (choice & 7);
	f.options.pool_pages = 64;
	f.options.bounce = (choice & 8) != 0;
	f.options.io_timeout_ms = 1000;
	f.options.long_timeout_ms = 2000;
	f.options.admin_timeout_ms = 2000;
	machine_init(&f.machine, &f.lies, (choice & 16) != 0 ? 12 : 9,
		     (choice & 0x60) == 0x60 ? stream_u8(&f.lies) : 0);
}

static void begin(const uint8_t *data, size_t len_bytes)
{
	size_t split = data[0] * (size_t)4 + 1;

	split = HF_MIN(split, len_bytes);
	memset(&f, 0, sizeof(f));
	f.actions = (struct stream){.data = data + 1, .len_bytes = split - 1};
	f.lies = (struct stream){.data = data + split,
				 .len_bytes = len_bytes - split};
	virtual_time_start(waited, NULL);
	choose_options();
}

/* The usual beginning, which no input has to find out. */
static void open_all(void)
{
	open_driver();
	if (f.drv == NULL) {
		return;
	}
	if (hf_namespace_open(&f.ns[0], f.drv, 1, &f.err) != 0) {
		f.ns[0] = NULL;
	}
	if (hf_queue_open(&f.queues[0], f.drv, 0, HF_POLL, &f.err) != 0) {
		f.queues[0] = NULL;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	int lowest;

	if (len_bytes < 2) {
		return 0;
	}
	lowest = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	close(lowest);
	begin(data, len_bytes);
	for (uint32_t i = 0; i < ACTIONS_MAX; i++) {
		virtual_time_limit(HANG_NS);
		if (f.drv == NULL) {
			open_all();
		}
		if (f.actions.at >= f.actions.len_bytes || f.drv == NULL) {
			break;
		}
		actions[stream_u8(&f.actions) % HF_ARRAY_LEN(actions)]();
	}
	virtual_time_limit(HANG_NS);
	close_driver();
	for (uint32_t i = 0; i < f.work_count; i++) {
		free(f.works[i].buf);
	}
	machine_fini(&f.machine);
	int now = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	close(now);
	if (now != lowest) {
		fail("a descriptor was not closed");
	}
	return 0;
}
