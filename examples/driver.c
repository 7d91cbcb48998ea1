/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver in the caller's own event loop: no thread is started. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <holdfast/holdfast.h>

#include "example.h"

#define MEMORY_BYTES (1u << 20)

/* What is due, until nothing has been due for @quiet_ms. */
static void run_loop(struct hf_driver *drv, int quiet_ms)
{
	struct pollfd fds[] = {
		{.fd = hf_driver_fd(drv), .events = POLLIN},
		{.fd = hf_event_fd(drv), .events = POLLIN},
	};
	struct hf_event event;

	while (poll(fds, 2, quiet_ms) > 0) {
		check(hf_driver_process(drv), "hf_driver_process", NULL);
		while (hf_event_next(drv, &event) == 1) {
			printf("event: %s\n", event.text);
		}
	}
}

/* Memory of the caller's that the controller reaches without copying. */
static void register_memory(struct hf_driver *drv)
{
	struct hf_error err;
	int fd = memfd_create("example", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, MEMORY_BYTES) != 0) {
		perror("memfd");
		exit(1);
	}
	void *memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	check(hf_dma_register(drv, memory, MEMORY_BYTES, fd, 0, &err),
	      "hf_dma_register", &err);
	check(hf_dma_unregister(drv, memory, &err), "hf_dma_unregister", &err);
	munmap(memory, MEMORY_BYTES);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "emulated:size=64M";
	struct hf_driver_options options;
	struct hf_driver_info info;
	struct hf_device *device;
	struct hf_driver *drv;
	struct hf_error err;

	hf_driver_options_init(&options);
	options.runtime = false;
	options.queue_entries = 128;

	check(hf_device_open(&device, address, &options.device, &err),
	      "hf_device_open", &err);
	int result = hf_driver_start(&drv, device, &options, &err);

	if (result != 0) {
		hf_device_close(device); /* not taken over */
		check(result, "hf_driver_start", &err);
	}
	check(hf_driver_ready_wait(drv, &err), "hf_driver_ready_wait", &err);

	hf_driver_get_info(drv, &info);
	printf("%s: %u CPUs, up to %u I/O queues of %u entries\n",
	       hf_device_id(hf_driver_device(drv)), info.cpu_count,
	       info.io_queues_max, info.queue_entries);
	printf("Identify Controller begins with %02x\n",
	       *(const unsigned char *)hf_driver_identify(drv));

	run_loop(drv, 10);

	void *memory = hf_dma_alloc(drv, MEMORY_BYTES, &err);

	check(memory == NULL, "hf_dma_alloc", &err);
	hf_dma_free(drv, memory);
	register_memory(drv);

	char *tree = hf_driver_inspect(drv);

	printf("%s\n", tree != NULL ? tree : "out of memory");
	free(tree);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
	return 0;
}
