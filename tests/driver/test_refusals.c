/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what cannot be restored is refused before anything is changed, with a
 *       sentence that says why; and once the reason is gone, it is restored.
 * Method: a driver is killed with I/O under way. What it left is bent, or its
 *         controller; registers, ledger, rings and what the controller counts
 *         are compared before and after the refusal. Then all is put right.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "heir.h"
#include "keepalive.h"
#include "state/registry.h"

#define COOKIE 77u

/* All that a refusal could have changed. */
struct picture {
	uint64_t registers[5];
	struct hf_emu_stats stats;
	uint8_t *ledger;
	uint8_t *rings;
};

static struct hf_ledger_view queue_1(const struct rig *rig)
{
	return hf_ledger_queue_view(&rig->heirs->dev->inherited, 1);
}

static uint8_t *rings_of(const struct rig *rig, uint64_t *len)
{
	const struct hf_ledger_queue *queue = queue_1(rig).queue;

	*len = 3 * 4096;
	return hf_dma_vaddr(&rig->heirs->dev->dma, queue->iova, *len);
}

static uint64_t ledger_bytes(const struct rig *rig)
{
	return rig->heirs->dev->inherited.header->total_bytes;
}

static void read_registers(struct rig *rig, uint64_t *registers)
{
	struct hf_device *dev = rig->heirs->dev;

	assert_int_equal(dev->ops->reg_read(dev, NVME_REG_CC, 4, registers), 0);
	(void)dev->ops->reg_read(dev, NVME_REG_CSTS, 4, registers + 1);
	(void)dev->ops->reg_read(dev, NVME_REG_AQA, 4, registers + 2);
	(void)dev->ops->reg_read(dev, NVME_REG_ASQ, 8, registers + 3);
	(void)dev->ops->reg_read(dev, NVME_REG_ACQ, 8, registers + 4);
}

static void *copy_of(const void *bytes, size_t len)
{
	void *copy = malloc(len);

	assert_non_null(copy);
	return memcpy(copy, bytes, len);
}

static struct picture take(struct rig *rig, const uint8_t *rings)
{
	struct picture picture = {0};

	read_registers(rig, picture.registers);
	picture.stats = rig_stats(rig);
	picture.ledger =
		copy_of(rig->heirs->dev->inherited.header, ledger_bytes(rig));
	picture.rings = copy_of(rings, 3 * 4096);
	return picture;
}

static void assert_unchanged(const struct picture *before,
			     const struct picture *after, uint64_t len)
{
	assert_memory_equal(before->registers, after->registers,
			    sizeof(before->registers));
	assert_memory_equal(before->ledger, after->ledger, len);
	assert_memory_equal(before->rings, after->rings, 3 * 4096);
	assert_int_equal(before->stats.doorbell_writes,
			 after->stats.doorbell_writes);
	assert_int_equal(before->stats.reg_writes, after->stats.reg_writes);
	assert_memory_equal(before->stats.admin_commands,
			    after->stats.admin_commands,
			    sizeof(before->stats.admin_commands));
	assert_memory_equal(before->stats.io_commands, after->stats.io_commands,
			    sizeof(before->stats.io_commands));
}

static void free_picture(struct picture *picture)
{
	free(picture->ledger);
	free(picture->rings);
}

static void ignore_end(struct hf_io *io, int result)
{
	(void)io;
	(void)result;
}

/* A driver that died with two writes under way; returns the rule that holds
 * them. */
static uint32_t leave_behind(struct rig *rig, bool planned)
{
	static struct hf_io io[2];
	struct hf_io *list[] = {&io[0], &io[1]};
	struct hf_queue *queue;

	rig_open(rig);
	heirs_begin(rig);
	uint32_t rule = rig_rule(rig, "io-write:hold");
	uint8_t *data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	assert_int_equal(hf_queue_open(&queue, rig->drv, 0, HF_POLL, &rig->err),
			 0);
	for (uint32_t i = 0; i < 2; i++) {
		hf_io_prep_write(&io[i], rig->ns, i, 1, data);
		io[i].cookie = COOKIE + i;
		io[i].done = ignore_end;
	}
	assert_int_equal(hf_submit(queue, list, 2), 2);
	while (rig_hits(rig, rule) < 2) {
		rig_turn(rig, 1);
	}
	hf_queue_close(queue);
	assert_int_equal(heirs_let_go(rig, planned), 0);
	assert_int_equal(heirs_adopt(rig), 0);
	return rule;
}

/* Refused, with a sentence of its own, and nothing has changed. */
static void assert_refused(struct rig *rig, int code, const char *word)
{
	uint64_t len;
	const uint8_t *rings = rings_of(rig, &len);

	/* Where the geometry is bent, queue 1 is looked for no more. */
	static uint8_t none[3 * 4096];
	struct picture before = take(rig, rings != NULL ? rings : none);
	rig->err.message[0] = '\0';
	int rc = heirs_restore(rig);
	if (rc == 0) {
		fail_msg("restored in spite of: %s", word);
	}
	struct picture after = take(rig, rings != NULL ? rings : none);

	if (rc != code || strstr(rig->err.message, word) == NULL ||
	    strlen(rig->err.message) < 30) {
		fail_msg("%d, '%s' and not %d with '%s'", rc, rig->err.message,
			 code, word);
	}
	assert_unchanged(&before, &after, ledger_bytes(rig));
	free_picture(&before);
	free_picture(&after);
}

static void end_well(struct rig *rig, uint32_t rule)
{
	struct hf_inflight old;
	uint64_t cursor = 0;
	uint32_t found = 0;

	if (heirs_restore(rig) != 0) {
		fail_msg("%s", rig->err.message);
	}
	while (hf_inflight_next(rig->drv, &cursor, &old) == 1) {
		assert_in_range(old.cookie, COOKIE, COOKIE + 1);
		found++;
	}
	assert_int_equal(found, 2);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(hf_driver_drain_wait(rig->drv, 20000, &rig->err), 0);
	assert_int_equal(rig_stats(rig).io_commands[nvme_cmd_write], 2);
	assert_int_equal(rig_stats(rig).enables, 1);
	heirs_end(rig);
}

/* One number of the ledger's first I/O queue that no driver could have left. */
struct bend {
	const char *what;
	size_t offset;
	size_t len;
	uint64_t value;
};

#define BEND(what, field, value)                                               \
	{                                                                      \
		what, offsetof(struct hf_ledger_queue, field),                 \
			sizeof(((struct hf_ledger_queue *)0)->field), value    \
	}

static void impossible_queues_are_refused(void **state)
{
	static const struct bend bends[] = {
		BEND("number of entries", entries, 0),
		BEND("number of entries", entries, 1),
		BEND("number of entries", entries, 65537),
		BEND("number of entries", entries, UINT32_MAX),
		BEND("number of entries", entries, 64),
		BEND("number of slots", slot_count, 0),
		BEND("number of slots", slot_count, 32),
		BEND("65 records", record_count, 65),
		BEND("number of records", record_count, 1),
		BEND("65535 pages", page_count, 65535),
		BEND("bytes at", page_count, 63),
		BEND("submission tail", sq_recorded, 32),
		BEND("submission tail", sq_rung, UINT32_MAX),
		BEND("submission head", sq_head, 32),
		BEND("completion head", cq_head, 32),
		BEND("completion head", cq_rung, HF_LEDGER_PHASE | 32),
		BEND("queue identifier", qid, 9),
		BEND("interrupt", vector, 1),
		BEND("CPU", cpu, 2),
		BEND("IOVA", iova, 4096),
		BEND("bytes at", len_bytes, 4096),
	};
	struct rig *rig = *state;
	uint32_t rule = leave_behind(rig, false);

	for (size_t i = 0; i < HF_ARRAY_LEN(bends); i++) {
		uint8_t *field =
			(uint8_t *)queue_1(rig).queue + bends[i].offset;
		uint64_t was = 0;

		memcpy(&was, field, bends[i].len);
		memcpy(field, &bends[i].value, bends[i].len);
		assert_refused(rig, -EINVAL, bends[i].what);
		memcpy(field, &was, bends[i].len);
	}
	end_well(rig, rule);
}

static void impossible_commands_are_refused(void **state)
{
	struct rig *rig = *state;
	uint32_t rule = leave_behind(rig, false);
	struct hf_ledger_slot *slot = queue_1(rig).slots;
	struct hf_ledger_slot was;

	while (slot->state == HF_SLOT_FREE) {
		slot++;
	}
	was = *slot;
	slot->state = 77;
	assert_refused(rig, -EINVAL, "state of a command");
	*slot = was;
	slot->kind = 0;
	assert_refused(rig, -EINVAL, "kind of a command");
	*slot = was;
	slot->op = HF_OP_PASSTHROUGH + 1;
	assert_refused(rig, -EINVAL, "operation of a command");
	*slot = was;
	slot->sqe.cid ^= 1;
	assert_refused(rig, -EINVAL, "command identifier");
	*slot = was;
	slot->lap = 0xffff;
	assert_refused(rig, -EINVAL, "lap of a command");
	*slot = was;
	slot->record = 3;
	assert_refused(rig, -EINVAL, "record of a command");
	slot->record = 4000;
	assert_refused(rig, -EINVAL, "record of a command");
	*slot = was;
	slot->first_page = 3;
	assert_refused(rig, -EINVAL, "page count of a command");
	slot->page_count = 1;
	slot->first_page = 64;
	assert_refused(rig, -EINVAL, "page of a command");
	*slot = was;
	slot->flags |= HF_SLOT_BOUNCED;
	assert_refused(rig, -EINVAL, "length of a command");
	*slot = was;
	end_well(rig, rule);
}

/* Its rest would be issued by the successor. */
static void impossible_large_i_os_are_refused(void **state)
{
	struct rig *rig = *state;
	uint32_t rule = leave_behind(rig, false);
	struct hf_ledger_record *record = queue_1(rig).records;

	*record = (struct hf_ledger_record){.blocks = 8};
	record->in_use = HF_RECORD_TOLD + 1;
	assert_refused(rig, -EINVAL, "record of a large I/O");
	record->in_use = HF_RECORD_OPEN;
	record->issued_blocks = 9;
	assert_refused(rig, -EINVAL, "record of a large I/O");
	record->issued_blocks = 0;
	static const uint8_t not_split[] = {HF_OP_FLUSH, HF_OP_PASSTHROUGH, 77};
	for (uint32_t i = 0; i < HF_ARRAY_LEN(not_split); i++) {
		record->op = not_split[i];
		assert_refused(rig, -EINVAL, "record of a large I/O");
	}
	*record = (struct hf_ledger_record){.in_use = HF_RECORD_FREE};
	end_well(rig, rule);
}

static void a_ledger_that_contradicts_itself_is_refused(void **state)
{
	struct rig *rig = *state;
	uint32_t rule = leave_behind(rig, false);
	struct hf_ledger_header *header = rig->heirs->dev->inherited.header;

	header->ready = 0;
	assert_refused(rig, -EINVAL, "had not come up");
	header->ready = 1;
	header->cpu_count = 0;
	assert_refused(rig, -EINVAL, "contradicts itself");
	header->cpu_count = 2;
	header->io_queues_max = header->queues_max;
	assert_refused(rig, -EINVAL, "contradicts itself");
	header->io_queues_max = 2;
	header->device_id[0]++;
	assert_refused(rig, -EINVAL, "the ledger is of");
	header->device_id[0]--;
	end_well(rig, rule);
}

static void another_controller_is_refused(void **state)
{
	static const struct {
		const char *rule;
		const char *word;
	} each[] = {
		{"reg-cap:value=0x01000000/0xff000000", "another controller"},
		{"reg-vs:value=0x10000", "another controller"},
		{"reg-asq:value=0x1000", "somebody else has driven it"},
		{"reg-acq:value=0x1000", "somebody else has driven it"},
		{"reg-aqa:value=0x00030003", "somebody else has driven it"},
		{"reg-csts,read:rdy-stuck=0", "not ready"},
		{"reg-cc,read:value=0/1", "not ready"},
		{"reg-csts,read:all-ones", "gone"},
		{"reg-cap:all-ones", "gone"},
	};
	struct rig *rig = *state;
	uint32_t rule = leave_behind(rig, false);

	/* Not even what it would say of itself is in the ledger then. */
	rig->options.device_class = HF_DEVICE_CLASS_FORBIDDEN;
	for (size_t i = 0; i < HF_ARRAY_LEN(each); i++) {
		uint32_t lie = rig_rule(rig, each[i].rule);

		assert_refused(rig, -ENODEV, each[i].word);
		(void)hf_emu_fault_remove(rig->emu, lie);
	}
	rig->options.device_class = HF_DEVICE_CLASS_AUTO;

	/* The ledger is of one that nobody could have driven. */
	struct hf_ledger_header *header = rig->heirs->dev->inherited.header;
	uint64_t capabilities = header->capabilities;

	header->capabilities = 0;
	assert_refused(rig, -ENODEV, "which none has that this driver drives");
	header->capabilities = capabilities;
	end_well(rig, rule);
}

static void a_controller_that_is_gone_for_a_moment_is_waited_for(void **state)
{
	static const char *const moments[] = {
		"reg-csts,read,count=2:all-ones",
		"reg-cap,count=2:all-ones",
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < HF_ARRAY_LEN(moments); i++) {
		uint32_t rule = leave_behind(rig, false);

		rig_rule(rig, moments[i]);
		end_well(rig, rule);
		hf_emu_destroy(rig->emu);
		rig->emu = NULL;
	}
}

static void a_controller_that_was_reset_is_refused(void **state)
{
	struct rig *rig = *state;

	(void)leave_behind(rig, false);
	hf_emu_reset(rig->emu);
	assert_refused(rig, -ENODEV, "not ready");
	hf_emu_fault_clear(rig->emu);
	/* And can be cleared for a fresh start. */
	assert_int_equal(hf_device_clear(rig->heirs->dev, &rig->err), 0);
	rig->heirs->dev = NULL;
	heirs_end(rig);
}

static void bytes_that_are_not_its_own_are_refused(void **state)
{
	static const uint8_t must_understand_2[] = {0xa8, 0x06, 0x02};
	struct rig *rig = *state;

	RETURN_WITHOUT_KEEPALIVE();
	uint32_t rule = leave_behind(rig, true);
	struct heirs *heirs = rig->heirs;
	size_t len = heirs->len_bytes;

	assert_non_null(heirs->bytes);
	heirs->len_bytes = len / 2;
	assert_refused(rig, -EINVAL, "cannot be restored");
	heirs->len_bytes = 0;
	assert_refused(rig, -EINVAL, "saved state of 0 bytes");
	heirs->len_bytes = len;
	/* The serial number, in Identify Controller. */
	uint8_t *serial =
		memmem(heirs->bytes, len,
		       heirs->dev->inherited.header->identify + 4, 20);
	assert_non_null(serial);
	serial[0]++;
	assert_refused(rig, -EINVAL, "another controller");
	serial[0]--;
	uint8_t *whole = heirs->bytes;
	uint8_t *future = malloc(len + sizeof(must_understand_2));
	assert_non_null(future);
	memcpy(future, whole, len);
	memcpy(future + len, must_understand_2, sizeof(must_understand_2));
	heirs->bytes = future;
	heirs->len_bytes = len + sizeof(must_understand_2);
	assert_refused(rig, -EPROTONOSUPPORT, "understands version 2");
	free(future);
	heirs->bytes = whole;
	heirs->len_bytes = len;
	end_well(rig, rule);
}

/* Saved with a namespace that the ledger does not have. */
static void other_namespaces_are_refused(void **state)
{
	struct rig *rig = *state;

	RETURN_WITHOUT_KEEPALIVE();
	uint32_t rule = leave_behind(rig, true);
	struct hf_ledger_namespace *ns =
		&rig->heirs->dev->inherited.header->namespaces[0];

	ns->nsid = 2;
	assert_refused(rig, -EINVAL, "namespace");
	ns->nsid = 1;
	end_well(rig, rule);
}

/* Adopting fails; nothing was touched, and with all of it there it works. */
static void memory_that_is_missing_is_refused(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	heirs_begin(rig);
	assert_int_equal(heirs_let_go(rig, false), 0);
	int fd = hf_fdset_take(rig->heirs->set, "dma-0");
	assert_true(fd >= 0);
	assert_int_equal(heirs_adopt(rig), -ENOENT);
	assert_non_null(strstr(rig->err.message, "DMA memory 0"));
	assert_non_null(strstr(rig->err.message, "is missing"));
	close(fd);
	assert_int_equal(rig_stats(rig).enables, 1);
	assert_int_equal(rig_stats(rig).resets, 0);
	heirs_end(rig);
}

static void memory_of_another_size_is_refused(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	heirs_begin(rig);
	assert_int_equal(heirs_let_go(rig, false), 0);
	int fd = hf_fdset_take(rig->heirs->set, "dma-0");
	int small = memfd_create("small", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(small, 4096), 0);
	assert_int_equal(fcntl(small, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(
		hf_fdset_add(rig->heirs->set, small, &rig->err, "dma-0"), 0);
	assert_int_equal(heirs_adopt(rig), -EINVAL);
	assert_non_null(strstr(rig->err.message, "smaller"));
	close(fd);
	heirs_end(rig);
}

/* The same bytes, in a file that whoever else has it could make smaller under
 * its next owner. */
static void refuse_unsealed(struct rig *rig, const char *name)
{
	struct stat st;

	rig_open(rig);
	heirs_begin(rig);
	assert_int_equal(heirs_let_go(rig, false), 0);
	int fd = hf_fdset_take(rig->heirs->set, "%s", name);
	int other = memfd_create("same", MFD_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(other, st.st_size), 0);
	assert_int_equal(sendfile(other, fd, (off_t[]){0}, (size_t)st.st_size),
			 st.st_size);
	assert_int_equal(
		hf_fdset_add(rig->heirs->set, other, &rig->err, "%s", name), 0);
	assert_int_equal(heirs_adopt(rig), -EINVAL);
	assert_non_null(strstr(rig->err.message, "not sealed"));
	close(fd);
	heirs_end(rig);
}

static void memory_that_may_shrink_is_refused(void **state)
{
	refuse_unsealed(*state, "dma-0");
}

static void a_registry_that_may_shrink_is_refused(void **state)
{
	refuse_unsealed(*state, "dma-registry");
}

static struct hf_registry_block *block_of_queue_1(struct rig *rig)
{
	struct hf_dma_registry *registry = rig->heirs->dev->dma.registry;

	for (uint32_t i = 0; i < HF_REGISTRY_BLOCKS_MAX; i++) {
		if (registry->blocks[i].owner == HF_DMA_OWNER_IO_QUEUE &&
		    registry->blocks[i].owner_id == 1) {
			return &registry->blocks[i];
		}
	}
	fail_msg("queue 1 has no memory");
	return NULL;
}

static void a_queue_without_its_memory_is_refused(void **state)
{
	struct rig *rig = *state;
	uint32_t rule = leave_behind(rig, false);
	struct hf_registry_block *block = block_of_queue_1(rig);

	block->owner_id = 7;
	assert_refused(rig, -ENOENT,
		       "queue 1 cannot be taken over: its memory");
	block->owner_id = 1;
	block->len_bytes -= 4096;
	assert_refused(rig, -EINVAL,
		       "queue 1 cannot be taken over: its memory");
	block->len_bytes += 4096;
	end_well(rig, rule);
}

static void a_version_of_the_ledger_from_the_future_is_refused(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	heirs_begin(rig);
	rig->drv->ledger.header->version++;
	assert_int_equal(heirs_let_go(rig, false), 0);
	assert_int_equal(heirs_adopt(rig), -EPROTONOSUPPORT);
	assert_non_null(strstr(rig->err.message, "version 2"));
	heirs_end(rig);
}

static void nothing_was_left(void **state)
{
	struct rig *rig = *state;

	rig_make(rig);
	assert_int_equal(hf_driver_restore(&rig->drv, rig->dev, NULL, 0,
					   &rig->options, &rig->err),
			 -ENOENT);
	assert_non_null(strstr(rig->err.message, "nothing to restore from"));
	rig->drv = NULL;
}

/* The lock is the kernel's: it goes with its owner, however that ends. */
static void an_owner_that_is_alive_is_not_robbed(void **state)
{
	struct rig *rig = *state;
	struct hf_error err = {.message = ""};
	int status = 0;
	int ready[2];
	char byte = 1;

	rig_open(rig);
	const struct hf_ledger *ledger = &rig->drv->ledger;
	hf_ledger_unlock(ledger);
	assert_int_equal(pipe(ready), 0);
	pid_t owner = fork();
	assert_true(owner >= 0);
	if (owner == 0) {
		byte = hf_ledger_lock(ledger, &err) == 0 ? 1 : 0;
		(void)!write(ready[1], &byte, 1);
		for (;;) {
			pause();
		}
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 1);
	assert_int_equal(hf_ledger_lock(ledger, &err), -EBUSY);
	assert_non_null(strstr(err.message, "still driven by process"));
	kill(owner, SIGKILL);
	assert_int_equal(waitpid(owner, &status, 0), owner);
	assert_int_equal(hf_ledger_lock(ledger, &err), 0);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(impossible_queues_are_refused),
		rig_test(impossible_commands_are_refused),
		rig_test(impossible_large_i_os_are_refused),
		rig_test(a_ledger_that_contradicts_itself_is_refused),
		rig_test(another_controller_is_refused),
		rig_test(a_controller_that_is_gone_for_a_moment_is_waited_for),
		rig_test(a_controller_that_was_reset_is_refused),
		rig_test(bytes_that_are_not_its_own_are_refused),
		rig_test(other_namespaces_are_refused),
		rig_test(memory_that_is_missing_is_refused),
		rig_test(memory_of_another_size_is_refused),
		rig_test(memory_that_may_shrink_is_refused),
		rig_test(a_registry_that_may_shrink_is_refused),
		rig_test(a_queue_without_its_memory_is_refused),
		rig_test(a_version_of_the_ledger_from_the_future_is_refused),
		rig_test(nothing_was_left),
		rig_test(an_owner_that_is_alive_is_not_robbed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
