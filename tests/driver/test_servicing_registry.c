/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a registry of DMA memory that no driver could have left is refused,
 *       with the device left alone; and what is registered of a file is found
 *       again at its place in it.
 * Method: a driver leaves memory in a pool and in a part of a file. Each fact
 *         of the registry is bent, then put right; then all is restored.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "heir_load.h"
#include "state/registry.h"

enum {
	PAGE = 4096,
	FILE_PAGES = 6,
	FIRST_PAGE = 2, /* of those that are registered */
	PAGES = 3,
};

/* A number of the registry that is not what a driver leaves. */
struct bend {
	size_t offset;
	size_t len;
	uint64_t value;
};

#define HEADER(field, value)                                                   \
	{                                                                      \
		offsetof(struct hf_dma_registry, field),                       \
			sizeof(((struct hf_dma_registry *)0)->field), value    \
	}
#define REGION(field, value)                                                   \
	{                                                                      \
		offsetof(struct hf_dma_registry, regions) +                    \
			offsetof(struct hf_registry_region, field),            \
			sizeof(((struct hf_registry_region *)0)->field), value \
	}
#define BLOCK(field, value)                                                    \
	{                                                                      \
		offsetof(struct hf_dma_registry, blocks) +                     \
			offsetof(struct hf_registry_block, field),             \
			sizeof(((struct hf_registry_block *)0)->field), value  \
	}

static const struct bend bends[] = {
	HEADER(magic, 0),
	HEADER(version, HF_REGISTRY_VERSION + 1),
	HEADER(header_bytes, 4096),
	HEADER(regions_max, HF_REGISTRY_REGIONS_MAX - 1),
	HEADER(blocks_max, UINT32_MAX),
	REGION(state, HF_REGION_REVOKED + 1),
	REGION(kind, 0),
	REGION(kind, HF_REGION_PRIVATE + 1),
	REGION(len_bytes, 0),
	REGION(len_bytes, PAGE + 1),
	REGION(len_bytes, UINT64_MAX - PAGE + 1),
	REGION(iova, 1),
	REGION(iova, UINT64_MAX - PAGE + 1),
	REGION(fd_offset, 7),
	/* Blocks that lie in no pool, beside it, nowhere, and in each other. */
	BLOCK(region, 1),
	BLOCK(region, HF_REGISTRY_REGIONS_MAX - 1),
	BLOCK(region, UINT32_MAX),
	BLOCK(offset, UINT64_MAX - PAGE + 1),
	BLOCK(offset, 5),
	BLOCK(len_bytes, 0),
	BLOCK(len_bytes, PAGE / 2),
	BLOCK(len_bytes, UINT64_C(1) << 60),
};

/* The caller's file; what is registered of it begins behind FIRST_PAGE. */
static uint8_t *register_file(struct rig *rig)
{
	int fd = memfd_create("mine", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, FILE_PAGES * PAGE), 0);
	uint8_t *file = mmap(NULL, FILE_PAGES * PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED, fd, 0);
	assert_ptr_not_equal(file, MAP_FAILED);
	assert_int_equal(hf_dma_register(rig->drv, file + FIRST_PAGE * PAGE,
					 PAGES * PAGE, fd, FIRST_PAGE * PAGE,
					 &rig->err),
			 0);
	close(fd);
	return file;
}

/* The same descriptors once more: adopting uses them up. */
static struct hf_fdset *copy_of(const struct hf_fdset *set)
{
	struct hf_fdset *copy = malloc(sizeof(*copy));

	assert_non_null(copy);
	*copy = *set;
	for (uint32_t i = 0; i < copy->count; i++) {
		copy->entries[i].fd = dup(set->entries[i].fd);
		assert_true(copy->entries[i].fd >= 0);
	}
	return copy;
}

static void assert_refused(struct rig *rig, size_t number)
{
	struct hf_fdset *set = copy_of(rig->heirs->set);
	const struct hf_emu_stats before = rig_stats(rig);

	rig->err.message[0] = '\0';
	int rc = heirs_adopt(rig);
	if (rc >= 0 || strlen(rig->err.message) < 30) {
		fail_msg("bend %zu: %d, '%s'", number, rc, rig->err.message);
	}
	const struct hf_emu_stats after = rig_stats(rig);
	heirs_assert_left_alone(&before, &after);
	hf_fdset_close(rig->heirs->set);
	free(rig->heirs->set);
	rig->heirs->set = set;
}

static void what_no_driver_leaves_is_refused(struct rig *rig, bool planned)
{
	heirs_open(rig);
	uint8_t *file = register_file(rig);
	assert_int_equal(heirs_let_go(rig, planned), 0);
	struct hf_dma_registry *registry = mmap(
		NULL, sizeof(*registry), PROT_READ | PROT_WRITE, MAP_SHARED,
		hf_fdset_find(rig->heirs->set, "dma-registry"), 0);
	assert_ptr_not_equal(registry, MAP_FAILED);
	assert_int_equal(registry->regions[0].kind, HF_REGION_POOL);
	assert_int_equal(registry->regions[1].kind, HF_REGION_SHARED);
	for (size_t i = 0; i < HF_ARRAY_LEN(bends); i++) {
		uint8_t *fact = (uint8_t *)registry + bends[i].offset;
		uint64_t was = 0;

		memcpy(&was, fact, bends[i].len);
		memcpy(fact, &bends[i].value, bends[i].len);
		assert_refused(rig, i);
		memcpy(fact, &was, bends[i].len);
	}
	/* Two at one place: for the device, and for their owners. */
	uint64_t iova = registry->regions[1].iova;
	registry->regions[1].iova = registry->regions[0].iova;
	assert_refused(rig, HF_ARRAY_LEN(bends));
	registry->regions[1].iova = iova;
	uint64_t offset = registry->blocks[1].offset;
	registry->blocks[1].offset = registry->blocks[0].offset;
	assert_refused(rig, HF_ARRAY_LEN(bends) + 1);
	registry->blocks[1].offset = offset;

	if (heirs_restore(rig) != 0) {
		fail_msg("%s", rig->err.message);
	}
	munmap(registry, sizeof(*registry));
	munmap(file, FILE_PAGES * PAGE);
}

/* The middle of a file: the successor's view of it begins where the other's
 * did. */
static void a_part_of_a_file_is_found_again(struct rig *rig, bool planned)
{
	uint8_t back[PAGE];

	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint8_t *file = register_file(rig);
	uint8_t *data = file + (size_t)(FIRST_PAGE + 1) * PAGE;
	rig_fill(data, PAGE, 9);
	assert_int_equal(hf_write(rig->ns, 8, 8, data), 0);
	memset(data, 0, PAGE);
	uint32_t rule = rig_rule(rig, "io-read:hold");
	load_put(rig, load, 0, HF_OP_READ, 8, 8, data);
	heirs_until_hit(rig, rule, 1);
	hf_queue_close(load->queue);
	heirs_replace(rig, planned);
	assert_int_equal(load_attach(rig, load, NULL), 1);
	uint8_t *here = load->work[0].io.buf;
	assert_non_null(here);
	here[0] = 77;
	assert_int_equal(data[0], 77);
	load_reopen(rig, load, 0);
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	assert_true(rig_is_filled(here, PAGE, 9));
	assert_true(rig_is_filled(data, PAGE, 9));
	/* And it is registered memory still. */
	uint64_t bounced = rig->drv->io[0]->bounced;
	load_put(rig, load, 1, HF_OP_READ, 8, 8, here - PAGE);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[1]), 0);
	assert_int_equal(rig->drv->io[0]->bounced, bounced);
	assert_true(rig_is_filled(here - PAGE, PAGE, 9));
	load_drop(load);
	assert_int_equal(hf_read(rig->ns, 8, 8, back), 0);
	assert_true(rig_is_filled(back, PAGE, 9));
	munmap(file, FILE_PAGES * PAGE);
}

static uint32_t count_of(const struct rig *rig, uint32_t kind)
{
	const struct hf_dma_registry *registry = rig->drv->dev->dma.registry;
	uint32_t count = 0;

	for (uint32_t i = 0; i < HF_REGISTRY_REGIONS_MAX; i++) {
		count += registry->regions[i].state == HF_REGION_MAPPED &&
			 registry->regions[i].kind == kind;
	}
	return count;
}

/* Each driver registers what the one before had, with a mapping of its own. */
static void registered_again_it_is_not_mapped_again(struct rig *rig,
						    bool planned)
{
	const uint64_t len = PAGES * PAGE;
	const off_t at = FIRST_PAGE * PAGE;
	int fd = memfd_create("mine", MFD_CLOEXEC);
	uint8_t *each[4]; /* the controller goes by the first one's */
	uint8_t *mine = NULL;
	uint8_t *old;

	assert_int_equal(ftruncate(fd, FILE_PAGES * PAGE), 0);
	heirs_open(rig);
	struct load *load = load_of(rig, 0);
	uint32_t rule = rig_rule(rig, "io-read,lba=8:hold");
	for (uint32_t i = 0; i < 4; i++) {
		mine = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			    at);
		assert_ptr_not_equal(mine, MAP_FAILED);
		each[i] = mine;
		if (i > 0) {
			hf_queue_close(load->queue);
			heirs_replace(rig, planned);
			assert_int_equal(load_attach(rig, load, NULL), 1);
			load_reopen(rig, load, 0);
		}
		uint64_t maps = rig->dma_maps;
		assert_int_equal(hf_dma_register(rig->drv, mine, len, fd,
						 (uint64_t)at, &rig->err),
				 0);
		assert_int_equal(rig->dma_maps, maps + (i == 0 ? 1 : 0));
		assert_int_equal(count_of(rig, HF_REGION_SHARED), 1);
		rig_fill(mine, PAGE, i);
		load_put(rig, load, 1, HF_OP_WRITE, 16, 8, mine);
		assert_int_equal(rig_finish(rig, load->queue, &load->work[1]),
				 0);
		memset(mine, 0, PAGE);
		load_put(rig, load, 1, HF_OP_READ, 16, 8, mine);
		assert_int_equal(rig_finish(rig, load->queue, &load->work[1]),
				 0);
		assert_true(rig_is_filled(mine, PAGE, i));
		assert_int_equal(rig->drv->io[0]->bounced, 0);
		if (i == 0) {
			load_put(rig, load, 0, HF_OP_READ, 8, 8, mine + PAGE);
			heirs_until_hit(rig, rule, 1);
		}
	}
	/* Attached to before it was registered: in the view of that time. */
	old = load->work[0].io.buf;
	assert_ptr_not_equal(old, mine + PAGE);
	mine[PAGE] = 1;
	(void)hf_emu_fault_remove(rig->emu, rule);
	assert_int_equal(rig_finish(rig, load->queue, &load->work[0]), 0);
	assert_int_equal(mine[PAGE], 0);
	assert_int_equal(*old, 0);
	load_drop(load);

	/* Another part of it is another mapping; then all of it goes. */
	uint8_t *head =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_int_equal(
		hf_dma_register(rig->drv, head, PAGE, fd, 0, &rig->err), 0);
	assert_int_equal(count_of(rig, HF_REGION_SHARED), 2);
	assert_int_equal(hf_dma_unregister(rig->drv, head, &rig->err), 0);
	assert_int_equal(hf_dma_unregister(rig->drv, mine, &rig->err), 0);
	assert_int_equal(count_of(rig, HF_REGION_SHARED), 0);
	assert_int_equal(hf_iova_lookup(&rig->drv->dev->dma.map, old),
			 HF_IOVA_NONE);
	assert_int_equal(hf_iova_lookup(&rig->drv->dev->dma.map, mine),
			 HF_IOVA_NONE);
	for (uint32_t i = 0; i < 4; i++) {
		munmap(each[i], len);
	}
	munmap(head, PAGE);
	close(fd);
}

BOTH(registered_again_it_is_not_mapped_again)
BOTH(what_no_driver_leaves_is_refused)
BOTH(a_part_of_a_file_is_found_again)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIST(registered_again_it_is_not_mapped_again),
		LIST(what_no_driver_leaves_is_refused),
		LIST(a_part_of_a_file_is_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
