/* SPDX-License-Identifier: BSD-3-Clause */
#include "faulty.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cmocka_all.h"

int faulty_setup(void **state)
{
	struct faulty *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	*state = f;
	host_start(&f->host);
	for (uint32_t v = 0; v < 3; v++) {
		f->irqs[v] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(f->irqs[v] >= 0);
		assert_int_equal(
			hf_emu_irq_set(f->host.emu, v, f->irqs[v], NULL), 0);
	}
	host_create_queue(&f->host, 1, 8, 1);
	f->data = host_alloc(&f->host, 8192, &f->data_iova);
	for (uint32_t v = 0; v < 3; v++) {
		faulty_interrupts(f, v);
	}
	return 0;
}

int faulty_teardown(void **state)
{
	struct faulty *f = *state;

	host_close(&f->host);
	for (uint32_t v = 0; v < 3; v++) {
		close(f->irqs[v]);
	}
	free(f);
	return 0;
}

uint32_t faulty_rule(struct faulty *f, const char *text)
{
	struct hf_error err;
	uint32_t id;

	if (hf_emu_fault_add(f->host.emu, text, &id, &err) != 0) {
		fail_msg("%s: %s", text, err.message);
	}
	return id;
}

uint16_t faulty_send(struct faulty *f, uint8_t opcode, uint64_t lba)
{
	struct nvme_sqe sqe = host_rw(opcode, lba, 1, f->data_iova);

	return host_send(&f->host, 1, &sqe);
}

uint16_t faulty_do(struct faulty *f, uint8_t opcode, uint64_t lba)
{
	struct nvme_sqe sqe = host_rw(opcode, lba, 1, f->data_iova);
	struct nvme_cqe cqe;

	return host_command(&f->host, 1, &sqe, &cqe);
}

void faulty_fill(struct faulty *f, uint64_t lba, uint8_t value)
{
	memset(f->data, value, 512);
	assert_int_equal(faulty_do(f, nvme_cmd_write, lba), 0);
	memset(f->data, 0, 512);
}

void faulty_pass(struct faulty *f, uint64_t ns)
{
	hf_emu_advance(f->host.emu, ns);
	host_run(&f->host);
}

uint64_t faulty_interrupts(struct faulty *f, uint32_t vector)
{
	uint64_t count = 0;

	if (read(f->irqs[vector], &count, sizeof(count)) < 0) {
		return 0;
	}
	return count;
}
