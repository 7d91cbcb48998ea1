/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocking calls on ordinary memory: a disk in a few lines. */
#include <stdio.h>
#include <string.h>

#include <holdfast/holdfast.h>

#include "example.h"

static void read_and_write(struct hf_namespace *ns)
{
	static unsigned char out[16384];
	static unsigned char in[16384];
	struct hf_namespace_info info;

	hf_namespace_get_info(ns, &info);
	uint64_t blocks = sizeof(out) / info.block_bytes;

	memset(out, 0xc3, sizeof(out));
	check(hf_write(ns, 0, blocks, out), "hf_write", NULL);
	check(hf_flush(ns), "hf_flush", NULL);
	check(hf_read(ns, 0, blocks, in), "hf_read", NULL);
	printf("%s\n", memcmp(in, out, sizeof(in)) == 0 ? "the same" : "not");

	if (info.can_compare) {
		check(hf_compare(ns, 0, blocks, out), "hf_compare", NULL);
	}
	if (info.can_verify) {
		check(hf_verify(ns, 0, blocks), "hf_verify", NULL);
	}
	if (info.can_write_zeroes) {
		check(hf_write_zeroes(ns, 0, blocks, HF_IO_MAY_DEALLOCATE),
		      "hf_write_zeroes", NULL);
	}
	if (info.can_deallocate) {
		struct hf_range range = {.lba = 0, .blocks = blocks};

		check(hf_deallocate(ns, &range, 1), "hf_deallocate", NULL);
	}
}

/* Any operation with any flag: prepared, then waited for. */
static void one_by_hand(struct hf_driver *drv, struct hf_namespace *ns)
{
	static unsigned char block[4096];
	struct hf_queue *queue;
	struct hf_error err;
	struct hf_io io;

	hf_io_prep(&io, ns, HF_OP_WRITE, 8, 1);
	io.buf = block;
	io.flags = HF_IO_FUA;
	check(hf_io_wait(&io), "hf_io_wait", NULL);

	hf_io_prep_read(&io, ns, 8, 1, block);
	check(hf_io_wait(&io), "hf_io_wait", NULL);

	/* Nothing is under way: the wait ends by its bound. */
	check(hf_queue_open(&queue, drv, 0, HF_EVENT, &err), "hf_queue_open",
	      &err);
	if (hf_queue_wait(queue, 1) != 0) {
		printf("nothing to reap\n");
	}
	hf_queue_close(queue);
}

static void commands(struct hf_driver *drv)
{
	static unsigned char smart[512];
	struct hf_error err;
	struct hf_command get_log = {
		.opcode = 0x02,
		.nsid = 0xffffffff,
		.cdw10 = 0x02 | ((sizeof(smart) / 4 - 1) << 16),
		.data = smart,
		.data_len_bytes = sizeof(smart),
	};
	struct hf_command flush = {.opcode = 0x00, .nsid = 1};

	check(hf_admin_command(drv, &get_log, &err), "hf_admin_command", &err);
	printf("%d K\n", smart[1] | (smart[2] << 8));
	check(hf_io_command(drv, &flush), "hf_io_command", NULL);
}

int main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "emulated:size=64M";
	struct hf_namespace *ns;
	struct hf_driver *drv;
	struct hf_error err;

	check(hf_driver_open(&drv, address, NULL, &err), "hf_driver_open",
	      &err);
	check(hf_namespace_open(&ns, drv, 1, &err), "hf_namespace_open", &err);
	read_and_write(ns);
	one_by_hand(drv, ns);
	commands(drv);
	hf_namespace_close(ns);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
	return 0;
}
