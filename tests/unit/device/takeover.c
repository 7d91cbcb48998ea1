/* SPDX-License-Identifier: BSD-3-Clause */
#include "takeover.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE UINT64_C(4096)

/* Duplicates of what a successor needs: the device keeps its own. */
void takeover_carry_out(struct takeover *t, struct hf_device *dev)
{
	hf_fdset_init(t->set);
	assert_int_equal(dev->ops->carry(dev, t->set, &t->f->err), 0);
	for (uint32_t i = 0; i < t->set->count; i++) {
		t->set->entries[i].fd =
			fcntl(t->set->entries[i].fd, F_DUPFD_CLOEXEC, 0);
		assert_true(t->set->entries[i].fd >= 0);
	}
}

struct takeover *takeover_prepare(void **state)
{
	struct takeover *t = calloc(1, sizeof(*t));
	struct hf_device *dev;

	assert_non_null(t);
	t->f = *state;
	vfu_opened(t->f);
	dev = t->f->dev;
	assert_int_equal(hf_dma_block_alloc(&dev->dma, 2 * PAGE,
					    HF_DMA_OWNER_IO_QUEUE, 7, &t->block,
					    &t->f->err),
			 0);
	memcpy(t->block.vaddr, "ring", 5);
	assert_int_equal(dev->ops->irq_map(dev, 2, 0, &t->irq, &t->f->err), 0);

	t->set = calloc(1, sizeof(*t->set));
	assert_non_null(t->set);
	takeover_carry_out(t, dev);
	return t;
}

void takeover_finish(struct takeover *t)
{
	hf_device_release(t->f->dev, HF_RELEASE_KEEP);
	t->f->dev = t->heir;
	hf_fdset_close(t->set);
	free(t->set);
	free(t);
}

struct hf_vfu_journal *takeover_journal(struct takeover *t)
{
	return hf_vfio_user_of(t->f->dev)->conn.journal;
}
