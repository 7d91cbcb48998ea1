/* SPDX-License-Identifier: BSD-3-Clause */
/* Being the host of an emulated controller: registers, memory, interrupts. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <holdfast/emu.h>

#include "example.h"

enum {
	REG_CAP = 0x00,
	REG_CC = 0x14,
	REG_CSTS = 0x1c,
	REG_AQA = 0x24,
	REG_ASQ = 0x28,
	REG_ACQ = 0x30,
	IOVA = 0x100000,
	PAGE = 4096,
	MEMORY_BYTES = 4 * PAGE,
	CC_ENABLE = 0x00460001, /* 64- and 16-byte entries, enable */
};

static void intx_changed(void *user, bool high)
{
	*(bool *)user = high;
}

/* Time stands still but here, so this ends at once. */
static void run(struct hf_emu *emu)
{
	hf_emu_advance(emu, 1000000000);
	while (hf_emu_process(emu, 16) != 0) {
	}
}

static void interrupts(struct hf_emu *emu)
{
	struct hf_error err;
	bool high = false;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	printf("%u vectors\n", hf_emu_vectors(emu));
	hf_emu_irq_mode(emu, HF_EMU_IRQ_MSIX);
	check(hf_emu_irq_set(emu, 0, fd, &err), "hf_emu_irq_set", &err);
	hf_emu_irq_mask(emu, 0, true);
	printf("vector 0 pending: %d\n", hf_emu_irq_pending(emu, 0));
	hf_emu_irq_mask(emu, 0, false);
	check(hf_emu_irq_set(emu, 0, -1, &err), "hf_emu_irq_set", &err);
	close(fd);

	hf_emu_intx_set(emu, intx_changed, &high);
	hf_emu_irq_mode(emu, HF_EMU_IRQ_INTX);
	printf("pin: %d\n", hf_emu_intx_level(emu));
	hf_emu_intx_set(emu, NULL, NULL);
}

int main(void)
{
	struct hf_emu_options options;
	struct hf_error err;
	struct hf_emu *emu;
	uint64_t doorbell_bytes;
	void *memory = aligned_alloc(PAGE, MEMORY_BYTES);

	if (memory == NULL) {
		return 1;
	}
	hf_emu_options_init(&options);
	options.serve = HF_EMU_MANUAL;
	check(hf_emu_create(&emu, &options, &err), "hf_emu_create", &err);
	printf("BAR 0 of %" PRIu64 " bytes, CAP %016" PRIx64 "\n",
	       hf_emu_bar_bytes(emu), hf_emu_reg_read(emu, REG_CAP, 8));

	check(hf_emu_dma_map(emu, IOVA, memory, MEMORY_BYTES,
			     HF_EMU_DMA_READ | HF_EMU_DMA_WRITE, &err),
	      "hf_emu_dma_map", &err);
	hf_emu_dma_watch(emu, IOVA, PAGE);
	int doorbells = hf_emu_doorbell_share(emu, &doorbell_bytes, &err);

	check(doorbells < 0 ? doorbells : 0, "hf_emu_doorbell_share", &err);
	interrupts(emu);

	hf_emu_reg_write(emu, REG_AQA, 4, 0x000f000f);
	hf_emu_reg_write(emu, REG_ASQ, 8, IOVA);
	hf_emu_reg_write(emu, REG_ACQ, 8, IOVA + PAGE);
	hf_emu_reg_write(emu, REG_CC, 4, CC_ENABLE);
	run(emu);
	printf("ready: %d\n", (int)(hf_emu_reg_read(emu, REG_CSTS, 4) & 1));

	hf_emu_kick(emu);
	hf_emu_reset(emu);
	check(hf_emu_dma_unmap(emu, IOVA, MEMORY_BYTES, &err),
	      "hf_emu_dma_unmap", &err);
	hf_emu_dma_unmap_all(emu);
	hf_emu_destroy(emu);
	free(memory);
	return 0;
}
